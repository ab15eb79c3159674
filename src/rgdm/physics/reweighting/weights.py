"""Unbiased means of an action from a model of known density: importance weights, and a Markov chain of proposals.

With ``w = exp(-S) / q`` of fields drawn from a model of density q, ``<w> = Z`` and ``<O> = <O w> / <w>`` for any q that
is positive wherever the target is (Nicoli et al. 2020, arXiv:2007.07115); the effective sample size says how good the
model is. Only fields of the target reveal a mode that the model has dropped (Nicoli et al. 2023, arXiv:2302.14082).
Ratios and logarithms of means have a bias of order 1/N, less than their errors.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rgdm.errors import InputError
from rgdm.jackknife import Estimate, delete_one_error, jackknife
from rgdm.physics.autocorrelation import Series, gamma_method
from rgdm.physics.reweighting.tails import pareto_index, tail_share

BLOCKS = 500
"""Blocks of fields of the jackknife."""
LARGEST = 0.1
"""Largest share of all weight in one field with which errors are trusted."""
HEAVIEST = 0.5
"""Largest index of the Pareto tail: beyond it weights have no variance, and so no ESS that samples converge to."""
CARRIED = 0.25
"""Smallest share of the squares of all weights in the tail with which its index matters."""
DOUBTFUL = 0.25
"""Largest error of an effective sample size, as a share of it, with which it is trusted."""
SIGMA = 4.0
"""Largest difference of log Z and ESS between fields of the model and of the target, in standard errors."""


@dataclass(frozen=True)
class Reweighting:
    """Importance weights of fields drawn from a model and, where there are any, of fields of the target.

    Args:
        log_weights: ``-S(x) - log q(x)`` of independent fields x of the model, as :func:`log_weights` gives them.
        target: the same of independent fields of the target; None where there are none.
    """

    log_weights: Float[Tensor, " N"]
    target: Float[Tensor, " M"] | None = None

    def __post_init__(self) -> None:
        for name, values in (("model", self.log_weights), ("target", self.target)):
            if values is not None:
                _check(values, name)

    @property
    def weights(self) -> Float[Tensor, " N"]:
        """Weights of the fields of the model, of mean 1, float64."""
        values = self.log_weights.double()
        return (values - _log_mean(values)).exp()

    @property
    def log_z(self) -> Estimate:
        """``log Z = log <w>_q`` and its error."""
        return _estimate(lambda w: w, self.log_weights)

    @property
    def ess(self) -> Estimate:
        """Effective sample size ``<w>_q^2 / <w^2>_q``, a share of N, and its error (Kong 1992)."""
        return _estimate(lambda w, square: (2 * w - square).exp(), self.log_weights, 2 * self.log_weights)

    @property
    def target_log_z(self) -> Estimate:
        """``log Z = -log <1/w>_p`` from fields of the target."""
        return _estimate(lambda inverse: -inverse, -self._target)

    @property
    def target_ess(self) -> Estimate:
        """Effective sample size from fields of the target, ``1 / (<w>_p <1/w>_p)``; small if a mode was dropped."""
        return _estimate(lambda w, inverse: (-w - inverse).exp(), self._target, -self._target)

    def mean(self, observable: Float[Tensor, "N *S"]) -> Estimate:
        """``<O>`` of the target from values of O on the fields of the model, and its error."""
        if len(observable) != len(self.log_weights):
            raise InputError(f"{len(observable)} values of an observable for {len(self.log_weights)} weights")
        w = self.weights
        values = observable.to(w)
        weighted = w.reshape(-1, *[1] * (values.dim() - 1)) * values
        return jackknife(lambda first, second: first / second, weighted, w, blocks=BLOCKS)

    @property
    def verdict(self) -> str:
        """One sentence: the effective sample size, and reasons to doubt it."""
        said = f"ESS {_percent(self.ess)} of {len(self.log_weights)} fields of the model"
        if self.target is not None:
            said += f", {_percent(self.target_ess)} judged from {len(self.target)} of the target"
        doubts = self.doubts
        if not doubts and self.target is None:
            return said + "; whether the model has dropped a mode, only fields of the target can tell"
        return said + ("; " + "; ".join(doubts) if doubts else "; errors can be trusted")

    @property
    def doubts(self) -> list[str]:
        """Reasons to doubt the errors, a sentence each; empty if there are none."""
        doubts, target = [], [] if self.target is None else [self.target, -self.target]
        for whose, values in zip(("the model", "the target", "the target"), (self.log_weights, *target), strict=False):
            share = float(values.double().softmax(0).max())
            if share > max(LARGEST, 3 / len(values)):
                doubts.append(f"one field of {whose} carries {share:.0%} of a mean, so no error of it can be trusted")
            index = pareto_index(values)
            if index > HEAVIEST and tail_share(values) > CARRIED:
                doubts.append(
                    f"the weights of {len(values)} fields of {whose} have a heavy tail (Pareto index {index:.2f}, more "
                    f"than {HEAVIEST}): larger ones are still to come, the true ESS is smaller, errors are larger"
                )
        for whose, ess in (
            ("the model", self.ess),
            *([] if self.target is None else [("the target", self.target_ess)]),
        ):
            if float(ess.error) > DOUBTFUL * float(ess.value):
                doubts.append(
                    f"the ESS judged from fields of {whose} has an error of {float(ess.error / ess.value):.0%} of it"
                )
        if self.target is None:
            return doubts
        for name, a, b in (("ESS", self.ess, self.target_ess), ("log Z", self.log_z, self.target_log_z)):
            apart, error = float((a.value - b.value).abs()), float((a.error**2 + b.error**2).sqrt())
            if not apart <= SIGMA * error + 1e-9 * (1 + float(a.value.abs())):
                doubts.append(
                    f"{name} is {float(a.value):.4g} from the model and {float(b.value):.4g} from the target: "
                    "the model misses something the target has"
                )
        return doubts

    @property
    def pareto_index(self) -> float:
        """k-hat of the tail of the weights of the model, see :func:`~rgdm.physics.reweighting.tails.pareto_index`."""
        return pareto_index(self.log_weights)

    @property
    def _target(self) -> Tensor:
        if self.target is None:
            raise InputError("no log weights of fields of the target were given")
        return self.target


def log_weights(energy: Float[Tensor, " N"], log_prob: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    """``-S - log q`` of fields, from the action of the target and log q of the model, float64."""
    if energy.shape != log_prob.shape or energy.dim() != 1:
        raise InputError(
            f"energies of shape {tuple(energy.shape)} and log q of {tuple(log_prob.shape)}; one number of each field "
            "is needed of both"
        )
    return -energy.double() - log_prob.double().to(energy.device)


def independence_metropolis(log_weights: Float[Tensor, " N"], seed: int = 0) -> Int[Tensor, " N"]:
    """The chain that proposes the fields of a model one after the other and accepts each with ``min(1, w' / w)``.

    Returns the number of the current field after each proposal: ``values[chain]`` is the history of any observable,
    whose mean and error :func:`chain_mean` gives. The chain starts at the first field and converges to the target
    (Hastings 1970, Biometrika 57, 97); discard its beginning where few proposals are accepted. It never reaches a mode
    that the model has dropped.
    """
    values = log_weights.double().cpu()
    _check(values, "model")
    bars = torch.rand(len(values), generator=torch.Generator().manual_seed(seed), dtype=torch.float64).log().tolist()
    weights, at, chain = values.tolist(), 0, []
    for proposal, bar in enumerate(bars):
        if bar < weights[proposal] - weights[at]:
            at = proposal
        chain.append(at)
    return torch.tensor(chain)


def acceptance(chain: Int[Tensor, " N"]) -> float:
    """The share of proposals that a chain of :func:`independence_metropolis` has accepted."""
    return float((chain[1:] != chain[:-1]).double().mean())


def chain_mean(chain: Int[Tensor, " N"], observable: Float[Tensor, " N"]) -> Series:
    """Mean, error and autocorrelation time of an observable of the proposals along the chain."""
    if acceptance(chain) == 0:
        raise InputError(f"none of {len(chain)} proposals was accepted; the model is too far from the target")
    return gamma_method(observable.double().cpu()[chain].numpy())


def _log_mean(values: Tensor) -> Tensor:
    return values.logsumexp(0) - math.log(len(values))


def _check(log_weights: Tensor, whose: str) -> None:
    if len(log_weights) < 2:
        raise InputError(f"{len(log_weights)} log weights of fields of the {whose}; at least 2 are needed")
    if not bool(log_weights.isfinite().all()):
        bad = int((~log_weights.isfinite()).sum())
        raise InputError(f"{bad} of {len(log_weights)} log weights of fields of the {whose} are not finite")


def _estimate(statistic: Callable[..., Tensor], *log_values: Tensor) -> Estimate:
    """A statistic of the logarithms of means of numbers that may overflow, and its jackknife error over blocks."""
    means, without = [], []
    for values in log_values:
        blocks = values.double().tensor_split(min(BLOCKS, len(values)))
        sums = torch.stack([block.logsumexp(0) for block in blocks])
        left = len(values) - sums.new_tensor([len(block) for block in blocks])
        others = sums.expand(len(sums), -1).masked_fill(
            torch.eye(len(sums), dtype=torch.bool).to(sums.device), -math.inf
        )
        means.append(sums.logsumexp(0) - math.log(len(values)))
        without.append(others.logsumexp(1) - left.log())
    return Estimate(statistic(*means), delete_one_error(statistic(*without)))


def _percent(estimate: Estimate) -> str:
    return f"{100 * float(estimate.value):.1f}({100 * float(estimate.error):.1f}) %"
