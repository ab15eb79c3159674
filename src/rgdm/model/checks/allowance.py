"""An upper bound on what building a model may allocate, where a file or an option says how large it is to be."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from rgdm.errors import InputError

SIZED = {torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn, torch.full, torch.eye, torch.arange}
"""What makes new tensors of a size that is given."""


class Allowance(TorchFunctionMode):
    """While it is entered, new tensors of more than so many bytes in all raise ``InputError`` before they are made.

    Args:
        most: bytes, of values of four bytes each.
        refusal: the sentence of the error.
    """

    def __init__(self, most: int, refusal: str) -> None:
        super().__init__()
        self.left, self.refusal = most, refusal

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in SIZED:
            self.left -= 4 * values(func, args, kwargs)
            if self.left < 0:
                raise InputError(self.refusal)
        return func(*args, **kwargs)


def values(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """How many values the tensor will have, about, that a factory function makes of these arguments."""
    given = args[0] if args and isinstance(args[0], tuple | list) else kwargs.get("size", args)
    size = [int(n) for n in given if isinstance(n, int | float)]
    if func is torch.eye:
        return size[0] * size[-1] if size else 0
    return max(size, default=0) if func is torch.arange else math.prod(size)
