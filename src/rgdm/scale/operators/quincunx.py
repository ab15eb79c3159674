"""Decimation of the square lattice by checkerboards, a factor sqrt(2) at a stage."""

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.scale.coarse_graining import Lattice
from rgdm.scale.operators.block import Decimation


class Quincunx(Decimation):
    """Decimation by 2 in two dimensions, taken in two stages of factor sqrt(2).

    Stage one keeps the even sublattice, the sites (x, y) with x + y even, and drops the odd one; stage two
    keeps of the even sublattice the sites with both coordinates even and drops the centres, both odd. The
    coarse field is that of ``Decimation(2)``; its detail bands come in the order in which a lift puts them
    back: (odd, odd) of stage two, then (even, odd) and (odd, even) of stage one. The split is a permutation.
    ``matrix``, ``analyze_axis`` and ``synthesize_axis`` remain those of one axis of ``Decimation(2)``; that
    the split is no product of axes shows in the order of its bands alone, as ``dense`` has it.

    Sublattices are ``(B, 2C, n/2, m/2)``, channel-major: even [(even, even), (odd, odd)], odd [(even, odd),
    (odd, even)]. All nearest neighbours of an odd site are even: under a nearest-neighbour action the odd
    sites given the even ones are independent, each with a law that depends on :meth:`surroundings` alone.
    After stage one the action of the even sublattice has further couplings, so that stage two has no such law.

    Kovacevic & Vetterli 1992, IEEE Trans. Inf. Theory 38, 533 (quincunx sampling); Wilson 1975, Rev. Mod.
    Phys. 47, 773, sect. VI (the Ising model decimated by sqrt(2)).
    """

    def __init__(self) -> None:
        super().__init__(2)

    def bands(self, dimension: int) -> int:
        """3; raises ``ValueError`` unless the dimension is 2."""
        if dimension != 2:
            raise InputError(f"the dimension is {dimension}; a quincunx has 2 (decimation takes 1, 2 or 3)")
        return 3

    def check(self, lattice: Lattice) -> None:
        """Raise ``ValueError`` unless the lattice has two axes of even length."""
        if len(lattice) != 2:
            raise InputError(
                f"the lattice {lattice} has {len(lattice)} axes; a quincunx has 2 (Decimation takes 1, 2 or 3)"
            )
        super().check(lattice)

    def split(self, x: Float[Tensor, "B C *F"]) -> tuple[Float[Tensor, "B C *K"], Float[Tensor, "B D *K"]]:
        coarse, detail = super().split(x)  # (even, odd), (odd, even), (odd, odd)
        return coarse, detail.unflatten(1, (-1, 3)).roll(1, 2).flatten(1, 2)

    def merge(self, coarse: Float[Tensor, "B C *K"], detail: Float[Tensor, "B D *K"]) -> Tensor:
        if detail.shape[1] == 3 * coarse.shape[1]:  # the inherited merge refuses any other
            detail = detail.unflatten(1, (-1, 3)).roll(-1, 2).flatten(1, 2)
        return super().merge(coarse, detail)

    def split_checkerboard(self, x: Float[Tensor, "B C *F"]) -> tuple[Float[Tensor, "B P *K"], Float[Tensor, "B P *K"]]:
        """Stage one: a field to its even and odd sublattices, ``P = 2C``."""
        self.check(tuple(x.shape[2:]))
        even = torch.stack([x[..., ::2, ::2], x[..., 1::2, 1::2]], 2)
        odd = torch.stack([x[..., ::2, 1::2], x[..., 1::2, ::2]], 2)
        return even.flatten(1, 2), odd.flatten(1, 2)

    def merge_checkerboard(self, even: Float[Tensor, "B P *K"], odd: Float[Tensor, "B P *K"]) -> Tensor:
        """The inverse of :meth:`split_checkerboard`; raises ``ValueError`` if the two differ in shape."""
        _check_alike(even, odd)
        coarse, centres = self.split_even(even)
        return self.merge(coarse, torch.cat([centres.unsqueeze(2), odd.unflatten(1, (-1, 2))], 2).flatten(1, 2))

    def split_even(self, even: Float[Tensor, "B P *K"]) -> tuple[Float[Tensor, "B C *K"], Float[Tensor, "B C *K"]]:
        """Stage two: the even sublattice to the coarse field and the centres, ``P = 2C``; else ``ValueError``."""
        if even.dim() != 4 or even.shape[1] % 2:
            raise InputError(
                f"a sublattice of shape {tuple(even.shape)}; (batch, 2 * channels, n / 2, m / 2) is needed"
            )
        coarse, centres = even.unflatten(1, (-1, 2)).unbind(2)
        return coarse, centres

    def merge_even(self, coarse: Float[Tensor, "B C *K"], centres: Float[Tensor, "B C *K"]) -> Float[Tensor, "B P *K"]:
        """The inverse of :meth:`split_even`; raises ``ValueError`` if the two differ in shape."""
        _check_alike(coarse, centres)
        return torch.stack([coarse, centres], 2).flatten(1, 2)

    def surroundings(self, even: Float[Tensor, "B P *K"]) -> Float[Tensor, "B P *K"]:
        """The sum of the four nearest neighbours of each odd site, on the periodic lattice.

        An axis of two sites has the same neighbour on both sides, which counts twice, as in ``Phi4``.
        """
        coarse, centres = self.split_even(even)
        both = coarse + centres
        even_odd = both + coarse.roll(-1, 3) + centres.roll(1, 2)
        odd_even = both + coarse.roll(-1, 2) + centres.roll(1, 3)
        return torch.stack([even_odd, odd_even], 2).flatten(1, 2)

    def diagonal_surroundings(self, coarse: Float[Tensor, "B C *K"]) -> Float[Tensor, "B C *K"]:
        """The sum of the four coarse sites around each centre: its neighbours at distance sqrt(2), periodic."""
        if coarse.dim() != 4:
            raise InputError(
                f"a coarse field of shape {tuple(coarse.shape)}; (batch, channels, n / 2, m / 2) is needed"
            )
        pair = coarse + coarse.roll(-1, 2)
        return pair + pair.roll(-1, 3)


def _check_alike(one: Tensor, two: Tensor) -> None:
    if one.shape != two.shape:
        raise InputError(
            f"the shapes {tuple(one.shape)} and {tuple(two.shape)} differ; two halves of a field are alike"
        )
