"""Numbers that are functions of integers: their laws, against scipy.stats, and their independence."""

import math

import numpy as np
import pytest
from scipy import stats

from optimand.core.seeds import SeedTree
from optimand.online.engine import Draws
from optimand.online.engine.streams import beta_at, gamma_at, normal_at, start_of, uniform_at

MANY = 20_000


def draws(seed=0, reps=MANY):
    return Draws(SeedTree(seed), np.arange(reps))


def start_at(key):
    return np.uint64(
        start_of(np.uint64(key), 0, 0)
    )  # Numba gives a plain integer, which it would take for a signed one


@pytest.fixture(scope="module")
def many():
    return draws()


@pytest.mark.parametrize("axis", ["repetitions", "one stream"])
def test_uniform_numbers_are_uniform(axis):
    values = draws(1).uniform() if axis == "repetitions" else draws(1, 1).uniform(MANY)[0]
    assert stats.kstest(values, "uniform").pvalue > 1e-3
    assert values.min() >= 0
    assert values.max() < 1
    assert len(np.unique(values)) == MANY


@pytest.mark.parametrize("axis", ["repetitions", "one stream"])
def test_normal_numbers_are_normal(axis):
    values = draws(2).normal() if axis == "repetitions" else draws(2, 1).normal(MANY)[0]
    assert stats.kstest(values, "norm").pvalue > 1e-3
    assert stats.kurtosistest(values).pvalue > 1e-3


def test_integers_are_each_as_likely(many):
    counts = np.bincount(many.integers(7), minlength=7)
    assert stats.chisquare(counts).pvalue > 1e-3


def test_permutations_are_each_as_likely():
    found = draws(3).permutation(4)
    assert (np.sort(found, axis=1) == np.arange(4)).all()
    counts = np.unique(found @ 4 ** np.arange(4), return_counts=True)[1]
    assert len(counts) == math.factorial(4)
    assert stats.chisquare(counts).pvalue > 1e-3


CASES = [
    (1, 0.3), (5, 0.5), (40, 0.02), (40, 0.98), (100, 0.3), (1000, 0.9), (10**6, 1e-6), (10**6, 0.25), (10**9, 0.4),
    (10**12, 1e-10), (10**15, 2e-14), (10**17, 2e-16), (10**17, 1e-15), (10**17, 3e-13), (10**17, 5e-9),
    (10**17, 0.3), (10**17, 0.999),
]  # fmt: skip


@pytest.mark.parametrize(("n", "p"), CASES)
def test_binomials_follow_their_law(n, p):
    values = draws(4).binomial(n, p)
    assert (values == np.floor(values)).all()
    assert values.min() >= 0
    assert values.max() <= n
    q = min(p, 1 - p)
    # scipy's own cdf is used where it is exact, its limits elsewhere: Poisson for rare, normal for frequent ones
    if n <= 10**12:
        law = stats.binom(n, p)
    elif n * q < 1e7:
        law = stats.poisson(n * q)
        values = values if p < 0.5 else n - values
    else:
        law = stats.norm(n * p, math.sqrt(n * p * (1 - p)))
    cuts = np.unique(np.quantile(values, np.linspace(0.05, 0.95, 19)))
    at = law.cdf(cuts)
    expected = np.diff([0.0, *at, 1.0]) * MANY
    observed = np.diff([0, *np.searchsorted(np.sort(values), cuts, side="right"), MANY])
    keep = expected > 1
    assert keep.sum() >= 2 or n == 1
    assert stats.chisquare(observed[keep], expected[keep] * observed[keep].sum() / expected[keep].sum()).pvalue > 1e-3


def test_binomials_at_the_edges(many):
    assert (many.binomial(0, 0.5) == 0).all()
    assert (many.binomial(10**17, 0.0) == 0).all()
    assert (many.binomial(10**6, 1.0) == 10**6).all()


def test_binomials_take_a_number_for_each_repetition():
    found = draws(5, 3).binomial([0, 10, 1000], [0.5, 1.0, 0.0])
    assert found.tolist() == [0, 10, 0]


@pytest.mark.parametrize("shape", [0.05, 0.5, 1.0, 3.7, 500.0])
def test_gamma_numbers_follow_their_law(shape):
    start = start_at(11)
    values = [gamma_at(start, i, shape) for i in range(5000)]
    assert stats.kstest(values, stats.gamma(shape).cdf).pvalue > 1e-3


@pytest.mark.parametrize(("a", "b"), [(1.0, 1.0), (0.3, 0.5), (30.0, 2.0), (400.0, 9000.0)])
def test_beta_numbers_follow_their_law(a, b):
    start = start_at(12)
    values = [beta_at(start, i, a, b) for i in range(5000)]
    assert stats.kstest(values, stats.beta(a, b).cdf).pvalue > 1e-3


def test_repetitions_streams_keys_and_children_are_independent():
    n = 1024
    limit = 5 / math.sqrt(n)
    keys = [np.uint64(k) for k in (0, 1, 2**63 - 1)]
    rows = [
        np.array([uniform_at(np.uint64(start_of(key, rep, stream)), i) for i in range(n)])
        for key in keys for rep in (0, 1, 2) for stream in (0, 1, 2)
    ]  # fmt: skip
    correlations = np.corrcoef(rows) - np.eye(len(rows))
    assert np.abs(correlations).max() < limit
    assert len(np.unique(rows)) == n * len(rows)
    # and at lags, within a stream and between neighbours
    for lag in (1, 2, 7):
        assert abs(np.corrcoef(rows[0][lag:], rows[0][:-lag])[0, 1]) < limit
        assert abs(np.corrcoef(rows[0][lag:], rows[3][:-lag])[0, 1]) < limit
    parent = draws(6, 1)
    child = parent.child("noise")
    assert abs(np.corrcoef(parent.uniform(n)[0], child.uniform(n)[0])[0, 1]) < limit


def test_a_number_does_not_depend_on_others():
    both, second = draws(7, 5), Draws(SeedTree(7), [3])
    for _ in range(3):
        for kind in ("uniform", "normal"):
            assert (getattr(both, kind)(4)[3] == getattr(second, kind)(4)[0]).all()
        assert both.binomial(1000, 0.3)[3] == second.binomial(1000, 0.3)[0]
        assert (both.permutation(6)[3] == second.permutation(6)[0]).all()


def test_normal_and_uniform_numbers_of_one_source_do_not_share_places():
    source = draws(8, 2000)
    values = [source.uniform(), source.normal(), source.uniform(), source.normal(), source.uniform()]
    correlations = np.corrcoef([*values, *(v**2 for v in values)])
    np.fill_diagonal(correlations, 0)
    for i in range(5):  # a number and its own square
        correlations[i, i + 5] = correlations[i + 5, i] = 0
    assert np.abs(correlations).max() < 5 / math.sqrt(2000)


def test_normal_numbers_are_finite_for_all_uniform_ones():
    start = start_at(13)
    values = np.array([normal_at(start, i) for i in range(10_000)])
    assert np.isfinite(values).all()
    assert np.abs(values).max() < 8.6
