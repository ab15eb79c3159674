"""How heavy the tail of importance weights is: the index of a generalised Pareto distribution."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError

FEWEST = 5
"""Fewest weights of a tail that are fitted."""
EQUAL = 1e-3
"""Relative difference of weights that makes no tail."""


def pareto_index(log_weights: Float[Tensor, " N"]) -> float:
    """k-hat, the index of the Pareto tail of N weights: moments of an order above ``1 / k`` do not exist.

    The ``min(N / 5, 3 sqrt N)`` largest weights are fitted by a generalised Pareto distribution (Zhang & Stephens 2009,
    Technometrics 51, 316), with the weak prior of Vehtari et al. 2024, J. Mach. Learn. Res. 25, 72 (PSIS).

    Returns:
        k-hat; ``-inf`` where the largest weights are equal to ``EQUAL``, NaN where N is below 25.
    """
    ordered, size = _ordered(log_weights)
    if size < FEWEST:
        return math.nan if not len(ordered) or float(ordered[0]) < 1 - EQUAL else -math.inf
    beyond = ordered[-size:] - ordered[-size - 1]
    beyond = beyond[beyond > 0]  # equal weights stand at the threshold
    if len(beyond) < FEWEST or float(beyond[-1]) < EQUAL:
        return -math.inf
    return (len(beyond) * _fitted_index(beyond) + 10 * 0.5) / (len(beyond) + 10)


def tail_share(log_weights: Float[Tensor, " N"]) -> float:
    """What share of the sum of the squares of the weights lies in the tail of :func:`pareto_index`."""
    ordered, size = _ordered(log_weights)
    return float(ordered[len(ordered) - size :].square().sum() / ordered.square().sum())


def _ordered(log_weights: Float[Tensor, " N"]) -> tuple[Float[Tensor, " N"], int]:
    """Ascending weights, the largest 1, and how many belong to the tail."""
    values = log_weights.detach().double().cpu()
    if not bool(values.isfinite().all()):
        raise InputError("log weights that are not finite; one finite number of each field is needed")
    size = min(len(values) // 5, math.ceil(3 * math.sqrt(len(values))))
    return (values - values.max()).sort().values.exp(), size


def _fitted_index(beyond: Float[Tensor, " M"]) -> float:
    """Zhang & Stephens' estimate from ascending excesses over the threshold."""
    size = len(beyond)
    quarter, number = beyond[int(size / 4 + 0.5) - 1], 30 + int(math.sqrt(size))
    steps = torch.arange(1, number + 1, dtype=torch.float64)
    theta = 1 / beyond[-1] + (1 - (number / (steps - 0.5)).sqrt()) / (3 * quarter)
    index = torch.log1p(-theta[:, None] * beyond).mean(1)
    likelihood = size * ((-theta / index).log() - index - 1)
    mean = (likelihood.softmax(0) * theta).sum()
    return float(torch.log1p(-mean * beyond).mean())
