"""Search with directions only: where to evaluate next when all that is known of a point is "larger" or "smaller".

Two points with opposite feedback bracket a solution on the segment between them, whatever the function, as long as it
is continuous; halving the segment keeps the bracket. What the signs of influence give is the first bracket: if it is
known for each coordinate whether the output grows with it, the corner to which all coordinates move the right way lies
beyond the target, and need not be evaluated. So several coordinates cost no more than one: they move together. Without
signs, corners of the box are tried until the feedback turns round.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

Point = tuple[float, ...]
CORNERS = 32  # of a box that are tried before points in its inside
# Where a segment is divided: in the middle, then where most room is left.
_FRACTIONS = (1 / 2, 1 / 4, 3 / 4, 1 / 8, 5 / 8, 3 / 8, 7 / 8)
VAIN = 3  # halvings towards a corner that may not lie beyond the target, before the corner itself is evaluated


@dataclass(frozen=True)
class Range:
    """The values of one coordinate: ``[low, high]``, either end may be infinite, whole numbers if ``integer``."""

    low: float = -math.inf
    high: float = math.inf
    integer: bool = False

    def clip(self, value: float) -> float:
        """The nearest value of the range."""
        value = min(max(value, self.low), self.high)
        if not self.integer:
            return float(value)
        return float(min(max(round(value), math.ceil(self.low)), math.floor(self.high)))

    @property
    def width(self) -> float:
        """``high - low``."""
        return self.high - self.low


@dataclass(frozen=True)
class Seen:
    """An evaluation.

    Attributes:
        point: coordinates.
        direction: how the output should have changed: 1 larger, -1 smaller, 0 nothing said.
        failed: an exception instead of an output.
        output: the output, where it is a number that may be looked at.
        options: positions of the listed coordinates, which were held fixed.
    """

    point: Point
    direction: int
    failed: bool = False
    output: float | None = None
    options: tuple[int, ...] = ()


def clip(point: Sequence[float], ranges: Sequence[Range]) -> Point:
    """The nearest point of the box."""
    return tuple(range_.clip(value) for value, range_ in zip(point, ranges, strict=True))


def distance(a: Sequence[float], b: Sequence[float], ranges: Sequence[Range]) -> float:
    """The largest difference of a coordinate, in units of its range's width (of 1 + |a| where that is infinite)."""
    return max(
        (
            abs(x - y) / (range_.width if math.isfinite(range_.width) and range_.width else 1.0 + abs(x))
            for x, y, range_ in zip(a, b, ranges, strict=True)
        ),
        default=0.0,
    )


def bracket(seen: Sequence[Seen], ranges: Sequence[Range]) -> tuple[Point, Point] | None:
    """The latest point and the nearest one of opposite feedback, or None where all feedback is of one direction."""
    told = [s for s in seen if s.direction and not s.failed]
    if not told:
        return None
    last = told[-1]
    other = [s.point for s in told if s.direction == -last.direction]
    if not other:
        return None
    return last.point, min(other, key=lambda point: distance(last.point, point, ranges))


def between(a: Point, b: Point, ranges: Sequence[Range], tried: set[Point]) -> Point | None:
    """The middle of a segment; where that was tried another of its points, or for whole numbers one beside it.

    Returns:
        None when all of these were tried.
    """
    for fraction in _FRACTIONS:
        point = clip([x + fraction * (y - x) for x, y in zip(a, b, strict=True)], ranges)
        if point not in tried:
            return point
    middle = [(x + y) / 2 for x, y in zip(a, b, strict=True)]
    steps = [
        sorted({r.clip(math.floor(m)), r.clip(math.ceil(m)), x, y}) if r.integer else [m]
        for x, y, m, r in zip(a, b, middle, ranges, strict=True)
    ]
    near = (point for point in itertools.islice(itertools.product(*steps), 256) if point not in tried)
    return min(near, key=lambda point: distance(point, middle, ranges), default=None)


def corner(start: Point, ranges: Sequence[Range], signs: Sequence[int | None], reach: float) -> Point:
    """Where all coordinates whose sign is known end when they move so that the output changes as wanted.

    Args:
        start: from where.
        ranges: of the coordinates.
        signs: 1 for a coordinate that has to grow, -1 for one that has to fall, 0 or None for one that stays.
        reach: how far a coordinate goes whose range has no end there.
    """
    found = []
    for value, range_, sign in zip(start, ranges, signs, strict=True):
        end = range_.high if sign == 1 else range_.low if sign == -1 else value
        found.append(end if math.isfinite(end) else value + (sign or 0) * reach)
    return clip(found, ranges)


def went_wrong(seen: Sequence[Seen]) -> bool:
    """Whether the last move changed the output against what was asked for."""
    if len(seen) < 2:
        return False
    before, now = seen[-2:]
    if before.output is None or now.output is None:
        return before.direction == now.direction
    return (now.output - before.output) * before.direction <= 0


