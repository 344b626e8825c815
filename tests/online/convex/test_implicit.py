"""Implicit steps: against scipy on every loss and set, closed forms, and what they are for."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from optimand.core.validation import OptimandError
from optimand.online.convex import Ball, Box, OptimisticOMD, Simplex, Unconstrained, implicit_step
from optimand.online.convex.losses import (
    AbsoluteLoss,
    HingeLoss,
    LinearLoss,
    LogisticLoss,
    QuadraticLoss,
    QuantileLoss,
    SquaredLoss,
)

R, D = 6, 3
SETS = [Unconstrained(), Ball(0.6), Ball(0.8, [0.4, 0.0, -0.2]), Box(-0.2, 0.5), Simplex()]


def losses(rng):
    features, targets = rng.normal(size=(R, D)), rng.normal(size=R)
    features[0] = 0.0
    signs = np.sign(targets)
    yield SquaredLoss(features, targets)
    yield AbsoluteLoss(features, targets)
    yield QuantileLoss(features, targets, 0.8)
    yield HingeLoss(features, signs)
    yield LogisticLoss(features, signs)
    yield QuadraticLoss(1.3, features)
    yield LinearLoss(features)


PIECES = {  # slopes and offsets of losses that are maxima of lines in the prediction
    AbsoluteLoss: lambda loss, r: [(1.0, -loss.targets[r]), (-1.0, loss.targets[r])],
    QuantileLoss: lambda loss, r: [(-0.8, 0.8 * loss.targets[r]), (0.2, -0.2 * loss.targets[r])],
    HingeLoss: lambda loss, r: [(0.0, 0.0), (-loss.targets[r], 1.0)],
}


def best(loss, r, anchor, eta, domain):
    """The step by SLSQP, losses with a kink in epigraph form."""
    kinked = type(loss) in PIECES
    constraints, bounds = [], [(None, None)] * D

    def row(x):
        return np.repeat(x[None, :D], R, axis=0)

    def objective(x):
        value = x[D] if kinked else loss.value(row(x))[r]
        return value + ((x[:D] - anchor) ** 2).sum() / (2 * eta)

    if kinked:
        bounds = [*bounds, (None, None)]
        for slope, offset in PIECES[type(loss)](loss, r):
            constraints.append(
                {"type": "ineq", "fun": lambda x, s=slope, o=offset: x[D] - s * loss.features[r] @ x[:D] - o}
            )
    if isinstance(domain, Ball):
        constraints.append({"type": "ineq", "fun": lambda x: domain.radius**2 - ((x[:D] - domain.center) ** 2).sum()})
    if isinstance(domain, Box):
        bounds[:D] = [(float(domain.lo), float(domain.hi))] * D
    if isinstance(domain, Simplex):
        bounds[:D] = [(0, None)] * D
        constraints.append({"type": "eq", "fun": lambda x: x[:D].sum() - 1})
    start = np.append(anchor, loss.value(row(anchor))[r] + 0.1) if kinked else anchor
    found = minimize(
        objective,
        start,
        bounds=bounds,
        constraints=constraints,
        method="SLSQP",
        options={"ftol": 1e-13, "maxiter": 300},
    )
    return found.x[:D]


@pytest.mark.parametrize("domain", SETS, ids=repr)
@pytest.mark.parametrize("number", range(7))
def test_steps_are_those_of_slsqp(domain, number):
    rng = np.random.default_rng(number)
    loss = list(losses(rng))[number]
    anchor = domain.project(rng.normal(size=(R, D)))
    eta = rng.uniform(0.2, 2.0, size=R)
    x = implicit_step(loss, anchor, eta, domain)
    assert domain.contains(x, 1e-12)
    for r in range(R):
        np.testing.assert_allclose(x[r], best(loss, r, anchor[r], eta[r], domain), atol=2e-5)


class Plain:
    """Any loss without what makes it easy."""

    def __init__(self, loss, *offers):
        self.loss = loss
        self.value, self.gradient = loss.value, loss.gradient
        for name in offers:
            setattr(self, name, getattr(self, f"_{name}"))

    def _prox(self, x, step):
        return implicit_step(self.loss, x, step, Unconstrained())


@pytest.mark.parametrize("domain", SETS, ids=repr)
@pytest.mark.parametrize("offers", [(), ("prox",)])
def test_general_losses_get_the_same_steps(domain, offers):
    rng = np.random.default_rng(5)
    loss = LogisticLoss(3 * rng.normal(size=(R, D)), np.sign(rng.normal(size=R)))
    anchor = domain.project(rng.normal(size=(R, D)))
    eta = np.linspace(0.1, 5, R)
    expected = implicit_step(loss, anchor, eta, domain)
    np.testing.assert_allclose(implicit_step(Plain(loss, *offers), anchor, eta, domain), expected, atol=1e-7)


@pytest.mark.parametrize("number", range(7))
def test_several_steps_on_the_same_losses_are_single_steps(number):
    rng = np.random.default_rng(number)
    loss = list(losses(rng))[number]
    for domain in SETS:
        anchors, etas = domain.project(rng.normal(size=(4, R, D))), np.array([0.1, 0.5, 1.0, 4.0])
        together = implicit_step(loss, anchors, etas[:, None], domain)
        for one, anchor, eta in zip(together, anchors, etas, strict=True):
            np.testing.assert_allclose(one, implicit_step(loss, anchor, eta, domain), rtol=0, atol=1e-12)


def test_a_loss_of_ones_own_may_bring_its_closed_form():
    class Huber:
        def __init__(self, features, targets):
            self.features, self.targets = features, targets

        def scalar_gradient(self, z):
            return np.clip(z - self.targets, -1, 1)

        def scalar_prox(self, z, c):
            gap = z - self.targets
            return np.where(np.abs(gap) <= 1 + c, self.targets + gap / (1 + c), z - c * np.sign(gap))

    rng = np.random.default_rng(2)
    loss = Huber(rng.normal(size=(R, D)), 3 * rng.normal(size=R))
    anchor = rng.normal(size=(R, D))
    x = implicit_step(loss, anchor, 0.7, Unconstrained())
    z = (loss.features * x).sum(1)
    np.testing.assert_allclose(x, anchor - 0.7 * loss.scalar_gradient(z)[:, None] * loss.features, atol=1e-12)
    del Huber.scalar_prox
    np.testing.assert_allclose(implicit_step(loss, anchor, 0.7, Unconstrained()), x, atol=1e-12)


def test_the_learner_plays_proximal_points_with_the_stated_steps():
    rng = np.random.default_rng(0)
    G = 2.0
    learner = OptimisticOMD(Ball(1.0, dim=D), G=G, implicit=True)
    hat, V, last = np.zeros(D), 0.0, None
    for _ in range(40):
        features = rng.normal(size=(1, D))
        features *= G / np.linalg.norm(features)
        loss = AbsoluteLoss(features, rng.normal(size=1))
        eta = 2 / np.sqrt(5 * G**2 + V)
        expected = hat if last is None else implicit_step(last, hat[None], eta, Ball(1.0))[0]
        x = learner.predict()
        np.testing.assert_allclose(x, expected, atol=1e-12)
        g = loss.gradient(x[None])[0]
        guess = 0.0 if last is None else last.gradient(x[None])[0]
        V += ((g - guess) ** 2).sum()
        hat = Ball(1.0).project(hat - eta * g)
        learner.update(loss=loss)
        last = loss
        np.testing.assert_allclose(learner.V, V)


def test_on_one_kinked_loss_that_repeats_implicit_steps_stop_losing():
    """Without variance and variation regret is bounded, smooth or not; steps along last gradients keep losing."""
    rng = np.random.default_rng(3)
    features = rng.normal(size=(1, D))
    loss = AbsoluteLoss(features / np.linalg.norm(features), np.array([0.3]))
    lost = {}
    for implicit in (True, False):
        learner = OptimisticOMD(Ball(1.0), G=1.0, implicit=implicit)
        learner.begin(D, 1)
        values = []
        for _ in range(2000):
            x = learner.act(None)
            values.append(float(loss.value(x)[0]))
            learner.update(loss=loss)
        lost[implicit] = values
    assert sum(lost[True]) < 2
    assert sum(lost[True][1000:]) < 1e-6
    assert sum(lost[False]) > 3 * sum(lost[True])


def test_a_kinked_loss_that_offers_nothing_is_warned_about():
    rng = np.random.default_rng(0)
    kinked = Plain(AbsoluteLoss(rng.normal(size=(R, D)), np.zeros(R)))
    with pytest.warns(RuntimeWarning, match=r"must offer prox\(x, eta\)"):
        implicit_step(kinked, rng.normal(size=(R, D)), 5.0, Unconstrained())


def test_what_is_no_loss_is_refused():
    learner = OptimisticOMD(Ball(1.0, dim=1), G=1.0, implicit=True)
    learner.predict()
    with pytest.raises(OptimandError, match=r"loss must be an object with gradient\(x\) .*, got 3.0 \(float\)"):
        learner.update([0.0], loss=3.0)

    class Scalar:
        def value(self, x):
            return float((x**2).sum())

        def gradient(self, x):
            return 2 * x

    learner.update(loss=Scalar())
    with pytest.raises(OptimandError, match=r"Scalar.value\(x\) must have shape \(R,\) = \(1,\) .* got \(\)"):
        learner.predict()
    with pytest.raises(OptimandError, match="Euclidean norm"):
        OptimisticOMD(Simplex(2, entropy=True), G=1.0, implicit=True).predict()
