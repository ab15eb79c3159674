"""Monte Carlo sampling of lattice actions: local sweeps and cluster updates, many chains at once."""

import math
from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from rgdm.errors import InputError
from rgdm.physics.actions import Ising, Phi4, check_no_gaps, strengths
from rgdm.physics.monte_carlo import kernels
from rgdm.ranges import check_range
from rgdm.scale.coarse_graining import Lattice
from rgdm.watch import Watch

SWEEPS = 2
"""Heat-bath sweeps of phi^4 for each cluster update."""
SpinUpdate = Literal["swendsen-wang", "wolff", "metropolis", "heat-bath"]


class MarkovChains:
    """Independent Markov chains of an action on a periodic lattice, advanced together.

    ``field`` is ``(chains, *lattice)``, float32 for phi^4, int8 for spins. Every second chain starts hot, the others
    cold. A phi^4 update is ``SWEEPS`` heat-bath sweeps and one Swendsen-Wang update of the signs (Brower &
    Tamayo 1989, Phys. Rev. Lett. 62, 1087). The state after n updates is a function of (action, lattice, chains, seed).
    """

    def __init__(
        self, action: Phi4 | Ising, lattice: Lattice, chains: int, seed: int, update: SpinUpdate = "swendsen-wang"
    ) -> None:
        if update not in get_args(SpinUpdate):
            raise InputError(f"unknown update {update!r}; known are {', '.join(get_args(SpinUpdate))}")
        if min(lattice) < 2 or not 1 <= len(lattice) <= 3 or chains < 1:
            raise InputError(
                f"{chains} chains on the lattice {lattice}; at least 1 chain on 1 to 3 axes of 2 sites or more"
            )
        if update != "swendsen-wang" and isinstance(action, Phi4):
            raise InputError(f"the update {update!r} is one of spins; of phi^4 there is swendsen-wang, with sweeps")
        coupling = action.coupling if isinstance(action, Ising) else action.a
        self.bonds = np.array(2 * [coupling * strength for strength in strengths(action.anisotropy, len(lattice))])
        if update == "wolff" and (action.h or self.bonds.min() <= 0):
            raise InputError(f"{action}; a Wolff cluster needs bonds > 0 and no external field, take heat-bath")
        self.action, self.lattice, self.kind = action, lattice, update
        check_range("seed", seed)
        self.random = np.random.Generator(np.random.Philox(seed))
        self.field: NDArray = np.ones((chains, *lattice), dtype=np.int8 if isinstance(action, Ising) else np.float32)
        hot = self.field[::2]
        drawn = self.random.standard_normal(hot.shape, dtype=np.float32)
        hot[...] = np.where(drawn < 0, -1, 1) if isinstance(action, Ising) else drawn
        self.neighbours = neighbours(lattice)
        colour = np.indices(lattice).sum(0).ravel() % 2
        self.order = np.argsort(colour, kind="stable").astype(np.int32)

    @property
    def flat(self) -> NDArray:
        """The fields, ``(chains, sites)``; a view."""
        return self.field.reshape(len(self.field), -1)

    def update(self) -> None:
        """One update."""
        if isinstance(self.action, Ising):
            self._update_spins()
            return
        for _ in range(SWEEPS):
            self.sweep()
        self.flip_clusters()

    def sweep(self) -> None:
        """One heat-bath sweep, even sites and then odd ones: a new value of each given its neighbours."""
        s, key = self.action, self._key()
        if isinstance(s, Ising):
            self._run(kernels.sweep_ising, self.order, True, key)
        else:
            self._run(kernels.heat_bath_phi4, self.order, s.b, s.c, key)

    def flip_clusters(self) -> None:
        """One Swendsen-Wang update of the signs, in an external field with its weight for each cluster."""
        self._run(kernels.swendsen_wang, self._key())

    def _update_spins(self) -> None:
        if self.kind == "swendsen-wang":
            self.flip_clusters()
        elif self.kind == "wolff":
            self._run(kernels.wolff, self._key())
        elif self.kind == "heat-bath":
            self.sweep()
        else:
            self._run(kernels.sweep_ising, self.order, False, self._key())

    def _run(self, kernel: Callable[..., object], *settings: object) -> None:
        """Call a kernel. Numba sets the number of threads of OpenMP, which is also that of torch: it is restored."""
        threads = torch.get_num_threads()
        kernel(self.flat, self.neighbours, self.bonds, float(self.action.h), *settings)
        torch.set_num_threads(threads)

    def _key(self) -> np.uint64:
        return self.random.integers(0, 2**64, dtype=np.uint64)


def neighbours(lattice: Lattice) -> NDArray[np.int32]:
    """``(sites, 2 d)``: the sites ahead along each axis, then those behind."""
    sites = np.arange(math.prod(lattice), dtype=np.int32).reshape(lattice)
    return np.stack([np.roll(sites, shift, axis).ravel() for shift in (-1, 1) for axis in range(len(lattice))], 1)


def sample_fields(
    action: Phi4 | Ising,
    size: int | Lattice,
    chains: int,
    count: int,
    seed: int,
    thermalization: int = 80,
    interval: int = 10,
    dimension: int = 2,
    update: SpinUpdate = "swendsen-wang",
    watch: Watch | None = None,
) -> Float[Tensor, "count 1 *L"]:
    """``count`` configurations on a periodic lattice of ``size`` sites along each axis, float32.

    ``size`` may also be the sides of a rectangular lattice, whose number is then the dimension.
    Each of ``chains`` independent chains makes ``thermalization`` updates and then yields one configuration every
    ``interval`` updates. The configurations of one chain stand together, so blocks of the result are independent.
    """
    lattice = (size,) * dimension if isinstance(size, int) else tuple(size)
    if isinstance(action, Phi4):
        action.check_bounded(len(lattice))
    if min(chains, count, interval) < 1 or thermalization < 0:
        raise InputError(f"chains = {chains}, count = {count}, interval = {interval}; each must be at least 1")
    rounds = -(-count // chains)
    markov = MarkovChains(action, lattice, -(-count // rounds), seed, update)
    total = thermalization + rounds * interval
    kept = []
    for done in range(1, total + 1):
        markov.update()
        if done > thermalization and (done - thermalization) % interval == 0:
            kept.append(markov.field.astype(np.float32))
        if watch is not None:
            watch(done, total)
    return torch.from_numpy(np.stack(kept, 1).reshape(-1, 1, *markov.lattice)[:count])


def rethermalize(
    action: Phi4 | Ising, fields: Float[Tensor, "B 1 *L"], sweeps: int, seed: int = 0
) -> Float[Tensor, "B 1 *L"]:
    """The fields after so many heat-bath sweeps of the action: local structure is corrected, large scales stay.

    A sweep draws even sites and then odd ones, each from its exact law given the neighbours; there are no cluster
    updates. On sides of even length the odd sites then have their exact joint law given the even ones, for only nearest
    neighbours interact. Report the remaining bias as a function of the number of sweeps.
    """
    if sweeps < 0:
        raise InputError(f"{sweeps} sweeps; 0 or more can be made")
    check_no_gaps(fields)
    markov = MarkovChains(action, tuple(fields.shape[2:]), len(fields), seed)
    markov.field[...] = fields[:, 0].cpu().numpy()
    for _ in range(sweeps):
        markov.sweep()
    return torch.from_numpy(markov.field.astype(np.float32))[:, None].to(fields)
