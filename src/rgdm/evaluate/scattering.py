"""What a spectrum does not see: fields compared, and fields made, by their scattering statistics."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.jackknife import Estimate, jackknife
from rgdm.process.noise import NoiseField
from rgdm.scale.coarse_graining import Lattice
from rgdm.scale.scattering.coefficients import Path, Scattering

Statistics = Literal["scattering", "covariances"]
Watch = Callable[[int, int], None]

_FLOOR = 1e-3
"""The smallest unit of a statistic that is positive by nature, over the largest of its kind."""

_SITES = 2**14
"""How many sites are measured at a time."""


@dataclass(frozen=True)
class ScatteringDistance:
    """Mean scattering coefficients of fields less those of the truth, over the spread of the truth's samples.

    ``difference`` has shape (C, K), in the order of ``paths``; ``rms`` is its root mean square over the coefficients of
    each of ``orders``, ``noise`` that of its errors: what two sets of the same law show.
    """

    paths: list[Path]
    orders: list[int]
    difference: Estimate
    rms: Estimate
    noise: Float[Tensor, "O"]

    @property
    def significance(self) -> Float[Tensor, "O"]:
        """``rms / noise`` by order: 1 on average (root mean square) for the same law, well above for another."""
        return self.rms.value / self.noise


class MaximumEntropy(NamedTuple):
    """Fields ``(N, C, *L)``, and the loss of each before every step and after the last, ``(N, steps + 1)``."""

    fields: Tensor
    losses: Tensor


def scattering_distance(
    fields: Float[Tensor, "N C *L"], truth: Float[Tensor, "B C *L"], scattering: Scattering
) -> ScatteringDistance:
    """How far fields are from the truth in scattering coefficients, each order judged on its own.

    Both are first brought to mean 0 and standard deviation 1 by those of the truth, channel by channel. The
    unit of each coefficient is its standard deviation over samples of the truth (at least 1e-6), so it depends on the
    size of the fields; errors are jackknifes over the samples of both. Order 1 compares the amplitudes, and with them
    the spectrum; order 2, at equal order 1, what is not Gaussian.
    """
    if fields.shape[1:] != truth.shape[1:]:
        raise InputError(
            f"fields of shape {tuple(fields.shape)} do not compare with a truth of {tuple(truth.shape)}; "
            "channels and lattice must be the same"
        )
    if min(len(fields), len(truth)) < 2:
        raise InputError(f"{len(fields)} fields and {len(truth)} of the truth; errors need at least 2 of each")
    mean, std = _location(truth)
    model, true = (_per_sample(scattering, (x - mean) / std).double() for x in (fields, truth))
    unit = true.std(0).clamp_min(1e-6)
    centre = true.mean(0)
    paths = scattering.names(truth.dim() - 2)
    orders = sorted({path.order for path in paths})
    chosen = [[i for i, path in enumerate(paths) if path.order == order] for order in orders]

    def rms(difference: Tensor) -> Tensor:
        return torch.stack([difference[:, some].square().mean().sqrt() for some in chosen])

    def compare(statistic: Callable[[Tensor], Tensor]) -> Estimate:
        """The errors of two independent sets add in quadrature."""
        a = jackknife(lambda m: statistic((m - centre) / unit), model)
        b = jackknife(lambda t: statistic((model.mean(0) - t) / unit), true)
        return Estimate(a.value, (a.error.square() + b.error.square()).sqrt())

    difference = compare(lambda d: d)
    return ScatteringDistance(paths, orders, difference, compare(rms), rms(difference.error))


def maximum_entropy(
    target: Float[Tensor, "B C *L"],
    scattering: Scattering,
    count: int,
    lattice: Lattice | None = None,
    steps: int = 100,
    seed: int = 0,
    statistics: Statistics = "covariances",
    start: Literal["spectrum", "white"] = "spectrum",
    match: Literal["mean", "sample"] = "mean",
    progress: Watch | None = None,
) -> MaximumEntropy:
    """Fields that are as random as the statistics of the target allow: a microcanonical model, no training.

    Noise goes down the gradient of ``mean_k ((s_k(x) - s_k) / u_k)^2`` by L-BFGS until x has the statistics s of the
    target, channels apart. u is 1 for the field brought to mean 0 and standard deviation 1, and the mean over the
    target for what is positive by nature (powers, moduli). The noise is white and Gaussian, by default filtered to the
    target's mean power in each band. Each field is made alone and keyed by (seed, its number): the first of a hundred
    is that of one. ``lattice`` is that of the target unless given. The statistics are the means over the target
    (``match="mean"``): the spread from sample to sample is then that of the noise alone, which leaves out what varies
    from field to field, such as the magnetisation of a critical field. With ``match="sample"`` field n has those of
    sample n of the target, again from the first where the target has fewer.

    Bruna & Mallat 2019, Math. Stat. Learn. 1, 257 (arXiv:1801.02013); Cheng et al. 2023, arXiv:2306.17210.
    """
    if count < 1 or steps < 1:
        raise InputError(f"{count} fields in {steps} steps; both must be at least 1")
    if statistics not in ("scattering", "covariances"):
        raise InputError(f"the statistics are {statistics!r}; they must be 'scattering' or 'covariances'")
    if start not in ("spectrum", "white"):
        raise InputError(f"the start is {start!r}; it must be 'spectrum' or 'white'")
    size: Lattice = tuple(target.shape[2:]) if lattice is None else lattice
    if len(size) != target.dim() - 2:
        raise InputError(f"the lattice {size} does not have the {target.dim() - 2} axes of the target")
    if match not in ("mean", "sample"):
        raise InputError(f"the statistics to match are {match!r}; they must be those of the 'mean' or a 'sample'")
    mean, std = _location(target)
    standard = ((target - mean) / std).detach()
    measure = scattering if statistics == "scattering" else scattering.covariances
    if match == "sample" and not bool((standard.flatten(2).std(2) > 1e-6).all()):
        raise InputError("a sample of the target is constant; leave it out, or match the mean")
    each = _per_sample(measure, standard)
    unit = _units(each.mean(0, keepdim=True), scattering, statistics, len(size))
    colour = _Colour(standard, scattering) if start == "spectrum" else None
    noise, found, losses = NoiseField(seed), [], []
    for member in range(count):
        x = noise.window(member, 0, 0, target.shape[1], size)[None].to(target)
        x = x if colour is None else colour(x)
        goal = each.mean(0, keepdim=True) if match == "mean" else each[[member % len(each)]]

        def loss(x: Tensor, goal: Tensor = goal) -> Tensor:
            return ((measure(x) - goal) / unit).square().mean()

        def watch(done: int, before: int = member * steps) -> None:
            if progress is not None:
                progress(before + done, count * steps)

        x, history = _descend(loss, x, steps, watch)
        found.append(x)
        losses.append(history)
    return MaximumEntropy(torch.cat(found) * std + mean, torch.stack(losses))


def _descend(
    loss: Callable[[Tensor], Tensor], x: Tensor, steps: int, watch: Callable[[int], None]
) -> tuple[Tensor, Float[Tensor, "steps_1"]]:
    """L-BFGS with a line search; the loss (float64, CPU) before every step and after the last.

    It goes down the loss times the number of sites, which has gradients of order 1, as its thresholds are absolute. A
    step that gains nothing, as a modulus near zero may cause, is followed by steepest descent anew.
    """
    x = x.clone().requires_grad_()
    last: list[Tensor] = []

    def closure() -> Tensor:
        if not (last and torch.equal(last[0], x)):  # each step begins where the last line search ended
            with torch.enable_grad():
                value = loss(x) * x.numel()
                (gradient,) = torch.autograd.grad(value, x)
            last[:] = x.detach().clone(), value.detach(), gradient
        x.grad = last[2].clone()
        return last[1]

    descent, history = _lbfgs(x), []
    for step in range(steps):
        history.append(float(descent.step(closure)))
        if step and history[-1] >= history[-2]:
            descent = _lbfgs(x)
        watch(step + 1)
    history.append(float(closure()))
    return x.detach(), torch.tensor(history, dtype=torch.float64) / x.numel()


def _lbfgs(x: Tensor) -> torch.optim.LBFGS:
    return torch.optim.LBFGS(
        [x], max_iter=1, max_eval=25, tolerance_grad=0, tolerance_change=0, line_search_fn="strong_wolfe"
    )


class _Colour:
    """A filter that gives white noise on any lattice the target's mean power in each band.

    ``S(k) = sum_a p_a |psi_a(k)|^2 / sum_a |psi_a(k)|^2`` with ``p_a = C00(a) / mean_k |psi_a|^2``, the low-pass
    among the a.
    """

    def __init__(self, standard: Tensor, scattering: Scattering) -> None:
        moments = scattering.covariance_names(standard.dim() - 2)
        kept = [i for i, moment in enumerate(moments) if moment.kind in ("low", "C00")]
        self.power = _per_sample(scattering.covariances, standard).mean(0)[:, kept]
        self.power = self.power / self._bands(scattering, tuple(standard.shape[2:])).flatten(1).mean(1).to(self.power)
        self.scattering = scattering

    def __call__(self, noise: Float[Tensor, "1 C *L"]) -> Float[Tensor, "1 C *L"]:
        lattice = tuple(noise.shape[2:])
        axes = tuple(range(-len(lattice), 0))
        if self.scattering.boundary == "reflect":
            for axis in range(2, noise.dim()):
                noise = torch.cat([noise, noise.flip(axis)], axis)
        bands = self._bands(self.scattering, tuple(noise.shape[2:])).to(noise)
        spectrum = torch.tensordot(self.power, bands, 1) / bands.sum(0).clamp_min(torch.finfo(bands.dtype).tiny)
        coloured = torch.fft.ifftn(torch.fft.fftn(noise, dim=axes) * spectrum.sqrt(), dim=axes).real
        return coloured[(..., *(slice(n) for n in lattice))]

    @staticmethod
    def _bands(scattering: Scattering, torus: Lattice) -> Float[Tensor, "A *L"]:
        """``|phi(k)|^2`` and ``(|psi_a(k)|^2 + |psi_a(-k)|^2) / 2``."""
        psi, phi = scattering.filters(torus)
        power = psi.flatten(0, 1).square()
        axes = tuple(range(1, power.dim()))
        return torch.cat([phi.square()[None], (power + power.flip(axes).roll((1,) * len(axes), axes)) / 2])


def _units(goal: Tensor, scattering: Scattering, statistics: Statistics, dimension: int) -> Float[Tensor, "1 C K"]:
    unit = torch.ones_like(goal)
    if statistics == "scattering":
        kinds = [str(path.order) for path in scattering.names(dimension)]
        positive = ("1", "2")
    else:
        kinds = [moment.kind for moment in scattering.covariance_names(dimension)]
        positive = ("low", "C00")
    for kind in positive:
        some = [i for i, each in enumerate(kinds) if each == kind]
        if some:
            value = goal[..., some]
            unit[..., some] = value.maximum(_FLOOR * value.amax(-1, keepdim=True))
    return unit.clamp_min(torch.finfo(unit.dtype).tiny ** 0.5)


def _location(x: Tensor) -> tuple[Float[Tensor, "1 C *ones"], Float[Tensor, "1 C *ones"]]:
    """Mean and standard deviation of each channel over samples and sites."""
    axes = (0, *range(2, x.dim()))
    mean, std = x.mean(axes, keepdim=True), x.std(axes, correction=0, keepdim=True)
    if not bool((std > 1e-6 * mean.abs()).all()) or not math.isfinite(float(std.sum())):
        raise InputError("a channel is constant or not finite; scattering compares fields that vary")
    return mean, std


def _per_sample(measure: Callable[[Tensor], Tensor], x: Tensor) -> Float[Tensor, "B C K"]:
    """A few samples at a time, one if it is large: memory does not grow with their number."""
    with torch.no_grad():
        return torch.cat([measure(some) for some in x.split(max(1, _SITES // x[0].numel()))])
