"""Heavy tails bent towards those of a Gaussian: ``asinh(s r) / s``, Johnson's S_U law (Johnson 1949)."""

import torch
from torch import Tensor

MOST_VALUES = 200_000
"""Values of a band that the kurtosis is measured on."""


def fit_tail(ratio: Tensor, most: float) -> Tensor:
    """The s up to ``most`` for which ``asinh(s r) / s`` is nearest to the kurtosis 3 of a Gaussian (bisection)."""
    sample = ratio[:: max(1, len(ratio) // MOST_VALUES)].double()
    low, high = 0.0, most
    if _kurtosis(sample) <= 3.05:
        return ratio.new_zeros(())
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if _kurtosis(torch.asinh(middle * sample)) > 3 else (low, middle)
    return ratio.new_tensor((low + high) / 2)


def bandwise(x: Tensor, present: Tensor | None) -> list[Tensor]:
    """The values of each band of ``(B, D, *K)``, of those that there are."""
    bands = x.movedim(1, 0).flatten(1)
    if present is None:
        return list(bands)
    return [band[there] for band, there in zip(bands, present.movedim(1, 0).flatten(1) > 0, strict=True)]


def compress(ratio: Tensor, tail: Tensor) -> Tensor:
    """``asinh(s r) / s`` with one s for each band, and r itself where s = 0."""
    s = per_band(tail, ratio)
    safe = s.clamp(min=1e-3)
    return torch.where(s > 0, torch.asinh(safe * ratio) / safe, ratio)


def expand(bent: Tensor, tail: Tensor) -> Tensor:
    """The inverse of :func:`compress`."""
    s = per_band(tail, bent)
    safe = s.clamp(min=1e-3)
    return torch.where(s > 0, torch.sinh(safe * bent) / safe, bent)


def per_band(value: Tensor, like: Tensor) -> Tensor:
    """One value for each band, ``(1, D, 1, ...)``, in the precision of a field."""
    return value.to(like).reshape(1, -1, *[1] * (like.dim() - 2))


def _kurtosis(x: Tensor) -> float:
    return float(x.pow(4).mean() / x.square().mean().square())
