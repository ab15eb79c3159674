"""The figures of one method on tiles of terrain, in metres: over all sites, over land, over the ocean floor."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from rgdm.evaluate import (
    Estimate,
    RankHistogram,
    SpreadSkill,
    energy_score,
    fair_crps,
    jackknife,
    kurtosis_ratio,
    octave_ratio,
    rank_histogram,
    spread_skill,
)
from rgdm.evaluate.baselines import block_mean
from rgdm.evaluate.verification import plain
from rgdm.jackknife import delete_one_error, delete_one_quantiles
from rgdm.scale.operators.block import BlockSpin

LEVELS = 3
OCEAN_FLOOR = -2000.0


@dataclass
class Merit:
    """An ensemble (M, B, 1, *F), or for a deterministic method one field as (1, B, 1, *F), against the truth."""

    name: str
    ensemble: Tensor
    truth: Tensor
    coarse: Tensor
    """(B, 1, *K), the block means that the method was given."""
    evaluations: int = 0
    """Network calls a member."""

    @property
    def probabilistic(self) -> bool:
        return len(self.ensemble) > 1

    @cached_property
    def land(self) -> Tensor:
        """1 on land, 0 on water, by the truth."""
        return (self.truth > 0).to(self.truth)

    @cached_property
    def land_share(self) -> Tensor:
        return self.land.double().flatten(1).mean(1)

    @cached_property
    def crps(self) -> Tensor:
        """Fair CRPS of each tile; the mean absolute error of a deterministic method."""
        return self._crps(torch.ones_like(self.land))

    @cached_property
    def land_crps(self) -> Tensor:
        """What land contributes to :attr:`crps`; over :attr:`land_share` it is the CRPS on land."""
        return self._crps(self.land)

    def _crps(self, mask: Tensor) -> Tensor:
        """Sites outside the mask are set to zero in truth and members alike, where they score zero."""
        if self.probabilistic:
            return fair_crps(self.ensemble * mask, self.truth * mask)
        return ((self.ensemble[0] - self.truth) * mask).double().abs().flatten(1).mean(1)

    @cached_property
    def energy(self) -> Tensor:
        """Energy score of each tile; the root mean square error of a deterministic method."""
        if self.probabilistic:
            return energy_score(self.ensemble, self.truth)
        return (self.ensemble[0] - self.truth).double().square().flatten(1).mean(1).sqrt()

    @cached_property
    def spread(self) -> SpreadSkill:
        return spread_skill(self.ensemble, self.truth)

    @cached_property
    def land_spread(self) -> SpreadSkill:
        """Only of tiles that have land."""
        some = self.land_share > 0
        mask = self.land[some]
        return spread_skill(self.ensemble[:, some] * mask, self.truth[some] * mask)

    @cached_property
    def ranks(self) -> RankHistogram:
        return rank_histogram(self.ensemble, self.truth)

    @cached_property
    def octaves(self) -> Estimate:
        """Power over that of the truth, octave by octave from the pixel up."""
        return octave_ratio(self.ensemble, self.truth, "reflect")[1]

    @cached_property
    def kurtosis(self) -> tuple[Estimate, Estimate, Estimate]:
        """Of the detail of each level, finest first: own, truth's, and their ratio."""
        return kurtosis_ratio(self.ensemble, self.truth, BlockSpin(2), LEVELS)

    @cached_property
    def flat(self) -> tuple[Tensor, Tensor, Estimate]:
        """Median slope (m per site) over the true ocean floor: own, truth's, and their ratio."""
        deep = (self.truth < OCEAN_FLOOR)[:, 0, :-1, :-1]
        true = [slope(y)[0][d] for y, d in zip(self.truth, deep, strict=True)]
        own = [slope(e)[:, d].flatten() for e, d in zip(self.ensemble[:, :, 0].transpose(0, 1), deep, strict=True)]
        half = torch.full((1,), 0.5, dtype=torch.float64)
        (true_median, true_without), (median, without) = (delete_one_quantiles(each, half) for each in (true, own))
        error = delete_one_error((without / true_without)[:, 0])
        return median[0], true_median[0], Estimate((median / true_median)[0], error)

    @cached_property
    def consistency(self) -> float:
        """Largest error of a block mean over the standard deviation of the tile's own coarse field."""
        coarse = self.coarse.double()
        factor = self.truth.shape[-1] // coarse.shape[-1]
        error = torch.stack([(block_mean(x.double(), factor) - coarse).abs().flatten(1).amax(1) for x in self.ensemble])
        return float((error / coarse.flatten(1).std(1)).max())

    def summary(self) -> dict[str, Any]:
        """Everything, as JSON holds it."""
        found: dict[str, Any] = {
            "crps": _figure(jackknife(lambda mean: mean, self.crps)) | {"per_tile": self.crps},
            "crps_land": _figure(jackknife(torch.div, self.land_crps, self.land_share)),
            "energy_score": _figure(jackknife(lambda mean: mean, self.energy)),
            "octave_ratio": _figure(self.octaves),
            "detail_kurtosis": {"value": self.kurtosis[0].value, "truth": self.kurtosis[1].value}
            | {"ratio": self.kurtosis[2].value, "ratio_error": self.kurtosis[2].error},
            "ocean_slope": {"value": self.flat[0], "truth": self.flat[1]}
            | {"ratio": self.flat[2].value, "ratio_error": self.flat[2].error},
            "consistency": self.consistency,
            "evaluations": self.evaluations,
        }
        if self.probabilistic:
            found["spread_skill"] = {"value": self.spread.pooled, "error": self.spread.error}
            if bool((self.land_share > 0).any()):
                found["spread_skill_land"] = {"value": self.land_spread.pooled, "error": self.land_spread.error}
            found["rank_histogram"] = {"value": self.ranks.relative, "error": self.ranks.error}
        return plain(found)


def slope(x: Tensor) -> Tensor:
    """``|gradient|`` per site by forward differences, one site shorter along both axes."""
    down = x[..., 1:, :-1] - x[..., :-1, :-1]
    right = x[..., :-1, 1:] - x[..., :-1, :-1]
    return torch.hypot(down, right)


def _figure(estimate: Estimate) -> dict[str, Tensor]:
    return {"value": estimate.value, "error": estimate.error}
