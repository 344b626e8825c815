"""The worked cases: values and gradients of the penalty function in closed form."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimand.core.projections import Box
from optimand.numerical.bilevel import (
    Level,
    LevelOracle,
    PenaltyWarning,
    bilevel_minimize,
    diagnose,
    hypergradient,
    limit_hypergradient,
    penalty_growth,
)
from optimand.numerical.limits import Status

QUADRATIC = (
    Level(lambda x, y: 0.5 * (y - 1) ** 2 + x**2 / 4, lambda x, y: x / 2, lambda x, y: y - 1),
    Level(lambda x, y: 0.5 * (y - 2 * x) ** 2, lambda x, y: -2 * (y - 2 * x), lambda x, y: y - 2 * x),
)
TARGET = np.array([1.0, -2.0])
MANY = (
    Level(lambda x, y: 0.5 * ((y - TARGET) ** 2).sum(), lambda x, y: 0 * x, lambda x, y: y - TARGET),
    Level(lambda x, y: 0.5 * (y.sum() - x) ** 2, lambda x, y: -(y.sum() - x), lambda x, y: (y.sum() - x) * np.ones(2)),
)
BOXED = (
    Level(lambda x, y: 0.5 * (y - 2) ** 2 + 0.5 * x**2, lambda x, y: x, lambda x, y: y - 2),
    Level(lambda x, y: 0.5 * (y - x) ** 2, lambda x, y: x - y, lambda x, y: y - x),
)
BILINEAR = (
    Level(lambda x, y: x**2 + y**2, lambda x, y: 2 * x, lambda x, y: 2 * y),
    Level(lambda x, y: x * y, lambda x, y: y, lambda x, y: x),
)
UNIT = Box(-1.0, 1.0)


def at(case, x, sigma, y0=0.0, box=None):
    y0 = np.asarray(y0, dtype=float)
    return hypergradient(LevelOracle(*case, (), y0.shape), np.float64(x), sigma, y0, project_y=box)


@pytest.mark.parametrize(
    ("sigma", "value", "slope"), [(1.0, 0.5, 1.5), (0.1, 0.704545, 2.318182), (0.01, 0.745050, 2.480198)]
)
def test_quadratic_lower_level(sigma, value, slope):
    found = at(QUADRATIC, 1.0, sigma)
    assert found.success
    assert found.fun == pytest.approx(value, abs=1e-6)
    assert found.fun == pytest.approx(0.25 + 1 / (2 * (1 + sigma)), abs=1e-9)
    assert found.grad == pytest.approx(slope, abs=1e-6)


@pytest.mark.parametrize(
    ("sigma", "value", "slope"),
    [(1.0, 2.666667, 1.333333), (0.1, 3.809524, 1.904762), (0.01, 3.980100, 1.990050)],
)
def test_many_lower_solutions(sigma, value, slope):
    found = at(MANY, 3.0, sigma, [0.0, 0.0])
    assert found.fun == pytest.approx(value, abs=1e-6)
    assert found.grad == pytest.approx(slope, abs=1e-6)


def test_limit_gradients_by_the_pseudo_inverse():
    many = limit_hypergradient([0.0], [2.0, 2.0], np.ones((2, 2)), -np.ones((1, 2)))
    assert many == pytest.approx([2.0], abs=1e-12)
    quadratic = limit_hypergradient([0.5], [1.0], [[1.0]], [[-2.0]])
    assert quadratic == pytest.approx([2.5], abs=1e-12)


def test_limit_gradient_with_an_active_constraint():
    # Box case at x = 1.5: y = 1 sits on its bound and does not move with x, so only the direct part remains.
    active = limit_hypergradient([1.5], [-1.0], [[1.0]], [[-1.0]], active=[[1.0]])
    assert active == pytest.approx([1.5], abs=1e-12)
    free = limit_hypergradient([0.5], [-1.5], [[1.0]], [[-1.0]])
    assert free == pytest.approx([-1.0], abs=1e-12)
    assert at(BOXED, 0.5, 1e-4, box=UNIT).grad == pytest.approx(-1.0, abs=1e-3)


@pytest.mark.parametrize(
    ("x", "sigma", "value", "slope"),
    [
        (0.5, 0.1, 1.147727, -0.863636),
        (0.95, 0.1, 0.963750, 0.45),
        (1.5, 0.1, 1.625, 1.5),
        (0.5, 0.01, 1.238861, -0.985149),
    ],
)
def test_box_on_the_lower_level(x, sigma, value, slope):
    found = at(BOXED, x, sigma, box=UNIT)
    assert found.y == pytest.approx(np.clip((x + 2 * sigma) / (1 + sigma), -1, 1), abs=1e-9)
    assert found.fun == pytest.approx(value, abs=1e-6)
    assert found.grad == pytest.approx(slope, abs=1e-6)


@pytest.mark.parametrize(
    ("x", "sigma", "value"), [(0.3, 0.5, 0.6), (0.3, 0.1, 1.09), (0.05, 0.1, 0.44), (0.0, 0.1, 0.0)]
)
def test_bilinear_lower_level(x, sigma, value):
    assert at(BILINEAR, x, sigma, box=UNIT).fun == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize(
    ("x", "sigma", "slope"), [(0.05, 0.1, 7.6), (0.01, 0.1, 9.52), (0.01, 0.05, 18.02), (0.2, 0.1, 0.4)]
)
def test_bilinear_gradients(x, sigma, slope):
    assert at(BILINEAR, x, sigma, box=UNIT).grad == pytest.approx(slope, abs=1e-6)


def test_growth_of_the_penalty_gradient_is_noticed():
    oracle = LevelOracle(*BILINEAR, (), ())
    with pytest.warns(PenaltyWarning, match="penalty gradient grows like 1/sigma"):
        ratio = penalty_growth(oracle, np.float64(0.01), 0.1, np.float64(0), project_y=UNIT)
    assert ratio == pytest.approx(1.89, abs=0.01)
    smooth = penalty_growth(LevelOracle(*QUADRATIC, (), ()), np.float64(1.0), 0.1, np.float64(0))
    assert smooth == pytest.approx(1.04, abs=0.01)


def test_a_point_next_to_the_jump_is_not_reported_as_stationary():
    oracle = LevelOracle(*BILINEAR, (), ())
    point = at(BILINEAR, 0.2, 0.1, box=UNIT)
    found = diagnose(oracle, np.float64(0.2), point.y, point.z, 0.1, Box(-1, 1), UNIT)
    assert found.mapping == pytest.approx(0.4, abs=1e-6)
    assert not found.stationary(0.1, 0.1)


def test_the_solver_on_the_bilinear_case_warns_and_claims_no_success():
    with pytest.warns(PenaltyWarning, match="grows like 1/sigma"):
        found = bilevel_minimize(
            *BILINEAR, 0.05, 0.0, Box(-1, 1), UNIT, sigma=0.1, alpha=0.001, gamma=1.0, tol=1e-3, maxiter=15
        )
    assert not found.success
    assert found.growth > 1.5


def test_penalty_function_is_below_psi_and_increases_as_sigma_falls():
    sigmas = np.geomspace(2.0, 1e-3, 12)
    for case, box, x, y0, psi in [
        (QUADRATIC, None, 1.0, 0.0, 0.75),
        (MANY, None, 3.0, [0.0, 0.0], 4.0),
        (BOXED, UNIT, 0.5, 0.0, 1.25),
        (BILINEAR, UNIT, 0.3, 0.0, 1.09),
    ]:
        values = [at(case, x, s, y0, box).fun for s in sigmas]
        assert (np.diff(values) >= -1e-9).all()
        assert values[-1] <= psi + 1e-9


@settings(max_examples=40, deadline=None)
@given(x=st.floats(-3, 3), sigma=st.floats(0.01, 2.0))
def test_gradient_and_value_belong_together(x, sigma):
    found = at(BOXED, x, sigma, box=UNIT)
    y = np.clip((x + 2 * sigma) / (1 + sigma), -1, 1)
    z = np.clip(x, -1, 1)
    value = 0.5 * (y - 2) ** 2 + 0.5 * x**2 + (0.5 * (y - x) ** 2 - 0.5 * (z - x) ** 2) / sigma
    assert found.fun == pytest.approx(value, abs=1e-7)
    assert found.grad == pytest.approx(x + ((x - y) - (x - z)) / sigma, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_value_and_gradient_are_within_a_constant_times_sigma(seed):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(6, 6))
    hessian, mixing, target = a @ a.T / 6 + 0.3 * np.eye(6), rng.normal(size=(6, 3)), rng.normal(size=6)
    f = Level(lambda x, y: 0.5 * ((y - target) ** 2).sum(), lambda x, y: 0 * x, lambda x, y: y - target)
    g = Level(
        lambda x, y: 0.5 * y @ hessian @ y - y @ mixing @ x,
        lambda x, y: -mixing.T @ y,
        lambda x, y: hessian @ y - mixing @ x,
    )
    x = rng.normal(size=3)
    y = np.linalg.solve(hessian, mixing @ x)
    psi, slope = 0.5 * ((y - target) ** 2).sum(), mixing.T @ np.linalg.solve(hessian, y - target)
    sigmas, errors = np.array([1e-3, 1e-2, 1e-1]), []
    for s in sigmas:
        found = hypergradient(LevelOracle(f, g, (3,), (6,)), x, s, np.zeros(6), tol=1e-11)
        errors.append((psi - found.fun, np.linalg.norm(found.grad - slope)))
    for column in np.array(errors).T:
        assert (column > 0).all()
        assert 0.8 < np.polyfit(np.log(sigmas), np.log(column), 1)[0] < 1.1


@pytest.mark.parametrize(("method", "sigma"), [("double-loop", 0.01), ("single-loop", 0.05), ("double-loop", 1.0)])
def test_minimizers_of_the_penalty_function_are_found(method, sigma):
    found = bilevel_minimize(*QUADRATIC, 1.0, 0.0, method=method, sigma=sigma, tol=1e-7)
    # psi_sigma is a quadratic in x.
    expected = (2 / (1 + sigma)) / (0.5 + 4 / (1 + sigma))
    assert found.success, found.message
    assert found.x == pytest.approx(expected, abs=1e-6)
    assert found.z == pytest.approx(2 * expected, abs=1e-6)
    assert found.hypergrad_norm <= 1e-7
    assert found.ll_gap <= sigma * 1e-7
    assert found.n_grad_g > found.n_grad_f > 0
    assert found.fun == pytest.approx(0.5 * (found.z - 1) ** 2 + found.x**2 / 4)


def test_prox_terms_and_averaging_reach_the_same_point():
    plain = bilevel_minimize(*QUADRATIC, 1.0, 0.0, sigma=0.1, tol=1e-7)
    for options in ({"rho": 2.0}, {"beta": 0.5}, {"rho": 1.0, "beta": lambda k: 1 / math.sqrt(k)}):
        found = bilevel_minimize(*QUADRATIC, 1.0, 0.0, sigma=0.1, tol=1e-7, **options)
        assert found.success
        assert found.x == pytest.approx(plain.x, abs=1e-6)


def test_annealing_ends_near_the_limit():
    from optimand.numerical.bilevel import Annealing

    found = bilevel_minimize(*QUADRATIC, 1.0, 0.0, sigma=Annealing(1.0, 1e-4, 60), tol=1e-6)
    assert found.success
    assert found.sigma == pytest.approx(1e-4)
    assert found.x == pytest.approx(4 / 9, abs=1e-4)


def test_constraints_on_both_levels():
    found = bilevel_minimize(*BOXED, 0.2, 0.0, Box(0.0, 0.6), UNIT, sigma=0.01, tol=1e-7)
    assert found.success
    assert found.x == pytest.approx(0.6)
    assert found.z == pytest.approx(0.6, abs=1e-7)


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
@pytest.mark.parametrize("method", ["double-loop", "single-loop"])
def test_one_penalty_for_each_feature_does_not_run_away(seed, method):
    rng = np.random.default_rng(seed)
    train, valid, truth = (
        rng.normal(size=(60, 15)),
        rng.normal(size=(60, 15)),
        rng.normal(size=15) * (np.arange(15) < 7),
    )
    s, t = train @ truth + rng.normal(size=60), valid @ truth + rng.normal(size=60)

    def f(x, y):
        error = valid @ y - t
        return (error @ error) / 60, 0 * x, 2 * valid.T @ error / 60

    def g(x, y):
        error = train @ y - s
        return (error @ error) / 60 + np.exp(x) @ y**2, np.exp(x) * y**2, 2 * train.T @ error / 60 + 2 * np.exp(x) * y

    def psi(x):
        y = np.linalg.solve(train.T @ train / 60 + np.diag(np.exp(x)), train.T @ s / 60)
        return f(x, y)[0]

    found = bilevel_minimize(
        f, g, np.zeros(15), np.zeros(15), sigma=0.05, method=method, maxiter=400 if method == "double-loop" else 4000,
        check_growth=False,
    )  # fmt: skip
    assert np.abs(found.x).max() < 100
    if method == "double-loop":  # in the single loop y and z lag too far behind for the penalty function to guide x
        assert psi(found.x) < 0.8 * psi(np.zeros(15))


def test_an_objective_that_is_nan_is_no_success():
    f, g = QUADRATIC
    for alpha in ("auto", 0.2):
        nan = Level(lambda x, y: math.nan, f.grad_x, f.grad_y)
        found = bilevel_minimize(nan, g, 1.0, 0.0, sigma=0.1, alpha=alpha)
        assert (found.success, found.status) == (False, Status.NOT_FINITE)
        assert "f" in found.message


def test_an_upper_objective_that_outweighs_the_lower_one_is_told_by_its_scale():
    f, g = QUADRATIC
    scaled = Level(*(lambda x, y, part=part: 1e3 * part(x, y) for part in (f.fun, f.grad_x, f.grad_y)))
    with pytest.warns(PenaltyWarning, match="scale f down, or take a smaller sigma"):
        bilevel_minimize(scaled, g, 1.0, 0.0, sigma=0.1)


def test_a_run_that_diverges_hints_at_what_helps():
    found = bilevel_minimize(*QUADRATIC, 1.0, 0.0, sigma=0.1, alpha=1e3, gamma=1e3)
    assert found.status == Status.NOT_FINITE
    assert "project_x, or a smaller alpha" in found.message
