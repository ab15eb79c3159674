"""Derivatives along a direction, in forward mode."""

import threading
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_ONE_AT_A_TIME = threading.RLock()
"""The levels of forward mode are counted for the process, not for the thread: one thread would end another's."""


def along(function: Callable[[Tensor], Any], x: Tensor, direction: Tensor) -> tuple[Any, Any]:
    """``f(x)`` and its derivative along the direction, each as the function returns it; one thread after the other."""
    with _ONE_AT_A_TIME, warnings.catch_warnings():  # at its first use torch warns of a deprecation of its own
        warnings.filterwarnings("ignore", message=".*torch.jit.script", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*torch.jit.script", category=DeprecationWarning)
        value, derivative = torch.func.jvp(function, (x,), (direction,))[:2]
    return value, derivative
