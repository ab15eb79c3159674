"""Training: one readable loop, resumable to the bit."""

from rgdm.train.batches import Batches
from rgdm.train.device import choose_device, choose_precision
from rgdm.train.loop import CHECKPOINT, HISTORY, Budget, Progress, Trainer, check_resumable, fingerprint

__all__ = [
    "CHECKPOINT",
    "HISTORY",
    "Batches",
    "Budget",
    "Progress",
    "Trainer",
    "check_resumable",
    "choose_device",
    "choose_precision",
    "fingerprint",
]
