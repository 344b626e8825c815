"""solve_inclusion: every method, every way to end, restarts, resumes and warnings."""

import numpy as np
import pytest

from optimand.core.projections import Box
from optimand.numerical.limits import Status
from optimand.numerical.monotone import FiniteSumOperator, MatrixGameOperator, make_method, solve_inclusion
from optimand.numerical.monotone.solve import METHODS

RNG = np.random.default_rng(0)
ROWS = RNG.standard_normal((30, 3))
B = ROWS[:, :, None] * ROWS[:, None, :] + 0.3 * np.array([[0, 1.0, 0], [-1, 0, 0], [0, 0, 0]])
Q = RNG.standard_normal((30, 3))
SOLUTION = np.linalg.solve(B.mean(0), Q.mean(0))


def affine():
    return FiniteSumOperator.from_affine(B, Q)


def hidden():
    op = affine()
    return FiniteSumOperator(30, op._full_value, op._batch_value)


def game(seed=0):
    return MatrixGameOperator(np.random.default_rng(seed).random((20, 20)))


UNIFORM = np.full(40, 0.05)


@pytest.mark.parametrize("method", ["auto", *(name for name in METHODS if name != "omwu")])
@pytest.mark.parametrize("make", [affine, hidden])
def test_every_method_with_and_without_known_constants(method, make):
    found = solve_inclusion(make(), np.zeros(3), method=method, tol=2e-2, rng=0, max_seconds=20)
    assert found.success
    assert found.status == Status.CONVERGED
    assert found.residual <= 2e-2
    assert np.linalg.norm(found.x - SOLUTION) < 0.1
    assert found.n_component_evals > 0
    assert found.passes == found.n_component_evals / 30


@pytest.mark.parametrize(
    ("caps", "status"),
    [
        ({"maxiter": 3}, Status.ITERATIONS),
        ({"max_oracle_calls": 200}, Status.ORACLE_CALLS),
        ({"max_seconds": 0.05}, Status.TIME),
        ({"callback": lambda u: True}, Status.STOPPED),
    ],
)
@pytest.mark.parametrize("method", ["eg", "vr-halpern-inexact", "vr-halpern"])
def test_every_cap_ends_the_run(method, caps, status):
    found = solve_inclusion(affine(), np.zeros(3), method=method, tol=0.0, rng=0, **caps)
    assert found.status == status
    assert not found.success
    assert np.isfinite(found.residual)


def test_steps_are_capped_even_if_nobody_says_so(monkeypatch):
    monkeypatch.setattr("optimand.numerical.monotone.solve.MOST_STEPS", 7)
    assert solve_inclusion(affine(), np.zeros(3), method="eg", tol=0.0).nit == 7


def test_operators_that_are_not_finite_end_with_a_status():
    op = FiniteSumOperator(2, lambda u: u * np.nan, lambda u, idx: u * np.nan, L=1.0, L_mean=1.0, L_cocoercive=1.0)
    for method in ("eg", "vr-halpern", "vr-halpern-inexact", "svrg-eg"):
        assert solve_inclusion(op, np.ones(2), method=method).status == Status.NOT_FINITE


def test_a_diverging_run_ends_and_returns_its_best_point():
    reflection = FiniteSumOperator(1, lambda u: -u, lambda u, idx: -u, L=1.0)
    found = solve_inclusion(reflection, np.ones(2), method="eg", step=5.0)
    assert found.status == Status.NOT_FINITE
    assert found.x.tolist() == [1.0, 1.0]


@pytest.mark.filterwarnings("ignore:vr-halpern needs a cocoercive operator")
def test_algorithm_1_on_a_bilinear_game_does_not_hang():
    found = solve_inclusion(game(), UNIFORM, method="vr-halpern", tol=1e-9, maxiter=200)
    assert found.status == Status.ITERATIONS


def test_no_equilibrium_in_a_translation():
    """F constant and not 0, without constraints: no solution; the caps end it."""
    op = FiniteSumOperator(1, lambda u: np.ones(2), lambda u, idx: np.ones(2), L=1.0, L_mean=1.0)
    for method in ("eg", "eag", "vr-halpern-inexact"):
        found = solve_inclusion(op, np.zeros(2), method=method, maxiter=50)
        assert found.status == Status.ITERATIONS
        assert found.residual == pytest.approx(np.sqrt(2))


def test_the_best_point_is_returned():
    found = solve_inclusion(game(), UNIFORM, method="eag", tol=0.0, maxiter=200)
    assert found.residual == found.history["residual"].min()
    check = make_method("eg", game(), found.x)
    assert check.natural_residual() == pytest.approx(found.residual)


@pytest.mark.parametrize("restart", [0.5, 40])
def test_restarts_help_in_a_game(restart):
    plain = solve_inclusion(game(), UNIFORM, method="vr-halpern-inexact", tol=1e-3, rng=0)
    again = solve_inclusion(game(), UNIFORM, method="vr-halpern-inexact", tol=1e-3, rng=0, restart=restart)
    assert plain.success
    assert again.success
    assert again.passes < plain.passes


@pytest.mark.parametrize("method", ["eag", "vr-halpern", "halpern-one-step", "halpern", "svrg-eg", "eg"])
def test_restarting_moves_the_anchor(method):
    run = make_method(method, affine(), np.zeros(3), rng=0)
    for _ in range(5):
        run.step()
    run.restart()
    run.step()
    assert np.isfinite(run.u).all()
    if method != "svrg-eg":
        assert np.linalg.norm(run.u0) > 0


