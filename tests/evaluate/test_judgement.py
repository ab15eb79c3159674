import json
import math

import pytest
import torch

from rgdm.evaluate import (
    bicubic,
    block_constant,
    fair_crps,
    flatness,
    judge,
    kurtosis_ratio,
    load_evaluation,
    octave_ratio,
    rank_histogram,
    save_evaluation,
    spread_skill,
)
from rgdm.evaluate.baselines import block_mean
from rgdm.evaluate.glossary import explain
from rgdm.scale.operators.block import BlockSpin
from rgdm.scale.operators.per_axis import PerAxis

OPERATOR = BlockSpin(2)


def example(samples=4, lattice=(16, 16), members=5):
    """An exchangeable ensemble: truth and members are the coarse field and independent detail."""
    generator = torch.Generator().manual_seed(0)
    shape = (members + 1, samples, 1, *lattice)
    coarse = torch.randn(samples, 1, *(n // 4 for n in lattice), generator=generator, dtype=torch.float64)
    noise = torch.randn(shape, generator=generator, dtype=torch.float64)
    fields = torch.stack([block_constant(coarse, 4) + n - block_constant(block_mean(n, 4), 4) for n in noise])
    return fields[0], fields[1:], coarse


def verdict(truth, ensemble, coarse, **options):
    baseline = {"bicubic": bicubic(coarse, 4), "ensemble_like": ensemble.flip(0)}
    return judge(truth, ensemble, coarse, OPERATOR, 2, "reflect", baseline, **options)


@pytest.mark.integration
def test_every_figure_is_json_with_an_error_and_an_explanation():
    scores = verdict(*example())
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores
    for name, entry in scores.items():
        if name not in ("about", "spectrum", "channels"):
            assert {"value", "error"} <= set(entry), name
            assert explain(name) is not None, name
    for name, entry in scores["channels"]["channel0"].items():
        assert name == "spectrum" or ({"value", "error"} <= set(entry) and explain(name) is not None), name


def test_the_figures_are_those_of_the_single_functions():
    truth, ensemble, coarse = example()
    scores = verdict(truth, ensemble, coarse)
    own = scores["channels"]["channel0"]
    field = bicubic(coarse, 4)
    assert own["crps"]["value"] == pytest.approx(float(fair_crps(ensemble, truth).mean()))
    assert own["crps_bicubic"]["value"] == pytest.approx(float((field - truth).abs().mean()))
    ratio = own["crps"]["value"] / own["crps_bicubic"]["value"]
    assert scores["crps_over_bicubic"]["value"] == pytest.approx(ratio)
    assert scores["crps"]["value"] == pytest.approx(own["crps"]["value"] / float(truth.std(correction=0)))
    assert scores["octave_ratio"]["value"] == pytest.approx(octave_ratio(ensemble, truth, "reflect")[1].value.tolist())
    kurtosis, wanted = scores["detail_kurtosis_ratio"], kurtosis_ratio(ensemble, truth, OPERATOR, 2).ratio
    assert kurtosis["value"] == pytest.approx(wanted.value.tolist())
    assert kurtosis["error"] == pytest.approx(wanted.error.tolist())
    spread = spread_skill(ensemble, truth)
    assert scores["spread_skill"]["value"] == pytest.approx(float(spread.pooled))
    assert scores["rank_histogram"]["value"] == pytest.approx(rank_histogram(ensemble, truth).relative.tolist())
    model = flatness(ensemble.flatten(0, 1))
    assert own["flatness_ratio"]["value"] == pytest.approx(float(model / flatness(truth)), rel=0.02)
    assert own["quantiles"]["probability"][3] == 0.5
    assert own["range"]["truth"] == [float(truth.min()), float(truth.max())]
    assert own["range"]["ensemble"] == [float(ensemble.min()), float(ensemble.max())]


def test_a_baseline_may_be_an_ensemble_and_the_same_ensemble_is_as_good():
    scores = verdict(*example())
    assert scores["crps_over_ensemble_like"]["value"] == pytest.approx(1)
    assert scores["crps_over_ensemble_like"]["error"] == pytest.approx(0, abs=1e-12)


def test_paired_ratios_have_smaller_errors_than_the_scores():
    truth, ensemble, coarse = example(samples=6)
    loud = torch.tensor([1.0, 3, 9, 0.3, 5, 0.1]).double().reshape(-1, 1, 1, 1)
    scores = verdict(truth * loud, ensemble * loud, coarse * loud)
    crps, ratio = scores["crps"], scores["crps_over_bicubic"]
    assert ratio["error"] / ratio["value"] < 0.2 * crps["error"] / crps["value"]


def test_one_sample_has_values_but_no_errors():
    scores = verdict(*example(samples=1))
    assert scores["crps"]["value"] > 0
    assert scores["crps"]["error"] is None
    assert scores["rank_histogram"]["error"] == [None] * 6


def test_a_flat_truth_gives_no_flatness_ratio_instead_of_infinity():
    _, ensemble, coarse = example()
    scores = judge(block_constant(coarse, 4), ensemble, coarse, OPERATOR, 2, "reflect")
    flat = scores["channels"]["channel0"]["flatness_ratio"]
    assert flat["value"] is None and flat["truth"] == 0


def test_judging_works_in_one_and_three_dimensions():
    for lattice in ((32,), (8, 8, 8)):
        scores = verdict(*example(samples=2, lattice=lattice))
        assert scores["about"]["lattice"] == list(lattice)
        assert scores["consistency_error"]["value"] < 1e-12


@pytest.mark.integration
def test_an_evaluation_is_read_back_as_it_was_saved(tmp_path):
    truth, ensemble, coarse = example(samples=6, members=10)
    scores = verdict(truth, ensemble, coarse)
    trajectory = [block_mean(ensemble[0, :1], 4), ensemble[0, :1]]
    save_evaluation(tmp_path / "e", scores, truth, coarse, bicubic(coarse, 4), ensemble, trajectory, {"units": "m"})
    stored = load_evaluation(tmp_path / "e")
    assert stored.scores == scores and stored.attrs == {"units": "m"}
    assert stored.members.shape == (8, 4, 1, 16, 16)
    assert torch.equal(torch.from_numpy(stored.members), ensemble[:8, [0, 2, 3, 5]].float())
    assert torch.equal(torch.from_numpy(stored.coarse), coarse[[0, 2, 3, 5]].float())
    assert [x.shape for x in stored.trajectory] == [(1, 4, 4), (1, 16, 16)]
    assert sorted(p.name for p in (tmp_path / "e").iterdir()) == ["fields.nc", "scores.json"]


def test_a_damaged_or_incomplete_evaluation_is_one_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"has no scores\.json"):
        load_evaluation(tmp_path)
    (tmp_path / "scores.json").write_text("{")
    with pytest.raises(ValueError, match=r"has no fields\.nc"):
        load_evaluation(tmp_path)
    (tmp_path / "fields.nc").write_bytes(b"not a file")
    with pytest.raises(ValueError, match="damaged"):
        load_evaluation(tmp_path)
    (tmp_path / "scores.json").write_text("{}")
    with pytest.raises(ValueError, match="damaged"):
        load_evaluation(tmp_path)


def test_numbers_that_json_cannot_hold_become_none():
    from rgdm.evaluate.judgement import plain

    assert plain({"a": torch.tensor([1.0, math.nan]), "b": (math.inf, 2)}) == {"a": [1.0, None], "b": [None, 2]}


def test_a_refinement_along_one_axis_alone_is_judged():
    operator, (truth, ensemble, _) = PerAxis([BlockSpin(2), None]), example()
    scores = judge(truth, ensemble, operator.coarsen(operator.coarsen(truth)), operator, 2, "reflect")
    assert scores["about"]["factor"] == [2, 1]
    assert len(scores["detail_kurtosis"]["value"]) == 2 and None not in scores["detail_kurtosis"]["value"]
