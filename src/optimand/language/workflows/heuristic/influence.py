"""How an output depends on numbers, read from the recorded graph: the sign of each parameter's influence.

Derivatives are propagated forward through the graph as intervals, over the whole box of values or at the recorded point
only. An interval on one side of zero is a sign that holds there; otherwise the sign is unknown, which is what is said.
An operator is known by the name in its description; where the recorded output is not what an operator of that name
gives, or the name is not known, nothing is assumed of it, unless its signs were declared.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..optimizers.kinds import kind_of
from . import intervals as iv
from .coordinates import Coordinates, item_of
from .intervals import EVERYTHING, Interval

Signs = list[int | None]


@dataclass
class _Quantity:
    """What a number in the graph can be, and its derivative by each coordinate that it depends on."""

    value: Interval
    slopes: dict[int, Interval] = field(default_factory=dict)


@dataclass
class _Items:
    """A container of numbers."""

    items: dict[Any, _Quantity]


def operator_of(node: Any) -> str:
    """The operator's name in a node's description ``[name] text``; empty where there is none.

    Example:
        >>> from types import SimpleNamespace
        >>> operator_of(SimpleNamespace(description="[mul] x * y"))
        'mul'
    """
    found = re.match(r"\s*\[([^\]]*)\]", str(getattr(node, "description", "") or ""))
    return found.group(1).strip() if found else ""


def influence(
    graph: Any,
    coordinates: Coordinates,
    *,
    everywhere: bool = True,
    declared: Mapping[str, Sequence[int | None]] | None = None,
) -> Signs:
    """The sign of the output's dependence on each number.

    Args:
        graph: a :class:`TraceGraph <optimand.language.workflows.tracing.graph.TraceGraph>`.
        coordinates: the numbers.
        everywhere: the sign has to hold in the whole box; else at the recorded values only.
        declared: signs of influence of the arguments of operators that are not known, by operator name: 1 the result
            grows with the argument, -1 it falls, 0 it does not depend on it, None unknown.

    Returns:
        For each coordinate 1, -1, 0 (no influence) or None (unknown); of a batch of outputs what holds for all of them.
    """
    found: dict[int, _Quantity | _Items] = {}
    for node in graph.nodes:
        found[id(node)] = _quantity(node, found, coordinates, everywhere, declared or {})
    if graph.output is None:
        return [None] * len(coordinates.ranges)
    batch = operator_of(graph.output) == "batchify"
    outputs = list(graph.output.inputs.values()) if batch else [graph.output]
    count = len(coordinates.ranges)
    return [_agreed(signs) for signs in zip(*(_signs(found.get(id(one)), one, count) for one in outputs), strict=True)]


def _signs(quantity: _Quantity | _Items | None, node: Any, count: int) -> Signs:
    if not isinstance(quantity, _Quantity) or not _is_number(node.data):
        return [None] * count
    return [_sign(quantity.slopes[i]) if i in quantity.slopes else 0 for i in range(count)]


def _agreed(signs: Sequence[int | None]) -> int | None:
    """The sign of a coordinate's influence on all outputs of a batch; None where they differ or one is unknown."""
    found = {sign for sign in signs if sign != 0}
    return found.pop() if len(found) == 1 else None if found else 0


def _sign(slope: Interval) -> int | None:
    if slope == iv.ZERO:
        return 0
    return 1 if slope[0] >= 0.0 else -1 if slope[1] <= 0.0 else None


def _is_number(value: Any) -> bool:
    return kind_of(value) in ("int", "float", "bool")


