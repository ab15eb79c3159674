"""The commands: each reads files, does one thing, writes files. Also callable from Python."""

from rgdm.commands.couplings import couplings, couplings_table
from rgdm.commands.debias import debias, debias_table
from rgdm.commands.evaluation import evaluate, verify
from rgdm.commands.generation import refine, sample
from rgdm.commands.lattice import lattice, lattice_table
from rgdm.commands.reporting import report
from rgdm.commands.shared import channel_names, check_size, open_model, provenance
from rgdm.commands.training import fit, train
from rgdm.evaluate.summary import summary

__all__ = [
    "channel_names",
    "check_size",
    "couplings",
    "couplings_table",
    "debias",
    "debias_table",
    "evaluate",
    "fit",
    "lattice",
    "lattice_table",
    "open_model",
    "provenance",
    "refine",
    "report",
    "sample",
    "summary",
    "train",
    "verify",
]
