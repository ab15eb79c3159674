"""Lifts: p(detail | context), merged exactly. What makes the inverse renormalization group stochastic."""

import abc

from jaxtyping import Float
from torch import Tensor, nn

from rgdm.errors import InputError
from rgdm.model.closed_form.gaps import filling_reach
from rgdm.model.closed_form.tails import per_band
from rgdm.model.laws.likelihood import TRACED, LogProb, Tracing
from rgdm.model.lifts.context import Context
from rgdm.model.lifts.setting import NOWHERE, Setting
from rgdm.model.lifts.window import region
from rgdm.model.samplers.sampler import Draw, Sampler
from rgdm.process.noise import Noise, Window
from rgdm.scale.boundary import Boundary
from rgdm.scale.coarse_graining import CoarseGraining


class Lift(nn.Module, abc.ABC):
    """A conditional law of the detail given its context, for one coarse-graining: the one protocol of all lifts.

    ``sample`` merges what it draws, so ``coarsen(sample(context, ...)) == context.coarse`` to round-off, whatever the
    law. Fields are normalised and in the orthonormal convention. Samples are differentiable in their noise and context.
    """

    operator: CoarseGraining
    boundaries: tuple[Boundary, ...]
    temperature: Tensor
    """What multiplies the noise that a sample about a given field starts from, for each channel of the field; fitted by
    calibration."""
    free_temperature: Tensor
    """The same in fields that come from nothing."""

    @staticmethod
    def of_details(temperature: Float[Tensor, " C"], like: Float[Tensor, "B D *K"]) -> Float[Tensor, " D"]:
        """The temperature of each channel of the detail, from that of the field's."""
        return temperature.repeat_interleave(like.shape[1] // len(temperature))

    def free_noise(self, noise: Noise) -> Noise:
        """Noise with which this lift samples as if its temperature were that of fields from nothing."""

        def scaled(draw: int, channels: int, window: Window) -> Tensor:
            white = noise(draw, channels, window)
            if draw > 0:
                return white
            return per_band(self.of_details(self.free_temperature / self.temperature, white), white) * white

        return scaled

    @abc.abstractmethod
    def detail(
        self, context: Context, noise: Float[Tensor, "B D *K"], sampler: Sampler | None = None, draw: Draw | None = None
    ) -> Float[Tensor, "B D *K"]:
        """A sample of the detail made from unit noise; a stochastic sampler takes more from ``draw``."""

    @abc.abstractmethod
    def reach(self, sampler: Sampler | None = None) -> int | None:
        """How many coarse sites away a sample looks at its context and its noise; None: everywhere."""

    @abc.abstractmethod
    def log_prob(
        self,
        fine: Float[Tensor, "B C *F"],
        tracing: Tracing = TRACED,
        free: bool = False,
        networks: bool = True,
        setting: Setting = NOWHERE,
    ) -> LogProb:
        """log p(detail | coarse) of fine fields, in nats; the split keeps volumes, so no Jacobian of it enters.

        Args:
            fine: the fields.
            tracing: how a law whose density needs the divergence of a network has it.
            free: at the temperature of fields that come from nothing.
            networks: False: of the closed-form part alone, z being white noise: the reference for the networks.
            setting: the measure and the companions of the fields.
        """

    def sample(
        self, context: Context, noise: Noise, window: Window, sampler: Sampler | None = None
    ) -> Float[Tensor, "B C *F"]:
        """A fine field that coarsens to ``context.coarse``; where its weight is 0, it is 0.

        ``window`` says which coarse sites the context holds: there the noise is asked for. Draw 0 is what the sample
        starts from, draws 1, 2, ... are those of the steps of a stochastic sampler. The field keeps the precision of
        the coarse one.
        """
        coarse = context.coarse
        details = coarse.shape[1] * self.operator.bands(coarse.dim() - 2)

        def draw(number: int) -> Tensor:
            white = noise(number, details, window)
            shape = len(coarse), details, *coarse.shape[2:]
            if white.shape != shape:
                raise InputError(f"the noise has the shape {tuple(white.shape)}; these coarse fields need {shape}")
            return white.to(coarse.device)

        detail = self.detail(context, draw(0), sampler, lambda step: draw(1 + step))
        return context.setting.on(self.operator).merge(coarse, detail.to(coarse))

    def sample_window(
        self, context: Context, noise: Noise, window: Window, sampler: Sampler | None = None
    ) -> Float[Tensor, "B C *F"]:
        """The part of ``sample`` that lies in a window of coarse sites, made from that part and its halo alone.

        ``context`` is that of the whole lattice. The halo is :meth:`reach` sites wide; at a reflecting edge of the
        lattice it ends, across a periodic one it wraps around.

        Raises:
            ValueError: if the lift looks everywhere, or if the window is not inside the lattice.
        """
        lattice = tuple(context.coarse.shape[2:])
        reach = self.reach(sampler)
        if reach is not None and context.setting.weights is not None:
            reach += filling_reach()
        part = region(window, reach, lattice, self.boundaries)
        inner = part.cut(context, self.operator)
        fine = self.sample(inner, part.noise(noise), part.window, sampler)
        return part.crop(fine, self.operator)
