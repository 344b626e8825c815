"""Losses: gradients against differences, values against formulas, proximal steps against their optimality."""

import numpy as np
import pytest

from optimand.online.convex import losses

RNG = np.random.default_rng(0)
R, D = 7, 4
FEATURES, X = RNG.normal(size=(R, D)), RNG.normal(size=(R, D))
LABELS = np.where(RNG.random(R) < 0.5, -1.0, 1.0)
MADE = {
    "quadratic": losses.QuadraticLoss(0.7, FEATURES),
    "linear": losses.LinearLoss(FEATURES),
    **{name: losses.linear_model_loss(name, FEATURES, LABELS, 0.3) for name in losses.LINEAR_MODELS},
}


@pytest.mark.parametrize("name", MADE)
def test_gradients_are_derivatives(name):
    loss = MADE[name]
    gradient = loss.gradient(X)
    assert gradient.shape == (R, D)
    for i in range(D):
        step = np.zeros(D)
        step[i] = 1e-6
        slope = (loss.value(X + step) - loss.value(X - step)) / 2e-6
        np.testing.assert_allclose(gradient[:, i], slope, atol=1e-7)


@pytest.mark.parametrize("name", MADE)
def test_losses_lie_above_their_tangents(name):
    loss, y = MADE[name], RNG.normal(size=(R, D))
    tangent = loss.value(X) + (loss.gradient(X) * (y - X)).sum(axis=1)
    assert (loss.value(y) >= tangent - 1e-12).all()


@pytest.mark.parametrize("name", losses.LINEAR_MODELS)
def test_declared_constants_hold(name):
    loss = MADE[name]
    z = np.linspace(-5, 5, 4001)[:, None]
    slope = loss.scalar_gradient(z)
    if loss.slope is not None:
        assert np.abs(slope).max() <= loss.slope + 1e-12
    if loss.smoothness is not None:
        assert (np.abs(np.diff(slope, axis=0)) / np.diff(z, axis=0)).max() <= loss.smoothness + 1e-9


def test_values_are_the_formulas():
    z = np.array([0.3])
    data = np.ones((1, 1)), np.array([-1.0]), 0.3
    made = {name: losses.linear_model_loss(name, *data) for name in losses.LINEAR_MODELS}
    assert made["squared"].scalar_value(z) == pytest.approx(0.5 * 1.3**2)
    assert made["absolute"].scalar_value(z) == pytest.approx(1.3)
    assert made["hinge"].scalar_value(z) == pytest.approx(1.3)
    assert made["logistic"].scalar_value(z) == pytest.approx(np.log(1 + np.exp(0.3)))
    assert made["quantile"].scalar_value(z) == pytest.approx(0.7 * 1.3)


def test_the_logistic_loss_does_not_overflow():
    loss = losses.LogisticLoss(np.array([[1.0], [1.0]]), np.array([1.0, -1.0]))
    x = np.array([[-1e4], [-1e4]])
    assert loss.value(x).tolist() == [1e4, 0.0]
    assert loss.gradient(x).tolist() == [[-1.0], [0.0]]


def test_kinks_have_a_subgradient():
    at = np.ones((1, 1))
    assert losses.AbsoluteLoss(at, np.ones(1)).gradient(at).tolist() == [[0.0]]
    assert losses.HingeLoss(at, np.ones(1)).gradient(at).tolist() == [[0.0]]
    assert losses.QuantileLoss(at, np.ones(1), 0.9).gradient(at).tolist() == [[0.0]]


@pytest.mark.parametrize("name", ["quadratic", "linear"])
def test_proximal_steps_are_stationary(name):
    loss = MADE[name]
    for step in (0.3, RNG.uniform(0.1, 1, R)):
        found = loss.prox(X, step)
        np.testing.assert_allclose(loss.gradient(found) + (found - X) / np.reshape(step, (-1, 1)), 0, atol=1e-12)


def test_the_quantile_loss_is_least_at_the_quantile():
    y = np.sort(RNG.normal(size=1001))
    grid = np.linspace(-3, 3, 2001)
    loss = losses.QuantileLoss(np.ones((1001, 1)), y, 0.8)
    total = loss.scalar_value(grid[:, None]).sum(axis=1)
    assert grid[np.argmin(total)] == pytest.approx(np.quantile(y, 0.8), abs=0.02)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"loss must be one of .*'squared'"):
        losses.linear_model_loss("square", FEATURES, LABELS)
    with pytest.raises(ValueError, match=r"quantile must be in \(0, 1\)"):
        losses.QuantileLoss(FEATURES, LABELS, 1.0)


@pytest.mark.parametrize(
    ("kind", "features", "targets", "error", "message"),
    [
        (losses.AbsoluteLoss, np.ones(3), 0.0, ValueError, r"features must have shape \(R, d\), got \(3,\)"),
        (
            losses.AbsoluteLoss,
            np.ones((2, 3)),
            np.ones(3),
            ValueError,
            r"targets must have shape \(2,\), .* got \(3,\)",
        ),
        (losses.SquaredLoss, [[1.0, np.nan]], [0.0], ValueError, "features must be finite, got nan"),
        (losses.QuantileLoss, [[1.0, 2.0]], [np.inf], ValueError, "targets must be finite, got inf"),
        (losses.HingeLoss, [[1.0]], [0.5], ValueError, "targets must be -1 and 1 for HingeLoss, got 0.5"),
        (losses.LogisticLoss, [["a"]], [1.0], TypeError, r"features must be numbers of shape \(R, d\)"),
    ],
)
def test_data_that_do_not_fit_are_refused(kind, features, targets, error, message):
    with pytest.raises(error, match=message):
        kind(features, targets)


@pytest.mark.parametrize("name", losses.LINEAR_MODELS)
def test_the_same_loss_on_other_data(name):
    other = MADE[name].on(FEATURES[::-1], LABELS[::-1])
    np.testing.assert_array_equal(other.gradient(X[::-1]), MADE[name].gradient(X)[::-1])
