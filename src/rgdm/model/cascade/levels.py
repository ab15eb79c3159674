"""The lifts of a cascade, level by level: which serves which, of what lattices, in which units."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.errors import InputError
from rgdm.model.closed_form.base import TranslationField
from rgdm.model.lattice.sweep import LearnedSweep
from rgdm.model.lifts.diffusion import Objective
from rgdm.model.lifts.registry import LiftKind, make_lifts
from rgdm.model.lifts.rescaled import Repetition, RescaledLift
from rgdm.model.lifts.standardized import TAIL, StandardizedLift
from rgdm.model.lifts.texture import Texture
from rgdm.model.networks.registry import BackboneKind, reach
from rgdm.model.networks.strips import strip_height
from rgdm.model.samplers.reverse import AdamsBashforth
from rgdm.model.samplers.sampler import Sampler
from rgdm.scale.boundary import Boundary, check_boundary
from rgdm.scale.coarse_graining import CoarseGraining, Lattice, check_lattice_depth
from rgdm.scale.operators.block import BlockSpin, Decimation
from rgdm.scale.operators.registry import Operator, make_operator
from rgdm.scale.operators.wavelets import RotationLattice, Wavelet

Kind = TypeVar("Kind")
TOGETHER = 2**18
"""Small fields are made together, up to this many sites at a time."""
SITE_BYTES: dict[BackboneKind, int] = {"conv": 30, "unet": 160, "dit": 80, "fno": 280}
"""What an evaluation takes at its peak, for each site and unit of width, on the safe side."""


class Levels(nn.Module):
    """What a cascade is made of and where things belong in it; :class:`~rgdm.model.cascade.cascade.Cascade` says what it does.

    Args:
        channels: components of the field.
        dimension: 1, 2 or 3.
        levels: how often the field is coarse-grained.
        boundary: ``periodic`` or ``reflect``, of the data and of what is generated.
        operator: the coarse-graining of every level.
        factor: b, for block spins, momentum shells and decimation (wavelets have 2).
        shared: one network for all levels.
        backbone: what the networks are (:func:`~rgdm.model.networks.registry.make_backbone`), one for all levels or one each,
            the finest first.
        width, encoder_blocks, decoder_blocks: size of the networks; the width for all levels or each.
        evaluations: network evaluations a level, the default of ``sample`` and ``refine``.
        objective: what the squared error of the denoiser is taken of (velocity, noise or data), or ``energy``: the
            score of samples of one or two evaluations.
        lift: ``diffusion``, or ``flow`` for lifts whose likelihood and samples cost one pass.
        bend: how much heavy tails of the detail may be bent, 0: not at all, as suits bounded values.
        scattering: so many scales of local scattering of the coarse field are shown to the networks too
            (:class:`~rgdm.model.lifts.texture.Texture`); 1 or 2 dimensions.
        sweep: also a :class:`~rgdm.model.lattice.sweep.LearnedSweep` of the finest level, for ``sample(..., sweeps=n)``.
        repetition: of one of the lifts, as :meth:`~rgdm.model.cascade.cascade.Cascade.enlarged` says.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        channels: int = 1,
        dimension: int = 2,
        levels: int = 3,
        boundary: Boundary = "reflect",
        operator: Operator = "block-spin",
        factor: int = 2,
        shared: bool = True,
        backbone: BackboneKind | Sequence[BackboneKind] = "conv",
        width: int | Sequence[int] = 32,
        encoder_blocks: int = 3,
        decoder_blocks: int = 2,
        evaluations: int = 3,
        objective: Objective = "velocity",
        lift: LiftKind = "diffusion",
        bend: float = TAIL,
        scattering: int = 0,
        sweep: bool = False,
        repetition: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.configuration: dict[str, Any] = {
            name: list(value) if isinstance(value, tuple) else value  # as they are in JSON
            for name, value in locals().items()
            if name not in ("self", "__class__")
        }
        if channels < 1 or not 1 <= dimension <= 3 or levels < 1:
            raise InputError(
                f"channels = {channels}, dimension = {dimension}, levels = {levels}; "
                "at least one channel, one level and 1, 2 or 3 dimensions are needed"
            )
        kinds: Sequence[BackboneKind] = [backbone] if isinstance(backbone, str) else backbone
        self.backbones = _of_levels("backbone", kinds, levels)
        self.widths = _of_levels("width", [width] if isinstance(width, int) else width, levels)
        if min(self.widths) < 1:
            raise InputError(f"width = {min(self.widths)}; a width of one at least is needed")
        self.channels, self.dimension = channels, dimension
        self.boundary: Boundary = check_boundary(boundary)
        self.sampler: Sampler = AdamsBashforth(evaluations)
        rule = make_operator(operator, factor, boundary, dimension)
        rule.requires_grad_(False)  # a learned one learns before the lifts, whose measurements are of it
        self.blocks = encoder_blocks, decoder_blocks
        network = shared, self.backbones, self.widths, self.blocks, objective, bend, evaluations, scattering
        made = make_lifts(lift, rule, channels, dimension, boundary, *network)
        self.lifts = nn.ModuleList(made)
        self.base = TranslationField(channels, boundary)
        self.sweep = LearnedSweep(channels, dimension, self.boundary) if sweep else None
        self.repetition = self._repetition(repetition)
        self.metadata: dict[str, Any] = {}
        """Names, units and figures that travel with the model; JSON only."""
        self.register_buffer("mean", torch.zeros(channels, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(channels, dtype=torch.float64))

    @property
    def levels(self) -> int:
        """How many levels the field is lifted through."""
        return len(self.lifts) + self.repetition.times

    @property
    def has_density(self) -> bool:
        """Whether there is a likelihood: not of models that are trained by the score of their samples."""
        return self.configuration["objective"] != "energy" or self.configuration["lift"] == "flow"

    @property
    def operator(self) -> CoarseGraining:
        """The coarse-graining of every level."""
        return self.own_lift(0).operator

    def own_lift(self, level: int) -> StandardizedLift:
        """The lift that was measured and trained at this level; level 0 is the finest."""
        lift = self.lifts[level]
        assert isinstance(lift, StandardizedLift)
        return lift

    def lift(self, level: int) -> StandardizedLift | RescaledLift:
        """The lift from level + 1 to level, which may be another level's."""
        index = self.repetition.lift(level)
        lift, detail = self.own_lift(index), self.repetition.scale(level)
        return lift if level == index else RescaledLift(lift, self.repetition.scale(level + 1, index + 1), detail)

    def _repetition(self, given: Sequence[float] | None) -> Repetition:
        level, times, *growth = (0, 0, 1.0) if given is None else given
        if not (0 <= level < len(self.lifts) and times >= 0 and growth and all(0 < g < math.inf for g in growth)):
            raise InputError(f"repetition = {given}; a level, how often, and a positive growth are needed")
        return Repetition(int(level), int(times), tuple(map(float, growth)))

    def dofs(self, lattice: Lattice) -> list[int]:
        """Degrees of freedom of each level's detail, the finest first, and of the base field."""
        sites = [math.prod(n // self.operator.factor**level for n in lattice) for level in range(self.levels + 1)]
        return [self.channels * (a - b) for a, b in itertools.pairwise(sites)] + [self.channels * sites[-1]]

    def depth(self, levels: int | None) -> int:
        """How many levels to refine: all, or as many as are asked for."""
        if levels is not None and not 1 <= levels <= self.levels:
            raise InputError(f"levels is {levels}; this model has lifts for 1 to {self.levels} levels")
        return self.levels if levels is None else levels

    def check_sample(self, lattice: Lattice | int, count: int = 1) -> int:
        """b^levels; ``ValueError`` if fields of this lattice cannot be made."""
        if isinstance(lattice, int):
            raise InputError(f"the lattice is {lattice}; give one number for each axis, {(lattice,) * self.dimension}")
        if len(lattice) != self.dimension:
            raise InputError(
                f"the lattice {lattice} has {len(lattice)} axes; this model is {self.dimension}-dimensional"
            )
        if count < 1:
            raise InputError(f"count is {count}; at least one sample is needed")
        unit = self.operator.factor**self.levels
        if any(n % unit or n < unit for n in lattice):
            near = tuple(max(unit, n - n % unit) for n in lattice)
            raise InputError(f"the lattice {lattice} is not divisible by {unit}, as this model asks; {near} would be")
        return unit

    def check_texture(self, lattice: Lattice, levels: int) -> None:
        """``ValueError`` if the coarsest field is too small for the scattering that the networks are shown."""
        texture = self.own_lift(0).texture
        if texture is not None:
            texture.scattering.check(tuple(n // self.operator.factor**levels for n in lattice))

    # --- sizes -----------------------------------------------------------------------------

    def memory(self, lattice: Lattice, fields: int) -> int:
        """Estimate of the bytes that making ``fields`` fields of this lattice takes at its peak, on the safe side.

        Measured: beside the result, in double precision at most, the finest lift holds 11 to 12 fine fields for each
        channel and its features twice (a flow has none), and the network 30 times its width on one strip; that of a
        flow 16 times its width, and 150 bytes a site for the splines. That is up to twice what is live at the peak, for
        an allocator may keep nearly that much more (glibc: up to 1.8 times).
        """
        sites, cell = math.prod(lattice), self.operator.factor**self.dimension
        together, width = max(sites, min(sites * fields, TOGETHER)), self.widths[0]
        features = 0 if self.configuration["lift"] == "flow" else 2.2 * width / cell
        lift = 4.8 * together * (features + 11.5 * self.channels)
        network = max(self._network_memory(level, lattice, together) for level in range(len(self.widths)))
        scales = self.configuration["scattering"]
        if scales:
            a_site = Texture.bytes_a_site(scales, self.dimension, self.boundary)
            lift += a_site * self.channels * together / cell
        return int(lift + network + 8 * sites * self.channels * fields) + 8 * 2**20

    def _network_memory(self, level: int, lattice: Lattice, together: int) -> float:
        """What one evaluation at a level takes: of a strip, or of all where the network looks everywhere."""
        factor, halo = self.operator.factor ** (level + 1), self.reach(level)
        strip = coarse = together // factor**self.dimension
        if halo is not None:
            rows = max(lattice) / factor
            strip = coarse / rows * min(rows, strip_height(int(rows), coarse, halo) + 2 * halo)
        if self.configuration["lift"] == "flow":
            return (16 * self.widths[level] + 150) * strip
        return SITE_BYTES[self.backbones[level]] * self.widths[level] * strip

    def reach(self, level: int) -> int | None:
        """How many coarse sites away one pass of the network of a level looks, at most; None: everywhere."""
        return reach(self.backbones[level], self.blocks)

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the networks."""
        return next(self.parameters()).dtype

    # --- units -----------------------------------------------------------------------------

    def normalise(self, x: Float[Tensor, "B C *L"], level: int = 0) -> Float[Tensor, "B C *L"]:
        """User's block means at ``level`` to the internal orthonormal field."""
        shape = (1, -1, *[1] * self.dimension)
        gain = self.operator.gain(self.dimension) ** level
        mean = self.mean.reshape(shape).to(x) * self._one(x, level)
        return (x - mean) * (gain / self.scale.reshape(shape).to(x))

    def denormalise(self, x: Float[Tensor, "B C *L"]) -> Float[Tensor, "B C *L"]:
        """The internal field of level 0 in the user's units."""
        shape = (1, -1, *[1] * self.dimension)
        return x * self.scale.reshape(shape).to(x) + self.mean.reshape(shape).to(x)

    def _one(self, coarse: Float[Tensor, "B C *K"], level: int) -> Tensor:
        """The constant field 1 at ``level``: still 1, but for long wavelets near an edge."""
        if level == 0 or self.boundary == "periodic" or not isinstance(self.operator, RotationLattice):
            return coarse.new_ones(())
        fine = (n * self.operator.factor**level for n in coarse.shape[2:])
        return self.flow(coarse.new_ones(1, 1, *fine), level)[-1]

    @torch.no_grad()
    def flow(self, x: Float[Tensor, "B C *L"], levels: int | None = None) -> list[Tensor]:
        """The renormalization trajectory of a field: its block means at level 0, 1, ..., ``levels``."""
        levels = self.levels if levels is None else levels
        check_lattice_depth(self.operator, tuple(x.shape[2:]), levels)
        gain, fields = self.operator.gain(self.dimension), [x]
        for _ in range(levels):
            fields.append(self.operator.coarsen(fields[-1]) / gain)
        return fields

    def _settle(
        self, fine: Float[Tensor, "B C *F"], coarse: Float[Tensor, "B C *K"], levels: int
    ) -> Float[Tensor, "B C *F"]:
        """Take the rounding errors of each block out at its first site.

        Rounding is relative to the values, which may be large beside their variation (temperatures in
        kelvin); block means are then off by more than a small part of their spread.
        """
        operator = self.operator
        if not isinstance(operator, BlockSpin | Decimation) and not (
            isinstance(operator, Wavelet) and operator.name == "haar"
        ):
            return fine
        error = coarse.double() - self.flow(fine.double(), levels)[-1]
        first = (..., *[slice(None, None, operator.factor**levels)] * self.dimension)
        fine[first] += (operator.gain(self.dimension) ** (2 * levels) * error).to(fine)
        return fine

    def state(self) -> Iterator[tuple[str, Tensor]]:
        """Every parameter and buffer once, shared networks under their first name."""
        yield from self.named_parameters()
        yield from self.named_buffers()


def _of_levels(name: str, given: Sequence[Kind], levels: int) -> tuple[Kind, ...]:
    """One for each level, the finest first."""
    if len(given) not in (1, levels):
        raise InputError(f"{len(given)} values of {name} for {levels} levels; give one for all, or one for each")
    return tuple(given) * (levels if len(given) == 1 else 1)
