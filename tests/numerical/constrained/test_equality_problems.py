"""The problems: values and exact derivatives, known solutions, iteration counts of the exact solver, bad input."""

from __future__ import annotations

import os

import numpy as np
import pytest

from optimand.core.validation import OptimandError, UnknownNameError
from optimand.numerical.constrained import solve_problem
from optimand.numerical.constrained.problems import (
    Formula,
    constrained_logistic,
    entry,
    equality_problem,
    logistic_on_sphere,
    logistic_sphere,
    names,
    poisson_control,
)
from optimand.numerical.constrained.problems.generated import Mancino

# name: f(x0), ‖c(x0)‖, f*, outer iterations with exact solves
TABLE = {
    "HS6": (4.84, 4.4, 0.0, 9),
    "HS7": (-0.39056209, 25.0, -1.7320508, 10),
    "HS9": (0.0, 0.0, -0.5, 5),
    "HS28": (13.0, 0.0, 0.0, 1),
    "HS40": (-0.4096, 0.3628, -0.25, 3),
    "HS42": (14.0, 1.0, 13.857864, 4),
    "HS48": (84.0, 0.0, 0.0, 1),
    "HS51": (8.5, 0.0, 0.0, 1),
    "HS52": (42.0, 8.0, 5.3266476, 1),
    "HS77": (4.0, 56.82, 0.24150513, 8),
    "HS78": (-6.0, 4.712, -2.9197004, 4),
    "HS79": (1.0, 8.054, 0.078776821, 4),
    "BT3": (2166.0, 80.0, 4.0930233, 1),
    "BT5": (976.0, 13.15, 961.71517, 5),
    "BT9": (-2.0, 10.20, -1.0, 13),
    "BT11": (1.0, 11.955, 0.8248918, 7),
    "BT12": (4.9997544, 7.608, 6.1881188, 5),
    "BOOTH": (0.0, 8.602, None, 1),
    "GOTTFR": (0.0, 2.406, None, 5),
    "INTEQNE": (0.0, 0.2518, None, 2),
}
PENALTIES = {"HS40": (2.25, 0.0667), "HS42": (5.06, 0.0444), "BT12": (5.06, 0.0444), "BT9": (25.63, 0.01975)}
EVERY = tuple(dict.fromkeys((*names("reference"), *names("cutest"), *names("extra"))))


def test_the_table_is_the_reference_set():
    assert tuple(TABLE) == names("reference")


@pytest.mark.parametrize("name", TABLE)
def test_values_at_the_start_and_iterations_of_the_exact_solver(name):
    f0, c0, f_star, iterations = TABLE[name]
    problem = equality_problem(name)
    assert problem.fun(problem.x0) == pytest.approx(f0, rel=1e-7)
    assert np.linalg.norm(problem.cons(problem.x0)) == pytest.approx(c0, rel=5e-4, abs=1e-12)
    assert problem.f_star == f_star
    found = solve_problem(problem, sketch="exact", singular_tol=1e-8)
    assert found.success
    assert found.kkt <= 1e-4
    assert found.nit == iterations
    if f_star is not None:
        assert found.fun == pytest.approx(f_star, abs=2e-5)
    assert (found.eta1, found.eta2) == pytest.approx(PENALTIES.get(name, (1.0, 0.1)), rel=2e-3)


def test_gottfr_stops_at_a_singular_jacobian_with_the_threshold_of_the_paper():
    found = solve_problem(equality_problem("GOTTFR"), sketch="exact")
    assert (found.nit, found.success) == (1, False)
    assert "singular" in found.message


def test_the_extra_problems():
    found = solve_problem(equality_problem("BT1"), sketch="exact", singular_tol=1e-8)
    assert found.success
    assert found.fun == pytest.approx(-1.0, abs=1e-3)
    # both gradients are parallel at the start: Newton's method has no step there
    stopped = solve_problem(equality_problem("HS61"), sketch="exact", singular_tol=1e-8)
    assert (stopped.success, stopped.nit) == (False, 0)
    assert "singular" in stopped.message


@pytest.mark.parametrize("name", [name for name in names("cutest") if entry(name).recorded is not None])
def test_the_exact_solver_needs_the_recorded_iterations(name):
    found = solve_problem(equality_problem(name), sketch="exact")
    assert found.success
    assert abs(found.nit - entry(name).recorded) <= 1
    f_star = equality_problem(name).f_star
    if f_star is not None:
        assert found.fun == pytest.approx(f_star, abs=3e-5)


