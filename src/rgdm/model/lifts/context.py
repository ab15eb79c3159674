"""What a lift is told beside its noise: the coarse field, and whatever else is known."""

from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from rgdm.model.closed_form.gaps import smoothly_filled
from rgdm.model.lifts.setting import NOWHERE, Setting
from rgdm.scale.boundary import Boundaries
from rgdm.scale.coarse_graining import CoarseGraining


@dataclass(frozen=True)
class Context:
    """All that is known of a field at one level, before its detail.

    Args:
        coarse: the coarse field, ``(B, C, *K)``, normalised and in the orthonormal convention.
        setting: the measure and the companions of the fine field. Without weight a coarse site has no value, and a
            detail is 0.
        present: 1 for every detail that there is, else 0, ``(B, D, *K)``; None: all of them are.
        beside: what is known of companions and the time, ``(B, E, *K)``; None: nothing. :meth:`known` finds both.
    """

    coarse: Tensor
    setting: Setting = NOWHERE
    present: Tensor | None = None
    beside: Tensor | None = None

    @classmethod
    def of(
        cls, fine: Float[Tensor, "B C *F"], operator: CoarseGraining, setting: Setting = NOWHERE
    ) -> tuple["Context", Float[Tensor, "B D *K"]]:
        """A fine field taken apart: its context and its detail."""
        coarse, detail = setting.on(operator).split(fine)
        return cls(coarse, setting), detail

    def known(self, operator: CoarseGraining, boundary: Boundaries) -> "Context":
        """The same with smooth values where the coarse field has none, what details there are, and what is beside."""
        if self.beside is None and self.setting.parts[1:] != (None, None):
            return replace(self, beside=self.setting.features(operator, len(self.coarse))).known(operator, boundary)
        if self.setting.weights is None or self.present is not None:
            return self
        on = self.setting.on(operator)
        if on.present is None:
            return self
        assert on.coarse_weights is not None
        coarse = smoothly_filled(self.coarse, on.coarse_weights, boundary)
        bands = operator.bands(coarse.dim() - 2)
        present = on.present.to(coarse).unflatten(1, (-1, bands))
        present = present.expand(len(coarse), coarse.shape[1], *present.shape[2:]).flatten(1, 2)
        return replace(self, coarse=coarse, present=present)

    def coarsen(self, operator: CoarseGraining) -> "Context":
        """The context one level farther up: everything in it is coarse-grained like the field itself."""
        setting = self.setting.coarsen(operator)
        return Context(setting.on(operator).coarsen(self.coarse), setting)

    def to(self, like: Tensor) -> "Context":
        """In the precision and on the device of a tensor."""
        present, beside = (None if part is None else part.to(like) for part in (self.present, self.beside))
        setting = self.setting.to(like)
        return replace(self, coarse=self.coarse.to(like), setting=setting, present=present, beside=beside)
