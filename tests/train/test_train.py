"""Training: a function of data, settings and step alone; another setting is another run."""

import pytest
import torch
from training_runs import STEPS, fields, same, tiny, trainer

from rgdm.train import STILL, fingerprint
from small import cascade


@pytest.mark.integration
def test_a_run_is_repeatable_to_the_bit(tmp_path, unbroken):
    made = trainer(tmp_path)
    made.run()
    assert made.records[-1]["step"] == STEPS
    assert same(tmp_path, unbroken)


@pytest.mark.integration
@pytest.mark.parametrize("options", [{"seed": 1}, {"turns": STILL}, {"learning_rate": 1e-3}])
def test_every_setting_changes_the_weights(tmp_path, options):
    trainer(tmp_path / "usual", steps=3).run()
    trainer(tmp_path / "other", steps=3, **options).run()
    assert not same(tmp_path / "usual", tmp_path / "other")


@pytest.mark.integration
def test_the_learning_rate_is_a_function_of_the_share_of_the_budget(tmp_path):
    run = trainer(tmp_path, steps=400)

    def pace(step: int) -> float:
        run.step = step
        return run._pace()

    assert pace(0) == pytest.approx(0.01, rel=0.01)
    assert pace(99) > pace(49) > pace(0)
    assert pace(200) == pytest.approx(0.5, abs=0.01)
    assert pace(399) < 0.002
    half = trainer(tmp_path, steps=800)
    half.step = 400
    assert half._pace() == pace(200)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"seed": 1}, "seed = 0, not 1"),
        ({"learning_rate": 1e-3}, "learning_rate = 0.002, not 0.001"),
        ({"turns": STILL}, "mirror = True, not False"),
        ({"model": "unshared"}, "shared = True, not False"),
        ({"data": "other"}, "other fields; resume it with the same"),
    ],
)
def test_another_run_cannot_be_resumed(tmp_path, unbroken, change, name):
    change = {**change}
    if "model" in change:
        change["model"] = tiny(shared=False)
    if "data" in change:
        change["data"] = fields() + 1e-6
    other = trainer(unbroken, **change)
    with pytest.raises(ValueError, match=f"was begun with {name}"):
        other.resume()


def test_the_fingerprint_tells_values_shapes_and_types():
    x = fields()
    changed = x.clone()
    changed[-1, 0, -1, -1] += 1e-6
    assert fingerprint(x) == fingerprint(x.clone())
    assert len({fingerprint(y) for y in (x, changed, x.double(), x.reshape(3, 1, 128, 32))}) == 4


@pytest.mark.integration
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_units_do_not_matter(tmp_path, scale):
    torch.manual_seed(0)
    model = cascade(levels=2, width=4, encoder_blocks=1, decoder_blocks=1)
    model.fit(scale * fields())
    run = trainer(tmp_path, steps=3, model=model, data=scale * fields())
    told = []
    run.run(told.append)
    usual = []
    trainer(tmp_path / "usual", steps=3).run(usual.append)
    assert [now.loss for now in told] == pytest.approx([now.loss for now in usual], rel=1e-3)
    assert model.sample((16, 16)).isfinite().all()


@pytest.mark.integration
def test_data_in_double_precision_trains_as_in_single(tmp_path):
    told, usual = [], []
    trainer(tmp_path / "double", steps=3, data=fields().double()).run(told.append)
    trainer(tmp_path / "single", steps=3).run(usual.append)
    assert [now.loss for now in told] == pytest.approx([now.loss for now in usual], rel=1e-4)
