"""Optimistic mirror descent: the exact runs, the bound on every path, adaptivity, refusals, resuming."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from optimand.core.seeds import SeedTree
from optimand.online.convex import (
    Ball,
    Box,
    OptimisticOMD,
    Simplex,
)
from optimand.online.engine.contracts import Feedback, Spec
from optimand.online.engine.draws import Draws


def play(learner, gradients):
    points = []
    for g in gradients:
        points.append(learner.predict())
        learner.update(np.atleast_1d(np.asarray(g, dtype=float)))
    return np.array([*points, learner.predict()])


def test_convex_run_is_exact():
    learner = OptimisticOMD(Ball(1.0, dim=1), D=2, G=1, delta=0)
    x = play(learner, [1, 1, -1, 0.5])
    np.testing.assert_allclose(x[:, 0], [0, -1, -1, 0.5610938576665826, -0.7370485393333893], rtol=0, atol=1e-12)
    assert learner.V[0] == 7.25
    np.testing.assert_allclose(learner.eta, 0.5962847939999439, rtol=0, atol=1e-12)


def test_strongly_convex_run_is_exact():
    x = play(OptimisticOMD(Ball(10.0, dim=1), "strongly_convex", lam=1), [1, 1, -1, 0.5])
    expected = [0, -3, -3.6666666666666665, -1.8333333333333335, -2.7833333333333337]
    np.testing.assert_allclose(x[:, 0], expected, rtol=0, atol=1e-12)


def test_exp_concave_run_is_exact():
    x = play(OptimisticOMD(Ball(10.0, dim=2), "exp_concave", G=1, alpha=1), [(1, 0), (0, 1), (0.5, 0.5)])
    expected = [
        (0, 0), (-1.9906735550782684, 0), (-0.9968847352024922, -1.9906735550782684),
        (-1.9899031761481323, -1.9899031761481323),
    ]  # fmt: skip
    np.testing.assert_allclose(x, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("domain", [Ball(0.3, dim=3), Box(-0.2, 0.1, dim=3), Simplex(3)], ids=repr)
def test_exp_concave_steps_project_in_the_norm_at_hand(domain):
    rng = np.random.default_rng(0)
    gradients = rng.uniform(-1, 1, size=(40, 3))
    x = play(OptimisticOMD(domain, "exp_concave", G=2.0, beta=3.0), gradients)
    H, hat, last, far = (1 + 3.0 * 4 / 2) * np.eye(3), domain.start(3), np.zeros(3), 0.0
    for t, g in enumerate(gradients):
        moved = hat - np.linalg.solve(H, last)
        np.testing.assert_allclose(x[t], domain.project_metric(moved, H), rtol=0, atol=1e-9)
        far = max(far, np.abs(x[t] - domain.project(moved)).max())
        hat = domain.project_metric(hat - np.linalg.solve(H, g), H)
        H, last = H + 1.5 * np.outer(g, g), g
    assert far > 1e-3  # the Euclidean projection is another one


def sequences(kind, rng, T, R, d):
    g = rng.normal(size=(T, R, d))
    g /= np.maximum(np.linalg.norm(g, axis=2, keepdims=True), 1)
    if kind == "alternating":
        g = g[:1] * (-1.0) ** np.arange(T)[:, None, None] * rng.uniform(0.5, 1, size=(T, R, 1))
    elif kind == "sparse":
        g = g * (rng.random((T, R, 1)) < 0.05)
    elif kind == "bursts":
        g = np.repeat(g[:: T // 5], T // 5, axis=0)[:T] * (rng.random((T, 1, 1)) < 0.7)
    return g


@pytest.mark.parametrize("d", [1, 10, 100])
@pytest.mark.parametrize("kind", ["iid", "alternating", "sparse", "bursts"])
def test_the_bound_holds_on_every_path_and_points_stay_in_the_ball(kind, d):
    T, R = 100, 250
    rng = np.random.default_rng(d)
    g = sequences(kind, rng, T, R, d)
    assert np.linalg.norm(g, axis=2).max() <= 1 + 1e-12
    for delta in (0.0, 3.0):
        learner = OptimisticOMD(Ball(1.0), G=1.0, delta=delta)
        learner.begin(d, R)
        loss = np.zeros(R)
        for row in g:
            x = learner.act()
            assert np.linalg.norm(x, axis=1).max() <= 1 + 1e-12
            loss += (row * x).sum(1)
            learner.update(row)
        # The best point in hindsight is opposite to the sum of the gradients.
        regret = loss + np.linalg.norm(g.sum(0), axis=1)
        last = np.concatenate([np.zeros_like(g[:1]), g[:-1]])
        V = ((g - last) ** 2).sum((0, 2))
        np.testing.assert_allclose(learner.V, V, rtol=1e-12)
        assert (regret <= np.sqrt(delta + 4 + V) + 4 * np.sqrt(V)).all()


@pytest.mark.parametrize(
    ("domain", "curvature"),
    [
        (Simplex(entropy=True), "convex"),
        *itertools.product(
            [Ball(0.5, [1.0, 0.0, 2.0]), Box(-0.3, 0.2), Simplex()], ["convex", "strongly_convex", "exp_concave"]
        ),
    ],
)
def test_points_stay_in_the_set(domain, curvature):
    learner = OptimisticOMD(domain, curvature, G=4.0, lam=0.1, alpha=1.0, beta=0.5)
    learner.begin(3, 20)
    rng = np.random.default_rng(0)
    for _ in range(60):
        x = learner.act()
        assert domain.contains(x, 1e-10)
        learner.update(np.clip(rng.normal(size=(20, 3)), -2, 2))


def quadratic_regrets(learner, T, sigma, R, d, h=1.0, checkpoints=()):
    """Expected regret for F(x) = (h/2)|x|^2 - <0.5 e1, x> with noisy gradients."""
    rng = np.random.default_rng(5)
    mean = np.zeros(d)
    mean[0] = 0.5
    facts = {"G": h + 0.55 + 3 * sigma, "L": h, "lam": h}
    learner.begin(d, R, domain=Ball(1.0), facts=facts)
    total, found = np.zeros(R), []
    for t in range(1, T + 1):
        x = learner.act()
        total += 0.5 * h * ((x - mean / h) ** 2).sum(1)
        noise = sigma / math.sqrt(d) * rng.normal(size=(R, d)) if sigma else 0.0
        learner.update(h * x - mean - noise)
        if t in checkpoints:
            found.append(float(total.mean()))
    return found


def test_without_variance_regret_is_constant_and_that_of_the_study():
    short, long = quadratic_regrets(OptimisticOMD(), 16000, 0.0, 1, 5, checkpoints=(4000, 16000))
    assert abs(short - long) < 1e-9
    assert abs(short - 0.2142) < 1e-4
    assert quadratic_regrets(OptimisticOMD(), 4000, 0.0, 1, 10, checkpoints=(4000,))[0] == pytest.approx(
        0.214, abs=5e-4
    )


@pytest.mark.filterwarnings("ignore:OptimisticOMD. a gradient of norm")
def test_with_variance_regret_grows_as_promised():
    short, long = quadratic_regrets(OptimisticOMD(), 8000, 0.5, 40, 5, checkpoints=(500, 8000))
    assert 0.45 < math.log(long / short) / math.log(16) < 0.56
    strong = OptimisticOMD(curvature="strongly_convex")
    short, long = quadratic_regrets(strong, 8000, 0.5, 40, 5, checkpoints=(2000, 8000))
    assert long / short < 1.2


def test_delta_follows_from_what_is_known():
    def base(**options):
        learner = OptimisticOMD(Ball(1.0, dim=1), G=3.0, **options)
        return float((learner.D or 2) ** 2 / learner.eta[0] ** 2 - 36)

    assert base(L=0.5) == pytest.approx(10 * 4 * 0.25)
    assert base(L=0.0) == pytest.approx(0.0, abs=1e-12)
    assert base() == pytest.approx(9.0)
    assert base(L=0.5, implicit=True) == pytest.approx(9.0)
    assert base(L=0.5, delta=7.0) == pytest.approx(7.0)


def test_the_engine_tells_what_was_not_given():
    learner = OptimisticOMD(L=0.0)
    spec = Spec("gradient", 3, None, 2, domain=Ball(2.0), facts={"G": 0.5, "L": 9.0})
    learner.reset(spec, Draws(SeedTree(0), np.arange(3)))
    np.testing.assert_allclose(learner.eta, 4 / math.sqrt(4 * 0.25))
    assert learner.act(None).shape == (3, 2)
    learner.update(Feedback(gradient=np.full((3, 2), 0.1)))
    assert learner.t == 1


def test_the_entropic_form_weighs_all_gradients_anew():
    rng = np.random.default_rng(3)
    gradients = rng.uniform(-1, 1, size=(30, 4))
    learner = OptimisticOMD(Simplex(4, entropy=True), G=1.0, delta=0.0)
    x = play(learner, gradients)
    total, last, V = np.zeros(4), np.zeros(4), 0.0
    for t in range(31):
        eta = math.sqrt(2 * math.log(4)) / math.sqrt(4 + V)
        weights = np.exp(-eta * (total + last))
        np.testing.assert_allclose(x[t], weights / weights.sum(), rtol=1e-12)
        if t < 30:
            V += np.abs(gradients[t] - last).max() ** 2
            total, last = total + gradients[t], gradients[t]


def test_an_inverse_that_is_updated_stays_the_inverse():
    learner = OptimisticOMD(Ball(1.0), "exp_concave", G=2.0, beta=0.5)
    learner.begin(4, 3)
    rng = np.random.default_rng(0)
    for _ in range(1010):
        learner.act()
        g = rng.normal(size=(3, 4))
        learner.update(g / np.maximum(1, np.linalg.norm(g, axis=1, keepdims=True)))
        if learner.t in (990, 1000, 1010):
            gap = np.abs(learner._inverse @ learner._H - np.eye(4)).max()
            assert gap < 1e-12


def test_an_adaptive_bound_is_found_and_restarts_few_times():
    rng = np.random.default_rng(0)
    learner = OptimisticOMD(Ball(1.0), G="adaptive")
    learner.begin(3, 50)
    loss, total = np.zeros(50), np.zeros((50, 3))
    for t in range(300):
        x = learner.act()
        g = rng.uniform(-1, 1, size=(50, 3)) * (1 + t / 30) + 1
        learner.update(g)
        loss, total = loss + (g * x).sum(1), total + g
    assert Ball(1.0).contains(learner.act())
    assert (learner.restarts >= 2).all()
    assert (learner.restarts <= 6).all()
    assert (learner.exceeded == 0).all()
    assert (loss + np.linalg.norm(total, axis=1) < 300).all()
    # A repetition's restarts are its own.
    alone = OptimisticOMD(Ball(1.0, dim=3), G="adaptive")
    together = OptimisticOMD(Ball(1.0), G="adaptive")
    together.begin(3, 2)
    g = rng.normal(size=(20, 2, 3)) * np.array([1.0, 100.0])[:, None]
    for row in g:
        np.testing.assert_array_equal(together.act()[0], alone.predict())
        together.update(row)
        alone.update(row[0])
