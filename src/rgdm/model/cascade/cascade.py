"""The cascade: a base model at the coarsest level and a lift for every finer one."""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from rgdm.data.clock import CYCLES, clock_of
from rgdm.data.layout import floating, unwrap
from rgdm.design import Design
from rgdm.errors import InputError
from rgdm.model.cascade import storage
from rgdm.model.cascade.density import log_prob
from rgdm.model.cascade.fields import Fields
from rgdm.model.cascade.frames import frames_at, frames_of
from rgdm.model.cascade.generation import refine, sample
from rgdm.model.cascade.geometry import constant, measures, trajectory
from rgdm.model.cascade.memory import memory_bytes
from rgdm.model.cascade.persistence import calibrate_persistence
from rgdm.model.cascade.repetition import Repetition
from rgdm.model.cascade.training_range import ClockRange, TrainingRange
from rgdm.model.cascade.units import CompanionUnits, Units
from rgdm.model.closed_form.base import TranslationField
from rgdm.model.closed_form.gaps import smoothly_filled
from rgdm.model.lattice.sweep import LearnedSweep
from rgdm.model.lifts.context import Context
from rgdm.model.lifts.lift import Lift
from rgdm.model.lifts.registry import make_lifts
from rgdm.model.lifts.rescaled import RescaledLift
from rgdm.model.lifts.setting import NOWHERE, Setting
from rgdm.model.lifts.standardized import StandardizedLift
from rgdm.model.networks.everywhere import MissingPackageError
from rgdm.model.samplers.reverse import AdamsBashforth
from rgdm.model.samplers.sampler import Sampler
from rgdm.process.noise import Noise, Window
from rgdm.ranges import check_choice, check_keys, check_range
from rgdm.scale.coarse_graining import Lattice
from rgdm.scale.grid import Grid, in_words
from rgdm.scale.operators.learned import Learned
from rgdm.scale.operators.registry import make_operator
from rgdm.watch import Watch
from rgdm.workers import alone


