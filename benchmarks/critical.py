"""Training cascades of critical phi^4, for the scripts that measure them."""

import argparse
from pathlib import Path
from typing import Any

import xarray as xr

from rgdm import commands, config
from rgdm.model.cascade import Cascade
from rgdm.train import Budget


def train(field: xr.DataArray, out: Path, levels: int, options: argparse.Namespace, **settings: Any) -> Cascade:
    """A periodic cascade in the time, with the evaluations, seed and device that were asked for."""
    made = config.Train(
        fields=(),
        out=out,
        levels=levels,
        minutes=options.minutes,
        boundary="periodic",
        evaluations=options.evaluations,
        seed=options.seed,
        device=options.device,
        overwrite=True,
        **settings,
    )
    return commands.fit(field, made, Budget(None, options.minutes)).eval()
