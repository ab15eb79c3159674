"""The command line as frozen dataclasses: each command is one class, each field one option."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from rgdm.design import Boundary, Cycle, Design, Factor, FixedOperator

Paths = Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FIELD...", help_behavior_hint="")]
SAID = tyro.conf.arg(help_behavior_hint="")
"""The sentence itself says the default."""
NUMBER_SAID, COUNT_SAID, PATH_SAID = (
    tyro.conf.arg(metavar=metavar, help_behavior_hint="") for metavar in ("FLOAT", "INT", "PATH")
)
FLAG = tyro.conf.arg(metavar="", help_behavior_hint="")
"""Of three values: given, given with no- before its name, or not given (:func:`rgdm.cli.flags`)."""
NAMES = tyro.conf.arg(metavar="NAME,NAME", help_behavior_hint="")
FILE_SAID = tyro.conf.arg(metavar="FILE[:NAME]", help_behavior_hint="")
FILES = tyro.conf.arg(metavar="FILE[:NAME,NAME]", help_behavior_hint="")
NAME = tyro.conf.arg(metavar="NAME", help_behavior_hint="")


def typed_factor(factor: Factor) -> str:
    """A factor as it is typed: a number, or those of levels with commas between them."""
    return str(factor) if isinstance(factor, int) else ",".join(map(str, factor))


def _read_factor(words: list[str]) -> Factor:
    """What :func:`typed_factor` writes."""
    levels = tuple(int(part) for part in words[0].split(","))
    return levels if "," in words[0] else levels[0]


FACTOR = tyro.constructors.PrimitiveConstructorSpec(
    nargs=1,
    metavar="INT[,INT...]",
    instance_from_str=_read_factor,
    is_instance=lambda value: isinstance(value, int | tuple),
    str_from_instance=lambda factor: [typed_factor(factor)],
)


@dataclass(frozen=True)
class AskedDesign(Design):
    """A design as the command line asks for it."""

    positive: Annotated[bool | None, FLAG] = None
    """Values are never negative (rain, concentrations): a block shares its mass among its sites, so that sums are exact
    and dry blocks stay dry; --no-positive: they may be (default: as the data are, where often 0). None is missing."""


DESIGN = AskedDesign()


@dataclass(frozen=True)
class Train:
    """Train a cascade on one or more fields (NetCDF, Zarr, npy, npz, folders of images)."""

    fields: Paths
    """Files of the same variable and lattice; further axes (time, member) are samples."""
    out: Path
    """The model folder to write."""
    variable: Annotated[str | None, NAME] = None
    """Which variable to take; several, separated by commas, become channels."""
    axes: Annotated[str | None, NAMES] = None
    """Names of the lattice axes, such as lat,lon (default: found by their attributes and names)."""
    minutes: Annotated[float | None, NUMBER_SAID] = None
    """Train for this long (default: 5, unless --steps is given); measuring and calibrating come on top."""
    steps: Annotated[int | None, COUNT_SAID] = None
    """Train for this many steps instead; bitwise reproducible."""
    dimension: Literal[1, 2, 3] = 2
    """How many axes the lattice has."""
    boundary: Annotated[tuple[Boundary, ...], SAID] = ()
    """What lies beyond the edges of the fields, periodic or reflect: one for all axes, or one for each, in their order
    (default: as the file says, else reflect)."""
    factor: tuple[Annotated[Factor, FACTOR], ...] = (2,)
    """How many sites along an axis become one at a level: one number for all axes, or one for each; 1 leaves it
    alone. 2,3 instead of a number: 2 at the finest level, 3 at the next (refinement by 6)."""
    design: Annotated[Design, tyro.conf.arg(name="")] = DESIGN
    hold_back: Literal["auto", "samples", "space"] = "auto"
    """What the training does not see and its weights are chosen by: samples, for use at the same place, or a part of
    space, for use elsewhere; auto: samples if there are eight."""
    mirror: bool = True
    """Show mirrored and transposed fields too, as far as they are like the fields: it is looked at whether axes, or up
    and down, left and right differ, and said if so. Switch off where they do and it is not seen."""
    learning_rate: float = 2e-3
    """Peak learning rate."""
    seed: int = 0
    """Seed of initial weights and of batches."""
    device: str = "auto"
    """auto, cpu or cuda."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of training; auto takes bfloat16 where the hardware has it."""
    areas: Annotated[str | None, FILE_SAID] = None
    """A file of the areas of cells, by which block means are weighted; none: cells count alike (default: as latitudes
    say, where an axis is one)."""
    static: Annotated[tuple[str, ...], FILES] = ()
    """Files of fields that are known at full resolution, such as orography: FILE, or FILE:NAME,NAME of its
    variables."""
    given: Annotated[str | None, NAMES] = None
    """Variables of the fields' own files that inform detail, and are known as coarse as the coarsest level."""
    clock: Annotated[tuple[Cycle, ...], tyro.conf.arg(metavar="year|day ...", help_behavior_hint="")] = ()
    """Detail differs with the time of the year or of the day at each site, by the fields' dates in UTC and their
    longitudes: year, day or both."""
    fill: bool = False
    """Fill missing values with the nearest valid one, rather than leave them missing (only block-spin can)."""
    crop: bool = False
    """Cut a lattice that factor^levels does not divide to the largest part that it does (default: refuse it)."""
    force: bool = False
    """Go on where files disagree in what they say of themselves (units, spacing), taking values as they are."""
    checkpoint_seconds: float = 55.0
    """Time between two checkpoints."""
    resume: bool = False
    """Go on from the checkpoint in the model folder."""
    overwrite: bool = False
    """Replace an existing model folder."""


