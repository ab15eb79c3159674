"""A model on disk: JSON for the configuration, safetensors for the weights, nothing that can run code."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor

from rgdm import __version__
from rgdm.atomic import flush, replacing, write_text
from rgdm.errors import InputError
from rgdm.model.checks.allowance import Allowance
from rgdm.model.checks.metadata import check_json, checked_metadata, plain_metadata
from rgdm.model.checks.numbers import check_numbers
from rgdm.ranges import check_keys, check_path, shown

FORMAT = 8
"""Counts the changes after which a saved model cannot be read any more."""
CONFIG, WEIGHTS = "config.json", "model.safetensors"
KEYS = ("format", "rgdm", "class", "configuration", "metadata", "weights")
"""What a configuration file holds."""
LARGEST = 2**22
"""Most bytes of a configuration file."""
SLACK = 2**26
"""Bytes that a model may have beside its weights: tables and filters."""
CODE = {".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".bin", ".joblib"}


def save(
    folder: Path,
    configuration: dict[str, Any],
    metadata: dict[str, Any],
    tensors: dict[str, Tensor],
    kind: str = "Cascade",
) -> None:
    """Write configuration and weights, the two together or not at all.

    The configuration holds the checksum of the weights: for as long as the one takes the place of the other, also that
    of the weights before, if they are of the same configuration. So a folder in which this is killed holds a whole
    model, or one that is refused, but no mixture.
    """
    data = _serialized(tensors)
    content = {"format": FORMAT, "rgdm": __version__, "class": kind, "configuration": configuration}
    content |= {"metadata": plain_metadata(metadata), "weights": [_digest(data)]}
    before = [each for each in _checksums_before(folder, content) if each not in content["weights"]]
    with replacing(folder / WEIGHTS) as draft:
        draft.write_bytes(data)
        flush(draft)  # from here on nothing can fail but two renamings
        write_text(folder / CONFIG, _text({**content, "weights": content["weights"] + before}))
    if before:
        write_text(folder / CONFIG, _text(content))


def checksum(tensors: dict[str, Tensor]) -> str:
    """The checksum of a model's tensors, as its configuration file has it once it is saved."""
    return _digest(_serialized(tensors))


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _text(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def _checksums_before(folder: Path, content: dict[str, Any]) -> list[str]:
    """The checksums in a folder of the same configuration, whose weights may be read with the new one."""
    try:
        there = read_json(folder / CONFIG)
        return there["weights"] if there["configuration"] == content["configuration"] else []
    except (InputError, KeyError):
        return []


def _serialized(tensors: dict[str, Tensor], notes: dict[str, str] | None = None) -> bytes:
    return serialize({name: x.detach().to("cpu").contiguous().clone() for name, x in tensors.items()}, notes)


def write_tensors(path: Path, tensors: dict[str, Tensor], notes: dict[str, str] | None = None) -> None:
    """Write a safetensors file so that it is there whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(_serialized(tensors, notes))


def shipped() -> list[str]:
    """The names of the models that come with the package."""
    shelf = _shelf()
    return sorted(p.name for p in shelf.iterdir() if (p / CONFIG).is_file()) if shelf.is_dir() else []


def _shelf() -> Path:
    return Path(str(files("rgdm") / "pretrained"))


def locate(path: str | Path) -> Path:
    """The folder of a model given as folder, shipped name or Hugging Face repository."""
    check_path(path)
    folder, name = Path(path), str(path)
    if folder.exists():
        return folder
    if name in shipped():
        return _shelf() / name
    if re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name):
        return _download(name)
    ship = ", ".join(shipped()) or "none"
    raise InputError(f"there is no model {name}; give a model folder, or one that ships with rgdm ({ship})")


def is_model(name: str) -> bool:
    """Whether this is a model folder, or the name of one that ships where no file has that name."""
    return (Path(name) / CONFIG).is_file() or (name in shipped() and not Path(name).exists())


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download  # slow to import, and rarely needed

    try:
        return Path(snapshot_download(name, allow_patterns=[CONFIG, WEIGHTS]))
    except Exception as error:  # every layer below has its own
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"there is no model folder {name}, and no such model to download ({reason})") from error


def read_config(folder: Path, wanted: str = "Cascade") -> tuple[dict[str, Any], dict[str, Any]]:
    """Configuration and metadata of a model folder, after checking that it is one."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a model folder: expected a folder with {CONFIG} and {WEIGHTS}")
    code = sorted(p.name for p in folder.iterdir() if p.suffix in CODE)
    if code:
        raise InputError(
            f"{folder} contains {code[0]}, which can run code when loaded; a model is JSON and safetensors only"
        )
    missing = [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]
    if missing:
        raise InputError(f"the model folder {folder} is incomplete: it lacks {' and '.join(missing)}; copy it again")
    content = read_json(folder / CONFIG)
    version, kind = content.get("format"), content.get("class")
    if isinstance(version, bool) or not isinstance(version, int):
        raise _damaged(folder / CONFIG, f"format = {shown(version)}")
    if version != FORMAT:
        raise InputError(_other_format(folder, version, content.get("rgdm")))
    try:
        check_json("the file", content)
        check_keys("the file", content, KEYS)
        for name, form in (("configuration", dict), ("weights", list), ("class", str), ("rgdm", str)):
            if not isinstance(content[name], form):
                raise InputError(f"{name} = {shown(content[name])}")
        metadata = checked_metadata(content["metadata"])
    except InputError as error:
        raise _damaged(folder / CONFIG, str(error)) from None
    if kind != wanted:
        raise InputError(f"{folder} holds a {shown(kind)}; this rgdm loads {wanted!r}")
    return content["configuration"], metadata


