"""Recording times, and regret that grows linearly between the ends of batches, against brute force."""

import numpy as np
import pytest

from optimand.online.engine import Segments, recording_grid


@pytest.mark.parametrize("horizon", [1, 2, 7, 200, 201, 1000, 10**6, 10**17])
@pytest.mark.parametrize("points", [2, 3, 80, 200])
def test_the_grid_rises_to_the_horizon(horizon, points):
    grid = recording_grid(horizon, points)
    assert grid[-1] == horizon
    assert grid[0] >= 1
    assert (np.diff(grid) > 0).all()
    assert len(grid) <= points
    assert grid.dtype == np.int64


@pytest.mark.parametrize(("horizon", "first"), [(1000, 1000), (1000, 900), (10**6, 37), (10**17, 10**11)])
def test_the_grid_may_begin_later(horizon, first):
    grid = recording_grid(horizon, 80, first)
    assert (grid[0], grid[-1]) == (first, horizon)
    assert (np.diff(grid) > 0).all()
    assert len(grid) <= 80
    with pytest.raises(ValueError, match="first must be"):
        recording_grid(horizon, 80, horizon + 1)


def test_the_grid_says_what_is_wrong():
    with pytest.raises(ValueError, match="horizon must be at least 1, got 0"):
        recording_grid(0)
    with pytest.raises(TypeError, match="points must be an integer"):
        recording_grid(10, 2.5)


@pytest.mark.parametrize("seed", range(5))
def test_segments_are_the_interpolation_of_the_ends(seed):
    rng = np.random.default_rng(seed)
    horizon, reps = 500, 4
    grid = recording_grid(horizon, 40)
    segments = Segments(grid, reps)
    ends = [[0] for _ in range(reps)]
    values = [[0.0] for _ in range(reps)]
    while min(e[-1] for e in ends) < horizon:
        time = np.array([min(e[-1] + int(rng.integers(0, 60)), horizon) for e in ends])
        value = np.array([v[-1] + rng.random() * (t - e[-1]) for v, e, t in zip(values, ends, time, strict=True)])
        segments.extend(time, value)
        for r in range(reps):
            ends[r].append(int(time[r]))
            values[r].append(float(value[r]))
    for r in range(reps):
        # a batch of no pulls leaves a time twice, with the same value
        brute = np.interp(grid, ends[r], values[r])
        np.testing.assert_allclose(segments.curves[r], brute, rtol=1e-12, atol=1e-9)
        at = [i for i, time in enumerate(grid) if time in ends[r]]
        assert all(segments.curves[r, i] == values[r][ends[r].index(grid[i])] for i in at)


def test_segments_of_single_pulls_are_exact():
    grid = np.arange(1, 21)
    segments, value = Segments(grid, 1), np.cumsum(np.random.default_rng(0).random(20))
    for t in range(20):
        segments.extend(np.array([t + 1]), value[t : t + 1])
    assert (segments.curves[0] == value).all()


def test_one_batch_over_a_long_horizon():
    segments = Segments(recording_grid(10**17, 50), 1)
    segments.extend(np.array([10**17]), np.array([10.0**16]))
    np.testing.assert_allclose(segments.curves[0], segments.grid / 10, rtol=1e-12)
