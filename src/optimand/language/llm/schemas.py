"""Whether a value is what a JSON schema asks for; a subset of the schema language, without silent gaps.

Models are told what is wrong with a reply, so a check names every fault with its place. A keyword outside the subset is
an error in the schema rather than a condition that is never checked.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

_ANNOTATIONS = {
    "$comment", "$defs", "$id", "$schema", "default", "definitions", "deprecated", "description", "examples", "format",
    "readOnly", "strict", "title",
}  # fmt: skip
_CHECKED = {
    "$ref", "additionalProperties", "allOf", "anyOf", "const", "enum", "exclusiveMaximum", "exclusiveMinimum", "items",
    "maxItems", "maxLength", "maxProperties", "maximum", "minItems", "minLength", "minProperties", "minimum",
    "multipleOf", "oneOf", "pattern", "prefixItems", "properties", "required", "type", "uniqueItems",
}  # fmt: skip
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool) and _finite(value),
}


def faults_of(value: Any, schema: Mapping[str, Any], *, convert: bool = True) -> tuple[Any, list[str]]:
    """Check a value against a schema.

    Args:
        value: as JSON gives it: dict, list, str, int, float, bool, None.
        schema: with the keywords ``type``, ``properties``, ``required``, ``additionalProperties``, ``items``,
            ``prefixItems``, ``enum``, ``const``, ``anyOf``, ``oneOf``, ``allOf``, ``$ref`` within the schema, limits on
            numbers, lengths and counts, ``pattern``, ``uniqueItems``.
        convert: accept another writing of the same value, and return it in the type asked for: 7.0 for the integer 7;
            a text that is exactly a JSON number, ``true``/``false``, an array or an object, where no text is allowed.
            7.9 is never an integer, and a number is never a text.

    Returns:
        The value, converted where that was needed, and its faults as texts like ``$.x: 12 is above the maximum 10``.

    Raises:
        ValueError: the schema has a keyword that is not in the subset, or a reference that leads nowhere.

    Example:
        >>> faults_of({"n": 7.0}, {"type": "object", "properties": {"n": {"type": "integer", "maximum": 5}}})
        ({'n': 7}, ['$.n: 7 is above the maximum 5'])
    """
    checker = _Checker(schema, convert)
    try:
        return checker.check(value, schema, "$"), checker.faults
    except RecursionError:
        return value, ["$: is nested too deeply, or the schema refers to itself without end"]


def _finite(value: float) -> bool:
    return isinstance(value, int) or math.isfinite(value)  # an integer may be too large for isfinite


class _Checker:
    def __init__(self, root: Mapping[str, Any], convert: bool) -> None:
        self.root = root
        self.convert = convert
        self.faults: list[str] = []

    def fault(self, path: str, what: str) -> None:
        self.faults.append(f"{path}: {what}")

    def check(self, value: Any, schema: Mapping[str, Any] | bool, path: str) -> Any:
        if isinstance(schema, bool):
            if not schema:
                self.fault(path, "is not allowed")
            return value
        unknown = set(schema) - _CHECKED - _ANNOTATIONS
        if unknown:
            raise ValueError(
                f"schema at {path} has {', '.join(sorted(map(repr, unknown)))}, which cannot be checked here"
            )
        if "$ref" in schema:
            value = self.check(value, self.target(schema["$ref"]), path)
        if "type" in schema:
            kinds = [schema["type"]] if isinstance(schema["type"], str) else list(schema["type"])
            value, fits = self.typed(value, kinds)
            if not fits:
                self.fault(path, f"must be {' or '.join(kinds)}, got {_show(value)}")
                return value
        value = self.choices(value, schema, path)
        if isinstance(value, dict):
            return self.object(value, schema, path)
        if isinstance(value, list):
            return self.array(value, schema, path)
        if isinstance(value, str):
            self.text(value, schema, path)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            self.number(value, schema, path)
        return value

    def target(self, reference: str) -> Mapping[str, Any] | bool:
        here: Any = self.root
        for part in reference.removeprefix("#").strip("/").split("/") if reference != "#" else ():
            name = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(here, Mapping) or name not in here or not reference.startswith("#"):
                raise ValueError(f"schema has the reference {reference!r}, which leads nowhere")
            here = here[name]
        return here  # type: ignore[no-any-return]

    def typed(self, value: Any, kinds: list[str]) -> tuple[Any, bool]:
        for kind in kinds:
            if kind not in _TYPES:
                raise ValueError(f"schema has the type {kind!r}; known are {', '.join(_TYPES)}")
            if _TYPES[kind](value):
                return value, True
        if isinstance(value, float) and value.is_integer() and "integer" in kinds:
            return int(value), True
        if self.convert and isinstance(value, str) and "string" not in kinds:
            other = _decoded(value.strip())
            for kind in kinds:
                if kind != "null" and other is not None and _TYPES[kind](other):
                    return other, True
        return value, False

    def choices(self, value: Any, schema: Mapping[str, Any], path: str) -> Any:
        if "const" in schema and not _same(value, schema["const"]):
            self.fault(path, f"must be {_show(schema['const'])}, got {_show(value)}")
        if "enum" in schema and not any(_same(value, option) for option in schema["enum"]):
            self.fault(path, f"must be one of {', '.join(map(_show, schema['enum']))}, got {_show(value)}")
        for part in schema.get("allOf", ()):
            value = self.check(value, part, path)
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                value = self.alternatives(value, schema[keyword], path, only_one=keyword == "oneOf")
        return value

    def alternatives(self, value: Any, options: Any, path: str, *, only_one: bool) -> Any:
        fitting: list[Any] = []
        nearest: list[str] | None = None
        # An alternative that takes the value as it is goes before one that takes it converted.
        for convert in (False, True) if self.convert else (False,):
            for option in options:
                trial = _Checker(self.root, convert)
                found = trial.check(value, option, path)
                if not trial.faults:
                    fitting.append(found)
                elif nearest is None or len(trial.faults) < len(nearest):
                    nearest = trial.faults
            if fitting:
                break
        if not fitting:
            self.faults.extend(nearest or [f"{path}: fits no alternative"])
            return value
        if only_one and len(fitting) > 1:
            self.fault(path, "fits several alternatives, and only one may fit")
        return fitting[0]

    def object(self, value: dict[str, Any], schema: Mapping[str, Any], path: str) -> dict[str, Any]:
        for name in schema.get("required", ()):
            if name not in value:
                self.fault(path, f"lacks {name!r}")
        known = schema.get("properties", {})
        rest = schema.get("additionalProperties", True)
        out: dict[str, Any] = {}
        for name, entry in value.items():
            place = f"{path}.{name}"
            if name in known:
                out[name] = self.check(entry, known[name], place)
            elif rest is False:
                self.fault(path, f"has {name!r}, which is not allowed{_allowed(known)}")
            else:
                out[name] = self.check(entry, rest, place)
        self.limits(len(value), schema, path, "Properties", "entries")
        return out

    def array(self, value: list[Any], schema: Mapping[str, Any], path: str) -> list[Any]:
        first = schema.get("prefixItems", ())
        rest = schema.get("items", True)
        out = [
            self.check(item, first[i] if i < len(first) else rest, f"{path}[{i}]") for i, item in enumerate(value)
        ]  # fmt: skip
        self.limits(len(value), schema, path, "Items", "items")
        if schema.get("uniqueItems") and any(_same(a, b) for i, a in enumerate(value) for b in value[:i]):
            self.fault(path, "has an item twice")
        return out

    def text(self, value: str, schema: Mapping[str, Any], path: str) -> None:
        self.limits(len(value), schema, path, "Length", "characters")
        if "pattern" in schema and not re.search(schema["pattern"], value):
            self.fault(path, f"does not match the pattern {schema['pattern']!r}")

    def limits(self, size: int, schema: Mapping[str, Any], path: str, what: str, unit: str) -> None:
        if size < schema.get("min" + what, 0):
            self.fault(path, f"has {size} {unit}, fewer than {schema['min' + what]}")
        if size > schema.get("max" + what, math.inf):
            self.fault(path, f"has {size} {unit}, more than {schema['max' + what]}")

    def number(self, value: float, schema: Mapping[str, Any], path: str) -> None:
        if not _finite(value):
            self.fault(path, f"must be a finite number, got {value}")
        if value < schema.get("minimum", -math.inf):
            self.fault(path, f"{value} is below the minimum {schema['minimum']}")
        if value > schema.get("maximum", math.inf):
            self.fault(path, f"{value} is above the maximum {schema['maximum']}")
        if "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
            self.fault(path, f"{value} must be above {schema['exclusiveMinimum']}")
        if "exclusiveMaximum" in schema and value >= schema["exclusiveMaximum"]:
            self.fault(path, f"{value} must be below {schema['exclusiveMaximum']}")
        if "multipleOf" in schema:
            step = schema["multipleOf"]
            whole = isinstance(value, int) and isinstance(step, int)
            if abs(value) > 1e300 and not whole:
                self.fault(path, "is too large to tell whether it is a multiple")
            elif value % step if whole else abs(value / step - round(value / step)) > 1e-9 * max(1, abs(value / step)):
                self.fault(path, f"{value} is no multiple of {schema['multipleOf']}")


def _decoded(text: str) -> Any:
    """What a text holds if it is exactly a number, a truth value, an array or an object; None otherwise."""
    if text in ("true", "True", "false", "False"):
        return text.lower() == "true"
    number = _NUMBER.fullmatch(text) is not None
    if not number and text[:1] not in ("[", "{"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):  # no JSON, more digits than Python reads, brackets without end
        return None
    whole = number and isinstance(value, float) and value.is_integer() and "e" not in text.lower()
    return int(value) if whole else value


def _same(a: Any, b: Any) -> bool:
    """Equality in JSON: true is not 1, 1 is 1.0."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    return bool(a == b)


def _show(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, default=repr)
    except (ValueError, RecursionError):  # more digits or levels than can be written
        text = f"a very large {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."


def _allowed(known: Mapping[str, Any]) -> str:
    return f" (allowed: {', '.join(known)})" if known else ""
