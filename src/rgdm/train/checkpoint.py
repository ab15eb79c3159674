"""What a training leaves in its folder to go on from, and by what it knows its data again."""

import hashlib
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.model.lifts.setting import held_once
from rgdm.notes import option

CHECKPOINT, HISTORY = "checkpoint.safetensors", "history.jsonl"
_FIELDS = {
    "data": ("fields", "files, --variable, --axes, --crop, --fill, --hold-back"),
    "areas": ("areas of cells", "--areas"),
    "companions": ("companions", "--static, --given"),
    "clock": ("times or longitudes", "--clock"),
    "held_out": ("fields kept back", "--hold-back"),
}
"""Settings that are hashes of fields: what they are, and what on the command line decides them."""


def check_resumable(folder: Path) -> Path:
    """The checkpoint of a folder; ``ValueError`` if there is none."""
    path = folder / CHECKPOINT
    if not path.is_file():
        raise InputError(
            f"there is no checkpoint in {folder} to resume from; {option('train without --resume', 'begin a training')}"
        )
    return path


def different(name: str, then: object, now: object) -> str:
    """What a training was begun with where a setting differs; of fields, which are known by a hash, what says which."""
    if name not in _FIELDS:
        return f"{name} = {then}, not {now}"
    what, options = _FIELDS[name]
    asked = option(f" ({options})", "")
    if None not in (then, now):
        return f"other {what}{asked}"
    some = "no {}, of which there are some now" if then is None else "{}, of which there are none now"
    return some.format(what) + asked


def fingerprint(fields: Float[Tensor, "B C *L"] | None) -> str | None:
    """A short hash of the values, their shape and their type; None of nothing."""
    if fields is None:
        return None
    values = held_once(fields.detach()).cpu().contiguous().numpy()
    digest = hashlib.blake2b(values.data, digest_size=8)
    digest.update(f"{tuple(fields.shape)} {values.dtype}".encode())
    return digest.hexdigest()
