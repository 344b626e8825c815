import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from optimand.lab.statistics import (
    Interval,
    excludes_zero,
    expected_best,
    holm_levels,
    mean_interval,
    paired_difference,
    performance_profile,
    ties_with_best,
    time_to_target,
)

finite = st.floats(-1e3, 1e3)


@given(st.lists(finite, min_size=2, max_size=8))
def test_the_interval_holds_the_mean_and_students_interval(values):
    interval = mean_interval(values)
    assert interval.mean == pytest.approx(np.mean(values))
    assert interval.low <= interval.mean <= interval.high
    spread = np.std(values, ddof=1)
    if spread > 1e-9:
        low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
        assert interval.low <= low + 1e-9
        assert interval.high >= high - 1e-9


def test_the_interval_covers_the_truth_as_often_as_it_says_with_three_seeds():
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(400, 3))
    covered = np.mean([i.low <= 0 <= i.high for i in map(mean_interval, draws)])
    assert covered >= 0.93  # the bootstrap alone covers about 0.75


def test_the_interval_for_skewed_samples_agrees_with_scipys_bootstrap():
    x = np.random.default_rng(1).exponential(size=40)
    low, high = stats.bootstrap((x,), np.mean, method="percentile", rng=0).confidence_interval
    interval = mean_interval(x)
    assert interval.low <= low + 0.02
    assert interval.high >= high - 0.02


def test_one_value_or_none_has_no_interval():
    assert math.isnan(mean_interval([1.0]).low)
    assert mean_interval([1.0, math.nan]).n == 1
    empty = mean_interval([math.nan])
    assert empty.n == 0
    assert math.isnan(empty.mean)
    assert not excludes_zero(empty)
    assert math.isnan(mean_interval([1.0, math.inf]).low)


def test_pairing_removes_what_the_seeds_share():
    shared = np.array([0.0, 10.0, -7.0, 4.0])
    difference = paired_difference(shared + np.array([1.0, 1.1, 0.9, 1.0]), shared)
    assert difference.mean == pytest.approx(1.0)
    assert excludes_zero(difference)
    assert not excludes_zero(Interval(1, -0.1, 2, 3))


def test_equal_methods_are_rarely_called_different():
    rng = np.random.default_rng(2)
    wrong = 0
    for _ in range(200):
        values = {name: rng.normal(size=3).tolist() for name in "abcd"}
        _, tied = ties_with_best(values, "min")
        wrong += not all(tied.values())
    # The best of four is picked by its luck, so a little more than the nominal 5 % is to be expected.
    assert wrong / 200 <= 0.10


def test_a_clear_difference_is_seen():
    rng = np.random.default_rng(3)
    noise = rng.normal(size=3)
    values = {"good": (1 + 0.01 * noise).tolist(), "bad": (2 + 0.02 * rng.normal(size=3)).tolist()}
    best, tied = ties_with_best(values, "min")
    assert best == "good"
    assert tied == {"good": True, "bad": False}
    assert ties_with_best(values, "max")[0] == "bad"


def test_a_method_that_lost_seeds_is_not_best():
    values = {"shaky": [0.1, math.nan, 0.1], "steady": [0.5, 0.5, 0.5], "dead": [math.nan] * 3}
    best, tied = ties_with_best(values, "min")
    assert best == "steady"
    assert not tied["dead"]


def test_holm_levels_start_with_bonferroni():
    assert holm_levels(4)[0] == pytest.approx(1 - 0.05 / 4)
    assert holm_levels(4)[-1] == pytest.approx(0.95)


@given(finite, st.lists(finite, min_size=1, max_size=5), st.sampled_from(["min", "max"]))
def test_expected_best_equals_brute_force(default, sampled, direction):
    best = min if direction == "min" else max
    curve = expected_best(default, sampled, direction)
    assert curve[0] == default
    for k in range(1, len(sampled) + 1):
        subsets = list(itertools.combinations(sampled, k))
        brute = np.mean([best([default, *subset]) for subset in subsets])
        assert curve[k] == pytest.approx(brute, abs=1e-6)
    steps = np.diff(curve) if direction == "min" else -np.diff(curve)
    assert (steps <= 1e-9).all()


def test_expected_best_counts_diverged_trials_as_infinitely_bad():
    assert expected_best(math.nan, [math.nan, 1.0], "min") == [math.inf, math.inf, 1.0]
    assert expected_best(0.5, [math.nan, math.nan], "max") == [0.5, 0.5, 0.5]
    assert expected_best(0.5, [], "min") == [0.5]


def test_time_to_target_is_the_first_position_that_reaches_it():
    assert time_to_target([1, 2, 3], [0.5, 0.9, 0.95], 0.9, "max") == 2
    assert time_to_target([1, 2, 3], [3.0, 1.0, 2.0], 1.5, "min") == 2
    assert time_to_target([1, 2], [3.0, math.nan], 1.5, "min") is None


def test_performance_profile_by_hand():
    tau, shares = performance_profile({"a": [1.0, 4.0, None], "b": [2.0, 2.0, 5.0]}, points=3, largest=4.0)
    np.testing.assert_allclose(tau, [1, 2, 4])
    np.testing.assert_allclose(shares["a"], [1 / 3, 2 / 3, 2 / 3])
    np.testing.assert_allclose(shares["b"], [2 / 3, 1, 1])


def test_a_problem_that_nobody_solved_counts_for_nobody():
    _, shares = performance_profile({"a": [None, 1.0], "b": [None, 1.0]})
    assert shares["a"].max() == 0.5
