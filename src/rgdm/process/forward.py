"""The second kernel: a Gaussian forward process, diagonal in an orthonormal basis."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.errors import InputError
from rgdm.process.derivative import along
from rgdm.process.schedule import Schedule, check_order
from rgdm.scale.basis import Basis, Site
from rgdm.scale.coarse_graining import Lattice

CHECKED = 2**16
"""Number of modes above which a schedule is checked at fewer times before its first use."""


class ForwardProcess(nn.Module):
    """``z_t = alpha_k(t) z_0 + sigma_k(t) noise`` with ``z = basis.analyze(x)``.

    One basis and one schedule make each known method: a plain diffusion, a blurring
    one, a cascade. All states are coefficients, so every formula is elementwise.
    """

    def __init__(self, basis: Basis, schedule: Schedule) -> None:
        super().__init__()
        self.basis = basis
        self.schedule = schedule
        self._wavenumbers: dict[tuple[Lattice, torch.dtype, torch.device], Tensor] = {}

    def marginal(self, t: Float[Tensor, " B"], lattice: Lattice) -> tuple[Tensor, Tensor]:
        """(alpha, sigma) of ``q(z_t | z_0)``, each ``(B, 1, *lattice)``, in the dtype of ``t``."""
        return self.schedule(t, self._wavenumber(t, lattice))

    def amplitudes(self, t: Float[Tensor, " B"], lattice: Lattice) -> tuple[Tensor, Tensor]:
        """As :meth:`marginal`, but one value, ``(B, 1, 1, ...)``, where it is the same for all sites."""
        return self.marginal(t, (1,) * len(lattice) if isinstance(self.basis, Site) else lattice)

    def rates(self, t: Float[Tensor, " B"], lattice: Lattice) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(alpha, sigma, dalpha/dt, dsigma/dt), each ``(B, 1, *lattice)``, by automatic differentiation."""
        k = self._wavenumber(t, lattice)
        (alpha, sigma), (alpha_rate, sigma_rate) = along(lambda t: self.schedule(t, k), t.clone(), torch.ones_like(t))
        return alpha, sigma, alpha_rate, sigma_rate

    def _wavenumber(self, t: Tensor, lattice: Lattice) -> Tensor:
        if not bool(((t >= 0) & (t <= 1)).all()):
            raise InputError(f"t runs from {float(t.min())} to {float(t.max())}; it must stay within [0, 1]")
        key = lattice, t.dtype, t.device
        if key not in self._wavenumbers:
            k = self.basis.wavenumber(lattice)
            check_order(self.schedule, k, times=33 if k.numel() <= CHECKED else 9)
            self._wavenumbers[key] = k.to(t)
        return self._wavenumbers[key]

    def perturb(
        self, z: Float[Tensor, "B C *L"], t: Float[Tensor, " B"], noise: Float[Tensor, "B C *L"]
    ) -> Float[Tensor, "B C *L"]:
        """A sample of ``q(z_t | z_0)`` made from unit ``noise``."""
        alpha, sigma = self.amplitudes(t.to(z), tuple(z.shape[2:]))
        return alpha * z + sigma * noise

    def start(self, noise: Float[Tensor, "B C *L"]) -> Float[Tensor, "B C *L"]:
        """The state at t = 1 that unit ``noise`` makes, ``sigma(1) noise``: what a sampler starts from."""
        return self.amplitudes(noise.new_ones(1), tuple(noise.shape[2:]))[1] * noise

    def bridge(
        self, z_t: Float[Tensor, "B C *L"], z_0: Float[Tensor, "B C *L"], t: Float[Tensor, " B"], s: Float[Tensor, " B"]
    ) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of ``q(z_s | z_t, z_0)`` for s <= t.

        Ho et al. 2020, arXiv:2006.11239, eq. 7, for any (alpha, sigma). A mode whose
        signal is gone at both times stands still.
        """
        if not bool((s <= t).all()):
            raise InputError(f"a bridge from t = {t.tolist()} to s = {s.tolist()}; it leads back, to s <= t")
        lattice = tuple(z_0.shape[2:])
        alpha_s, sigma_s = self.marginal(s.to(z_0), lattice)
        alpha_t, sigma_t = self.marginal(t.to(z_0), lattice)
        gone = (alpha_s == 0) & (alpha_t == 0)
        kept = torch.where(gone, _ratio(sigma_t, sigma_s), _ratio(alpha_t, alpha_s))
        added = (sigma_t.square() - (kept * sigma_s).square()).clamp(min=0)
        clean = sigma_t.square() == 0  # the square, which may underflow, is what is divided by
        weight = torch.where(clean, _ratio(alpha_s, alpha_t), _ratio(kept * sigma_s.square(), sigma_t.square()))
        toward = torch.where(clean, torch.zeros_like(weight), _ratio(alpha_s * added, sigma_t.square()))
        return weight * z_t + toward * z_0, _ratio(sigma_s * added.sqrt(), sigma_t)


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    """a / b, and 0 where b is 0."""
    return torch.where(b == 0, torch.zeros_like(a), a / torch.where(b == 0, torch.ones_like(b), b))