def secant(seen: Sequence[Seen], axis: int) -> int | None:
    """The sign of a coordinate's influence from the last two outputs, where only it moved."""
    if len(seen) < 2:
        return None
    a, b = seen[-2:]
    if (
        a.output is None
        or b.output is None
        or any(x != y for i, (x, y) in enumerate(zip(a.point, b.point, strict=True)) if i != axis)
    ):
        return None
    return int(np.sign((b.output - a.output) * (b.point[axis] - a.point[axis]))) or None


class Bracketing:
    """The next point from all that was seen.

    Args:
        ranges: of the coordinates.
        rng: for the order of corners and for points in the inside.
        step: how far the first step goes along a coordinate without bounds; it doubles.
        tolerance: segments shorter than this (see :func:`distance`) are not halved.

    Example:
        >>> search = Bracketing([Range(0, 16)], np.random.default_rng(0))
        >>> seen = [Seen((8.0,), 1)]                # "larger" at 8, and the output grows with the coordinate
        >>> search.next(seen, [1])
        (12.0,)
        >>> search.next([*seen, Seen((12.0,), -1)], [1])
        (10.0,)
    """

    def __init__(
        self, ranges: Sequence[Range], rng: np.random.Generator, *, step: float = 1.0, tolerance: float = 1e-12
    ) -> None:
        self.ranges, self.rng, self.step, self.tolerance = list(ranges), rng, step, tolerance
        self.corners = self._orders()

    def next(
        self,
        seen: Sequence[Seen],
        signs: Sequence[int | None],
        *,
        certain: bool = True,
        offered: Collection[Point] = (),
    ) -> Point | None:
        """The next point; None when nothing is left to try.

        Args:
            seen: all evaluations, oldest first; the last one is where we are.
            signs: how the output depends on each coordinate: 1 grows, -1 falls, 0 not at all, None unknown.
            certain: the signs hold in the whole box, not only at the last point.
            offered: points that were proposed on the same feedback, and are not to be proposed again.
        """
        tried = {s.point for s in seen} | set(offered)
        if seen[-1].failed:
            return self._retreat(seen, tried)
        found = bracket(seen, self.ranges)
        if found is not None:
            if distance(*found, self.ranges) <= self.tolerance:
                return None
            return between(*found, self.ranges, tried)
        direction = seen[-1].direction
        wanted = [None if sign is None else sign * direction for sign in signs]
        if any(wanted):
            point = self._towards_corner(seen, wanted, tried, certain)
            if point is not None or (certain and None not in wanted):
                return point
        return self._elsewhere(seen, tried)

    def _towards_corner(
        self, seen: Sequence[Seen], wanted: Sequence[int | None], tried: set[Point], certain: bool
    ) -> Point | None:
        here = seen[-1].point
        run = self._same_way(seen)
        end = corner(here, self.ranges, wanted, self.step * 2.0 ** min(run - 1, 60))
        if end in tried:
            return None
        unbounded = any(
            w and not math.isfinite(r.high if w == 1 else r.low) for w, r in zip(wanted, self.ranges, strict=True)
        )
        if unbounded or (not certain and run > VAIN) or distance(here, end, self.ranges) <= self.tolerance:
            return end
        return between(here, end, self.ranges, tried) or end

    @staticmethod
    def _same_way(seen: Sequence[Seen]) -> int:
        """How many evaluations at the end ask for the same direction."""
        count = 0
        for s in reversed(seen):
            if s.direction != seen[-1].direction:
                break
            count += 1
        return count

    def _retreat(self, seen: Sequence[Seen], tried: set[Point]) -> Point | None:
        """From a point that failed half way back to the last that did not."""
        good = next((s.point for s in reversed(seen) if not s.failed), None)
        if good is None:
            return self._inside(tried)
        return between(seen[-1].point, good, self.ranges, tried)

    def _elsewhere(self, seen: Sequence[Seen], tried: set[Point]) -> Point | None:
        """A corner that was not tried, opposite ones in pairs; then points inside."""
        here, reach = seen[0].point, self.step * 2.0 ** min(len(seen) - 1, 60)
        for signs in self.corners:
            point = corner(here, self.ranges, signs, reach)
            if point not in tried:
                return point
        return self._inside(tried)

    def _orders(self) -> list[tuple[int, ...]]:
        """Signs of the corners, in a random order in which opposite ones follow one another."""
        dim = len(self.ranges)
        if dim <= 5:
            halves = np.array(list(itertools.product((-1, 1), repeat=dim))[: 2 ** max(dim - 1, 0)])
            halves = self.rng.permutation(halves)
        else:
            halves = self.rng.choice((-1, 1), size=(CORNERS // 2, dim))
        flips = self.rng.choice((-1, 1), size=len(halves))
        return [
            tuple(int(x) for x in way * half * flip)
            for half, flip in zip(halves, flips, strict=True)
            for way in (1, -1)
        ]

    def _inside(self, tried: set[Point]) -> Point | None:
        for _ in range(64):
            point = clip(
                [
                    self.rng.uniform(r.low, r.high)
                    if math.isfinite(r.width)
                    else self.rng.normal(0.0 if math.isinf(r.low) else r.low, self.step * 4)
                    for r in self.ranges
                ],
                self.ranges,
            )
            if point not in tried:
                return point
        return None
