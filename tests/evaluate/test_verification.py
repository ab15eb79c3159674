"""Ranks, variograms, scales of events, block means to the last place, and variables together: against oracles."""

import math

import numpy as np
import pytest
import torch

from rgdm.evaluate import rank_histogram
from rgdm.evaluate.baselines import block_constant, block_mean
from rgdm.evaluate.consistency import consistency_ulps, ulp
from rgdm.evaluate.correlation import correlation_figures, detail_correlation
from rgdm.evaluate.diagrams import event_diagrams, widths_of
from rgdm.evaluate.events import fractions_skill, reliability
from rgdm.evaluate.intensity import depth_of, scale_errors, scale_skill
from rgdm.evaluate.ranks import largest_by_chance, rank_deviation
from rgdm.evaluate.texture import value_figures
from rgdm.evaluate.variogram import pairs_of_sites, variogram_score
from rgdm.jackknife import delete_one_error, delete_one_quantiles, in_blocks
from rgdm.scale.operators.block import BlockSpin

pytestmark = pytest.mark.usefixtures("float64")


def rain(*shape: int) -> torch.Tensor:
    """Half of the sites dry."""
    return torch.randn(*shape).clamp(min=0)


def deviation(truth: torch.Tensor, ensemble: torch.Tensor) -> dict:
    ranks = rank_histogram(ensemble, truth)
    return rank_deviation(ranks.per_sample, torch.ones(len(truth)))


def test_ranks_of_rain_with_many_ties_are_flat_if_truth_and_members_are_alike_and_not_if_members_are_narrow():
    truth, ensemble = rain(40, 1, 16, 16), rain(7, 40, 1, 16, 16)
    alike = deviation(truth, ensemble)
    assert float(alike["value"]) < 3 * float(alike["chance"])
    wrong = deviation(truth, 0.5 * ensemble)
    assert float(wrong["value"]) > 10 * float(wrong["chance"]) and wrong["bin"] == 7
    ranks = rank_histogram(ensemble, truth)
    assert float(alike["value"]) == pytest.approx(float((ranks.relative - 1).abs().max()))
    assert float(alike["error"]) == pytest.approx(float(ranks.error[alike["bin"]]))


def test_the_largest_deviation_by_chance_is_that_of_gaussian_numbers():
    assert float(largest_by_chance(torch.tensor([0.3]))) == pytest.approx(0.3 * math.sqrt(2 / math.pi), rel=1e-4)
    errors = torch.tensor([0.1, 0.2, 0.2, 0.05])
    drawn = (torch.randn(200_000, 4) * errors).abs().amax(1).mean()
    assert float(largest_by_chance(errors)) == pytest.approx(float(drawn), rel=0.01)
    assert float(largest_by_chance(torch.zeros(3))) == 0 and bool(largest_by_chance(torch.tensor([math.nan])).isnan())


def naive_variogram(ensemble: np.ndarray, truth: np.ndarray, valid: np.ndarray, lags: tuple[int, ...], wrap: bool):
    """One sample of one channel in two dimensions, site by site."""
    members, (rows, columns), total, count, every = len(ensemble), truth.shape, 0.0, 0, 0
    for lag in lags:
        for y in range(rows):
            for x in range(columns):
                for v, u in ((y + lag, x), (y, x + lag)):
                    if not wrap and (v >= rows or u >= columns):
                        continue
                    v, u = v % rows, u % columns
                    every += 1
                    if not (valid[y, x] and valid[v, u]):
                        continue
                    each = [abs(one[y, x] - one[v, u]) ** 0.5 for one in ensemble]
                    mean = sum(each) / members
                    spread = sum((e - mean) ** 2 for e in each) / (members - 1)
                    total += (abs(truth[y, x] - truth[v, u]) ** 0.5 - mean) ** 2 - spread / members
                    count += 1
    return total / count


@pytest.mark.parametrize("boundary", ["reflect", "periodic"])
def test_the_variogram_score_is_that_of_a_loop_over_pairs_of_valid_sites(boundary):
    ensemble, truth = torch.randn(5, 2, 1, 9, 8), torch.randn(2, 1, 9, 8)
    valid = torch.rand(2, 1, 9, 8) < 0.7
    spoilt = torch.where(valid, ensemble, 1e5)
    found = variogram_score(spoilt, truth, boundary, valid, lags=(1, 3))
    for b in range(2):
        wanted = naive_variogram(
            ensemble[:, b, 0].numpy(), truth[b, 0].numpy(), valid[b, 0].numpy(), (1, 3), boundary == "periodic"
        )
        assert float(found[b]) == pytest.approx(wanted, rel=1e-12)


