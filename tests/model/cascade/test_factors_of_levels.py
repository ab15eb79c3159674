"""One model of levels of different factors: x6 is a level of 2 and a level of 3."""

import json
import math

import numpy as np
import pytest
import torch
import xarray as xr

from rgdm.design import Design
from rgdm.errors import InputError
from rgdm.evaluate import judge
from rgdm.evaluate.baselines import block_mean
from rgdm.evaluate.likelihood import bits_per_dof
from rgdm.evaluate.spectra import octave_ratio
from rgdm.model.cascade.calibrate import calibrate, calibrate_free, tiles
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.cascade.fields import Fields
from rgdm.model.cascade.place import known_at_coarsest
from rgdm.model.lifts.setting import Setting
from rgdm.scale.grid import Grid
from rgdm.train.batches import Batches, shares
from rgdm.train.heldout import hold_back, likeness
from rgdm.train.learner import Learner
from small import cascade, check_learning, fitted

SIX = [(2, 3)]


def gaussian(count: int, lattice: tuple[int, int] = (48, 72), slope: float = 3.0) -> torch.Tensor:
    """Correlated Gaussian fields on a torus, ``S(k) ~ k^-slope``."""
    k2 = torch.fft.fftfreq(lattice[0])[:, None] ** 2 + torch.fft.rfftfreq(lattice[1])[None] ** 2
    white = torch.fft.rfft2(torch.randn(count, 1, *lattice, dtype=torch.float64))
    return torch.fft.irfft2(white / (k2 + 1e-3) ** (slope / 4), s=lattice)


@pytest.mark.usefixtures("float64")
def test_a_model_of_6_keeps_block_means_and_the_spectrum_and_is_the_same_from_disk(tmp_path):
    torch.manual_seed(0)
    x = gaussian(32)
    model = fitted(x, boundary="periodic", factor=SIX)
    coarse = model.trajectory(x)[-1]
    assert coarse.shape == (32, 1, 8, 12)
    torch.testing.assert_close(coarse, block_mean(x, 6), rtol=0, atol=1e-12)
    fine = model.refine(coarse, members=2, seed=1)
    torch.testing.assert_close(block_mean(fine.flatten(0, 1), 6), coarse.repeat(2, 1, 1, 1), rtol=0, atol=1e-12)
    ratio = octave_ratio(fine, x, "periodic")[1]
    assert bool(((ratio.value - 1).abs() < 0.03 + 3 * ratio.error).all()), ratio
    at_once = fitted(x, boundary="periodic", factor=6, levels=1)  # one level of 6 is known to be less good
    assert abs(octave_ratio(at_once.refine(coarse, members=2), x, "periodic")[1].value[0] - 1) > 0.1
    model.save_pretrained(tmp_path / "model")
    again = Cascade.from_pretrained(tmp_path / "model").double()
    assert again.grid == model.grid and again.grid.factors == ((2, 3), (2, 3))
    assert json.loads((tmp_path / "model" / "config.json").read_text())["configuration"]["grid"][0]["factor"] == [2, 3]
    assert torch.equal(again.refine(coarse, members=2, seed=1), fine)
    assert torch.equal(again.sample((12, 18), seed=3), model.sample((12, 18), seed=3))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("factors", [(2, 3), (3, 2), (2, 2, 3), (5,)])
def test_every_depth_keeps_its_means_with_areas_and_without(factors):
    b = math.prod(factors)
    x, areas = 280 + gaussian(8, (2 * b, 3 * b)), 0.1 + torch.rand(1, 1, 2 * b, 3 * b)
    model = cascade(levels=len(factors), factor=[factors])
    for place in (Setting(), Setting(areas)):
        model.fit(Fields(x, place))
        for levels in range(1, len(factors) + 1):
            width, w = math.prod(factors[:levels]), torch.ones_like(areas) if place.weights is None else areas
            coarse = model.trajectory(x, levels, place.weights)[-1]
            torch.testing.assert_close(coarse, block_mean(w * x, width) / block_mean(w, width), rtol=0, atol=1e-12)
            fine = model.refine(coarse, levels, members=2, areas=place.weights).flatten(0, 1)
            assert fine.shape[2:] == tuple(n * width for n in coarse.shape[2:])
            kept = block_mean(w * fine, width) / block_mean(w, width)
            torch.testing.assert_close(kept, coarse.repeat(2, 1, 1, 1), rtol=0, atol=1e-12)


