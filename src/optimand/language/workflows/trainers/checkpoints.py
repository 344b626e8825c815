"""Checkpoints of training: one JSON file in a folder, replaced as a whole after each step."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optimand.core.recorder import write_atomically
from optimand.core.validation import OptimandError

FORMAT = 1
NAME = "training.json"


def write_checkpoint(folder: Path, made_by: Mapping[str, Any], state: str, stopped: str = "") -> None:
    """Store a state.

    Args:
        folder: made if it is not there.
        made_by: trainer, parameters and settings, which must be the same when training goes on.
        state: as JSON text.
        stopped: why training ended here, for people to read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    head = json.dumps({"format": FORMAT, "made_by": made_by, "stopped": stopped}, ensure_ascii=False)
    write_atomically(folder / NAME, f'{head[:-1]}, "state": {state}}}\n'.encode())


def read_checkpoint(folder: str | os.PathLike[str], made_by: Mapping[str, Any]) -> dict[str, Any] | None:
    """The state of a folder's checkpoint; None if there is none.

    Raises:
        OptimandError: it cannot be read, or comes from training with other settings.
    """
    path = Path(folder) / NAME
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OptimandError(f"cannot read {os.fspath(path)!r}: {error.strerror}") from None
    try:
        read = json.loads(text)
        version, before, state = read["format"], read["made_by"], read["state"]
    except (ValueError, KeyError, TypeError) as error:
        raise OptimandError(f"{os.fspath(path)!r} is not a checkpoint of training: {error}") from None
    if version != FORMAT:
        raise OptimandError(f"{os.fspath(path)!r} has format {version!r}, this version reads {FORMAT}")
    now = json.loads(json.dumps(made_by))
    for key in dict.fromkeys((*now, *before)):
        if now.get(key) != before.get(key):
            numbers = "(nodes of one name get other numbers each time: make them inside 'with Tape(fresh=True):') "
            raise OptimandError(
                f"{os.fspath(path)!r} is of training with {key}={before.get(key)!r}, this one has {now.get(key)!r}: "
                f"give another folder, the same settings {numbers if key == 'parameters' else ''}"
                "or resume=False to begin anew"
            )
    found: dict[str, Any] = state
    return found
