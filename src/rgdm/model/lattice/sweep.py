"""A learned law of one site given its neighbours, and sweeps that correct local structure by it."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.errors import InputError
from rgdm.model.lattice.maximum_likelihood import maximise
from rgdm.model.lattice.site_law import MixtureLaw
from rgdm.model.laws.flow import checkerboard
from rgdm.process.noise import Noise, Window
from rgdm.scale.boundary import Boundaries, boundary_of_each, extend

WIDTH = 48
BATCH = 8192
TOGETHER = 2**16
"""Sites whose law is held in memory at a time."""


class LearnedSweep(nn.Module):
    """``p(x_s | nearest neighbours)`` as a mixture of Gaussians, and Gibbs sweeps with it (Geman & Geman 1984).

    It assumes only the range of the neighbourhood. For a field whose law has nearest-neighbour couplings only, the
    learned conditional is that of the law, and a sweep (the odd sites given the even ones, then the even ones given the
    odd ones) keeps the law and brings everything local into equilibrium. For other fields it is wrong by the couplings
    beyond the neighbours. It does not keep coarse fields. ``symmetric``: all directions of the neighbours count alike.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, channels: int, dimension: int, boundary: Boundaries, symmetric: bool = True) -> None:
        super().__init__()
        self.channels, self.dimension = channels, dimension
        self.boundary: Boundaries = boundary
        self.symmetric = symmetric
        self.law = MixtureLaw(2 * dimension * channels, channels, WIDTH)
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("scale", torch.ones(channels))

    def neighbours(self, x: Float[Tensor, "B C *L"]) -> Float[Tensor, "B *L M"]:
        """The values around each site, which its law is given."""
        wide, lattice = extend(x, 1, self.boundary), tuple(x.shape[2:])
        around = []
        for axis in range(self.dimension):
            for shift in (0, 2):
                cut = [slice(1, n + 1) for n in lattice]
                cut[axis] = slice(shift, shift + lattice[axis])
                around.append(wide[(..., *cut)])
        values = torch.stack(around, -1)
        if self.symmetric:
            values = values.sort(-1).values
        return values.movedim(1, -2).flatten(-2)

    def fit(self, fields: Float[Tensor, "B C *L"], steps: int = 2000, seed: int = 0, rate: float = 1e-2) -> float:
        """Maximum likelihood on random sites of the fields; returns the mean log-likelihood of the last steps."""
        pooled = fields.movedim(1, 0).flatten(1)
        self.mean.copy_(pooled.mean(1))
        self.scale.copy_(pooled.std(1).clamp(min=1e-12))
        with torch.no_grad():
            x = self._standard(fields).to(self.mean)
            given, value = self.neighbours(x).flatten(0, -2), x.movedim(1, -1).flatten(0, -2)
        generator = torch.Generator().manual_seed(seed)

        def draw() -> tuple[Tensor, Tensor]:
            chosen = torch.randint(len(value), (BATCH,), generator=generator).to(value.device)
            return value[chosen], given[chosen]

        def log_prob(x: Tensor, around: Tensor) -> Tensor:
            return self.law.log_prob(x, around).mean()

        last = maximise(self, draw, log_prob, steps, rate)[-100:]
        return -sum(last) / len(last)

    @torch.no_grad()
    def half_sweep(
        self, x: Float[Tensor, "B C *L"], odd: bool, noise: Float[Tensor, "B D *L"]
    ) -> Float[Tensor, "B C *L"]:
        """The sites of one half of the checkerboard anew, from unit noise of C + 1 bands."""
        sides = boundary_of_each(self.boundary, self.dimension)
        if any(n % 2 and side == "periodic" for n, side in zip(x.shape[2:], sides, strict=True)):
            raise InputError(f"the periodic lattice {tuple(x.shape[2:])} has no checkerboard; even axes are needed")
        y, chosen = self._standard(x).to(self.mean), checkerboard(x, odd)[0, 0]
        given, white = self.neighbours(y)[:, chosen], noise.movedim(1, -1)[:, chosen].to(y)
        pairs = zip(given.flatten(0, 1).split(TOGETHER), white.flatten(0, 1).split(TOGETHER), strict=True)
        drawn = torch.cat([self.law.draw(*pair) for pair in pairs]).reshape(*white.shape[:2], self.channels)
        y = x.movedim(1, -1).clone()
        y[:, chosen] = (drawn * self.scale + self.mean).to(x)
        return y.movedim(-1, 1)

    def sweep(self, x: Float[Tensor, "B C *L"], noise: Float[Tensor, "B D *L"]) -> Float[Tensor, "B C *L"]:
        """Both halves, the odd sites first."""
        return self.half_sweep(self.half_sweep(x, True, noise), False, noise)

    def run(self, x: Float[Tensor, "B C *L"], sweeps: int, noise: Noise) -> Float[Tensor, "B C *L"]:
        """The fields after so many sweeps; sweep i takes draw i of the noise."""
        for i in range(sweeps):
            x = self.sweep(x, noise(i, self.channels + 1, Window.whole(0, x.shape[2:])).to(x.device))
        return x

    def _standard(self, x: Tensor) -> Tensor:
        shape = (1, -1, *[1] * self.dimension)
        return (x - self.mean.reshape(shape).to(x)) / self.scale.reshape(shape).to(x)
