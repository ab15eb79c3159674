import json
import math

import numpy as np
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
from rgdm.evaluate.summary import notes, summary
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


def array(values):
    """Numbers, NaN where there is none."""
    return torch.from_numpy(np.array(values, dtype=float))


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
    assert own["quantiles"]["probability"][5] == 0.5
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
    assert torch.equal(torch.from_numpy(stored.members), ensemble[:8, [0, 2, 3, 5]])
    assert torch.equal(torch.from_numpy(stored.coarse), coarse[[0, 2, 3, 5]])
    assert [x.shape for x in stored.trajectory] == [(1, 4, 4), (1, 16, 16)]
    assert sorted(p.name for p in (tmp_path / "e").iterdir()) == ["fields.nc", "scores.json"]


def test_sites_that_are_not_valid_are_missing_in_an_evaluation(tmp_path):
    truth, ensemble, coarse = example(samples=2)
    valid = truth < 1
    scores = verdict(truth, ensemble, coarse, valid=valid)
    save_evaluation(tmp_path / "e", scores, truth, coarse, bicubic(coarse, 4), ensemble, [coarse[:1]], {}, valid)
    stored = load_evaluation(tmp_path / "e")
    for field in (stored.truth, stored.bicubic, *stored.members):
        assert (np.isfinite(field) == valid.numpy()).all()


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
    (tmp_path / "scores.json").write_text('{"about": {"format": 1}}')
    with pytest.raises(ValueError, match="of another version; run `rgdm evaluate` again"):
        load_evaluation(tmp_path)


def test_numbers_that_json_cannot_hold_become_none():
    from rgdm.evaluate.judgement import plain

    assert plain({"a": torch.tensor([1.0, math.nan]), "b": (math.inf, 2)}) == {"a": [1.0, None], "b": [None, 2]}


def test_a_refinement_along_one_axis_alone_is_judged():
    operator, (truth, ensemble, _) = PerAxis([BlockSpin(2), None]), example()
    scores = judge(truth, ensemble, operator.coarsen(operator.coarsen(truth)), operator, 2, "reflect")
    assert scores["about"]["factor"] == [2, 1]
    assert len(scores["detail_kurtosis"]["value"]) == 2 and None not in scores["detail_kurtosis"]["value"]


def two_channels():
    """Pressure and humidity, each an exchangeable example."""
    (p, pe, pc), (q, qe, qc) = example(), example(samples=4)
    q, qe, qc = (x.roll(1, -4) for x in (q, qe, qc))  # of other samples
    pairs = ((p, q), (pe, qe), (pc, qc))
    return [torch.cat([1e5 + 300 * a, 1e-3 * b], -3) for a, b in pairs]


NAMES = {"channels": ["pressure", "humidity"], "units": ["Pa", "1"]}


def test_no_channel_hides_another():
    truth, ensemble, coarse = two_channels()
    good = verdict(truth, ensemble, coarse, **NAMES)
    noise = 5e-3 * torch.randn(ensemble.shape[0], 4, 16, 16, dtype=torch.float64)
    spoilt = ensemble.clone()
    spoilt[:, :, 1] = noise
    bad = verdict(truth, spoilt, coarse, **NAMES)
    assert good["consistency_error"]["value"] < 1e-9
    assert good["channels"]["humidity"]["crps"]["value"] < 1e-3 < 100 < good["channels"]["pressure"]["crps"]["value"]
    assert bad["consistency_error"]["value"] > 1
    assert bad["channels"]["pressure"]["consistency_error"]["value"] < 1e-9
    for name, least in (("crps", 1.3), ("rmse", 1.5), ("crps_over_bicubic", 1.3), ("detail_variance_ratio", 5)):
        pair = [torch.tensor(scores[name]["value"]).max() for scores in (bad, good)]
        assert pair[0] > least * pair[1], name
    assert bad["channels"]["humidity"]["range"]["value"] > 1 > bad["channels"]["pressure"]["range"]["value"]


def test_units_change_nothing_but_the_unit():
    truth, ensemble, coarse = example()
    plain_scores = verdict(truth, ensemble, coarse)
    scale = {"crps": 9, "rmse": 9, "energy_score": 9, "crps_bicubic": 9, "variogram_score": 9}
    other = verdict(20 + 9 * truth, 20 + 9 * ensemble, 20 + 9 * coarse, thresholds=(20.0, 24.5))
    named = verdict(truth, ensemble, coarse, thresholds=(0.0, 0.5))
    for name in plain_scores["channels"]["channel0"]:
        if name in ("spectrum", "consistency_error", "consistency_ulps"):
            continue
        reference = (named if name.startswith(("excursion", "event", "tail")) else plain_scores)["channels"][
            "channel0"
        ][name]["value"]
        found = array(other["channels"]["channel0"][name]["value"])
        factor = 9 if name == "quantiles" else scale.get(name, 9 if name.startswith("crps_ens") else 1)
        assert torch.allclose(found, factor * array(reference), rtol=1e-6, equal_nan=True), name
    for name in ("crps", "energy_score", "spread_skill", "rmse"):
        assert other[name]["value"] == pytest.approx(plain_scores[name]["value"])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_what_is_small_beside_its_mean_is_not_constant(dtype):
    size = 0.05 if dtype == torch.float64 else 50.0
    fields = [(101325 + size * x).to(dtype) for x in example()]
    near, scores = verdict(*example()), verdict(*fields)
    for name in ("crps_over_bicubic", "spread_skill", "scattering_distance"):
        value, wanted = (torch.tensor(each[name]["value"]) for each in (scores, near))
        assert torch.allclose(value, wanted, rtol=2e-3), name


