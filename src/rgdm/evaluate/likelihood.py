"""How likely the truth is to a model, in bits per degree of freedom."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.evaluate.verification import Figures, estimate, plain
from rgdm.jackknife import jackknife
from rgdm.model.cascade.cascade import Cascade, Watch

WINDOW, TOGETHER = 2**12, 2**14
"""Sites of a window, and of all of them: the probability flow is dear."""
PROBES, TOLERANCE = 1, 1e-3
"""Of the probability flow: what one random sign says of a divergence is in the error over samples."""


def bits_per_dof(model: Cascade, truth: Float[Tensor, "B C *F"], levels: int, watch: Watch | None = None) -> Figures:
    """``-log2 p(detail | coarse)`` of each level per degree of freedom, and what of that the networks have saved.

    On one window each of evenly chosen samples; errors are jackknife errors over these.

    Raises:
        ValueError: if periodic fields are too large; there is no window of a torus that is one.
    """
    x = windows(truth, model.operator.factor**levels, periodic=model.boundary == "periodic").to(model.mean.device)
    found = torch.stack(model.log_prob(x, levels, probes=PROBES, tolerance=TOLERANCE, watch=watch).bits, 1)
    closed = torch.stack(model.log_prob(x, levels, networks=False).bits, 1)
    return plain(
        {
            "bits": estimate(jackknife(lambda mean: mean, found)) | {"samples": len(x), "lattice": list(x.shape[2:])},
            "bits_gain": estimate(jackknife(lambda mean: mean, closed - found)),
        }
    )


def windows(fields: Float[Tensor, "B C *F"], unit: int, periodic: bool) -> Float[Tensor, "N C *W"]:
    """The middle of some of the fields, of sides that ``unit`` divides; of periodic ones all, for they have no edge."""
    lattice = tuple(fields.shape[2:])
    if periodic and math.prod(lattice) > TOGETHER:
        raise InputError(
            f"the likelihood of a periodic field of {' x '.join(map(str, lattice))} sites takes long; it is left out "
            f"above {TOGETHER} sites (model.log_prob computes it)"
        )
    if not periodic:
        side = max(1, int((WINDOW / fields.shape[1]) ** (1 / len(lattice)) + 1e-9) // unit) * unit
        size = [min(side, n // unit * unit) for n in lattice]
        first = [(n - s) // 2 for n, s in zip(lattice, size, strict=True)]
        fields = fields[(..., *(slice(a, a + s) for a, s in zip(first, size, strict=True)))]
    count = min(len(fields), max(2, TOGETHER // fields[0].numel()))
    return fields[torch.linspace(0, len(fields) - 1, count).round().long().to(fields.device)]
