"""Algorithm 1 and its full-operator version: the worked example, the bound, the counts, the warnings, the resume."""

import math

import numpy as np
import pytest

from optimand.core.projections import Box
from optimand.numerical.estimators import Page
from optimand.numerical.monotone import (
    CocoerciveHalpern,
    FiniteSumOperator,
    OneStepHalpern,
    estimate_constants,
    make_method,
    solve_inclusion,
)
from optimand.numerical.monotone.generators import wave_sum

BOX = Box(-0.1, 0.1)
U0 = np.full(8, 0.1)
L = 7.045091
FULL = {1: 0.2349489, 10: 0.2087628, 100: 0.0991253, 1000: 0.0137139}
SEEDS = 20


def waves():
    return FiniteSumOperator.from_affine(*wave_sum())


@pytest.fixture(scope="module")
def solution():
    op, u = waves(), U0
    for _ in range(20_000):
        u = BOX(u - 0.5 * op.value(u))
    return u


@pytest.fixture(scope="module")
def sampled():
    """Residuals at some iterations and calls at 1000, over seeds."""
    residuals, calls = {k: [] for k in FULL}, []
    for seed in range(SEEDS):
        op = waves()
        method = CocoerciveHalpern(op, U0, BOX, rng=seed)
        for k in range(1, 1001):
            method.step()
            if k in residuals:
                residuals[k].append(method.operator_residual())
        calls.append(method.calls)
    return {k: np.sqrt(np.mean(np.square(v))) for k, v in residuals.items()}, calls


def test_constants_of_the_example(solution):
    found = estimate_constants(waves())
    assert found.exact
    assert found.L_cocoercive == pytest.approx(7.045091, abs=5e-7)
    assert found.L_full == pytest.approx(1.051658, abs=5e-7)
    assert np.linalg.norm(U0 - solution) == pytest.approx(0.251610, abs=5e-7)
    assert solution[6] == pytest.approx(0.1, abs=1e-15)


def test_full_operator_residuals():
    method = OneStepHalpern(waves(), U0, BOX, step=1 / (4 * waves().L_cocoercive))
    for k in range(1, 1001):
        method.step()
        if k in FULL:
            assert method.operator_residual() == pytest.approx(FULL[k], abs=1e-6)
    # 1000 steps, and the evaluation at the last point, which the next step would use.
    assert method.calls == 1001 * 64


def test_sampled_residuals_are_those_of_the_full_operator(sampled):
    rms, _ = sampled
    for k, value in FULL.items():
        assert rms[k] == pytest.approx(value, rel=0.01)


def test_sampled_residuals_keep_the_bound(sampled, solution):
    rms, _ = sampled
    for k, value in rms.items():
        assert value <= 16 * L * np.linalg.norm(U0 - solution) / (k + 4)


def test_evaluations_are_those_expected(sampled):
    _, calls = sampled
    assert np.mean(calls) == pytest.approx(30_856, rel=0.05)


@pytest.mark.parametrize(("factor", "expected"), [(1, (0.1403, 0.0316, 0.00351)), (2, (0.0943, 0.0164, 0.00176))])
def test_longer_steps(factor, expected):
    residuals = []
    for seed in range(8):
        method = CocoerciveHalpern(waves(), U0, BOX, rng=seed, step=factor / L)
        found = []
        for k in range(1, 1001):
            method.step()
            if k in (10, 100, 1000):
                found.append(method.operator_residual())
        residuals.append(found)
    assert np.sqrt(np.mean(np.square(residuals), axis=0)) == pytest.approx(expected, rel=0.03)


def test_longer_steps_of_the_full_operator():
    method = OneStepHalpern(waves(), U0, BOX, step=2 / L)
    found = []
    for k in range(1, 1001):
        method.step()
        if k in (10, 100, 1000):
            found.append(method.operator_residual())
    assert found == pytest.approx([0.0938, 0.0164, 0.00176], rel=0.005)


def test_the_estimate_is_unbiased():
    op = waves()
    rng = np.random.default_rng(0)
    before, here = rng.standard_normal(8), rng.standard_normal(8)
    page = Page(64, rng=1)
    page.probability = lambda k: 0.3
    draws = np.empty((10_000, 8))
    past = op.value(before) + 0.1
    for i in range(len(draws)):
        page.load_state_dict({**page.state_dict(), "k": 1, "estimate": past, "previous": before})
        draws[i] = page.step(op, here)
    change = op.value(here) - op.value(before)
    expected = 0.3 * op.value(here) + 0.7 * (past + change)
    error = draws.std(axis=0) / math.sqrt(len(draws))
    assert (np.abs(draws.mean(axis=0) - expected) <= 3.5 * error).all()


def test_counts_against_an_instrumented_operator():
    inner, seen = waves(), []

    def full(u):
        seen.append(64)
        return inner.value(u)

    def batch(u, idx):
        seen.append(len(idx))
        return inner._batch_value(u, idx)

    op = FiniteSumOperator(64, full, batch, L_cocoercive=L)
    method = CocoerciveHalpern(op, U0, BOX, rng=0)
    for _ in range(200):
        before = len(seen)
        method.step()
        assert seen[before:] in ([64], [8, 8])
    assert method.calls == sum(seen)


@pytest.mark.parametrize("name", ["vr-halpern", "halpern-one-step"])
def test_a_bilinear_game_is_warned_about(name):
    game = FiniteSumOperator.from_matrix_game([[0.0, 1.0], [1.0, 0.0]])
    with pytest.warns(UserWarning, match="needs a cocoercive operator"):
        make_method(name, game, np.full(4, 0.5))


def test_a_start_outside_is_projected_with_a_warning():
    with pytest.warns(UserWarning, match="u0 is outside the set, at distance"):
        method = CocoerciveHalpern(waves(), np.full(8, 0.2), BOX, rng=0)
    assert method.u == pytest.approx(U0)


def test_backtracking_from_a_constant_that_is_too_small():
    known = waves()
    op = FiniteSumOperator(64, known._full_value, known._batch_value, L_cocoercive=0.05)
    with np.errstate(all="raise"):
        method = CocoerciveHalpern(op, U0, BOX, rng=0, backtrack=True)
        for _ in range(2000):
            method.step()
    assert method.L > 0.4
    assert method.operator_residual() < 0.02


def test_a_resumed_run_is_the_same_run():
    whole = CocoerciveHalpern(waves(), U0, BOX, rng=3)
    first = CocoerciveHalpern(waves(), U0, BOX, rng=3)
    for _ in range(30):
        whole.step()
        first.step()
    second = CocoerciveHalpern(waves(), U0, BOX, rng=4)
    second.load_state_dict(first.state_dict())
    for _ in range(30):
        whole.step()
        second.step()
    assert np.array_equal(whole.u, second.u)
    assert whole.calls == second.calls


def test_solving_to_a_residual():
    found = solve_inclusion(waves(), U0, BOX, "vr-halpern", tol=0.005, step=1 / L, criterion="operator")
    assert found.success
    assert found.residual <= 0.005
    assert found.residual_kind == "operator"
    assert found.n_check_evals > 0
