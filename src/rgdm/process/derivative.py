"""Derivatives along a direction, in forward mode."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def along(function: Callable[[Tensor], Any], x: Tensor, direction: Tensor) -> tuple[Any, Any]:
    """``f(x)`` and its derivative along the direction, each as the function returns it."""
    with warnings.catch_warnings():  # at its first use torch warns of a deprecation of its own
        warnings.filterwarnings("ignore", message=".*torch.jit.script", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*torch.jit.script", category=DeprecationWarning)
        value, derivative = torch.func.jvp(function, (x,), (direction,))[:2]
    return value, derivative
