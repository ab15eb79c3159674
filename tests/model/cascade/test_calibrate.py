"""Temperatures: they find back what was taken from the detail, level by level."""

import pytest
import torch

from rgdm.model.cascade.calibrate import _spread_skill, _windows, calibrate, calibrate_free
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.lifts.setting import NOWHERE, Setting
from rgdm.process.noise import NoiseField
from rgdm.scale.basis import Fourier
from rgdm.scale.grid import Grid
from rgdm.scale.operators.block import BlockSpin
from small import cascade

LEVELS = 3


def white(count: int = 96) -> torch.Tensor:
    """White noise: its detail is white and independent of the coarse field at every level."""
    return torch.randn(count, 1, 32, 32)


def too_narrow(by: float, level: int) -> Cascade:
    """A cascade that is right for white noise but for the detail of one level, too small by a factor."""
    model = cascade(levels=LEVELS, boundary="periodic", width=4, encoder_blocks=1, decoder_blocks=1)
    model.fit(white())
    lift = model.lift(level)
    lift.standardizer.tail.zero_()
    lift.standardizer.colouring.colour.kernel.div_(by)
    return model


@pytest.mark.integration
@pytest.mark.parametrize("level", range(LEVELS))
def test_the_temperature_makes_good_what_one_level_lacks_and_leaves_the_others_alone(level):
    found = calibrate(too_narrow(1.25, level), white())[:, 0].tolist()
    wanted = [1.25 if each == level else 1.0 for each in range(LEVELS)]
    assert found == pytest.approx(wanted, rel=0.06)
    assert found[level] == pytest.approx(1.25, rel=0.04)


@pytest.mark.integration
@pytest.mark.parametrize("level", range(LEVELS))
def test_free_temperatures_make_good_the_power_that_one_level_lacks_in_fields_from_nothing(level):
    model = too_narrow(1.25, level)
    found = calibrate_free(model, white(1000), sites=300_000)[:, 0].tolist()
    wanted = [1.25 if each == level else 1.0 for each in range(LEVELS)]
    assert found == pytest.approx(wanted, rel=0.03)
    assert [float(model.lift(each).temperature) for each in range(LEVELS)] == [1.0] * LEVELS
    made = model.sample((32, 32), 512)
    for _ in range(level):
        made = model.operator.coarsen(made)
    assert float(model.operator.split(made)[1].square().mean()) == pytest.approx(1, rel=0.05)


def test_free_temperatures_are_those_of_fields_from_nothing_alone():
    model, noise = too_narrow(1.0, 0), NoiseField(0, "refine").of(range(2))
    coarse = torch.randn(2, 1, 4, 4)
    before = model.sample((32, 32), 2), model.descend(coarse, LEVELS, noise)
    for level in range(LEVELS):
        model.lift(level).free_temperature.fill_(0.5)
    after = model.sample((32, 32), 2), model.descend(coarse, LEVELS, noise)
    torch.testing.assert_close(after[1], before[1])
    power = [float(model.operator.split(x[0])[1].square().mean()) for x in (before, after)]
    assert power[1] / power[0] == pytest.approx(0.25, rel=0.05)


@pytest.mark.integration
@pytest.mark.parametrize("free", [False, True])
def test_each_channel_has_a_temperature_of_its_own(free):
    model = cascade(levels=1, channels=2, boundary="periodic", width=4, encoder_blocks=1, decoder_blocks=1)
    x = torch.randn(512, 2, 16, 16)
    model.fit(x)
    parts = model.own_lift(0).standardizer
    parts.tail.zero_()
    parts.amplitude.band[1] /= 1.25
    found = (calibrate_free if free else calibrate)(model, x)[0].tolist()
    assert found == pytest.approx([1.0, 1.25], rel=0.04)


@pytest.mark.integration
def test_pieces_of_red_fields_give_the_free_temperatures_of_whole_ones():
    """A base field on a lattice smaller than the fitted one is as smooth as a piece of a large one."""
    k = Fourier().wavenumber((256, 256))
    wide = Fourier().synthesize(torch.randn(12, 1, 256, 256) * (k.square() + 0.02**2).pow(-0.75).float())
    x = wide.unfold(2, 128, 128).unfold(3, 128, 128).transpose(1, 3).reshape(-1, 1, 128, 128)
    model = cascade(levels=2, boundary="reflect", width=4, encoder_blocks=1, decoder_blocks=1)
    model.fit(x / x.std())
    for lift in (model.lift(0), model.lift(1)):
        lift.standardizer.amplitude.gamma.zero_()
        lift.standardizer.amplitude.rise.zero_()
    whole, pieces = (calibrate_free(model, x / x.std(), sites)[:, 0].tolist() for sites in (10**6, 10**5))
    assert pieces == pytest.approx(whole, rel=0.08)


