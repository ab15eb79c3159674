"""The best local linear prediction of detail from the coarse field."""

import itertools
import math

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.model.closed_form.stencil import Stencil
from rgdm.scale.boundary import extend

PATCH_VALUES = 2**25
"""Values of neighbours that least squares holds in memory at a time."""


class LinearPrediction(Stencil):
    """The best local linear prediction of detail from the coarse field, ``G * coarse``."""

    def fit(self, coarse: Float[Tensor, "B C *K"], detail: Float[Tensor, "B D *K"], ridge: float = 1e-8) -> None:
        """Least squares over all sites (normal equations in float64).

        The prediction of a constant field is held at zero, so adding a constant to
        the coarse field (an arbitrary zero of the scale) changes no detail.
        """
        gram = torch.zeros((), dtype=torch.float64)
        cross = torch.zeros((), dtype=torch.float64)
        for c, d in zip(coarse.split(8), detail.split(8), strict=True):
            wide, rows = extend(c.double(), self.radius, self.boundaries), c.shape[2]
            height = max(1, PATCH_VALUES * rows // (c.numel() * self.kernel[0, 0].numel()))
            for top in range(0, rows, height):
                patches = self._patches(wide.narrow(2, top, min(height, rows - top) + 2 * self.radius))
                gram = gram + patches.T @ patches
                there = d.narrow(2, top, min(height, rows - top))
                cross = cross + patches.T @ there.double().movedim(1, -1).flatten(0, -2)
        taps = gram.shape[0]
        penalty = ridge * gram.diagonal().mean() * torch.eye(taps, dtype=torch.float64, device=gram.device)
        solution = torch.linalg.lstsq(gram + penalty, cross).solution
        kernel = torch.zeros_like(self.kernel, dtype=torch.float64).flatten(2)
        centre = kernel.shape[-1] // 2
        others = [i for i in range(kernel.shape[-1]) if i != centre]
        kernel[:, :, others] = solution.T.unflatten(1, (kernel.shape[1], -1)).to(kernel)
        kernel[:, :, centre] = -kernel.sum(-1)
        self.kernel.copy_(kernel.reshape(self.kernel.shape))

    def _patches(self, wide: Tensor) -> Tensor:
        """``(sites, C * (taps - 1))``: every neighbour's difference from the centre site, ``radius`` from the edges."""
        r = self.radius
        lattice = tuple(n - 2 * r for n in wide.shape[2:])
        x, views = wide[(..., *(slice(r, r + n) for n in lattice))], []
        for shift in itertools.product(range(-r, r + 1), repeat=len(lattice)):
            if any(shift):
                where = tuple(slice(r + s, r + s + n) for s, n in zip(shift, lattice, strict=True))
                views.append(wide[(..., *where)] - x)
        if not views:
            return x.new_zeros(x.shape[0] * math.prod(lattice), 0)
        return torch.stack(views, 2).flatten(1, 2).movedim(1, -1).flatten(0, -2)
