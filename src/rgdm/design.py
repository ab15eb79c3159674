"""What a cascade is designed to be: the settings that the command line and the saved configuration share."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, TypeVar, get_args

from rgdm.errors import InputError
from rgdm.notes import option
from rgdm.ranges import check_choice, check_flag, check_keys, check_options, shown

FixedOperator = Literal["block-spin", "haar", "db2", "db4", "sym4", "momentum-shell", "decimation", "quincunx"]
Operator = Literal[FixedOperator, "learned-4", "learned-8", "lifting"]
BackboneKind = Literal["conv", "unet", "dit", "fno"]
Boundary = Literal["periodic", "reflect"]
Factor = int | tuple[int, ...]
"""Of an axis: how many sites become one, one number for all levels or one for each, the finest first."""
LiftKind = Literal["diffusion", "flow"]
Cycle = Literal["year", "day"]
Objective = Literal["velocity", "noise", "data", "energy"]
"""What training brings down: the squared error of a denoiser in one of three quantities, or the score of samples."""
BEND = 0.35
Value = TypeVar("Value")


@dataclass(frozen=True)
class Design:
    """All that is decided about a cascade before anything is measured; the grid and the channels come with the data."""

    levels: int = 3
    """How often the field is coarse-grained by the factor."""
    operator: Operator = "block-spin"
    """The coarse-graining of every level; learned-4, learned-8 (wavelets) and lifting are learned from the fields
    first."""
    positive: bool | None = None
    """Values are never negative (rain, concentrations): a block shares its mass among its sites, so that sums are exact
    and dry blocks stay dry. None is as False, but for ``rgdm train``, which looks at the data."""
    shared: bool = True
    """One network for all levels (fields that look alike on all scales), or one for each. Levels of different factors
    have different details: those of equal factors share one."""
    backbone: tuple[BackboneKind, ...] = ("conv",)
    """What the networks are: one for all levels, or one for each, the finest first (with --no-shared). conv is local;
    unet, dit and fno see the whole field (pip install 'rgdm[backbones]')."""
    width: tuple[int, ...] = (32,)
    """Features of a layer, 1 to 4096: one number for all levels, or one for each, the finest first (--no-shared)."""
    encoder_blocks: int = 3
    """Depth of the part that reads the coarse field, evaluated once a level."""
    decoder_blocks: int = 2
    """Depth of the part that every sampling step evaluates."""
    evaluations: int | None = None
    """Network evaluations a level that the model will use; None: the fewest that make fields as good as 16 do,
    measured at the end of training (1 with --objective energy)."""
    objective: Objective = "velocity"
    """In which quantity the squared error is taken; or energy, the score of samples: with --evaluations 1 (or 2) a
    model that needs no more of them, and has no likelihood."""
    lift: LiftKind = "diffusion"
    """Diffusion, or an invertible flow: its samples and likelihoods cost one pass, its fields are less good.
    (--evaluations and --objective then have no effect.)"""
    bend: float = BEND
    """How much heavy tails of the detail may be bent before they are learned; 0 for values that are bounded."""
    scattering: int = 0
    """Show the networks the texture of the coarse field too: local wavelet scattering of so many scales (2 suits the
    terrain that ships; 0: none; 1 or 2 dimensions)."""
    sweep: bool = False
    """Also learn the law of a site given its neighbours: `rgdm sample --sweeps` then puts local structure right."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value, each = getattr(self, field.name), isinstance(field.default, tuple)
            if isinstance(value, tuple | list | dict) != each:
                wanted = "a sequence, of one for all levels or one for each," if each else "one value"
                raise InputError(f"{field.name} = {shown(value)}; {wanted} is needed")
        check_choices(asdict(self))
        for name in ("shared", "sweep", *(["positive"] if self.positive is not None else [])):
            check_flag(name, getattr(self, name))
        check_options(self, complete=True)
        backbones, widths = self.backbones, self.widths
        plain = self.lift != "flow" and self.objective != "energy" and not self.scattering and not self.sweep
        if self.positive and not (plain and self.operator == "block-spin"):
            raise InputError(
                f"positive fields go with {option('--operator block-spin')} and {option('--lift diffusion')}, without "
                f"energy, scattering and sweeps ({option('--no-positive')} lets values be negative)"
            )
        if self.positive and self.bend != BEND:
            raise InputError(f"bend = {self.bend}; shares of mass have no tails to be bent, leave it at {BEND}")
        if self.shared and (len(set(backbones)) > 1 or len(set(widths)) > 1):
            raise InputError(
                f"backbones {', '.join(backbones)} of widths {', '.join(map(str, widths))}; a shared network "
                f"has one of each: train without sharing ({option('--no-shared')})"
            )

    @property
    def backbones(self) -> tuple[BackboneKind, ...]:
        """The backbone of each level, the finest first."""
        return _of_levels("backbone", self.backbone, self.levels)

    @property
    def widths(self) -> tuple[int, ...]:
        """The width of each level, the finest first."""
        return _of_levels("width", self.width, self.levels)

    @property
    def sampling_steps(self) -> int:
        """Network evaluations a level; of a model that was not measured 3, or 1 if it learned the score of samples."""
        if self.evaluations is not None:
            return self.evaluations
        return 1 if self.objective == "energy" else 3

    @property
    def has_density(self) -> bool:
        """Whether there is a likelihood: not of models that are trained by the score of their samples."""
        return not self.positive and (self.objective != "energy" or self.lift == "flow")

    @property
    def takes_gaps(self) -> bool:
        """Whether values may be missing, on axes of one factor: of block means by diffusion with local features."""
        plain = self.operator == "block-spin" and self.lift == "diffusion" and self.objective != "energy"
        return plain and not (self.scattering or self.sweep)

    def to_json(self) -> dict[str, Any]:
        """As plain numbers, words and lists."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, settings: Any) -> "Design":
        """The design that :meth:`to_json` describes; every setting must be there, and none besides."""
        check_keys("design", settings, [field.name for field in fields(cls)])
        check_choices(settings)
        plain: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in settings.items()}
        return cls(**plain)


def check_choices(settings: Mapping[str, Any]) -> None:
    """Raise ``InputError`` if one of several known ways is none of them."""
    for name, known in (
        ("operator", Operator),
        ("objective", Objective),
        ("lift", LiftKind),
        ("backbone", BackboneKind),
    ):
        given = settings[name]
        for kind in given if isinstance(given, list | tuple) else [given]:
            check_choice(name, kind, get_args(known))


def _of_levels(name: str, values: Sequence[Value], levels: int) -> tuple[Value, ...]:
    """One for each level, the finest first."""
    if len(values) not in (1, levels):
        raise InputError(f"{len(values)} values of {name} for {levels} levels; give one for all, or one for each")
    return tuple(values) * (levels if len(values) == 1 else 1)
