import numpy as np
import pytest
import torch
import xarray as xr
from scores.probability import crps_for_ensemble

from rgdm.evaluate import (
    block_constant,
    consistency_error,
    energy_score,
    fair_crps,
    flatness,
    rank_histogram,
    spread_skill,
)
from rgdm.scale.operators.block import BlockSpin
from rgdm.scale.operators.wavelets import Wavelet


def gaussian(members=8, samples=30, lattice=(24, 24), spread=1.0):
    """Truth and members around a common mean; exchangeable if ``spread`` is 1."""
    generator = torch.Generator().manual_seed(1)
    mean = torch.randn(samples, 1, *lattice, generator=generator, dtype=torch.float64)
    truth = mean + torch.randn(mean.shape, generator=generator, dtype=torch.float64)
    noise = torch.randn(members, *mean.shape, generator=generator, dtype=torch.float64)
    return mean + spread * noise, truth


@pytest.mark.parametrize("members", [2, 3, 8])
def test_fair_crps_is_that_of_the_scores_package(members):
    ensemble, truth = gaussian(members, samples=3, lattice=(6, 4))
    forecast = xr.DataArray(ensemble[:, :, 0].numpy(), dims=["member", "sample", "y", "x"])
    observed = xr.DataArray(truth[:, 0].numpy(), dims=["sample", "y", "x"])
    expected = crps_for_ensemble(forecast, observed, "member", method="fair", preserve_dims="sample")
    assert np.allclose(fair_crps(ensemble, truth).numpy(), np.asarray(expected), rtol=1e-12)


def test_fair_crps_of_an_exchangeable_ensemble_has_the_gaussian_expectation():
    ensemble, truth = gaussian(members=3)
    score = fair_crps(ensemble, truth)
    assert abs(score.mean() - np.pi**-0.5) < 4 * score.std() / len(score) ** 0.5


def test_fair_crps_keeps_its_precision_far_from_zero():
    ensemble, truth = gaussian(samples=2)
    assert torch.allclose(fair_crps(ensemble + 1e6, truth + 1e6), fair_crps(ensemble, truth), rtol=1e-8)


def test_energy_score_is_the_double_sum_over_members():
    ensemble, truth = gaussian(members=5, samples=2, lattice=(7,))
    expected = []
    for b in range(2):
        x, y = ensemble[:, b].flatten(1), truth[b].flatten()
        pairs = sum(torch.linalg.norm(x[i] - x[j]) for i in range(5) for j in range(5)) / (2 * 5 * 4)
        expected.append((sum(torch.linalg.norm(x[i] - y) for i in range(5)) / 5 - pairs) / 7**0.5)
    assert torch.allclose(energy_score(ensemble, truth), torch.stack(expected), rtol=1e-12)


def test_energy_score_of_a_single_site_is_the_crps():
    ensemble, truth = gaussian(lattice=(1,))
    assert torch.allclose(energy_score(ensemble, truth), fair_crps(ensemble, truth))


def test_an_exchangeable_ensemble_has_spread_equal_to_skill_and_flat_ranks():
    ensemble, truth = gaussian(members=4)
    pooled = spread_skill(ensemble, truth)
    assert abs(pooled.pooled - 1) < 4 * pooled.error < 0.05
    ranks = rank_histogram(ensemble, truth)
    assert ((ranks.relative - 1).abs() < 4 * ranks.error).all()


def test_an_underdispersed_ensemble_fails_both():
    ensemble, truth = gaussian(members=4, spread=0.7)
    pooled = spread_skill(ensemble, truth)
    assert pooled.pooled + 10 * pooled.error < 1
    ranks = rank_histogram(ensemble, truth)
    assert ranks.relative[0] - 10 * ranks.error[0] > 1
    assert ranks.relative[-1] - 10 * ranks.error[-1] > 1


def test_spread_skill_without_the_finite_ensemble_factor_would_be_too_small():
    ensemble, truth = gaussian(members=2)
    naive = ensemble.var(0).mean().sqrt() / (ensemble.mean(0) - truth).square().mean().sqrt()
    assert naive < 0.85 and abs(spread_skill(ensemble, truth).pooled - 1) < 0.03


def test_spread_skill_of_each_sample_is_that_of_the_sample_alone():
    ensemble, truth = gaussian(samples=3)
    alone = [float(spread_skill(ensemble[:, b : b + 1], truth[b : b + 1]).pooled) for b in range(3)]
    assert spread_skill(ensemble, truth).per_sample.tolist() == pytest.approx(alone)


def test_ties_are_broken_evenly_and_reproducibly():
    ensemble, truth = torch.zeros(4, 20, 1, 30, 30), torch.zeros(20, 1, 30, 30)
    ranks = rank_histogram(ensemble, truth, seed=3)
    assert ((ranks.relative - 1).abs() < 4 * ranks.error).all()
    assert torch.equal(ranks.counts, rank_histogram(ensemble, truth, seed=3).counts)
    assert int(ranks.counts.sum()) == truth.numel()


