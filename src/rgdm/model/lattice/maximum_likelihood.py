"""Fitting laws whose log-density is known: one short loop."""

import contextlib
from collections.abc import Callable

import torch
from torch import Tensor, nn, optim

from rgdm.errors import InputError
from rgdm.watch import Watch

WARM, CHECK = 11, 50
"""Steps before those of a CUDA device are recorded as a graph, and how often their likelihood is looked at."""


def maximise(
    network: nn.Module,
    draw: Callable[[], tuple[Tensor, ...]],
    log_prob: Callable[..., Tensor],
    steps: int,
    rate: float,
    watch: Watch | None = None,
) -> list[float]:
    """Adam, the rate up for a ninth of the steps and then down to nothing; returns ``-log_prob`` of each step.

    The networks of single sites are so small that a CUDA device waits for the next operation most of the time; there
    a step is recorded once and replayed, so ``log_prob`` must do the same operations on every batch, and neither look
    at a value on the host nor bring one from there.

    Args:
        network: its parameters are fitted.
        draw: the next batch, tensors of the same shapes each time, on the device of the network.
        log_prob: the mean log-density of a batch, a number.
        steps: of the optimizer.
        rate: the highest learning rate.
        watch: is told after each step; on a CUDA device, when it has been asked for.
    """
    device = next(network.parameters()).device
    recorded = device.type == "cuda"
    pace = torch.tensor(rate, device=device) if recorded else rate
    optimizer = optim.Adam(network.parameters(), pace, betas=(0.9, 0.99), capturable=recorded)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.11, cycle_momentum=False)

    def check(loss: Tensor) -> None:
        if not bool(loss.isfinite().all()):
            raise InputError(
                f"the likelihood is not finite {f'in the last {CHECK} of' if recorded else 'after'} {len(found)} "
                f"steps; look for extreme values in what it is of, or lower the learning rate of {rate:g}"
            )

    def step(*batch: Tensor) -> Tensor:
        loss = -log_prob(*batch)
        if not recorded:
            check(loss)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        return loss.detach()

    found: list[Tensor] = []
    with torch.cuda.device(device) if recorded else contextlib.nullcontext():
        stepped = _Recorded(step) if recorded else step
        for done in range(steps):
            found.append(stepped(*draw()))
            schedule.step()
            if recorded and (done % CHECK == 0 or done == steps - 1):
                check(torch.stack(found[-CHECK:]))
            if watch is not None:
                watch(done + 1, steps)
    optimizer.zero_grad()
    return torch.stack(found).tolist()


class _Recorded:
    """A step as a CUDA graph: run as it is at first, then recorded, then replayed on each new batch."""

    def __init__(self, step: Callable[..., Tensor]) -> None:
        self.step, self.calls = step, 0
        self.stream = torch.cuda.Stream()

    def __call__(self, *batch: Tensor) -> Tensor:
        self.calls += 1
        if self.calls <= WARM:
            self.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.stream):
                loss = self.step(*batch)
            torch.cuda.current_stream().wait_stream(self.stream)
            return loss
        if self.calls == WARM + 1:
            self.graph, self.batch = torch.cuda.CUDAGraph(), tuple(each.clone() for each in batch)
            with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
                self.loss = self.step(*self.batch)
        for held, new in zip(self.batch, batch, strict=True):
            held.copy_(new)
        self.graph.replay()
        return self.loss.clone()
