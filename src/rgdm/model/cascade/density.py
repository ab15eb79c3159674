"""How likely fields are to a cascade: the sum over its levels, for the split keeps volumes."""

import math
from typing import TYPE_CHECKING, Any

import torch

from rgdm.errors import InputError
from rgdm.model.cascade.edge import take
from rgdm.model.cascade.fields import Fields
from rgdm.model.laws.likelihood import Likelihood, LogProb, TooManyDetailsError, Tracing, signs
from rgdm.model.lifts.setting import NOWHERE, Setting
from rgdm.scale.grid import in_words
from rgdm.watch import Watch

if TYPE_CHECKING:
    from rgdm.model.cascade.cascade import Cascade


@torch.no_grad()
def log_prob(
    model: "Cascade",
    x: Any,
    levels: int | None = None,
    probes: int | None = None,
    tolerance: float = 1e-5,
    seed: int = 0,
    networks: bool = True,
    watch: Watch | None = None,
    force: bool = False,
    place: Setting = NOWHERE,
) -> Likelihood:
    """log p of fields in the units of the training data.

    Args:
        model: the cascade.
        x: fields on a lattice that is divisible by ``factor^levels``: a tensor, an array or an xarray object, as
            :meth:`~rgdm.model.cascade.cascade.Cascade.refine` takes them.
        levels: the density of the detail of so many levels given the coarse field, as of ``refine``; None: of the whole
            field, as of ``sample``, at the temperatures of fields that come from nothing.
        probes: random signs that estimate the divergence of the networks (diffusion lifts), with its error from 2 on;
            None computes it, for at most 1024 details a field.
        tolerance: of the probability flow.
        seed: of the signs.
        networks: False leaves them out: the likelihood of the closed-form part, to compare with.
        watch: is told after each level.
        place: the areas of the cells and the companions of the fields, in the user's units.
        force: take an xarray object as it is where it does not agree with the training data, as ``refine`` does.

    Returns:
        ``total``, log p of each field in these units; ``bits`` of each level and the base, per degree of freedom
        of normalised fields; ``levels`` and ``base``, the parts of the sum.
    """
    depth = model.depth(levels)
    x, _, _ = take(model, x, "the field", force=force)
    x = x.to(model.device)
    if not bool(x.isfinite().all()):
        raise InputError(f"{int((~x.isfinite()).sum())} of {x.numel()} values are not finite; drop or fill them")
    if place.weights is not None and set(model.grid.factors) != {2} and bool((place.weights == 0).any()):
        raise InputError(
            f"{int((place.weights == 0).sum())} cells have no area, which leaves blocks of factor "
            f"{in_words(model.grid.factors)} fewer details than a density counts; the likelihood is of whole fields"
        )
    if probes is not None and probes < 1:
        raise InputError(f"probes is {probes}; at least 1 is needed, or None to compute the divergence")
    model.operator.check_depth(tuple(x.shape[2:]), depth)
    fields = model.normalised(Fields(x.double(), place.to(x.double())))
    fine, setting, parts = fields.values, fields.setting, []
    for level in range(depth):
        operator = model.operator.at(level)
        coarse, detail = setting.on(operator).split(fine)
        random = None if probes is None else signs(detail, probes, 1000 * seed + level)
        try:
            tracing = Tracing(random, tolerance)
            parts.append(model.lift(level).log_prob(fine, tracing, levels is None, networks, setting))
        except TooManyDetailsError as error:
            raise InputError(f"level {level}: {error}; pass probes=2 or more, or networks=False") from None
        fine, setting = coarse, setting.coarsen(operator)
        if watch:
            watch(level + 1, depth)
    dofs, size = model.dofs(tuple(x.shape[2:])), model.repetition.scale(model.levels)
    base = None
    if levels is None:
        base = LogProb.without_error(model.base.log_prob(fine / size) - dofs[-1] * math.log(size))
    dofs = dofs if levels is None else dofs[:depth]
    units = -float(model.units.scale.log().mean()) * sum(dofs)
    return Likelihood(parts, base, units, dofs)
