"""Minkowski functionals of excursion sets: how much lies above a threshold, how long its boundary is, how many parts.

The eye sees coasts, islands and lakes at once; scores of sites and spectra hardly see them.
"""

import itertools

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.ndimage import label
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from rgdm.scale.boundary import Boundaries, boundary_of_each

FUNCTIONALS = ("area", "perimeter", "euler", "islands", "lakes")
"""In one dimension the share, the ends and the intervals; in three the volume, the surface and the bodies."""

Mask = NDArray[np.bool_]


def minkowski(
    field: Float[Tensor, "B C *L"], thresholds: Float[Tensor, "T"], boundary: Boundaries
) -> Float[Tensor, "B C T 5"]:
    """The :data:`FUNCTIONALS` of ``{x > threshold}`` for each sample, channel and threshold (float64).

    - ``area``: share of the sites.
    - ``perimeter``: pairs of neighbours of which one lies above, per site: the boundary length in edges of sites. A
      smooth boundary of length l that has no preferred direction counts ``4 l / pi`` edges (Cauchy and Crofton), in
      three dimensions a surface s ``3 s / 2`` faces. The rim of a ``reflect`` lattice is no boundary.
    - ``euler``: the Euler characteristic, in two dimensions parts minus holes, in three parts minus tunnels plus
      cavities; the mean of both ways to see sites that meet at a corner only (joined, and not), so that it changes
      sign with the field in even dimensions.
    - ``islands``, ``lakes``: connected parts above, and not above, each joined across edges (faces) of sites.

    Args:
        field: samples.
        thresholds: the same for every channel, in the units of the field.
        boundary: of all axes or of each; periodic axes are closed.
    """
    wraps = [side == "periodic" for side in boundary_of_each(boundary, field.dim() - 2)]
    values = field.detach().cpu().numpy()
    levels = thresholds.detach().cpu().numpy()
    out = np.empty((*values.shape[:2], len(levels), len(FUNCTIONALS)))
    for b, c, t in np.ndindex(*out.shape[:3]):
        out[b, c, t] = _functionals(values[b, c] > levels[t], wraps)
    return torch.from_numpy(out)


def _functionals(inside: Mask, wraps: list[bool]) -> tuple[float, float, float, float, float]:
    edges = 0
    for axis, wrap in enumerate(wraps):
        a, b = _neighbours(inside, axis, wrap)
        edges += np.count_nonzero(a != b)
    parts = _parts(inside, wraps), _parts(~inside, wraps)
    return inside.mean(), edges / inside.size, euler_characteristic(inside, wraps), *parts


def euler_characteristic(inside: Mask, wraps: list[bool]) -> float:
    """Mean of the Euler characteristics of the set whose sites are points, and of that whose sites are closed cubes.

    Both are alternating sums of the numbers of cells: points, edges, squares and cubes, all corners inside (points
    that meet at a corner are apart), and the faces of the cubes (they are joined).
    """
    apart = joined = 0
    for count in range(inside.ndim + 1):
        for axes in itertools.combinations(range(inside.ndim), count):
            cells, faces = inside, inside
            for axis in axes:
                a, b = _neighbours(cells, axis, wraps[axis])
                cells = a & b
                if not wraps[axis]:  # the faces at the rim
                    faces = np.pad(faces, [(int(i == axis),) * 2 for i in range(inside.ndim)])
                a, b = _neighbours(faces, axis, wraps[axis])
                faces = a | b
            apart += (-1) ** count * np.count_nonzero(cells)
            joined += (-1) ** (inside.ndim - count) * np.count_nonzero(faces)
    return (apart + joined) / 2


def _neighbours(x: Mask, axis: int, wrap: bool) -> tuple[Mask, Mask]:
    """All pairs of neighbours along an axis."""
    if wrap:
        return x, np.roll(x, -1, axis)
    n, all_before = x.shape[axis], (slice(None),) * axis
    return x[(*all_before, slice(0, n - 1))], x[(*all_before, slice(1, n))]


def _parts(inside: Mask, wraps: list[bool]) -> int:
    """Connected parts, joined across faces, and across the ends of periodic axes."""
    names, count = label(inside)  # pyright: ignore[reportGeneralTypeIssues]
    if count < 2 or not any(wraps):
        return count
    ends = [(names.take(0, axis), names.take(-1, axis)) for axis, wrap in enumerate(wraps) if wrap]
    first, last = (np.concatenate([pair[i].ravel() for pair in ends]) for i in (0, 1))
    joined = (first > 0) & (last > 0)
    pairs = (first[joined] - 1, last[joined] - 1)
    graph = coo_array((np.ones(len(pairs[0]), bool), pairs), shape=(count, count))
    return connected_components(graph, directed=False)[0]