# the derivative step of a problem: formulas of high degree at far starts
@pytest.mark.parametrize("name", EVERY)
def test_derivatives_match_finite_differences(name):
    problem = equality_problem(name)
    rng = np.random.default_rng(0)
    x = problem.x0 * (1 + 0.05 * rng.standard_normal(problem.n)) + 0.05 * rng.standard_normal(problem.n)
    lam = rng.standard_normal(len(problem.cons(x)))
    check_derivatives(problem, x, lam)


def check_derivatives(problem, x, lam, rtol=2e-6):
    def dense(matrix):
        return matrix.toarray() if hasattr(matrix, "toarray") else np.asarray(matrix)

    def slope(y):
        return problem.grad(y) + dense(problem.jac(y)).T @ lam

    def differences(function):
        steps = 1e-5 * np.maximum(1, np.abs(x))
        columns = [
            (function(x + h * e) - function(x - h * e)) / (2 * h) for h, e in zip(steps, np.eye(len(x)), strict=True)
        ]
        return np.array(columns).T

    for exact, approximate in (
        (problem.grad(x), differences(problem.fun)),
        (dense(problem.jac(x)), differences(problem.cons)),
        (dense(problem.hess(x, lam)), differences(slope)),
    ):
        assert exact == pytest.approx(approximate, rel=rtol, abs=rtol * max(1, np.abs(approximate).max()))
    hessian = dense(problem.hess(x, lam))
    assert np.array_equal(hessian, hessian.T)


def test_points_out_of_range_give_infinity_instead_of_an_exception():
    problem = equality_problem("HS77")
    far = np.full(5, 1e200)
    assert problem.fun(far) == np.inf
    assert np.isinf(problem.cons(far)).all()
    assert problem.hess(far, np.zeros(2)).shape == (5, 5)
    assert equality_problem("hs7").fun(np.array([1e200, 0.0])) == np.inf


def test_names_and_errors():
    assert equality_problem("hs6") is equality_problem("HS6")
    assert len(names("cutest")) == 45
    assert set(names("reference")) - set(names("cutest")) == {"HS9"}
    with pytest.raises(UnknownNameError, match="did you mean 'HS78'"):
        entry("hs780")
    with pytest.raises(TypeError, match="name must be a string"):
        entry(6)
    with pytest.raises(ValueError, match="which must be one of"):
        names("all")


def test_a_formula_may_be_the_users_own():
    problem = Formula("mine", "exp(x1)*x2", ("x1 + x2 - 1",), (0.5, 2.0)).problem()
    check_derivatives(problem, problem.x0, np.array([0.7]))
    assert Formula("equations", "0", ("x1 - 1",), (0.0,)).equations_only


def test_mancino_in_other_dimensions():
    for n in (10, 30, 100):
        found = solve_problem(Mancino(n).problem(), sketch="exact")
        assert found.success
        assert found.nit == (4 if n == 100 else 3)


@pytest.mark.parametrize(("n", "f_star", "first"), [
    (3, 9.644442051811629, 19.186735), (6, 41.00403519940437, 88.05297), (8, 74.09302232832393, 169.0535),
])  # fmt: skip
def test_control_of_the_poisson_equation(n, f_star, first):
    problem = poisson_control(n)
    found = solve_problem(problem, sketch="exact")
    assert found.nit == 1
    assert found.fun == pytest.approx(f_star, rel=1e-12)
    assert problem.f_star == f_star
    assert found.history["kkt"][0] == pytest.approx(first, rel=1e-6)
    check_derivatives(problem, problem.x0 + 0.1, problem.lam0)


def test_the_poisson_problem_stays_sparse():
    problem = poisson_control(30)
    assert problem.jac(problem.x0).nnz < 6 * 900
    assert problem.hess(problem.x0, problem.lam0).nnz == 1800
    assert solve_problem(problem, sketch="exact").nit == 1
    with pytest.raises(ValueError, match="n must be at least 1"):
        poisson_control(0)
    with pytest.raises(ValueError, match="weight must be in"):
        poisson_control(3, weight=0.0)


LOGISTIC = {("breast-cancer", 0): 13, ("breast-cancer", 1): 11, ("breast-cancer", 2): 11, ("digits", 0): 9}