def _quantity(
    node: Any,
    found: Mapping[int, _Quantity | _Items],
    coordinates: Coordinates,
    everywhere: bool,
    declared: Mapping[str, Sequence[int | None]],
) -> _Quantity | _Items:
    arguments = list(getattr(node, "inputs", {}).values())
    known = [found[id(argument)] for argument in arguments if id(argument) in found]
    if not arguments or len(known) < len(arguments):
        return _root(node, coordinates, everywhere)
    name = operator_of(node)
    if name == "getitem" and isinstance(known[0], _Items):
        item = known[0].items.get(_key(arguments[1].data))
        return _Quantity(EVERYTHING, dict.fromkeys(_depends(known), EVERYTHING)) if item is None else item
    depends = _depends(known)
    if not depends and _is_number(node.data):
        return _constant(node.data)
    numbers = [quantity for quantity in known if isinstance(quantity, _Quantity)]
    result = None
    if len(numbers) == len(known):
        result = iv.apply(name, [quantity.value for quantity in numbers])
        if result is not None and not _as_recorded(name, arguments, node):
            result = None
    slopes = declared.get(name) if result is None else None
    if slopes is not None and len(slopes) == len(numbers) == len(known):
        signs = {1: (0.0, math.inf), -1: (-math.inf, 0.0), 0: iv.ZERO, None: EVERYTHING}
        result = EVERYTHING, [signs[sign] for sign in slopes]
    if result is None:
        return _Quantity(EVERYTHING, dict.fromkeys(depends, EVERYTHING))
    return _chained(result, numbers)


def _chained(result: iv.Partials, arguments: Sequence[_Quantity]) -> _Quantity:
    """The chain rule."""
    total: dict[int, Interval] = {}
    for partial, argument in zip(result[1], arguments, strict=True):
        for axis, slope in argument.slopes.items():
            total[axis] = iv.add(total.get(axis, iv.ZERO), iv.multiply(partial, slope))
    return _Quantity(result[0], total)


def _root(node: Any, coordinates: Coordinates, everywhere: bool) -> _Quantity | _Items:
    """A parameter, a constant, or a node whose inputs lie outside the graph."""
    own = [i for i, owner in enumerate(coordinates.owners) if owner is node]
    if not own:
        return _constant(node.data) if _is_number(node.data) else _Items({})
    found: dict[Any, _Quantity] = {}
    for axis in own:
        range_, item = coordinates.ranges[axis], coordinates.items[axis]
        value = float(node.data if item is None else item_of(node.data, item))
        box = (range_.low, range_.high) if everywhere else (value, value)
        quantity = _Quantity(box, {axis: iv.ONE})
        if item is None:
            return quantity
        found[_key(item if len(item) > 1 else item[0])] = quantity
        if len(item) == 1:
            found[item[0] - len(node.data)] = quantity  # counted from the end
    return _Items(found)


def _constant(value: Any) -> _Quantity:
    number = float(value)
    return _Quantity(EVERYTHING if math.isnan(number) else (number, number))


def _key(index: Any) -> Any:
    return tuple(index) if isinstance(index, list | tuple) else index


def _depends(known: Sequence[_Quantity | _Items]) -> set[int]:
    found: set[int] = set()
    for quantity in known:
        for one in quantity.items.values() if isinstance(quantity, _Items) else [quantity]:
            found |= set(one.slopes)
    return found


def _as_recorded(name: str, arguments: Sequence[Any], node: Any) -> bool:
    """Whether the operator that we know by this name gives the output that was recorded."""
    if not _is_number(node.data) or not all(_is_number(argument.data) for argument in arguments):
        return False
    result = iv.apply(name, [(float(argument.data),) * 2 for argument in arguments])  # type: ignore[misc]
    if result is None:
        return False
    (low, high), value = result[0], float(node.data)
    slack = 1e-9 * (1.0 + abs(value))
    return math.isnan(value) or low - slack <= value <= high + slack


def checked_signs(operators: Mapping[str, Sequence[int | None]]) -> dict[str, tuple[int | None, ...]]:
    """Declared signs of operators, each 1, -1, 0 or None."""
    found = {}
    for name, signs in operators.items():
        if isinstance(signs, str) or any(sign not in (1, -1, 0, None) for sign in signs):
            raise ValueError(f"operators[{name!r}] must hold 1, -1, 0 or None for each argument, got {signs!r}")
        found[name] = tuple(signs)
    return found
