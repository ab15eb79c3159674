"""Lattice actions whose samples are known answers."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Phi4:
    """The phi^4 action on a periodic lattice, ``p(phi) ~ exp(-S)``.

    ``S = sum_x [ -a sum_mu phi_x phi_{x+mu} + b phi_x^2 + c phi_x^4 ]``, each bond once;
    an axis of length 2 has two bonds between the same neighbours.
    """

    a: float
    b: float
    c: float

    def __post_init__(self) -> None:
        if self.c < 0 or (self.c == 0 and self.b <= 0):
            raise ValueError(f"b = {self.b}, c = {self.c}: the action has no lower bound; c > 0 is needed")

    @classmethod
    def from_beta(cls, beta: float, lambda_: float) -> "Phi4":
        """From ``S = sum_x [ -beta sum_mu phi_x phi_{x+mu} + phi_x^2 + lambda (phi_x^2 - 1)^2 ]`` (up to a constant).

        The convention of Kaupuzs, Melnik & Rimsans, arXiv:1406.7491, and of Bosetti et al., arXiv:1506.08587.
        """
        return cls(beta, 1 - 2 * lambda_, lambda_)

    @classmethod
    def critical(cls) -> "Phi4":
        """The critical point in two dimensions at lambda = 1, beta_c = 0.680605(4)."""
        return cls.from_beta(0.680605, 1.0)

    def energy(self, field: Float[Tensor, "B 1 *L"]) -> Float[Tensor, " B"]:
        """The action S of each configuration."""
        neighbours = sum((field.roll(-1, axis) for axis in range(2, field.dim())), torch.zeros_like(field))
        square = field.square()
        density = -self.a * field * neighbours + self.b * square + self.c * square.square()
        return density.flatten(1).sum(1)
