"""Speed: what does a megapixel cost, where does the time go, and how much slower is it where the cores are not ours?

    python -m benchmarks busy --record

The shipped model of terrain refines a coarse field by 16, one member, on all threads and on one; wall-clock and CPU
seconds a megapixel, the median of ``--rounds``. *Busy*: one foreign process for each core computes all the while; quiet
and busy runs alternate, and ratios are those of one round; training is on the embedded terrain. *Where*: the CPU
seconds of one thread by part. The peak is that of a product of two matrices in one thread; the network's
multiplications are counted from its shapes, those of the halos of tiles not.
"""

import argparse
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.record import Figure, Row
from benchmarks.study import study
from rgdm.data import reference
from rgdm.design import Design
from rgdm.errors import RangeWarning
from rgdm.model.cascade import generation
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.laws.diffusion import Diffusion
from rgdm.model.lifts.condition import Condition
from rgdm.model.lifts.standardizer import LocalStandardizer
from rgdm.model.networks.local import LocalConvNet
from rgdm.model.networks.registry import multiply_adds
from rgdm.process.noise import NoiseField
from rgdm.train import Budget, Trainer

SECONDS, SLOWER, FLAT = 0.6, 2.5, 1.3
LEVELS = 4


def relief(size: int, seed: int) -> Tensor:
    """A coarse field about as rough as terrain, in metres, ``(1, size, size)``."""
    k = torch.fft.fftfreq(size).square()
    amplitude = (k[:, None] + k + (2 / 240) ** 2) ** -0.75
    noise = torch.fft.fft2(torch.randn(1, size, size, generator=torch.Generator().manual_seed(seed)))
    field = torch.fft.ifft2(noise * amplitude).real
    return 1500 * (field - field.mean()) / field.std() - 1500


def seconds(model: Cascade, coarse: Tensor, threads: int, members: int = 1) -> tuple[float, float]:
    """Wall-clock and CPU seconds a megapixel and member."""
    torch.set_num_threads(threads)
    wall, cpu = time.perf_counter(), time.process_time()
    fine = model.refine(coarse, LEVELS, members)
    return (time.perf_counter() - wall) / fine.numel() * 1e6, (time.process_time() - cpu) / fine.numel() * 1e6


def seconds_a_step(threads: int, steps: int) -> float:
    """Of training on the embedded terrain."""
    torch.set_num_threads(threads)
    fields = torch.as_tensor(reference.terrain("train").values).float()
    model = Cascade(Design(levels=3))
    model.fit(fields)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(model, fields, Path(folder), Budget(steps, None))
        marks: list[float] = []
        trainer.run(lambda _: marks.append(time.perf_counter()))
    return (marks[-1] - marks[0]) / (len(marks) - 1)


