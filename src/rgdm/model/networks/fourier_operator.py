"""The Fourier neural operator as a backbone."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.model.networks.backbone import LEAK
from rgdm.model.networks.everywhere import Everywhere, Size, optional, zero

MODES = {1: 32, 2: 8, 3: 4}
"""Largest wavenumber along each axis that channels are mixed of, by dimension."""


class FourierOperator(Everywhere):
    """A Fourier neural operator (Li et al. 2021, arXiv:2010.08895), in 1 to 3 dimensions.

    Its layers are those of the ``FNO`` of neuraloperator, their spectral convolutions :class:`SpectralConvolution`.
    Time enters as constant channels. On a periodic lattice it is covariant under all translations; with edges it is
    shown the field and its mirror image, twice as long. What is apart is joined by waves up to ``MODES`` across what it
    is shown, and by no others: its kernels are functions of x / L, and wider on a longer lattice.
    """

    def __init__(self, size: Size) -> None:
        super().__init__(size)
        width, dimension, blocks = size.width, size.dimension, size.blocks
        whole = optional("neuralop.models", "fno").FNO(
            n_modes=(2,) * dimension,
            in_channels=size.inputs + 5,
            out_channels=size.channels,
            hidden_channels=width,
            n_layers=sum(blocks),
            positional_embedding=None,
            channel_mlp_expansion=1,
        )
        self.entry, self.layers, self.exit = whole.lifting, whole.fno_blocks, whole.projection
        self.layers.convs = nn.ModuleList(SpectralConvolution(width, dimension) for _ in range(sum(blocks)))
        self.exit.non_linearity = _leaking
        zero(self.exit.fcs[-1])

    def sides(self, lattice: tuple[int, ...]) -> tuple[int, ...]:
        axes = zip(lattice, self.boundaries, strict=True)
        return tuple(n if boundary == "periodic" else 2 * n for n, boundary in axes)

    def see(self, x: Float[Tensor, "B S *L"], t: Float[Tensor, " B"]) -> Float[Tensor, "B C *L"]:
        with torch.autocast(x.device.type, enabled=False):  # Fourier transforms need full precision
            x = x.to(next(self.parameters()))
            t = t.to(x)[:, None]
            angle = t * (math.pi / 2)
            clock = torch.cat([t, angle.cos(), angle.sin(), (2 * angle).sin(), (4 * angle).cos()], 1)
            clock = clock.reshape(*clock.shape, *[1] * self.dimension).expand(-1, -1, *x.shape[2:])
            h = self.entry(torch.cat([x, clock], 1))
            for index in range(len(self.layers.convs)):
                h = self.layers(h, index)
            return self.exit(h)


def _leaking(h: Tensor) -> Tensor:
    return nn.functional.gelu(h) + LEAK * h


class SpectralConvolution(nn.Module):
    """``y_k = W_k x_k`` for wavenumbers up to ``MODES`` along each axis, and 0 above; W_k is a matrix over channels.

    Its weights are pairs of real numbers. (Those of neuraloperator 2.0 are complex, which fused optimizers refuse; it
    computes in single precision only, and takes the modes of lattices of odd sides for those next to them.)
    """

    def __init__(self, width: int, dimension: int) -> None:
        super().__init__()
        self.most = MODES[dimension]
        modes = [2 * self.most + 1] * (dimension - 1) + [self.most + 1]
        self.weight = nn.Parameter(torch.randn(2, width, width, *modes) / math.sqrt(2 * width))
        self.bias = nn.Parameter(torch.zeros(width, *[1] * dimension))

    def transform(self, x: Float[Tensor, "B W *L"], output_shape: None = None) -> Float[Tensor, "B W *L"]:
        """The field on the lattice of the output, which is the same: the blocks of neuraloperator ask for it."""
        return x

    def forward(self, x: Float[Tensor, "B W *L"], output_shape: None = None) -> Float[Tensor, "B W *L"]:
        lattice, axes = list(x.shape[2:]), list(range(2, x.dim()))
        waves = torch.fft.rfftn(x, dim=axes, norm="forward")
        place, weight, grid = torch.zeros((), dtype=torch.long, device=x.device), self.weight, waves.shape[2:]
        for axis, n in enumerate(lattice):
            last = axis == len(lattice) - 1
            low = 0 if last else -min(self.most, (n - 1) // 2)
            wavenumber = torch.arange(low, min(self.most, n // 2) + 1, device=x.device)
            weight = weight.index_select(3 + axis, wavenumber % self.weight.shape[3 + axis])
            place = place[..., None] * grid[axis] + wavenumber % grid[axis]
        place, (real, imaginary) = place.flatten(), weight.flatten(3)
        kept = waves.flatten(2).index_select(2, place)

        def mixed(part: Tensor, matrices: Tensor) -> Tensor:
            return torch.einsum("bim,iom->bom", part, matrices)

        out = torch.complex(
            mixed(kept.real, real) - mixed(kept.imag, imaginary), mixed(kept.real, imaginary) + mixed(kept.imag, real)
        )
        out = torch.zeros_like(waves).flatten(2).index_copy(2, place, out).reshape(waves.shape)
        return self._back(out, lattice) + self.bias

    def _back(self, waves: Tensor, lattice: list[int]) -> Tensor:
        """To sites. Waves that are their own mirror image have a real part only, which not every library sees to."""
        if len(lattice) > 1:
            waves = torch.fft.ifftn(waves, dim=list(range(2, 1 + len(lattice))), norm="forward")
        place = torch.arange(waves.shape[-1], device=waves.device)
        waves = torch.complex(waves.real, waves.imag * (2 * place % lattice[-1] != 0))
        return torch.fft.irfft(waves, n=lattice[-1], norm="forward")