@pytest.mark.usefixtures("float64")
def test_factors_that_are_equal_make_the_model_of_one_factor_to_the_bit():
    x = gaussian(8, (36, 36))
    models = []
    for factor in (3, [(3, 3)], [(3, 3), 3]):
        torch.manual_seed(0)
        models.append(fitted(x, learned=True, factor=factor))
    one, *others = models
    coarse = one.trajectory(x)[-1]
    for other in others:
        assert other.configuration == one.configuration and dict(other.state()).keys() == dict(one.state()).keys()
        for (_, mine), (_, its) in zip(one.state(), other.state(), strict=True):
            mine.data = its.data
        assert torch.equal(one.refine(coarse, seed=2), other.refine(coarse, seed=2))


def test_levels_of_equal_factors_share_a_network():
    model = cascade(levels=3, factor=[(2, 2, 3)])
    served = [learner.levels for learner in Learner.of(model)]
    assert served == [(0, 1), (2,)] and shares(model) == [0.6**level for level in range(3)]
    assert [learner.levels for learner in Learner.of(cascade(levels=3, factor=[(2, 2, 3)], shared=False))] == [
        (0,),
        (1,),
        (2,),
    ]
    assert [learner.levels for learner in Learner.of(cascade(levels=2, lift="flow", factor=SIX))] == [(0,), (1,)]


@pytest.mark.usefixtures("float64")
def test_one_axis_may_differ_by_level_and_another_be_left_alone():
    x = gaussian(12, (36, 36)).reshape(3, 1, 4, 36, 36)
    model = fitted(x, learned=True, factor=(1, (3, 2), (2, 3)))
    assert model.operator.at(0).bands(3) == 5 and [learner.levels for learner in Learner.of(model)] == [(0,), (1,)]
    coarse = model.trajectory(x)[-1]
    assert coarse.shape == (3, 1, 4, 6, 6)
    fine = model.refine(coarse)
    torch.testing.assert_close(model.trajectory(fine[0])[-1], coarse, rtol=0, atol=1e-12)


@pytest.mark.usefixtures("float64")
def test_it_learns_and_is_calibrated(monkeypatch):
    torch.manual_seed(0)
    x = gaussian(4, (24, 36))
    model = fitted(x, factor=SIX)
    batches = Batches(model, model.normalise(x).float(), 0)
    for level, (bands, width) in enumerate([(3, 2), (8, 3)]):
        batch = batches.of_level(level, torch.Generator().manual_seed(0))
        assert batch.noise.shape[1] == bands
        sites = [n + 2 * h for n, h in zip(batch.noise.shape[2:], batch.halo, strict=True)]
        assert list(batch.fine.shape[2:]) == [width * n for n in sites]
    check_learning(model, Fields(x), monkeypatch)
    assert bool(calibrate_free(model, x, rounds=2).isfinite().all())
    figures = bits_per_dof(model, x, 2)
    assert len(figures["bits"]["value"]) == 2  # pyright: ignore


@pytest.mark.usefixtures("float64")
def test_pieces_of_fields_divide_at_all_levels():
    x = gaussian(4, (72, 72))
    model = fitted(x, factor=SIX)
    assert tiles(model, Fields(x), 900, 1).lattice == (24, 24) and tiles(model, Fields(x), 900).lattice == (72, 72)
    calibrate(model, x, sites=800, rounds=1)
    parts = hold_back(x, model.grid, 2, ordered=False, where="space")
    assert parts.held_out is not None and sorted(parts.held_out.lattice) == [12, 72]
    assert likeness(x[:1], x[:1], model.grid.factors_at(0)) == pytest.approx(1)


