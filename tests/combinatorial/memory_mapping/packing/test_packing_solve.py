"""Packing: every method gives valid packings, the searches find optima, infeasibility is proven or not claimed."""

from __future__ import annotations

import itertools
import math
import os
from pathlib import Path

import numpy as np
import pytest

from optimand.combinatorial.memory_mapping.packing import METHODS, Intervals, check_packing, pack, read_minimalloc
from optimand.combinatorial.memory_mapping.packing.kernels import place
from optimand.combinatorial.memory_mapping.packing.skyline import EXHAUSTED, FOUND, search_skyline
from optimand.combinatorial.memory_mapping.packing.solve import orders_of
from optimand.core.validation import OptimandError

EXAMPLE = [(0, 3, 4), (3, 9, 4), (0, 9, 4), (9, 21, 4), (0, 21, 4)]  # the example of minimalloc


def random_intervals(seed: int, count: int) -> Intervals:
    rng = np.random.default_rng(seed)
    lower = rng.integers(0, 2 * count, count)
    return Intervals(lower, lower + rng.integers(1, count, count), rng.integers(1, 20, count))


def least_height(data: Intervals) -> int:
    """By enumeration: the first-fit result of some order is optimal."""
    best = 2**62
    for order in itertools.permutations(range(len(data))):
        placed: list[tuple[int, int]] = []
        for b in order:
            busy = sorted(
                (o, o + int(data.size[c]))
                for c, o in placed
                if data.lower[c] < data.upper[b] and data.lower[b] < data.upper[c]
            )
            low = 0
            for bottom, top in busy:
                if bottom - low >= data.size[b]:
                    break
                low = max(low, top)
            placed.append((b, low))
        best = min(best, max(o + int(data.size[c]) for c, o in placed))
    return best


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_a_valid_packing(method):
    data = random_intervals(1, 30)
    found = pack(data, method=method, seconds=1.0 if method == "cp-sat" else math.inf, placements=20_000)
    assert check_packing(data, found.x) == found.fun
    assert found.success
    assert found.fun >= found.bound == data.load_bound()


@pytest.mark.parametrize("method", ["skyline", "auto", "cp-sat"])
def test_the_optimum_of_small_instances_is_found(method):
    for seed in range(6):
        data = random_intervals(seed, 6)
        found = pack(data, method=method, seconds=10.0 if method == "cp-sat" else math.inf, placements=50_000)
        assert found.fun == least_height(data)


def test_backtracking_never_gives_up_on_a_height_that_is_possible():
    rng = np.random.default_rng(5)
    for seed in range(60):
        data = random_intervals(100 + seed, 5)
        first, last, _ = data.sections()
        optimum = least_height(data)
        for target, expected in ((optimum, FOUND), (data.load_bound() - 1, EXHAUSTED)):
            rank, offset = rng.permutation(5).astype(float), np.zeros(5, np.int64)
            arrays = (rank, first, last, np.array(data.size), data.loads())
            status, _ = search_skyline(*arrays, target, 10**6, np.zeros(5), offset)
            assert status == expected
            if status == FOUND:
                assert check_packing(data, offset) <= target


@pytest.mark.parametrize("method", ["auto", "orders", "local", "skyline", "cp-sat"])
def test_the_example_fits_below_12_and_not_below_11(method):
    found = pack(EXAMPLE, 12, method=method, seconds=5.0)
    assert found.success
    assert check_packing(Intervals(*zip(*EXAMPLE, strict=True)), found.x, 12) == 12
    refused = pack(EXAMPLE, 11, method=method, seconds=5.0)
    assert (refused.status, refused.success, refused.bound) == ("infeasible", False, 12)


def test_a_search_stops_at_the_capacity():
    data = random_intervals(3, 60)
    first = pack(data, method="first-fit")
    found = pack(data, int(first.fun), seconds=math.inf, placements=10**9)
    assert found.fun <= first.fun
    assert found.nfev < 10**6


def test_a_seed_and_a_number_of_placements_determine_the_result():
    data = random_intervals(4, 80)
    results = [pack(data, seconds=math.inf, placements=60_000, seed=seed).x.tolist() for seed in (1, 1)]
    assert results[0] == results[1]


def test_searches_are_no_worse_than_the_orders_that_they_start_from():
    for seed in range(3):
        data = random_intervals(10 + seed, 100)
        orders = pack(data, method="orders").fun
        heights = []
        for order, best in itertools.product(orders_of(data).values(), (False, True)):
            lower, upper, size = (np.array(x) for x in (data.lower, data.upper, data.size))
            room = np.zeros(100, np.int64), np.zeros(100, np.int64)
            heights.append(place(order, 0, lower, upper, size, *room, 0, np.inf, best)[0])
        assert orders == min(heights) < max(heights)
        for method in ("local", "skyline", "auto"):
            assert pack(data, method=method, seconds=math.inf, placements=50_000).fun <= orders


def test_best_fit_takes_the_tightest_hole():
    # three pillars leave holes of 3 and of 2 below; an interval of 2 fits both
    lower, upper = np.zeros(6, np.int64), np.ones(6, np.int64)
    size = np.array([1, 3, 1, 2, 1, 2])
    offset = np.array([0, 0, 4, 0, 7, 0])
    for best, expected in ((False, 1), (True, 5)):
        placed = np.array([0, 2, 4, 0, 0, 0])
        place(np.array([9, 9, 9, 5]), 3, lower, upper, size, offset, placed, 0, np.inf, best)
        assert offset[5] == expected


def test_nothing_to_pack_is_packed():
    found = pack([])
    assert (found.fun, found.success, found.x.tolist()) == (0, True, [])


def test_unfit_arguments_are_refused():
    with pytest.raises(ValueError, match="method must be one of"):
        pack(EXAMPLE, method="best")
    with pytest.raises(ValueError, match="capacity must be at least 0"):
        pack(EXAMPLE, -1)
    with pytest.raises(ValueError, match="seconds"):
        pack(EXAMPLE, seconds=0)
    with pytest.raises(OptimandError, match="size of at least 1"):
        pack([(0, 1, 0)])


def folder() -> Path:
    root = os.environ.get("OPTIMAND_DATA")
    if not root or not (Path(root) / "malloc-muzero").is_dir():
        pytest.skip("needs minimalloc's instances: set OPTIMAND_DATA to a folder that holds malloc-muzero/")
    return Path(root) / "malloc-muzero"


@pytest.mark.parametrize(("letter", "bound"), [("A", 1_048_576), ("C", 1_039_360), ("D", 986_112), ("J", 989_184)])
def test_published_instances_have_their_bounds_and_the_orders_are_valid(letter, bound):
    data = read_minimalloc(folder() / f"{letter}.1048576.csv")
    found = pack(data, method="orders")
    assert found.bound == bound
    assert check_packing(data, found.x) == found.fun <= 1.41 * bound


def test_the_search_comes_below_a_tenth_above_the_limit_on_the_smallest_published_instance():
    data = read_minimalloc(folder() / "A.1048576.csv")
    found = pack(data, seconds=math.inf, placements=1_500_000)
    assert check_packing(data, found.x) <= 1.10 * 2**20
