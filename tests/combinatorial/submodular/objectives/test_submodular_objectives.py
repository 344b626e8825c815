"""Objectives: values against closed forms, gains against values, diminishing returns, counting, bad input."""

from __future__ import annotations

import copy
import itertools
import math
import pickle

import numpy as np
import pytest
import scipy.sparse as sp

from optimand.combinatorial.submodular import (
    Coverage,
    FacilityLocation,
    GraphCut,
    LogDet,
    SetFunction,
    maximize_submodular,
    similarity,
)
from optimand.combinatorial.submodular.objectives.similarity import cross_similarity, similarity_scale

RNG = np.random.default_rng(5)
N = 9
ROWS = [RNG.integers(15, size=RNG.integers(1, 6)).tolist() for _ in range(N)]
WEIGHTS = RNG.random(15)
TABLE = RNG.normal(size=(N, 3))
KERNEL = similarity(TABLE, "rbf")
OBLONG = RNG.random((13, N)) * (RNG.random((13, N)) < 0.6)


def coverage(chosen):
    return len({item for i in chosen for item in ROWS[i]})


def weighted(chosen):
    return sum(WEIGHTS[item] for item in {item for i in chosen for item in ROWS[i]})


def facility(chosen):
    return OBLONG[:, chosen].max(axis=1).sum() if chosen else 0.0


def log_det(chosen):
    return 0.5 * np.linalg.slogdet(np.eye(len(chosen)) + KERNEL[np.ix_(chosen, chosen)] / 0.49)[1]


def graph_cut(chosen):
    return KERNEL[:, chosen].sum() - 0.45 * KERNEL[np.ix_(chosen, chosen)].sum()


CASES = {
    "coverage": (lambda: Coverage(ROWS), coverage),
    "weighted": (lambda: Coverage(ROWS, WEIGHTS), weighted),
    "facility": (lambda: FacilityLocation(OBLONG), facility),
    "sparse": (lambda: FacilityLocation(sp.csr_matrix(OBLONG)), facility),
    "log-det": (lambda: LogDet(KERNEL, 0.7), log_det),
    "graph-cut": (lambda: GraphCut(KERNEL, 0.45), graph_cut),
    "function": (lambda: SetFunction(lambda e: weighted(list(e)), range(N)), weighted),
}


@pytest.mark.parametrize("case", CASES)
def test_values_and_gains_are_those_of_the_formula(case):
    make, formula = CASES[case]
    f, rng = make(), np.random.default_rng(1)
    for _ in range(20):
        order = rng.permutation(N)[: rng.integers(1, N)].tolist()
        assert f.value(order) == pytest.approx(formula(order), abs=1e-9)
        state = f.start()
        for at, i in enumerate(order):
            expected = formula(order[: at + 1]) - formula(order[:at])
            gain = f.gain(state, i)
            assert gain == pytest.approx(expected, abs=1e-9)
            assert f.gains(state, np.array([i, 0]))[0] == gain
            f.add(state, i, gain)
        assert state.value == pytest.approx(formula(order), abs=1e-9)
        assert (state.members, state.size) == (order, len(order))


@pytest.mark.parametrize("case", CASES)
def test_gains_are_never_negative_and_fall_as_the_set_grows(case):
    f, rng = CASES[case][0](), np.random.default_rng(2)
    everyone = np.arange(N)
    for _ in range(10):
        state = f.start()
        before = f.gains(state, everyone)
        for i in rng.permutation(N):
            f.add(state, int(i))
            after = f.gains(state, everyone)
            assert after.min() >= -1e-9
            assert (after <= before + 1e-9).all()
            assert after[i] == pytest.approx(0.0, abs=1e-9)  # a member gains nothing
            before = after


