"""Linear maps that are diagonal in a basis: smoothing, and projection onto a band of scales."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from rgdm.errors import InputError
from rgdm.scale.basis import Basis

Gain = Callable[[Tensor], Tensor]
"""``k -> gain`` of each mode, both ``(*lattice)``."""


class Filter(nn.Module):
    """``x -> sum_k gain(k) z_k e_k``: symmetric, on the lattice it is given.

    A soft coarse-graining that keeps all sites, such as the heat kernel
    ``Filter(Fourier(), lambda k: torch.exp(-tau * k**2))``: the R_t between two changes of scale.
    """

    def __init__(self, basis: Basis, gain: Gain) -> None:
        super().__init__()
        self.basis, self.gain = basis, gain

    def forward(self, x: Float[Tensor, "B C *L"]) -> Float[Tensor, "B C *L"]:
        k = self.basis.wavenumber(tuple(x.shape[2:])).to(x.device)
        return self.basis.synthesize(self.gain(k).to(x) * self.basis.analyze(x))


class Band(Filter):
    """The orthogonal projection onto the modes with ``low <= k < high`` (Omega_t of a momentum shell)."""

    def __init__(self, basis: Basis, low: float, high: float) -> None:
        if not 0 <= low < high:
            raise InputError(f"a band from {low} to {high}; 0 <= low < high is needed")
        super().__init__(basis, lambda k: (k >= low) & (k < high))
