"""What a task of offline optimization is: data that a method sees, and an oracle that it does not.

A method gets an :class:`OfflineData` and nothing else: designs, their values, and the map between designs and the
vector space in which surrogates live. The oracle belongs to the :class:`Task`; it counts what it evaluates, and it
refuses to while a method runs (:mod:`.locking`). Scores are values scaled by the least and the largest value of the
*full* data, of which the method saw only the poorer part, so 1 is the best that is known and a score above it is
possible.

The interface:

* ``data.encode(designs)``: float32 ``(n, D)``; logits of discrete designs (:mod:`.encoding`), or the coordinates of
  continuous ones, in both cases standardised by the offline rows. ``data.decode(z)`` goes back: the likeliest classes,
  or coordinates clipped to the bounds. ``data.logits(designs)`` gives the logits themselves.
* ``data.y_mean, data.y_std``: of the offline values, for whoever standardises targets.
* ``data.best(k)``: the rows of the ``k`` best offline designs, best first.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimand.core.validation import OptimandError, check_int, check_number

from .encoding import Floats, Ints, as_floats, from_logits, moments, to_logits
from .locking import EVERYWHERE, Locks, OracleLocked

Designs = NDArray[Any]
# How far beyond a bound, in units of the range, rounding in float32 may take a coordinate.
SLACK = 1e-6


class OfflineData:
    """The designs and values that a method may learn from.

    Args:
        x: integers of shape ``(n, L)`` for discrete designs, real numbers of shape ``(n, d)`` for continuous ones.
        y: values, shape ``(n,)``, the larger the better.
        is_discrete: which of the two.
        num_classes: ``K``: the entries of discrete designs are in ``[0, K)``; None for continuous ones.
        bounds: lower and upper bound of each coordinate, numbers or shape ``(d,)``; by default those of the data.
        name: of the task.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, entries outside the classes or the bounds.
        TypeError: designs that are said to be discrete and are no integers.

    Example:
        >>> data = OfflineData([[0, 1], [2, 2], [1, 0]], [0.0, 2.0, 1.0], is_discrete=True, num_classes=3)
        >>> data.encode(data.x).shape, data.decode(data.encode(data.x)).tolist()
        ((3, 4), [[0, 1], [2, 2], [1, 0]])
        >>> data.best(2).tolist()
        [1, 2]
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        is_discrete: bool,
        num_classes: int | None = None,
        bounds: tuple[Any, Any] | None = None,
        name: str = "data",
    ) -> None:
        self.name = name
        self.is_discrete = bool(is_discrete)
        self.num_classes: int | None = None
        self.bounds: tuple[Floats, Floats] | None = None
        points = np.array(x)
        if points.ndim != 2 or not points.size:
            raise ValueError(f"x must be designs in rows, shape (n, L) or (n, d), got shape {points.shape}")
        if self.is_discrete:
            if num_classes is None:
                raise ValueError("num_classes must be given for discrete designs, got None")
            self.num_classes = check_int("num_classes", num_classes, low=2)
            if bounds is not None:
                raise ValueError(f"bounds must be None for discrete designs, got {bounds!r:.80}")
        else:
            if num_classes is not None:
                raise ValueError(f"num_classes must be None for continuous designs, got {num_classes!r}")
            points = as_floats("x", points)
            self.bounds = _as_bounds(bounds, points)
        self.length = points.shape[1]
        self.x: Designs = self.check(points, "x")
        self.y: Floats = as_floats("y", np.array(y))
        if self.y.shape != (len(self.x),):
            raise ValueError(f"y must have shape ({len(self.x)},), one value a row of x, got {self.y.shape}")
        self.y_mean = float(self.y.mean())
        self.y_std = float(moments(self.y[:, None])[1][0])
        for array in (self.x, self.y):
            array.setflags(write=False)

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        kind = f"{self.length} positions of {self.num_classes} classes" if self.is_discrete else f"{self.length} reals"
        return f"OfflineData({self.name!r}, {len(self)} designs, {kind})"

    @property
    def dim(self) -> int:
        """``D``, the dimension of the model space."""
        return self.length * (self.num_classes - 1) if self.num_classes else self.length

    @functools.cached_property
    def scale(self) -> tuple[Floats, Floats]:
        """Mean and standard deviation (1 where constant) of the offline logits or coordinates, each ``(D,)``."""
        return moments(self.logits(self.x) if self.is_discrete else self.x)

    def check(self, designs: Any, name: str = "designs") -> Designs:
        """``designs`` as an array of the task's kind: int64 ``(n, L)`` or float64 ``(n, d)`` inside the bounds.

        Raises:
            ValueError, TypeError: say what is wrong with which design.
        """
        found = np.array(designs)
        wanted = f"(n, {self.length})"
        if found.ndim != 2 or found.shape[1] != self.length:
            raise ValueError(f"{name} must have shape {wanted}, got {found.shape}")
        if self.num_classes is not None:
            if found.dtype.kind not in "iu":
                raise TypeError(f"{name} must be integers in [0, {self.num_classes}), got {found.dtype}; see decode()")
            bad = np.argwhere((found < 0) | (found >= self.num_classes))
            if len(bad):
                i, j = bad[0]
                raise ValueError(f"{name} must be in [0, {self.num_classes}), got {found[i, j]} at row {i}, column {j}")
            return found.astype(np.int64)
        assert self.bounds is not None
        found = as_floats(name, found)
        low, high = self.bounds
        slack = SLACK * (high - low)
        bad = np.argwhere((found < low - slack) | (found > high + slack))
        if len(bad):
            i, j = bad[0]
            raise ValueError(
                f"{name} must be in the bounds, got {found[i, j]:g} at row {i}, column {j}, which is bounded by "
                f"[{low[j]:g}, {high[j]:g}]"
            )
        return np.clip(found, low, high)

    def logits(self, designs: Any) -> Floats:
        """Logits of discrete designs before they are standardised, ``(n, L (K - 1))``; see :mod:`.encoding`."""
        if self.num_classes is None:
            raise ValueError(f"{self.name} has continuous designs, which have no logits")
        return to_logits(self.check(designs), self.num_classes)

    def encode(self, designs: Any) -> NDArray[np.float32]:
        """Designs in model space, ``(n, D)``: standardised logits, or standardised coordinates."""
        raw = self.logits(designs) if self.is_discrete else self.check(designs)
        mean, std = self.scale
        return ((raw - mean) / std).astype(np.float32)

    def decode(self, z: Any) -> Designs:
        """The designs that points of model space, ``(n, D)``, stand for; ValueError for points that are not finite."""
        points = as_floats("z", np.asarray(z))
        if points.ndim != 2 or points.shape[1] != self.dim:
            raise ValueError(f"z must have shape (n, {self.dim}), got {points.shape}")
        mean, std = self.scale
        raw = points * std + mean
        if self.num_classes is not None:
            return from_logits(raw, self.length, self.num_classes)
        assert self.bounds is not None
        return np.asarray(np.clip(raw, *self.bounds))

    def best(self, k: int) -> Ints:
        """Rows of the ``k`` best designs, best first, the earlier row first among equals; all rows if fewer."""
        return np.argsort(-self.y, kind="stable")[: check_int("k", k, low=1)]