def test_constant_channels_are_named_and_left_out_and_a_constant_truth_is_refused():
    truth, ensemble, coarse = two_channels()
    truth[:, 1], ensemble[:, :, 1], coarse[:, 1] = 0.3, 0.3, 0.3
    scores, alone = verdict(truth, ensemble, coarse, **NAMES), verdict(truth[:, :1], ensemble[:, :, :1], coarse[:, :1])
    assert scores["about"]["constant"] == ["humidity"]
    for name in ("crps", "energy_score", "octave_ratio"):
        assert scores[name]["value"] == alone[name]["value"]
    assert scores["channels"]["humidity"]["crps"]["value"] == 0
    noise = 0.3 + 3e-17 * torch.randn_like(truth)
    with pytest.raises(ValueError, match="the truth is constant"):
        verdict(noise, ensemble, coarse)


def test_what_is_filled_does_not_count_in_scores_of_sites():
    truth, ensemble, coarse = example()
    valid = torch.ones_like(truth, dtype=torch.bool)
    valid[:, :, :8] = False
    valid[0] = False  # a sample without any
    spoilt, filled = torch.where(valid, ensemble, 7.0), torch.where(valid, truth, -3.0)
    a, b = (verdict(*fields, valid=valid) for fields in ((filled, spoilt, coarse), (filled, ensemble, coarse)))
    whole = ("consistency", "octave", "detail", "structure", "scattering", "excursion")
    for name, entry in a["channels"]["channel0"].items():
        if name != "spectrum" and not name.startswith("consistency"):
            assert entry == b["channels"]["channel0"][name], name  # of whole fields too: members take the filled values
    half = verdict(truth[1:, :, 8:], ensemble[:, 1:, :, 8:], coarse[1:, :, 2:])
    for name in ("crps", "rmse", "spread_skill", "rank_histogram", "quantiles", "range"):
        assert not name.startswith(whole)
        value, wanted = (each["channels"]["channel0"][name]["value"] for each in (a, half))
        assert value == pytest.approx(wanted), name
    assert a["about"]["valid"] == pytest.approx(3 / 8)


@pytest.mark.usefixtures("unchecked")
def test_bad_input_to_a_judgement_is_one_sentence():
    truth, ensemble, coarse = example(samples=2)
    with pytest.raises(ValueError, match="no value of the truth lies on either side of the threshold 99"):
        verdict(truth, ensemble, coarse, thresholds=(0.0, 99.0))
    with pytest.raises(ValueError, match="a, b do not name 1 channels"):
        verdict(truth, ensemble, coarse, channels=["a", "b"])
    with pytest.raises(ValueError, match="the ensemble holds values that are not finite"):
        verdict(truth, ensemble / 0, coarse)
    with pytest.raises(ValueError, match="no valid site"):
        verdict(truth, ensemble, coarse, valid=torch.zeros_like(truth, dtype=torch.bool))


def test_a_summary_fits_a_screen_and_names_every_channel():
    truth, ensemble, coarse = two_channels()
    ensemble[0, 0, 1, 0, 0] += 0.05
    lines = summary(verdict(truth, ensemble, coarse, **NAMES))
    assert len(lines) <= 24
    assert sum(line.startswith("pressure") for line in lines) == sum(line.startswith("humidity") for line in lines) == 2
    assert sum("The members of humidity leave the range of the truth" in line for line in lines) == 1
    row = next(line for line in lines if line.startswith("pressure"))
    assert f"{float(ensemble[:, :, 0].max()):.5g}" in row and f"{float(truth[:, 0].min()):.5g}" in row and "Pa" in row
    many = verdict(*(torch.cat([x] * 10, -3) for x in two_channels()))
    assert len(summary(many)) < 50 and "4 more channels" in "".join(summary(many))


def test_frames_have_figures_of_time_and_errors_over_blocks_of_time():
    truth, ensemble, coarse = example(samples=30)
    slow = torch.arange(30).double().mul(0.3).sin().add(2).reshape(-1, 1, 1, 1)  # neighbouring frames are alike
    frames, single = (verdict(truth * slow, ensemble * slow, coarse * slow, times=times) for times in (True, False))
    own = frames["channels"]["channel0"]
    assert frames["about"]["times"] and frames["about"]["blocks"] == 6 and single["about"]["blocks"] is None
    lag, change = own["lag_correlation"], own["change_ratio"]
    assert len(lag["value"]) == 2 and all(abs(v) < 5 * e for v, e in zip(lag["value"], lag["error"], strict=True))
    assert change["value"][0] == pytest.approx(1, abs=0.1) and "edges" in change
    assert not {"lag_correlation", "change_ratio"} & set(single["channels"]["channel0"])
    for name in ("crps", "rmse", "energy_score", "variogram_score"):
        assert frames[name]["value"] == single[name]["value"]
        assert frames[name]["error"] > 1.3 * single[name]["error"], name
    singly = single["channels"]["channel0"]
    for name in ("structure_2", "excursion_area", "event_brier", "event_skill", "quantiles", "event_scale_skill"):
        assert own[name]["value"] == singly[name]["value"] and own[name]["error"] != singly[name]["error"], name