@pytest.mark.parametrize(("data", "seed"), LOGISTIC)
def test_constrained_logistic_regression(data, seed):
    from optimand.numerical.constrained.baselines import solve_slsqp

    problem = constrained_logistic(data, seed)
    assert problem.n == {"breast-cancer": 30, "digits": 61}[data]
    found = solve_problem(problem, sketch="exact", curvature_tol=1e-2)
    assert found.success
    assert abs(found.nit - LOGISTIC[data, seed]) <= 1
    assert found.fun <= solve_slsqp(problem).fun + 1e-5
    if (data, seed) == ("breast-cancer", 0):
        assert found.fun == pytest.approx(0.64179991, abs=1e-7)


def test_logistic_regression_with_kaczmarz():
    problem = constrained_logistic("breast-cancer", 1)
    found = solve_problem(problem, sketch="kaczmarz", curvature_tol=1e-2, max_inner=1_000_000, rng=0)
    assert found.success
    assert found.nit <= 25


def test_logistic_derivatives_and_data():
    problem = constrained_logistic("breast-cancer", 0)
    rng = np.random.default_rng(0)
    x, lam, v = rng.standard_normal(30), rng.standard_normal(11), rng.standard_normal(30)
    check_derivatives(problem, x, lam)
    assert problem.hessp(x, lam, v) == pytest.approx(problem.hess(x, lam) @ v)
    assert constrained_logistic("breast-cancer", 0).cons(x) == pytest.approx(problem.cons(x))
    assert constrained_logistic("breast-cancer", 1).cons(x) != pytest.approx(problem.cons(x))
    # far away nothing overflows
    assert np.isfinite(problem.fun(1e4 * x))
    assert np.isfinite(problem.grad(1e4 * x)).all()
    with pytest.raises(ValueError, match="data must be one of"):
        constrained_logistic("iris")
    with pytest.raises(ValueError, match="seed must be at least 0"):
        constrained_logistic("digits", -1)
    tiny = logistic_on_sphere(
        np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([1.0, -1.0]), np.array([[1.0, 2.0]]), np.zeros(1), ""
    )
    assert solve_problem(tiny, sketch="exact").success


def test_mushrooms_need_their_files(monkeypatch, tmp_path):
    from optimand.numerical.constrained.problems import logistic

    logistic._table.cache_clear()
    monkeypatch.setenv("OPTIMAND_DATA", str(tmp_path))
    with pytest.raises(OptimandError, match=r"mushrooms/agaricus\.txt\.train"):
        constrained_logistic("mushrooms")
    monkeypatch.delenv("OPTIMAND_DATA")
    with pytest.raises(OptimandError, match="OPTIMAND_DATA"):
        constrained_logistic("mushrooms")
    with pytest.raises(OptimandError, match="OPTIMAND_DATA"):
        logistic_sphere(data="mushrooms")
    assert logistic_sphere().name == "logistic-sphere:data=breast-cancer"


def test_logistic_regression_on_mushrooms():
    root = os.environ.get("OPTIMAND_DATA")
    if not root or not os.path.isfile(os.path.join(root, "mushrooms", "agaricus.txt.train")):
        pytest.skip("the mushrooms set is not in $OPTIMAND_DATA")
    problem = constrained_logistic("mushrooms", 0)
    assert problem.n == 116
    found = solve_problem(problem, sketch="exact", curvature_tol=1e-2)
    assert found.success
    assert abs(found.nit - 11) <= 1


def test_against_sif2jax():
    sif2jax = pytest.importorskip("sif2jax", reason="sif2jax is an optional cross-check that takes minutes to import")
    import jax

    jax.config.update("jax_enable_x64", True)
    compared = []
    for name in dict.fromkeys([*names("cutest"), *names("extra")]):
        # it has MANCINONE with twice as many unknowns, and cannot evaluate TRIGON1NE
        if not hasattr(sif2jax.cutest, name) or name in ("MANCINONE", "TRIGON1NE"):
            continue
        ours, theirs = equality_problem(name), getattr(sif2jax.cutest, name)()
        assert np.asarray(theirs.y0).ravel() == pytest.approx(ours.x0)
        x = ours.x0 + 0.1 * np.sin(np.arange(ours.n) + 1)
        assert float(theirs.objective(x, theirs.args)) == pytest.approx(float(ours.fun(x)), rel=1e-8)
        # up to signs, which are a matter of taste; HELIXNE has pi to eight digits there
        constraints = np.abs(np.asarray(theirs.constraint(x)[0]).ravel())
        assert constraints == pytest.approx(np.abs(ours.cons(x)), rel=1e-7, abs=1e-8)
        compared.append(name)
    assert len(compared) >= 30
