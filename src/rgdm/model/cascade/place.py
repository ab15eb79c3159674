"""Where a coarse field lies: the areas and gaps of its fine cells, and the companions that are known beside it."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from rgdm.data.areas import areas_of
from rgdm.data.checks import counted, fill_gaps
from rgdm.data.companions import Companion, find, laid_beside
from rgdm.data.mask import laid_out, unused
from rgdm.design import Factor
from rgdm.errors import InputError
from rgdm.model.cascade.geometry import measures, weights_of
from rgdm.model.lifts.setting import Setting
from rgdm.notes import option, say
from rgdm.scale.boundary import Boundaries
from rgdm.scale.coarse_graining import Lattice
from rgdm.scale.grid import scale_widths
from rgdm.scale.interpolation import linear

if TYPE_CHECKING:
    from rgdm.model.cascade.cascade import Cascade

AREAS = "areas"
"""Where the metadata of a model say which areas weigh its block means: of ``latitude``, ``given`` ones, or none."""
ALIKE = "none"
"""The name of no areas."""
COMPANIONS = "companions"
"""Where they say what the companions are."""


def place_of(
    model: "Cascade",
    like: Any,
    coarse: Float[Tensor, "B C *K"],
    levels: int,
    mask: Any = None,
    areas: Any = None,
    static: Any = None,
    given: Any = None,
    times: Any = None,
) -> Setting:
    """The setting of the fine field that a coarse one, ``like`` when it was aligned, is refined to; see ``refine``."""
    factors = model.grid.widths(levels)
    lattice = model.operator.fine_lattice(coarse.shape[2:], levels)
    there = _mask(model, mask, like, tuple(coarse.shape[:2]), lattice)
    sizes = _areas(model, areas, like, tuple(coarse.shape[:2]), lattice, factors)
    weights = fine_weights(model, coarse, levels, there, sizes)
    companions = _companions(model, static, given, like, len(coarse), lattice, levels)
    return Setting(weights, companions, model.clock_of(like, len(coarse), lattice, factors, times))


def informing(model: "Cascade", coarse: Any) -> xr.Dataset | None:
    """A Dataset that holds the companions that a model is given, beside what it refines; None if it does not."""
    known = [Companion.from_json(each) for each in model.metadata.get(COMPANIONS, [])]
    given = [each for each in known if each.kind == "given"]
    if not given or not isinstance(coarse, xr.Dataset):
        return None
    return coarse if all(find(coarse, each) is not None for each in given) else None


def fine_weights(
    model: "Cascade",
    coarse: Float[Tensor, "B C *K"],
    levels: int,
    mask: Tensor | None,
    areas: Tensor | None = None,
) -> Float[Tensor, "b c *F"] | None:
    """The weight of every fine site, of a coarse field with gaps, a mask and areas; None if all are alike."""
    weights = weights_of(coarse)
    if weights is not None:
        weights = weights.double()
        for axis, width in enumerate(model.grid.widths(levels), start=2):
            weights = weights.repeat_interleave(width, axis)
    if mask is not None and weights is not None:
        say(unused(mask, coarse, weights))
    whole = mask is None or bool((mask > 0).all())
    for part in (None if whole else mask, areas):
        if part is not None:
            part = part.double().to(coarse.device)
            weights = part if weights is None else weights * part
    if weights is None:
        return None
    blocks = measures(model.operator, weights, levels)[-1]
    assert blocks is not None
    empty = (blocks == 0) & ~coarse.isnan()
    if bool(empty.any()):
        raise InputError(
            f"the {'areas leave' if mask is None else 'mask leaves'} no site in {int(empty.sum())} of {empty.numel()} "
            "blocks in which the coarse field has a value; it must have one there, or the value be missing (NaN)"
        )
    return weights


def known_at_coarsest(
    x: Float[Tensor, "B G *K"], factors: tuple[Factor, ...], levels: int, deepest: int, boundary: Boundaries
) -> Float[Tensor, "B G *F"]:
    """Fields of level ``levels`` as a model sees them that knows their means at level ``deepest`` alone, at level 0.

    Means of equal cells, and between them straight lines: the same whatever the level they come from.
    """
    widths = scale_widths(factors, deepest)
    for axis, (width, own) in enumerate(zip(widths, scale_widths(factors, levels), strict=True), start=2):
        block = width // own
        if x.shape[axis] % block:
            raise InputError(
                f"a companion has {x.shape[axis]} sites along an axis, which blocks of {block} do not fill; a field "
                f"that only informs is known in blocks of {width} of the finest sites: give one that they fill"
            )
        x = x.unflatten(axis, (-1, block)).mean(axis + 1)
    return linear(x, widths, boundary)


def _mask(
    model: "Cascade", mask: Any, like: Any, coarse: tuple[int, ...], lattice: Lattice
) -> Float[Tensor, "b c *F"] | None:
    """A user's mask as weights of 1 and 0, which lie as the field does that was aligned with the model."""
    if mask is None:
        return None
    if not model.takes_gaps:
        raise InputError(
            "this model takes no mask; one of block spins by diffusion does, of one factor along all axes, without "
            "scattering and sweep"
        )
    notes: list[str] = []
    given = torch.from_numpy(laid_out(mask, like, model.grid.names, lattice, notes))
    say(notes)
    _check_shape("mask", given, coarse, lattice)
    if not bool(((given == 0) | (given == 1)).all()):
        wrong = float(given[(given != 0) & (given != 1)][0])
        raise InputError(f"the mask has values such as {wrong:g}; 1 says that a cell is there, 0 that it is missing")
    return given