@dataclass(frozen=True)
class Sample:
    """Generate new fields of any size."""

    model: Annotated[str, tyro.conf.Positional]
    """A model folder, or the name of one that ships (terrain)."""
    lattice: tuple[int, ...]
    """Sites along each axis."""
    out: Path
    """Where to write: .zarr, .nc, .npy or .npz."""
    count: int = 1
    """How many fields."""
    seed: int = 0
    """The same seed gives the same fields."""
    evaluations: Annotated[int | None, COUNT_SAID] = None
    """Network evaluations a level (default: the model's own)."""
    sweeps: int = 0
    """Sweeps of the learned law of single sites, of a model trained with --sweep."""
    device: str = "auto"
    """auto, cpu or cuda."""
    overwrite: bool = False
    """Replace an existing output."""


@dataclass(frozen=True)
class Refine:
    """Refine a coarse field into an ensemble of fine ones that have exactly its block means."""

    model: Annotated[str, tyro.conf.Positional]
    """A model folder, or the name of one that ships (terrain)."""
    coarse: Annotated[Path, tyro.conf.Positional]
    """The coarse field, block means in the units of the training data."""
    out: Path
    """Where to write: .zarr, .nc, .npy, .npz or GeoTIFF (.tif)."""
    variable: Annotated[str | None, NAME] = None
    """Which variable of the file to take."""
    axes: Annotated[str | None, NAMES] = None
    """Names of the lattice axes, such as lat,lon (default: found by their attributes and names)."""
    levels: Annotated[int | None, COUNT_SAID] = None
    """How many levels finer (default: all of the model's)."""
    members: int = 16
    """Size of the ensemble."""
    seed: int = 0
    """The same seed gives the same ensemble."""
    evaluations: Annotated[int | None, COUNT_SAID] = None
    """Network evaluations a level (default: the model's own)."""
    mask: Annotated[Path | None, PATH_SAID] = None
    """A file, or FILE:NAME of one variable, that is 1 where a fine cell is there and 0 where it is missing, as at sea
    and on land (default: all are there where the coarse field is)."""
    areas: Annotated[str | None, FILE_SAID] = None
    """A file of the areas of the fine cells, by which the coarse field is weighted; none: cells count alike (default:
    as the model was trained)."""
    static: Annotated[tuple[str, ...], FILES] = ()
    """Files of the static fields that the model was trained beside, on the fine lattice: FILE or FILE:NAME,NAME."""
    given: Annotated[Path | None, PATH_SAID] = None
    """A file of the variables that inform detail, on the coarse lattice (default: that of the coarse field)."""
    persistence: bool = True
    """Fields that follow each other in time share noise as those of the training do, so that films do not flicker;
    switch off for independent ones."""
    device: str = "auto"
    """auto, cpu or cuda."""
    fill: bool = False
    """Fill missing values with the nearest valid one, rather than leave them missing (only block-spin can)."""
    force: bool = False
    """Go on where the file is not like the training data (variable, unit, spacing, boundary), taking it as it is."""
    overwrite: bool = False
    """Replace an existing output."""


