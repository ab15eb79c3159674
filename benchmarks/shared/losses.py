"""How good the networks of a cascade are, level by level and in all."""

import torch
from torch import Tensor

from benchmarks.record import Figure
from benchmarks.shared.estimates import ratio, scores
from benchmarks.shared.training import block_means
from rgdm.model.cascade.cascade import Cascade

DRAWS, MEMBERS, LEVELS = 8, 8, 3


@torch.no_grad()
def losses(model: Cascade, fields: Tensor) -> Tensor:
    """Denoising loss of each field at each level, ``(B, levels)``, mean over as many times and noises.

    1: nothing learned beyond the linear-Gaussian estimate; the same times and noise for all models.
    """
    random, columns = torch.Generator().manual_seed(5), []
    fine = model.normalise(fields.to(model.device)).float()
    for level in range(model.levels):
        bands = model.channels * model.operator.bands(model.dimension)
        coarse = model.operator.coarsen(fine)
        total = torch.zeros(len(fine), dtype=torch.float64)
        for draw in range(DRAWS):
            t = (draw + torch.rand(len(fine), generator=random)) / DRAWS
            noise = torch.randn(len(fine), bands, *coarse.shape[2:], generator=random)
            for part in torch.arange(len(fine)).split(max(1, 2**16 // fine[0].numel())):
                each = model(fine[part], level, t[part].to(fine), noise[part].to(fine))
                total[part] += each.double().cpu() / DRAWS
        columns.append(total)
        fine = coarse
    return torch.stack(columns, 1)


def refined(model: Cascade, truth: Tensor, seed: int) -> dict[str, Tensor]:
    """CRPS and energy score of refining all levels."""
    coarse = block_means(model, truth.to(model.device), LEVELS)
    return scores(model.refine(coarse, LEVELS, MEMBERS, seed).cpu(), truth)


def over(ours: dict[str, Tensor], others: dict[str, Tensor]) -> dict[str, Figure]:
    """Each score as a ratio of pairs."""
    return {name: ratio(values, others[name]) for name, values in ours.items()}
