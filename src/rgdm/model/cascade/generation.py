"""Fields out of nothing, and out of a coarse field: where randomness is keyed and units are the user's."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.model.cascade.edge import give_back, take
from rgdm.model.cascade.geometry import check_sample, settle
from rgdm.model.cascade.keys import streams
from rgdm.model.cascade.memory import batches_at_once, fields_together
from rgdm.model.cascade.persistence import noise_in_time
from rgdm.model.cascade.place import informing, place_of
from rgdm.model.cascade.training_range import warn_outside
from rgdm.model.cascade.units import check_positive
from rgdm.model.lifts.setting import Setting
from rgdm.notes import option
from rgdm.process.noise import NoiseField
from rgdm.scale.coarse_graining import Lattice
from rgdm.watch import Watch
from rgdm.workers import each

if TYPE_CHECKING:
    from rgdm.model.cascade.cascade import Cascade


@torch.no_grad()
def sample(
    model: "Cascade",
    lattice: Lattice,
    count: int = 1,
    seed: int = 0,
    evaluations: int | None = None,
    watch: Watch | None = None,
    sweeps: int = 0,
) -> Float[Tensor, "B C *L"]:
    """New fields of any lattice that is divisible by b^levels, ``(count, channels, *lattice)``, in user's units.

    The same seed gives the same fields, whatever ``count``. Values have the dtype of the networks, but float64 where
    float32 steps by more than .001 of the spread of a channel (1e9 +- 1). ``sweeps`` of the learned single-site
    conditional follow, where the model has one.
    """
    check_sample(model.grid, model.levels, lattice, count)
    if model.told:
        beside = "companions" if model.companions is not None else "a clock"
        raise InputError(f"this model was trained beside {beside}, which fields from nothing have not; refine with it")
    model.check_texture(lattice, model.levels)
    if sweeps < 0 or (sweeps and model.sweep is None):
        raise InputError(f"{sweeps} sweeps; 0 or more are made, of a model that was trained with {option('--sweep')}")
    dtype = torch.promote_types(model.dtype, model.units.dtype)
    fields = torch.empty(count, model.channels, *lattice, dtype=dtype, device=model.device)

    def make(batch: range) -> None:
        x = model.generate(lattice, NoiseField(seed, "sample").of(batch), evaluations)
        if model.sweep is not None:
            x = model.sweep.run(x, sweeps, NoiseField(seed, "sweep").of(batch))
        fields[batch.start : batch.stop] = check_made(model.denormalise(x))

    in_batches(make, count, lattice, model.device, watch)
    return fields


@torch.no_grad()
def refine(
    model: "Cascade",
    coarse: Any,
    levels: int | None = None,
    members: int = 1,
    seed: int = 0,
    evaluations: int | None = None,
    watch: Watch | None = None,
    force: bool = False,
    mask: Any = None,
    areas: Any = None,
    static: Any = None,
    given: Any = None,
    place: Setting | None = None,
    persistent: bool = True,
    times: Any = None,
) -> Any:
    """An ensemble of fine fields, each of which coarse-grains to exactly the given field.

    With block spins and Haar wavelets that are its block means, with decimation the kept sites; longer wavelets
    and momentum shells keep a mean over a wider window, in the same units. ``coarse`` may be a tensor or array
    ``(*L)``, ``(C, *L)`` or ``(B, C, *L)``, or an xarray object; the same kind comes back with a leading
    ``member`` axis, lattice axes b^levels times longer, and coordinates refined. What an xarray object says of itself
    is compared with the training data: it is aligned and the result brought back (order of channels, direction of
    axes, units of one quantity), or refused (other variables, units, spacing, boundary) unless ``force`` is set.

    The noise of a field is keyed by what the field is: by the names and values of its coordinates beside those of
    the lattice (time, level, realization), where it has any, else by its place among the fields. One seed gives a
    day the same noise alone and in a longer file, and another day other noise. Fields without such coordinates that
    lie in separate files have the same noise: give each file a seed of its own, and each pass of an array that is
    refined again.

    A model that was measured on fields that follow each other in time makes films that last: the noise of a sequence,
    which is what all coordinates but the time say, is correlated in time as the detail of the training fields was, at
    each level; a single frame has the same law as without. Times are those of an xarray object (dates, or numbers with
    a unit), or ``times`` of an array. With ``persistent=False`` all frames are independent. The clock of a model that
    has one is read off the same times, which must be dates then, and that of the day off longitudes too.

    Values may be missing (NaN): with block spins what is made of them is missing too. ``mask``, a fine
    field of 1 and 0 of the kind of ``coarse``, or one for all samples and channels, says which fine sites there are;
    a coarse value is then the mean of those of its block. By default they are all there where the coarse field is.

    ``areas`` of the fine cells, laid out like a mask and in any unit, say that block means are weighted by them; a
    model that was trained so (``rgdm train``, where an axis is latitude) finds those of latitudes by itself.
    Companions that a model was trained beside are found by their names: ``static`` ones at full resolution,
    ``given`` ones on the lattice of ``coarse``, by default among its own variables; of tensors and arrays ``(G,
    *L)`` in their order, ``given`` also ``(B, G, *L)``. ``place`` says all of this at once, as the fields of a
    training have it.

    An xarray object comes back with its names, axes, attributes, reference systems, bounds and calendars; as attributes
    it says what is needed to make it again (``model_checksum``, ``seed`` ...), in ``history`` too.

    A :class:`~rgdm.errors.RangeWarning` says by how much a coarse field is unlike those of the training, where values
    or differences of neighbours lie outside their range.
    """
    levels = model.depth(levels)
    if members < 1:
        raise InputError(f"members is {members}; at least one is needed")
    field, layout, aligned = take(model, coarse, "the coarse field", levels, force)
    model.check_gaps(field, "the coarse field")
    if bool(field.isnan().all()):
        raise InputError(f"all {field.numel()} values of the coarse field are missing; there is nothing to refine")
    if model.design.positive:
        check_positive(field.nan_to_num(0.0), "values of the coarse field")
    lattice = model.operator.fine_lattice(field.shape[2:], levels)
    model.check_texture(lattice, levels)
    if place is not None and any(each is not None for each in (mask, areas, static, given)):
        raise InputError("place= says areas, gaps and companions at once; leave mask=, areas=, static= and given= away")
    if place is None:
        given = informing(model, coarse) if given is None else given
        place = place_of(model, aligned.field, field, levels, mask, areas, static, given, times)
    place = model.normalised_place(place)
    field = field.nan_to_num(0.0) if place.weights is not None else field
    warn_outside(model, field.to(model.device), levels, place)
    total, noise, own = members * len(field), NoiseField(seed, "refine"), streams(layout, len(field))
    lasting = noise_in_time(model, noise, layout, len(field), times, levels) if persistent else None
    fine = field.new_empty(total, model.channels, *lattice)

    def make(batch: range) -> None:
        index = [number % len(field) for number in batch]
        some = field[torch.tensor(index, device=field.device)].to(model.device)
        member = [number // len(field) for number in batch]
        white = noise.of([own[i] + m for i, m in zip(index, member, strict=True)])
        white = white if lasting is None else lasting(index, member)
        setting = place.of(index).to(model.device)
        x = model.descend(model.normalise(some, levels), levels, white, evaluations, setting=setting)
        x = settle(model.operator, check_made(model.denormalise(x)), some, levels, on := setting.weights)
        fine[batch.start : batch.stop] = (x if on is None else x.where(on > 0, torch.nan)).to(fine)

    in_batches(make, total, lattice, model.device, watch)
    result = layout.wrap(
        fine.unflatten(0, (members, len(field))),
        model.grid.widths(levels),
        model.operator.places(model.dimension, levels),
    )
    asked = {"members": members, "seed": seed, "evaluations": evaluations}
    return give_back(model, aligned, result, levels, asked)


def check_made(fields: Float[Tensor, "B C *L"]) -> Float[Tensor, "B C *L"]:
    """The same fields; ``InputError`` if a value is not finite, which nobody should take for a field."""
    wrong = int((~fields.isfinite()).sum())
    if wrong:
        raise InputError(
            f"{wrong} of {fields.numel()} values that the model made are not finite; a coarse field must be like those "
            "of the training, and a model that makes such fields of every one must be trained again"
        )
    return fields


def in_batches(
    make: Callable[[range], None], count: int, lattice: Lattice, device: torch.device, watch: Watch | None
) -> None:
    """Call ``make`` with the numbers of the fields of every batch: on a CPU several at a time, each in one thread."""
    most = batches_at_once(lattice) if device.type == "cpu" else 1
    size = fields_together(lattice)
    each(make, batches(count, lattice), most, watch and (lambda done, _: watch(min(done * size, count), count)))


def batches(count: int, lattice: Lattice) -> list[range]:
    """The numbers of the fields that are made in one batch."""
    size = fields_together(lattice)
    return [range(first, min(first + size, count)) for first in range(0, count, size)]
