"""A learned single-site conditional, and sweeps that draw every site anew from it: local structure put right."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.errors import InputError
from rgdm.model.lattice.maximum_likelihood import maximise
from rgdm.model.lattice.site_law import MixtureLaw
from rgdm.model.lifts.flow import checkerboard
from rgdm.process.noise import NoiseField
from rgdm.scale.boundary import Boundary, extend
from rgdm.scale.coarse_graining import Lattice

WIDTH = 48
BATCH = 8192
TOGETHER = 2**16
"""Sites whose law is held at a time."""
STREAM = 1
"""The draw of the noise of the first sweep; that of the lifts is 0."""


class LearnedSweep(nn.Module):
    """``p(x_s | nearest neighbours)`` as a mixture of Gaussians, and Gibbs sweeps with it (Geman & Geman 1984).

    Nothing is assumed but the range of the neighbourhood: for a field whose law has nearest-neighbour couplings only,
    the conditional is that of the law itself, and a sweep, the odd sites given the even ones and then the even ones,
    keeps the law and brings everything local into equilibrium. It does not keep coarse fields. For other fields it is
    wrong by what lies beyond the neighbours. ``symmetric``: the neighbours count alike, whatever their direction.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, channels: int, dimension: int, boundary: Boundary, symmetric: bool = True) -> None:
        super().__init__()
        self.channels, self.dimension = channels, dimension
        self.boundary: Boundary = boundary
        self.symmetric = symmetric
        self.law = MixtureLaw(2 * dimension * channels, channels, WIDTH)
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("scale", torch.ones(channels))

    def neighbours(self, x: Float[Tensor, "B C *L"]) -> Float[Tensor, "B *L M"]:
        """What a site is given: the values around it."""
        wide, lattice = extend(x, 1, self.boundary), tuple(x.shape[2:])
        around = []
        for axis in range(self.dimension):
            for shift in (0, 2):
                cut = [slice(1, n + 1) for n in lattice]
                cut[axis] = slice(shift, shift + lattice[axis])
                around.append(wide[(..., *cut)])
        seen = torch.stack(around, -1)
        if self.symmetric:
            seen = seen.sort(-1).values
        return seen.movedim(1, -2).flatten(-2)

    def fit(self, fields: Float[Tensor, "B C *L"], steps: int = 2000, seed: int = 0, rate: float = 1e-2) -> float:
        """Maximum likelihood on random sites of the fields; returns the mean log-likelihood of the last steps."""
        pooled = fields.movedim(1, 0).flatten(1)
        self.mean.copy_(pooled.mean(1))
        self.scale.copy_(pooled.std(1).clamp(min=1e-12))
        with torch.no_grad():
            x = self._standard(fields).to(self.mean)
            given, value = self.neighbours(x).flatten(0, -2), x.movedim(1, -1).flatten(0, -2)
        generator = torch.Generator().manual_seed(seed)

        def draw() -> tuple[Tensor, Tensor]:
            chosen = torch.randint(len(value), (BATCH,), generator=generator).to(value.device)
            return value[chosen], given[chosen]

        def log_prob(x: Tensor, around: Tensor) -> Tensor:
            return self.law.log_prob(x, around).mean()

        last = maximise(self, draw, log_prob, steps, rate)[-100:]
        return -sum(last) / len(last)

    @torch.no_grad()
    def half_sweep(
        self, x: Float[Tensor, "B C *L"], odd: bool, noise: Float[Tensor, "B D *L"]
    ) -> Float[Tensor, "B C *L"]:
        """The sites of one half of the checkerboard anew, from unit noise of C + 1 bands."""
        if self.boundary == "periodic" and any(n % 2 for n in x.shape[2:]):
            raise InputError(f"the periodic lattice {tuple(x.shape[2:])} has no checkerboard; even axes are needed")
        y, chosen = self._standard(x).to(self.mean), checkerboard(x, odd)[0, 0]
        given, white = self.neighbours(y)[:, chosen], noise.movedim(1, -1)[:, chosen].to(y)
        pairs = zip(given.flatten(0, 1).split(TOGETHER), white.flatten(0, 1).split(TOGETHER), strict=True)
        drawn = torch.cat([self.law.draw(*pair) for pair in pairs]).reshape(*white.shape[:2], self.channels)
        made = x.movedim(1, -1).clone()
        made[:, chosen] = (drawn * self.scale + self.mean).to(x)
        return made.movedim(-1, 1)

    def sweep(self, x: Float[Tensor, "B C *L"], noise: Float[Tensor, "B D *L"]) -> Float[Tensor, "B C *L"]:
        """Both halves, the odd sites first."""
        return self.half_sweep(self.half_sweep(x, True, noise), False, noise)

    def run(
        self, x: Float[Tensor, "B C *L"], sweeps: int, noise: NoiseField, streams: list[int]
    ) -> Float[Tensor, "B C *L"]:
        """So many sweeps, from the noise of each field's own stream."""
        lattice: Lattice = tuple(x.shape[2:])
        for i in range(sweeps):
            white = torch.stack([noise.window(s, 0, STREAM + i, self.channels + 1, lattice) for s in streams])
            x = self.sweep(x, white.to(x.device))
        return x

    def _standard(self, x: Tensor) -> Tensor:
        shape = (1, -1, *[1] * self.dimension)
        return (x - self.mean.reshape(shape).to(x)) / self.scale.reshape(shape).to(x)
