"""Observables of lattice fields, and how far they are from those of other fields."""

import torch
from torch import Tensor

from benchmarks.record import Figure
from benchmarks.shared.estimates import Pair, difference
from rgdm.physics.actions import Action, Phi4
from rgdm.physics.blocking import block_spins
from rgdm.physics.observables import observables

CRITICAL = Phi4.critical()
LOCAL = {"action_per_site": "S / N", "phi2": "<phi^2>", "nearest_neighbour": "nn"}
"""Observables of a site and its neighbours, by their title; nn: ``<phi_x phi_{x+mu}>``."""
ALL = {"m": "<m>", "m2": "<m^2>", "u4": "U4", "xi_over_length": "xi / L", "chi": "chi"} | LOCAL


class Measured:
    """Observables of fields by their title, each with its error, and the distribution of abs(phi)."""

    def __init__(self, fields: Tensor, action: Action = CRITICAL) -> None:
        known = observables(fields, action)
        self.pairs: dict[str, Pair] = {title: known[key] for key, title in ALL.items()}
        self.density = torch.histc(fields.abs().flatten().float(), 120, 0, 3) / fields.numel()

    def biases(self, truth: "Measured", bound: float | None = None) -> dict[str, Figure]:
        """What the local observables are off by, and the total variation between the distributions of abs(phi)."""
        bounds = {} if bound is None else {"low": -bound, "high": bound}
        off = {title: difference(self.pairs[title], truth.pairs[title], **bounds) for title in LOCAL.values()}
        return off | {"sites": Figure(float((self.density - truth.density).abs().sum() / 2))}


def majority(spins: Tensor, seed: int) -> Tensor:
    """Blocked by majority rule, ties at random."""
    ties = torch.randn(len(spins), 1, *(n // 2 for n in spins.shape[2:]), generator=torch.Generator().manual_seed(seed))
    return block_spins(spins, "majority", ties=ties)