class Cascade(nn.Module):
    """An inverse renormalization group: ``x_L -> x_{L-1} -> ... -> x_0``, coarse to fine.

    A base model makes the coarsest field; one lift for each level adds the detail. A ``shared`` network is told the
    level and works in the units of each (prediction, amplitude, spectrum), as suits fields that look alike on all
    scales. At the public edge fields are in the user's units and coarse fields are block means.

    Args:
        design: levels, operator, networks, objective.
        grid: names, boundaries, factors of the axes; by default two reflecting axes of factor 2.
        channels: components of the field.
        repetition: of one of the lifts, as :meth:`enlarged` makes it.
        companions: how many fields are known beside, at full resolution (orography, a land mask).
        clock: what is known of the time, of ``year`` and ``day``.
    """

    def __init__(
        self,
        design: Design | None = None,
        grid: Grid | None = None,
        channels: int = 1,
        repetition: Repetition | None = None,
        companions: int = 0,
        clock: Sequence[str] = (),
    ) -> None:
        super().__init__()
        for cycle in clock if isinstance(clock, list | tuple) else [clock]:
            check_choice("clock", cycle, CYCLES)
        check_range("channels", channels)
        check_range("companions", companions)
        self.design, self.channels = design or Design(), channels
        self.grid = (grid or Grid.uniform()).of_levels(self.design.levels)
        self.repetition = Repetition() if repetition is None else Repetition.checked(*repetition, self.design.levels)
        self.operator = make_operator(self.design.operator, self.grid, bool(self.design.positive))
        self.operator.requires_grad_(False)  # a learned one learns before the lifts, whose measurements are of it
        self.sampler: Sampler = AdamsBashforth(self.design.sampling_steps)
        self.units, self.range = (
            Units(channels, bool(self.design.positive)),
            TrainingRange(self.design.levels, channels),
        )
        self.companions = CompanionUnits(companions) if companions else None
        self.clock = ClockRange([cycle for cycle in CYCLES if cycle in clock]) if clock else None
        told = companions, 0 if self.clock is None else self.clock.count
        self.lifts = nn.ModuleList(make_lifts(self.design, self.grid, channels, self.operator, *told))
        self.base = TranslationField(channels, self.grid.boundaries, self.grid.site_sizes(self.design.levels))
        self.sweep: LearnedSweep | None = None
        if self.design.sweep:
            self.sweep = LearnedSweep(channels, self.dimension, self.grid.boundaries, self.grid.alike)
        self.metadata: dict[str, Any] = {}
        """Names, units and figures that travel with the model; JSON only."""

    @property
    def dimension(self) -> int:
        """How many axes the lattice has."""
        return self.grid.dimension

    @property
    def levels(self) -> int:
        """How many levels there are between the base and the finest field."""
        return len(self.lifts) + self.repetition.times

    @property
    def told(self) -> bool:
        """Whether something is known beside the field, which fields from nothing have not."""
        return self.companions is not None or self.clock is not None

    @property
    def takes_gaps(self) -> bool:
        """Whether values may be missing."""
        return self.design.takes_gaps and self.grid.one_factor

    @property
    def dtype(self) -> torch.dtype:
        """Of the networks."""
        return next(self.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Of all tensors."""
        return self.units.mean.device

    def own_lift(self, level: int) -> StandardizedLift:
        """The lift that was measured and trained at this level; level 0 is the finest."""
        lift = self.lifts[level]
        assert isinstance(lift, StandardizedLift)
        return lift

    def lift(self, level: int) -> Lift:
        """The lift from level + 1 to level, which may be another level's."""
        index = self.repetition.lift(level)
        lift, detail = self.own_lift(index), self.repetition.scale(level)
        return lift if level == index else RescaledLift(lift, self.repetition.scale(level + 1, index + 1), detail)

    def reach(self, levels: int | None = None, evaluations: int | None = None) -> tuple[int, ...] | None:
        """How many coarsest sites around a fine site its value depends on, along each axis; None: on all of them."""
        halo, sampler = [0] * self.dimension, self._sampler(evaluations)
        for level in range(self.depth(levels)):
            reach = self.lift(level).reach(sampler)
            if reach is None:
                return None
            halo = [-(-h // b) + reach for h, b in zip(halo, self.grid.factors_at(level), strict=True)]
        return tuple(halo)

    # --- learning --------------------------------------------------------------------------

    @torch.no_grad()
    def fit(self, x: Any, watch: Watch | None = None, times: Any = None) -> None:
        """Measure everything that has a closed form: units, ranges, standardizers, base. Seconds.

        Values may be missing (NaN), where :attr:`takes_gaps`. ``x`` is what :meth:`refine` takes, or
        :class:`~rgdm.model.cascade.fields.Fields`, which have a place: areas of cells, and companions. A
        coarse-graining that is learned is learned first, by its code length. Of fields that follow each other
        in time, by the coordinates of an xarray object or by ``times``, one for each, it is measured too how long
        detail lasts. A clock is read off these too, but not of ``Fields``, whose place has it.
        """
        if self.repetition.times:
            raise InputError("an enlarged cascade is not measured; fit the one that it was enlarged from")
        with alone():
            self._fit(x, watch, times)

    def _fit(self, x: Any, watch: Watch | None, times: Any) -> None:
        frames = None
        if not isinstance(x, Fields):
            values, layout = unwrap(x, self.channels, self.dimension, axes=self.grid.names)
            clock = self.clock_of(x, len(values), tuple(values.shape[2:]), times=times)
            x, frames = Fields(values, Setting(clock=clock)), frames_of(layout, len(values)) if times is None else None
        frames = frames if times is None else frames_at(times, len(x))
        x = x.to(self.device)
        self.operator.check_depth(x.lattice, self.levels)
        self.check_texture(x.lattice, self.levels)
        self.check_gaps(x.values, "the fields")
        self.check_companions(x.place)
        self.units.fit(x.values)
        if self.companions is not None and x.place.companions is not None:
            self.companions.fit(x.place.companions)
        if self.clock is not None and x.place.clock is not None:
            self.clock.check_varies(x.place.clock)
            self.clock.fit(x.place.clock)
        fields = self.normalised(x)
        fine, setting = fields.values, fields.setting
        if isinstance(self.operator, Learned):
            with torch.enable_grad():
                self.operator.learn(fine.to(self.dtype), self.levels)
        self.range.fit(self.operator, fields)
        told = watch or (lambda done, total: None)
        for level in range(self.levels):
            self.own_lift(level).fit(fine, setting)
            operator = self.operator.at(level)
            fine, setting = setting.on(operator).coarsen(fine), setting.coarsen(operator)
            told(level + 1, self.levels + 1)
        if setting.weights is None or bool((setting.weights > 0).all()):
            self.base.fit(fine)
        else:
            there = (setting.weights > 0).expand_as(fine)
            self.base.fit(smoothly_filled(fine, setting.weights, self.grid.boundaries), there=there)
        calibrate_persistence(self, x, frames, networks=False)
        told(self.levels + 1, self.levels + 1)

    def forward(
        self,
        fine: Float[Tensor, "B C *F"],
        level: int,
        t: Float[Tensor, " B"],
        noise: Float[Tensor, "B D *K"],
        halo: tuple[int, ...] = (),
        importance: Tensor | None = None,
        setting: Setting = NOWHERE,
    ) -> Float[Tensor, " B"]:
        """The training loss of one lift on normalised fields of its level, one value a sample."""
        return self.own_lift(level).loss(fine, t, noise, halo, importance, setting)

    # --- coarse to fine --------------------------------------------------------------------

    sample, refine, log_prob, memory = sample, refine, log_prob, memory_bytes  # methods in files of their own

    def generate(self, lattice: Lattice, noise: Noise, evaluations: int | None = None) -> Float[Tensor, "B C *L"]:
        """Normalised fields as a differentiable function of their noise: the base field, then every lift.

        The base takes draw 0 of level ``levels``, on the lattice that :meth:`TranslationField.noise_lattice` says.
        """
        return self.descend(self.begin(lattice, noise), self.levels, noise, evaluations, free=True)

    def begin(self, lattice: Lattice, noise: Noise) -> Float[Tensor, "B C *K"]:
        """The normalised base field of a lattice, which all levels lead to."""
        coarsest = self.base.noise_lattice(self.operator.coarse_lattice(lattice, self.levels))
        white = noise(0, self.channels, Window.whole(self.levels, coarsest)).to(self.device)
        white = white if white.dtype == torch.float64 else white.to(self.dtype)
        made = self.base.positive(self.base(white)) if self.design.positive else self.base(white)
        return made * self.repetition.scale(self.levels)

    def descend(
        self,
        x: Float[Tensor, "B C *K"],
        levels: int,
        noise: Noise,
        evaluations: int | None = None,
        free: bool = False,
        setting: Setting = NOWHERE,
    ) -> Float[Tensor, "B C *L"]:
        """From the normalised field of level ``levels`` to level 0, one lift after the other; differentiable.

        ``setting`` is that of the sites of level 0, its companions normalised. Fields that come from nothing are
        ``free`` and have temperatures of their own: there is no given field that an ensemble could miss, and the noise
        is to make as much detail as the data have.
        """
        sampler, settings = self._sampler(evaluations), setting.path(self.operator, levels)
        for level in reversed(range(levels)):
            lift = self.lift(level)
            source = lift.free_noise(noise) if free else noise
            x = lift.sample(Context(x, settings[level]), source, Window.whole(level, x.shape[2:]), sampler)
        return x

    def trajectory(
        self, x: Tensor | np.ndarray, levels: int | None = None, areas: Float[Tensor, "b c *L"] | None = None
    ) -> list[Tensor]:
        """The renormalization trajectory of fields ``(B, C, *L)``: their block means at level 0, 1, ..., ``levels``.

        Where values are missing (NaN) and :attr:`takes_gaps`, means of those that are not; NaN of none. ``areas`` of
        the cells weigh the means, in any unit.
        """
        x, levels = floating(x), self.levels if levels is None else levels
        weights = Fields(x, Setting(areas)).setting.weights if self.takes_gaps else areas
        fields, sizes = trajectory(self.operator, x, levels, weights), measures(self.operator, weights, levels)
        pairs = zip(fields, sizes, strict=True)
        return [field if size is None else field.where(size > 0, math.nan) for field, size in pairs]

    def enlarged(self, times: int, growth: float | Iterable[float], level: int = 2) -> "Cascade":
        """The same cascade with the lift of one level repeated: fields ``factor^times`` times as wide.

        Near the fixed point of an inverse renormalization group all levels have the same law but for the size of the
        field, which grows by ``growth = factor^((2 - eta) / 2) = factor^(y_h - d/2)`` a level;
        :func:`~rgdm.physics.mcrg.field_exponent` measures y_h on the training fields. The levels nearest to the lattice
        spacing are not yet there: repeat the third, of ``level`` 2, or a coarser one. Where the growth still changes,
        give it from one level to the next, the first from ``level``; the last value serves all that follow. For fields
        that are scale-free up to their own size, on a periodic lattice.
        """
        if self.repetition.times:
            raise InputError("this cascade is enlarged already; enlarge the one that it was enlarged from")
        if not 0 <= level < self.levels or times < 1:
            raise InputError(f"level = {level}, times = {times}; a level of 0 to {self.levels - 1}, once or more")
        if self.grid.depth is not None:
            raise InputError(
                f"a cascade of the factors {in_words(self.grid.factors)} cannot be enlarged; its levels "
                "differ, and none has the law of another: train one of equal factors"
            )
        if self.design.positive:
            raise InputError("a cascade of shares cannot be enlarged; growth is of fields of both signs")
        if self.told:
            raise InputError("a cascade with companions or a clock cannot be enlarged; there are none of other scales")
        growths = tuple(growth) if isinstance(growth, Iterable) else (growth,)
        repetition = Repetition(level, times, growths)
        larger = Cascade(self.design, self.grid, self.channels, repetition).to(self.device, self.dtype)
        tensors = dict(self.state())
        for name, tensor in larger.state():
            tensor.data = tensors[name].data  # one set of weights for both
        larger.metadata = self.metadata
        return larger.eval()

    # --- units and checks ------------------------------------------------------------------

    def clock_of(
        self, field: Any, count: int, lattice: Lattice, factors: Sequence[int] = (), times: Any = None
    ) -> Float[Tensor, "B T *F"] | None:
        """What this cascade knows of the time of fields (:func:`~rgdm.data.clock.clock_of`); None: nothing."""
        if self.clock is None:
            return None
        return clock_of(field, count, self.clock.cycles, self.grid.names, lattice, factors, times)

    def normalise(self, x: Tensor | np.ndarray, level: int = 0) -> Float[Tensor, "B C *L"]:
        """User's block means at ``level``, ``(B, C, *L)``, to the normalised orthonormal field."""
        one = constant(self.operator, self.grid, x := floating(x), level)
        return self.units.normalise(x, self.operator.gain_to(self.dimension, level), one)

    def normalised(self, fields: Fields) -> Fields:
        """The same fields, and their companions, normalised."""
        return Fields(self.normalise(fields.values), self.normalised_place(fields.place))

    def normalised_place(self, place: Setting) -> Setting:
        """A place whose companions, in the user's units, are normalised."""
        self.check_companions(place)
        if place.companions is None or self.companions is None:
            return place
        return replace(place, companions=self.companions.normalise(place.companions))

    def denormalise(self, x: Tensor | np.ndarray) -> Float[Tensor, "B C *L"]:
        """The normalised field of level 0, ``(B, C, *L)``, in the user's units."""
        return self.units.denormalise(floating(x))

    def dofs(self, lattice: Lattice) -> list[int]:
        """Degrees of freedom of each level's detail, the finest first, and of the base field."""
        sizes = [math.prod(self.operator.coarse_lattice(lattice, i)) * self.channels for i in range(self.levels + 1)]
        return [a - b for a, b in itertools.pairwise(sizes)] + [sizes[-1]]

    def depth(self, levels: int | None) -> int:
        """How many levels to refine: all, or as many as are asked for."""
        if levels is not None and not 1 <= levels <= self.levels:
            raise InputError(f"levels is {levels}; this model has lifts for 1 to {self.levels} levels")
        return self.levels if levels is None else levels

    def check_texture(self, lattice: Lattice, levels: int) -> None:
        """``ValueError`` if the coarsest field is too small for the scattering that the networks are shown."""
        condition = self.own_lift(0).condition
        if condition is not None and condition.texture is not None:
            condition.texture.scattering.check(self.operator.coarse_lattice(lattice, levels))

    def check_companions(self, place: Setting) -> None:
        """``ValueError`` if there are not as many companions as the cascade was made for, or not its clock."""
        given = 0 if place.clock is None else place.clock.shape[1]
        if given != (0 if self.clock is None else self.clock.count):
            cycles = "no clock" if self.clock is None else f"the clock of the {' and the '.join(self.clock.cycles)}"
            raise InputError(
                f"this model knows {cycles}, and the place of the fields has {given} cosines and sines of the time; "
                "rgdm.data.clock.clock_of makes those of fields with dates"
            )
        found = 0 if place.companions is None else place.companions.shape[1]
        needed = 0 if self.companions is None else len(self.companions.mean)
        if found != needed:
            names = [str(each["name"]) for each in self.metadata.get("companions", [])]
            which = f" ({', '.join(names)})" if names else ""
            raise InputError(f"{found} companions are given; this model knows {needed}{which}, beside the field")

    def check_gaps(self, x: Tensor, what: str) -> None:
        """``ValueError`` if values are infinite, or missing where this design takes none that are."""
        wrong = ~x.isfinite() if not self.takes_gaps else x.isinf()
        if bool(wrong.any()):
            raise InputError(
                f"{int(wrong.sum())} of {x.numel()} values of {what} are not finite; fill them first "
                "(rgdm.data.checks.fill_gaps), or mark what is missing by NaN for a model of block spins "
                "(one factor along all axes) by diffusion, without scattering and sweep, which leaves it missing"
            )

    def _sampler(self, evaluations: int | None) -> Sampler:
        check_range("evaluations", self.sampler.evaluations if evaluations is None else evaluations)
        return self.sampler if evaluations is None else self.sampler.spending(evaluations)

    # --- storage ---------------------------------------------------------------------------

    def state(self) -> Iterator[tuple[str, Tensor]]:
        """Every parameter and buffer once, shared networks under their first name."""
        yield from self.named_parameters()
        yield from self.named_buffers()

    @property
    def configuration(self) -> dict[str, Any]:
        """What makes an equal untrained model, as JSON holds it."""
        parts = {"design": self.design.to_json(), "grid": self.grid.to_json()}
        companions = 0 if self.companions is None else len(self.companions.mean)
        return {
            **parts,
            "channels": self.channels,
            "repetition": self.repetition.to_json(),
            "companions": companions,
            "clock": [] if self.clock is None else [*self.clock.cycles],
        }

    def save_pretrained(self, path: str | Path) -> None:
        """Write ``config.json`` and ``model.safetensors`` into a folder, each atomically."""
        storage.save(Path(path), self.configuration, self.metadata, dict(self.state()))

    @classmethod
    def from_pretrained(cls, path: str | Path) -> "Cascade":
        """Read a model: a folder, the name of one that ships with the package, or a Hugging Face repository."""
        configuration, metadata = storage.read_config(folder := storage.locate(path))
        try:
            keys = ("design", "grid", "channels", "repetition", "companions", "clock")
            check_keys("the configuration", configuration, keys)
            design, grid = Design.from_json(configuration["design"]), Grid.from_json(configuration["grid"])
            repetition = Repetition.from_json(configuration["repetition"], design.levels)
            rest = repetition, configuration["companions"], configuration["clock"]
            with torch.random.fork_rng(devices=[]), storage.allowance(folder):  # the caller's seed stays as it is
                model = cls(design, grid, configuration["channels"], *rest)
        except MissingPackageError:
            raise
        except InputError as error:
            raise InputError(f"{folder / 'config.json'} does not describe a cascade: {error}") from None
        storage.read_weights(folder, dict(model.state()))
        model.metadata = metadata
        return model.eval()
