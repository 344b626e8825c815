"""Sieve-streaming, and the estimator: selections against greedy, streams against one pass, scikit-learn's rules."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from optimand.combinatorial.submodular import Coverage, SieveStreaming, SubmodularSelection, maximize_submodular

X = np.random.default_rng(0).normal(size=(60, 4))


def test_the_sieve_never_holds_a_deleted_element_and_knows_its_value():
    rng = np.random.default_rng(2)
    f = Coverage([rng.integers(40, size=5).tolist() for _ in range(120)])
    sieve = SieveStreaming(f, 6)
    live = set()
    for step in range(120):
        sieve.insert(step)
        live.add(step)
        if step % 3 == 2:
            gone = sieve.solution[0]  # the worst that can happen to it
            sieve.delete(gone)
            live.discard(gone)
        assert set(sieve.solution) <= live
        assert sieve.value == f.value(sieve.solution)
        assert len(sieve.solution) <= 6
    for element in list(live):
        sieve.delete(element)
    assert (sieve.solution, sieve.value) == ([], 0.0)
    sieve.insert(4)
    assert sieve.solution == [4]


def test_the_sieve_counts_its_questions_and_asks_few():
    f = Coverage([range(i % 50) for i in range(300)])
    sieve = SieveStreaming(f, 5)
    for i in range(300):
        sieve.insert(i)
    assert sieve.oracle_calls == f.nfev < 300 * 15
    assert len(sieve.kept) < 60


def test_the_sieve_refuses_what_is_there_and_what_is_not():
    sieve = SieveStreaming(Coverage({"a": [1], "b": [2]}), 1)
    sieve.insert("a")
    with pytest.raises(ValueError, match="element 'a' is there already"):
        sieve.insert("a")
    with pytest.raises(KeyError, match="element 'b' is not there"):
        sieve.delete("b")
    with pytest.raises(ValueError, match="k must be at least 1"):
        SieveStreaming(Coverage([[1]]), 0)
    with pytest.raises(ValueError, match="eps must be in"):
        SieveStreaming(Coverage([[1]]), 1, eps=0)


@pytest.mark.parametrize("objective", ["facility", "log-det", "graph-cut", "coverage"])
def test_selected_rows_are_those_of_greedy(objective):
    table = np.clip(X, 0, None) if objective == "coverage" else X
    chosen = SubmodularSelection(5, objective).fit(table)
    assert len(set(chosen.ranking_)) == len(chosen.ranking_) <= 5
    assert (np.diff(chosen.gains_) <= 1e-9).all()
    assert (chosen.transform() == table[chosen.ranking_]).all()
    assert (chosen.transform(table) == SubmodularSelection(5, objective).fit_transform(table)).all()
    assert chosen.get_support().sum() == len(chosen.ranking_)
    assert chosen.get_support(indices=True).tolist() == sorted(chosen.ranking_)
    naive = SubmodularSelection(5, objective, method="naive").fit(table)
    assert naive.ranking_.tolist() == chosen.ranking_.tolist()


def test_facility_selection_maximizes_what_it_says():
    chosen = SubmodularSelection(4).fit(X)
    distances = ((X[:, None] - X[None]) ** 2).sum(-1)
    value = (distances.max() - distances)[:, chosen.ranking_].max(axis=1).sum()
    assert chosen.gains_.sum() == pytest.approx(value)


@pytest.mark.parametrize("objective", ["facility", "log-det", "coverage"])
def test_a_stream_in_batches_is_one_pass(objective):
    table = (X > 0.8).astype(float) if objective == "coverage" else X
    first = table[:30]
    apart = SubmodularSelection(4, objective).partial_fit(first)
    for at in range(30, 60, 7):
        apart.partial_fit(table[at : at + 7])
    at_once = SubmodularSelection(4, objective).partial_fit(first).partial_fit(table[30:])
    assert apart.ranking_.tolist() == at_once.ranking_.tolist()
    assert apart.gains_ == pytest.approx(at_once.gains_)
    assert apart.nfev_ == at_once.nfev_
    assert apart.n_seen_ == len(apart.get_support()) == 60
    assert (apart.selected_ == table[apart.ranking_]).all()


def test_one_batch_is_the_sieve_of_maximize_submodular():
    rows = (X > 0.8).astype(float)
    streamed = SubmodularSelection(4, "coverage").partial_fit(rows)
    f = Coverage([np.flatnonzero(row).tolist() for row in rows])
    assert streamed.gains_.sum() == maximize_submodular(f, k=4, method="sieve").fun
    assert streamed.fit(rows).gains_.sum() == maximize_submodular(f, k=4).fun


def test_the_estimator_can_be_cloned_and_set():
    chosen = clone(SubmodularSelection(3, "log-det", sigma=0.5))
    assert chosen.get_params()["sigma"] == 0.5
    assert len(chosen.set_params(k=2).fit(X).ranking_) == 2


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: SubmodularSelection(0).fit(X), ValueError, "k must be at least 1, got 0"),
        (lambda: SubmodularSelection(1.5).fit(X), TypeError, "k must be an integer"),
        (lambda: SubmodularSelection(1, "max").fit(X), ValueError, "objective must be one of"),
        (lambda: SubmodularSelection(1, metric="l1").fit(X), ValueError, "metric must be one of"),
        (lambda: SubmodularSelection(1, "log-det", metric="squared").fit(X), ValueError, "metric must be one of"),
        (lambda: SubmodularSelection(1, method="best").fit(X), ValueError, "method must be one of"),
        (lambda: SubmodularSelection(1).fit(X[0]), ValueError, r"X must be a table \(rows, features\)"),
        (lambda: SubmodularSelection(1).fit(X * np.nan), ValueError, "X must be finite, got nan"),
        (lambda: SubmodularSelection(1).fit(X[:0]), ValueError, "X must have at least one row"),
        (
            lambda: SubmodularSelection(1, "coverage").fit(X),
            ValueError,
            "X must be at least 0 for objective 'coverage'",
        ),
        (lambda: SubmodularSelection(1, "graph-cut").partial_fit(X), ValueError, "objective of partial_fit"),
        (lambda: SubmodularSelection(9, "graph-cut", lam=40.0).fit(X), ValueError, "with lam=40 the gain of element"),
        (lambda: SubmodularSelection(1).transform(X), NotFittedError, "call fit or partial_fit first"),
        (lambda: SubmodularSelection(1).get_support(), NotFittedError, "call fit or partial_fit first"),
        (lambda: SubmodularSelection(9).fit(X).transform(X[:2]), ValueError, "X must have the rows that were fitted"),
        (
            lambda: SubmodularSelection(1).partial_fit(X).partial_fit(X[:, :2]),
            ValueError,
            "X must have 4 features, got 2",
        ),
    ],
)
def test_bad_input_to_the_estimator_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
