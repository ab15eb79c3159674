"""Small models for the tests, from one flat list of settings."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from rgdm.design import Design
from rgdm.model.cascade import calibrate as calibration
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.cascade.fields import Fields
from rgdm.model.laws.diffusion import Diffusion
from rgdm.model.laws.flow import Flow
from rgdm.model.laws.law import Law
from rgdm.model.lifts.condition import Condition
from rgdm.model.lifts.context import Context
from rgdm.model.lifts.lift import Lift
from rgdm.model.lifts.standardized import StandardizedLift
from rgdm.model.lifts.standardizer import LocalStandardizer
from rgdm.model.networks.backbone import Backbone
from rgdm.process.noise import GivenNoise, Window
from rgdm.scale.boundary import boundary_of_each
from rgdm.scale.coarse_graining import CoarseGraining
from rgdm.scale.grid import Grid
from rgdm.train.batches import Batches


def cascade(
    channels: int = 1,
    dimension: int = 2,
    levels: int = 2,
    boundary: str | Sequence[str] = "reflect",
    operator: str = "block-spin",
    factor: int | Sequence[int] = 2,
    **design: Any,
) -> Cascade:
    """A cascade with tiny networks unless told otherwise."""
    settings: dict[str, Any] = {"width": 4, "encoder_blocks": 1, "decoder_blocks": 1, **design}
    for name in ("width", "backbone"):
        value = settings.get(name)
        if value is not None and not isinstance(value, tuple):
            settings[name] = tuple(value) if isinstance(value, list) else (value,)
    grid = Grid.uniform(dimension, boundary if isinstance(boundary, str) else list(boundary), factor)
    return Cascade(Design(levels=levels, operator=operator, **settings), grid, channels)  # pyright: ignore


def fitted(x: torch.Tensor, learned: bool = False, **options: Any) -> Cascade:
    """A cascade measured on fields, whose networks say something if it is ``learned``."""
    model = cascade(x.shape[1], x.dim() - 2, **options)
    model.fit(x)
    if learned:
        for weight in model.parameters():
            torch.nn.init.normal_(weight, std=0.1)
    return model.eval()


def check_learning(model: Cascade, fields: Fields, monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """Batches have a finite loss at both levels, and calibration sees log spread over error; these, of every look."""
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    batches = Batches(model, model.normalised(fields).map(lambda part: part.float()), 0)
    for level in range(2):
        batch = batches.of_level(level, torch.Generator().manual_seed(0))
        loss = model(batch.fine, level, batch.t, batch.noise, batch.halo, batch.importance, batch.setting).mean()
        assert bool(loss.isfinite())
    ratios: list[torch.Tensor] = []
    plain = calibration._spread_skill

    def seen(*parts: Any) -> tuple[torch.Tensor, torch.Tensor]:
        found = plain(*parts)
        ratios.append(found[0])
        return found

    monkeypatch.setattr(calibration, "_spread_skill", seen)
    calibration.calibrate(model, fields)
    assert len(ratios) == 6 and all(bool((ratio.isfinite() & (ratio != 0)).all()) for ratio in ratios)
    return ratios


def lift_of(
    law: Law,
    operator: CoarseGraining,
    channels: int,
    dimension: int,
    boundary: str | Sequence[str],
    conditioned: bool = True,
) -> StandardizedLift:
    """The standardizer that suits a law, and the condition that it is told."""
    sides = boundary_of_each(boundary if isinstance(boundary, str) else list(boundary), dimension)
    standardizer = LocalStandardizer(operator, channels, dimension, sides, coloured=not isinstance(law, Flow))
    condition = Condition(operator, channels, dimension) if conditioned else None
    return StandardizedLift(operator, standardizer, law, condition)


def diffusion_lift(
    operator: CoarseGraining,
    channels: int,
    dimension: int,
    boundary: str | Sequence[str],
    backbone: Backbone,
    **options: Any,
) -> StandardizedLift:
    """A lift with a diffusion law."""
    return lift_of(Diffusion(backbone, **options), operator, channels, dimension, boundary)


def conditions(channels: int, bands: int) -> int:
    """How many features a condition has: of every channel 2 + 2 * 3 + bands, and the level."""
    return channels * (8 + bands) + 1


def lifted(lift: Lift, coarse: torch.Tensor, noise: torch.Tensor, *sampler: Any) -> torch.Tensor:
    """A fine field from the noise of one level, given as a tensor."""
    window = Window.whole(0, coarse.shape[2:])
    return lift.sample(Context(coarse), GivenNoise({(0, 0): noise}), window, *sampler)


def log_volume(function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> float:
    """log |det| of the Jacobian of a map of fields, by automatic differentiation."""
    matrix = torch.autograd.functional.jacobian(lambda v: function(v.reshape(x.shape)).flatten(), x.flatten())
    return float(torch.linalg.slogdet(matrix).logabsdet)  # pyright: ignore
