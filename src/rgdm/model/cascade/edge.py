"""Where a user's field comes into a model: compared with its data, aligned with them, and taken apart."""

from typing import TYPE_CHECKING, Any

from jaxtyping import Float
from torch import Tensor

from rgdm.data.alignment import Aligned, Scale, align, say
from rgdm.data.identity import known_of
from rgdm.data.layout import Layout, unwrap

if TYPE_CHECKING:
    from rgdm.model.cascade.cascade import Cascade


def align_with(model: "Cascade", given: Any, what: str, levels: int = 0, force: bool = False) -> Aligned:
    """A field that lies as the data of a model do, ``levels`` coarser than these; :func:`~rgdm.data.alignment.align`.

    ``InputError`` if it is another variable, in a unit of another quantity, of another spacing or boundary.
    """
    known = known_of(model.metadata, model.grid, model.channels)
    return align(given, known, what, scale=Scale(model.grid.factors, levels, model.levels), force=force)


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
