"""The model of the coarsest field: Gaussian with the measured cross-spectra, pushed through the measured marginals."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.errors import InputError
from rgdm.model.closed_form import cross_spectrum, quantiles
from rgdm.model.closed_form.tails import bandwise
from rgdm.scale.basis import Harmonics, bin_of
from rgdm.scale.boundary import Boundaries, boundary_of_each
from rgdm.scale.coarse_graining import Lattice

BINS_PER_OCTAVE = 2
OCTAVES = 12
BINS = BINS_PER_OCTAVE * OCTAVES
MOST = 4096
"""Most fields that the powers of what comes out are measured on, of about a million sites together."""
WINDOW = 4096
"""Most values of a field with edges whose density is computed, for that takes a matrix of values x values."""


class TranslationField(nn.Module):
    """``x_c = F_c^-1(Phi(g_c))``, g Gaussian with cross-spectra S(k), F_c the measured distribution of a channel.

    Grigoriu 1995, *Applied Non-Gaussian Processes*. S is a matrix of channels as a function of k (half octaves), not of
    one lattice, and is adjusted so that x, not g, has the measured cross-spectra. The marginals are exact; on a lattice
    of one site the whole law of one channel is. What relates the channels is a Gaussian copula: relations that rise or
    fall are met, others (a channel that is the square of another) only in their correlation.

    g is stationary: periodic on the lattice itself, or, for a field with edges, a window of a
    periodic field twice as long. Every half octave has the variance on each lattice that it had in the measured fields;
    scales longer than these are white and have together the variance of their means, and the mean of a smaller lattice
    has that of all that is longer than it (as far as it goes: long scales have few modes, and others on each lattice).

    Args:
        channels: of the field.
        boundary: of each axis.
        sizes: of a coarsest site along each axis, where they differ: the spectrum is one of physical wavenumbers.
    """

    spectrum: Tensor
    marginal: Tensor
    share: Tensor
    """Of the modes of the measured fields in each bin, ``(bins,)``; all 0: nothing is known of scales."""

    def __init__(self, channels: int, boundary: Boundaries, sizes: tuple[float, ...] = ()) -> None:
        super().__init__()
        self.boundary: Boundaries = boundary
        self.modes, self.noise_modes = Harmonics(boundary, sizes), Harmonics("periodic", sizes)
        self.register_buffer("spectrum", torch.eye(channels)[..., None].repeat(1, 1, BINS))
        self.register_buffer("share", torch.zeros(BINS))
        self.register_buffer("marginal", quantiles.normal_scores().to(torch.get_default_dtype()).repeat(channels, 1))

    def noise_lattice(self, lattice: Lattice) -> Lattice:
        """How much white noise a field of this lattice is made of."""
        axes = zip(lattice, boundary_of_each(self.boundary, len(lattice)), strict=True)
        return tuple(n if side == "periodic" else 2 * n for n, side in axes)

    @torch.no_grad()
    def fit(self, x: Float[Tensor, "B C *L"], rounds: int = 12, there: Tensor | None = None) -> None:
        """Measure marginals and cross-spectra; then match the cross-spectra of what comes out of the map.

        Where not all values are ``there`` and the others are filled, marginals and variances are of those that are;
        how the variance is spread over scales is that of the filled fields.

        The coherences of the channels begin as those of their values taken to Gaussian ones, the powers as they are.
        """
        target, channels = self._cross_spectrum(x.double()), bandwise(x, there)
        self.marginal.copy_(torch.cat([quantiles.measured(channel[None]) for channel in channels]))
        if there is not None:
            ratio = torch.stack([known.double().var() for known in channels])
            ratio = (ratio / torch.stack([each.double().var() for each in bandwise(x, None)]).clamp(min=1e-30)).sqrt()
            target = target * (ratio[:, None] * ratio)[..., None]
        normal, _ = quantiles.to_normal(quantiles.knots(self.marginal), x.double())
        spectrum = cross_spectrum.with_coherence(target, self._cross_spectrum(normal))
        self.spectrum.copy_(spectrum)
        lattice = self.noise_lattice(tuple(x.shape[2:]))
        if math.prod(x.shape[2:]) > 1:
            where = _bin(self.noise_modes.wavenumber(lattice)).flatten()
            self.share.copy_(torch.bincount(where, minlength=BINS) / where.numel())
        count = max(4, min(MOST, 2**20 // math.prod(lattice)))
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(count, x.shape[1], *lattice, generator=generator, dtype=torch.float64)
        for _ in range(rounds):
            made = self(noise.to(x.device))
            spectrum = cross_spectrum.matched(spectrum, target, self._cross_spectrum(made))
            self.spectrum.copy_(spectrum)

    def forward(self, noise: Float[Tensor, "B C *W"]) -> Float[Tensor, "B C *L"]:
        """A field from white noise on its :meth:`noise_lattice`."""
        lattice, basis = tuple(noise.shape[2:]), self.noise_modes
        where = _bin(basis.wavenumber(lattice))
        g = basis.synthesize(cross_spectrum.applied(self._unit_root(where), where, basis.analyze(noise)))
        sides = zip(lattice, boundary_of_each(self.boundary, len(lattice)), strict=True)
        g = g[(..., *(slice(n if side == "periodic" else n // 2) for n, side in sides))]
        return quantiles.to_values(quantiles.knots(self.marginal), g)

    def positive(self, x: Float[Tensor, "B C *L"]) -> Float[Tensor, "B C *L"]:
        """Fields of positive data as they can be: 0 where the data are 0 as often, else no less than the data ever are.

        A table of quantiles rises a little where it is 0, and goes on below its first value.
        """
        fields = []
        for channel, table in zip(x.unbind(1), self.marginal, strict=True):
            above = table[table > 0]
            least = float(above[0]) if len(above) else 0.0
            dry = 0.0 if len(above) < len(table) else least
            fields.append(torch.where(channel < least / 2, dry, channel) if dry == 0 else channel.clamp(min=least))
        return torch.stack(fields, 1)

    def log_prob(self, x: Float[Tensor, "B C *L"]) -> Float[Tensor, " B"]:
        """log p of each field in nats: that of g, and the slope of the map from g to x."""
        lattice, basis = tuple(x.shape[2:]), self.noise_modes
        g, slope = quantiles.to_normal(quantiles.knots(self.marginal), x.double())
        wide = self.noise_lattice(lattice)
        where = _bin(basis.wavenumber(wide))
        root = self._unit_root(where)
        if wide == lattice:
            white = cross_spectrum.applied(cross_spectrum.inverse(root), where, basis.analyze(g))
            size = root.diagonal().log().sum(1)[where.to(root.device)].sum()
            normal = -(white.square() + math.log(2 * math.pi)).flatten(1).sum(1) / 2 - size
        else:
            covariance = self._window_covariance(root, where, lattice)
            law = torch.distributions.MultivariateNormal(
                g.new_zeros(len(covariance)), scale_tril=torch.linalg.cholesky(covariance)
            )
            normal = law.log_prob(g.flatten(1))
        return normal - slope.log().flatten(1).sum(1)

    def _unit_root(self, where: Tensor) -> Tensor:
        """The root of the cross-spectra ``(C, C, bins)`` that gives each channel of g variance 1 on this lattice."""
        where = where.to(self.spectrum.device)
        spectrum = self._of_lattice(where)
        root, power = cross_spectrum.root(spectrum), spectrum.diagonal().mT
        spread = torch.stack([channel[where].mean() for channel in power]).sqrt()
        return root / spread.clamp(min=1e-30)[:, None, None]

    def _of_lattice(self, where: Tensor) -> Tensor:
        """The cross-spectra ``(C, C, bins)`` on a lattice whose modes lie in these bins.

        Modes of long scales are few, and other ones on every lattice: what is kept is the covariance of all modes of a
        bin together. Bins in which the measured fields had no modes go with the nearest that had, and those in which
        this lattice has none with the nearest that has.
        """
        spectrum, share = self.spectrum.double(), self.share.double()
        if not bool(share.any()) or where.numel() == 1:
            return spectrum
        here = torch.bincount(where.flatten(), minlength=BINS).to(share) / where.numel()
        known, bins = share.nonzero()[:, 0], torch.arange(BINS, device=where.device)
        owner = (bins[:, None] - known).abs().argmin(1)  # of each bin, among those that are known
        modes = torch.zeros_like(share[known]).index_add(0, owner, here)
        there = modes.nonzero()[:, 0]
        heir = there[(known[:, None] - known[there]).abs().argmin(1)]  # of each that is known, one with modes here
        together = torch.zeros_like(spectrum[..., known]).index_add(-1, heir, (share * spectrum)[..., known])
        return (together / modes.clamp(min=1e-30))[..., heir[owner]]

    def _window_covariance(self, root: Tensor, where: Tensor, lattice: Lattice) -> Tensor:
        """The covariance of g on the window of a torus with these roots of cross-spectra, ``(C n, C n)``."""
        basis, size, channels = self.noise_modes, math.prod(lattice), len(root)
        if channels * size > WINDOW:
            raise InputError(
                f"the likelihood of a base field of {lattice} with edges needs a matrix of {channels * size} x "
                f"{channels * size}; cut the field into pieces with at most {WINDOW // channels} coarsest sites"
            )
        site = torch.zeros(1, 1, *where.shape, dtype=root.dtype, device=root.device)
        site[(0, 0, *[0] * len(lattice))] = 1
        modes, where = basis.analyze(site), where.to(root.device)
        grids = torch.meshgrid(*(torch.arange(n, device=root.device) for n in lattice), indexing="ij")
        places = torch.stack(grids).flatten(1)
        shifts = tuple((places[:, :, None] - places[:, None]).abs())  # even in each axis
        matrix = root.new_empty(channels, size, channels, size)
        for i, row in enumerate(torch.einsum("ikn,jkn->ijn", root, root)):
            for j, power in enumerate(row):
                matrix[i, :, j] = basis.synthesize(power[where] * modes)[0, 0][shifts]
        return matrix.reshape(channels * size, channels * size)

    def _cross_spectrum(self, x: Tensor) -> Tensor:
        """Mean products of coefficients by half-octave of |k|, ``(C, C, bins)``.

        Of fields about their common mean. A single one says nothing of the zero mode.
        """
        x = x - x.movedim(1, 0).flatten(1).mean(1).reshape(1, -1, *[1] * (x.dim() - 2))
        k = self.modes.wavenumber(tuple(x.shape[2:]))
        known = torch.ones_like(k) if len(x) > 1 or k.numel() == 1 else (k > 0).to(k)
        return cross_spectrum.measured(self.modes.analyze(x), _bin(k), known, BINS)


def _bin(k: Tensor) -> Tensor:
    """Half-octaves below the largest |k|.

    The zero mode stands for all that is longer than the lattice: it counts as half the smallest
    wavenumber, so that on a larger lattice its power lies in the modes that resolve it.
    """
    smallest = k[k > 0].min() if bool((k > 0).any()) else k.new_tensor(math.pi)
    bins = bin_of(k.clamp(min=float(smallest) / 2), math.pi * math.sqrt(max(1, k.dim())), BINS_PER_OCTAVE)
    return bins.clamp(0, BINS - 1)
