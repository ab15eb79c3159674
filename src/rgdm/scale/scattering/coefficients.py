"""Wavelet scattering: what the moduli of a field's bands say about it beyond its spectrum."""

import itertools
from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn

from rgdm.errors import InputError
from rgdm.scale.boundary import Boundaries, boundary_of_each, check_boundary
from rgdm.scale.coarse_graining import Lattice
from rgdm.scale.scattering.morlet import morlet_filters


class Path(NamedTuple):
    """Which wavelets a scattering coefficient has passed: none, ``(j1, l1)``, or ``(j2, l2)`` after it."""

    order: int
    j1: int | None = None
    l1: int | None = None
    j2: int | None = None
    l2: int | None = None


class Moment(NamedTuple):
    """What a number of :meth:`Scattering.covariances` is, and its bands ``(j, l)`` in the order of the formula."""

    kind: Literal["mean", "low", "C00", "S1", "C01", "C11"]
    part: Literal["real", "imaginary"] = "real"
    bands: tuple[tuple[int, int], ...] = ()


class Scattering(nn.Module):
    """Scattering of first and second order by Morlet wavelets, in one or two dimensions.

    ``psi_jl``, j = 0..J-1 from fine to coarse, has the Fourier transform
    ``c (G(2^j R_l k - xi e) - kappa_j G(2^j R_l k))``, summed over the zones ``k + 2 pi Z^d``: G is Gaussian, kappa_j
    makes the mean zero, R_l turns the direction ``pi l / L`` from the first axis to e, and xi is ``CENTRE``. The
    envelope of j = 0 is ``WIDTH`` sites wide along e, ``WIDTH / min(3/2, 6/L)`` across. There is one wavelet an octave,
    and in one dimension one direction, whatever ``angles``. The low-pass ``phi_J`` is a Gaussian of
    ``LOW_PASS_WIDTH 2^J`` sites with mean 1.

    c is (but for 0.1 %) the largest for which ``|phi_J|^2 + sum_jl (|psi_jl(k)|^2 + |psi_jl(-k)|^2) / 2 <= 1`` at every
    k, so that the bands of a real field never hold more than the field, and since ``||a| - |b|| <= |a - b|`` local
    coefficients are a contraction, ``||S x - S y|| <= ||x - y||``. c is the same on every lattice.

    On a ``reflect`` lattice the field is continued evenly to twice its length along each axis, transformed as
    periodic, and cropped.

    Mallat 2012, Comm. Pure Appl. Math. 65, 1331; Bruna & Mallat 2013, IEEE Trans. PAMI 35, 1872.
    """

    def __init__(self, scales: int, angles: int = 4, boundary: Boundaries = "periodic") -> None:
        super().__init__()
        if scales < 1:
            raise InputError(f"{scales} scales; scattering needs at least 1")
        if angles < 1:
            raise InputError(f"{angles} angles; scattering needs at least 1")
        for side in (boundary,) if isinstance(boundary, str) else boundary:
            check_boundary(side)
        self.scales = scales
        self.angles = angles
        self.boundary: Boundaries = boundary

    def forward(self, x: Float[Tensor, "B C *L"]) -> Float[Tensor, "B C K"]:
        """Means over the sites of ``x``, ``|x * psi_1|`` and ``||x * psi_1| * psi_2|``, j2 > j1: see :meth:`names`.

        On a ``periodic`` lattice no translation changes them. Half precision is computed and returned in float32.
        """
        lattice = self._check(x)
        axes = tuple(range(-len(lattice), 0))
        return torch.cat([_crop(u, lattice).mean(axes) for u in self._propagate(x)], 2)

    def local(self, x: Float[Tensor, "B C *L"]) -> Float[Tensor, "B C K *L"]:
        """The same with ``* phi_J`` instead of the mean, at every site.

        Translations much smaller than 2^J hardly change it. On a ``periodic`` lattice its means are the coefficients.
        """
        lattice = self._check(x)
        low = self._cast_filters(self._torus(lattice), x)[1]
        return torch.cat([self._smooth(u, low, lattice) for u in self._propagate(x)], 2)

    def names(self, dimension: int) -> list[Path]:
        """The K paths of the coefficients, in their order."""
        bands = self._bands(dimension)
        pairs = [(a, b) for a, b in itertools.product(bands, bands) if b[0] > a[0]]
        return [Path(0), *(Path(1, *band) for band in bands), *(Path(2, *a, *b) for a, b in pairs)]

    def covariances(self, x: Float[Tensor, "B C *L"]) -> Float[Tensor, "B C K"]:
        """Scattering covariances, means ``<>`` over the sites of each sample and channel.

        With ``W_a = x * psi_a``, ``a = (j, l)``, and x less its mean in all but the first::

            mean                            <x>
            low                             <(x * phi_J)^2>
            C00(a)                          <|W_a|^2>
            S1(a)                           <|W_a|> / sqrt(C00(a))
            C01(b, a),      j_b <= j_a      <W_a^* (|W_b| * psi_a)> / sqrt(C00(a) C00(b))
            C11(b, c, a),   j_b <= j_c < j_a,  l_b = l_c
                                            <(|W_b| * psi_a) (|W_c| * psi_a)^*> / sqrt(C00(b) C00(c))

        Complex ones are two numbers, real and imaginary part; C11 with b = c is real. C01 has a phase, so that it sees
        what is skewed or irreversible; C11 is how the envelopes of two bands vary together. The set is smaller than
        that of the papers by ``l_b = l_c`` and ``j_c < j_a``. Order as in :meth:`covariance_names`.

        Morel, Rochette, Leonarduzzi, Bouchaud & Mallat 2022, arXiv:2204.10177; Cheng, Morel, Allys, Menard & Mallat
        2023, arXiv:2306.17210.
        """
        lattice = self._check(x)
        axes = tuple(range(-len(lattice), 0))
        x = _single(x)
        mean = x.mean(axes, keepdim=True)
        torus = self._torus(lattice)
        psi, phi = self._cast_filters(torus, x)
        spectrum = torch.fft.fftn(_continue(x - mean, torus), dim=axes, norm="forward")[:, :, None]
        low = _crop(torch.fft.ifftn(spectrum * phi, dim=axes, norm="forward").real, lattice).square().mean(axes)
        modulus = torch.fft.ifftn(spectrum * psi.flatten(0, 1), dim=axes, norm="forward").abs()
        inside = _crop(modulus, lattice)
        power = inside.square().mean(axes)
        scale = power.clamp_min(torch.finfo(x.dtype).tiny).sqrt()
        coefficients = [mean.flatten(2), low, power, inside.mean(axes) / scale]
        envelope = torch.fft.fftn(modulus, dim=axes, norm="forward")
        by_scale = scale.unflatten(2, psi.shape[:2])
        for j in range(self.scales):
            finer = (j + 1) * psi.shape[1]
            unit = scale[:, :, :finer, None] * by_scale[:, :, None, j]
            covariance = _band_covariance(spectrum, envelope[:, :, :finer], psi[j], lattice)
            coefficients.append((covariance / unit[..., None]).flatten(2))
        for j in range(1, self.scales):
            same, b, c = self._envelope_pairs(j, psi.shape[1])
            covariance = _band_covariance(envelope[:, :, same], envelope[:, :, same], psi[j], lattice)[..., 0]
            coefficients.append((covariance / scale[:, :, same, None].square()).flatten(2))
            if b:
                unit = scale[:, :, b] * scale[:, :, c]
                covariance = _band_covariance(envelope[:, :, c], envelope[:, :, b], psi[j], lattice)
                coefficients.append((covariance / unit[..., None, None]).flatten(2))
        return torch.cat(coefficients, 2)

    def covariance_names(self, dimension: int) -> list[Moment]:
        """What each number of :meth:`covariances` is."""
        bands = self._bands(dimension)
        directions = len(bands) // self.scales
        parts: tuple[Literal["real"], Literal["imaginary"]] = "real", "imaginary"
        moments = [Moment("mean"), Moment("low"), *(Moment("C00", bands=(a,)) for a in bands)]
        moments += [Moment("S1", bands=(a,)) for a in bands]
        for j in range(self.scales):
            pairs = [(b, (j, direction)) for b in bands if b[0] <= j for direction in range(directions)]
            moments += [Moment("C01", part, pair) for pair in pairs for part in parts]
        for j in range(1, self.scales):
            same, first, second = self._envelope_pairs(j, directions)
            a = [(j, direction) for direction in range(directions)]
            moments += [Moment("C11", "real", (bands[b], bands[b], each)) for b in same for each in a]
            pairs = [(bands[b], bands[c]) for b, c in zip(first, second, strict=True)]
            moments += [Moment("C11", part, (*pair, each)) for pair in pairs for each in a for part in parts]
        return moments

    def filters(self, lattice: Lattice) -> tuple[Float[Tensor, "J A *L"], Float[Tensor, "*L"]]:
        """The transforms of ``psi_jl`` and ``phi_J`` on a periodic lattice, real, float64, in the order of the FFT."""
        psi, phi = morlet_filters(
            lattice, self.scales, self._directions(len(lattice)), torch.float64, torch.device("cpu")
        )
        return psi.clone(), phi.clone()

    @staticmethod
    def _smooth(u: Tensor, low: Tensor, lattice: Lattice) -> Tensor:
        """``u * phi_J``, of which only the lattice itself is kept."""
        axes = tuple(range(-len(lattice), 0))
        return _crop(torch.fft.ifftn(torch.fft.fftn(u, dim=axes) * low, dim=axes).real, lattice).contiguous()

    def _propagate(self, x: Tensor) -> Iterator[Tensor]:
        """x, all first moduli, and the second moduli of each first one, ``(B, C, P, *torus)``."""
        lattice = tuple(x.shape[2:])
        axes = tuple(range(-len(lattice), 0))
        torus = self._torus(lattice)
        x = _continue(_single(x), torus)
        psi, _ = self._cast_filters(torus, x)
        yield x[:, :, None]
        first = torch.fft.ifftn(torch.fft.fftn(x, dim=axes)[:, :, None] * psi.flatten(0, 1), dim=axes).abs()
        yield first
        for i in range((self.scales - 1) * psi.shape[1]):
            spectrum = torch.fft.fftn(first[:, :, i], dim=axes)[:, :, None]
            yield torch.fft.ifftn(spectrum * psi[i // psi.shape[1] + 1 :].flatten(0, 1), dim=axes).abs()

    def _envelope_pairs(self, j: int, directions: int) -> tuple[list[int], list[int], list[int]]:
        """Flat indices of the bands finer than j, and of pairs (b, c) of them of one direction with j_b < j_c."""
        pairs = list(itertools.product(itertools.combinations(range(j), 2), range(directions)))
        first, second = ([scales[i] * directions + direction for scales, direction in pairs] for i in (0, 1))
        return list(range(j * directions)), first, second

    def _bands(self, dimension: int) -> list[tuple[int, int]]:
        return list(itertools.product(range(self.scales), range(self._directions(dimension))))

    def _directions(self, dimension: int) -> int:
        if dimension not in (1, 2):
            raise InputError(f"the dimension is {dimension}; scattering takes fields of 1 or 2 (planes of a volume do)")
        return self.angles if dimension == 2 else 1

    @property
    def narrowest(self) -> int:
        """The fewest sites along an axis that all scales fit on."""
        return 2**self.scales

    def check(self, lattice: Lattice) -> None:
        """``ValueError`` if the scales exceed the lattice, or it has neither one nor two dimensions."""
        self._directions(len(lattice))
        if min(lattice) < self.narrowest:
            fit = max(min(lattice), 1).bit_length() - 1
            raise InputError(
                f"{self.scales} scales need {self.narrowest} sites along each axis; "
                f"the lattice {lattice} has room for {fit}"
            )

    def _check(self, x: Tensor) -> Lattice:
        lattice = tuple(x.shape[2:])
        self.check(lattice)
        return lattice

    def _torus(self, lattice: Lattice) -> Lattice:
        axes = zip(lattice, boundary_of_each(self.boundary, len(lattice)), strict=True)
        return tuple(n if side == "periodic" else 2 * n for n, side in axes)

    def _cast_filters(self, torus: Lattice, x: Tensor) -> tuple[Tensor, Tensor]:
        return morlet_filters(torus, self.scales, self._directions(len(torus)), _single(x[:0]).dtype, x.device)


def _single(x: Tensor) -> Tensor:
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def _continue(x: Tensor, torus: Lattice) -> Tensor:
    for axis in range(2, x.dim()):
        if x.shape[axis] < torus[axis - 2]:
            x = torch.cat([x, x.flip(axis)], axis)
    return x


def _crop(x: Tensor, lattice: Lattice) -> Tensor:
    return x[(..., *(slice(n) for n in lattice))]


def _band_covariance(
    a: Complex[Tensor, "B C #P *E"], b: Complex[Tensor, "B C P *E"], psi: Float[Tensor, "A *E"], lattice: Lattice
) -> Float[Tensor, "B C P A 2"]:
    """``<(a * psi)^* (b * psi)>`` over the lattice, from the transforms; on a whole torus by Parseval's theorem."""
    axes = tuple(range(-len(lattice), 0))
    if tuple(psi.shape[1:]) == lattice:
        product = torch.view_as_real((a.conj() * b).flatten(3))
        with torch.autocast(a.device.type, enabled=False):
            return torch.einsum("bcpnr,an->bcpar", product, psi.flatten(1).square())
    first, second = (torch.fft.ifftn(w[:, :, :, None] * psi, dim=axes, norm="forward") for w in (a, b))
    return torch.view_as_real((_crop(first, lattice).conj() * _crop(second, lattice)).mean(axes))