@pytest.mark.parametrize("case", CASES)
def test_every_marginal_and_every_value_counts_one(case):
    f = CASES[case][0]()
    state = f.start()
    f.nfev = 0
    f.gain(state, 3)
    f.gains(state, np.arange(5))
    assert f.nfev == 6
    f.add(state, 3, 1.0)
    assert f.nfev == 6
    f.add(state, 4)
    assert f.nfev == 7
    f.value([1, 2, 3])
    f.value([])
    assert f.nfev == 9


@pytest.mark.parametrize("case", CASES)
def test_a_copied_state_changes_on_its_own_and_a_member_is_added_once(case):
    f = CASES[case][0]()
    state = f.start()
    f.add(state, 2)
    other = state.copy()
    for i in range(N):
        f.add(other, i)
    assert state.members == [2]
    assert state.value == pytest.approx(f.value([2]))
    assert other.value == pytest.approx(f.value(range(N)))
    assert f.gain(state, 5) == pytest.approx(f.value([2, 5]) - f.value([2]), abs=1e-9)


@pytest.mark.parametrize("case", [name for name in CASES if name != "function"])
def test_objectives_can_be_pickled_and_copies_count_on_their_own(case):
    f = CASES[case][0]()
    again, other = pickle.loads(pickle.dumps(f)), copy.copy(f)
    assert again.value([0, 4]) == other.value([0, 4]) == f.value([0, 4])
    f.value([1])
    assert (f.nfev, other.nfev) == (2, 1)


def test_coverage_takes_mappings_sequences_and_rows_of_a_sparse_matrix():
    matrix = sp.csr_matrix(([1, 1, 1], [0, 2, 2], [0, 2, 3]))
    named = Coverage({"a": ["x", "y", "x"], ("b", 1): ["y"], "none": []})
    assert Coverage((matrix.indptr, matrix.indices)).value([0, 1]) == 2.0
    assert named.value(["a", ("b", 1), "none"]) == 2.0
    assert (named.n, named.index(("b", 1)), named.element(0)) == (3, 1, "a")
    assert Coverage([]).n == 0
    assert Coverage({1: "ab", 2: "b"}, {"a": 2.0, "b": 0.5}).value([1, 2]) == 2.5
    assert Coverage([[0], [3]], {0: 2.0, 3: 1.0}).value([0, 1]) == 3.0


def test_items_may_be_numbers_far_apart():
    f = Coverage({"a": [7, 2**31 - 2], "b": [2**31 - 2]}, {7: 2.0, 2**31 - 2: 0.5})
    assert f.value(["a", "b"]) == 2.5
    assert f.items == Coverage([[7, 2**31 - 2]]).items == 2  # a state has a bit for each, not for what lies between


def test_a_sparse_matrix_of_the_caller_is_left_as_it_was():
    matrix = sp.csc_matrix((np.array([1.0, 2.0, 4.0]), np.array([1, 0, 0]), np.array([0, 3])), shape=(2, 1))
    assert FacilityLocation(matrix).value([0]) == 7.0
    assert matrix.data.tolist() == [1.0, 2.0, 4.0]


def test_rounding_of_large_values_is_not_taken_for_a_function_that_falls():
    f = SetFunction(lambda chosen: 1e12 + len(chosen), range(3))
    f.start()
    assert f.check_gain(0, -1e-4) == 0.0
    with pytest.raises(ValueError, match="not monotone"):
        f.check_gain(0, -1e4)


def test_many_items_fill_more_than_one_word_of_bits():
    rows = [range(i, 200, 7) for i in range(7)]
    f = Coverage(rows)
    assert f.value(range(7)) == 200
    assert f.value([6, 0]) == len(set(rows[6]) | set(rows[0]))


def test_log_det_stays_finite_where_rows_are_the_same():
    f = LogDet(np.ones((40, 40)), sigma=1e-3)
    state = f.start()
    for i in range(40):
        f.add(state, i)
    assert state.value == pytest.approx(0.5 * math.log1p(40e6), rel=1e-6)


