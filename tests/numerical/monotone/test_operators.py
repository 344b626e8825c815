"""Operators: counts, shapes and errors; resolvents; the estimates of constants."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimand.core.projections import Box, Simplex
from optimand.numerical.monotone import AffineOperator, FiniteSumOperator, estimate_constants
from optimand.numerical.monotone.domain import as_resolvent, into_domain


def double(n=4, **constants):
    return FiniteSumOperator(n, lambda u: 2 * u, lambda u, idx: 2 * u, **constants)


def test_calls_are_counted():
    op = double(5)
    op.full(np.ones(3))
    op.batch(np.ones(3), [0, 4, 4])
    op.value(np.ones(3))
    assert op.calls == 8
    assert op.passes == 8 / 5


@pytest.mark.parametrize("idx", [[5], [-1], [0, 7]])
def test_indices_are_checked(idx):
    with pytest.raises(ValueError, match=r"idx must be in \[0, 3\]"):
        double().batch(np.ones(2), idx)


@pytest.mark.parametrize("idx", [[], [0.5], [[0]], 0])
def test_index_arrays_are_checked(idx):
    with pytest.raises(ValueError, match="idx must be a vector of integers"):
        double().batch(np.ones(2), idx)


def test_shapes_are_checked():
    op = FiniteSumOperator(2, lambda u: u[:1], lambda u, idx: np.ones(3))
    with pytest.raises(ValueError, match=r"full must return shape \(2,\), the shape of u, got \(1,\)"):
        op.full(np.ones(2))
    with pytest.raises(ValueError, match=r"batch must return shape \(2,\)"):
        op.batch(np.ones(2), [0])
    with pytest.raises(ValueError, match=r"u must have shape \(2,\), got \(3,\)"):
        op.full(np.ones(3))


@pytest.mark.parametrize("name", ["L", "L_mean", "L_cocoercive"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan])
def test_constants_are_checked(name, value):
    with pytest.raises(ValueError, match=f"{name} must be in"):
        double(**{name: value})


def test_kinds_are_checked():
    with pytest.raises(TypeError, match="full must be a function"):
        FiniteSumOperator(2, 1, lambda u, idx: u)
    with pytest.raises(ValueError, match="components must hold at least one"):
        FiniteSumOperator.from_components([])
    with pytest.raises(TypeError, match=r"components\[1\] must be a function"):
        FiniteSumOperator.from_components([abs, 3])
    with pytest.raises(ValueError, match=r"B must be \(n, d, d\)"):
        AffineOperator(np.eye(2), np.ones(2))
    with pytest.raises(ValueError, match="must be finite"):
        AffineOperator(np.full((1, 1, 1), np.nan), np.ones((1, 1)))
    with pytest.raises(TypeError, match="resolvent must be None, a set"):
        as_resolvent(3)


def test_components_and_affine_agree():
    rng = np.random.default_rng(0)
    B, q, u = rng.standard_normal((4, 3, 3)), rng.standard_normal((4, 3)), rng.standard_normal(3)
    affine = FiniteSumOperator.from_affine(B, q)
    listed = FiniteSumOperator.from_components([lambda u, b=b, c=c: b @ u - c for b, c in zip(B, q, strict=True)])
    assert affine.full(u) == pytest.approx(listed.full(u))
    assert affine.batch(u, [1, 1, 3]) == pytest.approx(listed.batch(u, [1, 1, 3]))


def test_samples_follow_the_sampler():
    op = FiniteSumOperator(3, lambda u: u, lambda u, idx: u, sampler=lambda rng, size: np.full(size, 2))
    assert op.sample(np.random.default_rng(0), 4).tolist() == [2, 2, 2, 2]
    assert set(double(3).sample(np.random.default_rng(0), 100)) == {0, 1, 2}


def test_resolvents_of_each_kind():
    z = np.array([2.0, 0.5])
    assert as_resolvent(Box(0, 1))(z, 3.0).tolist() == [1.0, 0.5]
    assert as_resolvent(Simplex().project)(z, 3.0).tolist() == [1.0, 0.0]
    assert as_resolvent(lambda v, step: v / (1 + step))(z, 1.0).tolist() == [1.0, 0.25]
    same = as_resolvent(Box(0, 1))
    assert as_resolvent(same) is same


def test_only_projections_have_a_domain_to_be_outside_of():
    shrink = as_resolvent(lambda z, step: z / 2)
    assert into_domain(shrink, np.ones(2)).tolist() == [1.0, 1.0]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_exact_constants_hold_and_are_attained(seed):
    rng = np.random.default_rng(seed)
    n, d = 5, 3
    S = rng.standard_normal((n, d, d))
    B = S @ S.transpose(0, 2, 1) + 0.5 * (S - S.transpose(0, 2, 1))
    op = FiniteSumOperator.from_affine(B, np.zeros((n, d)))
    found = estimate_constants(op)
    moves = rng.standard_normal((200, d))
    changes = np.einsum("nij,kj->kni", B, moves)
    squares = (changes**2).sum(-1).mean(1)
    inner = np.einsum("ki,ki->k", changes.mean(1), moves)
    assert (squares <= found.L_cocoercive * inner * (1 + 1e-9)).all()
    assert (squares <= found.L_mean**2 * (moves**2).sum(1) * (1 + 1e-9)).all()
    means = changes.mean(1)
    assert ((means**2).sum(1) <= found.L_own * inner * (1 + 1e-9)).all()
    assert found.L_own <= found.L_cocoercive * (1 + 1e-9)
    assert found.L_full <= found.L_mean * (1 + 1e-12)
    assert found.L_mean <= math.sqrt(n) * np.linalg.norm(B, 2, axis=(1, 2)).max()


def test_a_rotation_is_not_cocoercive_and_a_reflection_not_monotone():
    rotation = FiniteSumOperator.from_affine([[[0.0, 1.0], [-1.0, 0.0]]], np.zeros((1, 2)))
    assert estimate_constants(rotation).L_cocoercive == math.inf
    assert estimate_constants(rotation).monotone
    reflection = FiniteSumOperator.from_affine([-np.eye(2)], np.zeros((1, 2)))
    assert not estimate_constants(reflection).monotone


def test_singular_but_cocoercive():
    op = FiniteSumOperator.from_affine([np.diag([2.0, 0.0]), np.diag([4.0, 0.0])], np.zeros((2, 2)))
    assert estimate_constants(op).L_cocoercive == pytest.approx(10 / 3)


def test_estimates_of_a_general_operator_are_lower_bounds_near_the_truth():
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((40, 4))
    affine = FiniteSumOperator.from_affine(rows[:, :, None] * rows[:, None, :], np.zeros((40, 4)))
    hidden = FiniteSumOperator(40, affine._full_value, affine._batch_value, dim=4)
    found, exact = estimate_constants(hidden), estimate_constants(affine)
    assert not found.exact
    assert 0.9 * exact.L_full < found.L_full <= exact.L_full * (1 + 1e-12)
    assert 0.9 * exact.L_mean < found.L_mean <= exact.L_mean * (1 + 1e-12)
    assert 0.8 * exact.L_cocoercive < found.L_cocoercive <= exact.L_cocoercive * (1 + 1e-12)
    assert hidden.calls > 0


def test_estimates_name_what_is_wrong():
    with pytest.raises(ValueError, match=r"points must be given where op.dim is unknown"):
        estimate_constants(double())
    constant = FiniteSumOperator(2, lambda u: np.ones(2), lambda u, idx: np.ones(2), dim=2)
    with pytest.raises(ValueError, match="got a constant operator"):
        estimate_constants(constant)
    infinite = FiniteSumOperator(2, lambda u: u * np.inf, lambda u, idx: u * np.inf, dim=2)
    with pytest.raises(ValueError, match="F must be finite"), np.errstate(invalid="ignore"):
        estimate_constants(infinite)
