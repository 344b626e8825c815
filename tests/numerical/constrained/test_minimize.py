"""The user's entrance: forms of constraints, derivatives, ends, errors."""

import math
import warnings

import numpy as np
import pytest
import torch
from scipy.optimize import BFGS, LinearConstraint, NonlinearConstraint, minimize
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from optimand.numerical.constrained import (
    EqualityProblem,
    adasketch_newton,
    minimize_equality,
    solve_problem,
    torch_problem,
)
from optimand.numerical.constrained.problems.collection import equality_problem
from optimand.numerical.constrained.problems.pde import poisson_control
from optimand.numerical.limits import Status

X0 = np.array([2.0, 2.0, 2.0, 2.0])


def fun(x):  # HS42: f* = 28 - 10 sqrt 2
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


def circle(x):
    return x[2] ** 2 + x[3] ** 2


FORMS = {
    "function": con,
    "tuple": (con, con_jac, con_hess),
    "tuple without curvature": (con, con_jac),
    "tuple with a hole": (con, None, con_hess),
    "dict": {"type": "eq", "fun": con, "jac": con_jac},
    "dicts with arguments": [
        {"type": "eq", "fun": lambda x, a: x[0] - a, "args": (2,)},
        {"type": "eq", "fun": lambda x: circle(x) - 2},
    ],
    "scipy": [LinearConstraint([1, 0, 0, 0], 2, 2), NonlinearConstraint(circle, 2, 2)],
    "scipy with derivatives": NonlinearConstraint(con, 0, 0, jac=con_jac, hess=con_hess),
    "scipy, schemes and strategies": NonlinearConstraint(con, [0, 0], [0, 0], jac="2-point", hess=BFGS()),
    "sparse": [LinearConstraint(csr_array([[1.0, 0, 0, 0]]), 2, 2), NonlinearConstraint(circle, 2, 2)],
    "sparse Jacobian": NonlinearConstraint(con, 0, 0, jac=lambda x: csr_array(con_jac(x)), hess=con_hess),
    "operator as curvature": NonlinearConstraint(
        con, 0, 0, jac=con_jac, hess=lambda x, v: aslinearoperator(con_hess(x, v))
    ),
    "list of functions": [lambda x: x[0] - 2, (lambda x: circle(x) - 2,)],
}


