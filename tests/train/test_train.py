"""Training: a function of data, settings and step alone, so that an interrupted run ends as an unbroken one."""

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import rgdm.train.loop
from rgdm.cli import main
from rgdm.model.cascade import storage
from rgdm.model.cascade.cascade import Cascade
from rgdm.train import CHECKPOINT, HISTORY, Batches, Budget, Trainer, fingerprint
from rgdm.train.batches import HALO

STEPS = 52


def fields() -> torch.Tensor:
    return torch.randn(3, 1, 64, 64, generator=torch.Generator().manual_seed(0)).cumsum(2) / 3


def tiny(**options) -> Cascade:
    torch.manual_seed(0)
    model = Cascade(levels=2, width=4, encoder_blocks=1, decoder_blocks=1, **options)
    model.fit(fields())
    return model


def trainer(folder, steps: int = STEPS, model: Cascade | None = None, data=None, **options) -> Trainer:
    data = fields() if data is None else data
    return Trainer(model or tiny(), data, folder, Budget(steps=steps), device="cpu", precision="float32", **options)


def same(a, b) -> bool:
    """Whether two model folders hold the same state to the bit, and the same history but for the clock."""
    for name in (storage.WEIGHTS, CHECKPOINT):
        first, second = load_file(a / name), load_file(b / name)
        if set(first) != set(second) or not all(torch.equal(first[key], second[key]) for key in first):
            return False
    histories = [[json.loads(line) for line in (x / HISTORY).read_text().splitlines()] for x in (a, b)]
    for record in (record for history in histories for record in history):
        del record["seconds"]
    return histories[0] == histories[1] and len(histories[0]) > 0


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    trainer(folder).run()
    return folder


# --- what a step is a function of --------------------------------------------------------------


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_a_batch_is_a_function_of_seed_step_and_process(boundary):
    model = tiny(boundary=boundary)
    batches = Batches(model, fields(), seed=3)
    batches(0)
    for step, rank in [(0, 0), (7, 0), (7, 1)]:
        again = Batches(model, fields(), seed=3)(step, rank)
        pairs = zip(batches(step, rank), again, strict=True)
        assert all(torch.equal(torch.as_tensor(a), torch.as_tensor(b)) for a, b in pairs)
    noises = [batches(0)[3], batches(1)[3], batches(0, rank=1)[3], Batches(model, fields(), seed=4)(0)[3]]
    assert len({float(noise.flatten()[0]) for noise in noises}) == 4


def test_batches_come_from_every_level_a_shared_network_sees_the_finest_most_often():
    shares = {}
    for shared in (True, False):
        batches = Batches(tiny(shared=shared), fields(), seed=0, sites=1)
        levels = [batches(step)[0] for step in range(400)]
        shares[shared] = levels.count(0) / len(levels)
    assert shares[True] == pytest.approx(1 / 1.5, abs=0.075) and shares[False] == pytest.approx(1 / 1.6, abs=0.075)


def test_patches_are_parts_of_the_fields_in_their_orientation_unless_they_may_be_mirrored():
    ramp = torch.arange(64.0).repeat(64, 1)[None, None] + 100 * torch.arange(64.0)[:, None]
    for mirror in (False, True):
        batches = Batches(tiny(), ramp, seed=0, mirror=mirror)
        fine = torch.cat([x for level, x, *_ in map(batches, range(6)) if level == 0])
        along = fine.diff(dim=3)[:, 0, 0, 0]
        assert set(along.tolist()) == ({1.0, -1.0, 100.0, -100.0} if mirror else {1.0})


