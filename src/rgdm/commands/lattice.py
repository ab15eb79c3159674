"""Lattice fields of a known action: simulated, measured, and written as data to train on."""

import math
from dataclasses import replace

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from rgdm import config
from rgdm.commands.shared import provenance
from rgdm.data.layout import from_samples
from rgdm.data.memory import check_memory
from rgdm.data.writing import check_output, write_field
from rgdm.errors import InputError
from rgdm.jackknife import FEWEST
from rgdm.physics.actions import FreeField, Ising, IsingDual, Phi4, strengths
from rgdm.physics.autocorrelation import gamma_method
from rgdm.physics.critical import critical_point
from rgdm.physics.monte_carlo.chains import sample_fields
from rgdm.physics.observables import as_dataset, observables
from rgdm.progress import bar
from rgdm.ranges import check_options
from rgdm.watch import Watch


def lattice(options: config.Simulation) -> xr.Dataset:
    """Simulate and write fields; returns their observables with errors, and ``tau`` of the magnetisation squared."""
    check_options(options)
    check_output(options.out, options.overwrite, placed=False)
    sides = _sides(options)
    if min(sides) < 2 or options.count < 2:
        raise InputError(f"{options.count} fields of {sides} sites; at least 2 fields and 2 sites an axis are needed")
    sites = math.prod(sides)
    check_memory(BYTES * options.count * sites, f"making {options.count} fields of {sites} sites")
    action, source = _action(options)
    with bar("simulating", 1) as show:
        fields = _fields(action, options, show)
    attrs: dict[str, object] = {"action": repr(action), "periodic": "True"}
    made = from_samples(fields, ["z", "y", "x"][3 - len(sides) :], [_NAMES[options.action]], attrs)
    write_field(options.out, made, options.overwrite, provenance(options, "lattice"))
    found = observables(fields, action)
    found["tau"] = _memory(fields, options)
    return as_dataset(found).assign_attrs(coupling_source=source)


def lattice_table(found: xr.Dataset) -> list[str]:
    """One line for each observable, after one with the source of a coupling from the record."""
    source = found.attrs.get("coupling_source")
    lines = [f"critical coupling {source}"] if source else []
    for name in found["observable"].values:
        value, error = (float(found[part].sel(observable=name)) for part in ("value", "error"))
        said = f"+- {error:.2g}" if math.isfinite(error) else f"(no error of fewer than {FEWEST} fields)"
        lines.append(f"{_TITLES[str(name)]:<44} {value:.6g} {said}")
    return lines


BYTES = 80
"""Bytes of memory for each site of all fields; measured: at most 64 in two dimensions."""
_NAMES = {"phi4": "phi", "ising": "spin", "ising-dual": "phi", "free": "phi"}
_TITLES = {
    "m": "magnetisation m a site",
    "abs_m": "<|m|>",
    "m2": "<m^2>",
    "chi": "susceptibility N <m^2>",
    "chi_connected": "connected susceptibility N (<m^2> - <|m|>^2)",
    "u4": "U4 = 1 - <m^4> / (3 <m^2>^2)",
    "nearest_neighbour": "<phi_x phi_x+mu>",
    "phi2": "<phi^2>",
    "action_per_site": "S / N",
    "specific_heat": "specific heat, variance of S / N times N",
    "xi_over_length": "second-moment xi / L",
    "tau": "tau_int of m^2, in fields of one chain",
}


def _sides(options: config.Simulation) -> tuple[int, ...]:
    """Sites along each axis."""
    if len(options.size) == 1:
        return options.size * (options.dimension or 2)
    if len(options.size) > 3 or options.dimension not in (None, len(options.size)):
        known = "at most 3 are known" if options.dimension is None else f"--dimension is {options.dimension}"
        raise InputError(f"--size {' '.join(map(str, options.size))} has {len(options.size)} axes; {known}")
    return options.size


def _action(options: config.Simulation) -> tuple[Phi4 | Ising | IsingDual | FreeField, str]:
    """The action that was asked for, and the source of its coupling where none is given: then it is critical."""
    dimension = len(_sides(options))
    if options.action in ("free", "ising-dual") and (options.external_field or options.anisotropy):
        raise InputError(f"--external-field and --anisotropy are for phi4 and ising, not for {options.action}")
    strengths(options.anisotropy, dimension)  # one for each axis
    if options.action == "free":
        return FreeField(options.mass2), ""
    coupling, source, phi4 = options.coupling, "", options.action == "phi4"
    if coupling is None:
        kind, quartic = ("phi4", options.quartic) if phi4 else ("ising", None)
        point = critical_point(kind, dimension, quartic, options.anisotropy)
        coupling, error = point.coupling, f" +- {point.error:.1g}" if point.error else ""
        source = f"{coupling:.9g}{error} ({point.source})"
    if phi4:
        action = Phi4.from_beta(coupling, options.quartic)
        return replace(action, h=options.external_field, anisotropy=options.anisotropy), source
    if options.action == "ising":
        return Ising(coupling, options.external_field, options.anisotropy), source
    return IsingDual(coupling, options.delta), source


def _fields(action: Phi4 | Ising | IsingDual | FreeField, options: config.Simulation, show: Watch) -> Tensor:
    random, sides = torch.Generator().manual_seed(options.seed), _sides(options)
    shape = (options.count, 1, *sides)
    if isinstance(action, FreeField):
        return action.field(torch.randn(shape, generator=random, dtype=torch.float64)).float()
    settings = (options.chains, options.count, options.seed, options.thermalization, options.interval)
    primal = Ising(action.coupling) if isinstance(action, IsingDual) else action
    fields = sample_fields(primal, sides, *settings, watch=show)
    if isinstance(action, IsingDual):
        return action.field(fields, torch.randn(shape, generator=random)).float()
    return fields


def _memory(fields: Tensor, options: config.Simulation) -> tuple[float, float]:
    """Autocorrelation time of m^2 along the chains; NaN where they are too short to tell."""
    if options.action == "free":
        return 0.5, 0.0
    m2 = fields.double().flatten(1).mean(1).square().numpy()
    rounds = -(-options.count // options.chains)
    chains = options.count // rounds
    if rounds < 4:
        return math.nan, math.nan
    series = gamma_method(np.reshape(m2[: chains * rounds], (chains, rounds)))
    return series.tau, series.tau_error