def intermittent(count: int) -> torch.Tensor:
    """White fields whose amplitude varies from site to site, smoothly: the rougher the coarse field, the more detail.

    The logarithm of the amplitude is Gaussian; all sites together have the variance 1.
    """
    k = Fourier().wavenumber((64, 64))
    wave = Fourier().synthesize(torch.randn(count, 1, 64, 64) * torch.exp(-(k.square()) * 32).float())
    return torch.exp(wave / wave.std() - 1) * torch.randn(count, 1, 64, 64)


@pytest.mark.integration
def test_fields_from_nothing_are_as_strong_as_intermittent_data():
    """Their coarse fields are not intermittent, so that what is read off roughness has another mean square."""
    x = intermittent(200)
    model = cascade(levels=2, boundary="periodic", width=4, encoder_blocks=1, decoder_blocks=1)
    model.fit(x)
    assert float(model.own_lift(0).standardizer.amplitude.gamma.abs().max()) > 0.3  # roughness tells the amplitude

    def power() -> list[float]:
        made, true = model.sample((64, 64), 200), x
        found = []
        for _ in range(2):
            made, made_detail = model.operator.split(made)
            true, true_detail = model.operator.split(true)
            found.append(float(made_detail.square().mean() / true_detail.square().mean()))
        return found

    before = power()
    calibrate_free(model, x)
    assert max(abs(each - 1) for each in before) > 0.1  # else there would be nothing to make good
    assert power() == pytest.approx([1, 1], abs=0.06)


def test_an_enlarged_cascade_is_not_calibrated():
    with pytest.raises(ValueError, match="calibrate the one that it was enlarged from"):
        calibrate_free(too_narrow(1.0, 0).enlarged(1, 1.5), white(4))


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_the_finest_level_is_looked_at_through_windows_that_belong_together(boundary):
    truth = torch.randn(5, 2, 24, 32)
    step = BlockSpin(2)
    members = step.coarsen(truth).repeat_interleave(3, 0)
    place = Setting(truth[:, :1].exp(), truth)
    coarse, fine, setting = _windows(members, truth, place, 3, Grid.uniform(2, boundary), 1500)
    assert torch.equal(setting.companions, fine) and torch.equal(setting.weights, fine[:, :1].exp())
    assert 750 < fine[:, 0].numel() <= (3840 if boundary == "reflect" else 1536)
    torch.testing.assert_close(coarse, step.coarsen(fine).repeat_interleave(3, 0))


@pytest.mark.integration
def test_free_runs_begin_as_many_levels_up_as_depth_says(monkeypatch):
    begun: list[tuple[int, bool]] = []

    def refined(model, level, coarse, log_temperature, setting):
        assert setting == NOWHERE
        true = any(torch.equal(c, t) for c in coarse[:1] for t in path[level + 1])
        begun.append((level, true))
        model.lift(level).temperature.fill_(1.0)
        return model.operator.prolong(coarse)

    model, x = too_narrow(1.0, 0), white(8)
    path = [model.normalise(x)]
    for _ in range(LEVELS):
        path.append(model.operator.coarsen(path[-1]))
    monkeypatch.setattr("rgdm.model.cascade.calibrate._refined", refined)
    for depth, true in {1: {0, 1, 2}, 2: {1, 2}, 3: {2}, 9: {2}}.items():
        begun.clear()
        calibrate(model, x, depth=depth, rounds=1)
        assert {level for level, from_truth in begun if from_truth} == true


def uneven(count: int, alike: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Members of a right ensemble and the truth, ``(8 count, 1, 32, 32)``: sites in patches of 8, rough and smooth.

    ``alike``: all samples show the same patches and the same errors in them but for a little.
    """
    size = torch.randn(count, 1, 4, 4).exp()
    members, truth = torch.randn(8, count, 1, 4, 4), torch.randn(count, 1, 4, 4)
    if alike:
        size, truth = size[:1].expand_as(size), truth[:1].expand_as(truth)
    fine = [(size * x).repeat_interleave(8, -1).repeat_interleave(8, -2) for x in (members, truth)]
    return fine[0].transpose(0, 1).flatten(0, 1), fine[1]


def test_the_error_of_spread_over_skill_is_its_scatter_also_of_samples_that_are_alike():
    torch.manual_seed(0)
    for alike, count in ((False, 12), (True, 12)):
        found = torch.tensor([[float(part) for part in _spread_skill(*uneven(count, alike), 8, 1)] for _ in range(200)])
        scatter, error = float(found[:, 0].std()), float(found[:, 1].square().mean().sqrt())
        assert 0.6 * scatter < error < 1.8 * scatter


def test_repeating_a_sample_makes_no_temperature_surer():
    """One patch out of twenty is missed by chance: an excess that its own error explains is left."""
    torch.manual_seed(1)
    members, truth = uneven(1, alike=True)
    once = _spread_skill(members, truth, 8, 1)
    often = _spread_skill(members.repeat(50, 1, 1, 1), truth.repeat(50, 1, 1, 1), 8, 1)
    torch.testing.assert_close(often, once)


def test_an_excess_that_chance_explains_leaves_the_temperature_alone():
    model, few = too_narrow(1.02, 0), white(3)
    assert calibrate(model, few)[0, 0] == pytest.approx(1.0, abs=0.02)
