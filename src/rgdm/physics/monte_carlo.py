"""Monte Carlo sampling of lattice actions: Metropolis sweeps and embedded cluster updates, many chains at once."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from rgdm.physics.actions import Phi4

SWEEPS = 2
"""Metropolis sweeps for each cluster update."""


def sample_phi4(
    action: Phi4,
    size: int,
    chains: int,
    count: int,
    seed: int,
    thermalization: int = 80,
    interval: int = 10,
    dimension: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Float[Tensor, "count 1 *L"]:
    """``count`` configurations on a periodic lattice of ``size`` sites along each axis, float32.

    ``chains`` independent chains, one half hot and one half cold at the start, make
    ``thermalization`` updates and then give one configuration every ``interval`` updates.
    The configurations of one chain stand together, so blocks of the result are independent.
    """
    if size < 2 or size % 2:
        raise ValueError(f"the lattice has {size} sites along an axis; a checkerboard needs an even number, at least 2")
    if min(chains, count, interval) < 1 or thermalization < 0:
        raise ValueError(f"chains = {chains}, count = {count}, interval = {interval}; each must be at least 1")
    if action.c == 0 and action.b <= dimension * abs(action.a):
        raise ValueError(f"{action} has no lower bound; c > 0 or b > {dimension} |a| is needed")
    rounds = -(-count // chains)
    markov = MarkovChains(action, (size,) * dimension, -(-count // rounds), seed)
    total = thermalization + rounds * interval
    kept = []
    for update in range(1, total + 1):
        markov.update(adapt=update <= thermalization)
        if update > thermalization and (update - thermalization) % interval == 0:
            kept.append(markov.field.copy())
        if progress is not None:
            progress(update, total)
    return torch.from_numpy(np.stack(kept, 1).reshape(-1, 1, *markov.field.shape[1:])[:count])


class MarkovChains:
    """Independent Markov chains of the phi^4 action, advanced together.

    An update is SWEEPS checkerboard Metropolis sweeps and one Swendsen-Wang update of
    the signs (Brower & Tamayo 1989, Phys. Rev. Lett. 62, 1087).
    """

    def __init__(self, action: Phi4, lattice: tuple[int, ...], chains: int, seed: int) -> None:
        self.action = action
        self.random = np.random.Generator(np.random.Philox(seed))
        self.field = np.ones((chains, *lattice), dtype=np.float32)
        hot = self.field[::2]
        hot[...] = self.random.standard_normal(hot.shape, dtype=np.float32)
        self.width = 1.5
        self._even = np.indices(lattice).sum(0) % 2 == 0
        sites = np.arange(self.field.size, dtype=np.int32).reshape(self.field.shape)
        self._forward = np.stack([np.roll(sites, -1, axis).ravel() for axis in self._axes], 1)

    @property
    def _axes(self) -> range:
        return range(1, self.field.ndim)

    def update(self, adapt: bool = False) -> None:
        """One update; ``adapt`` tunes the width of the proposals, which only thermalization may do."""
        for _ in range(SWEEPS):
            accepted = self.sweep()
            if adapt:
                self.width *= 1.1 if accepted > 0.5 else 1 / 1.1
        self.flip_clusters()

    def sweep(self) -> float:
        """One Metropolis sweep, even sites and then odd ones; returns the fraction accepted."""
        step = (2 * self.random.random(self.field.shape, dtype=np.float32) - 1) * np.float32(self.width)
        patience = self.random.standard_exponential(self.field.shape, dtype=np.float32)
        accepted = 0
        for colour in (self._even, ~self._even):
            accept = (self._change(step) <= patience) & colour
            self.field += np.where(accept, step, np.float32(0))
            accepted += int(accept.sum())
        return accepted / self.field.size

    def _change(self, step: np.ndarray) -> np.ndarray:
        """What S changes by when one site moves by ``step`` and the others stay."""
        neighbours = sum(np.roll(self.field, shift, axis) for axis in self._axes for shift in (1, -1))
        old, new = self.field**2, (self.field + step) ** 2
        a, b, c = (np.float32(v) for v in (self.action.a, self.action.b, self.action.c))
        return (new - old) * (b + c * (new + old)) - a * step * neighbours

    def flip_clusters(self) -> None:
        """Bond neighbours with probability ``1 - exp(-2 a phi_x phi_y)``, then give each cluster a random sign."""
        flat = self.field.ravel()
        coupling = 2 * np.float32(self.action.a) * flat[:, None] * flat[self._forward]
        bonded = self.random.standard_exponential(coupling.shape, dtype=np.float32) < coupling
        ends = np.concatenate([[0], bonded.sum(1).cumsum()]).astype(np.int32)
        neighbours = self._forward[bonded]
        graph = csr_matrix((np.ones(len(neighbours), dtype=np.int8), neighbours, ends), shape=(flat.size, flat.size))
        clusters, label = connected_components(graph, directed=False)
        sign = 1 - 2 * self.random.integers(0, 2, clusters, dtype=np.int8).astype(np.float32)
        self.field *= sign[label].reshape(self.field.shape)
