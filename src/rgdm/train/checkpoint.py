"""What a training leaves in its folder to go on from, and by what it knows its data again."""

import hashlib
from pathlib import Path

from rgdm.errors import InputError
from rgdm.model.cascade.fields import Fields

CHECKPOINT, HISTORY = "checkpoint.safetensors", "history.jsonl"


def check_resumable(folder: Path) -> Path:
    """The checkpoint of a folder; ``ValueError`` if there is none."""
    path = folder / CHECKPOINT
    if not path.is_file():
        raise InputError(f"there is no checkpoint in {folder} to resume from; train without --resume")
    return path


def fingerprint(fields: Fields) -> str:
    """A short hash of the values, areas and companions, their shapes and types."""
    digest = hashlib.blake2b(digest_size=8)
    for part in (fields.values, fields.place.weights, fields.place.companions):
        if part is not None:
            values = part.detach().cpu().contiguous().numpy()
            digest.update(values.data)
            digest.update(f"{values.shape} {values.dtype}".encode())
    return digest.hexdigest()
