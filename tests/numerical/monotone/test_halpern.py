"""Halpern's iteration on an exact map, on a resolvent solved inexactly, its schedules and its resume."""

import math

import numpy as np
import pytest

from optimand.core.projections import Box
from optimand.numerical.monotone import (
    FiniteSumOperator,
    InexactHalpern,
    ResolventHalpern,
    make_method,
    solve_inclusion,
)
from optimand.numerical.monotone.halpern import fixed_inner_steps, halpern, theory_inner_steps

ROTATION = np.array([[0.0, 1.0], [-1.0, 0.0]])


def rotation_resolvent(u):
    return np.linalg.solve(np.eye(2) + ROTATION, u)


def game(size=20, seed=0):
    return FiniteSumOperator.from_matrix_game(np.random.default_rng(seed).random((size, size)))


def test_the_exact_iteration_on_a_rotation():
    found = halpern(rotation_resolvent, [1.0, 0.0], tol=0.0, maxiter=199)
    expected = {0: 0.7071068, 1: 0.5590170, 2: 0.4249183, 9: 0.1000488, 99: 0.0100000, 199: 0.0050000}
    for k, residual in expected.items():
        assert found.history[k] == pytest.approx(residual, abs=5e-8)
    assert halpern(rotation_resolvent, [1.0, 0.0], maxiter=1).x == pytest.approx([0.75, 0.25], abs=1e-15)
    assert halpern(rotation_resolvent, [1.0, 0.0], maxiter=9).x == pytest.approx([0.103125, 0.096875], abs=1e-15)


def test_the_exact_iteration_keeps_its_bound():
    history = halpern(rotation_resolvent, [3.0, 4.0], tol=0.0, maxiter=50).history
    assert (history <= 2 * 5 / (np.arange(51) + 1)).all()


def test_the_exact_iteration_ends_for_each_reason():
    assert halpern(lambda u: 0.5 * u, [1.0], tol=1e-3).status == 0
    assert halpern(lambda u: u + 1, [1.0], maxiter=5).status == 1
    assert halpern(lambda u: u + 1, [1.0], max_seconds=0.0, maxiter=None).status == 2
    assert halpern(lambda u: u * np.inf, [1.0]).status == 5
    assert halpern(lambda u: 0.5 * u, [1.0], tol=0.0, callback=lambda u: u[0] < 0.9).status == 8
    with pytest.raises(ValueError, match=r"T must return shape \(2,\)"):
        halpern(lambda u: u[:1], [1.0, 0.0])


@pytest.mark.parametrize("power", [2.0, 4.0])
def test_the_inexact_iteration_follows_the_exact_one(power):
    """With resolvents found to the tolerance the iterates stay near those with exact resolvents."""
    op = FiniteSumOperator.from_affine([ROTATION], np.zeros((1, 2)))
    method = ResolventHalpern(op, [1.0, 0.0], step=1.0, power=power)
    while method.k < 30:
        method.step()
    exact = halpern(rotation_resolvent, [1.0, 0.0], tol=0.0, maxiter=30).x
    assert np.linalg.norm(method.center - exact) < 3.0 / 30**2


def test_inner_schedules():
    assert [theory_inner_steps(k, 50, math.sqrt(50)) for k in range(3)] == [9580, 14763, 18441]
    assert fixed_inner_steps(0, 150, 20 * math.sqrt(150), 0.5) == math.ceil(
        0.5 * math.sqrt(150) * (20 * math.sqrt(150) + 1) * math.log(4)
    )


@pytest.mark.parametrize("inner", ["certificate", "fixed"])
@pytest.mark.parametrize("start", ["warm", "anchor"])
def test_the_point_returned_is_v_and_not_the_anchored_one(inner, start):
    method = InexactHalpern(game(), np.full(40, 0.05), rng=0, inner=inner, start=start, report="outer")
    while method.k < 12:
        method.step()
    assert method.u is method.v
    u = method.u.copy()
    method.u, method._known = method.center, None
    anchored = method.natural_residual()
    method.u, method._known = u, None
    assert method.natural_residual() < anchored / 3


def test_the_theory_schedule_runs_through_its_inner_steps():
    method = InexactHalpern(game(), np.full(40, 0.05), rng=0, inner="theory", eta_factor=1.0)
    while method.k < 1:
        method.step()
    # The mean of the last block's length is n, so the run ends exactly at the cap.
    assert method.inner.steps == theory_inner_steps(0, 10.0, math.sqrt(10.0))


def test_constraints_and_components_without_a_compiled_block():
    """A general operator takes the path through its own functions; the solution is known by symmetry."""
    parts = [lambda u, s=s: s * (ROTATION @ u) + u - 2.0 for s in (0.5, 1.5)]
    op = FiniteSumOperator.from_components(parts, L=math.sqrt(2), L_mean=1.7)
    found = solve_inclusion(op, np.zeros(2), Box(-1, 1), "vr-halpern-inexact", tol=1e-3)
    assert found.success
    assert found.x == pytest.approx([1.0, 1.0], abs=2e-3)


@pytest.mark.parametrize("cut", [3, 17])
def test_a_resumed_run_is_the_same_run(cut):
    op = game()
    whole = InexactHalpern(op, np.full(40, 0.05), rng=5)
    for _ in range(40):
        whole.step()
    first = InexactHalpern(game(), np.full(40, 0.05), rng=5)
    for _ in range(cut):
        first.step()
    state = first.state_dict()
    for _ in range(2):  # what happens to the saved run later must not show in the state
        first.step()
    second = InexactHalpern(game(), np.full(40, 0.05), rng=99)
    second.load_state_dict(state)
    for _ in range(40 - cut):
        second.step()
    assert np.array_equal(whole.u, second.u)
    assert whole.calls == second.calls
    assert whole.k == second.k


def test_another_methods_state_is_refused():
    eg = make_method("eg", game(), np.full(40, 0.05))
    with pytest.raises(ValueError, match="state must be one of 'vr-halpern-inexact', got one of 'eg'"):
        InexactHalpern(game(), np.full(40, 0.05)).load_state_dict(eg.state_dict())


def test_a_fixed_point_as_the_start_does_not_hang():
    op = FiniteSumOperator.from_matrix_game([[0.0, 1.0], [1.0, 0.0]])
    method = InexactHalpern(op, np.full(4, 0.5), rng=0)
    for _ in range(20):
        method.step()
    assert method.k > 3
    assert method.u == pytest.approx([0.5] * 4, abs=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inner": "never"}, "inner must be one of"),
        ({"power": 0}, "power must be in"),
        ({"eta_factor": -1}, "eta_factor must be in"),
        ({"step": 0}, "step must be in"),
        ({"start": "cold"}, "start must be one of"),
        ({"p": 2}, "p must be in"),
        ({"c": 0}, "c must be in"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        InexactHalpern(game(), np.full(40, 0.05), **options)
