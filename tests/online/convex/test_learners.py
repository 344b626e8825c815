"""What all learners share: resuming, repetitions, gradients that are long, late or bad, arguments that are missing."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from optimand.core.validation import OptimandError
from optimand.online.convex import (
    OGD,
    ONS,
    AdaGradNorm,
    Ball,
    Box,
    DynamicOMD,
    OptimisticFTRL,
    OptimisticOMD,
    SEAEnvironment,
    Simplex,
    StronglyConvexOGD,
    SwordPP,
    Unconstrained,
)
from optimand.online.convex.losses import AbsoluteLoss, QuadraticLoss
from optimand.online.engine import DelayedFeedback, DoublingTrick, Feedback, Restart, simulate


def learners():
    ball = Ball(1.0)
    yield OptimisticOMD(ball, G=1.0, L=1.0)
    yield OptimisticOMD(ball, G="adaptive")
    yield OptimisticOMD(ball, "strongly_convex", lam=0.5)
    yield OptimisticOMD(ball, "exp_concave", G=4.0, alpha=1.0)
    yield OptimisticOMD(ball, G=4.0, implicit=True)
    yield OptimisticOMD(Simplex(entropy=True), G=4.0)
    yield DynamicOMD(ball, 40, G=4.0, L=0.5)
    yield DynamicOMD(ball, G=4.0, L=0.5)
    yield DynamicOMD(ball, 40, G=4.0, implicit=True)
    yield SwordPP(ball, 40, G=4.0, L=0.5)
    yield OGD(ball, G=4.0)
    yield StronglyConvexOGD(ball, lam=0.5)
    yield AdaGradNorm(ball)
    yield ONS(ball, G=4.0, alpha=1.0)
    yield OptimisticFTRL(ball, G=4.0, L=1.0)
    yield OptimisticFTRL(ball, "strongly_convex", lam=0.5)


@pytest.mark.parametrize("learner", list(learners()), ids=lambda learner: type(learner).__name__)
@pytest.mark.parametrize("midway", [False, True])
def test_resuming_goes_on_bit_for_bit(learner, midway):
    rng = np.random.default_rng(0)
    losses = [AbsoluteLoss(rng.normal(size=(4, 3)), rng.normal(size=4)) for _ in range(50)]

    def go(which, span):
        points = []
        for loss in span:
            points.append(which.act(None))
            which.update(Feedback(gradient=loss.gradient(points[-1]), loss=loss))
        return points

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        learner.begin(3, 4)
        go(learner, losses[:34])
        if midway:
            learner.act(None)
        state = learner.state_dict()
        rest = go(learner, losses[34:])
        other = type(learner)(Box(0, 1))
        other.load_state_dict(state)
        for a, b in zip(rest, go(other, losses[34:]), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("learner", list(learners()), ids=lambda learner: type(learner).__name__)
def test_repetitions_do_not_depend_on_each_other(learner):
    rng = np.random.default_rng(1)
    losses = [(rng.normal(size=(3, 3)), rng.normal(size=3)) for _ in range(40)]

    def points(rows):
        learner.begin(3, len(rows))
        found = []
        for a, y in losses:
            found.append(learner.act(None))
            learner.update(loss=AbsoluteLoss(a[rows], y[rows]))
        return np.array(found)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        np.testing.assert_allclose(points([0, 1, 2])[:, 1], points([1])[:, 0], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "learner",
    [learner for learner in learners() if not getattr(learner, "implicit", False)],
    ids=lambda learner: type(learner).__name__,
)
def test_all_gradients_zero_moves_nothing(learner):
    learner.begin(3, 2)
    for _ in range(3):
        first = learner.act(None)
        learner.update(np.zeros((2, 3)))
        np.testing.assert_allclose(learner.act(None), first, atol=1e-15)


def test_under_the_engine_blocks_do_not_matter_and_wrappers_work():
    env = SEAEnvironment("iid", d=3)
    learners = {
        "omd": OptimisticOMD(),
        "own doubling": DynamicOMD(),
        "told": DoublingTrick(DynamicOMD, first=16),
        "restarted": Restart(OGD, 20),
    }
    curves = [simulate(learners, env, 60, reps=4, block=block) for block in (1, 4)]
    for name in learners:
        np.testing.assert_allclose(*(c.regret[name] for c in curves), rtol=1e-9, atol=1e-12)
    late = simulate([OptimisticOMD()], DelayedFeedback(env, 3), 60, reps=4)
    assert late.mean("OptimisticOMD")[-1] > curves[0].mean("omd")[-1]


def test_a_domain_of_ones_own_brings_its_own_diameter():
    learner = OptimisticOMD(Ball(0.25), L=0.0)
    learner.begin(2, 1, domain=Ball(1.0), facts={"D": 2.0, "G": 1.0})
    np.testing.assert_allclose(learner.eta, 0.5 / 2)
    learner = OptimisticOMD(L=0.0)
    learner.begin(2, 1, domain=Unconstrained(), facts={"D": 2.0, "G": 1.0})
    np.testing.assert_allclose(learner.eta, 2 / 2)


def test_long_gradients_warn_once_and_are_counted_and_used():
    learner = OptimisticOMD(Ball(1.0), G=1.0)
    learner.begin(2, 3)
    learner.act()
    with pytest.warns(RuntimeWarning, match=r"norm 5 is longer than G = 1 \(round 1\)"):
        learner.update([[3.0, 4.0], [0.1, 0.0], [2.0, 0.0]])
    learner.act()
    learner.update([[3.0, 4.0], [0.1, 0.0], [0.0, 0.0]])
    assert learner.exceeded.tolist() == [2, 0, 1]
    assert np.linalg.norm(learner.act()[0]) == pytest.approx(1.0)


def test_a_gradient_that_is_kept_is_a_copy():
    learner, g = OptimisticOMD(Ball(1.0, dim=1), G=1.0), np.array([0.5])
    learner.predict()
    learner.update(g)
    expected = learner.state_dict()["_last"][0, 0]
    g[:] = 9
    assert learner._last[0, 0] == expected == 0.5


def test_late_gradients_are_those_of_the_point_they_come_with():
    loss = QuadraticLoss(1.0, np.zeros((1, 1)))
    learner = OGD(Unconstrained(diameter=1.0), G=4.0)
    learner.begin(1, 1)
    learner.act(None)
    learner.update(Feedback(loss=loss, action=np.array([[2.0]])))
    np.testing.assert_allclose(learner.act(None), [[-0.5]])  # a gradient of 2, a step of 1/4


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: OptimisticOMD(Ball(), D=0.0), ValueError, r"D must be in \(0, inf\)"),
        (lambda: OptimisticOMD(Ball(), G=-1.0), ValueError, "G must be in"),
        (lambda: OptimisticOMD(Ball(), G="big"), ValueError, "G must be a number > 0, got 'big'"),
        (lambda: OptimisticOMD(Ball(), "strongly_convex", G="adaptive"), ValueError, "G='adaptive' needs"),
        (lambda: OptimisticOMD(Ball(), lam=0.0), ValueError, r"lam must be in \(0, inf"),
        (lambda: OptimisticOMD(Ball(), alpha=-1), ValueError, "alpha must be in"),
        (lambda: OptimisticOMD(Ball(), delta=-1e-9), ValueError, "delta must be in"),
        (lambda: OptimisticOMD(Ball(), "concave"), ValueError, "curvature must be one of"),
        (lambda: OptimisticOMD(7), TypeError, "domain must be a convex set"),
        (lambda: OptimisticOMD(Ball(), x1=[2.0, 0.0]), ValueError, "x1 must be a point of Ball"),
        (lambda: OptimisticOMD(Ball(), x1=[[0.0]]), ValueError, r"x1 must have shape \(d,\)"),
        (lambda: OptimisticOMD(Unconstrained(diameter=1.0), "exp_concave"), ValueError, "needs a bounded domain"),
        (lambda: OptimisticOMD(Ball(), "strongly_convex", implicit=True), ValueError, "implicit must be False"),
        (lambda: OptimisticOMD().predict(), OptimandError, "needs a domain"),
        (lambda: OptimisticOMD(Ball(), G=1).predict(), OptimandError, "does not know the dimension"),
        (lambda: OptimisticOMD(Ball(dim=2)).predict(), OptimandError, "G, the bound on the norms of gradients"),
        (lambda: OptimisticOMD(Unconstrained(dim=2), G=1).predict(), OptimandError, "D must be given"),
        (lambda: OptimisticOMD(Ball(dim=2), "strongly_convex").predict(), OptimandError, "lam must be given"),
        (lambda: OptimisticOMD(Ball(dim=2), "exp_concave", G=1).predict(), OptimandError, "alpha must be given"),
        (lambda: OptimisticOMD(Ball(dim=2), G=1).begin(3), OptimandError, "domain has 2 entries, points have 3"),
        (lambda: OptimisticOMD(Simplex(3, entropy=True), "strongly_convex", lam=1).predict(), OptimandError, "entropy"),
        (lambda: OptimisticOMD(Ball(dim=2), G=1).update([0, 0]), OptimandError, "update came before predict"),
    ],
)
def test_bad_arguments_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_bad_gradients_are_refused_and_change_nothing():
    learner = OptimisticOMD(Ball(1.0), G=1.0)
    learner.begin(2, 3)
    x = learner.act()
    good = np.zeros((3, 2))
    bad = good.copy()
    bad[1, 0] = np.nan
    with pytest.raises(OptimandError, match="gradient of repetition 1 must be finite"):
        learner.update(bad)
    with pytest.raises(OptimandError, match=r"gradient must have shape \(3, 2\), the point's, got \(2,\)"):
        learner.update([0.0, 0.0])
    with pytest.raises(OptimandError, match="needs a gradient or a loss"):
        learner.update()
    with pytest.raises(OptimandError, match="must be finite"):
        learner.update(np.full((3, 2), np.inf))
    assert learner.t == 0
    np.testing.assert_array_equal(learner.act(), x)
    learner.update(good)
    with pytest.raises(OptimandError, match="update came before predict"):
        learner.update(good)
    implicit = OptimisticOMD(Ball(1.0, dim=2), G=1.0, implicit=True)
    implicit.predict()
    with pytest.raises(OptimandError, match="implicit steps need the round's loss as an object"):
        implicit.update([0.0, 0.0])


class OfOnePoint:
    """A loss written for a point (d,) instead of points (R, d)."""

    def value(self, x):
        return x @ x

    def gradient(self, x):
        return np.diag([1.0, 2.0, 3.0]) @ x


class Short:
    def gradient(self, x):
        return x[:, :2]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"loss": 3}, r"loss must be an object with gradient\(x\) for points x of shape \(R, d\), got 3 \(int\)"),
        ({"loss": AbsoluteLoss([[1.0, 2.0]], [0.0])}, r"features of shape \(1, 3\), as the points have, got \(1, 2\)"),
        (
            {"loss": OfOnePoint()},
            r"OfOnePoint.gradient\(x\) failed at points x of shape \(1, 3\), one row a repetition",
        ),
        ({"loss": Short()}, r"Short.gradient\(x\) must have the shape of the points x, .* \(1, 3\), got \(1, 2\)"),
        ({"feedback": "abc"}, r"gradient must be numbers of shape \(3,\), got 'abc' \(str\)"),
    ],
)
def test_losses_and_gradients_that_do_not_fit_are_named(given, message):
    learner = OptimisticOMD(Ball(1.0, dim=3), G=1.0)
    learner.predict()
    with pytest.raises(OptimandError, match=message):
        learner.update(**given)
    assert learner.t == 0
