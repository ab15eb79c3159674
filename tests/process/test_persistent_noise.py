"""Noise that persists in time: white in each frame, correlated between frames as is asked for, at any times."""

import math

import numpy as np
import pytest
import torch

from rgdm.process.correlation import fit_parts
from rgdm.process.noise import NoiseField, Window
from rgdm.process.persistence import Part, Persistence, PersistentNoise, correlation, pieces

WHOLE = Window.whole(0, (128, 128))
PARTS = (Part(1.0, 0.0, (0.3, 0.0)), Part(4.0, 0.0, (0.4, 0.2)), Part(16.0, math.pi / 3, (0.3, 0.8)))
REGULAR = [float(i) for i in range(-3, 7)]
IRREGULAR = [0.0, 0.31, 1.0, 1.77, 3.9, 4.0, 7.2, 11.03]


def frames(times: list[float], sequence: int = 5, draw: int = 0, window: Window = WHOLE, seed: int = 1) -> torch.Tensor:
    return PersistentNoise(NoiseField(seed), [PARTS], [(sequence, t) for t in times])(draw, 2, window)


def measured(x: torch.Tensor) -> np.ndarray:
    """Correlations over sites ``(detail, frame, frame)``."""
    flat = x.double().transpose(0, 1).flatten(2)
    return (flat @ flat.transpose(1, 2) / flat.shape[2]).numpy()


# --- the law -----------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [REGULAR, IRREGULAR])
def test_every_frame_is_white_and_of_unit_variance(times):
    x = frames(times).double()
    n = x[0, 0].numel()
    for field in x.flatten(0, 1):
        assert abs(float(field.mean())) < 4.5 / n**0.5
        assert abs(float(field.square().mean()) - 1) < 4.5 * (2 / n) ** 0.5
        assert abs(float(field.pow(4).mean()) - 3) < 4.5 * (96 / n) ** 0.5
        for axis in (0, 1):
            assert abs(float((field * field.roll(1, axis)).mean())) < 4.5 / n**0.5
    assert abs(float((x[:, 0] * x[:, 1]).mean())) < 4.5 / n**0.5  # details are independent


@pytest.mark.parametrize("times", [REGULAR, IRREGULAR])
def test_frames_are_correlated_as_their_parts_say(times):
    """At irregular times to 1/64 of a span; another correlation is found out."""
    lags = np.subtract.outer(times, times)
    wanted = correlation(PARTS, lags.ravel()).reshape(*lags.shape, 2).transpose(2, 0, 1)
    error = math.sqrt(2 / WHOLE.lattice[0] ** 2)
    off = np.abs(measured(frames(times)) - wanted).max()
    assert off < 4.5 * error + (0 if times is REGULAR else 0.03)
    other = correlation((Part(2.0, 0.0, (1.0, 1.0)),), lags.ravel()).reshape(*lags.shape, 2).transpose(2, 0, 1)
    assert np.abs(measured(frames(times)) - other).max() > 0.2


@pytest.mark.parametrize("span", [1.0, 2.0, 8.0, 64.0])
def test_the_weights_of_fresh_noise_have_the_triangle_as_their_correlation(span):
    """Without chance: at times that halve the span, exactly."""
    times = np.arange(-64, 65) * span / 8
    table = [pieces(float(t), span) for t in times]
    for i, own in enumerate(table):
        for j, other in enumerate(table):
            product = sum(weight * other.get(place, 0.0) for place, weight in own.items())
            assert product == pytest.approx(max(0.0, 1 - abs(times[i] - times[j]) / span), abs=1e-12)


def test_at_other_times_it_is_so_to_a_64th_of_the_span():
    times = np.random.default_rng(0).uniform(-20, 20, 200)
    table = [pieces(float(t), 8.0) for t in times]
    off = [
        sum(weight * other.get(place, 0.0) for place, weight in own.items()) - max(0.0, 1 - abs(s - t) / 8)
        for s, own in zip(times, table, strict=True)
        for t, other in zip(times, table, strict=True)
    ]
    assert max(map(abs, off)) < 1 / 64
    assert all(sum(w * w for w in own.values()) == pytest.approx(1, abs=1e-12) for own in table)


# --- keys --------------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [REGULAR, IRREGULAR])
def test_a_frame_made_alone_has_the_bits_of_that_in_a_sequence(times):
    together = frames(times)
    for i in (0, 4, len(times) - 1):
        assert torch.equal(frames([times[i]])[0], together[i])
    assert torch.equal(frames(times[::-1]).flip(0), together)


def test_a_part_of_a_frame_has_the_bits_of_the_whole():
    part = frames([1.77], window=Window(0, (40, 30), (50, 60)))
    assert torch.equal(part, frames([1.77])[..., 50:90, 60:90])


def test_frames_beyond_the_longest_span_have_no_noise_in_common():
    parts = [part for part in PARTS if part.span < 16]
    table = [{(part.span, *place) for part in parts for place in pieces(t, part.span)} for t in (0.3, 8.4, 3.1)]
    assert not table[0] & table[1] and table[0] & table[2]


