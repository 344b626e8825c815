"""Projections against a quadratic program, against torch, and by the inequality that characterizes them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize

from optimand.core.projections import (
    Affine,
    Box,
    ConvexSet,
    Free,
    L1Ball,
    L2Ball,
    Product,
    Simplex,
    as_projection,
    project_box,
    project_l1_ball,
    project_l2_ball,
    project_simplex,
)

SETS = {
    "free": Free(),
    "box": Box(-0.5, np.array([0.1, 1.0, np.inf, 2.0])),
    "simplex": Simplex(1.5),
    "l1": L1Ball(0.7, center=0.2),
    "l2": L2Ball(0.7, center=np.array([1.0, 0.0, 0.0, -1.0])),
    "affine": Affine([[1.0, 1.0, 0.0, 0.0], [2.0, 2.0, 0.0, 0.0], [0.0, 1.0, -1.0, 3.0]], [1.0, 2.0, 0.5]),
    "product": Product((1, Box(0, 1)), (3, Simplex())),
}
VECTORS = arrays(float, 4, elements=st.floats(-1e3, 1e3, allow_subnormal=False))


@pytest.mark.parametrize("name", SETS)
@given(x=VECTORS, y=VECTORS)
@settings(max_examples=60, deadline=None)
def test_the_residual_points_away_from_the_set(name, x, y):
    # p = P(x) if and only if p is in the set and <x - p, z - p> <= 0 for every z of the set
    part = SETS[name]
    p, z = part.project(x), part.project(y)
    scale = max(1.0, np.abs(x).max(), np.abs(y).max())
    assert part.contains(p, 1e-9 * scale)
    assert np.dot(x - p, z - p) <= 1e-9 * scale**2
    assert np.linalg.norm(p - z) <= np.linalg.norm(x - y) + 1e-9 * scale  # nonexpansive


@pytest.mark.parametrize("name", SETS)
def test_torch_and_numpy_agree(name):
    part = SETS[name]
    for x in np.random.default_rng(0).normal(size=(20, 4)) * 3:
        got = part.project(torch.from_numpy(x))
        assert isinstance(got, torch.Tensor)
        assert got.dtype == torch.float64
        np.testing.assert_allclose(got.numpy(), part(x), atol=1e-14)


@pytest.mark.parametrize(
    ("project", "constraint"),
    [
        (project_simplex, [{"type": "eq", "fun": lambda p: p.sum() - 1}, {"type": "ineq", "fun": lambda p: p}]),
        (lambda x: project_l2_ball(x, 0.8), [{"type": "ineq", "fun": lambda p: 0.64 - p @ p}]),
    ],
)
def test_against_a_quadratic_program(project, constraint):
    for x in np.random.default_rng(1).normal(size=(5, 4)):
        nearest = minimize(
            lambda p, x=x: ((p - x) ** 2).sum(), np.full(4, 0.25), constraints=constraint, options={"ftol": 1e-14}
        )
        np.testing.assert_allclose(project(x), nearest.x, atol=1e-6)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_batches_are_projected_row_by_row(kind):
    rows = np.random.default_rng(2).normal(size=(3, 5, 4))
    for project in (project_simplex, project_l1_ball, project_l2_ball, lambda x: project_box(x, -0.1, 0.2)):
        whole = np.asarray(project(kind(rows)))
        single = np.stack([[np.asarray(project(kind(row.copy()))) for row in block] for block in rows])
        np.testing.assert_array_equal(whole, single)


def test_points_inside_are_left_alone_and_copied():
    for part in (Free(), Box(-2, 2), L1Ball(5), L2Ball(5)):
        x = np.array([0.5, -0.25, 0.0, 1.0])
        p = part(x)
        np.testing.assert_array_equal(p, x)
        p[0] = 9.0
        assert x[0] == 0.5


def test_extreme_sizes():
    assert project_l2_ball(np.array([1e200, 1e200])).tolist() == pytest.approx([2**-0.5] * 2)
    assert project_l2_ball(np.array([0.0, 0.0])).tolist() == [0.0, 0.0]
    # a common offset of 1e8 costs no digits
    np.testing.assert_allclose(project_simplex(np.array([1e8, 1e8 + 0.5])), [0.25, 0.75], atol=1e-8)


def test_float32_and_integers():
    assert project_simplex(np.ones(3, np.float32)).dtype == np.float32
    assert project_simplex([2, 0]).tolist() == [1.0, 0.0]
    assert Box(0, 0.5)(np.array([2, 0])).tolist() == [0.5, 0.0]


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Simplex(0), ValueError, "total"),
        (lambda: Simplex("one"), TypeError, "total"),
        (lambda: L2Ball(-1.0), ValueError, "radius"),
        (lambda: project_l1_ball(np.ones(3), 0.0), ValueError, "radius"),
        (lambda: Box(1, 0), ValueError, "low must not exceed high"),
        (lambda: Box(np.nan, 0), ValueError, "NaN"),
        (lambda: Affine([[1.0, 0.0], [1.0, 0.0]], [0.0, 1.0]), ValueError, "must have a solution"),
        (lambda: Affine([[1.0, 0.0]], [0.0, 1.0]), ValueError, r"\(1, 2\) and \(2,\)"),
        (lambda: Affine([[np.inf]], [0.0]), ValueError, "finite"),
        (lambda: Product(), ValueError, "blocks"),
        (lambda: Product((2, Simplex()))(np.ones(3)), ValueError, "2 entries"),
        (lambda: as_projection(3), TypeError, "project"),
    ],
)
def test_bad_input(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_what_counts_as_a_projection():
    class Mine:
        def project(self, x):
            return x * 0

        def contains(self, x, tol=1e-9):
            return not x.any()

    assert isinstance(Mine(), ConvexSet)
    assert as_projection(Mine())(np.ones(2)).tolist() == [0, 0]
    assert as_projection(np.abs)(np.array([-1.0])).tolist() == [1.0]
    x = np.ones(2)
    assert as_projection(None)(x) is not x
