"""The method that ``auto`` stands for: its limits, what it costs, and how near the best it is."""

import numpy as np
import pytest

from optimand.core.projections import Box
from optimand.numerical.monotone import (
    AffineOperator,
    FiniteSumOperator,
    choose_method,
    estimate_constants,
    make_method,
    solve_inclusion,
)
from optimand.numerical.monotone.generators import random_sum
from optimand.numerical.monotone.passes import passes_to


def double(n=4, **constants):
    return FiniteSumOperator(n, lambda u: 2 * u, lambda u, idx: 2 * u, **constants)


def matrix_with_spread(size, spread):
    """A game of ``size`` strategies each with ``L_mean/(L √N)`` given, by mixing the extremes."""
    weight = np.sqrt(((spread**2 * size / 2) - 1) / (size - 1))  # singular values 1, weight, weight, ...
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((size, size)))[0]
    return Q @ np.diag([1.0, *[weight] * (size - 1)]) @ Q.T


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (FiniteSumOperator.from_matrix_game(matrix_with_spread(50, 0.40)), "vr-halpern-inexact"),
        (FiniteSumOperator.from_matrix_game(matrix_with_spread(50, 0.50)), "eg"),
        (double(n=400, L=1.0, L_mean=10.0), "svrg-eg"),
        (double(n=400, L=1.0, L_mean=12.0), "eg"),
        (double(n=400, L=1.0, L_mean=2.0, L_cocoercive=3.0), "svrg-eg"),
        (double(n=1, L=1.0, L_mean=1.0), "eg"),
        # estimated: the mean-square constant of equal components is that of their mean
        (double(n=400), "vr-halpern-inexact"),
        (double(n=100), "eg"),
        (double(n=400, L=2.0), "vr-halpern-inexact"),
        (double(n=400, L_mean=2.0), "svrg-eg"),
    ],
)
def test_the_choice_of_a_method(op, expected):
    assert choose_method(op, np.ones(op.dim or 2)) == expected


def test_the_choice_takes_a_cheap_look_and_leaves_the_constants_unknown():
    op = double(n=1000)
    choose_method(op, np.ones(2))
    assert op.L is None
    assert op.L_mean is None
    assert op.passes <= 6


@pytest.mark.parametrize("seed", range(3))
def test_auto_is_near_the_best_method_on_a_sum(seed):
    """Passes to 1e-3 on a cocoercive sum of 400 components: half a page of the benchmark's table."""
    op = AffineOperator(*random_sum(400, 15, seed))
    u0, box = np.full(15, 0.1), Box(-0.1, 0.1)
    passes = {
        name: passes_to(make_method(name, op, u0, box, rng=0), [1e-3], most=300)[0]
        for name in ("auto", "eg", "eag", "halpern-one-step", "vr-halpern-inexact")
    }
    best = min(value for name, value in passes.items() if name != "auto")
    assert passes["auto"] <= 2 * best  # 8 passes more or less: coarse
    assert passes["auto"] <= passes["eg"] / 2


def test_auto_does_not_take_an_estimate_for_granted():
    """Flat around the start, a hundred times as steep beyond: a step from the constant found there runs away."""

    def mean(u, idx=None):
        return np.where(u < 20, 0.5 * (u - 20) - 500, 50 * (u - 30))

    op = FiniteSumOperator(4, mean, mean, dim=3)
    assert estimate_constants(op, np.zeros(3)).L_full == pytest.approx(0.5)
    found = solve_inclusion(op, np.zeros(3), method="auto", tol=1e-6, maxiter=1000)
    assert found.success, found.message
    assert found.x == pytest.approx(np.full(3, 30.0))


def test_what_auto_chooses_knows_the_element_of_the_set_that_the_other_criterion_needs():
    op = AffineOperator(*random_sum(60, 4, 0))
    found = solve_inclusion(op, np.full(4, 0.1), Box(-0.1, 0.1), tol=1e-4, criterion="operator")
    assert found.method == "svrg-eg"
    assert found.success
    assert found.residual <= 1e-4
    # ‖F + g‖ bounds the natural residual at unit step
    natural = found.x - np.clip(found.x - op.value(found.x), -0.1, 0.1)
    assert np.linalg.norm(natural) <= found.residual * (1 + 1e-9)
