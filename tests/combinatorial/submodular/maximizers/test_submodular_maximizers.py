"""Static maximizers: exact small optima, known values on real graphs and images, guarantees, counts, bad input."""

from __future__ import annotations

import os

import numpy as np
import pytest

from optimand.combinatorial.submodular import (
    Coverage,
    FacilityLocation,
    GraphCut,
    LogDet,
    SetFunction,
    lazy_greedy,
    maximize_submodular,
    naive_greedy,
    similarity,
)
from optimand.combinatorial.submodular.instances.graphs import graph_coverage
from optimand.core.validation import OptimandError

needs_data = pytest.mark.skipif(
    not os.path.isdir(os.path.join(os.environ.get("OPTIMAND_DATA") or os.devnull, "dynamic-submodular")),
    reason="OPTIMAND_DATA names no folder with dynamic-submodular/",
)


def some_objectives(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(10, 3))
    rows = [rng.integers(20, size=rng.integers(1, 8)).tolist() for _ in range(10)]
    return [
        Coverage(rows),
        Coverage(rows, rng.random(20)),
        FacilityLocation(similarity(x)),
        LogDet(similarity(x, "rbf"), 0.3),
        GraphCut(similarity(x, "rbf"), 0.5),
    ]


@pytest.mark.parametrize(
    ("graph", "best", "greedy"),
    [
        ("karate", [18, 31, 33, 34], [18, 31, 33, 34]),
        ("les-miserables", [37, 50, 58], [37, 50, 58]),
        ("florentine", [7, 11, 13, 14], [7, 11, 12, 13]),
    ],
)
def test_exact_optima_of_small_graphs_and_what_greedy_finds(graph, best, greedy):
    pytest.importorskip("networkx")
    f = graph_coverage(graph)
    names = sorted(f.element(i) for i in range(f.n))  # of equal gains greedy takes the first: the order decides
    sizes = range(1, len(best) + 1)
    assert [maximize_submodular(f, names, k, method="exact").fun for k in sizes] == best
    assert [maximize_submodular(f, names, k).fun for k in sizes] == greedy
    assert [maximize_submodular(f, names, k, method="naive").fun for k in sizes] == greedy


def test_the_sets_that_are_best_on_the_karate_club():
    pytest.importorskip("networkx")
    f = graph_coverage("karate")
    found = [sorted(maximize_submodular(f, k=k, method="exact").x) for k in (1, 2, 3)]
    assert found == [[33], [0, 33], [0, 24, 33]]


@needs_data
@pytest.mark.parametrize(
    ("graph", "values", "calls"),
    [
        ("ego-facebook", {1: 1046, 5: 3463, 10: 4039}, {}),
        ("email-enron", {1: 1384, 5: 5848, 10: 8938, 20: 12462, 50: 17567}, {10: 36_739, 20: 36_843}),
    ],
)
def test_lazy_greedy_on_real_graphs(graph, values, calls):
    f = graph_coverage(graph)
    found = {k: maximize_submodular(f, k=k) for k in values}
    assert {k: r.fun for k, r in found.items()} == values
    assert {k: found[k].nfev for k in calls} == calls
    assert found[1].x == [{"ego-facebook": 107, "email-enron": 5038}[graph]]


def test_all_exact_methods_find_the_known_value_on_digits():
    datasets = pytest.importorskip("sklearn.datasets")
    f = FacilityLocation(similarity(datasets.load_digits().data))
    ids = np.arange(1797)
    lazy, gains, calls = lazy_greedy(f, ids, 50)
    naive, _, more = naive_greedy(f, ids, 50)
    assert gains.sum() == 9_708_480
    assert (lazy == naive).all()
    assert calls == 9_015
    assert more == sum(1797 - i for i in range(50))


@pytest.mark.parametrize("seed", range(6))
def test_lazy_greedy_chooses_what_naive_greedy_does_and_asks_less(seed):
    for f in some_objectives(seed):
        ids = np.random.default_rng(seed).permutation(10)
        lazy, gains, calls = lazy_greedy(f, ids, 6)
        naive, others, more = naive_greedy(f, ids, 6)
        assert lazy.tolist() == naive.tolist()
        assert gains == pytest.approx(others)
        assert calls <= more
        assert f.nfev == calls + more


def test_a_function_in_python_takes_the_path_of_the_compiled_objective():
    rows = np.random.default_rng(1).integers(30, size=(25, 5)).tolist()
    compiled = Coverage(rows)
    plain = SetFunction(lambda chosen: len({item for i in chosen for item in rows[i]}), range(25))
    plain.start()
    plain.nfev = 0
    for method in ("lazy", "naive", "stochastic", "threshold", "sieve"):
        a, b = (maximize_submodular(f, k=7, method=method) for f in (compiled, plain))
        assert (a.x, a.fun, a.nfev) == (b.x, b.fun, b.nfev)


def test_known_singletons_are_not_asked_for_again():
    f = Coverage([[1, 2], [2, 3, 4], [5]])
    singles = f.gains(f.start(), f.ids())
    chosen, gains, calls = lazy_greedy(f, [0, 1, 2], 2, singles)
    assert (chosen.tolist(), gains.tolist(), calls) == ([1, 0], [3.0, 1.0], 1)
    assert singles.tolist() == [2.0, 3.0, 1.0]


