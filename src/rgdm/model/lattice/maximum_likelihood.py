"""Fitting laws whose log-density is known: one short loop."""

import contextlib
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn, optim

from rgdm.errors import InputError
from rgdm.watch import Watch

WARM, CHECK = 11, 50
"""On a CUDA device: steps before one is recorded as a graph, and steps between two checks of the likelihood."""


def maximise(
    network: nn.Module,
    draw: Callable[[], tuple[Tensor, ...]],
    log_prob: Callable[..., Tensor],
    steps: int,
    rate: float,
    watch: Watch | None = None,
) -> list[float]:
    """Adam, with a rate that rises for a ninth of the steps and then falls to 0; returns ``-log_prob`` of each step.

    The networks of single sites are so small that a CUDA device would mostly wait for the next operation. There a step
    is recorded once and replayed, so ``log_prob`` must do the same operations on every batch, without reading a value
    on the host or taking one from it.

    Args:
        network: the network whose parameters are fitted.
        draw: the next batch, tensors of the same shapes each time, on the device of the network.
        log_prob: the mean log-density of a batch, a number.
        steps: of the optimizer.
        rate: the highest learning rate.
        watch: called after each step; on a CUDA device when it was launched, not when it is done.
    """
    device = next(network.parameters()).device
    recorded = device.type == "cuda"
    pace = torch.tensor(rate, device=device) if recorded else rate
    optimizer = optim.Adam(network.parameters(), pace, betas=(0.9, 0.99), capturable=recorded)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.11, cycle_momentum=False)

    def check(loss: Tensor) -> None:
        if not bool(loss.isfinite().all()):
            raise InputError(
                f"the likelihood is not finite {f'in the last {CHECK} of' if recorded else 'after'} {len(losses)} "
                f"steps; look for extreme values in its data, or lower the learning rate of {rate:g}"
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

    losses: list[Tensor] = []
    with torch.cuda.device(device) if recorded else contextlib.nullcontext():
        stepped = _Recorded(step) if recorded else step
        for done in range(steps):
            losses.append(stepped(*draw()))
            schedule.step()
            if recorded and (done % CHECK == 0 or done == steps - 1):
                check(torch.stack(losses[-CHECK:]))
            if watch is not None:
                watch(done + 1, steps)
    optimizer.zero_grad()
    return torch.stack(losses).tolist()


def turned(x: Float[Tensor, "B 1 H W"], random: torch.Generator) -> Float[Tensor, "B 1 _ _"]:
    """Periodic fields, all shifted, mirrored and, on square lattices, transposed alike at random."""
    lattice = tuple(x.shape[2:])
    shift = [int(torch.randint(n, (1,), generator=random)) for n in lattice]
    flips = torch.rand(3, generator=random)
    x = x.roll(shift, (2, 3)).flip([axis for axis in (2, 3) if flips[axis - 2] < 0.5])
    return x.transpose(2, 3) if flips[2] < 0.5 and lattice[0] == lattice[1] else x


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
