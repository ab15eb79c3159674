"""Lattice fields of a known action: simulated, measured, and written as data to train on."""

import math

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
from rgdm.physics.actions import FreeField, Ising, IsingDual, Phi4
from rgdm.physics.autocorrelation import gamma_method
from rgdm.physics.monte_carlo.chains import sample_fields
from rgdm.physics.observables import as_dataset, observables
from rgdm.progress import bar
from rgdm.ranges import check_options


def lattice(options: config.Simulation) -> xr.Dataset:
    """Simulate and write fields; returns their observables with errors, and ``tau`` of the magnetisation squared."""
    check_options(options)
    check_output(options.out, options.overwrite)
    if options.size < 2 or options.count < 2 or options.chains < 1:
        raise InputError(
            f"{options.count} fields of {options.size} sites an axis in {options.chains} chains; at least 2 fields, "
            "2 sites and 1 chain are needed"
        )
    sites = options.size**options.dimension
    check_memory(BYTES * options.count * sites, f"making {options.count} fields of {sites} sites")
    action = _action(options)
    with bar("simulating", 1) as show:
        fields = _fields(action, options, show)
    attrs: dict[str, object] = {"action": repr(action), "periodic": "True"}
    made = from_samples(fields, ["z", "y", "x"][3 - options.dimension :], [_NAMES[options.action]], attrs)
    write_field(options.out, made, options.overwrite, provenance(options, "lattice"))
    found = observables(fields, action)
    found["tau"] = _memory(fields, options)
    return as_dataset(found)


def lattice_table(found: xr.Dataset) -> list[str]:
    """One line for each observable."""
    lines = []
    for name in found["observable"].values:
        value, error = (float(found[part].sel(observable=name)) for part in ("value", "error"))
        lines.append(f"{_TITLES[str(name)]:<44} {value:.6g} +- {error:.2g}")
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


def _action(options: config.Simulation) -> Phi4 | Ising | IsingDual | FreeField:
    """The action that was asked for; critical where no coupling is given, in two dimensions."""
    if options.action == "free":
        return FreeField(options.mass2)
    coupling = options.coupling
    if coupling is None:
        if options.dimension != 2 or (options.action == "phi4" and options.quartic != 1):
            raise InputError(
                f"no critical coupling of {options.action} in {options.dimension} dimension(s) with quartic "
                f"{options.quartic:g} is on record; give one with --coupling"
            )
        coupling = Phi4.critical().a if options.action == "phi4" else Ising.critical().coupling
    if options.action == "phi4":
        return Phi4.from_beta(coupling, options.quartic)
    return Ising(coupling) if options.action == "ising" else IsingDual(coupling, options.delta)


def _fields(action: Phi4 | Ising | IsingDual | FreeField, options: config.Simulation, show) -> Tensor:
    random = torch.Generator().manual_seed(options.seed)
    shape = (options.count, 1, *(options.size,) * options.dimension)
    if isinstance(action, FreeField):
        return action.field(torch.randn(shape, generator=random, dtype=torch.float64)).float()
    settings = (options.size, options.chains, options.count, options.seed, options.thermalization, options.interval)
    primal = Ising(action.coupling) if isinstance(action, IsingDual) else action
    fields = sample_fields(primal, *settings, options.dimension, watch=show)
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
