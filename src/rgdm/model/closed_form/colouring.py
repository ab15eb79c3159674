"""The correlations of what linear prediction leaves, as a local filter."""

import math

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn

from rgdm.errors import InputError
from rgdm.model.closed_form.stencil import Stencil, cut
from rgdm.scale.boundary import Boundaries, extend
from rgdm.scale.convolution import convolve

COVARIANCE_SITES = 2**20
"""Most sites of a block: larger fields are cut into blocks to measure their covariance, which saves memory."""
CHANCE = 2.0
"""Standard errors up to which a covariance counts as chance."""
FEWEST_PAIRS, FEWEST = 30, 0.1
"""Of fields with gaps a covariance counts as none that is from fewer pairs of sites, if these are less than a tenth of
the pairs of whole fields."""
LEAST = 0.05
"""Of the size of noise far from gaps, what is left at least beside them: no detail is enlarged by more."""
DENSE = 4096
"""Largest matrix (details of a field with edges) that is solved, and whose determinant is taken, directly."""
PROBED = 2**17
"""Random signs, in all, that estimate the determinant of a larger matrix: large lattices need few fields of them."""


class Colouring(nn.Module):
    """The local filter W with ``W W^T`` = covariance of a stationary residual: white noise in, residual out.

    W is the symmetric square root of the spectral density matrix S(k), cut to a
    stencil of the given radius; ``whiten`` is that of S(k)^(-1/2). Being a stencil it is a
    function of k, not of one lattice.
    """

    def __init__(self, channels: int, dimension: int, radius: int, boundary: Boundaries) -> None:
        super().__init__()
        self.colour = Stencil(channels, channels, dimension, radius, boundary)
        self.whiten = Stencil(channels, channels, dimension, radius, boundary)
        for stencil in (self.colour, self.whiten):
            centre = (slice(None), slice(None), *(radius,) * dimension)
            stencil.kernel[centre] = torch.eye(channels)

    def fit(self, residual: Float[Tensor, "B D *K"], present: Float[Tensor, "B D *K"] | None = None) -> None:
        """Measure S(k) from the covariances of the sites at hand and take its two roots.

        Of a residual that is 0 where it is not ``present``, from the pairs of those that are.

        S is held above its standard error, ``sum_s 1 / pairs(s)`` under the root in units of its
        mean: what little data say below that is chance, and its inverse root would amplify it.
        """
        covariance, error = self._covariance(residual, present)
        density = torch.fft.fftn(covariance, dim=tuple(range(2, covariance.dim()))).movedim((0, 1), (-2, -1))
        if present is not None and not bool(present.all()):
            density = _non_negative(density)
        self.set_density(density, max(1e-6, min(error, 1.0)))

    def set_density(self, density: Complex[Tensor, "*K D D"], floor: float) -> None:
        """Set both stencils to the roots of S(k), given on the grid of an FFT; S is held above ``floor`` of its mean.

        Raises:
            ValueError: if S is 0.
        """
        values, vectors = torch.linalg.eigh((density + density.mH) / 2)
        if not float(values.mean()) > 0:
            raise InputError("a level has no detail at all: the field looks enlarged; give it at its true resolution")
        values = values.clamp(min=floor * float(values.mean()))
        for stencil, root in ((self.colour, values.sqrt()), (self.whiten, values.rsqrt())):
            matrix = ((vectors * root.unsqueeze(-2).to(vectors)) @ vectors.mH).movedim((-2, -1), (0, 1))
            kernel = torch.fft.ifftn(matrix, dim=tuple(range(2, matrix.dim()))).real
            stencil.kernel.copy_(cut(kernel, stencil.radius))

    def normalise(self) -> None:
        """Scale W, and its inverse, so that what it makes of unit white noise has the variance 1 in every channel."""
        size = self.colour.kernel.flatten(1).norm(dim=1)
        ones = [1] * (self.colour.kernel.dim() - 2)
        self.colour.kernel /= size.reshape(-1, 1, *ones)
        self.whiten.kernel *= size.reshape(1, -1, *ones)

    def beside(self, present: Float[Tensor, "B D *K"]) -> Float[Tensor, "B D *K"]:
        """By how much ``colour`` of noise that is ``present`` alone must be enlarged to have the size that it has far
        from gaps."""
        kernel = self.colour.kernel.to(present).square()
        left = convolve(extend(present, self.colour.radius, self.colour.boundaries), kernel)
        whole = kernel.flatten(1).sum(1).reshape(-1, *[1] * (present.dim() - 2))
        return (whole / left.clamp(min=LEAST * float(whole.min()))).sqrt()

    def invert(self, y: Float[Tensor, "B D *K"]) -> tuple[Float[Tensor, "B D *K"], float, float]:
        """z with ``colour(z) = y`` (float64); ``log |det W|`` on this lattice, and the standard error of that.

        On a torus W is diagonal in Fourier modes, and all is exact; so it is between edges as long as the matrix is
        small. Beyond that z comes by ``z += (y - W z) / c``, which converges where W is well conditioned, and the
        determinant from the same series and random signs (Hutchinson 1990).
        """
        y = y.double()
        if set(self.colour.boundaries) == {"periodic"}:
            axes = tuple(range(2, y.dim()))
            symbol = self._symbol(tuple(y.shape[2:]))
            spectrum = torch.fft.fftn(y, dim=axes).movedim(1, -1)
            z = torch.linalg.solve(symbol, spectrum.unsqueeze(-1)).squeeze(-1).movedim(-1, 1)
            return torch.fft.ifftn(z, dim=axes).real, float(torch.linalg.slogdet(symbol).logabsdet.sum()), 0.0
        size = y[0].numel()
        if size <= DENSE:
            matrix = self._matrix(tuple(y.shape[2:]))
            factors, pivots, _ = torch.linalg.lu_factor_ex(matrix)
            if not float(factors.diagonal().abs().min()) > 1e-12 * float(matrix.abs().max()):
                raise InputError(
                    "the colouring filter removes a mode, so it has no inverse; fit the lift on more fields"
                )
            z = torch.linalg.lu_solve(factors, pivots, y.flatten(1).T).T.reshape(y.shape)
            return z, float(factors.diagonal().abs().log().sum()), 0.0
        values = torch.linalg.eigvals(self._symbol((4 * self.colour.radius + 1,) * (y.dim() - 2))).real
        centre = float(values.max() + values.min()) / 2
        z, _ = self._series(y, centre, 1e-12)
        generator = torch.Generator().manual_seed(0)
        count = min(16, max(2, PROBED // size))
        probes = (2 * torch.randint(0, 2, (count, *y.shape[1:]), generator=generator) - 1).to(y)
        traces = size * math.log(centre) - self._series(probes, centre, 1e-4)[1]
        return z, float(traces.mean()), float(traces.std()) / len(probes) ** 0.5

    def _series(self, y: Tensor, centre: float, until: float, most: int = 400) -> tuple[Tensor, Tensor]:
        """``sum_m E^m y / c`` with ``E = 1 - W / c``, which is ``W^-1 y``, and ``sum_m y.E^m y / m``, each field.

        It stops where a term is ``until`` of the first.
        """
        term, total, trace = y, y.clone(), y.new_zeros(len(y))
        for m in range(1, most + 1):
            term = term - self.colour(term) / centre
            total += term
            trace += (term * y).flatten(1).sum(1) / m
            if bool((term.flatten(1).norm(dim=1) <= until * y.flatten(1).norm(dim=1)).all()):
                return total / centre, trace
        raise InputError(
            f"the colouring filter of {y[0].numel()} details could not be inverted in {most} steps, for it nearly "
            f"removes some modes; cut the field into pieces of at most {DENSE} details, which are solved exactly"
        )

    def _matrix(self, lattice: tuple[int, ...]) -> Tensor:
        """W on fields of this lattice, ``(D * sites, D * sites)``: its answers to impulses, a few hundred at a time."""
        size = len(self.colour.kernel) * math.prod(lattice)
        impulses = torch.eye(size, dtype=torch.float64, device=self.colour.kernel.device)
        answers = [self.colour(part.unflatten(1, (-1, *lattice))).flatten(1) for part in impulses.split(256)]
        return torch.cat(answers).T

    def _symbol(self, lattice: tuple[int, ...]) -> Tensor:
        """W as a matrix for each Fourier mode of a torus, ``(*lattice, D, D)``."""
        kernel, radius = self.colour.kernel.double(), self.colour.radius
        for axis, n in enumerate(lattice, start=2):
            wrapped = torch.zeros(*kernel.shape[:axis], n, *kernel.shape[axis + 1 :]).to(kernel)
            places = torch.arange(-radius, radius + 1, device=kernel.device) % n
            kernel = wrapped.index_add(axis, places, kernel)
        spectrum = torch.fft.fftn(kernel, dim=tuple(range(2, kernel.dim()))).conj()
        return spectrum.movedim((0, 1), (-2, -1))

    def _covariance(self, x: Tensor, present: Tensor | None = None) -> tuple[Tensor, float]:
        """C_ab(shift), ``(D, D, *grid)``, the shifts of each axis in the order of the FFT; relative error of S(k)."""
        small = x[0, 0].numel() <= COVARIANCE_SITES
        wraps = [small and side == "periodic" for side in self.colour.boundaries]
        x = _blocks(x, COVARIANCE_SITES)
        lattice, axes = tuple(x.shape[2:]), tuple(range(2, x.dim()))
        size = tuple(n if wrap else 2 * n for n, wrap in zip(lattice, wraps, strict=True))
        pairs = x.shape[0] * _products(torch.ones(1, 1, *lattice, device=x.device), size)
        covariance = _products(x, size)
        if present is None:
            covariance = covariance / pairs.clamp(min=0.5)
        else:
            there = _products(_blocks(present, COVARIANCE_SITES), size).round()
            enough = there >= (FEWEST * pairs).clamp(max=FEWEST_PAIRS)
            enough[(..., *(0,) * len(lattice))] = True
            covariance, pairs = (covariance / there.clamp(min=1)).where(enough, 0.0), there.clamp(min=1)
        for axis, n, period, wrap in zip(axes, lattice, size, wraps, strict=True):
            taken = (self._shifts(n, wrap) % period).to(x.device)
            covariance, pairs = covariance.index_select(axis, taken), pairs.index_select(axis, taken)
        mirrored = covariance.transpose(0, 1)  # C(-s) = C(s)^T: average the two estimates
        for axis in axes:
            grid = covariance.shape[axis]
            mirrored = mirrored.index_select(axis, (-torch.arange(grid) % grid).to(x.device))
        error = pairs.reciprocal().flatten(2).sum(2).diagonal().mean().sqrt()
        return _significant((covariance + mirrored) / 2, pairs), float(error)

    def _shifts(self, n: int, wrap: bool) -> Tensor:
        """The shifts to measure on an axis of n sites: those within two radii, or all of a smaller torus.

        Between edges at most a third of the axis, so that most sites have a partner.
        """
        reach = 2 * self.colour.radius
        if wrap and n <= 2 * reach + 1:
            return torch.arange(n)
        reach = min(reach, n // 3)
        return torch.fft.ifftshift(torch.arange(-reach, reach + 1))


def _non_negative(density: Complex[Tensor, "*K D D"]) -> Complex[Tensor, "*K D D"]:
    """A density with no negative power, of the same variances: pairs that are missing leave one that has."""
    axes = tuple(range(density.dim() - 2))
    values, vectors = torch.linalg.eigh((density + density.mH) / 2)
    made = (vectors * values.clamp(min=0).unsqueeze(-2).to(vectors)) @ vectors.mH
    before, after = (x.diagonal(dim1=-2, dim2=-1).real.mean(axes) for x in (density, made))
    scale = (before / after.clamp(min=1e-30)).sqrt().to(made)
    return scale[:, None] * made * scale


def _products(x: Float[Tensor, "B D *K"], size: tuple[int, ...]) -> Float[Tensor, "D D *P"]:
    """``sum x_a(i) x_b(i + shift)`` over sites and samples, the shifts those of an FFT of this size."""
    axes, total = tuple(range(2, x.dim())), torch.zeros((), dtype=torch.float64, device=x.device)
    for part in x.split(max(1, 2 * COVARIANCE_SITES // x[0, 0].numel())):
        spectrum = torch.fft.fftn(part.double(), s=size, dim=axes)
        product = torch.einsum("ba...,bc...->ac...", spectrum.conj(), spectrum)
        total = total + torch.fft.ifftn(product, dim=axes).real
    return total


def _significant(covariance: Tensor, pairs: Tensor) -> Tensor:
    """The covariances without what is chance.

    Shrunk by ``1 - (CHANCE * error / C)^2`` each, the variances apart, where an estimate from n pairs of sites has the
    error ``sqrt(C_aa C_bb / n)``: a whitened level has many shifts and few correlations, and the noise of all of them
    would cost more than what they tell (James & Stein 1961; cut off as in Gao & Bruce 1997, Stat. Sinica 7, 855).
    """
    dimension = covariance.dim() - 2
    origin = (..., *(0,) * dimension)
    size = covariance[origin].diagonal().clamp(min=0).sqrt()
    error = (size[:, None] * size).reshape(len(size), len(size), *[1] * dimension) / pairs.sqrt()
    kept = (1 - (CHANCE * error / covariance).square()).clamp(min=0).nan_to_num()
    kept[origin] = torch.where(torch.eye(len(size), device=kept.device) > 0, 1.0, kept[origin])
    return covariance * kept


def _blocks(x: Tensor, sites: int) -> Tensor:
    """The same field in blocks of at most so many sites, as samples; an odd last site is left out."""
    while x[0, 0].numel() > sites:
        axis = 2 + int(torch.tensor(x.shape[2:]).argmax())
        x = torch.cat(list(x.split(x.shape[axis] // 2, axis))[:2])
    return x
