"""An exactly invertible lift: coupling layers over bands and sites, whose log-density costs one pass."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.errors import InputError
from rgdm.model.laws.law import Example, Law
from rgdm.model.laws.likelihood import LogProb, Tracing, normal_log_prob
from rgdm.model.networks.local import Block
from rgdm.model.samplers.sampler import Draw, Sampler
from rgdm.notes import option
from rgdm.scale.boundary import Boundaries
from rgdm.scale.convolution import Convolution, channels_last
from rgdm.scale.tiles import in_tiles

BINS = 8
BOUND = 6.0
SWEEPS = 2


class Coupling(nn.Module):
    """Transforms one band on one half of a checkerboard, given everything else.

    ``y -> spline((y - shift) exp(-scale))``, monotone rational-quadratic between -6 and 6 (Durkan et al. 2019,
    arXiv:1906.04032), with shift, scale and knots from a local network of the other coefficients (coupling:
    Dinh et al. 2017, arXiv:1605.08803). It starts as the identity.
    """

    def __init__(
        self,
        details: int,
        conditions: int,
        dimension: int,
        boundary: Boundaries,
        width: int,
        blocks: int,
        band: int,
        odd: bool,
    ) -> None:
        super().__init__()
        self.band, self.odd = band, odd
        self.entry = Convolution(details + conditions + 1, width, dimension, boundary)
        self.blocks = nn.ModuleList(Block(width, dimension, boundary) for _ in range(blocks))
        self.exit = Convolution(width, 1 + 3 * BINS, dimension, boundary, size=1)
        nn.init.zeros_(self.exit.weight)

    def forward(
        self, y: Float[Tensor, "B D *K"], condition: Float[Tensor, "B F *K"]
    ) -> tuple[Float[Tensor, "B D *K"], Float[Tensor, "B 1 *K"]]:
        """Towards white noise; and the log slope at each site, 0 where nothing moves."""
        both = self._in_tiles(self._forward, y, condition)
        return both[:, :-1], both[:, -1:]

    def inverse(self, z: Float[Tensor, "B D *K"], condition: Float[Tensor, "B F *K"]) -> Float[Tensor, "B D *K"]:
        """From noise."""
        return self._in_tiles(self._inverse, z, condition)

    def _in_tiles(self, part: Callable[..., Tensor], y: Tensor, condition: Tensor) -> Tensor:
        moved = checkerboard(y, self.odd).to(y).expand(len(y), -1, *y.shape[2:])
        return in_tiles(part, [y, condition, moved], self.reach(), self.entry.boundary)

    def reach(self) -> int:
        """How many sites away the network looks."""
        return 1 + 2 * len(self.blocks)

    def _forward(self, y: Tensor, condition: Tensor, moved: Tensor) -> Tensor:
        from zuko.transforms import MonotonicRQSTransform

        shift, scale, knots = self._map(y, condition, moved)
        band = y[:, self.band : self.band + 1]
        there, slope = MonotonicRQSTransform(*knots, bound=BOUND).call_and_ladj((band - shift) * torch.exp(-scale))
        there, slope = torch.where(moved > 0, there, band), torch.where(moved > 0, slope - scale, 0.0)
        return torch.cat([self._put(y, there), slope], 1)

    def _inverse(self, z: Tensor, condition: Tensor, moved: Tensor) -> Tensor:
        from zuko.transforms import MonotonicRQSTransform

        shift, scale, knots = self._map(z, condition, moved)
        band = z[:, self.band : self.band + 1]
        # `inv` makes a cycle of references, which keeps all the tensors of a spline until it is collected
        back = MonotonicRQSTransform(*knots, bound=BOUND)._inverse(band)
        return self._put(z, torch.where(moved > 0, back * torch.exp(scale) + shift, band))

    def _map(self, y: Tensor, condition: Tensor, moved: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """The shift, log scale and knots of the map of what moves, from all that does not."""
        seen = self._put(y, (1 - moved) * y[:, self.band : self.band + 1])
        h = self.entry(channels_last(torch.cat([seen, condition, moved], 1)))
        for block in self.blocks:
            h = block(h)
        out = self.exit(F.silu(h))
        shift, scale, knots = out[:, :1], 3 * torch.tanh(out[:, 1:2] / 3), out[:, 2:].unsqueeze(1).movedim(2, -1)
        return shift, scale, knots.split((BINS, BINS, BINS - 1), -1)

    def _put(self, y: Tensor, band: Tensor) -> Tensor:
        return torch.cat([y[:, : self.band], band, y[:, self.band + 1 :]], 1)


def checkerboard(like: Float[Tensor, "B D *K"], odd: bool) -> Tensor:
    """Where the sum of the coordinates is odd, or even, ``(1, 1, *K)``."""
    grids = torch.meshgrid(*(torch.arange(n, device=like.device) for n in like.shape[2:]), indexing="ij")
    return ((torch.stack(grids).sum(0) % 2 == 1) == odd)[None, None]


def coupling_layers(
    details: int, conditions: int, dimension: int, boundary: Boundaries, width: int, blocks: int
) -> nn.ModuleList:
    """Two sweeps over every band on both halves of the checkerboard."""
    return nn.ModuleList(
        Coupling(details, conditions, dimension, boundary, width, blocks, band, odd)
        for _ in range(SWEEPS)
        for band in range(details)
        for odd in (False, True)
    )


def check_whole(present: Tensor | None) -> None:
    """``ValueError`` if coordinates are missing: couplings mix all of them."""
    if present is not None and not bool(present.all()):
        raise InputError(
            "a flow takes no missing values; "
            f"{option('--lift diffusion')} does, or fill them ({option('--fill', 'rgdm.data.checks.fill_gaps')})"
        )


class Flow(Law):
    """A normalizing flow: ``z = f^-1(white; features)``. Both ways are exact and cost one pass, whatever the sampler.

    It learns the correlations of z itself, so its standardizer does without the colouring.
    """

    def __init__(self, layers: nn.ModuleList) -> None:
        super().__init__()
        self.layers = layers

    def whiten(
        self, z: Float[Tensor, "B D *K"], condition: Float[Tensor, "B F *K"]
    ) -> tuple[Float[Tensor, "B D *K"], Float[Tensor, "B 1 *K"]]:
        """``f(z)``, and ``log |det df/dz|`` as a sum over sites of what is returned."""
        slopes = torch.zeros_like(z[:, :1])
        for layer in self.layers:
            z, slope = layer(z, condition)
            slopes = slopes + slope
        return z, slopes

    def sample(
        self,
        noise: Float[Tensor, "B D *K"],
        condition: Tensor | None,
        sampler: Sampler | None,
        draw: Draw | None,
        present: Tensor | None = None,
    ) -> Float[Tensor, "B D *K"]:
        check_whole(present)
        z = noise
        for layer in reversed(self.layers):
            assert isinstance(layer, Coupling)
            z = layer.inverse(z, noise[:, :0] if condition is None else condition)
        return z

    def loss(self, example: Example, t: Float[Tensor, " B"], noise: Tensor) -> Float[Tensor, " B"]:
        """``-log p(z)`` per degree of freedom in nats, less that of white noise; ``t`` and ``noise`` are not used."""
        check_whole(example.present)
        white, slopes = self.whiten(example.z, example.condition)
        density = (white.square() - 1).sum(1, keepdim=True) / 2 - slopes
        density = density if example.importance is None else example.importance * density
        return density.flatten(1).mean(1) / white.shape[1]

    def log_prob(
        self, z: Float[Tensor, "B D *K"], condition: Tensor | None, temperature: float | Tensor, tracing: Tracing
    ) -> LogProb:
        """Exact, in one pass."""
        white, slopes = self.whiten(z, z[:, :0] if condition is None else condition)
        return normal_log_prob(white, temperature).plus(LogProb.without_error(slopes.double().flatten(1).sum(1)))

    def reach(self, evaluations: int) -> tuple[int, int] | None:
        halo = sum(layer.reach() for layer in self.layers if isinstance(layer, Coupling))
        return halo, halo

    @property
    def halo(self) -> int:
        """Each coupling is a pass of its own."""
        return max(layer.reach() for layer in self.layers if isinstance(layer, Coupling))
