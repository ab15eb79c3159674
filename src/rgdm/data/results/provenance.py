"""What an output says of its making, enough to make it again."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import xarray as xr

CONVENTIONS, FOLLOWED = "Conventions", "CF-1.11"
"""The attribute of files that follow conventions, and those that ours do."""
HISTORY = "history"
MADE_BY = "made_by"
RECORD = (MADE_BY, "model_checksum", "levels", "members", "seed", "evaluations")
"""Attributes of what a model made: version and command, the checksum of the weights, and what it was asked for."""


def record(maker: str, checksum: str, **asked: int) -> dict[str, Any]:
    """The attributes of what a model made.

    Args:
        maker: program, version and command, such as ``rgdm 0.1.0 refine``.
        checksum: of the weights, as ``config.json`` of the model has it ("weights").
        asked: what the model was asked for, by name.
    """
    return {MADE_BY: maker, "model_checksum": checksum, **asked}


def recorded(result: Any, made: Mapping[str, Any]) -> Any:
    """The same xarray object with a record, and a line of history for it; anything else has no attributes."""
    if not isinstance(result, xr.DataArray | xr.Dataset):
        return result
    result = result.copy(deep=False)
    told = ", ".join(f"{key} {value}" for key, value in made.items() if key != MADE_BY)
    history = longer_history(result.attrs.get(HISTORY), f"{made[MADE_BY]}: {told}")
    result.attrs = {**result.attrs, **made, HISTORY: history}
    return result


def with_conventions(attrs: Mapping[Any, Any]) -> dict[str, str]:
    """The conventions that a file made of one with these attributes follows: those of that one, else ours."""
    return {CONVENTIONS: str(attrs.get(CONVENTIONS) or FOLLOWED)}


def record_of(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """The part of attributes that is a record."""
    return {key: attrs[key] for key in RECORD if key in attrs}


def longer_history(before: Any, line: str) -> str:
    """A history with one more line, the time of it in front (of ``SOURCE_DATE_EPOCH`` where it is set, else now)."""
    fixed = os.environ.get("SOURCE_DATE_EPOCH", "")
    now = datetime.fromtimestamp(int(fixed), UTC) if fixed.isdigit() else datetime.now(UTC)
    lines = [str(before).rstrip("\n")] if before else []
    return "\n".join([*lines, f"{now:%Y-%m-%dT%H:%M:%SZ} {line}"])