@pytest.mark.parametrize("method", ["lazy", "naive", "threshold", "sieve", "exact"])
@pytest.mark.parametrize("seed", range(4))
def test_guarantees_hold_on_small_sets(method, seed):
    share = {"lazy": 1 - np.exp(-1), "naive": 1 - np.exp(-1), "threshold": 0.9 - np.exp(-1), "sieve": 0.4, "exact": 1}
    for f in some_objectives(seed):
        for k in (1, 3, 5):
            best = maximize_submodular(f, k=k, method="exact").fun
            found = maximize_submodular(f, k=k, method=method, eps=0.1)
            assert found.fun >= share[method] * best - 1e-9
            assert found.fun == pytest.approx(f.value(found.x))
            assert len(set(found.x)) == len(found.x) <= k
            assert found.gains.sum() == pytest.approx(found.fun)


def test_stochastic_greedy_keeps_its_guarantee_in_the_mean_with_few_questions():
    f = graph_coverage("generated", 800)
    greedy = maximize_submodular(f, k=20)
    found = [maximize_submodular(f, k=20, method="stochastic", eps=0.1, seed=seed) for seed in range(5)]
    assert np.mean([r.fun for r in found]) >= 0.9 * greedy.fun
    assert max(r.nfev for r in found) <= 800 * np.log(10) + 20
    again = maximize_submodular(f, k=20, method="stochastic", eps=0.1, seed=3)
    assert again.x == found[3].x


def test_threshold_greedy_and_the_sieve_ask_less_than_naive_greedy():
    f = graph_coverage("generated", 800)
    naive = maximize_submodular(f, k=20, method="naive")
    threshold = maximize_submodular(f, k=20, method="threshold")
    sieve = maximize_submodular(f, k=20, method="sieve")
    assert threshold.nfev < naive.nfev / 4
    assert threshold.fun >= 0.9 * naive.fun
    assert sieve.fun >= 0.5 * naive.fun


def test_fewer_are_chosen_where_nothing_more_is_gained():
    f = Coverage([[1], [1], [2], []])
    for method in ("lazy", "naive", "stochastic", "threshold", "sieve"):
        found = maximize_submodular(f, k=4, method=method)
        assert sorted(f.element(f.index(e)) for e in found.x) in ([0, 2], [1, 2])
        assert maximize_submodular(Coverage([[]]), k=1, method=method).x == []
    assert maximize_submodular(f, [], k=2).x == []
    assert maximize_submodular(f, [3, 2], k=3).message == "1 of 2 elements chosen with 2 questions"


def test_a_function_that_is_not_monotone_is_found_out():
    def fn(chosen):
        return float(len(chosen)) if "bad" not in chosen else -1.0

    for method in ("lazy", "naive", "stochastic", "threshold", "sieve", "exact"):
        with pytest.raises(ValueError, match=r"gain of element 'bad' is -.*: the function is not monotone"):
            maximize_submodular(fn, ["a", "b", "bad"], k=3, method=method)
    with pytest.warns(UserWarning, match="f is not monotone: no guarantee holds"):
        found = maximize_submodular(SetFunction(fn, ["a", "b", "bad"], monotone=False), k=3)
    assert found.x == ["a", "b"]
    with pytest.raises(ValueError, match="gain of element 'a' is nan"):
        maximize_submodular(lambda chosen: float("nan") if chosen else 0.0, ["a"], k=1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda f: maximize_submodular(3, [1], k=1), TypeError, "f must be an objective or a function"),
        (lambda f: maximize_submodular(f, k=0), ValueError, "k must be at least 1, got 0"),
        (lambda f: maximize_submodular(f, k=2.0), TypeError, "k must be an integer, got 2.0"),
        (lambda f: maximize_submodular(f, k=1, method="greedi"), ValueError, "method must be one of .*'lazy'"),
        (lambda f: maximize_submodular(f, k=1, eps=1.0), ValueError, r"eps must be in \(0, 1"),
        (lambda f: maximize_submodular(f, [7], k=1), KeyError, "element 7 is not in the ground set"),
        (lambda f: maximize_submodular(f, [[0]], k=1), TypeError, r"an element must be hashable, got \[0\]"),
        (lambda f: maximize_submodular(f, [0, 0], k=1), ValueError, "ground must hold each element once"),
        (lambda f: maximize_submodular(len, k=1), ValueError, "ground must be given"),
        (lambda f: lazy_greedy(f, [5], 1), IndexError, r"ids must be in \[0, 1\], got 5 to 5"),
        (lambda f: naive_greedy(f, [-1], 1), IndexError, r"ids must be in \[0, 1\], got -1"),
    ],
)
def test_bad_input_to_maximizers_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call(Coverage([[1], [2, 3]]))


def test_the_exact_search_refuses_too_many_sets():
    with pytest.raises(OptimandError, match=r"'exact' would look at .* sets; it takes at most 5000000"):
        maximize_submodular(Coverage([[i] for i in range(60)]), k=30, method="exact")


def test_a_size_in_the_place_of_the_ground_set_is_named():
    with pytest.raises(TypeError, match=r"ground must be a collection of elements, got 2 .*k=…"):
        maximize_submodular(Coverage([[1], [2]]), 2)
