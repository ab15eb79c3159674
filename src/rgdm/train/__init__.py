"""Training: one readable loop, resumable to the bit."""

from rgdm.train.batches import Batches
from rgdm.train.budget import Budget, Progress
from rgdm.train.checkpoint import CHECKPOINT, HISTORY, check_resumable, fingerprint
from rgdm.train.device import choose_device, choose_precision
from rgdm.train.heldout import Parts, hold_back
from rgdm.train.loop import Trainer
from rgdm.train.symmetry import STILL, TURNED, Turns, turns_of
from rgdm.train.validation import Validation

__all__ = [
    "CHECKPOINT",
    "HISTORY",
    "STILL",
    "TURNED",
    "Batches",
    "Budget",
    "Parts",
    "Progress",
    "Trainer",
    "Turns",
    "Validation",
    "check_resumable",
    "choose_device",
    "choose_precision",
    "fingerprint",
    "hold_back",
    "turns_of",
]