def test_a_patch_cut_out_of_a_periodic_field_teaches_what_the_whole_field_would():
    x = torch.randn(2, 1, 256, 256, generator=torch.Generator().manual_seed(1)).cumsum(2).cumsum(3)
    model = Cascade(levels=1, boundary="periodic", width=4, encoder_blocks=1, decoder_blocks=1)
    model.fit(x)
    fields = model.normalise(x)
    level, wide, _, _, halo = Batches(model, fields, seed=0, mirror=False)(0)
    assert halo == (HALO, HALO) and wide.shape[2:] == (144, 144)
    lift = model.lift(level)
    coarse, detail = lift.operator.split(wide)
    inside = (..., slice(HALO, -HALO), slice(HALO, -HALO))
    found = torch.cat([lift.standardize(coarse, detail), lift.condition(coarse)], 1)[inside]
    for patch, values in zip(wide[:2], found[:2], strict=True):
        b, y, z = place(patch, fields)
        whole = fields[b : b + 1].roll((-y, -z), (2, 3))
        coarse, detail = lift.operator.split(whole)
        expected = torch.cat([lift.standardize(coarse, detail), lift.condition(coarse)], 1)[0][:, HALO:51, HALO:51]
        torch.testing.assert_close(values, expected, rtol=0, atol=1e-3)