def _areas(
    model: "Cascade", areas: Any, like: Any, coarse: tuple[int, ...], lattice: Lattice, factors: Lattice
) -> Float[Tensor, "b c *F"] | None:
    """The areas of fine cells: those given, or those that latitudes make where the model was trained with them."""
    if isinstance(areas, str):
        if areas != ALIKE:
            raise InputError(f"areas = {areas!r}; they are those of cells, or {ALIKE!r} where all count alike")
        return None
    if areas is None:
        return _areas_as_trained(model, like, factors)
    notes: list[str] = []
    given = torch.from_numpy(laid_out(areas, like, model.grid.names, lattice, notes, "file of areas"))
    say(notes)
    _check_shape("file of areas", given, coarse, lattice)
    if (wrong := int((~((given >= 0) & given.isfinite())).sum())) > 0:
        raise InputError(
            f"{wrong} of {given.numel()} areas of cells are negative or infinite, from {float(given.min()):g} to "
            f"{float(given.max()):g}; areas are 0 (missing) or more"
        )
    return given


def _areas_as_trained(model: "Cascade", like: Any, factors: Lattice) -> Float[Tensor, "1 1 *F"] | None:
    """Those of latitudes, if the training had these, which is said."""
    wanted = model.metadata.get(AREAS)
    if wanted == "given":
        raise InputError(
            f"this model was trained with areas of cells; give those of the fine cells ({option('--areas', 'areas=')})"
        )
    if wanted != "latitude":
        return None
    found = areas_of(like, model.grid.names, factors) if isinstance(like, xr.DataArray | xr.Dataset) else None
    if found is None:
        say(
            [
                "the model was trained with cells that latitudes weigh, and nothing is known of latitudes here: cells "
                f"count alike ({option('--areas FILE gives', 'areas= gives')} their areas)"
            ]
        )
        return None
    alike = option("--areas none")
    say([f"block means are weighted by the areas of cells, as in the training ({alike}: cells count alike)"])
    return torch.from_numpy(found)


def _companions(
    model: "Cascade", static: Any, given: Any, like: Any, count: int, lattice: Lattice, levels: int
) -> Float[Tensor, "b g *F"] | None:
    """The companions, in the order of the model and its units."""
    if model.companions is None:
        if static is not None or given is not None:
            raise InputError(
                f"this model knows no companions; train one with {option('--static or --given', 'companions=')}"
            )
        return None
    known = [Companion.from_json(each) for each in model.metadata.get(COMPANIONS, [])]
    if not known:
        known = [Companion(None) for _ in range(len(model.companions.mean))]
    parts: dict[int, np.ndarray] = {}
    for kind, source in (("static", static), ("given", given)):
        wanted = [i for i, each in enumerate(known) if each.kind == kind]
        if not wanted:
            if source is not None:
                raise InputError(f"this model knows no {kind} companions; leave {option(f'--{kind}', f'{kind}=')} away")
            continue
        if source is None:
            names = ", ".join(str(known[i].name) for i in wanted)
            where = next((f", as {known[i].file} was" for i in wanted if known[i].file), "")
            raise InputError(
                f"this model was trained beside {names}; give {option(f'--{kind} FILE', f'{kind}=')}{where}"
            )
        size = lattice if kind == "static" else model.operator.coarse_lattice(lattice, levels)
        laid = laid_beside(source, like, model.grid.names, [known[i] for i in wanted], size)
        parts |= zip(wanted, laid, strict=True)
    fields = []
    for i, each in enumerate(known):
        x = torch.from_numpy(parts[i])
        size = lattice if each.kind == "static" else model.operator.coarse_lattice(lattice, levels)
        _check_shape(f"companion {each.name or i}", x, (count, 1), size)
        x, gaps = fill_gaps(x, model.grid.boundaries)
        if gaps.any():
            say([f"{counted(gaps)} of the companion {each.name or i} are missing, and filled from the nearest ones"])
        if each.kind == "given":
            x = known_at_coarsest(x, model.grid.factors, levels, model.levels, model.grid.boundaries)
        fields.append(x)
    together = max(len(x) for x in fields)
    return torch.cat([x.expand(together, *x.shape[1:]) for x in fields], 1)


def _check_shape(what: str, given: Tensor, coarse: tuple[int, ...], lattice: Lattice) -> None:
    if tuple(given.shape[2:]) != lattice or any(n not in (1, m) for n, m in zip(given.shape[:2], coarse, strict=True)):
        raise InputError(
            f"the {what} has {given.shape[0]} samples, {given.shape[1]} channels and the lattice "
            f"{tuple(given.shape[2:])}; one sample or {coarse[0]}, one channel or {coarse[1]}, and the fine lattice "
            f"{lattice} are needed"
        )
