"""What a set function is here: marginal gains given a state, with every question to it counted.

The ground set has integer ids inside and any hashable elements outside. A state is a set under construction with what
makes the next gain cheap: the items covered, the best similarity so far, a Cholesky factor. Objectives whose gains are
compiled keep what they know in :class:`Data` and their states in :class:`Arrays`, the same two tuples of arrays for
all of them, so that compiled loops over gains (:mod:`.kernels`) are written once and serve every objective.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from optimand.core.validation import check_int

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]

# A gain may be negative by this much, relative to the value, before the function counts as not monotone.
TOLERANCE = 1e-9
# Ground sets from which the monotonicity of a pairwise objective is checked on blocks of rows, to bound memory.
BLOCK = 1024


class Data(NamedTuple):
    """What compiled gains read of an objective; what a kind has no use for is empty.

    Attributes:
        kind: which objective, a constant of :mod:`.kernels`.
        indptr: int64, where the row of each id begins in ``indices``.
        indices: int32, items covered, or columns of a sparse matrix.
        weights: float64, of the items, or the entries of a sparse matrix.
        matrix: float64, a row for each id.
        numbers: float64, parameters.
    """

    kind: int
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    weights: Floats
    matrix: Floats
    numbers: Floats


class Arrays(NamedTuple):
    """What compiled gains read of a state; what a kind has no use for is empty.

    Attributes:
        bits: uint64, items covered, 64 a word.
        vector: float64, the best similarity of each point so far.
        rows: float64, a lower triangular factor.
        ids: int64, the members in order, with room for more.
        size: int64, one entry: how many members.
    """

    bits: NDArray[np.uint64]
    vector: Floats
    rows: Floats
    ids: Ids
    size: Ids


class State:
    """A set under construction.

    Attributes:
        value: of the set.
        members: ids in the order in which they were added.
        arrays: what compiled gains read, or None for an objective without them.
    """

    __slots__ = ("arrays", "members", "value")

    def __init__(self, value: float = 0.0, members: list[int] | None = None, arrays: Arrays | None = None) -> None:
        self.value, self.arrays = value, arrays
        self.members: list[int] = [] if members is None else members

    @property
    def size(self) -> int:
        """How many members."""
        return len(self.members)

    def copy(self) -> State:
        """A state that changes on its own."""
        a = self.arrays
        arrays = a and Arrays(a.bits.copy(), a.vector.copy(), a.rows.copy(), a.ids.copy(), a.size.copy())
        return State(self.value, self.members.copy(), arrays)

    def __repr__(self) -> str:
        return f"State(size={self.size}, value={self.value:g})"


class Objective:
    """A non-negative set function reached by marginal gains; base of all others.

    Attributes:
        nfev: questions so far: every marginal gain counts 1, every value counts 1.
        monotone: whether no gain can be negative (for sets as large as the objective was made for).
        data: what compiled loops read, or None.
    """

    monotone: bool = True
    data: Data | None = None

    def __init__(self, elements: Sequence[Hashable] | None, n: int | None) -> None:
        self.nfev = 0
        self._n = n
        self._elements = None if elements is None else list(elements)
        self._index = None if elements is None else {e: i for i, e in enumerate(elements)}

    @property
    def n(self) -> int | None:
        """Size of the ground set, None where it is open."""
        return self._n

    def index(self, element: Hashable) -> int:
        """The id of an element.

        Raises:
            TypeError: the element cannot be hashed.
            KeyError: it is not in the ground set.
        """
        if self._index is None:
            return self._own_id(element)
        try:
            return self._index[element]
        except KeyError:
            raise KeyError(f"element {element!r:.80} is not in the ground set of {self._n} elements") from None
        except TypeError:
            raise unhashable(element) from None

    def _own_id(self, element: Any) -> int:
        # A ground set without names: elements are 0, 1, ….
        if not isinstance(element, bool) and hasattr(element, "__index__"):
            i = int(element)
            if 0 <= i < (self._n or 0):
                return i
        try:
            hash(element)
        except TypeError:
            raise unhashable(element) from None
        raise KeyError(f"element {element!r:.80} is not in the ground set: its elements are 0 to {(self._n or 0) - 1}")

    def element(self, i: int) -> Hashable:
        """The element of an id; IndexError where there is none."""
        if self._elements is not None:
            return self._elements[i]
        if not 0 <= i < (self._n or 0):
            raise IndexError(f"id must be in [0, {(self._n or 0) - 1}], got {i}")
        return int(i)

    def ids(self, elements: Iterable[Hashable] | None = None) -> Ids:
        """Ids of distinct elements, in their order; of the whole ground set without an argument.

        Raises:
            ValueError: an element stands twice, or the ground set is open and none are given.
        """
        if elements is None:
            if self._n is None:
                raise ValueError("ground must be given: this objective has no ground set of its own")
            return np.arange(self._n, dtype=np.int64)
        found = np.array([self.index(e) for e in elements], dtype=np.int64)
        if len(np.unique(found)) != len(found):
            values, counts = np.unique(found, return_counts=True)
            raise ValueError(
                f"ground must hold each element once, got {self.element(int(values[counts > 1][0]))!r} more often"
            )
        return found

    def check_size(self, k: Any, name: str = "k") -> int:
        """``k`` as a size that solutions may have; TypeError or ValueError otherwise."""
        return check_int(name, k, low=1)

    def check_gain(self, i: int, gain: float) -> float:
        """The gain, with what is only rounding below 0 made 0.

        Raises:
            ValueError: it is not finite, or negative although the objective is monotone; names the element.
        """
        if gain >= 0.0 and gain != math.inf:
            return gain
        if not math.isfinite(gain):
            raise ValueError(f"the gain of element {self.element(i)!r:.80} is {gain}")
        if not self.monotone:
            return gain
        if gain < -TOLERANCE * self._scale():
            raise ValueError(f"the gain of element {self.element(i)!r:.80} is {gain:g}: the function is not monotone")
        return 0.0

    def _scale(self) -> float:
        """What rounding errors of a gain are measured by."""
        return 1.0

    def start(self, capacity: int = 0) -> State:
        """The empty set.

        Args:
            capacity: members to make room for at once; a compiled loop needs room for all that it adds.
        """
        return State(arrays=self._arrays(capacity))

    def gain(self, state: State, i: int) -> float:
        """``f(S + e) - f(S)``; one question."""
        self.nfev += 1
        return float(kernels().gain(self.data, state.arrays, i))

    def gains(self, state: State, ids: Ids) -> Floats:
        """The gain of each id given the same state; a question each."""
        self.nfev += len(ids)
        out = np.empty(len(ids))
        kernels().gains(self.data, state.arrays, np.ascontiguousarray(ids, dtype=np.int64), out)
        return out

    def add(self, state: State, i: int, gain: float | None = None) -> None:
        """Put an id into the state; where its gain is not given, it is asked for and counted."""
        if gain is None:
            gain = self.gain(state, i)
        if i in state.members:
            return
        self._make_room(state)
        kernels().add(self.data, state.arrays, i)
        state.members.append(int(i))
        state.value += gain

    def value(self, elements: Iterable[Hashable]) -> float:
        """``f`` of a set of elements; one question."""
        before, state = self.nfev, self.start()
        for i in dict.fromkeys(self.index(e) for e in elements):
            self.add(state, i)
        self.nfev = before + 1
        return state.value

    def _arrays(self, capacity: int) -> Arrays | None:
        return None

    def _make_room(self, state: State) -> None:
        """Let the arrays of a state hold one member more."""


class PairwiseRoom(Objective):
    """An objective whose states keep their members for the kernels; room for them is doubled when it is used up."""

    def _make_room(self, state: State) -> None:
        arrays = state.arrays
        assert arrays is not None
        if state.size < len(arrays.ids):
            return
        grown = self._arrays(max(8, 2 * state.size))
        assert grown is not None
        grown.ids[: state.size] = arrays.ids[: state.size]
        grown.rows[: len(arrays.rows), : len(arrays.rows)] = arrays.rows
        grown.size[0] = state.size
        state.arrays = grown


def empty_arrays(*, bits: int = 0, vector: int = 0, rows: int = 0, ids: int = 0) -> Arrays:
    """Arrays of the empty set with these lengths."""
    return Arrays(
        np.zeros(bits, dtype=np.uint64),
        np.zeros(vector),
        np.zeros((rows, rows)),
        np.zeros(ids, dtype=np.int64),
        np.zeros(1, dtype=np.int64),
    )


def make_data(
    kind: int, *, indptr: Any = (), indices: Any = (), weights: Any = (), matrix: Any = None, numbers: Any = ()
) -> Data:
    """Data with arrays of the types that the kernels are compiled for."""
    return Data(
        kind,
        _owned(indptr, np.int64),
        _owned(indices, np.int32),
        _owned(weights, np.float64),
        _owned(np.zeros((0, 0)) if matrix is None else matrix, np.float64),
        _owned(numbers, np.float64),
    )


def _owned(values: Any, dtype: Any) -> NDArray[Any]:
    # A read-only array is another type to the compiler, which would compile everything a second time for it.
    array = np.ascontiguousarray(values, dtype=dtype)
    return array if array.flags.writeable else array.copy()


def unhashable(element: Any) -> TypeError:
    """The error for an element that cannot be hashed."""
    return TypeError(f"an element must be hashable, got {element!r:.80} ({type(element).__name__})")


def named_rows(rows: Any, name: str) -> Iterator[tuple[Hashable, Any]]:
    """Elements with what belongs to them, from a mapping or a sequence."""
    if isinstance(rows, Mapping):
        yield from rows.items()
    elif isinstance(rows, Iterable) and not isinstance(rows, str | bytes):
        yield from enumerate(rows)
    else:
        raise TypeError(f"{name} must be a mapping or a sequence, got {rows!r:.60} ({type(rows).__name__})")


@functools.cache
def kernels() -> Any:
    """The module of compiled gains, imported when the first of them is asked for."""
    from . import kernels as module

    return module
