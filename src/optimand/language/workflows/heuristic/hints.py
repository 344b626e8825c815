"""Bisection of single parameters by hints that name them, such as "increase green_a"."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .brackets import Point, Range


class Hints:
    """An interval for each coordinate, from all the hints that it was given.

    Args:
        ranges: of the coordinates.
        step: how far a coordinate without bounds goes first; the step doubles while the hint stays the same.

    Example:
        >>> hints = Hints([Range(0, 8)])
        >>> hints.tell((4.0,), {0: 1}); hints.next((4.0,))
        (6.0,)
        >>> hints.tell((6.0,), {0: -1}); hints.next((6.0,))
        (5.0,)
    """

    def __init__(self, ranges: Sequence[Range], *, step: float = 1.0) -> None:
        self.ranges, self.step = list(ranges), step
        self._told: list[list[tuple[float, int]]] = [[] for _ in ranges]

    def tell(self, point: Point, signs: Mapping[int, int]) -> None:
        """At ``point`` the coordinates in ``signs`` should have been larger (1) or smaller (-1)."""
        for axis, sign in signs.items():
            value, told = point[axis], self._told[axis]
            # What an earlier hint said that this one contradicts no longer holds.
            told[:] = [(x, s) for x, s in told if s == sign or (x - value) * sign > 0]
            told.append((value, sign))

    def next(self, point: Point) -> Point:
        """The middle of each interval, for the coordinates whose latest hint was given at ``point``."""
        return tuple(
            self._middle(value, told, range_) if told and told[-1][0] == value else value
            for value, told, range_ in zip(point, self._told, self.ranges, strict=True)
        )

    def _middle(self, value: float, told: Sequence[tuple[float, int]], range_: Range) -> float:
        sign = told[-1][1]
        beyond = [x for x, s in told if s == -sign and (x - value) * sign > 0]
        end = range_.high if sign > 0 else range_.low
        if beyond:
            middle = range_.clip((value + min(beyond, key=lambda x: abs(x - value))) / 2)
        elif math.isfinite(end):
            middle = range_.clip((value + end) / 2)
            if middle == value or abs(end - value) <= 1e-3 * range_.width:
                middle = range_.clip(end)
        else:
            run = next((i for i, (_, s) in enumerate(reversed(told)) if s != sign), len(told))
            middle = range_.clip(value + sign * self.step * 2.0 ** min(run - 1, 60))
        if range_.integer and (middle - value) * sign <= 0:
            # Rounding took the step back: the next whole number, unless that is known to be too far.
            middle = value if value + sign in beyond else range_.clip(value + sign)
        return middle

    def state_dict(self) -> dict[str, Any]:
        """All hints that still hold."""
        return {"told": [[[value, sign] for value, sign in told] for told in self._told]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave."""
        self._told = [[(value, sign) for value, sign in told] for told in state["told"]]
