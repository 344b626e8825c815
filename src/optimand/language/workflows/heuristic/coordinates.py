"""Parameters as coordinates: numbers with ranges, enumerations as positions in a list, and what stays as it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..optimizers.kinds import kind_of
from .brackets import Point, Range, clip


class Coordinates:
    """How the values of parameters and points of a search correspond.

    Numbers, and the items of lists, tuples and arrays of numbers, are coordinates with the parameter's ``minimum`` and
    ``maximum``; truth values and parameters with ``choices`` are positions in a list. Texts without choices, code and
    everything else are left as they are.

    Args:
        parameters: trainable nodes, with ``name``, ``data`` and, where they have them, ``minimum``, ``maximum`` and
            ``choices``.

    Attributes:
        ranges: of the numbers.
        names: which parameter each number belongs to, with the item's index where it is one of several.
        owners: the parameter of each number.
        items: the index of each number in its parameter, None for a parameter that is a number.
        choices: of the listed coordinates.
        frozen: names of the parameters that are left as they are.
    """

    def __init__(self, parameters: Sequence[Any]) -> None:
        self.parameters = list(parameters)
        self.ranges: list[Range] = []
        self.names: list[str] = []
        self.owners: list[Any] = []
        self.items: list[tuple[int, ...] | None] = []
        self.choices: list[list[Any]] = []
        self._listed: list[Any] = []
        self.frozen: list[str] = []
        for parameter in self.parameters:
            self._add(parameter)

    def _add(self, parameter: Any) -> None:
        value, choices = parameter.data, getattr(parameter, "choices", None)
        kind = kind_of(value)
        if choices is not None or kind == "bool":
            listed = [False, True] if choices is None else list(choices)
            if not any(_same(value, choice) for choice in listed):
                listed.append(value)
            self.choices.append(listed)
            self._listed.append(parameter)
        elif kind in ("int", "float"):
            self._number(parameter, None, kind == "int")
        elif kind in ("list", "tuple") and value and all(kind_of(item) in ("int", "float") for item in value):
            whole = all(kind_of(item) == "int" for item in value)
            for index in range(len(value)):
                self._number(parameter, (index,), whole)
        elif kind == "array" and value.size and value.dtype.kind in "iuf":
            for place in np.ndindex(value.shape):
                self._number(parameter, place, value.dtype.kind in "iu")
        else:
            self.frozen.append(str(parameter.name))

    def _number(self, parameter: Any, item: tuple[int, ...] | None, integer: bool) -> None:
        low, high = (getattr(parameter, key, None) for key in ("minimum", "maximum"))
        low = -math.inf if low is None else float(low)
        high = math.inf if high is None else float(high)
        self.ranges.append(Range(low, high, integer))
        self.owners.append(parameter)
        self.items.append(item)
        self.names.append(str(parameter.name) + ("" if item is None else f"[{', '.join(map(str, item))}]"))

    def read(self, values: Mapping[Any, Any] | None = None) -> tuple[Point, tuple[int, ...]]:
        """Values as a point, moved into the ranges, and positions in the lists.

        Args:
            values: by parameter; None for the present ones.
        """
        if values is None:
            values = {parameter: parameter.data for parameter in self.parameters}
        numbers = [
            float(values[owner] if item is None else item_of(values[owner], item))
            for owner, item in zip(self.owners, self.items, strict=True)
        ]
        numbers = [value if math.isfinite(value) else 0.0 for value in numbers]
        options = []
        for parameter, choices in zip(self._listed, self.choices, strict=True):
            value = values[parameter]
            known = next((i for i, choice in enumerate(choices) if _same(value, choice)), None)
            if known is None:
                choices.append(value)
                known = len(choices) - 1
            options.append(known)
        return clip(numbers, self.ranges), tuple(options)

    def values(self, point: Sequence[float], options: Sequence[int]) -> dict[Any, Any]:
        """The values of all parameters but the frozen ones at a point.

        Args:
            point: a number for each of ``ranges``.
            options: a position for each of ``choices``.
        """
        found: dict[Any, Any] = {
            parameter: choices[option]
            for parameter, choices, option in zip(self._listed, self.choices, options, strict=True)
        }
        for value, owner, item, range_ in zip(point, self.owners, self.items, self.ranges, strict=True):
            number: int | float = int(value) if range_.integer else float(value)
            if item is None:
                found[owner] = number
                continue
            if owner not in found:
                found[owner] = np.array(owner.data) if kind_of(owner.data) == "array" else list(owner.data)
            if isinstance(found[owner], np.ndarray):
                found[owner][item] = number
            else:
                found[owner][item[0]] = number
        return {
            parameter: tuple(value) if isinstance(parameter.data, tuple) else value
            for parameter, value in found.items()
        }


def item_of(value: Any, index: tuple[int, ...]) -> Any:
    """An item of a list, tuple or array."""
    return value[index] if kind_of(value) == "array" else value[index[0]]


def _same(value: Any, choice: Any) -> bool:
    # True equals 1 in Python, but is another choice.
    return isinstance(value, bool) == isinstance(choice, bool) and bool(np.all(value == choice))
