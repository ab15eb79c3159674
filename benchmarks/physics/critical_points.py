"""Where phi^4 is critical: the coupling at which the Binder cumulant of lattices has its critical value.

    python -m benchmarks critical_points --quartic 0.25 2 --sides 16 32 64 128 --count 10000

For each lambda, beta is found from small lattices to large ones: samples of each side are made where the side before
had its critical value, and reweighted (:mod:`rgdm.physics.reweighting.histogram`). Printed for each side L: the beta at
which U4 is 0.6106901, its value at the critical point of a square torus of the 2-D Ising class, and the beta at which
U4 of L / 2 and of L cross. The result is the limit of the former, which is approached like L^(-1 - 7/4) (nu = 1,
omega = 7/4), by weighted least squares over the sides from 32 on. lambda = 1 and 0.5, for which others have found
0.680605(4) and 0.686938(10), are the control. Minutes.
"""

from collections.abc import Sequence

import numpy as np
import torch

from benchmarks.study import parser
from rgdm.errors import InputError
from rgdm.physics.actions import Phi4
from rgdm.physics.monte_carlo.chains import sample_fields
from rgdm.physics.reweighting.histogram import Histogram, binder_crossing

CRITICAL_U4 = 0.6106901
"""Of a square torus: Salas & Sokal 2000, J. Stat. Phys. 98, 551."""
POWER = 1 + 7 / 4
SMALLEST = 32
"""Side from which on the limit is taken."""
CHAINS, INTERVAL, TOGETHER = 50, 10, 1000
ATTEMPTS = 6


def histogram(beta: float, quartic: float, side: int, count: int, seed: int) -> Histogram:
    """Of samples of one side."""
    action = Phi4.from_beta(beta, quartic)
    parts = []
    for part in range(0, count, TOGETHER):
        few = min(TOGETHER, count - part)
        parts.append(Histogram.of(sample_fields(action, side, CHAINS, few, seed + part, 100, INTERVAL), action))
    bonds, m = torch.cat([part.bonds for part in parts]), torch.cat([part.magnetization for part in parts])
    return Histogram(action, bonds, m, side**2)


def near_critical(beta: float, quartic: float, side: int, count: int, seed: int) -> Histogram:
    """Samples that reach the critical value of U4, at beta or nearer to it."""
    for attempt in range(ATTEMPTS):
        made = histogram(beta, quartic, side, count, seed + 10**6 * attempt + side)
        below, above = (float(made.binder(k).value) - CRITICAL_U4 for k in made.reach)
        if below < 0 < above:
            return made
        beta = made.reach[1] if above < 0 else made.reach[0]
    raise InputError(f"U4 of {side} x {side} sites is not critical near {beta:.6g}; take another --start")


def limit(values: dict[int, tuple[float, float]]) -> tuple[float, float, float]:
    """Of ``beta_L = beta_c + A L^(-1 - omega)``: beta_c, its error, and chi^2 a degree of freedom.

    A misfit larger than 1 enlarges the error by its root.
    """
    sides = [side for side in values if side >= SMALLEST]
    y, error = np.array([values[side] for side in sides]).T
    rows = np.stack([np.ones(len(sides)), np.array(sides) ** -POWER], 1) / error[:, None]
    covariance = np.linalg.inv(rows.T @ rows)
    found = covariance @ rows.T @ (y / error)
    chi2 = float(((y / error - rows @ found) ** 2).sum())
    misfit = chi2 / max(1, len(sides) - 2)
    return float(found[0]), float((covariance[0, 0] * max(1.0, misfit)) ** 0.5), misfit


def critical_beta(quartic: float, start: float, sides: Sequence[int], count: int, seed: int) -> tuple[float, float]:
    """beta_c and its error; prints what each side says."""
    made = near_critical(start, quartic, sides[0], max(1000, count // 10), seed)  # this one only shows the way
    beta, found, before = float(made.coupling_at_binder(CRITICAL_U4).value), {}, None
    for side in sides[1:]:
        made = near_critical(beta, quartic, side, count, seed)
        beta, error = (float(part) for part in made.coupling_at_binder(CRITICAL_U4))
        crossing = "" if before is None else "crossing {:.6f} +- {:.6f}".format(*binder_crossing(before, made))
        print(f"lambda {quartic:g}  L {side:4d}  U4 critical at {beta:.6f} +- {error:.6f}  {crossing}", flush=True)
        found[side], before = (beta, error), made
    value, error, misfit = limit(found)
    print(f"lambda {quartic:g}  beta_c = {value:.6f} +- {error:.6f}  (chi^2 / dof {misfit:.2f})", flush=True)
    return value, error


OPTIONS = {
    "quartic": ((0.25, 2.0), "values of lambda"),
    "start": (0.67, "a first guess of beta"),
    "sides": ((16, 32, 64, 128), "sides of the lattices, the smallest first"),
    "count": (10000, "samples of each side"),
    "seed": (0, ""),
}


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = parser(__doc__, **OPTIONS).parse_args(arguments)
    if sum(side >= SMALLEST for side in chosen.sides[1:]) < 2:
        raise InputError(f"sides {chosen.sides}; a first one, and at least two more from {SMALLEST} on, are needed")
    for quartic in chosen.quartic:
        critical_beta(quartic, chosen.start, chosen.sides, chosen.count, chosen.seed)


if __name__ == "__main__":
    main()