@contextmanager
def foreign(count: int) -> Iterator[None]:
    """So many processes that compute without end."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        time.sleep(1)
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def measure(options: argparse.Namespace) -> Iterator[Row]:
    warnings.simplefilter("ignore", RangeWarning)
    model, threads, cores = Cascade.from_pretrained("terrain"), torch.get_num_threads(), len(os.sched_getaffinity(0))
    sizes = [size for size in options.sizes if size % 2**LEVELS == 0]
    quiet: dict[tuple[int, int], float] = {}
    for size in sizes:
        coarse = relief(size // 2**LEVELS, options.seed)
        seconds(model, coarse, threads)
        for n in sorted({1, threads}):
            times = [seconds(model, coarse, n) for _ in range(options.rounds)]
            wall, cpu = (statistics.median(each) for each in zip(*times, strict=True))
            quiet[size, n] = wall
            figures = {"s/megapixel": Figure(wall, high=SECONDS if n > 1 else 2 * SECONDS), "CPU s": Figure(cpu)}
            yield Row("quiet", f"{size}^2, threads: {n}", figures)
    for n in sorted({1, threads}):
        walls = [quiet[size, n] for size in sizes]
        figures = {"largest over smallest": Figure(max(walls) / min(walls), high=FLAT)}
        yield Row("quiet", f"all sizes, threads: {n}", figures)
    coarse = relief(options.shared // 2**LEVELS, options.seed)
    for n, members in sorted({(1, 1), (threads, 1), (threads, 4)}):
        ratios = []
        for _ in range(options.rounds):
            alone, _ = seconds(model, coarse, n, members)
            with foreign(cores):
                ratios.append(seconds(model, coarse, n, members)[0] / alone)
        slower = Figure(statistics.median(ratios), high=SLOWER)
        what = f"{options.shared}^2, threads: {n}, members: {members}"
        yield Row("busy over quiet", what, {"median": slower, "worst": Figure(max(ratios))})
    for n in sorted({1, threads}):
        quiet_times, ratios = [], []
        for _ in range(options.rounds):
            quiet_times.append(seconds_a_step(n, options.steps))
            with foreign(cores):
                ratios.append(seconds_a_step(n, options.steps) / quiet_times[-1])
        figures = {"median": Figure(statistics.median(ratios), high=SLOWER), "worst": Figure(max(ratios))}
        figures["quiet, ms a step"] = Figure(1e3 * statistics.median(quiet_times))
        yield Row("busy over quiet", f"training, threads: {n}", figures)
    yield from shares(model, coarse)


PARTS: dict[str, tuple[Any, str]] = {
    "features": (Condition, "forward"),
    "network, encoder": (LocalConvNet, "encode"),
    "network, decoder": (LocalConvNet, "forward"),
    "sampler": (Diffusion, "_from_features"),
    "closed form": (LocalStandardizer, "restore"),
    "noise": (NoiseField, "window"),
    "rounding errors": (generation, "settle"),
}


def shares(model: Cascade, coarse: Tensor) -> Iterator[Row]:
    """CPU seconds of one thread by part, and the share of the peak that the network reaches."""
    spent = dict.fromkeys(PARTS, 0.0)

    def timed(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            start = time.thread_time()
            try:
                return function(*arguments)
            finally:
                spent[part] += time.thread_time() - start

        return call

    plain = {part: getattr(*where) for part, where in PARTS.items()}
    try:
        for part, (owner, name) in PARTS.items():
            setattr(owner, name, timed(part, plain[part]))
        _, total = seconds(model, coarse, 1)
    finally:
        for part, (owner, name) in PARTS.items():
            setattr(owner, name, plain[part])
    megapixels = coarse.numel() * 4**LEVELS / 1e6
    spent["sampler"] -= spent["network, decoder"]
    each = {part: value / megapixels for part, value in spent.items()}
    each["the rest"] = total - sum(each.values())
    for part, value in each.items():
        yield Row("where", part, {"CPU s/megapixel": Figure(value), "share": Figure(value / total)})
    network = each["network, encoder"] + each["network, decoder"]
    rate = 2 * operations(model, coarse.shape[1:]) / megapixels / network
    yield Row("where", "network over peak", {"share": Figure(rate / peak()), "Gflop/s": Figure(rate / 1e9)})


def operations(model: Cascade, coarse: Sequence[int]) -> int:
    """Multiplications of the network for one member."""
    total = 0
    for level in range(LEVELS):
        lift = model.own_lift(level)
        assert isinstance(lift.law, Diffusion) and lift.condition is not None
        lattice = [n * 2 ** (LEVELS - 1 - level) for n in coarse]
        encoder, decoder = multiply_adds(lift.law.denoiser.backbone, lattice, lift.condition.count)
        total += encoder + model.sampler.evaluations * decoder
    return total


def peak(size: int = 1024, rounds: int = 10) -> float:
    """Operations a second of one thread, by a product of matrices."""
    torch.set_num_threads(1)
    a, best = torch.randn(size, size), math.inf
    for _ in range(rounds):
        start = time.thread_time()
        torch.matmul(a, a)
        best = min(best, time.thread_time() - start)
    return 2 * size**3 / best


def main(arguments: Sequence[str]) -> None:
    study(
        __doc__,
        measure,
        arguments,
        sizes=((256, 512, 1024, 2048, 4096), "sites along each axis of the fine fields"),
        shared=(1024, "sites along each axis of the field of busy cores, and of the parts"),
        rounds=(5, "how often each is measured"),
        steps=(40, "of training that are timed"),
    )
