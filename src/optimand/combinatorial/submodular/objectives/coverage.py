"""Coverage: how many items, or what weight of items, the chosen elements cover together."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np

from .base import Arrays, Objective, empty_arrays, kernels, make_data, named_rows


class Coverage(Objective):
    """The number of items that at least one chosen element covers, or their weight.

    Args:
        neighbours: the items that each element covers: a mapping from elements, a sequence (elements are 0, 1, …), or
            a pair ``(indptr, indices)`` of a sparse matrix by rows, whose columns are the items.
        weights: of the items, >= 0: a mapping from items, or for items that are 0, 1, … a sequence; None for 1 each.

    Raises:
        TypeError: ``neighbours`` is no such thing, or an item cannot be hashed.
        ValueError: an item is negative, a weight is missing, negative or not finite.

    Example:
        >>> f = Coverage({"a": "xy", "b": "yz", "c": "z"})
        >>> f.value(["a", "b"]), f.value(["b", "c"]), f.nfev
        (3.0, 2.0, 2)
    """

    def __init__(self, neighbours: Any, weights: Any = None) -> None:
        elements, indptr, indices, names = _rows(neighbours)
        super().__init__(elements, len(indptr) - 1)
        if names is None and (weights is None or isinstance(weights, Mapping)):
            # A state has a bit for each item: numbers that are far apart would be paid for between them.
            distinct, indices = np.unique(indices, return_inverse=True)
            names = distinct.tolist()
        self.items = int(indices.max()) + 1 if len(indices) else 0
        numbers = _weights(weights, names, self.items)
        kind = kernels().COVERAGE if weights is None else kernels().WEIGHTED
        self.data = make_data(kind, indptr=indptr, indices=indices, weights=numbers)
        self._total = float(self.items if weights is None else numbers.sum())

    def _arrays(self, capacity: int) -> Arrays:
        return empty_arrays(bits=(self.items + 63) // 64)

    def _scale(self) -> float:
        return max(1.0, self._total)


def _rows(neighbours: Any) -> tuple[list[Hashable] | None, Any, Any, list[Hashable] | None]:
    """Elements, CSR rows without repetitions, and by number the items that are not numbers already."""
    if isinstance(neighbours, tuple) and len(neighbours) == 2 and all(isinstance(a, np.ndarray) for a in neighbours):
        indptr, indices = (np.asarray(a, dtype=np.int64) for a in neighbours)
        if not len(indptr) or indptr[0] != 0 or indptr[-1] != len(indices) or (np.diff(indptr) < 0).any():
            raise ValueError("neighbours as (indptr, indices) must have indptr rise from 0 to the length of indices")
        return None, *_unique_rows(indptr, indices), None
    names: list[Hashable] = []
    lengths = [0]
    flat: list[Any] = []
    for element, covered in named_rows(neighbours, "neighbours"):
        if not isinstance(covered, Iterable):
            raise TypeError(f"neighbours of {element!r:.60} must be a collection of items, got {covered!r:.60}")
        names.append(element)
        flat.extend(covered)
        lengths.append(len(flat))
    elements = names if isinstance(neighbours, Mapping) else None
    indptr = np.array(lengths, dtype=np.int64)
    if all(type(item) is int or isinstance(item, np.integer) for item in flat):
        return elements, *_unique_rows(indptr, np.array(flat, dtype=np.int64)), None
    try:
        items = {item: i for i, item in enumerate(dict.fromkeys(flat))}
    except TypeError:
        raise TypeError("items that neighbours cover must be hashable") from None
    numbered = np.fromiter((items[item] for item in flat), dtype=np.int64, count=len(flat))
    return elements, *_unique_rows(indptr, numbered), list(items)


def _unique_rows(indptr: Any, indices: Any) -> tuple[Any, Any]:
    """The rows with each item once, sorted."""
    if len(indices) and (indices.min() < 0 or indices.max() >= 2**31):
        raise ValueError(f"items must be in [0, 2**31), got {indices.min()} to {indices.max()}")
    width = int(indices.max()) + 1 if len(indices) else 1
    rows = np.repeat(np.arange(len(indptr) - 1, dtype=np.int64), np.diff(indptr))
    keys = np.unique(rows * width + indices)
    starts = np.searchsorted(keys, np.arange(len(indptr), dtype=np.int64) * width)
    return starts.astype(np.int64), (keys % width).astype(np.int32)


def _weights(weights: Any, names: list[Hashable] | None, width: int) -> Any:
    if weights is None:
        return ()
    if names is not None:
        if not isinstance(weights, Mapping):
            raise TypeError(f"weights must be a mapping from items, as items are not numbers, got {weights!r:.60}")
        for item in names:
            if item not in weights:
                raise ValueError(f"weights has none for item {item!r:.60}")
        found = np.array([weights[item] for item in names], dtype=np.float64)
    else:
        found = np.asarray(weights, dtype=np.float64)
        if found.ndim != 1 or len(found) < width:
            raise ValueError(f"weights must have one number for each of {width} items, got shape {found.shape}")
        found = found[:width]
    bad = ~(np.isfinite(found) & (found >= 0))
    if bad.any():
        raise ValueError(f"weights must be finite and at least 0, got {found[bad][0]}")
    return found
