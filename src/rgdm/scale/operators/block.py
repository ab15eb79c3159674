"""Operators on blocks of sites: block mean and decimation."""

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.scale.coarse_graining import CoarseGraining, Orthonormal
from rgdm.scale.transforms import cosine


class BlockSpin(Orthonormal):
    """Kadanoff's block mean of b sites; the detail is the rest of a DCT-II on each block.

    ``coarse = b^(-1/2) * sum over the block`` per axis; for b = 2 this is the Haar wavelet.
    """

    blockwise = True

    def block(self) -> Float[Tensor, "b b"]:
        """The orthonormal matrix of one block (float64), the mean in its first row."""
        return cosine(torch.eye(self.factor, dtype=torch.float64)).T.contiguous()

    def on(self, weights: Float[Tensor, "B C *F"] | None) -> CoarseGraining:
        from rgdm.scale.operators.weighted import WeightedBlocks  # which is made of this class

        return self if weights is None else WeightedBlocks(self, weights)

    def matrix(self, n: int) -> Float[Tensor, "n n"]:
        blocks = torch.kron(torch.eye(n // self.factor, dtype=torch.float64), self.block())
        return blocks.unflatten(0, (-1, self.factor)).transpose(0, 1).flatten(0, 1)

    def analyze_axis(self, x: Float[Tensor, "*rest n"]) -> Float[Tensor, "*rest b m"]:
        sites = x.unflatten(-1, (-1, self.factor)).unbind(-1)
        return torch.stack([_combine(row, sites) for row in self.block().tolist()], -2)

    def synthesize_axis(self, z: Float[Tensor, "*rest b m"]) -> Float[Tensor, "*rest n"]:
        bands = z.unbind(-2)
        return torch.stack([_combine(row, bands) for row in self.block().T.tolist()], -1).flatten(-2)


def _combine(weights: list[float], parts: tuple[Tensor, ...]) -> Tensor:
    total = weights[0] * parts[0]
    for weight, part in zip(weights[1:], parts[1:], strict=True):
        total = total + weight * part
    return total


class Decimation(Orthonormal):
    """Keep every b-th site; the detail is the sites left out. It has no fixed point: use it last."""

    blockwise = True

    @property
    def place(self) -> float:
        return 0.0

    def gain(self, dimension: int) -> float:
        return 1.0

    def matrix(self, n: int) -> Float[Tensor, "n n"]:
        sites = torch.arange(n).unflatten(0, (-1, self.factor)).T.flatten()
        return torch.eye(n, dtype=torch.float64)[sites]

    def analyze_axis(self, x: Float[Tensor, "*rest n"]) -> Float[Tensor, "*rest b m"]:
        return x.unflatten(-1, (-1, self.factor)).transpose(-1, -2)

    def synthesize_axis(self, z: Float[Tensor, "*rest b m"]) -> Float[Tensor, "*rest n"]:
        return z.transpose(-1, -2).flatten(-2)
