"""How a variable is stored: what of it is still right for one that was made of it."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr

COMPRESSION = ("zlib", "complevel", "shuffle", "fletcher32")
"""Of NetCDF, which suit every lattice; Zarr leaves them out."""
DATES = ("units", "calendar")
"""How numbers in the file become dates."""


def kept_encoding(stored: Mapping[Any, Any], values: np.ndarray) -> dict[str, Any]:
    """The encoding of finer ``values``, of that of the coarse ones.

    Compression and the name of the grid mapping stay, so does a type of floating-point numbers that rounds none of the
    values, and with it a fill value that none of them has. Packing (``scale_factor``, ``add_offset``, whole numbers)
    would round, so that block means are no longer the coarse field; sizes of chunks are those of the coarse lattice.
    """
    kept = {key: stored[key] for key in ("grid_mapping", *COMPRESSION) if key in stored}
    dtype = np.dtype(stored["dtype"]) if stored.get("dtype") is not None else None
    packed = "scale_factor" in stored or "add_offset" in stored
    if packed or dtype is None or dtype.kind != "f" or values.dtype.kind != "f" or dtype.itemsize < values.itemsize:
        return kept
    kept["dtype"], fill = dtype, stored.get("_FillValue")
    if fill is not None and np.ndim(fill) == 0 and not bool((values == fill).any()):
        kept["_FillValue"] = fill
    return kept


def encoding_of_dates(variable: xr.Variable) -> dict[str, Any]:
    """Unit and calendar of dates as their file had them; empty of anything else."""
    return {key: variable.encoding[key] for key in DATES if key in variable.encoding} if is_date(variable) else {}


def is_date(variable: xr.Variable) -> bool:
    """Whether values are dates, of numpy or of another calendar (cftime)."""
    if variable.dtype.kind == "M":
        return True
    return variable.dtype.kind == "O" and variable.size > 0 and hasattr(variable.values.flat[0], "calendar")


def unlimited(source: xr.Dataset, dims: Mapping[Hashable, int]) -> dict[str, Any]:
    """The encoding of a Dataset: the axes that can be appended to, as far as they are there."""
    names = {name for name in source.encoding.get("unlimited_dims", ()) if name in dims}
    return {"unlimited_dims": names} if names else {}
