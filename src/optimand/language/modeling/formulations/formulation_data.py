"""Plain data of formulations: the JSON schema, a reader that takes what models make of it, what a solver found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

_KINDS = {"continuous": "real", "float": "real", "int": "integer", "bool": "binary", "boolean": "binary"}
_SENSES = {"max": "maximize", "min": "minimize", "maximise": "maximize", "minimise": "minimize"}


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    # Every property required and no other: what strict decoders of JSON schemas demand.
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


_TEXT = {"type": "string"}
_BOUND = {"type": ["number", "null"]}
SCHEMA: dict[str, Any] = _object(
    {
        "variables": {
            "type": "array",
            "minItems": 1,
            "items": _object(
                {
                    "name": {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_]*$"},
                    "meaning": _TEXT,
                    "kind": {"type": "string", "enum": ["real", "integer", "binary"]},
                    "low": _BOUND,
                    "high": _BOUND,
                }
            ),
        },
        "sense": {"type": "string", "enum": ["maximize", "minimize"]},
        "objective": _TEXT,
        "constraints": {"type": "array", "items": _object({"expression": _TEXT, "meaning": _TEXT})},
    }
)


def read_formulation(data: Any) -> dict[str, Any]:
    """Arguments of variables, of constraints, sense and objective from plain data.

    Raises:
        ValueError, TypeError: a part is missing or of another form.

    Example:
        >>> read_formulation({"variables": ["x"], "sense": "max", "objective": "x", "constraints": ["x <= 3"]})["sense"]
        'maximize'
    """
    if not isinstance(data, Mapping):
        raise TypeError(f"a formulation must be an object, got {data!r:.80}")
    for key in ("variables", "sense", "objective"):
        if key not in data:
            raise ValueError(f"a formulation needs {key!r}; it has {', '.join(map(str, data)) or 'nothing'}")
    sense = str(data["sense"]).lower()
    return {
        "variables": [_variable(item) for item in _listed("variables", data["variables"])],
        "sense": _SENSES.get(sense, sense),
        "objective": str(data["objective"]),
        "constraints": [_constraint(item) for item in _listed("constraints", data.get("constraints", ()))],
    }


def _listed(name: str, value: Any) -> Iterable[Any]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"{name} must be a list, got {value!r:.80}")
    return value


def _variable(item: Any) -> dict[str, Any]:
    if isinstance(item, str):
        return {"name": item}
    if not isinstance(item, Mapping) or "name" not in item:
        raise TypeError(f"a variable must be an object with a name, got {item!r:.80}")
    kind = str(item.get("kind", item.get("type", "real"))).lower()
    return {
        "name": str(item["name"]),
        "meaning": str(item.get("meaning", "")),
        "kind": _KINDS.get(kind, kind),
        "low": item.get("low", 0.0),
        "high": item.get("high"),
    }


def _constraint(item: Any) -> dict[str, Any]:
    if isinstance(item, str):
        return {"expression": item}
    if not isinstance(item, Mapping) or "expression" not in item:
        raise TypeError(f"a constraint must be an object with an expression, got {item!r:.80}")
    return {"expression": str(item["expression"]), "meaning": str(item.get("meaning", ""))}


@dataclass(frozen=True)
class Solved:
    """What a solver found.

    Attributes:
        status: ``optimal``, ``infeasible``, ``unbounded``, ``limit`` or ``unsupported``.
        values: by variable; empty without a point.
        objective: None without a point.
        how: which solver, in words.
    """

    status: str
    values: Mapping[str, float] = field(default_factory=dict)
    objective: float | None = None
    how: str = ""
