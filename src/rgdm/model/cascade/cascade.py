"""The cascade: a base model at the coarsest level and a lift for every finer one."""

import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.data.layout import unwrap
from rgdm.errors import InputError
from rgdm.model.cascade import storage
from rgdm.model.cascade.levels import TOGETHER, Levels
from rgdm.model.lifts.likelihood import Likelihood, LogProb, TooManyDetailsError, signs
from rgdm.model.networks.everywhere import MissingPackageError
from rgdm.process.noise import NoiseField
from rgdm.scale.coarse_graining import Lattice, check_lattice_depth
from rgdm.scale.operators.learned import Learned

Watch = Callable[[int, int], None]
"""Called as ``watch(done, total)`` while fields are made."""


class Cascade(Levels):
    """An inverse renormalization group: ``x_L -> x_{L-1} -> ... -> x_0``, coarse to fine.

    ``levels`` lifts stand on a base model of the coarsest field. With ``shared`` all lifts
    use one network, which is told the level, each in the units of its own level (its own prediction,
    amplitude and spectrum), as suits fields that look alike on all scales; otherwise each has
    its own. At the public edge fields are in the user's units and coarse fields are block means.

    Its arguments are those of :class:`~rgdm.model.cascade.levels.Levels`.
    """

    # --- learning --------------------------------------------------------------------------

    @torch.no_grad()
    def fit(self, x: Float[Tensor, "B C *L"], watch: Watch | None = None) -> None:
        """Measure everything that has a closed form: units, Gaussian lifts, amplitudes, base. Seconds.

        A coarse-graining that is learned is learned first, by its code length.
        """
        if self.repetition.times:
            raise InputError("an enlarged cascade is not measured; fit the one it was made of")
        check_lattice_depth(self.operator, tuple(x.shape[2:]), self.levels)
        self.check_texture(tuple(x.shape[2:]), self.levels)
        pooled = x.double().movedim(1, 0).flatten(1)
        if not bool(pooled.isfinite().all()) or not bool((pooled.amax(1) > pooled.amin(1)).all()):
            raise InputError("a channel of the fields is constant or has values that are not finite; drop or fill it")
        self.mean.copy_(pooled.mean(1))
        self.scale.copy_(pooled.std(1))
        fine = self.normalise(x)
        if isinstance(self.operator, Learned):
            with torch.enable_grad():
                self.operator.learn(fine.to(self.dtype), self.levels)
        for level in range(self.levels):
            self.own_lift(level).fit(fine)
            fine = self.operator.coarsen(fine)
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
        """log p of fields in the user's units: the sum over levels, for the split keeps volumes.

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
            raise InputError(f"{int((~x.isfinite()).sum())} of {x.numel()} values are not finite; drop or fill them")
        if probes is not None and probes < 1:
            raise InputError(f"probes is {probes}; at least 1 is needed, or None to compute the divergence")
        check_lattice_depth(self.operator, tuple(x.shape[2:]), depth)
        fine, parts = self.normalise(x.double()), []
        hottest = 1.0 if levels is None else math.inf  # as in what is made from nothing: see _descend
        for level in range(depth):
            lift, (coarse, detail) = self.lift(level), self.operator.split(fine)
            random = None if probes is None else signs(detail, probes, 1000 * seed + level)
            try:
                known = lift.log_prob(fine, random, tolerance, hottest) if networks else None
                parts.append(known or lift.untrained_log_prob(fine, hottest))
            except TooManyDetailsError as error:
                raise InputError(f"level {level}: {error}; pass probes=2 or more, or networks=False") from None
            fine = coarse
            if watch:
                watch(level + 1, depth)
        dofs, size = self.dofs(tuple(x.shape[2:])), self.repetition.scale(self.levels)
        base = (
            LogProb.without_error(self.base.log_prob(fine / size) - dofs[-1] * math.log(size))
            if levels is None
            else None
        )
        dofs = dofs if levels is None else dofs[:depth]
        units = -float(self.scale.log().mean()) * sum(dofs)
        return Likelihood(parts, base, units, dofs)

    # --- the flow and its inverse ----------------------------------------------------------

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
        self.check_texture(lattice, self.levels)
        if sweeps < 0 or (sweeps and self.sweep is None):
            raise InputError(
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
            raise InputError(f"members is {members}; at least one is needed")
        field, layout = unwrap(coarse, self.channels, self.dimension, self.metadata.get("channels", ()))
        if not bool(field.isfinite().all()):
            raise InputError(
                f"{int((~field.isfinite()).sum())} of {field.numel()} values of the coarse field are not finite; "
                "fill them first (rgdm.data.validity.check_finite with fill=True)"
            )
        self.check_texture(tuple(n * self.operator.factor**levels for n in field.shape[2:]), levels)
        total, noise, factor = members * len(field), NoiseField(seed), self.operator.factor**levels
        fine = field.new_empty(total, self.channels, *(n * factor for n in field.shape[2:]))
        for some in _together(total, tuple(fine.shape[2:])):
            which, member = torch.arange(some.start, some.stop) % len(field), [i // len(field) for i in some]
            given = field[which.to(field.device)].to(self.mean.device)
            streams = [index * 2**32 + m for index, m in zip(which.tolist(), member, strict=True)]
            x = self._descend(self.normalise(given, levels), levels, streams, noise, evaluations)
            fine[some.start : some.stop] = self._settle(self.denormalise(x), given, levels).to(fine)
            if watch:
                watch(some.stop, total)
        return layout.wrap(fine.unflatten(0, (members, len(field))), factor, self.operator.place_after(levels))

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
            lattice, bands = tuple(x.shape[2:]), self.channels * self.operator.bands(self.dimension)
            white = torch.stack([noise.window(s, level, 0, bands, lattice) for s in streams])
            white = white.to(x.device) if tempered else white.to(x.device) / self.lift(level).temperature.clamp(min=1)
            x = self.lift(level).sample(x, white, sampler)
        return x

    # --- larger than what was trained on -----------------------------------------------------

    def enlarged(self, times: int, growth: float | Iterable[float], level: int = 2) -> "Cascade":
        """The same cascade with the lift of one level repeated: fields ``factor^times`` times as wide.

        An inverse renormalization group near its fixed point, where all levels have the same law but for the size of
        the field, which grows by ``growth = factor^((2 - eta) / 2) = factor^(y_h - d/2)`` a level;
        :func:`~rgdm.physics.mcrg.field_exponent` measures y_h on the training fields. The levels nearest to the
        lattice spacing are not yet there: repeat the third, of ``level`` 2, or a coarser one, and where the growth
        still changes give it from one level to the next, the first from ``level``; the last value serves all that
        follow. For fields that are scale-free up to their own size, on a periodic lattice.
        """
        if self.repetition.times:
            raise InputError("this cascade is enlarged already; enlarge the one it was made of")
        if not 0 <= level < self.levels or times < 1:
            raise InputError(f"level = {level}, times = {times}; a level of 0 to {self.levels - 1}, once or more")
        growths = [float(each) for each in (growth if isinstance(growth, Iterable) else [growth])]
        settings: dict[str, Any] = self.configuration | {"repetition": [level, times, *growths]}
        larger = Cascade(**settings).to(self.mean.device, self.dtype)
        own = dict(self.state())
        for name, tensor in larger.state():
            tensor.data = own[name].data  # one set of weights for both
        larger.metadata = self.metadata
        return larger.eval()

    # --- storage ---------------------------------------------------------------------------

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
        except MissingPackageError:
            raise
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"{folder / 'config.json'} does not describe a cascade: {error}") from None
        storage.read_weights(folder, dict(model.state()))
        model.metadata = metadata
        return model.eval()


def _together(count: int, lattice: Lattice) -> Iterator[range]:
    """The numbers of the fields that are made at a time."""
    size = max(1, TOGETHER // math.prod(lattice))
    for first in range(0, count, size):
        yield range(first, min(first + size, count))