@dataclass(frozen=True)
class Debias:
    """Correct coarse values that are no block means of the truth, as those of a climate model, by quantile mapping."""

    model_output: Annotated[Path, tyro.conf.Positional]
    """The model's values of a reference period."""
    like: Path
    """Observed values of the same period on the same cells, such as block means of the training data."""
    out: Path
    """Where to write what was corrected: .zarr, .nc, .npy, .npz or GeoTIFF (.tif)."""
    apply: Annotated[Path | None, PATH_SAID] = None
    """Other output of the same model to correct, such as a scenario (default: MODEL_OUTPUT itself)."""
    variable: Annotated[str | None, NAMES] = None
    """Which variables; NAME=OTHER where the observed one has another name (default: all that both files have)."""
    group: Literal["month", "season", "none"] = "month"
    """A mapping for each month, for each season (December to February and so on), or one for all times."""
    pooled: bool = False
    """One mapping for all cells, rather than one for each."""
    quantiles: int = 50
    """How many are matched, the extremes among them; linear between, and their correction beyond."""
    kind: Annotated[
        Literal["additive", "multiplicative"] | None,
        tyro.conf.arg(metavar="{additive,multiplicative}", help_behavior_hint=""),
    ] = None
    """Correct by differences, or by factors, which keep what is never negative so and dry as often as observed
    (default: by factors if observed values are never negative and often 0)."""
    method: Literal["delta", "value"] = "delta"
    """delta keeps what changes from MODEL_OUTPUT to --apply at each quantile, and needs as long a sample; value maps
    each value as its like in MODEL_OUTPUT, single days too."""
    wet: Annotated[float | None, NUMBER_SAID] = None
    """Values below it are dry, where factors are used (default: a hundredth of the observed mean)."""
    seed: int = 0
    """Seed of the draw which dry values become wet, where the model is dry too often."""
    force: bool = False
    """Go on where files disagree in what they say of themselves (units, steps of time), taking values as they are."""
    overwrite: bool = False
    """Replace an existing output."""


@dataclass(frozen=True)
class Evaluate:
    """Coarsen a field the model has not seen, refine it again, and judge the ensemble against the truth."""

    model: Annotated[str, tyro.conf.Positional]
    """A model folder, or the name of one that ships (terrain)."""
    field: Annotated[Path, tyro.conf.Positional]
    """The true fine field."""
    out: Annotated[Path | None, PATH_SAID] = None
    """A folder for the scores and pictures' data (default: none are kept)."""
    variable: Annotated[str | None, NAME] = None
    """Which variable of the file to take."""
    axes: Annotated[str | None, NAMES] = None
    """Names of the lattice axes, such as lat,lon (default: found by their attributes and names)."""
    levels: Annotated[int | None, COUNT_SAID] = None
    """How many levels to coarsen and refine (default: all of the model's)."""
    members: int = 16
    """Size of the ensemble."""
    seed: int = 0
    """The same seed gives the same ensemble."""
    evaluations: Annotated[int | None, COUNT_SAID] = None
    """Network evaluations a level (default: the model's own)."""
    thresholds: Annotated[tuple[str, ...], SAID] = ()
    """Values above which area, boundary, islands and lakes are compared, such as 0,-1000 (default: quantiles)."""
    frames: bool = False
    """The samples are consecutive frames: also judge what lasts from frame to frame; errors are over blocks of time."""
    areas: Annotated[str | None, FILE_SAID] = None
    """A file of the areas of cells, by which block means and scores are weighted; none: cells count alike (default: as
    the model was trained)."""
    static: Annotated[tuple[str, ...], FILES] = ()
    """Files of the static fields that the model was trained beside: FILE or FILE:NAME,NAME."""
    given: Annotated[Path | None, PATH_SAID] = None
    """A file of the variables that inform detail, as fine as the field (default: that of the field)."""
    persistence: bool = True
    """Members of fields that follow each other in time share noise, as those of `rgdm refine` do; switch off for
    independent ones."""
    likelihood: bool = True
    """Also the bits per degree of freedom of windows of the truth (a few seconds a level)."""
    device: str = "auto"
    """auto, cpu or cuda."""
    fill: bool = False
    """Fill missing values with the nearest valid one, rather than leave them missing (only block-spin can)."""
    crop: bool = False
    """Cut a lattice that factor^levels does not divide to the largest part that it does (default: refuse it)."""
    force: bool = False
    """Go on where the file is not like the training data (variable, unit, spacing, boundary), taking it as it is."""
    overwrite: bool = False
    """Replace an existing output."""