def read_json(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds, in which every name is there once and every number is finite."""
    try:
        if path.stat().st_size > LARGEST:
            raise _damaged(path, f"more than {LARGEST >> 20} MiB")
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once, parse_constant=_refused)
    except InputError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise _damaged(path, reason) from None
    if not isinstance(content, dict):
        raise _damaged(path, "no object")
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a name is there twice")
    return dict(pairs)


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(f"{path} is damaged: it is not the JSON of an rgdm model ({reason}); copy it again")


def _other_format(folder: Path, version: int, writer: Any) -> str:
    """Which version wrote a model that this one cannot read, and what to do."""
    by = f"rgdm {writer[:20]}" if isinstance(writer, str) else "an early rgdm"
    if version < FORMAT:
        remedy = "train it again (rgdm train ... --overwrite), or load it with the version that wrote it"
    else:
        remedy = "update rgdm"
    return (
        f"{folder} was written by {by} in format {shown(version)}; rgdm {__version__} reads format {FORMAT}: {remedy}"
    )


def read_weights(folder: Path, into: dict[str, Tensor]) -> None:
    """Copy the stored tensors into a model's own, which must match in name and shape, if their checksum is right."""
    try:
        with (folder / WEIGHTS).open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise InputError(f"{folder / WEIGHTS} cannot be read: {error.strerror}") from error
    read_tensors(folder / WEIGHTS, into)
    if found not in read_json(folder / CONFIG).get("weights", []):
        raise InputError(
            f"{folder / WEIGHTS} is damaged: its checksum is not the one in {CONFIG}, for bytes of it have changed or "
            "the two files do not belong together; copy or train the model again"
        )


def allowance(folder: Path) -> Allowance:
    """While it is entered, nothing can be built that is much larger than the stored weights of this folder."""
    size = (folder / WEIGHTS).stat().st_size
    return Allowance(4 * size + SLACK, f"it is far larger than the {size / 2**20:.3g} MiB of its weights")


def read_notes(path: Path) -> dict[str, str]:
    """The notes of a safetensors file."""
    with _opened(path) as stored:
        return stored.metadata() or {}


def read_tensors(path: Path, into: dict[str, Tensor]) -> None:
    """Copy every tensor of a safetensors file into ``into``, which must match in name and shape."""
    with _opened(path) as stored, torch.no_grad():
        wrong = sorted(set(stored.keys()) ^ set(into))
        if wrong:
            raise InputError(f"{path} does not fit its configuration: tensor {wrong[0]!r} is on one side only")
        for name, tensor in into.items():
            value = stored.get_tensor(name)
            if value.shape != tensor.shape:
                shapes = f"{tuple(value.shape)}, not {tuple(tensor.shape)}"
                raise InputError(f"{path} does not fit its configuration: {name!r} is {shapes}")
            check_numbers(str(path), name, value, tensor)
            tensor.copy_(value)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as stored:
            yield stored
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is damaged or truncated ({error}); copy or train the model again") from error
