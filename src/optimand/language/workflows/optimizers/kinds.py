"""Values by the example of other values: the JSON schema of a value, and a reply's value turned into its type.

A language model answers in JSON, so values are converted by what JSON says and never by a type's constructor:
``bool("False")`` is true and ``list("[3,4]")`` is a list of characters, which is how the official package of Trace
(arXiv 2406.16218) reads such replies.
"""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from optimand.core.validation import OptimandError

POLICIES = ("reject", "round")
_WORDS = {"true": True, "false": False}


class ValueRejected(OptimandError):  # noqa: N818 (what happened)
    """A suggested value cannot become the value of a parameter; the text says why."""


def kind_of(value: Any) -> str:
    """``bool, int, float, str, list, tuple, dict, array`` or ``any``: how a value is written in JSON.

    Example:
        >>> [kind_of(value) for value in (True, 1, 1.0, "a", [1], None)]
        ['bool', 'int', 'float', 'str', 'list', 'any']
    """
    if isinstance(value, np.ndarray):
        return "array"
    for kind, types in (
        ("bool", (bool, np.bool_)),
        ("int", (int, np.integer)),
        ("float", (float, np.floating)),
        ("str", (str,)),
        ("list", (list,)),
        ("tuple", (tuple,)),
        ("dict", (dict,)),
    ):
        if isinstance(value, types):
            return kind
    return "any"


def plain(value: Any) -> Any:
    """A value as JSON can hold it: arrays and tuples become lists, what has no JSON form its ``repr``.

    Example:
        >>> plain((1, np.float64(2.5), {3: float("inf")}))
        [1, 2.5, {'3': 'inf'}]
    """
    kind = kind_of(value)
    if kind == "array":
        return plain(value.tolist())
    if kind in ("list", "tuple"):
        return [plain(item) for item in value]
    if kind == "dict":
        return {str(key): plain(item) for key, item in value.items()}
    if kind == "float":
        return float(value) if math.isfinite(value) else repr(float(value))
    if kind in ("bool", "int", "str"):
        return {"bool": bool, "int": int, "str": str}[kind](value)
    return None if value is None else repr(value)


def schema_like(example: Any) -> dict[str, Any]:
    """The JSON schema of values of the kind of ``example``.

    A list may have any length and its items are of the kind of its first if all agree; a tuple and an array keep
    their form; a mapping with entries keeps its keys.

    Example:
        >>> schema_like((1, 2.0))["prefixItems"]
        [{'type': 'integer'}, {'type': 'number'}]
    """
    kind = kind_of(example)
    if kind in ("bool", "int", "float", "str"):
        return {"type": {"bool": "boolean", "int": "integer", "float": "number", "str": "string"}[kind]}
    if kind == "list":
        item = _common_item(example)
        return {"type": "array", "items": {} if item is None else schema_like(item)}
    if kind == "tuple":
        items = [schema_like(item) for item in example]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
    if kind == "array":
        schema = schema_like(example.dtype.type(0))
        for size in reversed(example.shape):
            schema = {"type": "array", "items": schema, "minItems": size, "maxItems": size}
        return schema
    if kind == "dict" and example and all(isinstance(key, str) for key in example):
        entries = {key: schema_like(item) for key, item in example.items()}
        return {"type": "object", "properties": entries, "required": list(entries), "additionalProperties": False}
    return {"type": "object"} if kind == "dict" else {}


def _common_item(items: Sequence[Any]) -> Any:
    """An item that stands for all of a list, or None where they differ; numbers mixed are real numbers."""
    kinds = {kind_of(item) for item in items}
    if kinds == {"int", "float"}:
        return 0.0
    return items[0] if len(kinds) == 1 else None