@dataclass(frozen=True)
class Couplings:
    """Measure the effective Hamiltonian of fields at every scale: couplings with errors, by score matching."""

    fields: Paths
    """Files of fields of one channel, or the folder or name of a model, which then makes them."""
    out: Path | None = None
    """A folder for the table (couplings.nc) and its picture (couplings.png); default: only print."""
    variable: Annotated[str | None, NAME] = None
    """Which variable to take."""
    axes: Annotated[str | None, NAMES] = None
    """Names of the lattice axes, such as lat,lon (default: found by their attributes and names)."""
    levels: int = 3
    """How often the field is coarse-grained."""
    dimension: Literal[1, 2, 3] = 2
    """How many axes the lattice has."""
    boundary: Annotated[tuple[Boundary, ...], SAID] = ()
    """Whether the fields have edges (reflect), next to which no site is looked at (default: as the file says)."""
    operator: FixedOperator = "block-spin"
    """The coarse-graining of every level."""
    factor: Annotated[tuple[Annotated[Factor, FACTOR], ...], SAID] = ()
    """How many sites become one at a level: one number for all axes, or one for each; each may be one for every level,
    such as 2,3 (default: as the model that makes the fields, else 2)."""
    reach: int = 1
    """Bonds up to so many sites along each axis."""
    power: int = 4
    """Highest power of the field at a site."""
    odd: bool = False
    """Also odd powers of the field, the first of which is an external field: it has no symmetry of sign."""
    anisotropic: bool = False
    """A coupling for the bonds along each direction, rather than one for all axes."""
    eta: Annotated[float | None, NUMBER_SAID] = None
    """Rescale as a critical field of this anomalous dimension (default: each level in its own standard deviation)."""
    noise: float = 0.0
    """White noise mixed into each coarse field, in units of the rescaled field: about 0.3 makes a fixed point local."""
    lattice: tuple[int, ...] = ()
    """Sites along each axis of the fields that a model makes."""
    count: int = 64
    """How many fields a model makes."""
    seed: int = 0
    """Seed of these, and of the noise."""
    device: str = "auto"
    """auto, cpu or cuda."""
    fill: bool = False
    """Fill missing values with the nearest valid one."""
    force: bool = False
    """Go on where files disagree in what they say of themselves (units, spacing), taking values as they are."""
    overwrite: bool = False
    """Replace an existing output."""


@dataclass(frozen=True)
class Simulation:
    """Simulate lattice fields of a known action, measure them with errors, and write them as data to train on."""

    action: Annotated[Literal["phi4", "ising", "ising-dual", "free"], tyro.conf.Positional]
    """phi^4, Ising spins, a continuous field that carries Ising spins, or the Gaussian field of a mass."""
    out: Path
    """The file to write: .nc, .zarr, .npy or .npz."""
    size: tuple[int, ...] = (32,)
    """Sites along each axis, periodic: one number for all axes, or one for each."""
    dimension: Annotated[Literal[1, 2, 3] | None, SAID] = None
    """Axes of the lattice (default: as many as --size has numbers, 2 if it has one)."""
    count: int = 1000
    """How many fields."""
    coupling: Annotated[float | None, NUMBER_SAID] = None
    """beta of phi^4, K of spins (default: the critical one, where it is on record; the sentence of refusal lists
    them)."""
    quartic: float = 1.0
    """lambda of phi^4: S = sum [ -beta sum_mu phi phi' + phi^2 + lambda (phi^2 - 1)^2 - h phi ]."""
    external_field: float = 0.0
    """h, the external field of phi^4 and of Ising spins, in units of the temperature."""
    anisotropy: Annotated[tuple[float, ...], SAID] = ()
    """Relative strength of the bonds along each axis of phi^4 and of Ising spins (default: 1 each)."""
    mass2: float = 0.25
    """m^2 of the free field."""
    delta: float = 0.1
    """Of ising-dual: the noise that every site has of its own."""
    chains: int = 100
    """Independent Markov chains."""
    thermalization: int = 100
    """Updates of each chain that are left out at first; one is local sweeps and a Swendsen-Wang update of the signs."""
    interval: int = 10
    """Updates between two fields of a chain."""
    seed: int = 0
    """The same seed gives the same fields."""
    overwrite: bool = False
    """Replace an existing output."""


@dataclass(frozen=True)
class Report:
    """Write one self-contained HTML page about a run: its training, scores and pictures."""

    sources: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN_OR_FILES...")]
    """A run folder, or a model folder, an evaluation folder and sample files."""
    out: Path = Path("report.html")
    """The page to write."""
    overwrite: bool = False
    """Replace an existing page."""


@dataclass(frozen=True)
class Demo:
    """Train on an embedded real field, generate, refine, judge and report: a few minutes on a laptop."""

    data: Literal["terrain", "phi4"] = "terrain"
    """Topography of the Earth, or critical lattice configurations that are simulated first."""
    out: Annotated[Path | None, PATH_SAID] = None
    """The folder of the run (default: rgdm-demo-terrain or rgdm-demo-phi4)."""
    minutes: float = 3.5
    """Time for the training; all the rest takes about one more."""
    steps: Annotated[int | None, COUNT_SAID] = None
    """Train for this many steps instead."""
    size: Annotated[int | None, COUNT_SAID] = None
    """Sites along each axis of the generated field (default: 1024 terrain, 256 phi4)."""
    members: int = 8
    """Size of the ensembles."""
    likelihood: bool = True
    """Also the bits per degree of freedom of windows of the truth (a few seconds)."""
    seed: int = 0
    """Seed of everything."""
    device: str = "auto"
    """auto, cpu or cuda."""
    overwrite: bool = False
    """Replace an existing run."""