class Task:
    """Offline data with the oracle that judges what a method proposes.

    Args:
        data: what methods see.
        oracle: ``oracle(designs) -> values``: designs as in ``data.x``, shape ``(n, L)`` or ``(n, d)``; values of shape
            ``(n,)``, the larger the better. It must be deterministic.
        y_min, y_max: least and largest value of the full data, which scale scores; by default of the offline data.
        summary: one line.

    Example:
        >>> data = OfflineData([[0.0], [1.0]], [0.0, 1.0], is_discrete=False, bounds=(0, 4))
        >>> task = Task(data, lambda x: x[:, 0], y_max=2.0)
        >>> task.score([[1.0], [2.0], [3.0]]), task.evaluations
        ({100: 1.5, 80: 1.3, 50: 1.0}, 3)
        >>> with task.locked():
        ...     task.evaluate([[1.0]])
        Traceback (most recent call last):
        optimand.offline.tasks.locking.OracleLocked: the oracle of 'data' is locked while a method runs: ...
    """

    def __init__(
        self,
        data: OfflineData,
        oracle: Callable[[Designs], Any],
        *,
        y_min: float | None = None,
        y_max: float | None = None,
        summary: str = "",
    ) -> None:
        if EVERYWHERE.count:
            raise OracleLocked("no task can be made while a method runs: it may have hidden rows")
        if not isinstance(data, OfflineData):
            raise TypeError(f"data must be an OfflineData, got a {type(data).__name__}")
        if not callable(oracle):
            raise TypeError(f"oracle must be a function of designs, got {oracle!r:.60}")
        self.data = data
        self.summary = summary
        self.y_min = check_number("y_min", data.y.min() if y_min is None else y_min)
        self.y_max = check_number("y_max", data.y.max() if y_max is None else y_max)
        if not np.isfinite([self.y_min, self.y_max]).all() or self.y_max <= self.y_min:
            alike = "" if (data.y != data.y[0]).any() else f"; all {len(data)} values of y are alike"
            raise ValueError(f"y_max must be larger than y_min, got y_min={self.y_min:g}, y_max={self.y_max:g}{alike}")
        self.evaluations = 0
        self._oracle = oracle
        self._locks = Locks()

    def __repr__(self) -> str:
        return f"Task({self.data!r}, y_min={self.y_min:.6g}, y_max={self.y_max:.6g})"

    @property
    def name(self) -> str:
        """The task's name."""
        return self.data.name

    @property
    def is_discrete(self) -> bool:
        """Whether designs are sequences of classes."""
        return self.data.is_discrete

    @property
    def num_classes(self) -> int | None:
        """Classes of each position of a discrete design."""
        return self.data.num_classes

    @property
    def x(self) -> Designs:
        """The offline designs."""
        return self.data.x

    @property
    def y(self) -> Floats:
        """The offline values."""
        return self.data.y

    def encode(self, designs: Any) -> NDArray[np.float32]:
        """See :meth:`OfflineData.encode`."""
        return self.data.encode(designs)

    def decode(self, z: Any) -> Designs:
        """See :meth:`OfflineData.decode`."""
        return self.data.decode(z)

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Refuse the oracle inside the block; blocks may be nested."""
        return self._locks.held()

    def evaluate(self, designs: Any) -> Floats:
        """True values of ``designs``, shape ``(n,)``; each counts as an evaluation.

        Raises:
            OracleLocked: a method is running.
            ValueError, TypeError: designs that are none, see :meth:`OfflineData.check`.
            OptimandError: the oracle does not give one finite value a design.
        """
        if self._locks.count or EVERYWHERE.count:
            raise OracleLocked(
                f"the oracle of {self.name!r} is locked while a method runs: offline optimization has only the data"
            )
        checked = self.data.check(designs)
        self.evaluations += len(checked)
        if not len(checked):
            return np.zeros(0)
        values = np.asarray(self._oracle(checked), dtype=np.float64)
        if values.shape != (len(checked),):
            raise OptimandError(f"the oracle of {self.name!r} gave shape {values.shape} for {len(checked)} designs")
        if not np.isfinite(values).all():
            i = int(np.argmin(np.isfinite(values)))
            raise OptimandError(f"the oracle of {self.name!r} gave {values[i]} for design {i}")
        return values

    def normalize(self, y: Any) -> Floats:
        """``(y - y_min) / (y_max - y_min)``."""
        return np.asarray((np.asarray(y, dtype=np.float64) - self.y_min) / (self.y_max - self.y_min))

    def score(self, designs: Any, percentiles: Sequence[float] = (100, 80, 50)) -> dict[float, float]:
        """Percentiles of the normalised true values of ``designs``; the key is the percentile, 100 is the best one."""
        return percentile_scores(self.normalize(self.evaluate(designs)), percentiles)


def _as_bounds(bounds: tuple[Any, Any] | None, points: Floats) -> tuple[Floats, Floats]:
    if bounds is None:
        return points.min(axis=0), points.max(axis=0)
    if len(bounds) != 2:
        raise ValueError(f"bounds must be a pair (low, high), got {len(bounds)} entries")
    shape = points.shape[1:]
    low, high = (np.array(np.broadcast_to(as_floats("bounds", np.asarray(side)), shape)) for side in bounds)
    if (low > high).any():
        j = int(np.argmax(low > high))
        raise ValueError(f"bounds must have low <= high, got [{low[j]:g}, {high[j]:g}] for coordinate {j}")
    return low, high


def percentile_scores(scores: Any, percentiles: Sequence[float] = (100, 80, 50)) -> dict[float, float]:
    """Percentiles of ``scores``, interpolated linearly between neighbours.

    Example:
        >>> percentile_scores([0.0, 1.0, 2.0])
        {100: 2.0, 80: 1.6, 50: 1.0}
    """
    values = as_floats("scores", np.asarray(scores))
    if values.ndim != 1 or not values.size:
        raise ValueError(f"scores must be a list of at least one number, got shape {values.shape}")
    for p in percentiles:
        check_number("percentiles", p, low=0, high=100)
    return {p: float(np.percentile(values, p)) for p in percentiles}


# Least share of offline rows that must differ from the least value, for a surrogate to have something to learn from.
INFORMATIVE = 0.1


def worst_part(y: Floats, percentile: float = 50.0) -> NDArray[np.bool_]:
    """Which rows are offline: those with a value at most the ``percentile``-th of all, ties included.

    Where fewer than a tenth of these rows would differ from the least value, the percentile is raised, in steps of 5,
    until a tenth does: most random RNA of 14 bases does not fold, so that its lower half is all alike.

    Raises:
        ValueError: the values are all (but for a tenth) alike.

    Example:
        >>> worst_part(np.array([0.0, 1.0, 2.0, 3.0])).tolist()
        [True, True, False, False]
        >>> int(worst_part(np.repeat([0.0, 1.0, 2.0], [70, 20, 10])).sum())
        90
    """
    check_number("percentile", percentile, low=0, low_open=True, high=100)
    least = y.min()
    at = percentile
    while at <= 100:
        part: NDArray[np.bool_] = y <= np.percentile(y, at)
        if (y[part] > least).mean() >= INFORMATIVE:
            return part
        at += 5
    raise ValueError(f"y must hold different values, got {(y > least).mean():.1%} of them above the least, {least:g}")
