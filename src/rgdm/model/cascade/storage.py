"""A model on disk: JSON for the configuration, safetensors for the weights, nothing that can run code."""

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
from rgdm.atomic import replacing, write_text
from rgdm.errors import InputError

FORMAT = 2
"""Counts the changes after which a saved model cannot be read any more."""
CONFIG, WEIGHTS = "config.json", "model.safetensors"
CODE = {".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".bin", ".joblib"}


def save(
    folder: Path,
    configuration: dict[str, Any],
    metadata: dict[str, Any],
    tensors: dict[str, Tensor],
    kind: str = "Cascade",
) -> None:
    """Write weights, then configuration, each whole or not at all."""
    content = {
        "format": FORMAT,
        "rgdm": __version__,
        "class": kind,
        "configuration": configuration,
        "metadata": metadata,
    }
    if (folder / CONFIG).is_file() and not _describes(folder / CONFIG, content):
        (folder / CONFIG).unlink()  # killed between the two files, the folder is incomplete and not a mixture
    write_tensors(folder / WEIGHTS, tensors)
    write_text(folder / CONFIG, json.dumps(content, indent=2) + "\n")


def _describes(path: Path, content: dict[str, Any]) -> bool:
    try:
        return json.loads(path.read_text()) == content
    except (OSError, ValueError):
        return False


def write_tensors(path: Path, tensors: dict[str, Tensor], notes: dict[str, str] | None = None) -> None:
    """Write a safetensors file so that it is there whole or not at all."""
    plain = {name: tensor.detach().to("cpu").contiguous().clone() for name, tensor in tensors.items()}
    with replacing(path) as temporary:
        temporary.write_bytes(serialize(plain, notes))


def shipped() -> list[str]:
    """The names of the models that come with the package."""
    shelf = _shelf()
    return sorted(p.name for p in shelf.iterdir() if (p / CONFIG).is_file()) if shelf.is_dir() else []


def _shelf() -> Path:
    return Path(str(files("rgdm") / "pretrained"))


def locate(path: str | Path) -> Path:
    """The folder of a model given as folder, shipped name or Hugging Face repository."""
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
    try:
        content = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        version, kind = content["format"], content["class"]
        configuration, metadata = dict(content["configuration"]), dict(content["metadata"])
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{folder / CONFIG} is damaged: it is not the JSON of an rgdm model; copy it again") from None
    if version != FORMAT:
        raise InputError(_other_format(folder, version, content.get("rgdm")))
    if kind != wanted:
        raise InputError(f"{folder} holds a {kind!r}; this rgdm loads {wanted!r}")
    return configuration, metadata


def _other_format(folder: Path, version: Any, writer: Any) -> str:
    """Which version wrote a model that this one cannot read, and what to do."""
    by = f"rgdm {writer}" if isinstance(writer, str) else "an early rgdm"
    if isinstance(version, int) and version < FORMAT:
        remedy = "train it again (rgdm train ... --overwrite), or load it with the version that wrote it"
    else:
        remedy = "update rgdm"
    return f"{folder} was written by {by} in format {version}; rgdm {__version__} reads format {FORMAT}: {remedy}"


def read_weights(folder: Path, into: dict[str, Tensor]) -> None:
    """Copy the stored tensors into a model's own, which must match in name and shape."""
    read_tensors(folder / WEIGHTS, into)


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
            tensor.copy_(value)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as stored:
            yield stored
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is damaged or truncated ({error}); copy or train the model again") from error
