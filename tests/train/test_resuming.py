"""An interrupted training ends as an unbroken one, to the bit."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from training_runs import STEPS, fields, same, tiny, trainer

from rgdm.cli import main
from rgdm.model.cascade import storage
from rgdm.train import CHECKPOINT, HISTORY, Budget, Trainer

pytestmark = pytest.mark.integration

KILLED = """
import os, signal, sys
from rgdm.cli import main
from rgdm.model.cascade import storage
write = storage.write_tensors
def killed(path, tensors, notes=None):  # the weights and the history of step 7 are there, the state of step 6
    if path.name.startswith("checkpoint") and notes["step"] == "7":
        os.kill(os.getpid(), signal.SIGKILL)
    write(path, tensors, notes)
storage.write_tensors = killed
main(sys.argv[1:])
"""


def command(folder, steps: int) -> list[str]:
    np.save(folder / "field.npy", fields()[:, 0, :16, :16].numpy())
    small = ["--levels", "2", "--width", "4", "--encoder-blocks", "1", "--decoder-blocks", "1"]
    exact = ["--device", "cpu", "--precision", "float32"]
    return ["train", str(folder / "field.npy"), *exact, *small, "--steps", str(steps)]


def test_a_run_killed_in_the_middle_of_a_checkpoint_and_resumed_ends_as_an_unbroken_one(tmp_path, monkeypatch):
    monkeypatch.undo()  # batches as large as those of the process that is killed
    every_step = ["--out", str(tmp_path / "killed"), "--checkpoint-seconds", "0"]
    run = [sys.executable, "-c", KILLED, *command(tmp_path, 12), *every_step]
    threads = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    assert subprocess.run(run, env=threads, stderr=subprocess.DEVNULL).returncode == -signal.SIGKILL
    assert json.loads(storage.read_notes(tmp_path / "killed" / CHECKPOINT)["step"]) == 6
    assert main([*command(tmp_path, 12), *every_step, "--resume"]) == 0
    assert main([*command(tmp_path, 12), "--out", str(tmp_path / "unbroken")]) == 0
    assert same(tmp_path / "killed", tmp_path / "unbroken")
    assert not list((tmp_path / "killed").glob(".*"))


@pytest.mark.slow
def test_a_run_killed_at_any_moment_and_resumed_ends_as_an_unbroken_one(tmp_path, monkeypatch):
    monkeypatch.undo()
    whole = command(tmp_path, 150)
    killed = [*whole, "--out", str(tmp_path / "killed"), "--checkpoint-seconds", "0"]
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
    assert main([*whole, "--out", str(tmp_path / "unbroken")]) == 0
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
    trainer(tmp_path / "unbroken", 24, tiny(**torus)).run()
    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path / "broken", 24, tiny(**torus)).run(
            lambda now: signal.raise_signal(signal.SIGINT) if now.step == 20 else None
        )
    second = trainer(tmp_path / "broken", 24, tiny(**torus))
    second.resume()
    second.run()
    assert same(tmp_path / "broken", tmp_path / "unbroken")


@pytest.mark.parametrize("shared", [True, False])
def test_a_run_stopped_before_its_first_step_can_be_resumed(tmp_path, shared, monkeypatch):
    def die(*_):
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="power cut"):
        patch.setattr(Trainer, "_advance", die)
        trainer(tmp_path / "broken", steps=12, model=tiny(shared=shared)).run()
    second = trainer(tmp_path / "broken", steps=12, model=tiny(shared=shared))
    second.resume()
    second.run()
    trainer(tmp_path / "unbroken", steps=12, model=tiny(shared=shared)).run()
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
    assert again.step == STEPS and same(tmp_path, unbroken)
    more = trainer(tmp_path, steps=STEPS + 5)
    more.resume()
    more.run()
    assert more.step == STEPS + 5


def test_without_a_checkpoint_or_with_a_damaged_one_there_is_nothing_to_resume(tmp_path):
    with pytest.raises(ValueError, match=r"no checkpoint in .* begin a training"):
        trainer(tmp_path).resume()
    trainer(tmp_path, steps=1).run()
    content = (tmp_path / CHECKPOINT).read_bytes()
    (tmp_path / CHECKPOINT).write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="is damaged; train anew"):
        trainer(tmp_path).resume()
