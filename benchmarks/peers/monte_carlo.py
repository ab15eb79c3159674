"""Markov chains of a known action: what generated lattice fields are held against."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from rgdm import progress
from rgdm.physics.actions import Ising, Phi4
from rgdm.physics.monte_carlo.chains import sample_fields


@dataclass
class MonteCarlo:
    """So many chains side by side, a field of each every ``interval`` updates, after 100 of thermalization.

    ``kept``: a folder in which fields that have been made once are looked up.
    """

    action: Ising | Phi4
    chains: int = 256
    interval: int = 10
    kept: Path | None = None
    name: ClassVar[str] = "Monte Carlo"
    evaluations: ClassVar[int] = 0

    def fit(self, fields: Tensor) -> None:
        """Nothing: the action is known."""

    def sample(self, side: int, count: int, seed: int) -> Tensor:
        path = self.kept / f"{side}-{count}-{seed}.npy" if self.kept else None
        if path and path.is_file():
            return torch.from_numpy(np.load(path))
        with progress.bar(f"MC, L = {side}", 1) as show:
            plan = (side, min(count, self.chains), count, seed, 100, self.interval)
            fields = sample_fields(self.action, *plan, watch=show)
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part.npy")
            np.save(part, fields.numpy())
            part.replace(path)
        return fields
