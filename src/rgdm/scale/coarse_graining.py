"""The first kernel: an exactly invertible split of a field into coarse field and detail."""

import abc
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.design import Factor
from rgdm.errors import InputError
from rgdm.notes import option
from rgdm.scale.grid import in_words

Lattice = tuple[int, ...]


class CoarseGraining(nn.Module, abc.ABC):
    """A renormalization operator R with its exact complement: ``merge(*split(x)) == x``.

    A field is ``(batch, channel, *lattice)`` with 1, 2 or 3 lattice axes. ``split``
    returns the coarse field ``(B, C, *L/b)`` and the detail ``(B, C * (b^d - 1), *L/b)``
    that the coarse field has lost; detail channels are ordered channel-major.
    """

    factor: int
    """b: how many sites along an axis become one, of an operator that treats all axes alike."""
    blockwise: bool = False
    """Whether a coarse value depends on the sites of its own block alone."""

    @abc.abstractmethod
    def split(self, x: Float[Tensor, "B C *F"]) -> tuple[Float[Tensor, "B C *K"], Float[Tensor, "B D *K"]]:
        """Take a field apart: ``x -> (coarse, detail)``."""

    @abc.abstractmethod
    def merge(self, coarse: Float[Tensor, "B C *K"], detail: Float[Tensor, "B D *K"]) -> Float[Tensor, "B C *F"]:
        """Put a field together again: the inverse of ``split``."""

    def coarsen(self, x: Float[Tensor, "B C *F"]) -> Float[Tensor, "B C *K"]:
        """R x, the coarse field alone."""
        return self.split(x)[0]

    def prolong(self, coarse: Float[Tensor, "B C *K"]) -> Float[Tensor, "B C *F"]:
        """The fine field without detail; R^T for an orthonormal split."""
        b, c, *lattice = coarse.shape
        return self.merge(coarse, coarse.new_zeros(b, c * self.bands(len(lattice)), *lattice))

    def factors(self, dimension: int) -> tuple[int, ...]:
        """b of each axis."""
        return (self.factor,) * dimension

    def bands(self, dimension: int) -> int:
        """How many detail channels go with each channel of the field: the product of the factors, less 1."""
        return math.prod(self.factors(dimension)) - 1

    def gain(self, dimension: int) -> float:
        """The coarse value of the constant field 1: the root of the product of the factors, unless redefined.

        A user's coarse field is the block mean: the orthonormal one over this gain.
        """
        return math.prod(self.factors(dimension)) ** 0.5

    def at(self, level: int) -> "CoarseGraining":
        """The operator from ``level`` to the next, of one that may differ by level; this one, if it does not."""
        return self

    def gain_to(self, dimension: int, level: int, power: int = 1) -> float:
        """The value at ``level`` of the field that is the constant 1 at level 0, to a power."""
        return self.gain(dimension) ** (power * level)

    def widths(self, dimension: int, levels: int) -> tuple[int, ...]:
        """How many sites of level 0 one of level ``levels`` is wide along each axis."""
        return tuple(b**levels for b in self.factors(dimension))

    def factors_of(self, dimension: int, levels: int) -> tuple[Factor, ...]:
        """The factors of so many levels for each axis: one number if they are equal, else one for each level."""
        each = zip(*(self.at(level).factors(dimension) for level in range(levels)), strict=True)
        return tuple(own[0] if len(set(own)) == 1 else own for own in each)

    def coarse_lattice(self, lattice: Sequence[int], levels: int = 1) -> Lattice:
        """The lattice of a field of level 0 that has been coarse-grained ``levels`` times."""
        return tuple(n // width for n, width in zip(lattice, self.widths(len(lattice), levels), strict=True))

    def fine_lattice(self, lattice: Sequence[int], levels: int = 1) -> Lattice:
        """The lattice of level 0 that becomes ``lattice`` in ``levels`` levels."""
        return tuple(n * width for n, width in zip(lattice, self.widths(len(lattice), levels), strict=True))

    @property
    def linear(self) -> "CoarseGraining":
        """An operator of the same coarse field whose detail is linear in the field, of whatever sign it is."""
        return self

    def amounts(self, coarse: Float[Tensor, "B C *K"], detail: Float[Tensor, "B D *K"]) -> Float[Tensor, "B D *K"]:
        """Detail as it shows in the field, in its unit: what is relative to the coarse field, times that."""
        return detail

    def on(self, weights: Float[Tensor, "B C *F"] | None) -> "CoarseGraining":
        """The same operator for fields that lie on a measure, such as those with missing values, of weight 0.

        ``weights`` are those of every fine site; None: all sites count alike.

        Raises:
            ValueError: if it has no form with weights.
        """
        if weights is None:
            return self
        raise InputError(
            f"{type(self).__name__} takes no missing values; block spins ({option('--operator block-spin')}) do, or "
            f"fill them ({option('--fill', 'rgdm.data.checks.fill_gaps')})"
        )

    @property
    def coarse_weights(self) -> Tensor | None:
        """The weight of every coarse site, of an operator :meth:`on` a measure."""
        return None

    @property
    def present(self) -> Tensor | None:
        """Which details there are, of an operator :meth:`on` a measure; None: all of them."""
        return None

    @property
    def place(self) -> float:
        """Where the first coarse site lies, in fine sites from the first fine one: the middle of its b sites."""
        return (self.factor - 1) / 2

    def places(self, dimension: int, levels: int = 1) -> tuple[float, ...]:
        """The same along each axis for a field that has been coarse-grained ``levels`` times, in finest sites."""
        return (self.place * (self.factor**levels - 1) / (self.factor - 1),) * dimension

    def check(self, lattice: Lattice) -> None:
        """Raise ``ValueError`` if a field of this lattice cannot be split."""
        if not 1 <= len(lattice) <= 3:
            raise InputError(f"the lattice {lattice} has {len(lattice)} axes; 1, 2 or 3 are supported")
        factors = self.factors(len(lattice))
        if any(n % b for n, b in zip(lattice, factors, strict=True)):
            fits = tuple(max(b, n - n % b) for n, b in zip(lattice, factors, strict=True))
            by = f"factor {factors[0]}" if len(set(factors)) == 1 else f"factors {factors}"
            raise InputError(f"the lattice {lattice} is not divisible by the {by}; {fits} would be")

    def check_depth(self, lattice: Lattice, levels: int) -> None:
        """Raise ``ValueError``, with the depth that fits, if ``lattice`` cannot be coarsened ``levels`` times."""
        dimension, depth = len(lattice), 0
        while depth < levels and _divides(self.widths(dimension, depth + 1), lattice):
            depth += 1
        if depth < levels:
            units = self.widths(dimension, levels)
            near = tuple(max(unit, n - n % unit) for n, unit in zip(lattice, units, strict=True))
            fits = f"{depth} level{'' if depth == 1 else 's'}"
            factors, own = self.factors_of(dimension, levels), ""
            if any(isinstance(b, tuple) for b in factors):
                own = f" of factor {in_words(self.factors_of(dimension, depth))}"
            fewer = f"use {fits}{own}, or a lattice" if depth else "use a lattice"
            by = f"factor{'s' * (len(set(factors)) > 1)} {in_words(factors)}"
            raise InputError(f"a lattice of {lattice} fits {fits} of {by}, not {levels}; {fewer} such as {near}")

    @torch.no_grad()
    def check_orthonormal(self, dimension: int) -> None:
        """Raise ``ValueError`` if the split does not keep lengths or is not undone, seen on one small field."""
        lattice = tuple(4 * b for b in self.factors(dimension))
        x = torch.sin(torch.arange(math.prod(lattice), dtype=torch.float64).square()).reshape(1, 1, *lattice)
        coarse, detail = self.split(x)
        ratio = float((coarse.square().sum() + detail.square().sum()) / x.square().sum())
        error = float((self.merge(coarse, detail) - x).abs().max())
        if not abs(ratio - 1) < 1e-6 or not error < 1e-6:
            raise InputError(
                f"{type(self).__name__} is not orthonormal: its split has {ratio:.6g} times the sum of squares of the "
                f"field, merging it is off by {error:.1e}; scale coarse field and detail so that both are kept"
            )

    def check_volume(self, dimension: int) -> None:
        """Raise ``ValueError`` unless the split keeps volumes and is undone, so that densities need no Jacobian.

        Seen on one small field: an orthonormal split by its lengths, another by the determinant of its Jacobian.
        """
        try:
            self.check_orthonormal(dimension)
        except InputError as error:
            volume = self._log_volume(dimension)
            if abs(volume) > 1e-6:
                raise InputError(f"{error} (its Jacobian has the determinant exp({volume:.3g}), not 1)") from None

    def _log_volume(self, dimension: int) -> float:
        """``log |det|`` of the Jacobian of the split at one small field, infinite if merging does not undo it."""
        lattice = tuple((4 if dimension < 3 else 2) * b for b in self.factors(dimension))
        x = torch.sin(torch.arange(math.prod(lattice), dtype=torch.float64).square())

        def whole(flat: Tensor) -> Tensor:
            return torch.cat([part.flatten() for part in self.split(flat.reshape(1, 1, *lattice))])

        with torch.no_grad():
            again = self.merge(*self.split(x.reshape(1, 1, *lattice))).flatten()
        if float((again - x).abs().max()) > 1e-6:
            return math.inf
        jacobian = torch.autograd.functional.jacobian(whole, x)
        return float(torch.linalg.slogdet(jacobian)[1])  # pyright: ignore[reportArgumentType]


def _divides(widths: Sequence[int], lattice: Lattice) -> bool:
    return all(n % width == 0 for n, width in zip(lattice, widths, strict=True))


class Separable(CoarseGraining):
    """A coarse-graining that takes one axis after the other, each by an orthonormal operator of one axis."""

    @abc.abstractmethod
    def along(self, axis: int) -> "Orthonormal":
        """The operator of one axis of the lattice."""

    def split(self, x: Float[Tensor, "B C *F"]) -> tuple[Float[Tensor, "B C *K"], Float[Tensor, "B D *K"]]:
        lattice = tuple(x.shape[2:])
        self.check(lattice)
        for i in range(len(lattice)):  # (B, C, i bands, i coarse axes, fine axes)
            bands = self.along(i).analyze_axis(x.movedim(2 + 2 * i, -1))
            x = bands.movedim((-2, -1), (2 + i, 3 + 2 * i))
        x = x.flatten(2, 1 + len(lattice))
        return x[:, :, 0], x[:, :, 1:].flatten(1, 2)

    def merge(self, coarse: Float[Tensor, "B C *K"], detail: Float[Tensor, "B D *K"]) -> Tensor:
        d, channels = coarse.dim() - 2, coarse.shape[1]
        if detail.shape != (coarse.shape[0], channels * self.bands(d), *coarse.shape[2:]):
            raise InputError(
                f"detail of shape {tuple(detail.shape)} does not fit coarse {tuple(coarse.shape)}: "
                f"expected {channels * self.bands(d)} channels on the same lattice"
            )
        x = torch.cat([coarse.unsqueeze(2), detail.unflatten(1, (channels, -1))], 2)
        x = x.unflatten(2, self.factors(d))
        for i in reversed(range(d)):
            bands = x.movedim((2 + i, 3 + 2 * i), (-2, -1))
            x = self.along(i).synthesize_axis(bands).movedim(-1, 2 + 2 * i)
        return x

    def dense(self, lattice: Lattice) -> Float[Tensor, "N N"]:
        """The whole split as a matrix on the flattened field, coarse rows first (small lattices only)."""
        n = math.prod(lattice)
        eye = torch.eye(n, dtype=torch.float64).reshape(n, 1, *lattice)
        coarse, detail = self.split(eye)
        return torch.cat([coarse.reshape(n, -1), detail.reshape(n, -1)], 1).T


class Orthonormal(Separable):
    """A separable coarse-graining given by one orthonormal matrix per axis, coarse rows first.

    A subclass defines :meth:`matrix`; that alone makes a complete operator. A fast
    path is added by overriding :meth:`analyze_axis` and :meth:`synthesize_axis`;
    the inherited ones multiply by the matrix and serve as the oracle of the tests.
    """

    def __init__(self, factor: int = 2) -> None:
        super().__init__()
        if factor < 2:
            raise InputError(f"the factor is {factor}; it must be at least 2")
        self.factor = factor

    @abc.abstractmethod
    def matrix(self, n: int) -> Float[Tensor, "n n"]:
        """The orthonormal matrix of an axis of n sites (float64): n/b coarse rows, then b - 1 bands."""

    def analyze_axis(self, x: Float[Tensor, "*rest n"]) -> Float[Tensor, "*rest b m"]:
        """Split the last axis into b bands of n/b coefficients, the coarse band first."""
        n = x.shape[-1]
        z = x @ self.matrix(n).to(x).T
        return z.unflatten(-1, (self.factor, n // self.factor))

    def synthesize_axis(self, z: Float[Tensor, "*rest b m"]) -> Float[Tensor, "*rest n"]:
        """The inverse (and transpose) of :meth:`analyze_axis`."""
        z = z.flatten(-2)
        return z @ self.matrix(z.shape[-1]).to(z)

    def along(self, axis: int) -> "Orthonormal":
        return self
