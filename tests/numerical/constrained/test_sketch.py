"""Sketch-and-project: projections that never move away, the same stream dense and sparse, every way to end."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import block_array, csr_array
from scipy.sparse.linalg import aslinearoperator

from optimand.numerical.constrained import sketch_and_project
from optimand.numerical.constrained.problems.pde import poisson_control
from optimand.numerical.constrained.sketch import SketchSolver
from optimand.numerical.limits import Status

SKETCHES = [("gaussian", 1, False), ("kaczmarz", 1, False), ("kaczmarz", 1, True), ("block", 3, False)]


def kkt_system(seed):
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(3, 8)), int(rng.integers(1, 3))
    B, G = rng.standard_normal((n, n)), rng.standard_normal((m, n))
    A = np.block([[B @ B.T + np.eye(n), G.T], [G, np.zeros((m, m))]])
    return A, rng.standard_normal(n + m)


def poisson_kkt(size):
    problem = poisson_control(size)
    G = csr_array(problem.jac(problem.x0))
    H = csr_array(problem.hess(problem.x0, np.zeros(G.shape[0])))
    A = block_array([[H, G.T], [G, None]], format="csr")
    b = np.zeros(A.shape[0])
    b[: size * size] = -problem.grad(np.zeros(problem.n))[: size * size]
    return A, b


@pytest.mark.parametrize(("sketch", "block_size", "weighted"), SKETCHES)
@pytest.mark.parametrize("seed", range(20))
def test_distance_to_the_solution_never_grows(sketch, block_size, weighted, seed):
    A, b = kkt_system(seed)
    exact = np.linalg.solve(A, b)
    solver = SketchSolver(
        A, b, sketch=sketch, block_size=block_size, weighted=weighted, rng=np.random.default_rng(seed), check_every=1
    )
    distances = [np.linalg.norm(exact)]
    for cap in range(1, 120):
        assert solver.advance(0.0, cap) is None
        distances.append(np.linalg.norm(solver.x - exact))
    assert (np.diff(distances) <= 1e-12).all()
    assert distances[-1] < distances[0]


@pytest.mark.parametrize("seed", range(5))
def test_one_update_is_the_projection_of_the_formula(seed):
    A, b = kkt_system(seed)
    solver = SketchSolver(A, b, sketch="gaussian", rng=np.random.default_rng(seed))
    solver.advance(0.0, 1)
    s = np.random.default_rng(seed).standard_normal(b.size)
    u = A.T @ s
    np.testing.assert_allclose(solver.x, u * (s @ b) / (u @ u), rtol=1e-12)


@settings(deadline=None, max_examples=40)
@given(rows=st.integers(1, 6), columns=st.integers(1, 6), rank=st.integers(1, 6), seed=st.integers(0, 2**32 - 1))
def test_a_block_of_all_equations_solves_a_system_of_any_shape_and_rank(rows, columns, rank, seed):
    rng = np.random.default_rng(seed)
    rank = min(rank, rows, columns)
    left = np.linalg.qr(rng.standard_normal((rows, rank)))[0]
    right = np.linalg.qr(rng.standard_normal((columns, rank)))[0]
    A = left * rng.uniform(0.5, 2, rank) @ right.T
    b = A @ rng.standard_normal(columns)
    found = sketch_and_project(A, b, sketch="block", block_size=8, tol=1e-6, maxiter=1, rng=seed)
    assert found.success
    np.testing.assert_allclose(found.x, np.linalg.pinv(A) @ b, atol=1e-5)


@pytest.mark.parametrize(("sketch", "block_size", "weighted"), SKETCHES)
def test_dense_and_sparse_loops_take_the_same_steps(sketch, block_size, weighted):
    A, b = kkt_system(3)
    A[np.abs(A) < 0.3] = 0.0
    options = {"sketch": sketch, "block_size": block_size, "weighted": weighted, "tol": 0, "maxiter": 200, "rng": 1}
    dense, sparse = sketch_and_project(A, b, **options), sketch_and_project(csr_array(A), b, **options)
    np.testing.assert_allclose(dense.x, sparse.x, rtol=1e-9)
    assert dense.nit == sparse.nit == 200
    assert sketch_and_project(A, b, **options).x.tolist() == dense.x.tolist()


def test_gaussian_sketches_need_products_only():
    A, b = kkt_system(4)
    matrix = sketch_and_project(A, b, sketch="gaussian", tol=1e-8, rng=2)
    products = sketch_and_project(aslinearoperator(A), b, sketch="gaussian", tol=1e-8, rng=2)
    assert products.success
    assert products.nit == matrix.nit
    with pytest.raises(ValueError, match="sketch must be 'gaussian' for a LinearOperator"):
        sketch_and_project(aslinearoperator(A), b, sketch="kaczmarz")


def test_weighted_kaczmarz_meets_its_rate():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((20, 5)) * np.geomspace(1, 10, 20)[:, None]
    exact = rng.standard_normal(5)
    rate = 1 - np.linalg.svd(A, compute_uv=False)[-1] ** 2 / np.sum(A * A)
    steps, runs = 40, 200
    ends = [
        sketch_and_project(A, A @ exact, weighted=True, tol=0, maxiter=steps, rng=seed).x - exact
        for seed in range(runs)
    ]
    assert np.mean([end @ end for end in ends]) <= rate**steps * (exact @ exact)


@pytest.mark.parametrize("seed", range(3))
def test_blocks_of_64_solve_what_single_equations_do_not(seed):
    A, b = poisson_kkt(6)
    assert A.shape == (108, 108)
    assert np.linalg.cond(A.toarray()) == pytest.approx(936, abs=1)
    found = sketch_and_project(A, b, sketch="block", block_size=64, tol=1e-2, maxiter=2500, rng=seed)
    assert found.success
    if seed == 0:
        rows = sketch_and_project(A, b, sketch="kaczmarz", tol=1e-2, maxiter=3_000_000, rng=seed)
        assert not rows.success
        assert rows.nit == 3_000_000
        assert rows.status == Status.ITERATIONS


def test_memory_of_a_sparse_solve_grows_with_the_entries():
    import tracemalloc

    A, b = poisson_kkt(40)
    tracemalloc.start()
    sketch_and_project(A, b, tol=0, maxiter=A.shape[0], rng=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * 8 * (A.nnz + A.shape[0])


def test_a_wide_system_from_zero_gives_the_least_norm_solution():
    rng = np.random.default_rng(5)
    A, b = rng.standard_normal((3, 7)), rng.standard_normal(3)
    found = sketch_and_project(A, b, tol=1e-10, rng=0)
    np.testing.assert_allclose(found.x, np.linalg.pinv(A) @ b, atol=1e-8)
    assert found.residual == pytest.approx(np.linalg.norm(A @ found.x - b), abs=1e-12)


@pytest.mark.parametrize("sketch", ["gaussian", "kaczmarz", "block"])
def test_an_inconsistent_system_ends_at_the_cap(sketch):
    found = sketch_and_project([[1.0, 0.0], [1.0, 0.0]], [0.0, 1.0], sketch=sketch, maxiter=500, rng=0)
    assert found.status == Status.ITERATIONS
    assert found.nit == 500
    assert np.isfinite(found.x).all()


@pytest.mark.parametrize("factor", [1e-200, 1e200])
@pytest.mark.parametrize("form", [np.asarray, csr_array])
@pytest.mark.parametrize("sketch", ["gaussian", "kaczmarz", "block"])
def test_sizes_whose_squares_leave_the_range(sketch, form, factor):
    """A square that vanishes must not pass for a residual of 0."""
    A = np.array([[2.0, 1.0], [1.0, 3.0]])
    for a, b in ((factor, factor), (1.0, factor), (factor, 1.0)):
        seen = []
        found = sketch_and_project(form(a * A), b * A.sum(axis=1), sketch=sketch, rng=0, callback=seen.append)
        assert found.success
        np.testing.assert_allclose(found.x / b * a, 1, rtol=1e-5)
        np.testing.assert_array_equal(seen[-1], found.x)
        assert 0 < found.residual <= 1e-6 * b * np.linalg.norm(A.sum(axis=1)) * 1.001
    warm = sketch_and_project(form(A), factor * A.sum(axis=1), [factor, factor], sketch=sketch)
    assert warm.nit == 0


@pytest.mark.parametrize("form", ["bsr", "coo", "csc", "csr", "dia", "dok", "lil"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16])
def test_every_sparse_form_and_real_dtype(form, dtype):
    A = csr_array(np.array([[2, 1], [1, 3]], dtype=dtype)).asformat(form)
    np.testing.assert_allclose(sketch_and_project(A, [3, 4], tol=1e-10, rng=0).x, 1, atol=1e-9)


def test_a_matrix_with_repeated_entries_stays_as_it_is():
    A = csr_array((np.array([1.0, 0.5, 1.5, 1.0, 3.0]), np.array([1, 0, 0, 0, 1]), np.array([0, 3, 5])), shape=(2, 2))
    indices, data = A.indices.copy(), A.data.copy()
    np.testing.assert_allclose(sketch_and_project(A, [3.0, 4.0], tol=1e-9, rng=0).x, 1, atol=1e-6)
    assert A.indices.tolist() == indices.tolist()
    assert A.data.tolist() == data.tolist()


@pytest.mark.parametrize(
    ("A", "b", "message"),
    [
        (np.eye(2) * 1j, [1.0, 1.0], "A must hold real numbers, got dtype complex128"),
        (csr_array(np.eye(2) * 1j), [1.0, 1.0], "A must hold real numbers, got dtype complex128"),
        (np.eye(2), [1j, 1.0], "b must hold real numbers, got dtype complex128"),
    ],
)
def test_complex_numbers_are_not_cut_to_their_real_part(A, b, message):
    with pytest.raises(TypeError, match=message):
        sketch_and_project(A, b)


def test_the_clock_is_looked_at_between_products_of_an_operator():
    A, b = kkt_system(0)
    looks = []
    operator = aslinearoperator(A)
    solver = SketchSolver(operator, b, sketch="gaussian", rng=np.random.default_rng(0))

    class Late:
        def reached(self, nit):
            looks.append(nit)
            return Status.TIME

    assert solver.advance(0.0, 10**6, Late()) == Status.TIME
    assert solver.count == solver.every
    assert len(looks) == 1


def test_zero_matrix_and_zero_rows_do_not_divide():
    assert sketch_and_project(np.zeros((2, 2)), np.zeros(2)).success
    found = sketch_and_project(np.zeros((2, 2)), np.ones(2), weighted=True, maxiter=10)
    assert found.x.tolist() == [0.0, 0.0]
    assert sketch_and_project([[0.0, 0.0], [2.0, 0.0]], [0.0, 2.0], rng=0).x.tolist() == [1.0, 0.0]


def test_time_and_callback_end_a_run():
    A, b = poisson_kkt(12)
    late = sketch_and_project(A, b, tol=0, maxiter=10**9, max_seconds=0.05, rng=0)
    assert late.status == Status.TIME
    seen = []
    stopped = sketch_and_project(A, b, tol=0, rng=0, callback=lambda x: seen.append(x) or len(seen) == 3)
    assert stopped.status == Status.STOPPED
    assert len(seen) == 3
    assert stopped.nit == 3 * A.shape[0]

    def stop(x):
        raise StopIteration

    assert sketch_and_project(A, b, tol=0, rng=0, callback=stop).status == Status.STOPPED


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((np.ones((2, 2)), [1.0]), {}, "b must be a vector of 2 numbers, got shape"),
        ((np.ones(2), [1.0]), {}, "A must be a non-empty matrix"),
        (([[math.nan]], [1.0]), {}, "A must be finite"),
        (([[1.0]], [math.inf]), {}, "b must be finite, got inf"),
        (([[1.0]], [1.0], [1.0, 2.0]), {}, "x0 must be a vector of 1 numbers"),
        (([[1.0]], [1.0]), {"sketch": "gauss"}, "sketch must be one of .*did you mean 'gaussian'"),
        (([[1.0]], [1.0]), {"block_size": 2}, "block_size must be 1 unless sketch='block'"),
        (([[1.0]], [1.0]), {"sketch": "block", "weighted": True}, "weighted must be False unless"),
        (([[1.0]], [1.0]), {"tol": -1}, "tol must be in"),
        (([[1.0]], [1.0]), {"maxiter": -1}, "maxiter must be at least 0"),
    ],
)
def test_wrong_arguments_are_named(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        sketch_and_project(*arguments, **options)
