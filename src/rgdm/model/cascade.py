"""The cascade: a base model at the coarsest level and a lift for every finer one."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.data.layout import unwrap
from rgdm.model import storage
from rgdm.model.base import TranslationField
from rgdm.model.denoiser import Objective
from rgdm.model.likelihood import Likelihood, LogProb, TooManyDetailsError, signs
from rgdm.model.networks import strip_height
from rgdm.model.registry import LiftKind, make_lifts
from rgdm.model.repeated import Repetition, RescaledLift
from rgdm.model.samplers import Sampler, TrigonometricFlow
from rgdm.model.standardized import TAIL, StandardizedLift
from rgdm.model.sweep import LearnedSweep
from rgdm.process.noise import NoiseField
from rgdm.scale.boundary import Boundary, check_boundary
from rgdm.scale.coarse_graining import Lattice, Orthonormal
from rgdm.scale.operators import BlockSpin, Decimation, Wavelet, check_lattice_depth
from rgdm.scale.registry import Operator, make_operator

Watch = Callable[[int, int], None]
"""Called as ``watch(done, total)`` while fields are made."""
TOGETHER = 2**18
"""Small fields are made together, up to this many sites at a time."""


class Cascade(nn.Module):
    """An inverse renormalization group: ``x_L -> x_{L-1} -> ... -> x_0``, coarse to fine.

    ``levels`` lifts stand on a base model of the coarsest field. With ``shared`` all lifts
    use one network, which is told the level, each in the units of its own level (its own prediction,
    amplitude and spectrum), as suits fields that look alike on all scales; otherwise each has
    its own. At the public edge fields are in the user's units and coarse fields are block means.

    Args:
        channels: components of the field.
        dimension: 1, 2 or 3.
        levels: how often the field is coarse-grained.
        boundary: ``periodic`` or ``reflect``, of the data and of what is generated.
        operator: the coarse-graining of every level.
        factor: b, for block spins, momentum shells and decimation (wavelets have 2).
        shared: one network for all levels.
        width, encoder_blocks, decoder_blocks: size of the networks.
        evaluations: network evaluations a level, the default of ``sample`` and ``refine``.
        objective: what the squared error is taken of: velocity, noise or data.
        lift: ``diffusion``, or ``flow`` for lifts whose likelihood and samples cost one pass.
        bend: how much heavy tails of the detail may be bent, 0: not at all, as suits bounded values.
        sweep: also a :class:`~rgdm.model.sweep.LearnedSweep` of the finest level, for ``sample(..., sweeps=n)``.
        repetition: of one of the lifts, as :meth:`enlarged` says.
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
        width: int = 32,
        encoder_blocks: int = 3,
        decoder_blocks: int = 2,
        evaluations: int = 3,
        objective: Objective = "velocity",
        lift: LiftKind = "diffusion",
        bend: float = TAIL,
        sweep: bool = False,
        repetition: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.configuration: dict[str, Any] = {
            name: value for name, value in locals().items() if name not in ("self", "__class__")
        }
        if channels < 1 or not 1 <= dimension <= 3 or levels < 1 or width < 1:
            raise ValueError(
                f"channels = {channels}, dimension = {dimension}, levels = {levels}, width = {width}; "
                "at least one channel, one level and a width of one in 1, 2 or 3 dimensions are needed"
            )
        self.channels, self.dimension = channels, dimension
        self.boundary: Boundary = check_boundary(boundary)
        self.sampler: Sampler = TrigonometricFlow(evaluations)
        step = make_operator(operator, factor, boundary)
        blocks = encoder_blocks, decoder_blocks
        made = make_lifts(lift, step, channels, dimension, boundary, levels, shared, width, blocks, objective, bend)
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
    def step(self) -> Orthonormal:
        """The coarse-graining of every level."""
        step = self.own_lift(0).step
        assert isinstance(step, Orthonormal)
        return step

    def own_lift(self, level: int) -> StandardizedLift:
        """The lift that was measured and trained at this level; level 0 is the finest."""
        lift = self.lifts[level]
        assert isinstance(lift, StandardizedLift)
        return lift

    def lift(self, level: int) -> StandardizedLift | RescaledLift:
        """The lift from level + 1 to level, which may be another level's."""
        lift, scale = self.own_lift(self.repetition.lift(level)), self.repetition.scale(level)
        return lift if scale == 1 else RescaledLift(lift, scale)

    # --- larger than what was trained on -----------------------------------------------------

    def enlarged(self, times: int, growth: float, level: int = 2) -> "Cascade":
        """The same cascade with the lift of one level repeated: fields ``factor^times`` times as wide.

        An inverse renormalization group near its fixed point, where all levels have the same law but for the size of
        the field, which grows by ``growth = factor^((2 - eta) / 2) = factor^(y_h - d/2)`` a level;
        :func:`~rgdm.physics.mcrg.field_exponent` measures y_h on the training fields. The levels nearest to the
        lattice spacing are not yet there: repeat the third, of ``level`` 2, or a coarser one. For fields that are
        scale-free up to their own size, on a periodic lattice.
        """
        if self.repetition.times:
            raise ValueError("this cascade is enlarged already; enlarge the one it was made of")
        if not 0 <= level < self.levels or times < 1:
            raise ValueError(f"level = {level}, times = {times}; a level of 0 to {self.levels - 1}, once or more")
        settings: dict[str, Any] = self.configuration | {"repetition": [level, times, growth]}
        larger = Cascade(**settings).to(self.mean.device, self.dtype)
        own = dict(self.state())
        for name, tensor in larger.state():
            tensor.data = own[name].data  # one set of weights for both
        larger.metadata = self.metadata
        return larger.eval()

    def _repetition(self, given: Sequence[float] | None) -> Repetition:
        level, times, growth = (0, 0, 1.0) if given is None else given
        if not (0 <= level < len(self.lifts) and times >= 0 and 0 < growth < math.inf):
            raise ValueError(f"repetition = {given}; a level, how often, and a positive growth are needed")
        return Repetition(int(level), int(times), float(growth))

    # --- units -----------------------------------------------------------------------------

    def normalise(self, x: Float[Tensor, "B C *L"], level: int = 0) -> Float[Tensor, "B C *L"]:
        """User's block means at ``level`` to the internal orthonormal field."""
        shape = (1, -1, *[1] * self.dimension)
        gain = self.step.gain(self.dimension) ** level
        mean = self.mean.reshape(shape).to(x) * self._one(x, level)
        return (x - mean) * (gain / self.scale.reshape(shape).to(x))

    def denormalise(self, x: Float[Tensor, "B C *L"]) -> Float[Tensor, "B C *L"]:
        """The internal field of level 0 in the user's units."""
        shape = (1, -1, *[1] * self.dimension)
        return x * self.scale.reshape(shape).to(x) + self.mean.reshape(shape).to(x)

    def _one(self, coarse: Float[Tensor, "B C *K"], level: int) -> Tensor:
        """The constant field 1 at ``level``: still 1, but for long wavelets near an edge."""
        if level == 0 or self.boundary == "periodic" or not isinstance(self.step, Wavelet):
            return coarse.new_ones(())
        fine = (n * self.step.factor**level for n in coarse.shape[2:])
        return self.flow(coarse.new_ones(1, 1, *fine), level)[-1]

    # --- learning --------------------------------------------------------------------------

    @torch.no_grad()
    def fit(self, x: Float[Tensor, "B C *L"], watch: Watch | None = None) -> None:
        """Measure everything that has a closed form: units, Gaussian lifts, amplitudes, base. Seconds."""
        if self.repetition.times:
            raise ValueError("an enlarged cascade is not measured; fit the one it was made of")
        check_lattice_depth(self.step, tuple(x.shape[2:]), self.levels)
        pooled = x.double().movedim(1, 0).flatten(1)
        if not bool(pooled.isfinite().all()) or not bool((pooled.amax(1) > pooled.amin(1)).all()):
            raise ValueError("a channel of the fields is constant or has values that are not finite; drop or fill it")
        self.mean.copy_(pooled.mean(1))
        self.scale.copy_(pooled.std(1))
        fine = self.normalise(x)
        for level in range(self.levels):
            self.own_lift(level).fit(fine)
            fine = self.step.coarsen(fine)
            if watch:
                watch(level + 1, self.levels + 1)
        self.base.fit(fine)
        if watch:
            watch(self.levels + 1, self.levels + 1)

    def forward(
        self,
        fine: Float[Tensor, "B C *F"],
        level: int,
        t: Float[Tensor, " B"],
        noise: Float[Tensor, "B D *K"],
        halo: tuple[int, ...] = (),
    ) -> Float[Tensor, " B"]:
        """The training loss of one lift on normalised fields of its level, one value a sample."""
        return self.own_lift(level).loss(fine, t, noise, halo)

    @torch.no_grad()
    def log_prob(
        self,
        x: Any,
        levels: int | None = None,
        probes: int | None = None,
        tolerance: float = 1e-5,
        seed: int = 0,
        networks: bool = True,
        watch: Watch | None = None,
    ) -> Likelihood:
        """log p of fields in the user's units: the sum over levels, for the split is orthonormal.

        Args:
            x: fields on a lattice that is divisible by ``factor^levels``: a tensor, an array or an xarray object, as
                :meth:`refine` takes them.
            levels: the density of the detail of so many levels given the coarse field, as of :meth:`refine`; None:
                of the whole field, as of :meth:`sample`, where no temperature is above 1.
            probes: random signs that estimate the divergence of the networks (diffusion lifts), with its error from
                2 on; None computes it, for at most 1024 details a field.
            tolerance: of the probability flow.
            seed: of the signs.
            networks: False leaves them out: the likelihood of the closed-form part, to compare with.
            watch: is told after each level.

        Returns:
            ``total``, log p of each field in the user's units; ``bits`` of each level and the base, per degree of
            freedom of normalised fields; ``levels`` and ``base``, what they are made of.
        """
        depth = self.depth(levels)
        x, _ = unwrap(x, self.channels, self.dimension, self.metadata.get("channels", ()))
        x = x.to(self.mean.device)
        if not bool(x.isfinite().all()):
            raise ValueError(f"{int((~x.isfinite()).sum())} of {x.numel()} values are not finite; drop or fill them")
        if probes is not None and probes < 1:
            raise ValueError(f"probes is {probes}; at least 1 is needed, or None to compute the divergence")
        check_lattice_depth(self.step, tuple(x.shape[2:]), depth)
        fine, parts = self.normalise(x.double()), []
        hottest = 1.0 if levels is None else math.inf  # as in what is made from nothing: see _descend
        for level in range(depth):
            lift, (coarse, detail) = self.lift(level), self.step.split(fine)
            random = None if probes is None else signs(detail, probes, 1000 * seed + level)
            try:
                known = lift.log_prob(fine, random, tolerance, hottest) if networks else None
                parts.append(known or lift.untrained_log_prob(fine, hottest))
            except TooManyDetailsError as error:
                raise ValueError(f"level {level}: {error}; pass probes=2 or more, or networks=False") from None
            fine = coarse
            if watch:
                watch(level + 1, depth)
        dofs, size = self.dofs(tuple(x.shape[2:])), self.repetition.scale(self.levels)
        base = LogProb.exact(self.base.log_prob(fine / size) - dofs[-1] * math.log(size)) if levels is None else None
        dofs = dofs if levels is None else dofs[:depth]
        units = -float(self.scale.log().mean()) * sum(dofs)
        return Likelihood(parts, base, units, dofs)

    def dofs(self, lattice: Lattice) -> list[int]:
        """Degrees of freedom of each level's detail, the finest first, and of the base field."""
        sites = [math.prod(n // self.step.factor**level for n in lattice) for level in range(self.levels + 1)]
        return [self.channels * (a - b) for a, b in itertools.pairwise(sites)] + [self.channels * sites[-1]]

    # --- the flow and its inverse ----------------------------------------------------------

    @torch.no_grad()
    def flow(self, x: Float[Tensor, "B C *L"], levels: int | None = None) -> list[Tensor]:
        """The renormalization trajectory of a field: its block means at level 0, 1, ..., ``levels``."""
        levels = self.levels if levels is None else levels
        check_lattice_depth(self.step, tuple(x.shape[2:]), levels)
        gain, fields = self.step.gain(self.dimension), [x]
        for _ in range(levels):
            fields.append(self.step.coarsen(fields[-1]) / gain)
        return fields

    def sample(
        self,
        lattice: Lattice,
        count: int = 1,
        seed: int = 0,
        evaluations: int | None = None,
        watch: Watch | None = None,
        sweeps: int = 0,
    ) -> Float[Tensor, "B C *L"]:
        """New fields of any lattice that is divisible by b^levels, ``(count, channels, *lattice)``, in user's units.

        The same seed gives the same fields, whatever ``count``. ``sweeps`` of the learned single-site conditional
        follow, where the model has one.
        """
        unit = self.check_sample(lattice, count)
        if sweeps < 0 or (sweeps and self.sweep is None):
            raise ValueError(
                f"{sweeps} sweeps; 0 or more are made, of a model that was trained with sweep=True (--sweep)"
            )
        noise, factor = NoiseField(seed), unit
        coarsest = self.base.noise_lattice(tuple(n // factor for n in lattice))
        out = torch.empty(count, self.channels, *lattice, dtype=self.dtype, device=self.mean.device)
        for some in _together(count, lattice):
            white = noise.members(some, self.levels, 0, self.channels, coarsest).to(out)
            x = self.base(white) * self.repetition.scale(self.levels)
            x = self._descend(x, self.levels, list(some), noise, evaluations, tempered=False)
            if self.sweep is not None:
                x = self.sweep.run(x, sweeps, noise, list(some))
            out[some.start : some.stop] = self.denormalise(x)
            if watch:
                watch(some.stop, count)
        return out

    def check_sample(self, lattice: Lattice | int, count: int = 1) -> int:
        """b^levels; ``ValueError`` if fields of this lattice cannot be made."""
        if isinstance(lattice, int):
            raise ValueError(f"the lattice is {lattice}; give one number for each axis, {(lattice,) * self.dimension}")
        if len(lattice) != self.dimension:
            raise ValueError(
                f"the lattice {lattice} has {len(lattice)} axes; this model is {self.dimension}-dimensional"
            )
        if count < 1:
            raise ValueError(f"count is {count}; at least one sample is needed")
        unit = self.step.factor**self.levels
        if any(n % unit or n < unit for n in lattice):
            near = tuple(max(unit, n - n % unit) for n in lattice)
            raise ValueError(f"the lattice {lattice} is not divisible by {unit}, as this model asks; {near} would be")
        return unit

    def refine(
        self,
        coarse: Any,
        levels: int | None = None,
        members: int = 1,
        seed: int = 0,
        evaluations: int | None = None,
        watch: Watch | None = None,
    ) -> Any:
        """An ensemble of fine fields, each of which coarse-grains to exactly the given field.

        With block spins and Haar wavelets that are its block means, with decimation the kept sites; what
        longer wavelets and momentum shells keep is a mean over a wider window, in the same units.
        ``coarse`` may be a tensor or array ``(*L)``, ``(C, *L)`` or ``(B, C, *L)``, or an xarray
        object; the same kind comes back with a leading ``member`` axis, lattice axes b^levels
        times longer, and coordinates refined.
        """
        levels = self.depth(levels)
        if members < 1:
            raise ValueError(f"members is {members}; at least one is needed")
        field, layout = unwrap(coarse, self.channels, self.dimension, self.metadata.get("channels", ()))
        if not bool(field.isfinite().all()):
            raise ValueError(
                f"{int((~field.isfinite()).sum())} of {field.numel()} values of the coarse field are not finite; "
                "fill them first (rgdm.data.validity.check_finite with fill=True)"
            )
        total, noise, factor = members * len(field), NoiseField(seed), self.step.factor**levels
        fine = field.new_empty(total, self.channels, *(n * factor for n in field.shape[2:]))
        for some in _together(total, tuple(fine.shape[2:])):
            which, member = torch.arange(some.start, some.stop) % len(field), [i // len(field) for i in some]
            given = field[which.to(field.device)].to(self.mean.device)
            streams = [index * 2**32 + m for index, m in zip(which.tolist(), member, strict=True)]
            x = self._descend(self.normalise(given, levels), levels, streams, noise, evaluations)
            fine[some.start : some.stop] = self._settle(self.denormalise(x), given, levels).to(fine)
            if watch:
                watch(some.stop, total)
        return layout.wrap(fine.unflatten(0, (members, len(field))), factor, self.step.place_after(levels))

    def depth(self, levels: int | None) -> int:
        """How many levels to refine: all, or as many as are asked for."""
        if levels is not None and not 1 <= levels <= self.levels:
            raise ValueError(f"levels is {levels}; this model has lifts for 1 to {self.levels} levels")
        return self.levels if levels is None else levels

    def _settle(
        self, fine: Float[Tensor, "B C *F"], coarse: Float[Tensor, "B C *K"], levels: int
    ) -> Float[Tensor, "B C *F"]:
        """Take the rounding errors of each block out at its first site.

        Rounding is relative to the values, which may be large beside their variation (temperatures in
        kelvin); block means are then off by more than a small part of their spread.
        """
        step = self.step
        if not isinstance(step, BlockSpin | Decimation) and not (isinstance(step, Wavelet) and step.name == "haar"):
            return fine
        error = coarse.double() - self.flow(fine.double(), levels)[-1]
        first = (..., *[slice(None, None, step.factor**levels)] * self.dimension)
        fine[first] += (step.gain(self.dimension) ** (2 * levels) * error).to(fine)
        return fine

    def _descend(
        self,
        x: Tensor,
        levels: int,
        streams: list[int],
        noise: NoiseField,
        evaluations: int | None,
        tempered: bool = True,
    ) -> Tensor:
        """From the normalised field of level ``levels`` to level 0, one lift after the other.

        Temperatures above 1, there to widen ensembles about a given field, are left out of what comes from
        nothing: it has no field to miss, and more noise would only be more power at small scales.
        """
        sampler = self.sampler if evaluations is None else self.sampler.spending(evaluations)
        for level in reversed(range(levels)):
            lattice, bands = tuple(x.shape[2:]), self.channels * self.step.bands(self.dimension)
            white = torch.stack([noise.window(s, level, 0, bands, lattice) for s in streams])
            white = white.to(x.device) if tempered else white.to(x.device) / self.lift(level).temperature.clamp(min=1)
            x = self.lift(level).sample(x, white, sampler)
        return x

    def memory(self, lattice: Lattice, fields: int) -> int:
        """Estimate of the bytes that making ``fields`` fields of this lattice takes at its peak, on the safe side.

        Measured: beside the result, in double precision at most, the finest lift holds its features twice and 11 to 12
        fine fields for each channel, and the network 30 times its width on one strip, where the splines of a flow
        take 8 kB a site. That is up to twice what is live at the peak, for an allocator may keep nearly that much more
        (glibc: up to 1.8 times).
        """
        sites, width, cell = math.prod(lattice), int(self.configuration["width"]), self.step.factor**self.dimension
        together = max(sites, min(sites * fields, TOGETHER))
        lift = 4.8 * together * (2.2 * width / cell + 11.5 * self.channels)
        rows, coarse, halo = max(lattice) / self.step.factor, together // cell, self.reach
        strip = coarse / rows * min(rows, strip_height(int(rows), coarse, halo) + 2 * halo)
        network = (30 * width + (8000 if self.configuration["lift"] == "flow" else 0)) * strip
        return int(lift + network + 8 * sites * self.channels * fields) + 8 * 2**20

    @property
    def reach(self) -> int:
        """How many coarse sites away a network looks, at most."""
        return 2 + 2 * max(int(self.configuration[name]) for name in ("encoder_blocks", "decoder_blocks"))

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the networks."""
        return next(self.parameters()).dtype

    # --- storage ---------------------------------------------------------------------------

    def state(self) -> Iterator[tuple[str, Tensor]]:
        """Every parameter and buffer once, shared networks under their first name."""
        yield from self.named_parameters()
        yield from self.named_buffers()

    def save_pretrained(self, path: str | Path) -> None:
        """Write ``config.json`` and ``model.safetensors`` into a folder, each atomically."""
        storage.save(Path(path), self.configuration, self.metadata, dict(self.state()))

    @classmethod
    def from_pretrained(cls, path: str | Path) -> "Cascade":
        """Read a model: a folder, the name of one that ships with the package, or a Hugging Face repository."""
        folder = storage.locate(path)
        configuration, metadata = storage.read_config(folder)
        try:
            with torch.random.fork_rng(
                devices=[]
            ):  # the initial weights are overwritten: leave the caller's seed alone
                model = cls(**configuration)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"{folder / 'config.json'} does not describe a cascade: {error}") from None
        storage.read_weights(folder, dict(model.state()))
        model.metadata = metadata
        return model.eval()


def _together(count: int, lattice: Lattice) -> Iterator[range]:
    """The numbers of the fields that are made at a time."""
    size = max(1, TOGETHER // math.prod(lattice))
    for first in range(0, count, size):
        yield range(first, min(first + size, count))
