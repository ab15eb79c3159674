"""Critical couplings on record, each with its error and its source."""

import math
from typing import Literal, NamedTuple

from scipy.optimize import brentq

from rgdm.errors import InputError
from rgdm.notes import option

Model = Literal["phi4", "ising"]
OWN = "our own Monte Carlo: python -m benchmarks critical_points"


class CriticalPoint(NamedTuple):
    """The coupling of neighbours at which a model in infinite volume is critical."""

    model: Model
    dimension: int
    quartic: float | None
    """lambda of phi^4, None for spins."""
    coupling: float
    """K of spins, beta of phi^4 in the convention of ``Phi4.from_beta``."""
    error: float
    """Standard error of the coupling, as its source states it; 0 if it is exact."""
    source: str


RECORD = [
    CriticalPoint("ising", 2, None, math.log1p(math.sqrt(2)) / 2, 0.0, "Kramers & Wannier 1941, Phys. Rev. 60, 252"),
    CriticalPoint("ising", 3, None, 0.221654626, 5e-9, "Ferrenberg, Xu & Landau 2018, Phys. Rev. E 97, 043301"),
    CriticalPoint("phi4", 2, 1.0, 0.680605, 4e-6, "Kaupuzs, Melnik & Rimsans, arXiv:1406.7491"),
    CriticalPoint("phi4", 2, 0.25, 0.658613, 4.1e-5, OWN),
    CriticalPoint("phi4", 2, 2.0, 0.620833, 5.8e-5, OWN),
]


def critical_point(
    model: Model, dimension: int = 2, quartic: float | None = None, anisotropy: tuple[float, ...] = ()
) -> CriticalPoint:
    """What is on record of a model.

    Args:
        model: phi^4 or Ising spins, on a line, square or cubic lattice with bonds of nearest neighbours.
        dimension: of the lattice.
        quartic: lambda of phi^4.
        anisotropy: relative strengths of the bonds along the axes; if they differ, only square lattices of spins have a
            known coupling: ``sinh(2 K r_1) sinh(2 K r_2) = 1`` (Onsager 1944, Phys. Rev. 65, 117).

    Raises:
        InputError: none is; the sentence names those that are. Strengths that are not finite, or not one for each axis.
    """
    if len(anisotropy) not in (0, dimension) or not all(map(math.isfinite, anisotropy)):
        raise InputError(f"bonds of strengths {anisotropy} on {dimension} axes; one finite number for each is needed")
    weakest, strongest = min(anisotropy, default=1.0), max(anisotropy, default=1.0)
    if weakest == strongest > 0:
        for point in RECORD:
            if (point.model, point.dimension, point.quartic) == (model, dimension, quartic):
                return point._replace(coupling=point.coupling / weakest, error=point.error / weakest)
    elif weakest > 0 and (model, dimension) == ("ising", 2):
        coupling = _onsager(weakest, strongest)
        return CriticalPoint(model, dimension, None, coupling, 0.0, "Onsager 1944, Phys. Rev. 65, 117")
    known = ", ".join(
        f"{point.model} in {point.dimension} dimensions"
        + ("" if point.quartic is None else f" at lambda = {point.quartic:g}")
        for point in RECORD
    )
    asked = f"{model} in {dimension} dimension(s)" + ("" if quartic is None else f" at lambda = {quartic:g}")
    bonds = f" with bonds of strengths {anisotropy}" if anisotropy else ""
    raise InputError(
        f"no critical coupling of {asked}{bonds} is on record; give one{option(' (--coupling)', '')}, or take {known}"
    )


def _onsager(one: float, two: float) -> float:
    """K with ``sinh(2 K r_1) sinh(2 K r_2) = 1``, which lies between the critical couplings of either strength."""

    def excess(log_coupling: float) -> float:
        bonds = [2 * math.exp(log_coupling) * strength for strength in (one, two)]
        return sum(bond + math.log(-math.expm1(-2 * bond) / 2) for bond in bonds)

    low, high = sorted(math.log(math.asinh(1) / 2 / strength) for strength in (one, two))
    return math.exp(float(brentq(excess, low, high, xtol=1e-15)))  # pyright: ignore[reportArgumentType]