def place(patch: torch.Tensor, fields: torch.Tensor) -> tuple[int, int, int]:
    """Which field a patch was cut from, and where it begins."""
    corner = patch[0, 0, 0]
    for b, y, z in (fields[:, 0] == corner).nonzero().tolist():
        if torch.equal(fields[b].roll((-y, -z), (1, 2))[:, : patch.shape[1], : patch.shape[2]], patch):
            return b, y, z
    raise AssertionError("the patch is no part of the fields")


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
@pytest.mark.parametrize("mirror", [True, False])
@pytest.mark.parametrize("lattice", [(640,), (4, 512), (160, 160), (80, 256), (8, 8, 128), (64, 64, 64)])
def test_every_patch_is_a_window_of_one_field_with_its_axes_turned_or_exchanged(boundary, mirror, lattice):
    """Each site of the fields holds its own number, so that where a patch comes from can be read off it."""
    two, size = 2, math.prod(lattice)
    model = Cascade(channels=2, dimension=len(lattice), levels=1, boundary=boundary, width=4)
    numbered = torch.arange(two * 2 * size, dtype=torch.float64).reshape(two, 2, *lattice)
    batches = Batches(model, numbered, seed=0, mirror=mirror, sites=2_000)
    wrapped, orders = False, set()
    for step in range(12):
        _, fine, _, _, halo = batches(step)
        alike = len(set(zip(fine.shape[2:], halo, strict=True))) == 1
        assert torch.equal(fine[:, 1] - fine[:, 0], torch.full_like(fine[:, 0], size))
        for patch in fine[:6, 0].long():
            assert len((patch // (2 * size)).unique()) == 1  # one field
            site = torch.stack(torch.unravel_index(patch % size, lattice))  # (axis of the field, *patch)
            order = []
            for axis in range(len(lattice)):
                moved = site.diff(dim=axis + 1)
                (own,) = (i for i in range(len(lattice)) if bool((moved[i] != 0).any()))
                others = [i for i in range(len(lattice)) if i != own]
                assert not bool(moved[others].any())
                n = lattice[own]
                turned = (moved[own] + 1) % n - 1 if bool(((moved[own] - 1) % n == 0).all()) else moved[own] % n - n
                assert set(turned.unique().tolist()) <= ({1, -1} if mirror else {1})
                assert len(turned.unique()) == 1
                wrapped |= bool((moved[own].abs() > 1).any())
                order.append(own)
            orders.add(tuple(order))
    assert wrapped == (boundary == "periodic")
    assert len(orders) == (math.factorial(len(lattice)) if mirror and alike else 1)


def test_axes_are_not_exchanged_if_one_is_cut_and_one_is_whole_though_their_patches_are_as_long():
    model = Cascade(levels=1, boundary="periodic", width=4)
    ramp = torch.sin(torch.arange(288.0) * 2 * torch.pi / 288).expand(1, 1, 144, 288)
    for step in range(8):
        _, fine, _, _, halo = Batches(model, ramp.contiguous(), seed=0)(step)
        assert halo == (0, HALO) and fine.shape[2:] == (144, 144)
        assert not fine.diff(dim=2).any()


def test_a_run_is_repeatable_to_the_bit(tmp_path, unbroken):
    made = trainer(tmp_path)
    made.run()
    assert made.records[-1]["step"] == STEPS
    assert same(tmp_path, unbroken)


@pytest.mark.parametrize("options", [{"seed": 1}, {"mirror": False}, {"learning_rate": 1e-3}])
def test_every_setting_changes_the_weights(tmp_path, unbroken, options):
    trainer(tmp_path, **options).run()
    assert not same(tmp_path, unbroken)


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


# --- resumed is unbroken -----------------------------------------------------------------------


def test_a_run_killed_by_kill_9_and_resumed_ends_as_an_unbroken_one(tmp_path):
    np.save(tmp_path / "field.npy", fields()[:, 0].numpy())
    small = ["--levels", "2", "--width", "4", "--encoder-blocks", "1", "--decoder-blocks", "1"]
    command = [
        "train",
        str(tmp_path / "field.npy"),
        "--device",
        "cpu",
        "--precision",
        "float32",
        "--steps",
        "150",
        *small,
    ]
    killed = [*command, "--out", str(tmp_path / "killed"), "--checkpoint-seconds", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "rgdm.cli", *killed],
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
        stderr=subprocess.DEVNULL,
    )
    wait_for_step(tmp_path / "killed" / CHECKPOINT, 5, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    reached = json.loads(storage.read_notes(tmp_path / "killed" / CHECKPOINT)["step"])
    assert 5 <= reached < 60
    assert main([*killed, "--resume"]) == 0
    assert main([*command, "--out", str(tmp_path / "unbroken")]) == 0
    assert same(tmp_path / "killed", tmp_path / "unbroken")
    assert not list((tmp_path / "killed").glob(".*"))


def wait_for_step(path, step: int, process: subprocess.Popen, limit: float = 600) -> None:
    end = time.monotonic() + limit
    while process.poll() is None and time.monotonic() < end:
        if path.is_file() and json.loads(storage.read_notes(path)["step"]) >= step:
            return
        time.sleep(0.01)
    pytest.fail(f"no checkpoint of step {step} within {limit} s")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_stopped_by_a_signal_and_resumed_ends_as_an_unbroken_one(tmp_path, unbroken, number):
    before = signal.getsignal(signal.SIGINT)  # a shell in the background has it ignored
    with pytest.raises(KeyboardInterrupt, match=f"step 25 is saved in {tmp_path}"):
        trainer(tmp_path).run(lambda now: signal.raise_signal(number) if now.step == 25 else None)
    assert signal.getsignal(signal.SIGINT) is before
    second = trainer(tmp_path, model=tiny())
    second.resume()
    assert second.step == 25
    second.run()
    assert same(tmp_path, unbroken)


def test_a_run_on_a_torus_stopped_and_resumed_ends_as_an_unbroken_one(tmp_path):
    torus = {"boundary": "periodic", "shared": False}
    trainer(tmp_path / "unbroken", model=tiny(**torus)).run()
    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path / "broken", model=tiny(**torus)).run(
            lambda now: signal.raise_signal(signal.SIGINT) if now.step == 20 else None
        )
    second = trainer(tmp_path / "broken", model=tiny(**torus))
    second.resume()
    second.run()
    assert same(tmp_path / "broken", tmp_path / "unbroken")


@pytest.mark.parametrize("shared", [True, False])
def test_a_run_stopped_before_its_first_step_can_be_resumed(tmp_path, shared, monkeypatch):
    def die(*_):
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="power cut"):
        patch.setattr(Trainer, "_advance", die)
        trainer(tmp_path / "broken", steps=55, model=tiny(shared=shared)).run()
    second = trainer(tmp_path / "broken", steps=55, model=tiny(shared=shared))
    second.resume()
    second.run()
    trainer(tmp_path / "unbroken", steps=55, model=tiny(shared=shared)).run()
    assert same(tmp_path / "broken", tmp_path / "unbroken")


def test_a_thread_can_train_too(tmp_path):
    errors = []

    def train() -> None:
        try:
            trainer(tmp_path, steps=2).run()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert not errors


def test_a_budget_of_time_counts_on_over_a_break(tmp_path):
    first = Trainer(tiny(), fields(), tmp_path, Budget(minutes=0.02), device="cpu")
    first.seconds = 0.9
    first.save()
    second = Trainer(tiny(), fields(), tmp_path, Budget(minutes=0.02), device="cpu")
    second.resume()
    told = []
    second.run(told.append)
    assert told[0].seconds > 0.9 and told[-1].fraction == 1
    assert told[-1].seconds - 0.9 < 5
    assert second.finished


