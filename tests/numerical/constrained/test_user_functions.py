"""What users' functions do: return odd shapes and dtypes, write into their argument, fail half-way."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import BFGS, LinearConstraint, NonlinearConstraint, minimize
from scipy.sparse import csr_array, csr_matrix, eye_array
from scipy.sparse.linalg import aslinearoperator

from optimand.numerical.constrained import EqualityProblem, adasketch_newton, minimize_equality, solve_problem
from optimand.numerical.constrained.problems.collection import equality_problem
from optimand.numerical.limits import Status

X0 = np.array([2.0, 2.0, 2.0, 2.0])
OPTIMUM = 28 - 10 * math.sqrt(2)


def fun(x):  # HS42
    return (x[0] - 1) ** 2 + (x[1] - 2) ** 2 + (x[2] - 3) ** 2 + (x[3] - 4) ** 2


def grad(x):
    return 2 * (x - np.arange(1.0, 5))


def hess(x):
    return 2 * np.eye(4)


def con(x):
    return np.array([x[0] - 2, x[2] ** 2 + x[3] ** 2 - 2])


def con_jac(x):
    return np.array([[1.0, 0, 0, 0], [0, 0, 2 * x[2], 2 * x[3]]])


def con_hess(x, v):
    return np.diag([0, 0, 2 * v[1], 2 * v[1]])


def solve(fun=fun, grad=grad, hess=hess, constraints=(con, con_jac, con_hess), **options):
    return minimize_equality(fun, X0, grad, hess, constraints, **{"sketch": "exact", **options})


REFERENCE = solve()


def same(found, rtol=1e-5):
    assert found.success, found.message
    assert found.nit == REFERENCE.nit
    np.testing.assert_allclose(found.x, REFERENCE.x, rtol=rtol)
    return True


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
@pytest.mark.parametrize("gradient", [grad, None])
def test_values_of_one_entry_are_numbers(shape, gradient):
    assert same(solve(fun=lambda x: np.full(shape, fun(x)), grad=gradient))


@pytest.mark.parametrize("scheme", ["2-point", "3-point", "cs"])
def test_difference_schemes_of_constraints(scheme):
    assert same(solve(constraints=NonlinearConstraint(con, 0, 0, jac=scheme, hess=con_hess)))
    assert same(solve(constraints={"type": "eq", "fun": con, "jac": scheme}))
    assert same(solve(grad=scheme))


@pytest.mark.parametrize("second", [None, "2-point", "3-point", "cs", BFGS()])
def test_hessians_that_are_no_functions_become_differences(second):
    assert same(solve(hess=second))


def test_functions_may_write_into_their_arguments():
    def spoil(function):
        def spoiled(x, *rest):
            value = function(x, *rest)
            x[:] = math.nan
            return value

        return spoiled

    start = X0.copy()
    constraints = tuple(spoil(function) for function in (con, con_jac, con_hess))
    found = minimize_equality(spoil(fun), start, spoil(grad), spoil(hess), constraints, sketch="exact")
    assert same(found)
    assert start.tolist() == X0.tolist()
    matrix_free = EqualityProblem(
        fun=spoil(fun), grad=spoil(grad), cons=spoil(con), jac=spoil(lambda x: aslinearoperator(con_jac(x))),
        hessp=spoil(lambda x, lam, v: (hess(x) + con_hess(x, lam)) @ v), x0=X0,
    )  # fmt: skip
    assert same(solve_problem(matrix_free, sketch="minres"))


@pytest.mark.parametrize("second", [hess, None])
def test_functions_may_return_one_array_again_and_again(second):
    def reuse(function):
        kept = np.array(function(X0))

        def reused(x):
            kept[:] = function(x)
            return kept

        return reused

    assert same(solve(grad=reuse(grad), hess=second, constraints=(reuse(con), reuse(con_jac))))
    assert same(solve(grad=reuse(grad), hess=second, constraints=reuse(con)))


def test_value_and_gradient_in_one_are_computed_once_a_point():
    calls = []

    def both(x):
        calls.append(x.tolist())
        return fun(x), grad(x)

    found = solve(fun=both, grad=True)
    assert same(found)
    assert len(calls) <= found.nfev + 2
    with pytest.raises(TypeError, match=r"fun must return \(value, gradient\) where jac is True"):
        solve(grad=True)


def test_one_unknown_may_have_numbers_for_matrices():
    found = minimize_equality(
        lambda x: x[0] ** 2, [3.0], lambda x: 2 * x, lambda x: 2.0, (lambda x: x[0] - 1, lambda x: 1.0, lambda x, v: 0),
        sketch="exact",
    )  # fmt: skip
    assert (found.success, found.x.tolist()) == (True, [1.0])


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int8])
def test_sparse_derivatives_of_any_dtype(dtype):
    """int8 overflows in a sum of squares, and factors in float32 are not taken by the solver."""
    problem = EqualityProblem(
        fun=lambda x: 50 * (x @ x), grad=lambda x: 100 * x, cons=lambda x: np.array([100.0 * x[0] - 100]),
        jac=lambda x: csr_array(np.array([[100, 0, 0]], dtype=dtype)),
        hess=lambda x, lam: csr_array((100 * np.eye(3)).astype(dtype)), x0=[3.0, 2.0, 1.0],
    )  # fmt: skip
    found = solve_problem(problem, sketch="exact")
    assert (found.success, found.nit) == (True, 1)
    np.testing.assert_allclose(found.x, [1, 0, 0], atol=1e-12)


def test_sparse_jacobians_with_repeated_entries():
    def repeated(x):
        data, columns = np.array([0.5, 0.5, 2 * x[3], 2 * x[2]]), np.array([0, 0, 3, 2])
        return csr_matrix((data, columns, np.array([0, 2, 4])), shape=(2, 4))

    assert same(solve(constraints=(con, repeated, lambda x, v: csr_array(con_hess(x, v)))))
    # the accuracy test of the paper rests on the norm, whose square is not the sum of these squares
    dense = solve(sketch="kaczmarz", rng=0)
    found = solve(constraints=(con, repeated, lambda x, v: csr_array(con_hess(x, v))), sketch="kaczmarz", rng=0)
    assert found.n_inner == dense.n_inner


def test_dicts_as_scipy_takes_them():
    scaled = {
        "type": "EQ", "fun": lambda x, a: a * con(x), "jac": lambda x, a: a * con_jac(x),
        "hess": lambda x, v, a: a * con_hess(x, v), "args": [1.0],
    }  # fmt: skip
    assert same(solve(constraints=scaled))
    assert same(solve(constraints=({"type": "eq", "fun": lambda x: con(x)[:1]}, (lambda x: con(x)[1:],))))


def torch_fun(x):
    return ((x - torch.arange(1.0, 5)) ** 2).sum()


@pytest.mark.parametrize(
    "constraints",
    [
        (NonlinearConstraint(lambda x: x[0], 2, 2), NonlinearConstraint(lambda x: (x[2:] ** 2).sum(), 2, 2)),
        (
            {"type": "eq", "fun": lambda x: x[0] - 2},
            {"type": "eq", "fun": lambda x, level: (x[2:] ** 2).sum() - level, "args": (2,)},
        ),
        (LinearConstraint([1, 0, 0, 0], 2, 2), lambda x: (x[2:] ** 2).sum() - 2),
    ],
)
def test_a_tuple_of_constraints_of_torch_functions_holds_them_all(constraints):
    found = minimize_equality(torch_fun, X0, constraints=constraints, sketch="exact")
    assert found.lam.size == 2
    assert found.fun == pytest.approx(OPTIMUM, abs=1e-4)


@pytest.mark.parametrize("form", ["dense", "sparse", "operator"])
@pytest.mark.parametrize("singular", ["stop", "regularize"])
@pytest.mark.parametrize("n", [4, 600])
def test_a_hessian_that_is_not_finite_half_way(form, singular, n):
    calls = []

    def hessian(x, lam):
        calls.append(1)
        return eye_array(n, format="csr") * (1.0 if len(calls) == 1 else math.nan)

    def jac(x):
        return csr_array(([1.0, -2 * x[0]], ([0, 0], [n - 1, 0])), shape=(1, n))

    parts = {"fun": lambda x: np.cosh(x).sum(), "grad": np.sinh, "x0": np.full(n, 2.0)}
    parts["cons"] = lambda x: np.array([x[-1] - x[0] ** 2])
    if form == "operator":
        if singular == "regularize":
            return
        products = []
        problem = EqualityProblem(
            jac=lambda x: aslinearoperator(jac(x)),
            hessp=lambda x, lam, v: products.append(1) or (v if x[0] == 2 else math.nan * v), **parts,
        )  # fmt: skip
    elif form == "sparse":
        problem = EqualityProblem(jac=jac, hess=hessian, **parts)
    else:
        problem = EqualityProblem(
            jac=lambda x: jac(x).toarray(), hess=lambda x, lam: hessian(x, lam).toarray(), **parts
        )
    threshold = 1e-8 if singular == "stop" else 1e9  # above every eigenvalue: all iterations are regularized
    found = solve_problem(problem, sketch="gmres", singular=singular, singular_tol=threshold)
    assert (found.status, found.nit) == (Status.NOT_FINITE, 1)
    assert "the Hessian at iteration 1" in found.message
    assert np.isfinite(found.x).all()


def test_the_history_of_an_unbounded_run_is_whole():
    problem = EqualityProblem(
        fun=lambda x: -(x[0] ** 2), grad=lambda x: np.array([-2 * x[0], 0]), cons=lambda x: x[1:],
        jac=lambda x: np.array([[0, 1.0]]), hess=lambda x, lam: np.diag([-2.0, 0]), x0=[1.0, 1.0],
    )  # fmt: skip
    found = solve_problem(problem, sketch="exact")
    assert found.status == Status.UNBOUNDED
    assert len(found.history["kkt"]) == len(found.history["alpha"]) + 1
    assert found.history["fun"][-1] < -1e20


@pytest.mark.parametrize("factor", [1e30, 1e100])
def test_large_values_are_not_taken_for_a_fall_without_bound(factor):
    """f - 40 is about -1e31 at the solution already."""
    found = minimize_equality(
        lambda x: factor * (fun(x) - 40), X0, lambda x: factor * grad(x), lambda x: factor * hess(x),
        (con, con_jac, con_hess), sketch="exact", tol=1e-8 * factor,
    )  # fmt: skip
    assert found.success
    np.testing.assert_allclose(found.x, REFERENCE.x, atol=1e-3)
    beyond = minimize_equality(lambda x: 1e200 * fun(x), X0, lambda x: 1e200 * grad(x), hess, con, sketch="exact")
    assert not beyond.success


@pytest.mark.parametrize("name", ["HS40", "HS77", "BT12"])
def test_tolerances_below_rounding_end(name):
    problem = equality_problem(name)
    found = solve_problem(problem, sketch="exact", tol=1e-30)
    assert found.status == Status.STALLED
    assert "within rounding" in found.message
    assert found.nit <= 50
    assert found.kkt < 1e-12


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan])
def test_values_of_theta_are_checked(value):
    with pytest.raises(ValueError, match=r"theta\(k, b_norm\) must be in"):
        solve(theta=lambda k, b_norm: value)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: solve(fun=lambda x: x), ValueError, "fun must return one real number, got array"),
        (lambda: solve(fun=lambda x: None), ValueError, "fun must return one real number, got None"),
        (lambda: solve(fun=lambda x: 1j), ValueError, "fun must return one real number, got 1j"),
        (lambda: minimize_equality(fun, X0 * 1j, constraints=con), TypeError, "x0 must hold real numbers"),
        (lambda: solve(hess=lambda x: np.full(4, 2.0)), ValueError, r"hess must return .* \(4, 4\), got \(4,\)"),
        (
            lambda: solve(constraints=(con, con_jac, lambda x, v: np.ones(4))),
            ValueError,
            r"the constraints' hess must return a matrix of shape \(4, 4\), got \(4,\)",
        ),
        (lambda: solve(hess="4-point"), ValueError, "hess must be a function, None, one of .* got '4-point'"),
        (lambda: solve(hess=3), ValueError, "hess must be a function, None, one of"),
        (
            lambda: solve(constraints=NonlinearConstraint(con, 0, 0, jac="4-point")),
            ValueError,
            "jac must be a function, True, None or one of .* got '4-point'",
        ),
        (
            lambda: solve(constraints=NonlinearConstraint(lambda x: x[0], [2, 2], [2, 2])),
            ValueError,
            "lb and ub of a constraint must be numbers or hold 1 of them, got 2",
        ),
        (
            lambda: minimize_equality(torch_fun, X0, constraints=NonlinearConstraint(lambda x: x[0], [2, 2], [2, 2])),
            ValueError,
            "lb and ub of a constraint must be numbers or hold 1 of them, got 2",
        ),
        (
            lambda: solve(constraints=LinearConstraint(np.ones((1, 3)), 1, 1)),
            ValueError,
            r"A of the LinearConstraint must have 4 columns, got shape \(1, 3\)",
        ),
        (lambda: solve(constraints={"type": "eq"}), TypeError, "must have a function as 'fun', got None"),
        (lambda: solve(constraints={"type": "eq", "fun": con, "args": 2}), TypeError, "args of a constraint must be"),
        (lambda: minimize_equality(torch_fun, X0, constraints=[]), ValueError, "must hold at least one equality"),
        (lambda: solve(callback=3), TypeError, "callback must be a function"),
        (lambda: solve(max_iter=3), TypeError, "unknown option 'max_iter'; did you mean .*'maxiter'"),
        (
            lambda: minimize(fun, X0, method=adasketch_newton, constraints=FORM, options={"display": True}),
            TypeError,
            "unknown option 'display'",
        ),
    ],
)
def test_what_is_wrong_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


FORM = {"type": "eq", "fun": con}


def test_disp_prints_the_message(capsys):
    found = minimize(fun, X0, method=adasketch_newton, constraints=FORM, options={"disp": True, "sketch": "exact"})
    assert capsys.readouterr().out == found.message + "\n"
