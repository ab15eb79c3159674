"""Cross-spectral matrices: how strong the channels of a field are at each scale, and how coherent with each other."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

COHERENCE = 1 - 1e-4
"""The largest between two channels: beyond it rounding decides which of their differences there are."""
LEAST = 1e-12
"""The least power of a channel in a bin, in its largest: a field without any has no density."""
NEAR = 0.25
"""Weight of the coherence of a bin in what its neighbour is taken for before it is measured; of the next its square."""


def measured(
    z: Float[Tensor, "B C *L"], where: Int[Tensor, "*L"], known: Float[Tensor, "*L"], bins: int
) -> Float[Tensor, "C C N"]:
    """The mean products of real coefficients of the channels, by bin of the modes; empty bins take their neighbour's.

    The real, even part of the cross-spectrum: over all directions of a wavevector the other one cancels. Coherences of
    bins with few coefficients are drawn towards those of the bins around them, with the weight of as many coefficients
    as there are channels.

    Args:
        z: coefficients in an orthonormal real basis.
        where: the bin of each mode.
        known: 1 for modes whose coefficients count, else 0; of the others z is 0.
        bins: how many there are.
    """
    channels, flat = z.shape[1], where.flatten().to(z.device)
    count = torch.zeros(bins, dtype=z.dtype, device=z.device).index_add_(0, flat, known.flatten().to(z))
    total = torch.zeros(bins, channels, channels, dtype=z.dtype, device=z.device)
    for i in range(channels):
        for j in range(i + 1):
            total[:, i, j].index_add_(0, flat, (z[:, i] * z[:, j]).mean(0).flatten())
            total[:, j, i] = total[:, i, j]
    filled = torch.nonzero(count)[:, 0]
    mean, weight = (total / count.clamp(min=1)[:, None, None])[filled], len(z) * count[filled]
    distance = (filled[:, None] - filled).abs()
    near = NEAR**distance * weight
    power, coherence = separate(mean)
    power = torch.maximum(power, LEAST * power.amax(0))
    around = torch.einsum("nm,mij->nij", near / near.sum(1, keepdim=True), coherence)
    shrunk = torch.lerp(coherence, around, (channels / (weight + channels))[:, None, None])
    nearest = (torch.arange(bins, device=z.device)[:, None] - filled).abs().argmin(1)
    return join(power, possible(shrunk))[nearest].movedim(0, -1)


def matched(
    spectrum: Float[Tensor, "C C N"], target: Float[Tensor, "C C N"], found: Float[Tensor, "C C N"]
) -> Float[Tensor, "C C N"]:
    """The spectrum to try next if ``spectrum`` gave ``found`` where ``target`` is wanted.

    ``A S A`` with the symmetric A of ``A found A = target``, the geometric mean of the target and the inverse of what
    was found (Pusz & Woronowicz 1975, Rep. Math. Phys. 8, 159); powers change by a factor of 2 at most. For one channel
    S is multiplied by the ratio of the two.
    """
    (power, wanted), had, tried = separate(target.movedim(-1, 0)), found.movedim(-1, 0), spectrum.movedim(-1, 0)
    size = power.clamp(min=1e-30).sqrt()
    unit = size[:, :, None] * size[:, None]
    root = _power_of(wanted, 0.5)
    change = root @ _power_of(root @ (had / unit) @ root, -0.5) @ root
    value, vector = torch.linalg.eigh((change + change.mT) / 2)
    change = (vector * value.clamp(0.5**0.5, 2**0.5)[:, None]) @ vector.mT
    now, coherence = separate(change @ (tried / unit) @ change)
    return (join(now, possible(coherence)) * unit).movedim(0, -1)


def with_coherence(spectrum: Float[Tensor, "C C N"], other: Float[Tensor, "C C N"]) -> Float[Tensor, "C C N"]:
    """The powers of one, the coherences of the other."""
    power, coherence = separate(spectrum.movedim(-1, 0))[0], separate(other.movedim(-1, 0))[1]
    return join(power, coherence).movedim(0, -1)


def root(spectrum: Float[Tensor, "C C N"]) -> Float[Tensor, "C C N"]:
    """The lower triangular L with ``L L^T`` the matrix of each bin, in float64."""
    power, coherence = separate(spectrum.double().movedim(-1, 0))
    return (power.sqrt()[:, :, None] * torch.linalg.cholesky(possible(coherence))).movedim(0, -1)


def inverse(lower: Float[Tensor, "C C N"]) -> Float[Tensor, "C C N"]:
    """Of a lower triangular matrix in each bin."""
    matrix = lower.movedim(-1, 0)
    unit = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device).expand_as(matrix)
    return torch.linalg.solve_triangular(matrix, unit, upper=False).movedim(0, -1)


def applied(
    lower: Float[Tensor, "C C N"], where: Int[Tensor, "*L"], z: Float[Tensor, "B C *L"]
) -> Float[Tensor, "B C *L"]:
    """The lower triangular matrix of its bin times the channels of each mode."""
    lower, where = lower.to(z), where.to(z.device)
    rows = []
    for i in range(z.shape[1]):
        row = lower[i, 0][where] * z[:, 0]
        for j in range(1, i + 1):
            row = row + lower[i, j][where] * z[:, j]
        rows.append(row)
    return torch.stack(rows, 1)


def separate(matrix: Float[Tensor, "N C C"]) -> tuple[Float[Tensor, "N C"], Float[Tensor, "N C C"]]:
    """Powers on the diagonal, and coherences with 1 on it; without power there is none."""
    power = matrix.diagonal(dim1=-2, dim2=-1).clamp(min=0)
    size = power.sqrt()
    unit = size[:, :, None] * size[:, None]
    coherence = torch.where(unit > 0, matrix / torch.where(unit > 0, unit, 1.0), 0.0)
    return power, _with_unit_diagonal(coherence)


def join(power: Float[Tensor, "N C"], coherence: Float[Tensor, "N C C"]) -> Float[Tensor, "N C C"]:
    """The matrices of :func:`separate`."""
    size = power.sqrt()
    matrix = size[:, :, None] * coherence * size[:, None]
    matrix.diagonal(dim1=-2, dim2=-1).copy_(power)
    return matrix


def possible(coherence: Float[Tensor, "N C C"]) -> Float[Tensor, "N C C"]:
    """The nearest coherences whose eigenvalues are positive, of at most :data:`COHERENCE`."""
    if coherence.shape[-1] == 1:
        return coherence
    value, vector = torch.linalg.eigh((coherence + coherence.mT) / 2)
    kept = (vector * value.clamp(min=1 - COHERENCE)[:, None]) @ vector.mT
    size = kept.diagonal(dim1=-2, dim2=-1).sqrt()
    return _with_unit_diagonal(kept / (size[:, :, None] * size[:, None]))


def _with_unit_diagonal(matrix: Tensor) -> Tensor:
    matrix = matrix.clone()
    matrix.diagonal(dim1=-2, dim2=-1).fill_(1)
    return matrix


def _power_of(matrix: Float[Tensor, "N C C"], exponent: float) -> Float[Tensor, "N C C"]:
    """Of symmetric matrices that are not negative."""
    value, vector = torch.linalg.eigh((matrix + matrix.mT) / 2)
    return (vector * value.clamp(min=1e-30)[:, None].pow(exponent)) @ vector.mT
