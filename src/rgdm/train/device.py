"""The device to train on, and the arithmetic that it does well."""

import torch

from rgdm.errors import InputError
from rgdm.notes import option


def choose_device(name: str) -> torch.device:
    """``auto`` is cuda where there is one."""
    if name not in ("auto", "cpu", "cuda"):
        raise InputError(f"unknown device {name!r}; known are auto, cpu and cuda (which one: CUDA_VISIBLE_DEVICES)")
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise InputError(f"the device {name!r} is not available here; use {option('--device cpu')}")
    return torch.device("cuda" if there and name != "cpu" else "cpu")


def choose_precision(precision: str, device: str) -> str:
    """accelerate's name for the arithmetic of training; ``auto`` takes bfloat16 where the hardware has it."""
    known = {"float32": "no", "bfloat16": "bf16"}
    if precision in known:
        return known[precision]
    if precision != "auto":
        raise InputError(f"unknown precision {precision!r}; known are auto, float32 and bfloat16")
    if device != "cpu" and torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "no"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() else "no"
