"""SLSQP, trust-constr, Ipopt and ℓ1-SQP with GMRES on problems with known solutions."""

from __future__ import annotations

import dataclasses
import importlib.util
import statistics
import sys

import numpy as np
import pytest

from optimand.core.validation import OptimandError
from optimand.numerical.constrained import EqualityProblem
from optimand.numerical.constrained.baselines import solve_ipopt, solve_slsqp
from optimand.numerical.constrained.loop import run_method
from optimand.numerical.constrained.methods import trust_constr
from optimand.numerical.constrained.problems import equality_problem, names, poisson_control
from optimand.numerical.constrained.sqp_l1_gmres import solve_sqp_l1_gmres
from optimand.numerical.limits import Status

SOLVERS = {
    "slsqp": solve_slsqp,
    "ipopt": solve_ipopt,
    "sqp-l1-gmres": solve_sqp_l1_gmres,
}
without_ipopt = pytest.mark.skipif(importlib.util.find_spec("cyipopt") is None, reason="cyipopt is not installed")
EACH = [pytest.param(name, marks=without_ipopt) if name == "ipopt" else name for name in SOLVERS]


@pytest.mark.parametrize("solver", EACH)
@pytest.mark.parametrize("name", ["HS6", "HS28", "HS77", "HS79", "BT5", "BT12", "INTEQNE"])
def test_known_solutions(solver, name):
    problem = equality_problem(name)
    found = SOLVERS[solver](problem)
    assert found.success
    assert found.kkt <= 1e-4
    assert found.kkt == pytest.approx(np.hypot(found.optimality, found.constr_violation))
    assert found.nit >= 1
    if problem.f_star is not None:
        assert found.fun == pytest.approx(problem.f_star, abs=1e-4)


@pytest.mark.parametrize("solver", EACH)
def test_sparse_problems(solver):
    problem = poisson_control(8)
    found = SOLVERS[solver](problem)
    assert found.success
    assert found.fun == pytest.approx(problem.f_star, abs=1e-3)


def test_slsqp_reports_failure_at_the_solution_of_hs7():
    found = solve_slsqp(equality_problem("HS7"))
    assert not found.success
    assert found.kkt < 1e-6


@without_ipopt
def test_ipopt_solves_every_problem():
    for name in (*names("reference"), *names("extra")):
        found = solve_ipopt(equality_problem(name))
        assert found.success, name
        assert found.kkt <= 1e-4, name


def test_the_adaptive_sqp_method_solves_what_the_record_says():
    results = [solve_sqp_l1_gmres(equality_problem(name)) for name in names("cutest")]
    assert all(result.success for result in results)
    assert abs(statistics.median(result.nit for result in results) - 6) <= 1


@pytest.mark.parametrize("solver", EACH)
def test_caps_on_iterations(solver):
    found = SOLVERS[solver](equality_problem("HS77"), maxiter=1)
    assert not found.success
    assert np.isfinite(found.x).all()


@pytest.mark.parametrize("solver", ["slsqp", "sqp-l1-gmres"])
def test_caps_on_time(solver):
    found = SOLVERS[solver](equality_problem("HS77"), max_seconds=0.0)
    assert (found.status, found.success) == (Status.TIME, False)
    assert "time" in found.message
    assert np.isfinite(found.x).all()


@pytest.mark.parametrize("solver", EACH)
def test_values_that_are_not_finite(solver):
    base = equality_problem("HS6")

    def broken(value, good):
        return lambda x, *rest: value if abs(x[0] + 1.2) > 1e-9 else good(x, *rest)

    problem = dataclasses.replace(
        base, fun=broken(np.nan, base.fun), cons=broken(np.full(1, np.nan), base.cons),
        grad=broken(np.full(2, np.nan), base.grad), jac=broken(np.full((1, 2), np.nan), base.jac),
    )  # fmt: skip
    found = SOLVERS[solver](problem, max_seconds=5.0)
    assert not (found.success and found.kkt <= 1e-4)
    assert isinstance(found.message, str)


@pytest.mark.parametrize("solver", EACH)
def test_dependent_gradients_at_the_start(solver):
    found = SOLVERS[solver](equality_problem("HS61"), max_seconds=5.0)
    assert found.success == (solver != "slsqp")
    if found.success:
        assert found.fun == pytest.approx(-143.6461422, abs=1e-3)


@pytest.mark.parametrize(("solver", "options", "message"), [
    ("slsqp", {"ftol": 0.0}, "ftol must be in"),
    ("slsqp", {"maxiter": 0}, "maxiter must be at least 1"),
    ("sqp-l1-gmres", {"kappa": 1.0}, "kappa must be in"),
    ("sqp-l1-gmres", {"mu": 0.0}, "mu must be in"),
])  # fmt: skip
def test_options_out_of_range(solver, options, message):
    with pytest.raises(ValueError, match=message):
        SOLVERS[solver](equality_problem("HS6"), **options)


def test_an_error_of_the_users_own_function_is_not_hidden():
    base = equality_problem("HS6")

    def wrong(x):
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        solve_slsqp(dataclasses.replace(base, grad=wrong))


@without_ipopt
def test_second_derivatives_are_asked_for():
    base = equality_problem("HS6")
    without = EqualityProblem(
        fun=base.fun, grad=base.grad, cons=base.cons, jac=base.jac, hessp=lambda x, lam, v: v, x0=base.x0
    )
    with pytest.raises(ValueError, match="hess must be given"):
        solve_ipopt(without)


def test_ipopt_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "cyipopt", None)
    with pytest.raises(OptimandError, match=r"pip install 'optimand\[ipopt\]'"):
        solve_ipopt(equality_problem("HS6"))


def plain(**changed):
    functions = {
        "fun": lambda x: float(x @ x), "grad": lambda x: 2 * x, "cons": lambda x: np.array([x.sum() - 1]),
        "jac": lambda x: np.ones((1, 2)), "hess": lambda x, lam: 2 * np.eye(2), "x0": [3.0, 0.0],
    }  # fmt: skip
    return EqualityProblem(**{**functions, **changed})


@pytest.mark.parametrize("changed", [
    {"grad": lambda x: 2 * x if x[0] == 3 else np.full(2, np.nan)},
    {"hess": lambda x, lam: np.full((2, 2), np.nan)},
], ids=["gradient", "hessian"])  # fmt: skip
def test_trust_constr_ends_where_derivatives_are_not_finite(changed):
    found = run_method(plain(**changed), trust_constr, {}).result
    assert not found.success
    assert found.status == Status.NOT_FINITE


def test_an_unbounded_problem_ends_without_a_warning():
    unbounded = plain(fun=lambda x: -float(x @ x), grad=lambda x: -2 * x, hess=lambda x, lam: -2 * np.eye(2))
    found = solve_sqp_l1_gmres(unbounded, max_seconds=10.0)
    assert not found.success
