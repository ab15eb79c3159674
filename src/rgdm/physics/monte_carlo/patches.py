"""Metropolis updates of patches that a model proposes, for lattices whose whole fields are accepted too rarely."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.physics.actions import Action, check_no_gaps, check_values


@runtime_checkable
class Redraws(Protocol):
    """A model that redraws chosen sites given the others, with a known probability."""

    def redraw(self, x: Tensor, white: Tensor, chosen: Tensor | None = None) -> Tensor:
        """The chosen sites anew, from unit noise of two bands."""
        ...

    def site_log_prob(self, x: Tensor, chosen: Tensor | None = None) -> Tensor:
        """log p of each chosen site as it would be redrawn, ``(B, *L)``."""
        ...


@torch.no_grad()
def patch_metropolis(
    model: Redraws, action: Action, fields: Float[Tensor, "B 1 *L"], side: int, updates: int, seed: int = 0
) -> tuple[Float[Tensor, "B 1 *L"], Float[Tensor, " U"]]:
    """The fields after so many Metropolis updates of one patch each, and the share of fields that took each.

    The model redraws a patch of ``side`` sites along each axis, at a random place, each site given those before it in
    the order of the model; it is accepted with ``min(1, exp(S - S') q(old) / q(new))``, q of the patch alone (Hastings
    1970). The action is kept exactly. The acceptance depends on the size of the patch, while that of whole fields
    falls exponentially with the size of the lattice. Start from fields of the model, or of the target to test a model.
    """
    check_values(action, getattr(model, "values", None))
    lattice = tuple(fields.shape[2:])
    if not 1 <= side <= min(lattice) or updates < 1:
        raise InputError(
            f"{updates} updates of patches of side {side} on {lattice} sites; at least 1, of a patch that fits"
        )
    check_no_gaps(fields)
    random = torch.Generator().manual_seed(seed)
    x, taken = fields, []
    energy = action.energy(x.double())
    for _ in range(updates):
        chosen = torch.zeros(lattice, dtype=torch.bool)
        chosen[(slice(side),) * len(lattice)] = True
        shift = [int(torch.randint(n, (1,), generator=random)) for n in lattice]
        chosen = chosen.roll(shift, tuple(range(len(lattice))))
        old = model.site_log_prob(x, chosen).flatten(1).sum(1)
        new = model.redraw(x, torch.randn(len(x), 2, *lattice, generator=random).to(x.device), chosen).to(x)
        new = torch.where(chosen.to(x.device), new, x)  # through another precision no other site may move
        after, proposed = action.energy(new.double()), model.site_log_prob(new, chosen).flatten(1).sum(1)
        bar = torch.rand(len(x), generator=random, dtype=torch.float64).log().to(x.device)
        accepted = bar < energy - after + (old - proposed).to(energy)
        x = torch.where(accepted.reshape(-1, *[1] * (x.dim() - 1)), new, x)
        energy = torch.where(accepted, after, energy)
        taken.append(accepted.double().mean().cpu())
    return x, torch.stack(taken)