@pytest.mark.parametrize(
    ("samples", "blocks", "said"),
    [
        (1, None, "No errors: 1 sample is too few"),
        (3, None, "No errors: 3 samples are too few; an error from fewer than 4 is itself uncertain by half or more."),
        (12, 2, "No errors: 12 consecutive samples, in 2 blocks, are too few"),
        (4, None, "Errors are jackknife errors over 4 samples; so few make them uncertain by 41%."),
        (30, 6, "Errors are jackknife errors over 6 blocks of consecutive samples, 30 in all; so few make them"),
        (12, None, "Errors are jackknife errors over 12 samples."),
    ],
)
def test_it_is_said_what_errors_are_and_why_there_are_none(samples, blocks, said):
    (line,) = notes({"samples": samples, "blocks": blocks, "areas": None})
    assert line.startswith(said)


def test_frames_that_make_few_blocks_have_no_errors():
    for frames, known in ((12, False), (20, True)):
        scores = verdict(*example(samples=frames, lattice=(8, 8)), times=True)
        own = scores["channels"]["channel0"]
        for entry in (
            scores["crps"],
            scores["rank_deviation"],
            own["lag_correlation"],
            own["quantiles"],
            own["slopes"],
        ):
            error = entry["error"] if isinstance(entry["error"], list) else [entry["error"]]
            assert all((each is not None) == known for each in error)
        assert scores["crps"]["value"] > 0 and any("No errors" in line for line in summary(scores)) != known


def test_as_many_blocks_as_samples_are_the_samples():
    fields = example(samples=6)
    one, other, few = (verdict(*fields, blocks=blocks) for blocks in (None, 6, 4))
    for scores in (one, other, few):
        scores["about"].pop("blocks")
    assert one == other != few


@pytest.mark.usefixtures("unchecked")
def test_blocks_and_frames_that_do_not_exist_are_refused():
    fields = example(samples=5)
    for blocks in (1, 3, 6):
        with pytest.raises(ValueError, match=f"{blocks} blocks of 5 samples give no errors; take 4 to 5"):
            verdict(*fields, blocks=blocks)
    with pytest.raises(ValueError, match="2 blocks of 3 samples give no errors; errors need 4 or more; leave blocks"):
        verdict(*example(samples=3), blocks=2)
    with pytest.raises(ValueError, match="1 frame follows no other"):
        verdict(*example(samples=1), times=True)


@pytest.mark.parametrize("lattice", [(16,), (16, 8), (8, 8, 4)])
def test_awkward_fields_of_every_dimension_are_judged(lattice):
    """One sample or frames; a constant channel; most values 0, a sample all 0; half of the sites missing."""
    for samples, times in ((1, False), (4, False), (4, True)):
        rain = torch.randn(samples, 1, *lattice).sub(0.5).clamp(min=0).double()
        rain[-1] *= 0 if samples > 1 else 1
        members = torch.randn(2, samples, 1, *lattice).sub(0.5).clamp(min=0).double()
        other = torch.randn(3, samples, 1, *lattice).double()
        truth = torch.cat([rain, torch.full_like(rain, 7), other[0]], 1)
        ensemble = torch.cat([members, torch.full_like(members, 7), other[1:]], 2)
        valid = torch.ones_like(truth, dtype=torch.bool)
        valid[..., : lattice[-1] // 2] = False
        coarse = block_mean(truth, 4)
        for mask in (None, valid):
            scores = judge(truth, ensemble, coarse, OPERATOR, 2, "periodic", {"b": truth}, valid=mask, times=times)
            json.dumps(scores, allow_nan=False)
            assert scores["channel_correlation"]["pair"] == [["channel0", "channel2"]] * 2
            assert "wet_share" in scores["channels"]["channel0"] and "wet_share" not in scores["channels"]["channel2"]
            assert scores["channels"]["channel1"]["rank_deviation"]["value"] is not None
            assert len(summary(scores)) < 40
            for name in ("variogram_score", "rank_deviation"):
                assert (scores[name]["error"] is None) == (samples == 1 or times)


def test_the_summary_says_what_variables_and_frames_have_in_common():
    scores = verdict(*two_channels(), **NAMES, times=True)
    lines = "\n".join(summary(scores))
    assert "in the last place" in lines and "by chance" in lines
    assert (
        "Correlation of detail of two channels, model minus truth: at most" in lines
        and "pressure and humidity" in lines
    )
    assert "Detail of humidity that lasts to the next frame, finest level first" in lines