@pytest.mark.parametrize("derivatives", ["all", "first", "joint", "none", "2-point"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_constraint_with_every_kind_of_derivative(form, derivatives):
    first = {"all": grad, "first": grad, "joint": True, "none": None, "2-point": "2-point"}[derivatives]
    objective = (lambda x: (fun(x), grad(x))) if derivatives == "joint" else fun
    found = minimize_equality(objective, X0, first, hess if derivatives == "all" else None, FORMS[form], sketch="exact")
    assert found.success, found.message
    assert found.fun == pytest.approx(28 - 10 * math.sqrt(2), abs=1e-4)
    assert found.constr_violation <= 1e-4
    assert found.optimality <= 1e-4
    assert found.kkt == pytest.approx(math.hypot(found.constr_violation, found.optimality))
    assert found.lam.shape == (2,)


@pytest.mark.parametrize("hessian", [{"hess": hess}, {"hessp": lambda x, p: 2 * p}, {}])
def test_as_a_method_of_scipy(hessian):
    seen = []
    found = minimize(
        fun, X0, jac=grad, **hessian, method=adasketch_newton, constraints=FORMS["scipy"], tol=1e-6,
        callback=lambda intermediate_result: seen.append(intermediate_result.kkt),
        options={"sketch": "exact", "lam0": [0.5, 0.5]},
    )  # fmt: skip
    assert found.success
    assert found.kkt <= 1e-6
    assert found.fun == pytest.approx(28 - 10 * math.sqrt(2), abs=1e-6)
    np.testing.assert_allclose(seen, found.history["kkt"][1:])
    with pytest.raises(ValueError, match="bounds must be None"):
        minimize(fun, X0, method=adasketch_newton, bounds=[(0, 1)] * 4, constraints=FORMS["dict"])
    scaled = minimize(
        lambda x, a: a * fun(x), X0, args=(3.0,), method=adasketch_newton, constraints=con, options={"sketch": "exact"}
    )
    assert scaled.fun == pytest.approx(3 * (28 - 10 * math.sqrt(2)), abs=1e-3)


def torch_fun(x):
    return ((x - torch.arange(1.0, 5, dtype=x.dtype)) ** 2).sum()


def torch_con(x):
    return torch.stack([x[0] - 2, x[2] ** 2 + x[3] ** 2 - 2])


@pytest.mark.parametrize(
    "constraints",
    [
        torch_con,
        (torch_con,),
        [LinearConstraint([[1, 0, 0, 0]], 2, 2), NonlinearConstraint(lambda x: (x[2:] ** 2).sum(), 2, 2)],
        [LinearConstraint(csr_array([[1.0, 0, 0, 0]]), 2, 2), lambda x: (x[2:] ** 2).sum() - 2],
        {"type": "eq", "fun": torch_con},
    ],
)
@pytest.mark.parametrize("start", [torch.full((4,), 2.0), X0])
def test_torch_functions_are_differentiated(constraints, start):
    found = minimize_equality(torch_fun, start, constraints=constraints, sketch="exact", tol=1e-9)
    assert found.success
    assert isinstance(found.x, np.ndarray)
    assert found.fun == pytest.approx(28 - 10 * math.sqrt(2), abs=1e-9)


def test_torch_derivatives_are_exact():
    problem = torch_problem(torch_fun, X0, torch_con)
    x, lam, v = np.array([0.3, -1.0, 2.0, 0.5]), np.array([1.5, -0.7]), np.arange(4.0)
    assert problem.fun(x) == pytest.approx(fun(x))
    np.testing.assert_allclose(problem.grad(x), grad(x))
    np.testing.assert_allclose(problem.cons(x), con(x))
    np.testing.assert_allclose(problem.jac(x), con_jac(x))
    H = hess(x) + con_hess(x, lam)
    np.testing.assert_allclose(problem.hess(x, lam), H)
    np.testing.assert_allclose(problem.hessp(x, lam, v), H @ v)
    with pytest.raises(ValueError, match="jac and hess must be None for functions of torch tensors"):
        minimize_equality(torch_fun, X0, jac=grad, constraints=torch_con)


@pytest.mark.parametrize("sketch", ["gaussian", "gmres", "minres"])
@pytest.mark.parametrize("name", ["HS6", "HS40"])
def test_without_matrices(name, sketch):
    dense = equality_problem(name)

    def jac(x):
        G = dense.jac(x)
        return LinearOperator(G.shape, matvec=lambda v: G @ v, rmatvec=lambda v: G.T @ v, dtype=float)

    problem = EqualityProblem(
        fun=dense.fun, grad=dense.grad, cons=dense.cons, jac=jac,
        hessp=lambda x, lam, v: dense.hess(x, lam) @ v, x0=dense.x0,
    )  # fmt: skip
    found = solve_problem(problem, sketch=sketch, accuracy="practical", rng=0)
    assert found.success, found.message
    assert found.fun == pytest.approx(0.0 if dense.f_star is None else dense.f_star, abs=1e-3)
    with pytest.raises(ValueError, match="sketch must be 'gaussian', 'gmres' or 'minres' without matrices"):
        solve_problem(problem, sketch="exact")
    with pytest.raises(ValueError, match="singular must be 'stop' without matrices"):
        solve_problem(problem, sketch=sketch, singular="regularize")


def test_the_clock_ends_within_an_iteration():
    problem = poisson_control(3)
    late = solve_problem(problem, rng=5, max_inner=10**9, max_seconds=0.05, sketch="gaussian")
    assert late.status == Status.TIME
    assert "the KKT system at iteration 0" in late.message
    assert late.nit == 0


def test_same_seed_same_result_and_global_randomness_is_not_touched():
    before = np.random.get_state()[1].tolist()  # noqa: NPY002 (its state is what is tested)
    problem = equality_problem("HS7")
    runs = [solve_problem(problem, rng=seed, accuracy="practical") for seed in (1, 1, 2)]
    assert runs[0].x.tolist() == runs[1].x.tolist() != runs[2].x.tolist()
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_callbacks_see_x_and_stop():
    seen = []
    found = minimize_equality(
        fun, X0, constraints=con, sketch="exact", callback=lambda x: seen.append(x) or len(seen) == 2
    )
    assert (found.status, found.nit, len(seen)) == (Status.STOPPED, 2, 2)

    def stop(intermediate_result):
        raise StopIteration

    assert minimize_equality(fun, X0, constraints=con, sketch="exact", callback=stop).nit == 1


def line(**changes):
    parts = {
        "fun": lambda x: -x[0],
        "grad": lambda x: np.array([-1.0, 0]),
        "cons": lambda x: x[1:],
        "jac": lambda x: np.array([[0, 1.0]]),
        "hess": lambda x, lam: np.zeros((2, 2)),
        "x0": [0.0, 1.0],
    }
    return EqualityProblem(**{**parts, **changes})


def test_ends_that_are_not_success():
    assert solve_problem(line(), sketch="exact", maxiter=50).status == Status.ITERATIONS
    below = line(fun=lambda x: -(x[0] ** 2), grad=lambda x: np.array([-2 * x[0], 0]), x0=[1.0, 1.0],
                 hess=lambda x, lam: np.diag([-2.0, 0]))  # fmt: skip
    for sketch in ("exact", "kaczmarz", "gaussian"):
        found = solve_problem(below, sketch=sketch, accuracy="practical", rng=0)
        assert found.status == Status.UNBOUNDED
        assert np.isfinite(found.x).all()
    calls = []
    nan_later = line(hess=lambda x, lam: calls.append(1) or np.full((2, 2), math.nan if len(calls) > 2 else 0.0))
    found = solve_problem(nan_later, sketch="exact")
    assert (found.status, found.nit) == (Status.NOT_FINITE, 2)
    wrong = line(grad=lambda x: np.array([1.0, 0]))  # the gradient of -f
    found = solve_problem(wrong, sketch="exact")
    assert found.status == Status.STALLED
    assert "60 halvings" in found.message
    assert solve_problem(line(), sketch="exact", max_seconds=0).status == Status.TIME
    assert solve_problem(line(), sketch="exact", maxiter=0).nit == 0


def test_the_best_point_is_returned():
    found = solve_problem(equality_problem("BT9"), sketch="exact", maxiter=7)
    assert found.kkt == found.history["kkt"].min()


def test_steps_where_functions_fail_are_shortened():
    def log_fun(x):
        return math.inf if x[0] <= 0 else x[0] - math.log(x[0])

    problem = EqualityProblem(
        fun=log_fun, grad=lambda x: np.array([1 - 1 / x[0], 0]), cons=lambda x: x[1:] - 1,
        jac=lambda x: np.array([[0, 1.0]]), hess=lambda x, lam: np.diag([x[0] ** -2.0, 0]), x0=[3.0, 0.0],
    )  # fmt: skip
    found = solve_problem(problem, sketch="exact")
    assert found.success
    assert found.history["alpha"].min() < 1
    np.testing.assert_allclose(found.x, [1, 1], atol=1e-4)

    def overflows(x):
        if x[0] <= 0:
            raise OverflowError
        return x[0] - math.log(x[0])

    again = EqualityProblem(fun=overflows, **{k: getattr(problem, k) for k in ("grad", "cons", "jac", "hess", "x0")})
    assert solve_problem(again, sketch="exact").x.tolist() == found.x.tolist()


def test_a_start_at_the_solution_takes_no_step():
    found = solve_problem(line(fun=lambda x: 0.0, grad=lambda x: np.zeros(2), x0=[5.0, 0.0]))
    assert (found.success, found.nit, found.n_inner, found.x.tolist()) == (True, 0, 0, [5.0, 0.0])


def test_no_warning_from_overflow():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = solve_problem(
            line(fun=lambda x: -np.exp(x[0]), grad=lambda x: np.array([-np.exp(x[0]), 0]),
                 hess=lambda x, lam: np.diag([-np.exp(x[0]), 0])), sketch="exact", maxiter=200,
        )  # fmt: skip
    assert not found.success
    assert np.isfinite(found.x).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: minimize_equality(fun, X0), "constraints must hold at least one equality"),
        (
            lambda: minimize_equality(fun, X0, constraints=NonlinearConstraint(con, 0, 1)),
            "inequalities are unsupported",
        ),
        (lambda: minimize_equality(fun, X0, constraints={"type": "ineq", "fun": con}), "'ineq' is unsupported"),
        (lambda: minimize_equality(fun, X0, constraints=LinearConstraint(np.eye(4), 0, np.inf)), "unsupported"),
        (lambda: minimize_equality(fun, X0, constraints=lambda x: np.tile(x, 2)), "m=8 > n=4"),
        (lambda: minimize_equality(fun, X0 * math.nan, constraints=con), "x0 must be finite, got nan"),
        (lambda: minimize_equality(fun, [[1.0]], constraints=con), "x0 must be a non-empty vector"),
        (lambda: minimize_equality(lambda x: math.nan, X0, grad, hess, con), "fun must be finite at the start"),
        (lambda: minimize_equality(fun, X0, lambda x: grad(x)[:2], hess, con), "jac must return a vector of 4"),
        (lambda: minimize_equality(fun, X0, grad, lambda x: np.full((4, 4), math.inf), con), "hess must be finite"),
        (
            lambda: minimize_equality(fun, X0, grad, lambda x: np.eye(3), (con, con_jac, lambda x, v: 0)),
            "hess must return",
        ),
        (
            lambda: minimize_equality(fun, X0, grad, hess, (con, lambda x: con_jac(x).T)),
            "jac of the constraints must return .* looks transposed",
        ),
        (
            lambda: minimize_equality(fun, X0, grad, hess, [lambda x: x[3], (con, lambda x: con_jac(x).T)]),
            r"jac of constraint 1 must return a matrix of shape \(2, 4\), got \(4, 2\)",
        ),
        (lambda: minimize_equality(fun, X0, grad, hess, (con, lambda x: np.eye(3))), r"shape \(2, 4\), got \(3, 3\)"),
        (lambda: minimize_equality(fun, X0, grad, hess, con, lam0=[1.0]), "lam0 must be a vector of 2 numbers"),
        (lambda: minimize_equality(fun, X0, "4-point", hess, con), "jac must be a function, True, None or one of"),
        (lambda: minimize_equality(fun, X0, constraints=con, sketch="exakt"), "did you mean 'exact'"),
        (lambda: minimize_equality(fun, X0, constraints=con, accuracy="papers"), "did you mean 'paper'"),
        (lambda: minimize_equality(fun, X0, constraints=con, tol=-1.0), "tol must be in"),
        (lambda: minimize_equality(fun, X0, constraints=con, beta=0.5), "beta must be in"),
        (lambda: minimize_equality(fun, X0, constraints=con, nu=1), "nu must be in"),
        (lambda: minimize_equality(fun, X0, constraints=con, eta2=0), "eta2 must be in"),
        (lambda: minimize_equality(fun, X0, constraints=con, theta=0), "theta must be in"),
        (lambda: minimize_equality(fun, X0, constraints=con, max_inner=0), "max_inner must be at least 1"),
    ],
)
def test_values_that_are_wrong_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: minimize_equality(3, X0, constraints=con), "fun must be callable, got int"),
        (
            lambda: minimize_equality(fun, X0, constraints=3),
            "constraints must be functions or SciPy constraints, got int",
        ),
        (lambda: minimize_equality(fun, X0, constraints=[3]), "constraints must be functions or SciPy constraints"),
        (lambda: minimize_equality(fun, X0, constraints=(con, 3)), r"must be \(con, con_jac, con_hess_vec\)"),
        (lambda: minimize_equality(fun, X0, constraints=con, maxiter=1.5), "maxiter must be an integer"),
        (lambda: minimize_equality(fun, X0, constraints=con, sketches="exact"), "sketches"),
    ],
)
def test_kinds_that_are_wrong_are_named(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_a_square_jacobian_that_is_transposed_is_found():
    def square(x):
        return np.array([x[0] + 3 * x[1] ** 2 - 1, x[1] - 2 * x[0]])

    def square_jac(x):
        return np.array([[1.0, 6 * x[1]], [-2.0, 1.0]])

    options = {"jac": lambda x: 0 * x, "sketch": "exact"}
    assert minimize_equality(lambda x: 0.0, [1.0, 1.0], constraints=(square, square_jac), **options).success
    with pytest.raises(ValueError, match="looks transposed: rows must belong to constraints"):
        minimize_equality(lambda x: 0.0, [1.0, 1.0], constraints=(square, lambda x: square_jac(x).T), **options)
