"""What a synthesis has already got from its model, by stage and key: JSON lines in a folder, or nothing but memory."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optimand.core.validation import OptimandError


class Journal:
    """Replies by stage and key.

    Args:
        folder: of the files ``<stage>.jsonl`` and ``identity.json``; None keeps them in memory alone.
        identity: what the replies depend on; a folder that was begun with another is refused.

    A line that a kill cut off is ignored, and its reply is asked for again.

    Raises:
        OptimandError: the folder belongs to another run, or is none.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, identity: Mapping[str, Any]) -> None:
        self._kept: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        self._folder = None if folder is None else Path(folder)
        if self._folder is None:
            return
        if self._folder.exists() and not self._folder.is_dir():
            raise OptimandError(f"folder must be a folder, got the file {str(self._folder)!r}")
        self._folder.mkdir(parents=True, exist_ok=True)
        card = self._folder / "identity.json"
        if card.is_file():
            try:
                before = dict(json.loads(card.read_text(encoding="utf-8")))
            except (ValueError, TypeError):
                raise OptimandError(
                    f"{str(card)!r} cannot be read as the identity of a run; name another folder"
                ) from None
            changed = [key for key in identity if before.get(key) != identity[key]]
            if changed:
                raise OptimandError(
                    f"folder {str(self._folder)!r} holds another run: {changed[0]} was {before.get(changed[0])!r}, "
                    f"this one has {identity[changed[0]]!r}; name another folder"
                )
        else:
            # Written aside and moved, so that a kill leaves the whole card or none.
            part = card.with_suffix(".part")
            part.write_text(json.dumps(dict(identity), sort_keys=True), encoding="utf-8")
            part.replace(card)
        for path in sorted(self._folder.glob("*.jsonl")):
            self._kept[path.stem] = _read(path)

    def get(self, stage: str, key: str) -> Any:
        """What is kept, or None."""
        return self._kept.get(stage, {}).get(key)

    def put(self, stage: str, key: str, value: Any) -> None:
        """Keep a value, on disk at once."""
        with self._lock:
            self._kept.setdefault(stage, {})[key] = value
            if self._folder is not None:
                with (self._folder / f"{stage}.jsonl").open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"key": key, "value": value}, ensure_ascii=False) + "\n")


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        # What a kill left of a line is cut away before more is written.
        with path.open("r+b") as file:
            file.truncate(whole)
    for line in content[:whole].splitlines():
        try:
            entry = json.loads(line)
            found[entry["key"]] = entry["value"]
        except (ValueError, KeyError, TypeError):
            continue
    return found
