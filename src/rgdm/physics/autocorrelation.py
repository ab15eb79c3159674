"""Means of correlated Monte Carlo histories with honest errors: the Gamma method."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rgdm.errors import InputError

WINDOW = 1.5
"""Parameter S of the automatic window: the assumed ratio of the exponential to the integrated time."""


class Series(NamedTuple):
    """The mean of a history with its error and autocorrelation time."""

    value: float
    error: float
    tau: float
    """Integrated autocorrelation time, ``1/2 + sum rho(t)``, in updates."""
    tau_error: float
    window: int
    """The lag at which the sum is cut."""


def gamma_method(history: ArrayLike) -> Series:
    """Mean, error and integrated autocorrelation time of a history ``(T,)``, or of replicas ``(R, T)``.

    Wolff 2004, Comput. Phys. Commun. 156, 143 (hep-lat/0306017): the autocovariance is summed up to the window at
    which the truncated bias balances the noise, and corrected for the finite length. Independent values have
    ``tau = 1/2``.
    """
    x = np.atleast_2d(np.asarray(history, dtype=np.float64))
    length = x.shape[-1]
    if x.ndim != 2 or length < 4 or not np.isfinite(x).all():
        raise InputError(
            f"a history of shape {np.shape(history)}; at least 4 finite values for each replica are needed"
        )
    count = x.size
    deviation = x - x.mean()
    covariance = _autocovariance(deviation, max(2, length // 2))
    if covariance[0] <= 0:
        return Series(float(x.mean()), 0.0, 0.5, 0.0, 0)
    rho = covariance / covariance[0]
    window = _window(rho, count)
    sigma = covariance[0] + 2 * covariance[1 : window + 1].sum()
    covariance = covariance + sigma / count  # eq. 32: the mean was estimated too
    sigma = covariance[0] + 2 * covariance[1 : window + 1].sum()
    tau = float(sigma / (2 * covariance[0]))
    tau_error = tau * 2 * math.sqrt(max(0.0, window - tau + 0.5) / count)  # eq. 42
    return Series(float(x.mean()), math.sqrt(max(0.0, sigma) / count), tau, tau_error, window)


def _autocovariance(deviation: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """Gamma(t) for t < ``most`` from all replicas (eq. 31)."""
    replicas, length = deviation.shape
    spectrum = np.fft.rfft(deviation, 2 * length)
    raw = np.fft.irfft(np.abs(spectrum) ** 2, 2 * length)[:, :most].sum(0)
    return raw / (replicas * (length - np.arange(most)))


def _window(rho: NDArray[np.float64], length: float) -> int:
    """The first W at which ``exp(-W / tau) - tau / sqrt(W N)`` turns negative (eq. 50 to 52)."""
    summed = 0.5 + np.cumsum(rho[1:])
    for w, tau_int in enumerate(summed, start=1):
        tau = WINDOW / math.log((2 * tau_int + 1) / (2 * tau_int - 1)) if tau_int > 0.5 else 1e-12
        if math.exp(-w / tau) - tau / math.sqrt(w * length) < 0:
            return w
    return len(rho) - 1
