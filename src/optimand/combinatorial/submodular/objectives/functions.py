"""A user's own set function as an objective."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable
from typing import Any

import numpy as np

from .base import Floats, Ids, Objective, State, unhashable


class SetFunction(Objective):
    """A function of a tuple of elements.

    A gain is ``fn(S + e)`` less the value of ``S``, which is known: one call of ``fn``. The function is called on the
    empty tuple once, when the first state is made, and that call is counted.

    Args:
        fn: takes a tuple of distinct elements, in the order in which they were added, and returns a number. It must be
            a function of the set: the order may not matter.
        ground: the ground set; None for an open one, where an element gets its id when it is first met.
        monotone: False if adding an element may lower the value; the guarantees are lost then.

    Raises:
        TypeError: ``fn`` cannot be called, or an element cannot be hashed.

    Example:
        >>> f = SetFunction(lambda chosen: float(len(set("".join(chosen)))))
        >>> f.value(["abc", "cd"]), f.nfev
        (4.0, 1)
    """

    def __init__(
        self, fn: Callable[[tuple[Any, ...]], float], ground: Iterable[Hashable] | None = None, *, monotone: bool = True
    ) -> None:
        if not callable(fn):
            raise TypeError(f"fn must be a function of a tuple of elements, got {fn!r:.60} ({type(fn).__name__})")
        super().__init__([], None)
        self.fn, self.monotone = fn, bool(monotone)
        self._empty: float | None = None
        self._largest = 1.0
        if ground is not None:
            for element in ground:
                self.index(element)
            self._n = len(self._elements or ())

    def index(self, element: Hashable) -> int:
        """The id of an element; in an open ground set an element that is met for the first time gets the next one."""
        assert self._index is not None
        assert self._elements is not None
        if self._n is not None:
            return super().index(element)
        try:
            i = self._index.setdefault(element, len(self._elements))
        except TypeError:
            raise unhashable(element) from None
        if i == len(self._elements):
            self._elements.append(element)
        return i

    def start(self, capacity: int = 0) -> State:
        """The empty set."""
        if self._empty is None:
            self._empty = self._call(())
        return State(self._empty)

    def gain(self, state: State, i: int) -> float:
        """``f(S + e) - f(S)``; one question, one call of the function."""
        if i in state.members:
            self.nfev += 1
            return 0.0
        return self._call((*map(self.element, state.members), self.element(i))) - state.value

    def gains(self, state: State, ids: Ids) -> Floats:
        """The gain of each id given the same state; a question each."""
        return np.array([self.gain(state, int(i)) for i in ids], dtype=np.float64)

    def add(self, state: State, i: int, gain: float | None = None) -> None:
        """Put an id into the state; where its gain is not given, it is asked for and counted."""
        if gain is None:
            gain = self.gain(state, i)
        if i not in state.members:
            state.value += gain
            state.members.append(int(i))

    def value(self, elements: Iterable[Hashable]) -> float:
        """``f`` of a set of elements; one question."""
        ids = dict.fromkeys(self.index(e) for e in elements)
        return self._call(tuple(self.element(i) for i in ids))

    def _call(self, elements: tuple[Any, ...]) -> float:
        self.nfev += 1
        found = self.fn(elements)
        try:
            value = float(found)
        except (TypeError, ValueError):
            raise TypeError(
                f"fn must return a number, got {found!r:.60} ({type(found).__name__}) for {elements!r:.80}"
            ) from None
        if self._largest < abs(value) < math.inf:
            self._largest = abs(value)
        return value

    def _scale(self) -> float:
        # A gain is a difference of two values, and rounded as they are.
        return self._largest
