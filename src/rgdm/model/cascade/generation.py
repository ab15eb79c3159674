"""Fields out of nothing, and out of a coarse field: where randomness is keyed and units are the user's."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.data.alignment import say
from rgdm.data.mask import laid_out, unused
from rgdm.errors import InputError
from rgdm.model.cascade.edge import give_back, take
from rgdm.model.cascade.geometry import check_sample, measures, settle, weights_of
from rgdm.model.cascade.keys import streams
from rgdm.model.cascade.memory import batches_at_once, fields_together
from rgdm.model.cascade.training_range import warn_outside
from rgdm.model.cascade.units import check_positive
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
    model.check_texture(lattice, model.levels)
    if sweeps < 0 or (sweeps and model.sweep is None):
        raise InputError(f"{sweeps} sweeps; 0 or more are made, of a model that was trained with sweep=True (--sweep)")
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
) -> Any:
    """An ensemble of fine fields, each of which coarse-grains to exactly the given field.

    With block spins and Haar wavelets that are its block means, with decimation the kept sites; longer wavelets
    and momentum shells keep a mean over a wider window, in the same units. ``coarse`` may be a tensor or array
    ``(*L)``, ``(C, *L)`` or ``(B, C, *L)``, or an xarray object; the same kind comes back with a leading
    ``member`` axis, lattice axes b^levels times longer, and coordinates refined. What an xarray object says of itself
    is compared with the training data: it is aligned and the result brought back (order of channels, direction of
    axes, units of one quantity), or refused (other variables, units, spacing, boundary) unless ``force`` is set.

    The noise of a field is keyed by what the field is: by the names and values of its coordinates beside those of the
    lattice (time, level, realization), where it has any, else by its place among the fields. One seed gives a day the
    same noise alone and in a longer file, and another day other noise. Fields without such coordinates that lie in
    separate files have the same noise: give each file a seed of its own.

    Values may be missing (NaN): with block spins of factor 2 what is made of them is missing too. ``mask``, a fine
    field of 1 and 0 of the kind of ``coarse``, or one for all samples and channels, says which fine sites there are;
    a coarse value is then the mean of those of its block. By default they are all there where the coarse field is.

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
        check_positive(field, "values of the coarse field")
    lattice = model.operator.fine_lattice(field.shape[2:], levels)
    model.check_texture(lattice, levels)
    weights = fine_weights(model, field, levels, take_mask(model, mask, aligned.field, tuple(field.shape[:2]), lattice))
    field = field.nan_to_num(0.0) if weights is not None else field
    warn_outside(model, field.to(model.device), levels, weights)
    total, noise, own = members * len(field), NoiseField(seed, "refine"), streams(layout, len(field))
    fine = field.new_empty(total, model.channels, *lattice)

    def make(batch: range) -> None:
        index = [number % len(field) for number in batch]
        given = field[torch.tensor(index, device=field.device)].to(model.device)
        keys = [own[i] + number // len(field) for i, number in zip(index, batch, strict=True)]
        on = None
        if weights is not None:
            on = weights[torch.tensor(index) if len(weights) > 1 else slice(None)].to(model.device)
        x = model.descend(model.normalise(given, levels), levels, noise.of(keys), evaluations, weights=on)
        x = settle(model.operator, check_made(model.denormalise(x)), given, levels, on)
        fine[batch.start : batch.stop] = (x if on is None else x.where(on > 0, torch.nan)).to(fine)

    in_batches(make, total, lattice, model.device, watch)
    factors = tuple(b**levels for b in model.grid.factors)
    result = layout.wrap(
        fine.unflatten(0, (members, len(field))), factors, model.operator.places(model.dimension, levels)
    )
    asked = {"levels": levels, "members": members, "seed": seed, "evaluations": evaluations}
    return give_back(model, aligned, result, asked)


def take_mask(
    model: "Cascade", mask: Any, like: Any, coarse: tuple[int, ...], lattice: Lattice
) -> Float[Tensor, "b c *F"] | None:
    """A user's mask as weights of 1 and 0, which lie as the field does that was aligned with the model."""
    if mask is None:
        return None
    if not model.takes_gaps:
        raise InputError(
            "this model takes no mask; one of block spins of factor 2 by diffusion, without --positive, scattering and "
            "sweep, does"
        )
    notes: list[str] = []
    given = torch.from_numpy(laid_out(mask, like, model.grid.names, lattice, notes))
    say(notes)
    if tuple(given.shape[2:]) != lattice or any(n not in (1, m) for n, m in zip(given.shape[:2], coarse, strict=True)):
        raise InputError(
            f"the mask has {given.shape[0]} samples, {given.shape[1]} channels and the lattice "
            f"{tuple(given.shape[2:])}; one sample or {coarse[0]}, one channel or {coarse[1]}, and the fine lattice "
            f"{lattice} are needed"
        )
    if not bool(((given == 0) | (given == 1)).all()):
        wrong = float(given[(given != 0) & (given != 1)][0])
        raise InputError(f"the mask has values such as {wrong:g}; 1 says that a cell is there, 0 that it is missing")
    return given


def fine_weights(
    model: "Cascade", coarse: Float[Tensor, "B C *K"], levels: int, mask: Tensor | None
) -> Float[Tensor, "b c *F"] | None:
    """The weight of every fine site, of a coarse field with gaps and a mask; None if nothing is missing."""
    there = weights_of(coarse)
    if there is not None:
        for axis, b in enumerate(model.grid.factors, start=2):
            there = there.repeat_interleave(b**levels, axis)
    if mask is not None and there is not None:
        say(unused(mask, coarse, there))
    if mask is None or bool((mask > 0).all()):
        weights = there
    else:
        weights = mask.to(coarse) if there is None else there * mask.to(coarse)
    if weights is None:
        return None
    blocks = measures(model.operator, weights, levels)[-1]
    assert blocks is not None
    empty = (blocks == 0) & ~coarse.isnan()
    if bool(empty.any()):
        raise InputError(
            f"the mask leaves no site in {int(empty.sum())} of {empty.numel()} blocks in which the coarse field has a "
            "value; it must have one there, or the value be missing (NaN)"
        )
    return weights


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
