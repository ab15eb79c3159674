"""Training: one readable loop, resumable to the bit."""

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from rgdm.atomic import write_text
from rgdm.errors import InputError, TrainingFailedError
from rgdm.model.cascade import storage
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.cascade.fields import Fields
from rgdm.notes import option
from rgdm.ranges import check_range
from rgdm.train.batches import Batches, shares
from rgdm.train.budget import Budget, Progress
from rgdm.train.checkpoint import CHECKPOINT, HISTORY, check_resumable, different, fingerprint
from rgdm.train.device import choose_device, choose_precision
from rgdm.train.gradient import loss_and_gradient, shared
from rgdm.train.interrupts import interrupts
from rgdm.train.learner import MOST_RESTARTS, Learner, exchanged
from rgdm.train.symmetry import TURNED, Turns
from rgdm.train.validation import ALIVE, Validation, by_level
from rgdm.workers import alone

VALIDATED = 100
"""Steps between two looks at the fields that are kept back."""


class Trainer:
    """AdamW with a warm-up and a cosine decay, an exponential moving average, and checkpoints.

    The state after step n is a pure function of (data, settings, n / N), so a run of N
    steps that is killed and resumed ends with the weights of an unbroken one, bit for bit,
    on the CPU of one machine, with any number of threads.
    """

    def __init__(
        self,
        model: Cascade,
        fields: Tensor | Fields,
        folder: Path,
        budget: Budget,
        seed: int = 0,
        learning_rate: float = 2e-3,
        device: str = "auto",
        precision: str = "auto",
        turns: Turns = TURNED,
        checkpoint_seconds: float = 55.0,
        held_out: Tensor | Fields | None = None,
    ) -> None:
        given = {"seed": seed, "learning_rate": learning_rate, "checkpoint_seconds": checkpoint_seconds}
        for name, value in given.items():
            check_range(name, value)
        self.fields, self.folder, self.budget = Fields.of(fields), folder, budget
        self.held_out = None if held_out is None else Fields.of(held_out)
        self.seed, self.learning_rate, self.turns = seed, learning_rate, turns
        self.checkpoint_seconds = checkpoint_seconds
        on_cpu = choose_device(device).type == "cpu"
        precision = choose_precision(precision, "cpu" if on_cpu else "cuda")
        AcceleratorState._reset_state(reset_partial_state=True)  # an earlier training may have had another device
        self.accelerator = Accelerator(mixed_precision=precision, cpu=on_cpu)
        self.settings = {
            **model.design.to_json(),
            "seed": seed,
            "learning_rate": learning_rate,
            "mirror": turns.mirror,
            "exchange": turns.exchange,
            "precision": precision,
            "processes": self.accelerator.num_processes,
            "data": fingerprint(self.fields.values),
            "areas": fingerprint(self.fields.place.weights),
            "companions": fingerprint(self.fields.place.companions),
            "clock": fingerprint(self.fields.place.clock),
            "held_out": None if self.held_out is None else fingerprint(self.held_out.values),
            "axes": list(model.grid.names),
            "boundary": list(model.grid.boundaries),
            "factor": [axis["factor"] for axis in model.grid.to_json()],
            "channels": model.channels,
            "batches": Batches.VERSION,
            "format": storage.FORMAT,
        }
        self.model = model.to(self.accelerator.device)
        self.weights = dict(model.named_parameters())
        self.average = {name: p.detach().clone() for name, p in self.weights.items()}
        self.learners = Learner.of(self.model)
        groups = [list(learner.weights.values()) for learner in self.learners]
        learning = {id(p) for group in groups for p in group}
        groups.append([p for p in self.weights.values() if id(p) not in learning])
        self.optimizer = torch.optim.AdamW(
            [{"params": group} for group in groups], lr=learning_rate, betas=(0.9, 0.99), fused=True
        )
        for p in self.weights.values():  # as the first step would make them: a checkpoint holds all from the start
            zero = torch.zeros((), dtype=torch.float32, device=p.device)
            self.optimizer.state[p] = {"step": zero, "exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
        self.step, self.seconds = 0, 0.0
        self.records: list[dict[str, Any]] = []
        self.recent: list[tuple[int, float]] = []

    @property
    def finished(self) -> bool:
        """Whether the budget is spent."""
        return self.budget.spent(self.step, self.seconds) >= 1

    def run(self, watch: Callable[[Progress], None] | None = None) -> None:
        """Train until the budget is spent; on Ctrl-C finish the step, save and raise ``KeyboardInterrupt``.

        On a CPU two threads compute at most; a batch of one patch keeps one of them busy.
        """
        with alone():
            self._run(watch)

    def _run(self, watch: Callable[[Progress], None] | None) -> None:
        fields = self._normalised(self.fields)
        batches = Batches(self.model, fields, self.seed, self.turns)
        if self.held_out is not None:
            fields = self._normalised(self.held_out)
        self.validation = Validation(self.model, fields, self.turns)
        if self.step == 0 and self.accelerator.is_main_process:  # of an earlier run, which must not be resumed as this
            (self.folder / CHECKPOINT).unlink(missing_ok=True)
        first = self.step
        if not self.records:
            with self.accelerator.autocast():
                losses = Validation(self.model, batches.fields, self.turns)()
            self.records.append({"step": 0, "seconds": 0.0, "closed_form": by_level(losses)})
            self._validate()
        self.save()
        began, saved, stop = time.monotonic() - self.seconds, time.monotonic(), False
        with interrupts() as interrupted:
            while not self.finished and not stop:
                loss = self._advance(batches)
                self.seconds = self._agreed(time.monotonic() - began)
                if watch:
                    watch(self._progress(loss))
                if time.monotonic() - saved > self.checkpoint_seconds:
                    self.save()
                    saved = time.monotonic()
                stop = self._agreed(float(interrupted())) > 0
            if not stop:
                self._summarise()
                if self.step > first and self.step % VALIDATED:
                    self._validate()
            self.save()
        if stop:
            raise KeyboardInterrupt(f"step {self.step} is saved in {self.folder}")

    def _normalised(self, fields: Fields) -> Fields:
        """As networks take them, on their device."""
        fields = self.model.normalised(fields.to(self.accelerator.device))
        return fields.map(lambda part: part.to(self.model.dtype))

    def _advance(self, batches: Batches) -> float:
        """One optimizer step; a loss that is not finite never touches the weights: the network starts again."""
        weights: list[Tensor] = [weight for weight in self.weights.values() if weight.requires_grad]
        batch = batches(self.step, self.accelerator.process_index)
        value, slopes = loss_and_gradient(self.model, batch, weights, lambda: self.accelerator.autocast())
        value = self._agreed(value)
        for weight, slope in zip(weights, shared(slopes, self.accelerator), strict=True):
            weight.grad = slope
        slope = float(torch.nn.utils.clip_grad_norm_(weights, 1.0))
        if not math.isfinite(value + slope):
            learner = next(learner for learner in self.learners if batch.level in learner.levels)
            reason = f"the loss became {value} (gradient {slope}) at step {self.step}, level {batch.level}"
            self._restart(learner, reason)
            return value
        pace = self.learning_rate * self._pace()
        rates = [learner.rate for learner in self.learners]
        for group, rate in zip(self.optimizer.param_groups, [*rates, 1.0], strict=True):
            group["lr"] = rate * pace
        self.optimizer.step()
        self.step += 1
        decay = min(0.999, (1 + self.step) / (10 + self.step))
        get_ema_multi_avg_fn(decay)(list(self.average.values()), list(self.weights.values()), self.step)
        self._record(batch.level, value)
        if self.step % VALIDATED == 0:
            self._validate()
        return value

    def _validate(self) -> None:
        """Keep weights that are better than all before, and send networks back that have stopped to learn."""
        with exchanged(self.weights, self.average), self.accelerator.autocast():
            losses = self.validation()
        recent = self.records[-1].get("level_losses", {}) if self.records else {}
        self.records.append({"step": self.step, "seconds": round(self.seconds, 3), "held_out": by_level(losses)})
        for learner in self.learners:
            share = [self.share[level] for level in learner.levels]
            loss = sum(s * losses[level] for s, level in zip(share, learner.levels, strict=True)) / sum(share)
            if self.step == 0:
                learner.begin(self.average, loss)
                continue
            silent = [level for level in learner.levels if self.validation.slope(level) < ALIVE]
            if silent:
                self._restart(learner, f"the network of level {silent[0]} was silent at step {self.step}")
            elif learner.exploded(loss, recent):
                self._restart(learner, f"the loss of {learner.name} grew to {loss:.3g} at step {self.step}")
            elif not math.isfinite(loss):
                self._restart(learner, f"the averaged network of {learner.name} made {loss} at step {self.step}")
            elif loss < learner.best or self.held_out is None:
                learner.keep(self.average, loss, self.step)

    def _restart(self, learner: Learner, reason: str) -> None:
        """Back to the weights that were good; a network that fails again and again ends the training."""
        if learner.restarts >= MOST_RESTARTS:
            self.save()
            raise TrainingFailedError(
                f"{reason}; {learner.restarts} times the network of {learner.name} was put back and slowed down, in "
                f"vain; the state before is in {self.folder}: look for extreme values in the field, or train anew with "
                "a smaller learning rate"
            )
        learner.restart(self.average, self.optimizer, reason)

    @property
    def share(self) -> list[float]:
        """How much each level counts."""
        return shares(self.model)

    def _pace(self) -> float:
        """The learning rate over its peak: 100 steps up, then half a cosine down."""
        fraction = self.budget.spent(self.step, self.seconds)
        return min(1.0, (self.step + 1) / 100) * (0.5 * (1 + math.cos(math.pi * fraction)) + 1e-3)

    def _agreed(self, value: float) -> float:
        """The mean over all processes, so that they decide alike."""
        if self.accelerator.num_processes == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float32, device=self.accelerator.device)
        return float(self.accelerator.reduce(shared, "mean"))  # pyright: ignore[reportArgumentType]

    def _progress(self, loss: float) -> Progress:
        done = max(1e-9, self.budget.spent(self.step, self.seconds))
        return Progress(self.step, min(1.0, done), self.seconds, self.seconds * max(0.0, 1 / done - 1), loss)

    def _record(self, level: int, loss: float, every: int = 50) -> None:
        self.recent.append((level, loss))
        if self.step % every == 0:
            self._summarise()

    def _summarise(self) -> None:
        """A record of the steps since the last one."""
        if self.recent:
            levels = {str(k): [v for q, v in self.recent if q == k] for k in range(self.model.levels)}
            means = {k: sum(v) / len(v) for k, v in levels.items() if v}
            total = sum(v for _, v in self.recent) / len(self.recent)
            self.records.append(
                {"step": self.step, "seconds": round(self.seconds, 3), "loss": total, "level_losses": means}
            )
            self.recent = []

    # --- checkpoints -----------------------------------------------------------------------

    def save(self) -> None:
        """Write the model (the best averaged weights), the history, and last the state that they belong to."""
        if not self.accelerator.is_main_process:
            return
        good = {name: tensor for learner in self.learners for name, tensor in learner.kept.items()}
        chosen = {name: good.get(name, self.average.get(name, tensor)) for name, tensor in self.model.state()}
        storage.save(self.folder, self.model.configuration, self.model.metadata, chosen)
        write_text(self.folder / HISTORY, "".join(json.dumps(r) + "\n" for r in self.records))
        now = {"step": self.step, "seconds": self.seconds, "recent": self.recent, "settings": self.settings}
        now["learners"] = [learner.state() for learner in self.learners]
        notes = {name: json.dumps(value) for name, value in now.items()}
        storage.write_tensors(self.folder / CHECKPOINT, self._state(), notes)

    def resume(self) -> None:
        """Go on from the folder's checkpoint, which must come from the same data and settings."""
        path, anew = check_resumable(self.folder), option(" with --overwrite", "")
        try:
            notes = {name: json.loads(value) for name, value in storage.read_notes(path).items()}
            lines = map(json.loads, (self.folder / HISTORY).read_text(encoding="utf-8").splitlines())
            then = notes["settings"]
            self.step, self.seconds = int(notes["step"]), float(notes["seconds"])
            self.recent = [(int(k), float(v)) for k, v in notes["recent"]]
            self.records = [r for r in lines if r["step"] <= self.step]
            states = list(notes["learners"])
        except (OSError, KeyError, TypeError, ValueError):
            raise InputError(f"the checkpoint in {self.folder} is damaged; train anew{anew}") from None
        for name, now in self.settings.items():
            if then.get(name) != now:
                raise InputError(
                    f"the training in {self.folder} was begun with {different(name, then.get(name), now)}; "
                    f"resume it with the same, or begin another{anew}"
                )
        storage.read_tensors(path, self._state())
        for learner, state in zip(self.learners, states, strict=True):
            learner.load(state)

    def _state(self) -> dict[str, Tensor]:
        """Everything a step depends on, by name."""
        tensors = {f"model/{name}": tensor for name, tensor in self.model.state()}
        tensors |= {f"average/{name}": tensor for name, tensor in self.average.items()}
        for learner in self.learners:
            tensors |= {f"kept/{name}": tensor for name, tensor in learner.kept.items()}
        for name, parameter in self.weights.items():
            tensors |= {f"optimizer/{name}/{key}": value for key, value in self.optimizer.state[parameter].items()}
        return tensors
