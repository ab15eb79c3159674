"""The Gamma method: chains of known autocorrelation, and another implementation."""

import numpy as np
import pytest

from rgdm.physics.autocorrelation import gamma_method


def walk(memory, length, replicas=1, seed=0):
    """An AR(1) process, ``tau = (1 + a) / (1 - a) / 2``, of unit variance."""
    noise = np.random.default_rng(seed).standard_normal((replicas, length)) * np.sqrt(1 - memory**2)
    x = np.empty_like(noise)
    x[:, 0] = noise[:, 0] / np.sqrt(1 - memory**2)
    for t in range(1, length):
        x[:, t] = memory * x[:, t - 1] + noise[:, t]
    return x


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_the_time_and_the_error_of_a_known_process(memory):
    series = gamma_method(walk(memory, 40_000, 3))
    tau = (1 + memory) / (1 - memory) / 2
    assert abs(series.tau - tau) < 4 * series.tau_error + 0.01 * tau
    assert series.error == pytest.approx(np.sqrt(2 * tau / 120_000), rel=0.15)
    assert abs(series.value) < 4 * series.error


@pytest.mark.integration
def test_it_agrees_with_pyerrors():
    pe = pytest.importorskip("pyerrors")
    for x, names in ((walk(0.8, 20_000), ["a"]), (walk(0.8, 10_000, 2), ["a|1", "a|2"])):
        other = pe.Obs(list(x), names)
        other.gamma_method(S=1.5)
        series = gamma_method(x)
        assert series.value == pytest.approx(other.value, rel=1e-9)
        assert series.error == pytest.approx(other.dvalue, rel=0.01)
        assert series.tau == pytest.approx(next(iter(other.e_tauint.values())), rel=0.01)


def test_a_history_without_change_has_no_error():
    assert gamma_method(np.ones(50)) == (1.0, 0.0, 0.5, 0.0, 0)


@pytest.mark.parametrize("history", [[1.0, 2.0], [1.0, 2.0, np.nan, 4.0]])
def test_too_little_is_refused(history):
    with pytest.raises(ValueError, match="at least 4 finite values"):
        gamma_method(history)