@pytest.mark.usefixtures("float64")
def test_detail_lasts_at_every_level_as_it_does_in_films():
    frames = [gaussian(1, (24, 36))]
    for _ in range(11):
        frames.append(0.95 * frames[-1] + (1 - 0.95**2) ** 0.5 * gaussian(1, (24, 36)))
    x, times = torch.cat(frames), np.arange(12.0)
    model = cascade(factor=SIX)
    model.fit(x, times=times)
    assert len(model.metadata["persistence"]["levels"]) == 2
    coarse = model.trajectory(x)[-1]
    film, apart = (model.refine(coarse, times=times, persistent=lasts)[0] for lasts in (True, False))
    detail = [each - block_mean(each, 6).repeat_interleave(6, 2).repeat_interleave(6, 3) for each in (film, apart, x)]
    lasting, anew, true = (float((d[1:] * d[:-1]).sum() / d.square().sum()) for d in detail)
    assert abs(lasting - true) < 0.08 and anew < true - 0.15


@pytest.mark.usefixtures("float64")
def test_a_site_depends_on_coarse_ones_within_the_reach_alone():
    x = torch.randn(4, 1, 1200).cumsum(2)
    model = fitted(x, learned=True, factor=SIX)
    (reach,) = model.reach() or (0,)
    coarse = model.trajectory(x)[-1]
    other = coarse.clone()
    other[..., 0] += 1
    assert 0 < reach < coarse.shape[2] // 2
    changed = (model.refine(coarse, seed=1) - model.refine(other, seed=1)).abs().amax((0, 1, 2)) > 1e-9
    assert bool(changed[:6].any()) and not bool(changed[6 * (reach + 1) :].any())


@pytest.mark.usefixtures("float64")
def test_what_only_informs_is_the_same_from_each_level():
    x = gaussian(2, (24, 36))
    model = cascade(factor=[(2, 2, 3)], levels=3)
    known = model.grid.factors, model.grid.boundaries
    seen = known_at_coarsest(x, known[0], 0, 3, known[1])
    for level in (1, 2, 3):
        coarse = model.trajectory(x, level)[-1]
        torch.testing.assert_close(known_at_coarsest(coarse, known[0], level, 3, known[1]), seen)
    with pytest.raises(InputError, match=r"blocks of 3 do not fill; .* in blocks of 12 of the finest"):
        known_at_coarsest(x[..., :8], known[0], 2, 3, known[1])


@pytest.mark.usefixtures("float64")
def test_an_xarray_field_comes_back_on_the_cells_of_the_fine_one():
    x = gaussian(8)
    model = fitted(x, factor=SIX)
    y, lon = np.arange(48) * 0.25 + 10.125, np.arange(72) * 0.25 - 3.875
    fine = xr.DataArray(x[:1, 0].numpy(), dims=("n", "y", "x"), coords={"y": y, "x": lon})
    for levels, width in ((1, 2), (2, 6)):
        made = model.refine(fine.coarsen(y=width, x=width).mean(), levels)
        np.testing.assert_allclose(made["y"], y, atol=1e-12)
        np.testing.assert_allclose(made["x"], lon, atol=1e-12)
        kept = made.coarsen(y=width, x=width).mean().squeeze("member").values
        np.testing.assert_allclose(kept, fine.coarsen(y=width, x=width).mean().values, rtol=0, atol=1e-12)


@pytest.mark.usefixtures("float64")
def test_judgement_knows_the_scales_of_its_levels():
    x = gaussian(4)
    model = fitted(x, factor=SIX)
    coarse = model.trajectory(x)[-1]
    ensemble = model.refine(coarse, members=3)
    scores = judge(x, ensemble, coarse, model.operator, 2, "reflect")
    assert scores["about"]["factor"] == [[2, 3], [2, 3]] and scores["consistency_error"]["value"] < 1e-12
    assert len(scores["detail_kurtosis"]["value"]) == 2
    only = judge(
        x, model.refine(model.trajectory(x, 1)[-1], 1, members=3), block_mean(x, 2), model.operator, 1, "reflect"
    )
    assert only["about"]["factor"] == [2, 2] and only["consistency_error"]["value"] < 1e-12


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: cascade(levels=3, factor=SIX), "the factors 2,3 are for 2 levels and there are 3"),
        (lambda: cascade(levels=2, factor=SIX, operator="haar"), "the factor is 3; haar has 2"),
        (lambda: cascade(levels=2, factor=SIX, positive=True), "positive fields have block-spin of factor 2"),
        (lambda: cascade(levels=2, factor=SIX).enlarged(1, 1.0, 1), "of the factors 2,3 cannot be enlarged"),
        (
            lambda: cascade(levels=2, factor=SIX).sample((12, 16)),
            r"\(12, 16\) is not divisible by 6, .* \(12, 12\) would",
        ),
        (lambda: cascade(levels=2, factor=SIX).refine(torch.zeros(4, 4), 3), "this model has lifts for 1 to 2 levels"),
        (lambda: cascade(levels=2, factor=SIX).fit(torch.zeros(2, 1, 12, 16)), "fits 1 level of factor 2,3, not 2"),
    ],
)
def test_what_does_not_fit_is_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()


