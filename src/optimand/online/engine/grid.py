"""Where regret is recorded."""

from __future__ import annotations

import numpy as np

from optimand.core.validation import check_int


def recording_grid(horizon: int, points: int = 200, first: int = 1) -> np.ndarray:
    """At most ``points`` whole times in ``[first, horizon]``, evenly spaced on a log scale, the horizon among them.

    Example:
        >>> recording_grid(1000, 4).tolist(), recording_grid(3).tolist(), recording_grid(1000, 3, first=10).tolist()
        ([1, 10, 100, 1000], [1, 2, 3], [10, 100, 1000])
    """
    check_int("horizon", horizon, low=1)
    check_int("points", points, low=2)
    check_int("first", first, low=1, high=horizon)
    if horizon - first < points:
        return np.arange(first, horizon + 1, dtype=np.int64)
    times = np.geomspace(float(first), float(horizon), points)
    grid = {min(round(float(time)), horizon) for time in times} | {horizon}
    return np.array(sorted(grid), dtype=np.int64)


class Segments:
    """Records regret that grows linearly between the ends of batches, each repetition at its own pace.

    Args:
        grid: recording times, rising.
        reps: repetitions.

    Example:
        >>> segments = Segments(np.array([1, 2, 4]), 1)
        >>> segments.extend(np.array([2]), np.array([1.0]))
        >>> segments.extend(np.array([4]), np.array([1.0]))
        >>> segments.curves.tolist()
        [[0.5, 1.0, 1.0]]
    """

    def __init__(self, grid: np.ndarray, reps: int) -> None:
        self.grid = grid
        self.curves = np.full((reps, len(grid)), np.nan)
        self.time = np.zeros(reps, dtype=np.int64)
        self.value = np.zeros(reps)
        self._next = np.zeros(reps, dtype=np.int64)

    def extend(self, time: np.ndarray, value: np.ndarray) -> None:
        """Each repetition ``r`` is at ``time[r]`` now, with regret ``value[r]``."""
        while True:
            due = np.minimum(self._next, len(self.grid) - 1)
            crossed = np.flatnonzero((self._next < len(self.grid)) & (self.grid[due] <= time))
            if not len(crossed):
                break
            at = self.grid[due[crossed]]
            length = np.maximum(time[crossed] - self.time[crossed], 1)
            share = (at - self.time[crossed]) / length
            rise = value[crossed] - self.value[crossed]
            # The end of a segment exactly, which share = 1 would give only up to rounding.
            self.curves[crossed, due[crossed]] = np.where(
                at == time[crossed], value[crossed], self.value[crossed] + share * rise
            )
            self._next[crossed] += 1
        self.time, self.value = np.array(time, dtype=np.int64), np.array(value, dtype=float)