def test_a_finished_run_goes_on_only_with_a_larger_budget(tmp_path, unbroken):
    for name in (CHECKPOINT, HISTORY, storage.WEIGHTS, storage.CONFIG):
        (tmp_path / name).write_bytes((unbroken / name).read_bytes())
    again = trainer(tmp_path)
    again.resume()
    assert again.finished
    again.run()
    assert again.operator == STEPS and same(tmp_path, unbroken)
    more = trainer(tmp_path, steps=STEPS + 5)
    more.resume()
    more.run()
    assert more.step == STEPS + 5


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"seed": 1}, "seed = 0, not 1"),
        ({"learning_rate": 1e-3}, "learning_rate = 0.002, not 0.001"),
        ({"mirror": False}, "mirror = True, not False"),
        ({"model": "unshared"}, "shared = True, not False"),
        ({"data": "other"}, "data = "),
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


def test_without_a_checkpoint_or_with_a_damaged_one_there_is_nothing_to_resume(tmp_path):
    with pytest.raises(ValueError, match=r"no checkpoint in .* train without --resume"):
        trainer(tmp_path).resume()
    trainer(tmp_path, steps=1).run()
    content = (tmp_path / CHECKPOINT).read_bytes()
    (tmp_path / CHECKPOINT).write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="damaged or truncated"):
        trainer(tmp_path).resume()


# --- what goes wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_state_before(tmp_path, monkeypatch, where):
    true_loss, calls = Cascade.forward, []

    def broken(self, *arguments):
        calls.append(1)
        loss = true_loss(self, *arguments)
        if len(calls) < 8:
            return loss
        return loss * torch.nan if where == "loss" else loss + (0 * loss).sqrt()  # the slope of sqrt at 0

    monkeypatch.setattr(Cascade, "forward", broken)
    run = trainer(tmp_path)
    with pytest.raises(ValueError, match=r"the loss became .* at step 7, level [01]; .* smaller learning rate"):
        run.run()
    state = load_file(tmp_path / CHECKPOINT)
    assert all(state[f"model/{name}"].isfinite().all() for name in run.weights)
    assert all(state[f"average/{name}"].isfinite().all() for name in run.weights)
    assert json.loads(storage.read_notes(tmp_path / CHECKPOINT)["step"]) == 7


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_units_do_not_matter(tmp_path, scale):
    torch.manual_seed(0)
    model = Cascade(levels=2, width=4, encoder_blocks=1, decoder_blocks=1)
    model.fit(scale * fields())
    run = trainer(tmp_path, steps=3, model=model, data=scale * fields())
    told = []
    run.run(told.append)
    usual = []
    trainer(tmp_path / "usual", steps=3).run(usual.append)
    assert [now.loss for now in told] == pytest.approx([now.loss for now in usual], rel=1e-3)
    assert model.sample((16, 16)).isfinite().all()


def test_data_in_double_precision_trains_as_in_single(tmp_path):
    told, usual = [], []
    trainer(tmp_path / "double", steps=3, data=fields().double()).run(told.append)
    trainer(tmp_path / "single", steps=3).run(usual.append)
    assert [now.loss for now in told] == pytest.approx([now.loss for now in usual], rel=1e-4)


def test_a_full_disk_stops_the_run_with_one_sentence(tmp_path, monkeypatch):
    def full(path, tensors, notes=None):
        raise ValueError("the disk is full: x cannot be written, 0.0 MiB are free")

    monkeypatch.setattr(rgdm.train.loop.storage, "write_tensors", full)
    with pytest.raises(ValueError, match="the disk is full"):
        trainer(tmp_path).run()


@pytest.mark.parametrize(
    "budget", [{}, {"steps": 1, "minutes": 1.0}, {"steps": 0}, {"minutes": 0.0}, {"minutes": -1.0}, {"steps": -3}]
)
def test_a_budget_is_one_positive_number(budget):
    with pytest.raises(ValueError, match="budget of"):
        Budget(**budget)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_a_learning_rate_is_positive(tmp_path, rate):
    with pytest.raises(ValueError, match="the learning rate is"):
        trainer(tmp_path, learning_rate=rate)
