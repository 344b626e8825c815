"""Matrix games: values against linear programming, sampling, projections in compiled code, sparse and odd shapes."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from optimand.core.projections import project_simplex
from optimand.numerical.monotone import MatrixGame, MatrixGameOperator, make_method, solve_inclusion
from optimand.numerical.monotone.generators import payoff_matrix, sparse_payoff
from optimand.numerical.monotone.sweeps import project_simplex_near


@pytest.mark.parametrize("seed", range(20))
def test_value_and_gap_against_linear_programming(seed):
    game = MatrixGame(np.random.default_rng(seed).uniform(-1, 1, (50, 80)))
    found = game.solve(tol=1e-3, rng=seed)
    assert found.success
    assert found.gap <= 1e-3
    assert found.gap == pytest.approx(game.gap(found.x, found.y))
    assert found.value == pytest.approx(game.solve_exactly()[2], abs=1e-3)
    assert found.x.sum() == pytest.approx(1)
    assert found.y.sum() == pytest.approx(1)
    assert min(found.x.min(), found.y.min()) >= 0


@pytest.mark.parametrize("method", ["vr-halpern-inexact", "eg", "eag", "svrg-eg", "omwu"])
def test_every_method_finds_the_value(method):
    A = np.random.default_rng(0).random((20, 30))
    game = MatrixGame(A)
    found = game.solve(method, tol=2e-2, rng=1, max_seconds=30)
    assert found.success
    assert abs(found.value - game.solve_exactly()[2]) <= 2e-2
    assert found.method == method


def test_exact_strategies_are_optimal():
    game = MatrixGame(np.random.default_rng(4).standard_normal((9, 6)))
    for each in (game, MatrixGame(sp.csr_matrix(game.A))):
        x, y, value = each.solve_exactly()
        assert game.gap(x, y) == pytest.approx(0, abs=1e-9)
        assert y @ game.A @ x == pytest.approx(value)


def test_passes_against_extragradient_on_a_small_game():
    """Where one singular value dominates, sampling saves passes; the ratios at 300 x 300 are the benchmark's."""
    A = payoff_matrix("uniform", 100, 0)
    u0 = np.full(200, 0.01)
    passes = {
        name: solve_inclusion(MatrixGameOperator(A), u0, method=name, tol=1e-2, rng=0).passes
        for name in ("vr-halpern-inexact", "eg")
    }
    assert passes["vr-halpern-inexact"] < passes["eg"] / 3


@settings(max_examples=200, deadline=None)
@given(
    arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e3, 1e3)),
    st.floats(-2e3, 2e3),
)
def test_the_projection_from_any_threshold(a, threshold):
    out = np.empty_like(a)
    project_simplex_near(a, out, threshold)
    assert out == pytest.approx(project_simplex(a), abs=1e-10)


def test_the_projection_of_ties_and_points_of_the_simplex():
    for a in (np.zeros(5), np.full(3, 1 / 3), np.array([1.0, 0.0]), np.array([1e9, 1e9]), np.array([-7.0])):
        for start in (-1e12, 0.0, 1e12):
            out = np.empty_like(a)
            project_simplex_near(a, out, start)
            assert out == pytest.approx(project_simplex(a), abs=1e-6)


def test_components_average_to_the_operator():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((6, 4))
    A[1] = 0
    op = MatrixGameOperator(A)
    u = rng.random(10)
    rows, columns = 1 / np.where(op.per_row > 0, op.per_row, np.inf), 1 / op.per_column
    mean = sum(rows[i] * columns[j] * op.batch(u, [i * 4 + j]) for i in range(6) for j in range(4) if op.per_row[i] > 0)
    assert mean == pytest.approx(op.value(u))
    drawn, _ = op.draw(rng, 20_000)
    assert np.bincount(drawn, minlength=6) / 20_000 == pytest.approx(rows, abs=0.02)
    assert not (drawn == 1).any()


def test_batches_of_sparse_and_dense_matrices_agree():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((6, 4)) * (rng.random((6, 4)) < 0.6)
    u = rng.random(10)
    idx = [0, 5, 5, 23]
    assert MatrixGameOperator(sp.coo_matrix(A)).batch(u, idx) == pytest.approx(MatrixGameOperator(A).batch(u, idx))


def test_calls_of_a_game():
    op = MatrixGameOperator(np.ones((30, 20)))
    assert op.n_effective == 12
    op.full(np.ones(50))
    op.batch(np.ones(50), [3])
    op.batch(np.ones(50), [3])
    assert op.calls == 13


@pytest.mark.parametrize("method", ["vr-halpern-inexact", "svrg-eg"])
def test_sparse_and_dense_runs_are_the_same(method):
    A = np.eye(12) + np.diag(np.ones(11), 1)
    dense = make_method(method, MatrixGameOperator(A), np.full(24, 1 / 12), rng=0, p=0.2)
    sparse = make_method(method, MatrixGameOperator(sp.csr_matrix(A)), np.full(24, 1 / 12), rng=0, p=0.2)
    # Step sizes differ by the number of components a pass is worth; make them the same.
    if method == "vr-halpern-inexact":
        dense.eta = sparse.eta
    for _ in range(10):
        dense.step()
        sparse.step()
    assert dense.u == pytest.approx(sparse.u, abs=1e-10)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("method", ["auto", "vr-halpern-inexact", "svrg-eg", "eg"])
@pytest.mark.parametrize("A", [[[3.0]], [[1.0, 2.0, 0.5]], [[1.0], [2.0]], np.zeros((3, 2)), 5 * np.ones((2, 2))])
def test_odd_games(A, method, sparse):
    A = np.array(A)
    game = MatrixGame(sp.csr_matrix(A) if sparse else A)
    found = game.solve(method, tol=1e-3, max_seconds=20)
    assert found.success
    assert found.value == pytest.approx(A.max(0).min() if min(A.shape) == 1 else A.flat[0], abs=1e-2)


