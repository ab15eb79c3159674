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
    values = log_weights.detach().double().cpu()
    if values.dim() != 1 or not bool(values.isfinite().all()):
        raise InputError(f"log weights of shape {tuple(values.shape)}; one finite number of each field is needed")
    count = len(values)
    size = min(count // 5, math.ceil(3 * math.sqrt(count)))
    ordered = (values - values.max()).sort().values.exp()
    if size < FEWEST:
        return math.nan if not count or float(ordered[0]) < 1 - EQUAL else -math.inf
    beyond = ordered[-size:] - ordered[-size - 1]
    beyond = beyond[beyond > 0]  # equal weights stand at the threshold
    if len(beyond) < FEWEST or float(beyond[-1]) < EQUAL:
        return -math.inf
    return (len(beyond) * _fitted_index(beyond) + 10 * 0.5) / (len(beyond) + 10)


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
