"""The inverse of the majority rule: fine spins from learned laws, given the block spins and the spins before them."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.errors import InputError
from rgdm.model.lattice.maximum_likelihood import maximise
from rgdm.model.lattice.site_law import SpinLaw
from rgdm.model.lattice.site_order import Stage, gather
from rgdm.model.lattice.stored import StoredModel
from rgdm.process.noise import NoiseField, Window
from rgdm.ranges import check_range
from rgdm.scale.coarse_graining import Lattice
from rgdm.watch import Watch

PLACES = ((0, 0), (1, 1), (0, 1), (1, 0))
"""Order in which the spins of a block of 2 x 2 are drawn, and the four colours of blocks."""


class MajorityInverse(StoredModel):
    """``p(spins | block spins)`` of blocks of 2 x 2, site by site in sixteen stages; for lattices of any size.

    Each stage is one place in the block and one of four colours of blocks, so that spins drawn together are four sites
    apart; they are independent given the spins around them. A spin sees the block spins and the fine spins before it
    within ``reach`` sites. Where the blocked spins are near a fixed point of their renormalization group, one model
    serves level after level. The majority of a block is learned, not enforced.

    Args:
        reach: distance that a spin sees, in fine sites.
        width: of the networks.
    """

    def __init__(self, reach: int = 3, width: int = 48) -> None:
        super().__init__()
        if reach < 1:
            raise InputError(f"reach is {reach}; a spin must see 1 site around it at least")
        check_range("reach", reach)
        check_range("width", width)
        self.configuration = {"reach": reach, "width": width}
        self._orders: dict[tuple[Lattice, torch.device], list[Stage]] = {}
        self.offsets: list[tuple[list[tuple[int, int]], list[tuple[int, int]]]] = []
        drawn: set[tuple[int, int]] = set()
        span, blocks = range(-reach, reach + 1), range(-(reach + 1) // 2, (reach + 1) // 2 + 1)
        for y, x in self._stages():
            fine = [(dy, dx) for dy in span for dx in span if ((y + dy) % 4, (x + dx) % 4) in drawn]
            self.offsets.append(([(i, j) for i in blocks for j in blocks], fine))
            drawn.add((y, x))
        self.laws = nn.ModuleList(SpinLaw(len(coarse) + len(fine), width) for coarse, fine in self.offsets)

    @staticmethod
    def _stages() -> list[tuple[int, int]]:
        """The place of each stage in a cell of 4 x 4 sites."""
        return [(2 * by + py, 2 * bx + px) for py, px in PLACES for by, bx in PLACES]

    def fit(
        self,
        fine: Float[Tensor, "B 1 H W"],
        coarse: Float[Tensor, "B 1 K L"],
        steps: int = 1000,
        batch: int = 128,
        rate: float = 3e-3,
        seed: int = 0,
        watch: Watch | None = None,
    ) -> list[float]:
        """Maximum likelihood on spins and their block spins; returns -log P a spin of each step, in nats."""
        self._check(tuple(coarse.shape[2:]))
        if tuple(fine.shape[2:]) != tuple(2 * n for n in coarse.shape[2:]) or len(fine) != len(coarse):
            raise InputError(f"fine spins of shape {tuple(fine.shape)} do not belong to blocks {tuple(coarse.shape)}")
        random, weights = torch.Generator().manual_seed(seed), next(self.parameters())

        def draw() -> tuple[Tensor, Tensor]:
            chosen = torch.randint(len(fine), (batch,), generator=random).to(fine.device)
            flips = [axis for axis in (2, 3) if torch.rand((), generator=random) < 0.5]
            return fine[chosen].flip(flips).to(weights), coarse[chosen].flip(flips).to(weights)

        def log_prob(x: Tensor, above: Tensor) -> Tensor:
            return self.log_prob(x, above).mean() / x[0].numel()

        return maximise(self, draw, log_prob, steps, rate, watch)

    def log_prob(self, fine: Float[Tensor, "B 1 H W"], coarse: Float[Tensor, "B 1 K L"]) -> Float[Tensor, " B"]:
        """log P of fine spins given their block spins."""
        whole, total = torch.cat((coarse.flatten(1), fine.flatten(1)), 1), fine.new_zeros(len(fine))
        for stage, law in zip(self._order(tuple(coarse.shape[2:]), whole.device), self.laws, strict=True):
            assert isinstance(law, SpinLaw)
            total = total + law.log_prob(whole[:, stage.sites, None], gather(whole, stage.given)).sum(1)
        return total

    @torch.no_grad()
    def sample(self, coarse: Float[Tensor, "B 1 K L"], seed: int = 0, level: int = 0) -> Float[Tensor, "B 1 H W"]:
        """Fine spins, each field from its own noise at this level; the same seed gives the same spins."""
        lattice: Lattice = tuple(2 * n for n in coarse.shape[2:])
        self._check(tuple(coarse.shape[2:]))
        batches, noise = [], NoiseField(seed, "refine")
        size = max(1, 2**20 // (lattice[0] * lattice[1]))
        for start in range(0, len(coarse), size):
            above = coarse[start : start + size]
            members = range(start, start + len(above))
            white = noise.of(members)(0, 1, Window.whole(level, lattice)).to(above).flatten(1)
            blocks = above[0].numel()
            whole = torch.cat((above.flatten(1), torch.zeros_like(white)), 1)
            for stage, law in zip(self._order(tuple(coarse.shape[2:]), whole.device), self.laws, strict=True):
                assert isinstance(law, SpinLaw)
                given = gather(whole, stage.given)
                drawn = law.draw(given.flatten(0, 1), white[:, stage.sites - blocks].reshape(-1, 1))
                whole[:, stage.sites] = drawn.reshape(len(whole), -1)
            batches.append(whole[:, blocks:].reshape(-1, 1, *lattice))
        return torch.cat(batches)

    def _order(self, lattice: Lattice, device: torch.device) -> list[Stage]:
        """The stages for block spins on a lattice; positions count the block spins first, then the fine ones."""
        if (lattice, device) not in self._orders:
            block = torch.arange(lattice[0] * lattice[1]).reshape(lattice)
            fine = torch.arange(4 * block.numel()).reshape(2 * lattice[0], 2 * lattice[1]) + block.numel()
            stages = []
            for (y, x), (blocks, sites) in zip(self._stages(), self.offsets, strict=True):
                around = [block.roll((-i, -j), (0, 1))[y // 2 :: 2, x // 2 :: 2] for i, j in blocks]
                around += [fine.roll((-i, -j), (0, 1))[y::4, x::4] for i, j in sites]
                given = torch.stack(around, -1).flatten(0, 1)
                stages.append(Stage(fine[y::4, x::4].flatten().to(device), given.to(device)))
            self._orders[lattice, device] = stages
        return self._orders[lattice, device]

    @staticmethod
    def _check(lattice: Lattice) -> None:
        if len(lattice) != 2 or any(n % 2 for n in lattice):
            raise InputError(f"block spins on {lattice} sites; the four colours need two axes of even length")