def test_graph_cut_accepts_a_large_lam_exactly_where_no_gain_can_be_negative():
    matrix = np.random.default_rng(3).random((7, 7))
    matrix = matrix + matrix.T
    for k in (1, 2, 4):
        with pytest.raises(ValueError, match=rf"lam=9 the gain .* k_max={k}; it cannot up to lam=") as error:
            GraphCut(matrix, 9.0, k)
        most = float(str(error.value).split("lam=")[-1])

        def least(lam, k=k):
            return min(
                matrix[i].sum() - lam * (matrix[i, i] + 2 * matrix[i, list(others)].sum())
                for i in range(7)
                for others in itertools.combinations([j for j in range(7) if j != i], k - 1)
            )

        assert least(most * 0.9999) >= 0 > least(most * 1.0001)
        assert GraphCut(matrix, most * 0.9999, k).monotone
    with pytest.raises(ValueError, match=r"k must be in \[1, 2\], got 3"):
        GraphCut(matrix, 0.5, 2).check_size(3)


def test_graph_cut_without_a_largest_size_warns_where_it_is_not_monotone():
    with pytest.warns(UserWarning, match="lam=2 the gain of element"):
        f = GraphCut(KERNEL, 2.0)
    assert not f.monotone
    assert f.check_gain(0, -0.5) == -0.5
    assert GraphCut(KERNEL, 0.5).monotone


def test_similarities_are_symmetric_and_agree_across_tables():
    x = np.random.default_rng(0).normal(size=(8, 3))
    for metric in ("squared", "rbf", "cosine"):
        whole = similarity(x, metric)
        assert (whole == whole.T).all()
        assert whole.min() >= 0
        part = cross_similarity(x[:3], x, metric, similarity_scale(x, metric))
        assert part == pytest.approx(whole[:3], abs=1e-12)
    assert similarity([[0.0, 0.0], [1.0, 0.0]], "cosine").tolist() == [[0.0, 0.0], [0.0, 1.0]]
    assert similarity([[0.0], [2.0]], "rbf", gamma=0.25)[0, 1] == pytest.approx(math.exp(-1))
    assert similarity([[1.0], [1.0]], "rbf").tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_a_function_with_an_open_ground_set_numbers_elements_as_they_come():
    seen = []

    def fn(elements):
        seen.append(elements)
        return float(len(set("".join(elements))))

    f = SetFunction(fn)
    assert f.n is None
    state = f.start()
    assert (f.index("ab"), f.index("bc"), f.index("ab"), f.nfev) == (0, 1, 0, 1)
    f.add(state, 0)
    assert (f.gain(state, 1), f.gain(state, 0)) == (1.0, 0.0)
    assert seen == [(), ("ab",), ("ab", "bc")]
    with pytest.raises(ValueError, match="ground must be given"):
        f.ids()
    with pytest.raises(KeyError, match="'z' is not in the ground set of 2"):
        SetFunction(fn, ["a", "b"]).index("z")