def test_rank_counts_are_those_of_a_loop():
    ensemble, truth = gaussian(members=3, samples=2, lattice=(5,))
    expected = torch.bincount((ensemble < truth).sum(0).flatten(), minlength=4)
    assert torch.equal(rank_histogram(ensemble, truth).counts, expected)


def test_rank_errors_know_that_sites_of_a_sample_are_correlated():
    ensemble, truth = gaussian(members=3, samples=40, lattice=(4, 4))
    single = rank_histogram(ensemble, truth).error.mean()
    copied = rank_histogram(block_sites(ensemble), block_sites(truth)).error.mean()
    assert copied == pytest.approx(float(single))


def block_sites(x):
    return x.repeat_interleave(4, -1).repeat_interleave(4, -2)


def test_flatness_is_the_median_of_the_absolute_differences_of_neighbours():
    field = torch.randn(3, 2, 7, 4)
    steps = torch.cat([field.diff(dim=axis).abs().flatten() for axis in (2, 3)])
    assert float(flatness(field)) == pytest.approx(float(np.median(steps.numpy())))


@pytest.mark.parametrize("lattice", [(16,), (8, 12), (4, 8, 4)])
def test_consistency_error_sees_rounding_only_and_finds_a_planted_one(lattice):
    operator = BlockSpin(2)
    coarse = torch.randn(2, 1, *(n // 4 for n in lattice), dtype=torch.float64)
    members = block_constant(coarse, 4).repeat(3, *[1] * coarse.dim())
    assert consistency_error(members, coarse, operator, 2) < 1e-14
    assert 1e-9 < consistency_error(members.float(), coarse, operator, 2) < 1e-6
    members[2, 1, 0, ...] += 0.3
    assert consistency_error(members, coarse, operator, 2) == pytest.approx(0.3 / float(coarse.std(correction=0)))


def test_every_channel_has_a_consistency_error_of_its_own_whatever_its_unit():
    parts = [1e5 + torch.randn(2, 8, 8), 1e-3 * torch.randn(2, 8, 8), torch.full((2, 8, 8), 5.0)]
    coarse = torch.stack(parts, 1).double()
    members = block_constant(coarse, 2)[None].repeat(3, 1, 1, 1, 1)
    assert consistency_error(members, coarse, BlockSpin(2), 1).max() < 1e-10
    members[1, 0, 1] += 1e-3
    members[2, 1, 2] += 1.0
    error = consistency_error(members, coarse, BlockSpin(2), 1)
    assert error[0] < 1e-10
    assert error[1] == pytest.approx(1e-3 / float(coarse[:, 1].std(correction=0)))
    assert error[2] == pytest.approx(0.2)  # of a constant channel relative to its value


def test_sites_that_are_not_valid_do_not_count():
    ensemble, truth = gaussian(members=4, samples=3)
    valid = torch.rand(truth.shape, generator=torch.Generator().manual_seed(3)) < 0.6
    spoilt, filled = torch.where(valid, ensemble, 1e6), torch.where(valid, truth, -1e6)
    for score in (fair_crps, energy_score, lambda e, t, v: spread_skill(e, t, v).pooled):
        assert torch.equal(score(spoilt, filled, valid), score(ensemble, truth, valid))
    ranks = rank_histogram(spoilt, filled, weights=valid)
    assert ranks.counts.sum() == valid.sum()
    chosen = fair_crps(ensemble[:, :1, 0][:, valid[:1, 0]][:, None, None], truth[:1, 0][valid[:1, 0]][None, None])
    assert fair_crps(ensemble, truth, valid)[0] == pytest.approx(float(chosen))
    assert fair_crps(ensemble, truth, valid & False).isnan().all()


def test_consistency_error_does_not_hide_nan():
    members, coarse = torch.randn(2, 1, 1, 8), torch.randn(1, 1, 4)
    members[0, 0, 0, 0] = torch.nan
    assert consistency_error(members, coarse, BlockSpin(2), 1).isnan().all()


def test_consistency_error_uses_the_gain_of_the_step():
    x, operator = torch.randn(1, 1, 32, dtype=torch.float64), Wavelet("db2")
    coarse = operator.coarsen(operator.coarsen(x)) / 2
    assert consistency_error(x[None], coarse, operator, 2) < 1e-14


def test_flatness_of_a_ramp_is_its_slope_and_below_chooses_sites():
    x = torch.arange(10.0)[None, None]
    assert flatness(x) == 1
    steep = torch.where(x > 5, 3 * x, x)
    assert flatness(steep, below=5.5) == 1
    assert flatness(torch.where(x > 2, 3 * x, x)) == 3
    with pytest.raises(ValueError, match="no two neighbouring sites lie below -1"):
        flatness(x, below=-1)


@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_one_sentence():
    truth = torch.randn(2, 1, 8)
    with pytest.raises(ValueError, match=r"does not fit the truth \(2, 1, 8\)"):
        fair_crps(torch.randn(3, 2, 1, 6), truth)
    with pytest.raises(ValueError, match="at least 2 members"):
        spread_skill(truth[None], truth)
