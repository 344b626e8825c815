"""Search with scores: local perturbations of numbers with an adaptive step, systematic trial of what can be listed.

Numbers move by a (1+1) evolution strategy: a normal step from the best point, kept if the score is at least as good,
the step length under the one-fifth rule (Rechenberg 1973). Enumerations and truth values are tried one at a time from
the best point, each value once; afterwards by the upper confidence bound of the mean scores seen with a value (Auer,
Cesa-Bianchi and Fischer 2002), scaled to the range of the scores. The two kinds of move take turns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .brackets import Point, Range, clip

GROW = 1.5  # of the step after a success; a failure shrinks it by the fourth root of this: level at one in five
SMALLEST, LARGEST = 1e-9, 1.0  # steps, in units of the ranges' widths


class Trials:
    """Ask for a point, tell its score; a point is numbers and positions in lists of options.

    Args:
        ranges: of the numbers.
        counts: how many options each listed coordinate has, at least 1 each.
        rng: random numbers.
        step: standard deviation of the first step in units of a range's width (of ``1 + |value|`` where that is
            infinite), in (0, 1].

    Attributes:
        best: the best point so far and its score; None before the first score.

    Example:
        >>> search = Trials([Range(-1, 1)], [2], np.random.default_rng(0))
        >>> point, options = (0.9,), (0,)
        >>> for _ in range(60):
        ...     search.tell(point, options, -abs(point[0]) + options[0])
        ...     point, options = search.ask()
        >>> search.best[1], round(abs(search.best[0][0]), 2)
        ((1,), 0.0)
    """

    def __init__(
        self, ranges: Sequence[Range], counts: Sequence[int], rng: np.random.Generator, *, step: float = 0.25
    ) -> None:
        self.ranges, self.counts, self.rng = list(ranges), list(counts), rng
        self.step, self.best = step, None
        self._turn = 0
        self._sums = [np.zeros(count) for count in counts]
        self._seen = [np.zeros(count, dtype=int) for count in counts]
        self._low, self._high = math.inf, -math.inf
        self._tried: set[tuple[Point, tuple[int, ...]]] = set()

    best: tuple[Point, tuple[int, ...], float] | None

    def tell(self, point: Point, options: tuple[int, ...], score: float) -> None:
        """What the evaluation of a point gave; a failure is a score of minus infinity."""
        fresh = (point, options) not in self._tried
        self._tried.add((point, options))
        if math.isfinite(score):
            self._low, self._high = min(self._low, score), max(self._high, score)
        for sums, seen, option in zip(self._sums, self._seen, options, strict=True):
            sums[option] += score if math.isfinite(score) else (self._low if math.isfinite(self._low) else 0.0)
            seen[option] += 1
        if fresh and self.best is not None and point != self.best[0]:
            # An equal score is a plateau: there is nothing near, so look further away.
            factor = GROW if score >= self.best[2] else GROW**-0.25
            self.step = min(max(self.step * factor, SMALLEST), LARGEST)
        if self.best is None or score >= self.best[2]:
            self.best = (point, options, score)

    def ask(self) -> tuple[Point, tuple[int, ...]] | None:
        """The next point to evaluate; None when there is nothing that was not tried."""
        assert self.best is not None  # a score comes first
        point, options, _ = self.best
        self._turn += 1
        numbers = [i for i, range_ in enumerate(self.ranges) if range_.width > 0]
        listed = [i for i, count in enumerate(self.counts) if count > 1]
        if listed and (not numbers or (self._turn % 2 == 1 and self._worth_switching())):
            found = self._switch(point, options, listed)
            if found is not None:
                return point, found
        if not numbers:
            return None
        return self._perturb(point, options, numbers)

    def _worth_switching(self) -> bool:
        """Whether some option was never tried; else now and then, less and less often."""
        if any((seen == 0).any() for seen in self._seen):
            return True
        return bool(self.rng.random() < 2.0 / math.sqrt(1.0 + self._turn))

    def _switch(self, point: Point, options: tuple[int, ...], listed: Sequence[int]) -> tuple[int, ...] | None:
        for axis in listed:
            for option in range(self.counts[axis]):
                if self._seen[axis][option] == 0:
                    return _with(options, axis, option)
        worth = self._bounds()
        moves = [
            (worth[axis][option] - worth[axis][options[axis]], axis, option)
            for axis in listed
            for option in range(self.counts[axis])
            if option != options[axis] and (point, _with(options, axis, option)) not in self._tried
        ]
        if moves:
            _, axis, option = max(moves)
            return _with(options, axis, option)
        if any(range_.width > 0 for range_ in self.ranges):
            return None
        return self._other(point, listed)

    def _bounds(self) -> list[np.ndarray]:
        """Upper confidence bounds of the options' mean scores, scores scaled to [0, 1]."""
        spread = (self._high - self._low) or 1.0
        total = math.log(max(sum(int(seen.sum()) for seen in self._seen[:1]), 2))
        bounds = []
        for sums, seen in zip(self._sums, self._seen, strict=True):
            often = np.maximum(seen, 1)
            bounds.append((sums / often - self._low) / spread + np.sqrt(2 * total / often))
        return bounds

    def _other(self, point: Point, listed: Sequence[int]) -> tuple[int, ...] | None:
        """A combination of options that was not tried, changed in as few places as a few draws find."""
        assert self.best is not None
        options = self.best[1]
        if len(self._tried) >= math.prod(self.counts):
            return None
        for size in range(2, len(listed) + 1):
            for _ in range(32):
                found = options
                for axis in self.rng.permutation(listed)[:size]:
                    found = _with(found, int(axis), int(self.rng.integers(self.counts[int(axis)])))
                if (point, found) not in self._tried:
                    return found
        # few are left: the first in order
        for index in range(math.prod(self.counts)):
            found = tuple(int(i) for i in np.unravel_index(index, self.counts))
            if (point, found) not in self._tried:
                return found
        return None

    def _perturb(
        self, point: Point, options: tuple[int, ...], numbers: Sequence[int]
    ) -> tuple[Point, tuple[int, ...]] | None:
        for attempt in range(64):
            moved = list(point)
            for axis in numbers:
                range_ = self.ranges[axis]
                width = range_.width if math.isfinite(range_.width) else 1.0 + abs(point[axis])
                scale = self.step * width * 1.2**attempt  # wider where rounding or a bound gave a point tried before
                moved[axis] = _reflect(point[axis] + scale * self.rng.normal(), range_)
            found = clip(moved, self.ranges)
            if (found, options) not in self._tried:
                return found, options
        return None

    def state_dict(self) -> dict[str, Any]:
        """Everything that later points depend on, except the generator's state; as JSON can hold it."""
        return {
            "step": self.step,
            "best": None if self.best is None else [*self.best[:2], _finite(self.best[2])],
            "turn": self._turn,
            "sums": [sums.tolist() for sums in self._sums],
            "seen": [seen.tolist() for seen in self._seen],
            "range": [_finite(self._low), _finite(self._high)],
            "tried": sorted(self._tried),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave."""
        self.step, self._turn = state["step"], state["turn"]
        best = state["best"]
        self.best = (
            None if best is None else (tuple(best[0]), tuple(best[1]), -math.inf if best[2] is None else best[2])
        )
        self._sums = [np.array(sums, dtype=float) for sums in state["sums"]]
        self._seen = [np.array(seen, dtype=int) for seen in state["seen"]]
        low, high = state["range"]
        self._low, self._high = math.inf if low is None else low, -math.inf if high is None else high
        self._tried = {(tuple(point), tuple(options)) for point, options in state["tried"]}


def _with(options: tuple[int, ...], axis: int, option: int) -> tuple[int, ...]:
    return (*options[:axis], option, *options[axis + 1 :])


def _reflect(value: float, range_: Range) -> float:
    """``value`` thrown back from the bounds it went across, once each; then clipped."""
    if value < range_.low:
        value = 2 * range_.low - value
    if value > range_.high:
        value = 2 * range_.high - value
    return max(value, range_.low)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