def test_gains_that_are_not_numbers_or_negative_name_the_element():
    f = Coverage({"a": [1], "b": [2]})
    with pytest.raises(ValueError, match="gain of element 'b' is nan"):
        f.check_gain(1, math.nan)
    with pytest.raises(ValueError, match="gain of element 'b' is inf"):
        f.check_gain(1, math.inf)
    with pytest.raises(ValueError, match=r"gain of element 'a' is -0\.5: the function is not monotone"):
        f.check_gain(0, -0.5)
    assert f.check_gain(0, -1e-12) == 0.0


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Coverage(3), TypeError, "neighbours must be a mapping or a sequence, got 3"),
        (lambda: Coverage([1, 2]), TypeError, "neighbours of 0 must be a collection of items, got 1"),
        (lambda: Coverage([[[1]]]), TypeError, "items that neighbours cover must be hashable"),
        (lambda: Coverage([[-1]]), ValueError, r"items must be in \[0, 2\*\*31\), got -1"),
        (lambda: Coverage((np.array([0, 2]), np.array([1]))), ValueError, "indptr rise from 0 to the length"),
        (lambda: Coverage([[0, 4]], [1.0]), ValueError, "one number for each of 5 items"),
        (lambda: Coverage([[0]], [-1.0]), ValueError, "weights must be finite and at least 0, got -1"),
        (lambda: Coverage(["ab"], {"a": 1.0}), ValueError, "weights has none for item 'b'"),
        (lambda: Coverage([[0, 4]], {0: 1.0}), ValueError, "weights has none for item 4"),
        (lambda: Coverage(["ab"], [1.0, 2.0]), TypeError, "weights must be a mapping from items"),
        (lambda: FacilityLocation([1.0]), ValueError, r"similarity must be a matrix .* got shape \(1,\)"),
        (lambda: FacilityLocation([[-1.0]]), ValueError, "similarity must be at least 0, got -1"),
        (lambda: FacilityLocation([[math.nan]]), ValueError, "similarity must be finite, got nan"),
        (lambda: LogDet([[1.0, 0.5], [0.4, 1.0]]), ValueError, "kernel must be symmetric"),
        (lambda: LogDet([[1.0, 0.5]]), ValueError, "kernel must be a square matrix"),
        (lambda: LogDet([[-1.0]]), ValueError, "kernel must be positive semidefinite, got -1 on its diagonal"),
        (lambda: LogDet([[1.0]], sigma=0), ValueError, r"sigma must be in \(0"),
        (lambda: GraphCut([[1.0]], lam=-1), ValueError, "lam must be in"),
        (lambda: GraphCut([[1.0]], k_max=0), ValueError, "k_max must be at least 1"),
        (lambda: SetFunction(3), TypeError, "fn must be a function of a tuple of elements, got 3"),
        (lambda: SetFunction(lambda e: "x").value([1]), TypeError, "fn must return a number, got 'x'"),
        (lambda: SetFunction(len).index([1]), TypeError, r"an element must be hashable, got \[1\] \(list\)"),
        (lambda: Coverage({"a": [1]}).index([1]), TypeError, r"an element must be hashable, got \[1\]"),
        (lambda: Coverage([[1]]).index([1]), TypeError, "an element must be hashable"),
        (lambda: Coverage([[1]]).index(1), KeyError, "element 1 is not in the ground set: its elements are 0 to 0"),
        (lambda: Coverage([[1]]).index(True), KeyError, "element True is not in the ground set"),
        (lambda: Coverage([[1]]).element(4), IndexError, r"id must be in \[0, 0\], got 4"),
        (lambda: Coverage([[1], [2]]).ids([1, 1]), ValueError, "ground must hold each element once, got 1 more often"),
        (lambda: Coverage([[1]]).check_size(0), ValueError, "k must be at least 1, got 0"),
        (lambda: Coverage([[1]]).check_size(1.5), TypeError, "k must be an integer, got 1.5"),
        (lambda: similarity([1.0]), ValueError, "x must be a table"),
        (lambda: similarity([[math.inf]]), ValueError, "x must be finite, got inf"),
        (lambda: similarity([[1.0]], "euclid"), ValueError, "metric must be one of"),
    ],
)
def test_bad_input_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("method", ["lazy", "naive", "sieve", "exact"])
def test_a_kernel_that_is_not_semidefinite_is_an_error_of_every_search(method):
    with pytest.raises(ValueError, match="kernel must be positive semidefinite, and is not: the gain of element"):
        maximize_submodular(LogDet([[1.0, 5.0], [5.0, 1.0]], sigma=0.1), k=2, method=method)


def test_a_singular_kernel_in_single_precision_is_no_error():
    x = RNG.normal(size=(60, 2))
    kernel = similarity(np.vstack([x, x]), "rbf").astype(np.float32).astype(float)
    found = maximize_submodular(LogDet((kernel + kernel.T) / 2, sigma=1e-4), k=60)
    assert found.success
    assert np.isfinite(found.gains).all()
