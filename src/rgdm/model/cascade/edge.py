"""Where a user's field comes into a model: compared with its data, aligned with them, and taken apart."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import xarray as xr
from jaxtyping import Float
from torch import Tensor

from rgdm import __version__
from rgdm.data.alignment import Aligned, Scale, align
from rgdm.data.identity import known_of, lattice_of
from rgdm.data.layout import Layout, unwrap
from rgdm.data.results.cell_methods import sums_among, with_cell_methods
from rgdm.data.results.provenance import record, recorded
from rgdm.model.cascade.storage import checksum
from rgdm.notes import say

if TYPE_CHECKING:
    from rgdm.model.cascade.cascade import Cascade


def align_with(model: "Cascade", given: Any, what: str, levels: int = 0, force: bool = False) -> Aligned:
    """A field that lies as the data of a model do, ``levels`` coarser than these; :func:`~rgdm.data.alignment.align`.

    ``InputError`` if it is another variable, in a unit of another quantity, of another spacing or boundary.
    """
    known = known_of(model.metadata, model.grid, model.channels)
    aligned = align(given, known, what, scale=Scale(model.grid.factors, levels, model.levels), force=force)
    summed = sums_among(aligned.field) if levels else []
    return aligned if not summed else replace(aligned, notes=(*aligned.notes, _of_sums(what, summed)))


def _of_sums(what: str, names: list[str]) -> str:
    cells = f"{', '.join(names)} of {what} {'is' if len(names) == 1 else 'are'} by cell_methods a sum over a cell"
    return f"{cells}; what is kept are means of blocks: a fine value is as large as a coarse one, not a part of it"


def take(
    model: "Cascade", given: Any, what: str, levels: int = 0, force: bool = False
) -> tuple[Float[Tensor, "B C *L"], Layout, Aligned]:
    """The values of a field as the model's data lie, its layout, and what was done to it, which is said.

    With ``force`` it is taken as it is where it cannot be aligned, and nothing is said.
    """
    aligned = align_with(model, given, what, levels, force)
    say(() if force else aligned.notes)
    names = model.metadata.get("channels", ())
    field, layout = unwrap(aligned.field, model.channels, model.dimension, names, model.grid.names)
    return field, layout, aligned


def give_back(model: "Cascade", aligned: Aligned, result: Any, levels: int, asked: Mapping[str, int | None]) -> Any:
    """What was made of a field, as it was given before it was aligned, with cell methods and a record of its making.

    It is ``levels`` finer; ``asked`` are members, seed and evaluations, of which None is the model's own.
    """
    result = aligned.restore(result)
    if not isinstance(result, xr.DataArray | xr.Dataset):
        return result
    result = with_cell_methods(result, finer_axes(model, aligned.field, levels), cell_method(model))
    given = {"levels": levels} | {key: value for key, value in asked.items() if value is not None}
    return recorded(
        result,
        record(
            f"rgdm {__version__} refine", model_checksum(model), **{"evaluations": model.sampler.evaluations, **given}
        ),
    )


def finer_axes(model: "Cascade", field: xr.DataArray | xr.Dataset, levels: int) -> list[Any]:
    """The names of the axes of a field along which so many levels of the model make it finer."""
    lattice = lattice_of(field, model.dimension, model.grid.names)
    return [name for name, width in zip(lattice, model.grid.widths(levels), strict=True) if width > 1]


def cell_method(model: "Cascade") -> str:
    """What a coarse value is of its fine ones, in the words of the CF conventions; empty where these have none."""
    return "mean" if model.design.operator in ("block-spin", "haar") else ""


def model_checksum(model: "Cascade") -> str:
    """The checksum of the weights, as ``config.json`` has it."""
    return checksum(dict(model.state()))