def test_sequences_draws_and_seeds_have_noise_of_their_own():
    ways = ({}, {"sequence": 6}, {"draw": 1}, {"seed": 2})
    x = torch.stack([frames([0.0, 1.0], **way)[:, 1].flatten() for way in ways]).double()
    near = (x @ x.T / x.shape[1] - torch.eye(len(x))).abs().max()
    assert float(near) < 4.5 * (2 / x.shape[1]) ** 0.5
    later = frames([0.0, 1.0], draw=1)[:, 1].double()
    assert float((later[0] * later[1]).mean()) == pytest.approx(correlation(PARTS, [1.0])[0, 1], abs=0.04)


# --- fitted parts ------------------------------------------------------------------------------

LAGS = np.array([1, 2, 3, 4, 6, 8, 12, 16, 24, 32.0])


@pytest.mark.parametrize(
    ("law", "most"),
    [
        (lambda s: np.exp(-s / 0.8), 0.02),
        (lambda s: np.exp(-s / 3), 0.02),
        (lambda s: np.exp(-s / 10), 0.05),
        (lambda s: 0.5 + 0.5 * np.exp(-s / 2), 0.02),
        (lambda s: np.where(s > 0, 0.0, 1.0), 1e-6),
        (lambda s: np.exp(-(s**2) / 8), 0.03),
        (lambda s: np.exp(-s / 4) * np.cos(s), 0.03),
        (lambda s: 0.3 * np.cos(2 * np.pi * s / 24) + 0.7 * np.exp(-s / 5), 0.03),
        (lambda s: np.where(s == 0, 1.0, np.where(s == 1, -0.4, 0.0)), 0.08),
    ],
)
def test_any_correlation_in_time_is_met_by_a_few_parts(law, most):
    parts = fit_parts(LAGS, law(LAGS)[:, None])
    assert len(parts) <= 12
    assert np.abs(correlation(parts, LAGS)[:, 0] - law(LAGS)).max() < most
    assert abs(correlation(parts, [1.0])[0, 0] - law(np.array(1.0))) < 0.03
    assert correlation(parts, [0.0])[0, 0] == pytest.approx(1, abs=1e-9)


def test_a_decay_is_met_without_oscillations_and_also_between_the_lags():
    parts = fit_parts(LAGS, np.exp(-LAGS / 3)[:, None])
    between = np.linspace(1, 32, 200)
    assert {part.rate for part in parts} == {0.0}
    assert np.abs(correlation(parts, between)[:, 0] - np.exp(-between / 3)).max() < 0.03


def test_correlations_that_no_noise_has_become_those_of_noise():
    """Of three frames each cannot be opposite to both others."""
    parts = fit_parts(np.array([1.0, 2.0]), np.array([[-0.9], [-0.9]]))
    found = correlation(parts, [0, 1, 2])[:, 0]
    assert np.linalg.eigvalsh(found[np.abs(np.subtract.outer(range(3), range(3)))]).min() > -1e-9


def test_pairs_without_a_value_are_left_out():
    lags, law = np.tile(LAGS, 2), np.tile(np.exp(-LAGS / 3), 2)
    holes = np.where(np.arange(20) < 10, law, np.nan)
    assert fit_parts(lags, holes[:, None]) == fit_parts(LAGS, law[:10, None])


# --- what a model keeps ------------------------------------------------------------------------


def test_what_is_kept_as_json_comes_back():
    known = Persistence(21600.0, 1.5e9, "s", (PARTS, (Part(2.0, 0.0, (1.0, 1.0)),)))
    assert Persistence.from_json(known.to_json()) == known
    assert known.steps(np.array([1.5e9, 1.5e9 + 43200])).tolist() == [0.0, 2.0]


@pytest.mark.parametrize(
    "change",
    [
        {"step": 0.0},
        {"step": "a day"},
        {"origin": float("nan")},
        {"levels": ()},
        {"levels": ((),)},
        {"levels": (({"span": -1.0, "rate": 0.0, "shares": [1.0]},),)},
        {"levels": (({"span": 1.0, "rate": 0.0, "shares": [0.7]},),)},
        {"levels": (({"span": 1.0, "rate": 0.0, "shares": [1.5]}, {"span": 2.0, "rate": 0.0, "shares": [-0.5]}),)},
        {"levels": (({"span": 1.0, "rate": 0.0},),)},
    ],
)
def test_what_describes_no_correlation_is_refused(change):
    with pytest.raises(ValueError, match="no correlation in time"):
        Persistence.from_json(Persistence(1.0, 0.0, "s", (PARTS,)).to_json() | change)


def test_noise_of_another_number_of_details_and_frames_without_a_time_are_refused():
    with pytest.raises(ValueError, match="that of 2 details at level 0, not 3"):
        PersistentNoise(NoiseField(0), [PARTS], [(0, 0.0)])(0, 3, WHOLE)
    with pytest.raises(ValueError, match="a frame has no time"):
        PersistentNoise(NoiseField(0), [PARTS], [(0, math.nan)])
