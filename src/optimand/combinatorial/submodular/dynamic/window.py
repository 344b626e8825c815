"""The last elements of a stream, kept in a dynamic structure."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Iterable
from typing import Any

from optimand.core.validation import OptimandError, check_int

from .structure import DynamicSubmodular, hashable


class SlidingWindow:
    """Feeds the last ``width`` elements of a stream to a structure; an element may come again.

    Args:
        d: an empty structure, which nobody else changes.
        width: at least 1.

    Raises:
        TypeError: ``d`` is no ``DynamicSubmodular``.
        ValueError: ``d`` holds elements already, or ``width`` is below 1.

    Example:
        >>> from optimand.combinatorial.submodular import Coverage
        >>> d = DynamicSubmodular(Coverage({"a": [1, 2, 3], "b": [3, 4], "c": [4]}), k=2)
        >>> window = SlidingWindow(d, width=2)
        >>> for element in "abc":
        ...     window.push(element)
        >>> d.value, sorted(d.elements)
        (2.0, ['b', 'c'])
    """

    def __init__(self, d: DynamicSubmodular, width: int) -> None:
        if not isinstance(d, DynamicSubmodular):
            raise TypeError(f"d must be a DynamicSubmodular, got {d!r:.60} ({type(d).__name__})")
        self.d, self.width = d, check_int("width", width, low=1)
        if len(d):
            raise ValueError(f"d must be empty, got one with {len(d)} live elements")
        self._queue: deque[Hashable] = deque()
        self._counts: Counter[Hashable] = Counter()

    def push(self, element: Hashable) -> None:
        """The next element of the stream comes; the one that leaves the window goes, unless it is in it once more.

        Raises:
            TypeError, KeyError, ValueError: the element cannot be inserted; nothing has changed then.
        """
        operations: list[tuple[str, Hashable]] = [] if element in self._counts else [("+", element)]
        full = len(self._queue) == self.width
        if full and self._counts[self._queue[0]] == 1 and self._queue[0] != element:
            operations.append(("-", self._queue[0]))
        self.d.update(operations)
        self._queue.append(element)
        self._counts[element] += 1
        if full:
            oldest = self._queue.popleft()
            self._counts[oldest] -= 1
            if not self._counts[oldest]:
                del self._counts[oldest]

    def extend(self, elements: Iterable[Hashable]) -> None:
        """Push one after the other."""
        for element in elements:
            self.push(element)

    def __len__(self) -> int:
        return len(self._queue)

    def __repr__(self) -> str:
        return f"SlidingWindow({self.d!r}, width={self.width})"

    def state_dict(self) -> dict[str, Any]:
        """The window and the structure in it."""
        return {"width": self.width, "window": list(self._queue), "structure": self.d.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where :meth:`state_dict` was taken; OptimandError if the settings differ."""
        if state["width"] != self.width:
            raise OptimandError(f"the state is one of a window of {state['width']}, this is one of {self.width}")
        self.d.load_state_dict(state["structure"])
        self._queue = deque(map(hashable, state["window"]))
        self._counts = Counter(self._queue)
