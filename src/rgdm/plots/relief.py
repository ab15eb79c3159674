"""How a field is coloured: shaded relief, a map that is symmetric about zero, or RGB."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, FuncNorm, LinearSegmentedColormap
from numpy.typing import ArrayLike, NDArray

from rgdm.errors import InputError

Kind = Literal["terrain", "relief", "diverging", "rgb"]
Picture = NDArray[np.float64]
Knots = tuple[float, ...]

_SEA = ["#15305a", "#1d4f86", "#2f77a8", "#5b9fc0", "#93c5d4", "#cde7e6"]
_LAND = ["#4c7350", "#7f9a5f", "#b5b87c", "#d9c391", "#c79f74", "#a67b5b", "#c9b8a8", "#fbfaf8"]
_SHORE = [*np.linspace(0, 0.4999, len(_SEA)), *np.linspace(0.5, 1, len(_LAND))]
MISSING = 0.82
"""Grey of sites without a value."""
_MAPS: dict[Kind, Colormap] = {
    "terrain": LinearSegmentedColormap.from_list("terrain", list(zip(_SHORE, _SEA + _LAND, strict=True)), 1024),
    "relief": LinearSegmentedColormap.from_list(
        "relief", ["#182848", "#27567b", "#46868f", "#86b391", "#cfd09b", "#f8efd4"], 512
    ),
    "diverging": LinearSegmentedColormap.from_list(
        "diverging", ["#0d3b66", "#3d7ea6", "#a5c9d9", "#f6f4ef", "#e8b598", "#c2643f", "#7a2313"], 512
    ),
}


@dataclass(frozen=True)
class Look:
    """One colouring and one relief for a whole figure, so that its panels can be compared.

    ``values`` and ``places`` are the knots of the piecewise linear map from values to the
    colour map 0..1, ``slope`` is the gradient (per site) that is drawn as 45 degrees.
    """

    kind: Kind
    values: Knots
    places: Knots
    slope: float

    @classmethod
    def of(cls, fields: ArrayLike, kind: str | None = None) -> "Look":
        """The look that suits fields (B, C, *L), of the given kind or of the one they seem to be."""
        x = np.asarray(fields, dtype=np.float64)
        if kind is not None and kind not in get_args(Kind):
            raise InputError(f"the look is {kind!r}; it must be one of {', '.join(get_args(Kind))}")
        known = next((each for each in get_args(Kind) if each == kind), None) or guess_kind(x)
        if known == "rgb" and x.shape[1] != 3:
            raise InputError(f"a field with {x.shape[1]} channels cannot be shown as rgb; that needs 3")
        if known != "rgb":
            check_channels(x.shape[1])
        steps = np.concatenate([np.abs(np.diff(x, axis=axis)).ravel() for axis in range(2, x.ndim)])
        steps, values = steps[np.isfinite(steps)], x[np.isfinite(x)]
        slope = float(np.quantile(steps, 0.8)) if steps.size else 0.0
        return cls(known, *_knots(values if values.size else np.zeros(1), known), slope if slope > 0 else 1.0)

    @property
    def scale(self) -> ScalarMappable:
        """Colour map and norm, for a colour bar."""
        functions = (
            lambda v: np.interp(v, self.values, self.places),
            lambda p: np.interp(p, self.places, self.values),
        )
        norm = FuncNorm(functions, self.values[0], self.values[-1], clip=True)
        return ScalarMappable(norm, _MAPS["relief" if self.kind == "rgb" else self.kind])

    def picture(self, field: ArrayLike, spacing: float | Sequence[float] = 1.0) -> Picture:
        """The field (C, *L) as an RGB picture (h, w, 3); of three dimensions the middle slice. Missing sites are grey.

        ``spacing`` is the size of a site of this field in sites of the finest one, one for all axes or one
        for each.
        """
        x = plane(field)
        missing = ~np.isfinite(x).all(0)
        x = np.where(missing, x[:, ~missing].mean() if (~missing).any() else 0.0, x)
        picture = self._coloured(x, spacing)
        picture[missing] = MISSING
        return picture

    def _coloured(self, x: Picture, spacing: float | Sequence[float]) -> Picture:
        if self.kind == "rgb":
            return np.interp(np.moveaxis(x, 0, -1), self.values, self.places)
        colours = _MAPS[self.kind](np.interp(x[0], self.values, self.places))[..., :3]
        if self.kind == "diverging":
            return colours
        return _soft_light(colours, hillshade(x[0], self.slope * np.atleast_1d(spacing)[-2:]))


def check_channels(count: int) -> None:
    """Raise ``InputError`` if several channels are to be one picture or profile, which would hide all but the first."""
    if count != 1:
        raise InputError(f"a field with {count} channels is not one picture; draw each channel by itself")


def guess_kind(fields: Picture) -> Kind:
    """Three channels are colours, values balanced about zero call for a diverging map, all else for relief."""
    if fields.shape[1] == 3:
        return "rgb"
    values = fields[np.isfinite(fields)]
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95]) if values.size else (0.0, 0.0, 0.0)
    balanced = low < 0 < high and 0.6 < -low / high < 1 / 0.6 and abs(middle) < 0.3 * (high - low)
    return "diverging" if balanced else "relief"


def plane(field: ArrayLike) -> Picture:
    """(C, *L) as (C, h, w): a plane as it is, of a volume its middle slice."""
    x = np.asarray(field, dtype=np.float64)
    if x.ndim == 4:
        x = x[:, x.shape[1] // 2]
    if x.ndim != 3:
        raise InputError(f"a field of shape {x.shape} cannot be shown as a picture; expected (channels, height, width)")
    return x


def hillshade(height: ArrayLike, slope: ArrayLike, altitude: float = 40.0) -> Picture:
    """Brightness 0..1 of a relief lit from the north-west, 1/2 where it is flat.

    A gradient ``slope`` (one for both axes, or one for each) is drawn as 45 degrees; steeper ones are compressed like a
    square root, so that plains keep their texture beside mountains. A weak second light from straight above shapes the
    slopes that face away.
    """
    h = np.asarray(height, dtype=np.float64)
    each = np.broadcast_to(slope, 2)
    down, right = (np.gradient(h, axis=i) / each[i] if h.shape[i] > 1 else np.zeros_like(h) for i in (0, 1))
    steepness = np.hypot(down, right)
    squeeze = 1 / np.sqrt(1 + steepness)
    down, right, steepness = down * squeeze, right * squeeze, steepness * squeeze
    cosine, sine = np.cos(np.radians(altitude)), np.sin(np.radians(altitude))
    normal = np.sqrt(1 + steepness**2)
    lit = (cosine * (down + right) / np.sqrt(2) + sine) / normal
    above = 1 / normal
    light = 0.8 * (lit - sine) + 0.2 * (above - 1)
    return np.clip(0.5 + 0.62 * light, 0, 1)


def _soft_light(colours: Picture, light: Picture) -> Picture:
    """Pegtop's blend: darkens and lightens without washing the colours out."""
    light = light[..., None]
    return np.clip((1 - 2 * light) * colours**2 + 2 * light * colours, 0, 1)


