"""Fitting laws whose log-density is known: one short loop."""

from collections.abc import Callable

from torch import Tensor, nn, optim

Watch = Callable[[int, int], None]
"""Called as ``watch(done, total)`` after each step."""


def maximise(
    network: nn.Module, log_prob: Callable[[], Tensor], steps: int, rate: float, watch: Watch | None = None
) -> list[float]:
    """Adam, the rate up for a ninth of the steps and then down to nothing; returns ``-log_prob()`` of each step.

    Args:
        network: its parameters are fitted.
        log_prob: the mean log-density of a batch of its own choice, a number.
        steps: of the optimizer.
        rate: the highest learning rate.
        watch: is told after each step.
    """
    optimizer = optim.Adam(network.parameters(), rate, betas=(0.9, 0.99))
    pace = optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.11)
    found = []
    for step in range(steps):
        loss = -log_prob()
        if not bool(loss.isfinite()):
            raise ValueError(
                f"the likelihood is not finite after {step} steps; look for extreme values in the fields, or lower "
                f"the learning rate of {rate:g}"
            )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        pace.step()
        found.append(float(loss.detach()))
        if watch is not None:
            watch(step + 1, steps)
    return found
