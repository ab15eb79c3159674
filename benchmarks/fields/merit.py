"""The figures of one method on tiles of terrain, in metres: over all sites, over land, over the ocean floor."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from rgdm.evaluate import (
    Estimate,
    RankHistogram,
    SpreadSkill,
    energy_score,
    fair_crps,
    kurtosis_ratio,
    octave_ratio,
    rank_histogram,
    spread_skill,
)
from rgdm.evaluate.baselines import block_mean
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
        dry = self.land_share > 0
        return spread_skill(self.ensemble[:, dry] * self.land[dry], self.truth[dry] * self.land[dry])

    @cached_property
    def ranks(self) -> RankHistogram:
        return rank_histogram(self.ensemble, self.truth)

    @cached_property
    def octaves(self) -> Estimate:
        """Power over that of the truth, octave by octave from the pixel up."""
        return octave_ratio(self.ensemble, self.truth, "reflect")[1]

    @cached_property
    def kurtosis(self) -> tuple[Estimate, Estimate, Estimate]:
        """Of the detail of each level, finest first: its own, the truth's, and their ratio."""
        return kurtosis_ratio(self.ensemble, self.truth, BlockSpin(2), LEVELS)

    @cached_property
    def slopes(self) -> tuple[Tensor, Tensor, Estimate]:
        """Median slope (m per site) over the true ocean floor: its own, the truth's, and their ratio."""
        deep = (self.truth < OCEAN_FLOOR)[:, 0, :-1, :-1]
        true = [slope(y)[0][d] for y, d in zip(self.truth, deep, strict=True)]
        members = self.ensemble[:, :, 0].transpose(0, 1)
        ours = [slope(e)[:, d].flatten() for e, d in zip(members, deep, strict=True)]
        half = torch.full((1,), 0.5, dtype=torch.float64)
        (true_median, true_without), (median, without) = (delete_one_quantiles(each, half) for each in (true, ours))
        error = delete_one_error((without / true_without)[:, 0])
        return median[0], true_median[0], Estimate((median / true_median)[0], error)

    @cached_property
    def consistency(self) -> float:
        """Largest error of a block mean over the standard deviation of the tile's own coarse field."""
        coarse = self.coarse.double()
        factor = self.truth.shape[-1] // coarse.shape[-1]
        error = torch.stack([(block_mean(x.double(), factor) - coarse).abs().flatten(1).amax(1) for x in self.ensemble])
        return float((error / coarse.flatten(1).std(1)).max())


def slope(x: Tensor) -> Tensor:
    """``|gradient|`` per site by forward differences, one site shorter along both axes."""
    down = x[..., 1:, :-1] - x[..., :-1, :-1]
    right = x[..., :-1, 1:] - x[..., :-1, :-1]
    return torch.hypot(down, right)