def convert_like(example: Any, value: Any, *, policy: str, notes: list[str], where: str = "the value") -> Any:
    """``value``, as it came in a reply, as a value of the kind of ``example``.

    Args:
        example: the present value.
        value: what JSON holds, or a text that holds JSON.
        policy: what becomes of a fraction where an integer is needed: ``reject`` or ``round`` (half to even).
        notes: gets a sentence for every change of form that was made.
        where: how messages call the value.

    Raises:
        ValueRejected: there is no such value; says why.
    """
    kind = kind_of(example)
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if kind == "any":
        return value
    if kind == "str":
        return _text(value, notes, where)
    if isinstance(value, str):
        value = _parsed(value, kind, notes, where)
    if kind == "bool":
        return _truth(value, notes, where)
    if kind == "int":
        return _integer(value, policy, notes, where)
    if kind == "float":
        return _real(value, where)
    if kind == "array":
        return _array(example, value, policy, notes, where)
    if kind == "dict":
        return _mapping(example, value, policy, notes, where)
    return _sequence(example, value, policy, notes, where)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _text(value: Any, notes: list[str], where: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        notes.append(f"{where}: {_shown(value)} was taken as text")
        return json.dumps(value)
    raise ValueRejected(f"{where} must be a text, got {_shown(value)}")


def _parsed(text: str, kind: str, notes: list[str], where: str) -> Any:
    """What a text says where something else than a text is needed."""
    stripped = text.strip()
    if stripped.casefold() in _WORDS:
        value: Any = _WORDS[stripped.casefold()]
    else:
        try:
            value = json.loads(stripped)
        except ValueError:
            try:
                value = ast.literal_eval(stripped)
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                raise ValueRejected(f"{where} must be {_named(kind)}, got the text {_shown(text)}") from None
    notes.append(f"{where}: read from the text {_shown(text)}")
    return value


def _named(kind: str) -> str:
    return {
        "bool": "true or false",
        "int": "an integer",
        "float": "a number",
        "list": "a list",
        "tuple": "a list",
        "array": "a list of numbers",
        "dict": "an object",
    }[kind]


def _truth(value: Any, notes: list[str], where: str) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and value in (0, 1):
        notes.append(f"{where}: {value} was taken as {bool(value)}")
        return bool(value)
    raise ValueRejected(f"{where} must be true or false, got {_shown(value)}")


def _integer(value: Any, policy: str, notes: list[str], where: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, float) or not math.isfinite(value):
        raise ValueRejected(f"{where} must be an integer, got {_shown(value)}")
    if value.is_integer():
        return int(value)
    if policy != "round":
        raise ValueRejected(f"{where} must be an integer, got {value!r} (policy='round' would take {round(value)})")
    notes.append(f"{where}: {value!r} was rounded to {round(value)}")
    return round(value)


def _real(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueRejected(f"{where} must be a number, got {_shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueRejected(f"{where} must be a finite number, got {_shown(value)}")
    return number


def _sequence(example: Any, value: Any, policy: str, notes: list[str], where: str) -> Any:
    if not isinstance(value, list | tuple):
        raise ValueRejected(f"{where} must be a list, got {_shown(value)}")
    if isinstance(example, tuple) and len(value) != len(example):
        raise ValueRejected(f"{where} must have {len(example)} items, got {len(value)}")
    common = _common_item(example) if isinstance(example, list) else None
    items = []
    for index, item in enumerate(value):
        like = example[index] if isinstance(example, tuple) else common
        items.append(convert_like(like, item, policy=policy, notes=notes, where=f"{where}[{index}]"))
    return tuple(items) if isinstance(example, tuple) else items


def _array(example: np.ndarray, value: Any, policy: str, notes: list[str], where: str) -> np.ndarray:
    like = example.dtype.type(0)
    if kind_of(like) not in ("bool", "int", "float"):
        raise ValueRejected(f"{where} is an array of {example.dtype}, which JSON cannot hold")

    def read(item: Any, shape: tuple[int, ...], name: str) -> Any:
        if not shape:
            return convert_like(like, item, policy=policy, notes=notes, where=name)
        if not isinstance(item, list | tuple) or len(item) != shape[0]:
            raise ValueRejected(f"{name} must be a list of {shape[0]} items, got {_shown(item)}")
        return [read(part, shape[1:], f"{name}[{index}]") for index, part in enumerate(item)]

    try:
        return np.array(read(value, example.shape, where), dtype=example.dtype).reshape(example.shape)
    except OverflowError:
        raise ValueRejected(f"{where} holds numbers that {example.dtype} cannot") from None


def _mapping(example: Mapping[Any, Any], value: Any, policy: str, notes: list[str], where: str) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise ValueRejected(f"{where} must be an object, got {_shown(value)}")
    if not example:
        return dict(value)
    names = {str(key): key for key in example}
    given = {str(key): item for key, item in value.items()}
    missing = [key for key in names if key not in given]
    extra = [key for key in given if key not in names]
    if missing or extra:
        faults = [f"has no entry {_shown(key)}" for key in missing] + [f"may not have {_shown(key)}" for key in extra]
        raise ValueRejected(f"{where} {' and '.join(faults)}")
    return {
        key: convert_like(example[key], given[name], policy=policy, notes=notes, where=f"{where}[{name!r}]")
        for name, key in names.items()
    }