def coast(lattice: tuple[int, int]) -> torch.Tensor:
    """1 on land, 0 on the sea."""
    y, x = torch.meshgrid(*map(torch.arange, lattice), indexing="ij")
    return ((torch.sin(y / 5) + torch.cos(x / 7 + y / 11)) > -0.5).double()[None, None]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("factors", [(2, 3), (3,)])
def test_values_may_be_missing_and_blocks_that_are_cut_keep_the_law_of_whole_ones(factors):
    torch.manual_seed(0)
    x, mask, b = gaussian(24, (144, 144))[..., :72, :72].contiguous(), coast((72, 72)), math.prod(factors)
    model = fitted(torch.where(mask > 0, x, math.nan), levels=len(factors), factor=[factors])
    coarse = model.trajectory(torch.where(mask > 0, x, math.nan))[-1]
    there = (block_mean(mask, b) > 0).expand_as(coarse)
    assert torch.equal(coarse.isfinite(), there) and not bool(there.all())
    means = block_mean(mask * x, b) / block_mean(mask, b)
    torch.testing.assert_close(coarse[there], means[there], rtol=0, atol=1e-12)
    fine = model.refine(coarse, members=2, seed=1, mask=mask).flatten(0, 1)
    assert torch.equal(fine.isfinite(), (mask > 0).expand_as(fine))
    kept = block_mean(mask * fine.nan_to_num(0.0), b) / block_mean(mask, b)
    both = there.repeat(2, 1, 1, 1)
    torch.testing.assert_close(kept[both], coarse.repeat(2, 1, 1, 1)[both], rtol=0, atol=1e-12)
    last = factors[0]
    whole = (block_mean(mask, last) == 1).repeat_interleave(last, 2).repeat_interleave(last, 3)[..., 1:]
    pairs = (mask[..., 1:] > 0) & (mask[..., :-1] > 0) & (torch.arange(71) % last != last - 1)  # in one block
    for some, off in ((pairs & whole, 0.08), (pairs & ~whole, 0.25)):
        made, true = (each.diff(dim=3).square()[some.expand(len(each), -1, -1, -1)].mean() for each in (fine, x))
        assert abs(float(made / true) - 1) < off


@pytest.mark.usefixtures("float64")
def test_a_model_learns_and_is_calibrated_beside_gaps(monkeypatch):
    x = torch.where(coast((24, 36)) > 0, gaussian(4, (24, 36)), math.nan)
    model = fitted(x, factor=SIX)
    assert model.takes_gaps and not cascade(factor=(1, (2, 3))).takes_gaps
    check_learning(model, Fields(x), monkeypatch)
    with pytest.raises(InputError, match="have no area, which leaves blocks of factor 2,3 fewer details"):
        model.log_prob(gaussian(1, (24, 36)), place=Setting(coast((24, 36))))


def test_a_configuration_of_other_levels_is_refused(tmp_path):
    Cascade(Design(levels=2), Grid.uniform(factor=SIX)).save_pretrained(tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    content = json.loads(path.read_text())
    content["configuration"]["grid"][0]["factor"] = [2, 3, 2]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="are for different numbers of levels"):
        Cascade.from_pretrained(tmp_path / "m")