@pytest.mark.parametrize(
    ("A", "message"),
    [
        (np.ones(3), "A must be a matrix"),
        (np.ones((0, 3)), "A must have rows and columns"),
        ([[np.nan, 1.0]], "A must be finite"),
        (sp.csr_matrix(np.array([[np.inf, 1.0]])), "A must be finite"),
    ],
)
def test_bad_matrices(A, message):
    with pytest.raises(ValueError, match=message):
        MatrixGame(A)


def test_bad_arguments_of_solve():
    game = MatrixGame(np.eye(2))
    with pytest.raises(ValueError, match="criterion must be one of"):
        game.solve(criterion="value")
    with pytest.raises(ValueError, match=r"x0 must have shape \(2,\)"):
        game.solve(x0=[1.0])
    with pytest.warns(UserWarning, match="u0 is outside the set"):
        game.solve(x0=[1.0, 1.0])


def test_a_large_sparse_game():
    A = sparse_payoff(10_000, 1_000_000, 0)
    size = A.data.nbytes + A.indices.nbytes + A.indptr.nbytes
    small = MatrixGameOperator(sp.csr_matrix([[0.0, 1.0], [2.0, 0.5]]))
    make_method("vr-halpern-inexact", small, np.full(4, 0.5)).step()  # compiles
    tracemalloc.start()
    op = MatrixGameOperator(A)
    found = solve_inclusion(
        op, np.full(20_000, 1e-4), method="vr-halpern-inexact", tol=0.0, max_oracle_calls=100 * op.full_cost, rng=0
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= 3 * size
    assert found.residual < 0.65 * found.history["residual"][0]
    assert found.gap < 0.8 * found.history["gap"][0]


@pytest.mark.parametrize("scale", [1e-300, 1e-170, 1e-9, 1e150, 1e300])
@pytest.mark.parametrize("sparse", [False, True])
def test_payoffs_of_any_size(scale, sparse):
    A = np.random.default_rng(0).uniform(-1, 1, (6, 9))
    whole, scaled = (MatrixGame(sp.csr_matrix(a) if sparse else a) for a in (A, scale * A))
    assert scaled.operator.L_mean / scale == pytest.approx(whole.operator.L_mean, rel=1e-12)
    assert scaled.operator.L / scale == pytest.approx(whole.operator.L, rel=1e-6)
    assert scaled.operator.per_row == pytest.approx(whole.operator.per_row)
    assert scaled.solve_exactly()[2] / scale == pytest.approx(whole.solve_exactly()[2], rel=1e-6)
    found = scaled.solve("vr-halpern-inexact", tol=1e-2 * scale)
    assert found.success
    assert abs(found.value / scale - whole.solve_exactly()[2]) <= 1e-2


def test_payoffs_without_a_finite_norm_or_not_real():
    with pytest.raises(ValueError, match="A must have a finite norm"):
        MatrixGame(np.full((30, 30), 1e308))
    for A in (np.eye(2) * 1j, sp.eye(2, format="csr") * 1j):
        with pytest.raises(ValueError, match="A must be real"):
            MatrixGame(A)


def test_a_sparse_matrix_of_the_callers_is_left_alone():
    A = sp.csr_matrix((np.array([1.0, 2.0, 4.0]), np.array([1, 1, 0]), np.array([0, 3])), shape=(1, 2))
    op = MatrixGameOperator(A)
    assert (A.data.tolist(), A.indices.tolist(), A.indptr.tolist()) == ([1.0, 2.0, 4.0], [1, 1, 0], [0, 3])
    assert op.A.toarray().tolist() == [[4.0, 3.0]]


@pytest.mark.parametrize(("entries", "expected"), [
    ([1e20, 3.0], [1.0, 0.0]), ([-1e20, -2e20], [1.0, 0.0]), ([np.inf, 0.0], [np.nan, 0.0]),
])  # fmt: skip
def test_projections_of_entries_beside_which_one_is_lost(entries, expected):
    out = np.full(2, 7.0)
    project_simplex_near(np.array(entries), out, 0.0)
    np.testing.assert_array_equal(out, expected)


def test_strategies_in_the_wrong_places_are_refused():
    game = MatrixGame(np.random.default_rng(0).random((40, 60)))
    with pytest.raises(ValueError, match=r"x must have shape \(60,\).*got \(40,\)"):
        game.gap(np.full(40, 1 / 40), np.full(60, 1 / 60))
    with pytest.raises(ValueError, match="y must have entries >= 0 that sum to 1"):
        game.gap(np.full(60, 1 / 60), np.ones(40))
    with pytest.raises(ValueError, match="A must be a matrix of numbers"):
        MatrixGame("a")
    with pytest.raises(TypeError, match="method 'eg' has no option 'foo'"):
        game.solve(method="eg", foo=1)


def test_divergence_says_what_may_be_wrong():
    from optimand.numerical.monotone import FiniteSumOperator, solve_inclusion

    P = np.array([[2.0, 1.0], [1.0, 2.0]])
    hostile = FiniteSumOperator.from_affine(-P[None], np.ones((1, 2)))
    found = solve_inclusion(hostile, np.zeros(2), method="eg", step=1.0)
    assert not found.success
    assert "not monotone" in found.message
    tame = FiniteSumOperator.from_affine(P[None], np.ones((1, 2)))
    found = solve_inclusion(tame, np.zeros(2), method="eg", step=100.0)
    assert not found.success
    assert "step" in found.message
