"""A local inverse of majority rule with three parameters (Rançon, Rançon, Ivek & Balog 2025, arXiv:2506.04016)."""

from typing import ClassVar

import torch
from torch import Tensor

from benchmarks.shared.lattice import majority


class ThreeParameters:
    """Every coarse spin becomes a block of equal spins, and a symmetric kernel of 3 x 3 sites gives the probability of
    each fine spin; here fitted by maximum likelihood on the training spins."""

    name: ClassVar[str] = "three-parameter map"
    evaluations: ClassVar[int] = 1

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, fields: Tensor) -> None:
        near, fine = surroundings(majority(fields, self.seed)), fields[:, 0]
        self.weights = torch.tensor([1.0, 0.0, 0.0], requires_grad=True)
        optimizer = torch.optim.LBFGS([self.weights], max_iter=50)

        def loss() -> Tensor:
            optimizer.zero_grad()
            field = (self.weights[:, None, None] * near).sum(1)
            value = -torch.nn.functional.logsigmoid(2 * fine * field).mean()
            value.backward()
            return value

        optimizer.step(loss)  # pyright: ignore[reportArgumentType]
        self.weights = self.weights.detach()

    def refine(self, coarse: Tensor, members: int, seed: int) -> Tensor:
        field = (self.weights[:, None, None] * surroundings(coarse)).sum(1, keepdim=True)
        random = torch.rand(members, *field.shape, generator=torch.Generator().manual_seed(seed))
        return torch.where(random < torch.sigmoid(2 * field), 1.0, -1.0)


def surroundings(coarse: Tensor) -> Tensor:
    """The value, the sum of the edges and the sum of the corners around each site of the enlarged blocks."""
    u = coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)
    rows, columns = u.roll(1, 2) + u.roll(-1, 2), u.roll(1, 3) + u.roll(-1, 3)
    return torch.cat((u, rows + columns, rows.roll(1, 3) + rows.roll(-1, 3)), 1)
