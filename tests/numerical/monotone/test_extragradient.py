"""Extragradient methods: their iterations written out, costs, steps found by halving, errors."""

import math

import numpy as np
import pytest

from optimand.core.projections import Box, Product, Simplex
from optimand.numerical.monotone import (
    AnchoredExtragradient,
    Extragradient,
    FiniteSumOperator,
    MatrixGameOperator,
    OptimisticWeights,
    VarianceReducedExtragradient,
)

ROTATION = np.array([[0.0, 1.0], [-1.0, 0.0]])


def rotation(**constants):
    return FiniteSumOperator(1, lambda u: ROTATION @ u, lambda u, idx: ROTATION @ u, dim=2, **constants)


def random_game(m=6, n=5):
    return MatrixGameOperator(np.random.default_rng(1).standard_normal((m, n))), np.concatenate(
        [np.full(n, 1 / n), np.full(m, 1 / m)]
    )


def test_extragradient_as_written():
    op, u = random_game()
    J = op.default_resolvent()
    method = Extragradient(op, u, step=0.1)
    for _ in range(5):
        half = J(u - 0.1 * op.value(u))
        u = J(u - 0.1 * op.value(half))
        method.step()
        assert method.u == pytest.approx(u, abs=1e-14)
    assert method.calls == pytest.approx(10 * op.full_cost)


def test_anchored_extragradient_as_written():
    op, u0 = random_game()
    u, J = u0, op.default_resolvent()
    method = AnchoredExtragradient(op, u0, step=0.1)
    for k in range(5):
        pulled = u + (u0 - u) / (k + 2)
        half = J(pulled - 0.1 * op.value(u))
        u = J(pulled - 0.1 * op.value(half))
        method.step()
        assert method.u == pytest.approx(u, abs=1e-14)


def test_a_test_of_the_residual_is_shared_with_the_next_step():
    op, u = random_game()
    method = Extragradient(op, u)
    for _ in range(3):
        method.natural_residual()
        method.step()
    assert method.calls == pytest.approx(6 * op.full_cost)


def test_the_elements_are_in_the_normal_cone():
    op, u = random_game()
    for method in (Extragradient(op, u), AnchoredExtragradient(op, u)):
        for _ in range(20):
            method.step()
        for part in (slice(None, 5), slice(5, None)):
            assert method.g[part].max() <= method.g[part] @ method.u[part] + 1e-12


def test_halving_needs_no_constant():
    scaled = FiniteSumOperator(1, lambda u: 50 * (ROTATION @ u), lambda u, idx: 50 * (ROTATION @ u))
    method = Extragradient(scaled, np.ones(2), backtrack=True)
    for _ in range(100):
        method.step()
    assert 0.45 / 50 <= method.eta <= 0.9 / 50
    assert method.natural_residual() < 1e-4


def test_a_step_or_a_constant_is_needed():
    for make in (Extragradient, AnchoredExtragradient):
        with pytest.raises(ValueError, match="step must be given, or the operator's L"):
            make(rotation(), np.ones(2))
    with pytest.raises(ValueError, match="step must be in"):
        Extragradient(rotation(L=1.0), np.ones(2), step=-1.0)
    with pytest.raises(ValueError, match="u0 must be finite"):
        Extragradient(rotation(L=1.0), [np.nan, 1.0])
    with pytest.raises(TypeError, match="op must be a FiniteSumOperator"):
        Extragradient(lambda u: u, np.ones(2))


def plain_svrg(op, u, p, tau, rng, blocks):
    """The loopless variance-reduced extragradient on a game, as written, drawing as the blocks do."""
    m, n = op.shape
    J = Product((n, Simplex()), (m, Simplex()))

    def component(i, j, v):
        return np.concatenate([op.A[i] * v[n + i] * op.per_row[i], -op.A[:, j] * v[j] * op.per_column[j]])

    z = w = u
    length = rng.geometric(p)
    for _ in range(blocks):
        at_w = op.value(w)
        for i, j in zip(*op.draw(rng, length), strict=True):
            pulled = (1 - p) * z + p * w
            half = J(pulled - tau * at_w)
            z = J(pulled - tau * (at_w + component(i, j, half) - component(i, j, w)))
        w, length = z, rng.geometric(p)
    return w


@pytest.mark.parametrize("given", [False, True])
def test_variance_reduced_extragradient_as_written(given):
    op, u = random_game()
    method = VarianceReducedExtragradient(op, u, op.default_resolvent() if given else None, rng=0, p=0.3)
    assert method.compiled != given
    assert method.tau == pytest.approx(0.99 * math.sqrt(0.3) / op.L_mean)
    for _ in range(10):
        method.step()
    assert method.u == pytest.approx(plain_svrg(op, u, 0.3, method.tau, np.random.default_rng(0), 10), abs=1e-12)


def test_variance_reduced_extragradient_resumes():
    op, u = random_game()
    whole, first, second = (VarianceReducedExtragradient(op, u, rng=seed) for seed in (0, 0, 1))
    for _ in range(5):
        whole.step()
        first.step()
    second.load_state_dict(first.state_dict())
    for _ in range(5):
        whole.step()
        second.step()
    assert np.array_equal(whole.u, second.u)


def test_optimistic_weights_as_written():
    op, u = random_game()
    method, before = OptimisticWeights(op, u, step=0.2), op.value(u)
    for _ in range(4):
        here = op.value(u)
        u = u * np.exp(-0.2 * (2 * here - before))
        u = np.concatenate([u[:5] / u[:5].sum(), u[5:] / u[5:].sum()])
        before = here
        method.step()
        assert method.u == pytest.approx(u, abs=1e-14)
    assert method.calls == pytest.approx(4 * op.full_cost)


def test_optimistic_weights_need_a_game():
    with pytest.raises(ValueError, match="omwu needs the operator of a matrix game"):
        OptimisticWeights(rotation(L=1.0), np.ones(2))
    op, u = random_game()
    with pytest.raises(ValueError, match="omwu needs the operator of a matrix game and no resolvent"):
        OptimisticWeights(op, u, Box(0, 1))


def test_long_blocks_are_cut(monkeypatch):
    """So that a cap on time is looked at; the point changes only where the operator is evaluated."""
    monkeypatch.setattr("optimand.numerical.monotone.extragradient.LONGEST_BLOCK", 3)
    op, u = random_game()
    method = VarianceReducedExtragradient(op, u, rng=0, p=0.02)
    while not method.left:
        method.step()
    for _ in range(30):
        left, before = method.left, method.u
        method.step()
        assert (method.u is before) == (left > 3)