@pytest.mark.parametrize("method", list(METHODS))
def test_going_on_from_a_state(method):
    op, u0 = (game, UNIFORM) if method == "omwu" else (affine, np.zeros(3))
    whole = solve_inclusion(op(), u0, method=method, tol=0.0, maxiter=20, rng=0)
    half = solve_inclusion(op(), u0, method=method, tol=0.0, maxiter=10, rng=0)
    rest = solve_inclusion(op(), u0, method=method, tol=0.0, maxiter=10, rng=9, state=half.state)
    assert rest.history["residual"][-1] == whole.history["residual"][-1]
    assert rest.nit == 20
    assert rest.n_component_evals == whole.n_component_evals


def test_the_same_seed_gives_the_same_result():
    first, second = (solve_inclusion(game(), UNIFORM, method="vr-halpern-inexact", tol=1e-2, rng=3) for _ in range(2))
    assert np.array_equal(first.x, second.x)


def test_the_certificate_holds():
    op = game()
    found = solve_inclusion(op, UNIFORM, method="vr-halpern-inexact", tol=1e-2, rng=0)
    from optimand.numerical.monotone import VRForb

    exact = VRForb(op, rng=1)
    exact.begin(found.certificate["resolvent_of"], found.certificate["eta"])
    exact.run(40_000)
    assert exact.bound < 1e-8
    assert np.linalg.norm(found.x - exact.w) <= found.certificate["distance"] + 1e-8


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"method": "newton"}, ValueError, "method must be one of"),
        ({"tol": -1}, ValueError, "tol must be in"),
        ({"criterion": "gap"}, ValueError, "criterion 'gap' needs the operator of a matrix game"),
        ({"restart": -1}, ValueError, "restart must be in"),
        ({"check_every": 0}, ValueError, "check_every must be at least 1"),
        ({"maxiter": -1}, ValueError, "maxiter must be at least 0"),
        ({"max_seconds": "a"}, TypeError, "max_seconds must be a number"),
        ({"step": 0.0, "method": "eg"}, ValueError, "step must be in"),
        ({"resolvent": 7}, TypeError, "resolvent must be None, a set"),
    ],
)
def test_bad_arguments_are_named(options, error, message):
    with pytest.raises(error, match=message):
        solve_inclusion(affine(), np.zeros(3), **options)


def test_a_start_outside_is_projected_with_a_warning():
    with pytest.warns(UserWarning, match="u0 is outside the set"):
        found = solve_inclusion(affine(), np.full(3, 9.0), Box(-1, 1), "eg")
    assert np.abs(found.x).max() <= 1


@pytest.mark.parametrize("restart", [0.5, 7])
@pytest.mark.parametrize("method", ["vr-halpern-inexact", "eag", "halpern"])
@pytest.mark.parametrize(("cut", "every"), [(1, 1), (13, 1), (13, 5)])
def test_going_on_restarts_where_the_whole_run_does(method, restart, cut, every):
    options = {"method": method, "tol": 0.0, "restart": restart, "check_every": every}
    whole = solve_inclusion(game(), UNIFORM, maxiter=40, rng=0, **options)
    begun = solve_inclusion(game(), UNIFORM, maxiter=cut, rng=0, **options)
    rest = solve_inclusion(game(), UNIFORM, maxiter=40 - cut, rng=9, state=begun.state, **options)
    assert np.array_equal(rest.state["u"], whole.state["u"])
    assert np.array_equal(rest.state["u0"], whole.state["u0"])
    assert rest.n_component_evals == whole.n_component_evals


def test_going_on_keeps_the_count_of_what_estimating_cost():
    whole = solve_inclusion(hidden(), np.zeros(3), method="vr-halpern", tol=0.0, maxiter=20, rng=0)
    half = solve_inclusion(hidden(), np.zeros(3), method="vr-halpern", tol=0.0, maxiter=10, rng=0)
    rest = solve_inclusion(hidden(), np.zeros(3), method="vr-halpern", tol=0.0, maxiter=10, rng=9, state=half.state)
    assert rest.n_component_evals == whole.n_component_evals


def test_a_projection_that_hands_out_the_same_array_changes_nothing():
    held, box = np.empty(3), Box(-0.1, 0.1)
    for method in ("eg", "eag", "halpern-one-step", "vr-halpern-inexact"):
        plain = solve_inclusion(affine(), np.zeros(3), box, method=method, tol=0.0, maxiter=15)
        found = solve_inclusion(
            affine(), np.zeros(3), lambda z: np.clip(z, -0.1, 0.1, out=held), method=method, tol=0.0, maxiter=15
        )
        assert np.array_equal(found.history["residual"], plain.history["residual"])


@pytest.mark.parametrize("method", ["auto", "vr-halpern", "eg"])
def test_the_start_is_checked_before_constants_are_estimated(method):
    for u0 in ([np.nan] * 3, []):
        with pytest.raises(ValueError, match="u0 must be finite and not empty"):
            solve_inclusion(hidden(), u0, method=method)
    with pytest.raises(TypeError, match="op must be a FiniteSumOperator"):
        solve_inclusion(3, np.zeros(3), method=method)


@pytest.mark.parametrize("name", ["L", "L_mean"])
def test_a_lipschitz_constant_is_finite(name):
    with pytest.raises(ValueError, match=f"{name} must be in"):
        FiniteSumOperator(2, np.copy, np.copy, **{name: np.inf})
