"""The index: what the package holds, by name and with a line on each, without importing any of it.

It stands in ``index.json`` beside this module and is written by ``python -m optimand.lab.indexing`` (``make index``).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("index.json")
KINDS = ("families", "problems", "methods")


@dataclass(frozen=True)
class Listed:
    """What is known of an entry before it is imported.

    Attributes:
        name: what users type.
        family: the family it belongs to; of a family, its own name.
        summary: one line.
        module: the module whose import registers it; empty where it is registered already.
        facts: what lists show besides: of a problem ``metric``, ``direction``, ``unit``, ``budget``, ``needs`` and
            ``params``; of a method its ``paper``; of a family its ``guide``.
    """

    name: str
    family: str
    summary: str
    module: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


@functools.cache
def load() -> dict[str, dict[str, Listed]]:
    """The entries of each kind by name."""
    content = read()
    return {kind: {name: Listed(name, **entry) for name, entry in content.get(kind, {}).items()} for kind in KINDS}


@functools.cache
def read() -> dict[str, Any]:
    """The file's content; its ``claims`` are lists of name, sentence and whether they can be checked, by paper."""
    return json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}


def listed(entry: Any, module: str = "") -> Listed:
    """What the index says of a family, a problem or a method that is there."""
    facts: dict[str, Any] = {}
    if hasattr(entry, "adopt"):
        facts = {"guide": entry.guide, "takes": entry.takes}
    elif hasattr(entry, "params"):
        built = entry.build()
        facts = {key: getattr(built, key) for key in ("metric", "direction", "unit", "budget")}
        facts |= {"needs": entry.needs, "params": {key: plain(value) for key, value in entry.params.items()}}
    elif entry.paper:
        facts = {"paper": entry.paper}
    return Listed(entry.name, getattr(entry, "family", entry.name), entry.summary, module, facts)


def plain(value: Any) -> Any:
    """``value`` if JSON knows it, else its text."""
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
