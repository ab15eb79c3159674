"""Edges and centres of cells along an axis, and of their parts; angles on the circle."""

import numpy as np


def cell_edges(centres: np.ndarray, limit: float = np.inf) -> np.ndarray:
    """The n + 1 edges of n cells along the first axis: half-way between centres, none beyond +-limit."""
    c = centres.astype(np.float64)
    middle = (c[1:] + c[:-1]) / 2
    edges = np.concatenate([2 * c[:1] - middle[:1], middle, 2 * c[-1:] - middle[-1:]])
    return np.clip(edges, -limit, limit)


def refine_edges(centres: np.ndarray, factor: int, limit: float = np.inf) -> np.ndarray:
    """The edges of cells cut into ``factor`` equal parts each, along the first axis."""
    return parts_of(cell_edges(centres, limit), factor)


def parts_of(edges: np.ndarray, factor: int) -> np.ndarray:
    """The edges of ``factor`` equal parts of every cell, along the first axis."""
    parts = (np.arange(factor) / factor).reshape(-1, *(1,) * (edges.ndim - 1))
    cut = edges[:-1, None] + parts * np.diff(edges, axis=0)[:, None]
    return np.concatenate([cut.reshape(-1, *edges.shape[1:]), edges[-1:]])


def middles(edges: np.ndarray) -> np.ndarray:
    """The middle of every cell, along the first axis."""
    return (edges[1:] + edges[:-1]) / 2


def refine_centres(centres: np.ndarray, factor: int, limit: float = np.inf) -> np.ndarray:
    """Centres of cells cut into ``factor`` equal parts, float64, along the first axis.

    For regular centres this is ``c + ((j + 1/2) / factor - 1/2) * spacing``. A cell at a pole (``limit``) ends there.
    """
    return middles(refine_edges(centres, factor, limit))


def refine_axis(centres: np.ndarray, factor: int, place: float | None = None, limit: float = np.inf) -> np.ndarray:
    """Fine positions such that coarse site i lies at fine site ``place + factor * i``; the middle if not given.

    Linear between the coarse sites, and beyond them with the slope of the last two; along the first axis, float64.
    """
    if place is None or place == (factor - 1) / 2:
        return refine_centres(centres, factor, limit)
    c, n = centres.astype(np.float64), len(centres)
    at = ((np.arange(n * factor) - place) / factor).reshape(-1, *(1,) * (c.ndim - 1))
    left = np.clip(np.floor(at.ravel()).astype(int), 0, n - 2)
    return c[left] + (at - left.reshape(at.shape)) * (c[left + 1] - c[left])


def unwrap_angle(angle: np.ndarray, circle: float = 360.0) -> np.ndarray:
    """Angles without jumps of a circle between neighbours along the last two axes."""
    c = np.unwrap(angle.astype(np.float64), period=circle, axis=-1)
    if c.ndim > 1:
        first = np.unwrap(c[..., 0], period=circle, axis=-1)
        c = c + (first - c[..., 0])[..., None]
    return c


def wrap_like(angle: np.ndarray, like: np.ndarray, circle: float) -> np.ndarray:
    """Angles from 0 to a circle, or about 0 where those of ``like`` are."""
    low = -circle / 2 if np.min(like) < 0 else 0.0
    return (angle - low) % circle + low


def pole_of(angle: str, circle: float, values: np.ndarray) -> float:
    """The largest latitude; of what is none, by its values neither, infinity."""
    pole = circle / 4
    return pole if angle == "latitude" and np.nanmax(np.abs(values), initial=0) <= pole * (1 + 1e-6) else np.inf
