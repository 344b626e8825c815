"""Writing TOML: tables, arrays of tables, texts over several lines. The standard library only reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


def to_toml(data: Mapping[str, Any]) -> str:
    """TOML text of plain data without None; a None in a table leaves its key out.

    Example:
        >>> print(to_toml({"a": 1, "b": {"c d": "x"}, "e": [{"f": [True, 2.5]}]}))
        a = 1
        <BLANKLINE>
        [b]
        "c d" = "x"
        <BLANKLINE>
        [[e]]
        f = [true, 2.5]
        <BLANKLINE>
    """
    lines: list[str] = []
    _table(data, (), lines)
    return "\n".join(lines).lstrip("\n") + "\n"


def _table(data: Mapping[str, Any], path: tuple[str, ...], lines: list[str]) -> None:
    nested = {k: v for k, v in data.items() if isinstance(v, Mapping) or _is_tables(v)}
    for key, value in data.items():
        if key not in nested and value is not None:
            lines.append(f"{_key(key)} = {_value(value)}")
    for key, value in nested.items():
        here = (*path, key)
        name = ".".join(_key(part) for part in here)
        for entry in [value] if isinstance(value, Mapping) else value:
            lines += ["", f"[{name}]" if isinstance(value, Mapping) else f"[[{name}]]"]
            _table(entry, here, lines)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, Mapping) for entry in value)


def _key(key: str) -> str:
    return key if _BARE.match(key) else _quoted(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str):
        return _long(value) if "\n" in value.strip("\n") else _quoted(value)
    if isinstance(value, list):
        return "[" + ", ".join(_value(entry) for entry in value) + "]"
    raise TypeError(f"no TOML for {value!r:.60} ({type(value).__name__})")


def _escaped(text: str, keep: str = "") -> str:
    return "".join(
        c if c in keep else _ESCAPES.get(c) or (f"\\u{ord(c):04X}" if ord(c) < 32 or ord(c) == 127 else c) for c in text
    )


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'


def _long(text: str) -> str:
    # The line break after the opening quotes is not part of the text; quotes are escaped wherever they stand.
    return f'"""\n{_escaped(text, keep=chr(10))}"""'
