"""Streams of insertions and deletions, without end: whoever runs one decides how long."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from optimand.core.validation import check_choice

ORDERS = ("given", "random", "sorted")


def window(order: Any, width: int) -> Iterator[tuple[bool, int]]:
    """A sliding window: insert the next, then delete the oldest once there are more than ``width``.

    The order begins again at its end; it must be longer than the window, so that nobody is in it twice.

    Args:
        order: ids.
        width: of the window, at least 1 and less than the number of ids.

    Yields:
        Whether it is an insertion, and the id.

    Raises:
        ValueError: the window is too wide.

    Example:
        >>> import itertools
        >>> ["-+"[new] + str(i) for new, i in itertools.islice(window([7, 8, 9], 2), 6)]
        ['+7', '+8', '+9', '-7', '+7', '-8']
    """
    ids = [int(i) for i in order]
    if not 1 <= width < len(ids):
        raise ValueError(f"width must be in [1, {len(ids) - 1}], less than the {len(ids)} elements, got {width}")
    return _slide(ids, width)


def _slide(ids: list[int], width: int) -> Iterator[tuple[bool, int]]:
    at = 0
    while True:
        yield True, ids[at % len(ids)]
        if at >= width:
            yield False, ids[(at - width) % len(ids)]
        at += 1


def fill_and_drain(order: Any, singletons: Any) -> Iterator[tuple[bool, int]]:
    """Insert all, then delete from the largest singleton value to the smallest, and again.

    Args:
        order: ids, in the order of insertion.
        singletons: value of each id of ``order`` alone; of equal ones the earlier is deleted first.

    Example:
        >>> import itertools
        >>> ["-+"[new] + str(i) for new, i in itertools.islice(fill_and_drain([4, 5], [1.0, 3.0]), 5)]
        ['+4', '+5', '-5', '-4', '+4']
    """
    ids = [int(i) for i in order]
    falling = np.argsort(-np.asarray(singletons, dtype=np.float64), kind="stable")
    while True:
        for i in ids:
            yield True, i
        for at in falling:
            yield False, ids[at]


def ordered(kind: str, singletons: Any, rng: np.random.Generator) -> Any:
    """All ids in an order: ``given``, ``random``, or ``sorted``, the largest alone first (hard: it leaves first)."""
    check_choice("order", kind, ORDERS)
    n = len(singletons)
    if kind == "sorted":
        return np.argsort(-np.asarray(singletons), kind="stable")
    return rng.permutation(n) if kind == "random" else np.arange(n)
