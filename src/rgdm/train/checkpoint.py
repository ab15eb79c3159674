"""What a training leaves in its folder to go on from, and by what it knows its data again."""

import hashlib
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.model.lifts.setting import held_once

CHECKPOINT, HISTORY = "checkpoint.safetensors", "history.jsonl"


def check_resumable(folder: Path) -> Path:
    """The checkpoint of a folder; ``ValueError`` if there is none."""
    path = folder / CHECKPOINT
    if not path.is_file():
        raise InputError(f"there is no checkpoint in {folder} to resume from; train without --resume")
    return path


def fingerprint(fields: Float[Tensor, "B C *L"] | None) -> str | None:
    """A short hash of the values, their shape and their type; None of nothing."""
    if fields is None:
        return None
    values = held_once(fields.detach()).cpu().contiguous().numpy()
    digest = hashlib.blake2b(values.data, digest_size=8)
    digest.update(f"{tuple(fields.shape)} {values.dtype}".encode())
    return digest.hexdigest()
