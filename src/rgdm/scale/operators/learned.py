"""Coarse-grainings that are learned from fields: orthonormal wavelets by their angles, lifting steps by networks."""

import abc
import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.errors import InputError
from rgdm.scale.boundary import Boundaries, Boundary, boundary_of_each
from rgdm.scale.coarse_graining import CoarseGraining
from rgdm.scale.convolution import local_convolution
from rgdm.scale.operators.block import BlockSpin
from rgdm.scale.operators.wavelets import Rotation, RotationLattice, Wavelet
from rgdm.watch import Watch

SITES = 2**15
"""Sites that one step of learning uses, about."""
SMALLEST = 1e-12


class Learned(CoarseGraining):
    """A coarse-graining with parameters, learned before the lifts by the code length of what it splits off."""

    boundary: Boundaries

    @abc.abstractmethod
    def learning_rate(self) -> float:
        """Of the parameters, for Adam."""

    def learn(
        self, fields: Float[Tensor, "B C *L"], levels: int, steps: int = 200, seed: int = 0, watch: Watch | None = None
    ) -> list[float]:
        """Bring down the :func:`code_length` of fields split ``levels`` times; returns it step by step, in nats.

        Seconds. Every step looks at some of the fields, each cut to a window if it is large and no torus. Afterwards
        the parameters do not train any more.
        """
        parameters = list(self.parameters())
        for parameter in parameters:
            parameter.requires_grad_(True)
        random = torch.Generator().manual_seed(seed)
        optimizer = torch.optim.Adam(parameters, self.learning_rate(), betas=(0.9, 0.99))
        pace = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.learning_rate(), total_steps=steps, pct_start=0.1)
        lengths = []
        for step in range(steps):
            loss = code_length(self, self._some(fields, levels, random), levels)
            if not bool(loss.isfinite()):
                raise InputError("the code length of the detail is not finite; look for extreme values in the fields")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            pace.step()
            lengths.append(float(loss.detach()))
            if watch is not None:
                watch(step + 1, steps)
        for parameter in parameters:
            parameter.requires_grad_(False)  # what is measured with the split would no longer belong to it
        return lengths

    def _some(self, fields: Tensor, levels: int, random: torch.Generator) -> Tensor:
        """Random fields, or windows of them at offsets that are divisible by ``factor^levels``."""
        unit, lattice = self.factor**levels, fields.shape[2:]
        side = max(1, round(SITES ** (1 / len(lattice))) // unit) * unit
        sides = boundary_of_each(self.boundary, len(lattice))  # the ends of a window of a torus do not belong together
        size = [n if b == "periodic" else min(n, side) for n, b in zip(lattice, sides, strict=True)]
        count = max(1, SITES // (fields.shape[1] * math.prod(size)))
        windows = []
        for i in torch.randint(len(fields), (min(max(count, 8), 256),), generator=random).tolist():
            x = fields[i]
            for axis, (n, s) in enumerate(zip(lattice, size, strict=True), start=1):
                x = x.narrow(axis, unit * int(torch.randint((n - s) // unit + 1, (1,), generator=random)), s)
            windows.append(x)
        return torch.stack(windows)


def code_length(operator: CoarseGraining, x: Float[Tensor, "B C *L"], levels: int) -> Float[Tensor, ""]:
    """Nats a degree of freedom of fields coded level by level, each band of detail as Laplace noise of its own scale.

    ``log(2 e <|d|>)`` for a detail, ``log(2 pi e <c^2>) / 2`` for a site of the coarsest field: the entropies of the
    Laplace and normal laws of these sizes. Sparse detail is short, whatever its law; no correlation within a level is
    used. A split that keeps volumes needs no further term, so that lengths of different splits compare.
    """
    total, dofs = x.new_zeros(()), x[0].numel()
    for _ in range(levels):
        x, detail = operator.split(x)
        size = detail.abs().movedim(1, 0).flatten(1).mean(1).clamp(min=SMALLEST)
        total = total + (1 + (2 * size).log()).sum() * math.prod(detail.shape[2:])
    variance = x.movedim(1, 0).flatten(1).var(1, correction=0).clamp(min=SMALLEST**2)
    total = total + (math.log(2 * math.pi * math.e) + variance.log()).sum() / 2 * math.prod(x.shape[2:])
    return total / dofs


def sparsity(detail: Float[Tensor, "B D *K"]) -> float:
    """``<|d|>^2 / <d^2>``, the mean over bands: 2/pi for Gaussian detail, less the sparser it is."""
    bands = detail.double().movedim(1, 0).flatten(1)
    return float((bands.abs().mean(1).square() / bands.square().mean(1).clamp(min=SMALLEST**2)).mean())


class LearnedWavelet(RotationLattice, Learned):
    """An orthonormal wavelet of ``taps`` taps, given by angles; it stays orthonormal whatever they are.

    One angle follows from the others, by which constant fields have no detail (one vanishing moment); the others
    start as those of a Daubechies wavelet and may be learned, by :meth:`Learned.learn` or together with what uses
    the split. Its detail may have another sign than that of the named wavelet.
    """

    def __init__(self, taps: int = 8, boundary: Boundary = "periodic") -> None:
        super().__init__(boundary)
        if taps % 2 or not 4 <= taps <= 40:
            raise InputError(f"a learned wavelet of {taps} taps; an even number from 4 to 40 is needed")
        self.taps = taps
        angles, mirrored = [], False
        for (a, b), (c, d) in Wavelet(f"db{taps // 2}").layers:
            angle = math.atan2(-float(b), float(a))
            angles.append(-angle if mirrored else angle)
            mirrored = mirrored or float(a) * float(d) < float(b) * float(c)
        self.angles = nn.Parameter(torch.tensor(angles[1:]))
        sign = [1.0 if (len(angles) - 1 - step) % 2 == 0 else -1.0 for step in range(len(angles))]
        self.signs = sign
        self.total = math.remainder(sum(s * a for s, a in zip(sign, angles, strict=True)), 2 * math.pi)

    def learning_rate(self) -> float:
        return 0.02

    @property
    def layers(self) -> list[Rotation]:
        if not (self.angles.requires_grad and torch.is_grad_enabled()):  # plain numbers cost less
            later = self.angles.detach().double().tolist()
            first = self.signs[0] * (self.total - sum(s * a for s, a in zip(self.signs[1:], later, strict=True)))
            return [((math.cos(a), -math.sin(a)), (math.sin(a), math.cos(a))) for a in (first, *later)]
        later = self.angles.double()
        signs = torch.tensor(self.signs, dtype=torch.float64, device=later.device)
        first = signs[0] * (self.total - (signs[1:] * later).sum())
        angles = torch.cat([first[None], later])
        return [((c, -s), (s, c)) for c, s in zip(angles.cos(), angles.sin(), strict=True)]


class Lifting(Learned):
    """Lifting steps on top of block spins: ``d <- d - P(c)``, ``c <- c + U(d)``, P and U small networks.

    Sweldens 1998 (SIAM J. Math. Anal. 29, 511); non-linear, yet exactly invertible, and its Jacobian has the
    determinant 1 whatever the networks are, so that densities need no correction. P sees differences only, and
    neither has biases: a constant field has no detail, and its coarse value is that of block spins. U makes the coarse
    value a mean over a wider window. Channels do not mix.

    Args:
        dimension: 1, 2 or 3.
        boundary: of the fields.
        width: of the networks.
        update: whether there is a U; without it, coarse fields are block means.
    """

    def __init__(self, dimension: int, boundary: Boundaries = "periodic", width: int = 12, update: bool = True) -> None:
        super().__init__()
        self.factor, self.start, self.dimension = 2, BlockSpin(2), dimension
        self.boundary = boundary
        bands = self.bands(dimension)
        self.predict = LiftingNetwork(1, bands, width, dimension, boundary, differences=True)
        self.update = LiftingNetwork(bands, 1, width, dimension, boundary, differences=False) if update else None

    def learning_rate(self) -> float:
        return 0.005

    def split(self, x: Float[Tensor, "B C *F"]) -> tuple[Float[Tensor, "B C *K"], Float[Tensor, "B D *K"]]:
        self._check_dimension(x)
        coarse, detail = (self._apart(part, x.shape[1]) for part in self.start.split(x))
        detail = detail - self.predict(coarse)
        if self.update is not None:
            coarse = coarse + self.update(detail)
        return self._together(coarse, x.shape[1]), self._together(detail, x.shape[1])

    def merge(self, coarse: Float[Tensor, "B C *K"], detail: Float[Tensor, "B D *K"]) -> Float[Tensor, "B C *F"]:
        self._check_dimension(coarse)
        channels = coarse.shape[1]
        c, d = self._apart(coarse, channels), self._apart(detail, channels)
        if self.update is not None:
            c = c - self.update(d)
        d = d + self.predict(c)
        return self.start.merge(self._together(c, channels), self._together(d, channels))

    def _check_dimension(self, x: Tensor) -> None:
        if x.dim() - 2 != self.dimension:
            raise InputError(f"a field of {x.dim() - 2} dimensions; these lifting steps have {self.dimension}")

    @staticmethod
    def _apart(x: Tensor, channels: int) -> Tensor:
        return x.unflatten(1, (channels, -1)).flatten(0, 1)

    @staticmethod
    def _together(x: Tensor, channels: int) -> Tensor:
        return x.unflatten(0, (-1, channels)).flatten(1, 2)


class LiftingNetwork(nn.Module):
    """Two convolutions without biases, homogeneous of degree one in the field; the second starts at zero.

    ``x -> W2 phi(W1 x)`` with a leaky ramp phi, so that a field of any unit is treated alike. With ``differences`` the
    kernels of W1 have zero sum, for constants to be left out.
    """

    def __init__(
        self, channels: int, out: int, width: int, dimension: int, boundary: Boundaries, differences: bool
    ) -> None:
        super().__init__()
        self.differences = differences
        size = (3,) * dimension
        self.boundary: Boundaries = boundary
        self.first = nn.Parameter(torch.randn(width, channels, *size) / math.sqrt(channels * 3**dimension))
        self.second = nn.Parameter(torch.zeros(out, width, *size))

    def forward(self, x: Float[Tensor, "B C *L"]) -> Float[Tensor, "B D *L"]:
        first = self.first
        if self.differences:
            first = first - first.mean(tuple(range(2, first.dim())), keepdim=True)
        hidden = F.leaky_relu(local_convolution(x, first.to(x), None, self.boundary), 0.2)
        return local_convolution(hidden, self.second.to(x), None, self.boundary)
