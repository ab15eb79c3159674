"""The first kernel: an exactly invertible split of a field into coarse field and detail."""

import abc
import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.errors import InputError

Lattice = tuple[int, ...]


class CoarseGraining(nn.Module, abc.ABC):
    """A renormalization operator R with its exact complement: ``merge(*split(x)) == x``.

    A field is ``(batch, channel, *lattice)`` with 1, 2 or 3 lattice axes. ``split``
    returns the coarse field ``(B, C, *L/b)`` and the detail ``(B, C * (b^d - 1), *L/b)``
    that the coarse field has lost; detail channels are ordered channel-major.
    """

    factor: int
    """b: how many sites along each axis become one."""

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

    def bands(self, dimension: int) -> int:
        """b^d - 1: how many detail channels go with each channel of the field."""
        return self.factor**dimension - 1

    def gain(self, dimension: int) -> float:
        """The coarse value of the constant field 1, b^(d/2) unless an operator says otherwise.

        A user's coarse field is the block mean: the orthonormal one over this gain.
        """
        return self.factor ** (dimension / 2)

    @property
    def place(self) -> float:
        """Where the first coarse site lies, in fine sites from the first fine one: the middle of its b sites."""
        return (self.factor - 1) / 2

    def place_after(self, levels: int) -> float:
        """The same for a field that has been coarse-grained ``levels`` times, in sites of the finest."""
        return self.place * (self.factor**levels - 1) / (self.factor - 1)

    def check(self, lattice: Lattice) -> None:
        """Raise ``ValueError`` if a field of this lattice cannot be split."""
        if not 1 <= len(lattice) <= 3:
            raise InputError(f"the lattice {lattice} has {len(lattice)} axes; 1, 2 or 3 are supported")
        if any(n % self.factor for n in lattice):
            fits = tuple(max(self.factor, n - n % self.factor) for n in lattice)
            raise InputError(f"the lattice {lattice} is not divisible by the factor {self.factor}; {fits} would be")

    @torch.no_grad()
    def check_orthonormal(self, dimension: int) -> None:
        """Raise ``ValueError`` if the split does not keep lengths or is not undone, seen on one small field."""
        lattice = (4 * self.factor,) * dimension
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
        except ValueError as error:
            volume = self._log_volume(dimension)
            if abs(volume) > 1e-6:
                raise InputError(f"{error} (its Jacobian has the determinant exp({volume:.3g}), not 1)") from None

    def _log_volume(self, dimension: int) -> float:
        """``log |det|`` of the Jacobian of the split at one small field, infinite if merging does not undo it."""
        lattice = ((4 if dimension < 3 else 2) * self.factor,) * dimension
        x = torch.sin(torch.arange(math.prod(lattice), dtype=torch.float64).square())

        def whole(flat: Tensor) -> Tensor:
            return torch.cat([part.flatten() for part in self.split(flat.reshape(1, 1, *lattice))])

        with torch.no_grad():
            again = self.merge(*self.split(x.reshape(1, 1, *lattice))).flatten()
        if float((again - x).abs().max()) > 1e-6:
            return math.inf
        jacobian = torch.autograd.functional.jacobian(whole, x)
        return float(torch.linalg.slogdet(jacobian)[1])  # pyright: ignore[reportArgumentType]


class Orthonormal(CoarseGraining):
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

    def split(self, x: Float[Tensor, "B C *F"]) -> tuple[Float[Tensor, "B C *K"], Float[Tensor, "B D *K"]]:
        lattice = tuple(x.shape[2:])
        self.check(lattice)
        for i in range(len(lattice)):  # (B, C, i bands, i coarse axes, fine axes)
            bands = self.analyze_axis(x.movedim(2 + 2 * i, -1))
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
        x = x.unflatten(2, (self.factor,) * d)
        for i in reversed(range(d)):
            bands = x.movedim((2 + i, 3 + 2 * i), (-2, -1))
            x = self.synthesize_axis(bands).movedim(-1, 2 + 2 * i)
        return x

    def dense(self, lattice: Lattice) -> Float[Tensor, "N N"]:
        """The whole split as a matrix on the flattened field, coarse rows first (small lattices only)."""
        n = math.prod(lattice)
        eye = torch.eye(n, dtype=torch.float64).reshape(n, 1, *lattice)
        coarse, detail = self.split(eye)
        return torch.cat([coarse.reshape(n, -1), detail.reshape(n, -1)], 1).T


def check_lattice_depth(operator: CoarseGraining, lattice: Lattice, levels: int) -> None:
    """Raise ``ValueError`` with the largest depth that fits if ``lattice`` cannot be coarsened ``levels`` times."""
    fits = 0
    while fits < levels and all(n % operator.factor ** (fits + 1) == 0 for n in lattice):
        fits += 1
    if fits < levels:
        step = operator.factor**levels
        near = tuple(max(step, n - n % step) for n in lattice)
        levels_that_fit = f"{fits} level{'' if fits == 1 else 's'}"
        fewer = f"use {levels_that_fit}, or a lattice" if fits else "use a lattice"
        raise InputError(
            f"a lattice of {lattice} fits {levels_that_fit} of factor {operator.factor}, not {levels}; "
            f"{fewer} such as {near}"
        )