def test_the_variogram_score_does_not_depend_on_the_number_of_members_and_is_best_for_the_law_of_the_truth():
    shape = (400, 1, 8, 8)
    many, truth = torch.randn(24, *shape), torch.randn(shape)
    scores = [float(variogram_score(many[:m], truth).mean()) for m in (2, 24)]
    assert scores[0] == pytest.approx(scores[1], rel=0.02)
    smooth = (many + many.roll(1, -1)) / math.sqrt(2)  # as large, but neighbours are alike
    for wrong in (0.5 * many, 2 * many, smooth):
        assert float(variogram_score(wrong, truth).mean()) > 1.03 * scores[1]


def test_few_pairs_chosen_at_random_give_the_score_of_all():
    ensemble, truth = torch.randn(4, 2, 1, 64, 64), torch.randn(2, 1, 64, 64)
    whole, part = (variogram_score(ensemble, truth, most=most) for most in (10**6, 1000))
    assert part == pytest.approx(whole, rel=0.1) and not torch.equal(part, whole)
    assert pairs_of_sites((64, 64), "reflect", (1, 2), 1000).shape == (2, 4000)
    assert pairs_of_sites((1, 5), "reflect", (1, 2, 8)).shape == (2, 7)
    assert pairs_of_sites((4,), "periodic", (1, 2, 4)).shape == (2, 8)


def test_a_variogram_of_no_pair_says_nothing_and_a_power_of_zero_is_refused():
    one, single = torch.randn(2, 1, 4, 4), torch.randn(1, 2, 1, 4, 4)
    valid = torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    valid[0] = True
    found = variogram_score(single, one, "reflect", valid)
    assert bool(found[0] > 0) and bool(found[1].isnan())
    with pytest.raises(ValueError, match="the order of the variogram is 0"):
        variogram_score(single, one, order=0)


