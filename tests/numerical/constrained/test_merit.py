"""The merit function and the KKT matrix: worked examples, differences, and the three forms against one another."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import LinearOperator, aslinearoperator, eigsh

from optimand.numerical.constrained import EqualityProblem
from optimand.numerical.constrained.inner import make_solver
from optimand.numerical.constrained.kkt import assemble, lowest_ritz
from optimand.numerical.constrained.merit import MeritSlope, merit
from optimand.numerical.constrained.nlp import Evaluations
from optimand.numerical.constrained.problems.collection import equality_problem
from optimand.numerical.constrained.problems.pde import poisson_control

OPTIONS = {"singular_tol": 1e-2, "curvature_tol": 1e-6, "xi_B": 0.1}


def merit_at(problem, x, lam, eta1=1.0, eta2=0.1):
    """Value, and the slope along any direction."""
    evaluations = Evaluations(problem)
    point = evaluations.at(np.asarray(x), np.asarray(lam))
    slope = MeritSlope(point, evaluations.hessian(point))

    def along(d):
        a, a1, a2 = slope.along(np.asarray(d))
        return a + eta1 * a1 + eta2 * a2

    return merit(point, eta1, eta2), along


def test_worked_example_of_the_merit_function():
    value, along = merit_at(equality_problem("HS6"), [-1.2, 1.0], [0.5])
    assert value == pytest.approx(16.458, abs=1e-9)
    np.testing.assert_allclose([along(d) for d in np.eye(3)], [-104.08, -39.0, 18.84], atol=1e-9)


def test_first_newton_step_of_hs6():
    problem = equality_problem("HS6")
    H, G = problem.hess(problem.x0, np.zeros(1)), problem.jac(problem.x0)
    kkt = assemble(H, G, **OPTIONS, rng=np.random.default_rng(0))
    assert (kkt.shift, kkt.b_norm**2, kkt.gram_min) == (0.0, pytest.approx(4), pytest.approx(676))
    assert kkt.psi(0.1) == pytest.approx(800)
    b = -np.concatenate((problem.grad(problem.x0), problem.cons(problem.x0)))
    step = make_solver(kkt.A, b, "exact", 1, False, np.random.default_rng(0))
    step.advance(0.0, 1)
    np.testing.assert_allclose(step.x, [2.2, -4.84, 0.0], atol=1e-12)


@settings(deadline=None, max_examples=40)
@given(
    name=st.sampled_from(["HS6", "HS7", "HS9", "HS40", "HS77", "HS78", "BT11", "BT12", "GOTTFR", "INTEQNE"]),
    seed=st.integers(0, 2**32 - 1),
    eta1=st.floats(0, 10),
    eta2=st.floats(0, 1),
)
def test_merit_gradient_agrees_with_differences(name, seed, eta1, eta2):
    problem = equality_problem(name)
    rng = np.random.default_rng(seed)
    m = problem.cons(problem.x0).size
    z = np.concatenate((problem.x0 + 0.1 * rng.standard_normal(problem.n), rng.standard_normal(m)))
    v = rng.standard_normal(z.size)

    def at(z):
        return merit_at(problem, z[: problem.n], z[problem.n :], eta1, eta2)

    value, along = at(z)
    step = 1e-6
    slope = (at(z + step * v)[0] - at(z - step * v)[0]) / (2 * step)
    assert along(v) == pytest.approx(slope, rel=1e-5, abs=1e-6 * max(1, abs(value)))


def random_blocks(seed, n=9, m=4):
    rng = np.random.default_rng(seed)
    H = rng.standard_normal((n, n))
    return H + H.T + 2 * rng.standard_normal() * np.eye(n), rng.standard_normal((m, n)), rng


@pytest.mark.parametrize("seed", range(30))
def test_curvature_decides_the_shift_in_all_forms(seed):
    H, G, rng = random_blocks(seed)
    Z = np.linalg.svd(G)[2][G.shape[0] :].T
    lowest = np.linalg.eigvalsh(Z.T @ H @ Z)[0]
    expected = 0.0 if lowest >= 1e-6 else 0.1 + np.linalg.norm(H)
    dense = assemble(H, G, **OPTIONS, rng=rng)
    sparse = assemble(csr_array(H), csr_array(G), **OPTIONS, rng=rng)
    free = assemble(aslinearoperator(H), aslinearoperator(G), **OPTIONS, rng=rng)
    assert dense.shift == pytest.approx(expected)
    assert sparse.shift == pytest.approx(expected)
    assert (free.shift > 0) == (expected > 0)
    B = H + expected * np.eye(len(H))
    A = np.block([[B, G.T], [G, np.zeros((4, 4))]])
    np.testing.assert_allclose(dense.A, A)
    np.testing.assert_allclose(sparse.A.toarray(), A)
    assert dense.a_norm == pytest.approx(np.linalg.norm(A))
    assert sparse.a_norm == pytest.approx(np.linalg.norm(A))
    assert dense.gram_min == pytest.approx(np.linalg.eigvalsh(G @ G.T)[0])
    assert dense.psi(0.1) >= np.linalg.norm(np.linalg.inv(A), 2)


@pytest.mark.parametrize("seed", range(10))
def test_how_far_the_substitutes_of_the_matrix_free_form_are_off(seed):
    H, G, rng = random_blocks(seed, n=40, m=15)
    dense = assemble(H, G, **OPTIONS, rng=rng)
    free = assemble(aslinearoperator(H), aslinearoperator(G), **OPTIONS, rng=rng)
    assert free.gram_min == pytest.approx(dense.gram_min, rel=1e-9)
    assert free.g_norm == pytest.approx(dense.g_norm, rel=1e-9)
    assert free.h_norm == pytest.approx(dense.h_norm, rel=0.1)
    assert free.a_norm == pytest.approx(dense.a_norm, rel=0.1)
    v = rng.standard_normal(55)
    if dense.shift == 0:
        np.testing.assert_allclose(free.A @ v, dense.A @ v, atol=1e-9)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_large_sparse_and_matrix_free_forms_agree_with_the_dense_one(sign):
    problem = poisson_control(14)  # 588 unknowns: beyond what the sparse form copies
    G = csr_array(problem.jac(problem.x0))
    H = sign * csr_array(problem.hess(problem.x0, np.zeros(G.shape[0])))
    rng = np.random.default_rng(0)
    dense = assemble(H.toarray(), G.toarray(), **OPTIONS, rng=rng)
    sparse = assemble(H, G, **OPTIONS, rng=rng)
    free = assemble(aslinearoperator(H), aslinearoperator(G), **OPTIONS, rng=rng)
    assert sparse.shift == pytest.approx(dense.shift)
    assert (free.shift > 0) == (dense.shift > 0)
    assert sparse.gram_min == pytest.approx(dense.gram_min, rel=0.01)
    assert free.gram_min == pytest.approx(dense.gram_min, rel=0.1)
    assert free.a_norm == pytest.approx(dense.a_norm, rel=0.1)


@pytest.mark.parametrize("m", [500, 90])
@pytest.mark.parametrize("bump", [0.0, -1.0])
def test_clustered_spectra_end_after_a_fixed_number_of_products(m, bump):
    """A discretized second derivative: its smallest eigenvalues are 1e-6 of its largest and close together."""
    n, products = 2000, []
    T = diags_array([np.full(n - 1, -1.0), np.full(n, 2.0), np.full(n - 1, -1.0)], offsets=[-1, 0, 1], format="csr")
    T = csr_array(T + diags_array(bump * (np.arange(n) == n - 5)))  # -1 at one place makes one eigenvalue negative
    G = csr_array((np.ones(m), (np.arange(m), np.arange(m))), shape=(m, n))

    def counted(v):
        products.append(1)
        return T @ v

    lowest = eigsh(T[m:, m:], k=1, sigma=-2.0, return_eigenvectors=False)[0]
    rng = np.random.default_rng(0)
    assert (assemble(T, G, **OPTIONS, rng=rng).shift > 0) == (lowest < 1e-6) == (bump < 0)
    free = LinearOperator((n, n), matvec=counted, dtype=float)
    assert (assemble(free, aslinearoperator(G), **OPTIONS, rng=rng).shift > 0) == (bump < 0)
    assert len(products) <= 32 + 30


def test_lowest_ritz_of_what_is_not_finite_is_nothing():
    assert lowest_ritz(np.full((3, 3), math.nan), lambda v: v, 3, 0.0) == -math.inf
    assert lowest_ritz(np.eye(3), lambda v: 0 * v, 3, 0.0) == -math.inf
    assert lowest_ritz(np.diag([3.0, 2.0, 1.0]), lambda v: v, 3, 0.0) == pytest.approx(1)
    assert lowest_ritz(np.diag([5.0, 1.0]), lambda v: v * [1, 0], 2, 0.0) == pytest.approx(5)


def test_singular_jacobians_make_no_matrix_in_any_form():
    H, G = np.eye(600), np.zeros((100, 600))
    G[:, :100] = np.diag([*np.ones(99), 0.05])
    rng = np.random.default_rng(0)
    forms = ((H, G), (csr_array(H), csr_array(G)), (aslinearoperator(H), aslinearoperator(G)))
    for h, g in forms:
        kkt = assemble(h, g, **OPTIONS, rng=rng)
        assert kkt.A is None
        assert math.isclose(kkt.gram_min, 0.0025, rel_tol=0.05)
    G[99] = G[98]
    assert assemble(csr_array(H), csr_array(G), **OPTIONS, rng=rng).A is None


def test_a_problem_needs_functions_and_second_derivatives():
    good = {"fun": sum, "grad": list, "cons": list, "jac": list, "x0": [1.0]}
    with pytest.raises(ValueError, match="hess or hessp must be given"):
        EqualityProblem(**good)
    with pytest.raises(TypeError, match="jac must be callable, got int"):
        EqualityProblem(**{**good, "jac": 3}, hess=list)
    with pytest.raises(ValueError, match="x0 must be finite, got nan"):
        EqualityProblem(**{**good, "x0": [math.nan]}, hess=list)
    with pytest.raises(ValueError, match="lam0 must be a non-empty vector"):
        EqualityProblem(**good, hess=list, lam0=[[1.0]])