def _knots(x: Picture, kind: Kind) -> tuple[Knots, Knots]:
    """Knots of the colour map: for reliefs halfway between even over the values and even over the sites."""
    low, high = (float(v) for v in np.quantile(x, [0.002, 0.998]))
    high = high if high > low else low + 1.0
    if kind == "diverging":
        return (-max(-low, high), max(-low, high)), (0.0, 1.0)
    if kind == "rgb":
        return _range_of_colours(x, low, high), (0.0, 1.0)
    if kind == "relief" or not low < 0 < high:
        half = kind == "terrain"
        return _equalised(x, low, high, *((0.0, 0.499) if half and high <= 0 else (0.501 if half else 0.0, 1.0)))
    high = float(np.quantile(x[x >= 0], 0.99))  # of land alone: else a few islands would be all snow
    sea = _equalised(x[x < 0], low, 0.0, 0.0, 0.499)
    land = _equalised(x[x >= 0], 1e-6 * high, high, 0.501, 1.0)
    return sea[0] + land[0], sea[1] + land[1]


def _equalised(x: Picture, low: float, high: float, start: float, stop: float) -> tuple[Knots, Knots]:
    share = np.linspace(0, 1, 9)[1:-1]
    inner = np.unique(np.clip(np.quantile(x, share), low, high))
    values = np.array([low, *inner[(inner > low) & (inner < high)], high])
    rank = np.searchsorted(np.sort(x), values) / x.size
    rank[0], rank[-1] = 0, 1
    places = start + (stop - start) * (0.5 * rank + 0.5 * (values - low) / (high - low))
    return tuple(values.tolist()), tuple(places.tolist())


def _range_of_colours(x: Picture, low: float, high: float) -> Knots:
    """0..1 or 0..255 if the values lie there, else their range."""
    if x.min() < 0:
        return low, high
    if x.max() <= 1:
        return 0.0, 1.0
    return (0.0, 255.0) if x.max() <= 255 else (low, high)