@pytest.mark.parametrize("side", [16, 64])
def test_the_intensity_scale_skill_is_that_of_another_package(side):
    theirs = pytest.importorskip("pysteps.verification.spatialscores")
    field, truth = rain(3, 1, side, side), rain(3, 1, side, side)
    truth[:, :, : side // 2] = field[:, :, : side // 2]
    thresholds = [0.1, 0.7, 1.5]
    package = theirs.intensity_scale_init("BMSE", thresholds, None, "haar")
    for a, b in zip(field, truth, strict=True):
        theirs.intensity_scale_accum(package, a[0].numpy(), b[0].numpy())
    wanted = theirs.intensity_scale_compute(package)[::-1]  # theirs begins with the largest scale
    for i, threshold in enumerate(thresholds):
        errors = scale_errors(field, truth, threshold, (2, 2)).mean(0)
        frequency = (truth > threshold).double().mean()  # theirs takes the field to have that of the truth
        found = scale_skill(errors, frequency, frequency, torch.tensor(1.0))
        np.testing.assert_allclose(found, wanted[:, i], atol=1e-12)


@pytest.mark.parametrize(
    "lattice, factors", [((24,), (2,)), ((12, 8), (2, 1)), ((4, 8, 4), (2, 2, 2)), ((9, 27), (3, 3))]
)
def test_errors_of_all_scales_sum_to_the_error_of_sites(lattice, factors):
    field, truth = torch.randn(5, 1, *lattice), torch.randn(5, 1, *lattice)
    valid = torch.rand_like(truth) < 0.8
    errors = scale_errors(field, truth, 0.3, factors, valid)
    assert errors.shape == (5, depth_of(lattice, factors) + 1) and bool((errors > -1e-15).all())
    wrong = ((field > 0.3) != (truth > 0.3)) & valid
    assert torch.allclose(errors.sum(1), wrong.flatten(1).double().mean(1))


def test_events_at_random_places_have_no_skill_in_all_whatever_their_frequency():
    truth, noise = torch.randn(200, 1, 32, 32), torch.randn(200, 1, 32, 32)
    for field in (noise, noise + 1.5):  # as often as the truth, or more often
        wrong = scale_errors(field, truth, 0.5, (2, 2)).mean(0)
        shares = [(x > 0.5).double().mean() for x in (field, truth)]
        assert abs(float(scale_skill(wrong, *shares, torch.tensor(1.0)).mean())) < 0.02


def test_events_in_the_wrong_place_have_errors_at_the_scale_of_the_shift():
    truth = torch.zeros(1, 1, 32, 32)
    truth[..., 8:16, 8:16] = 1
    errors = scale_errors(truth.roll(8, -1), truth, 0.5, (2, 2))[0]
    assert int(errors.argmax()) == 3  # between blocks of 8 and of 16 sites
    assert bool((errors[:3] == 0).all())


def test_the_depth_of_a_lattice_ends_where_nothing_divides():
    assert [depth_of(*case) for case in (((12, 8), (2, 2)), ((12, 8), (2, 1)), ((7,), (2,)), ((5,), (1,)))] == [
        2,
        2,
        0,
        0,
    ]


def test_diagrams_hold_what_single_functions_say_and_what_members_alike_have():
    mean = torch.randn(30, 1, 16, 16)
    ensemble, truth = mean + torch.randn(6, 30, 1, 16, 16), mean + torch.randn(30, 1, 16, 16)
    tables = event_diagrams(truth, ensemble, torch.tensor([-0.5, 0.8]), (2, 2))
    fss, skill, curve = (tables[f"event_{name}"] for name in ("fss_widths", "scale_skill", "reliability"))
    assert fss["width"] == widths_of((16, 16)) == [1, 2, 4, 8] and fss["value"].shape == (2, 4)
    pairs = [fractions_skill(member, truth, 0.8, 4) for member in ensemble[:4]]
    wanted = 1 - sum(e.sum() for e, _ in pairs) / sum(r.sum() for _, r in pairs)
    assert float(fss["value"][1, 2]) == pytest.approx(float(wanted))
    assert torch.allclose(curve["value"][1], reliability(ensemble, truth, 0.8)["value"], equal_nan=True)
    assert skill["value"].shape == (2, 5)
    alike = [reliability(ensemble[[i for i in range(6) if i != j]], ensemble[j], 0.8) for j in range(4)]
    wanted = sum((one["value"] * one["share"]).nan_to_num() for one in alike) / sum(one["share"] for one in alike)
    assert torch.allclose(curve["members"][1], wanted, equal_nan=True)
    for table in (fss, skill):
        assert bool(((table["value"] - table["members"]).abs() < 4.5 * table["error"]).all())
    assert bool((fss["value"].diff(dim=1) > 0).all())  # wider windows are easier


def test_diagrams_of_valid_sites_do_not_see_the_others():
    ensemble, truth = rain(3, 4, 1, 8, 8), rain(4, 1, 8, 8)
    valid = torch.rand_like(truth) < 0.7
    spoilt, other = torch.where(valid, ensemble, 9.0), torch.where(valid, truth, -9.0)
    a, b = (event_diagrams(y, x, torch.tensor([0.2]), (2, 2), valid) for y, x in ((truth, ensemble), (other, spoilt)))
    for name, table in a.items():
        for key, entry in table.items():
            if isinstance(entry, torch.Tensor):
                torch.testing.assert_close(entry, b[name][key], equal_nan=True, msg=f"{name} {key}")


def test_events_that_never_or_always_happen_have_no_skill_rather_than_an_error():
    tables = event_diagrams(torch.zeros(3, 1, 8, 8), torch.zeros(2, 3, 1, 8, 8), torch.tensor([-1.0, 0.0]), (2, 2))
    assert bool(tables["event_scale_skill"]["value"].isnan().all())
    assert tables["event_reliability"]["frequency"].tolist() == [1, 0]
    alone = event_diagrams(rain(1, 1, 8), rain(1, 1, 1, 8), torch.tensor([0.1]), (2,))
    assert bool(alone["event_fss_widths"]["members"].isnan().all())
    assert bool(alone["event_fss_widths"]["error"].isnan().all())


def test_units_in_the_last_place_are_distances_of_neighbouring_numbers():
    values = torch.tensor([1.0, 1.5, 2.0, 3e7, -0.1, 1e-3])
    wanted = np.spacing(np.abs(values.numpy().astype(np.float32))).astype(float)
    np.testing.assert_array_equal(ulp(values, torch.float32), wanted)
    assert (
        bool(ulp(torch.zeros(2), torch.float32).isfinite().all()) and float(ulp(torch.zeros(2), torch.float32)[0]) > 0
    )


@pytest.mark.parametrize("lattice", [(32,), (16, 8), (8, 8, 8)])
def test_block_means_of_rounded_values_are_within_a_unit_in_the_last_place_and_a_wrong_value_is_not(lattice):
    exact = 1e3 + torch.randn(4, 3, 2, *lattice)
    coarse = block_mean(exact[0], 4)
    exact = torch.stack([member + block_constant(coarse - block_mean(member, 4), 4) for member in exact])
    stored, rounded = exact.float(), coarse.float()
    units = consistency_ulps(stored, rounded, BlockSpin(2), 2)
    assert units.shape == (2,) and bool((units <= 1).all()) and bool((units > 0.01).all())
    stored[2, 1, 1].view(-1)[5] += 1.0
    off = consistency_ulps(stored, rounded, BlockSpin(2), 2)
    assert float(off[0]) == float(units[0]) and float(off[1]) > 100


def test_dry_blocks_and_blocks_without_weight_cost_nothing():
    fine = torch.zeros(2, 1, 1, 8, 8)
    assert float(consistency_ulps(fine, torch.zeros(1, 1, 2, 2), BlockSpin(2), 2)) == 0
    weights = torch.ones(1, 1, 8, 8)
    weights[..., :4] = 0
    coarse = torch.zeros(1, 1, 2, 2)
    coarse[..., 0] = 7.0  # where nothing is
    assert float(consistency_ulps(fine, coarse, BlockSpin(2), 2, weights)) == 0


def correlated(samples: int, rho: tuple[float, ...], members: int = 1) -> torch.Tensor:
    """Two channels whose details are correlated by rho at each level, the finest first."""
    x = torch.randn(members * samples, 2, 2, 2)
    for r in reversed(rho):
        a, b = torch.randn(2, members * samples, 3, *x.shape[2:])
        x = BlockSpin(2).merge(x, torch.cat([a, r * a + math.sqrt(1 - r * r) * b], 1))
    return x.unflatten(0, (members, samples))


def test_the_correlation_of_detail_is_found_at_every_level():
    field = correlated(150, (0.3, -0.8))[0] * torch.tensor([1e5, 1e-3]).reshape(2, 1, 1)
    found = detail_correlation(field, BlockSpin(2), 2)
    assert found.value.shape == (1, 2)
    assert bool(((found.value[0] - torch.tensor([0.3, -0.8])).abs() < 4 * found.error[0]).all())
    assert float(found.error.max()) < 0.03
    joined = torch.cat([field, field[:, :1]], 1)
    assert torch.allclose(detail_correlation(joined, BlockSpin(2), 1).value[1], torch.ones(1))  # channels 0 and 2


def test_only_detail_of_blocks_that_are_valid_in_both_channels_counts():
    field = correlated(100, (0.5, 0.5))[0]
    valid = torch.rand_like(field) < 0.95
    spoilt = torch.where(valid, field, 1e3 * torch.randn_like(field))
    found = detail_correlation(spoilt, BlockSpin(2), 2, valid)
    assert bool(((found.value - 0.5).abs() < 4 * found.error).all())


def test_members_whose_channels_do_not_know_of_each_other_are_found_out():
    truth, right, wrong = correlated(80, (0.6,))[0], correlated(80, (0.6,), 3), correlated(80, (0.0,), 3)
    for ensemble, off in ((right, 0.0), (wrong, -0.6)):
        entry = correlation_figures(truth, ensemble, BlockSpin(2), 1, None, ["u", "v"])["channel_correlation"]
        assert abs(float(entry["value"][0]) - off) < 4 * float(entry["error"][0]) < 0.3
        assert entry["pair"] == [["u", "v"]] and entry["level"] == [0]
    assert correlation_figures(truth[:, :1], right[:, :, :1], BlockSpin(2), 1, None, ["u"]) == {}


def test_the_wet_share_is_said_of_channels_that_touch_zero_from_above():
    truth, ensemble = rain(20, 1, 16, 16), rain(4, 20, 1, 16, 16)
    wet = value_figures(truth, ensemble, None, None, "reflect")["wet_share"]
    assert float(wet["truth"]) == pytest.approx(0.5, abs=0.03) and abs(float(wet["value"])) < 4 * float(wet["error"])
    drizzle = value_figures(truth, ensemble + 1e-6, None, None, "reflect")["wet_share"]
    assert float(drizzle["ensemble"]) == 1
    valid = truth > 0
    assert "wet_share" not in value_figures(truth, ensemble, valid, None, "reflect")  # never 0
    assert "wet_share" not in value_figures(torch.randn(2, 1, 8), torch.randn(2, 2, 1, 8), None, None, "reflect")
    valid = torch.zeros_like(truth, dtype=torch.bool)
    valid[:, :, :8] = True
    half = value_figures(truth, ensemble, valid, None, "reflect")["wet_share"]
    assert float(half["truth"]) == pytest.approx(float((truth[:, :, :8] > 0).double().mean()))


def test_quantiles_without_blocks_of_samples_are_those_of_samples_joined():
    values = [torch.randn(50) + 0.3 * (i // 4) for i in range(16)]
    q = torch.tensor([0.1, 0.5])
    joined = [torch.cat(values[i : i + 4]) for i in (0, 4, 8, 12)]
    assert all(torch.equal(a, b) for a, b in zip(in_blocks(values, 4), joined, strict=True))
    whole, without = delete_one_quantiles(in_blocks(values, 4), q)
    assert torch.equal(whole, delete_one_quantiles(values, q)[0])
    singly = delete_one_error(delete_one_quantiles(values, q)[1])
    assert bool((delete_one_error(without) > 1.2 * singly).all())  # samples of a block are alike
    assert len(in_blocks(values, None)) == len(in_blocks(values, 99)) == 16
