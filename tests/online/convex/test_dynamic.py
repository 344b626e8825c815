"""The two-layer learners: pools, agreement with plain loops over the formulas, moving comparators, doubling."""

from __future__ import annotations

import math

import numpy as np
import pytest

import optimand.online.convex.methods  # noqa: F401 (registers them)
from optimand.core import catalog
from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError
from optimand.online.convex import OGD, Ball, Box, DynamicOMD, OptimisticOMD, Simplex, SwordPP, Unconstrained, step_pool
from optimand.online.convex.environments import SEAEnvironment
from optimand.online.convex.family import known_of
from optimand.online.convex.losses import AbsoluteLoss
from optimand.online.engine.draws import Draws

RADIUS = 1.0


def project(x):
    return x / max(1.0, np.linalg.norm(x) / RADIUS)


def gradients(T, d=3, seed=0):
    g = np.random.default_rng(seed).normal(size=(T, d))
    return g / np.maximum(1, np.linalg.norm(g, axis=1, keepdims=True)) * np.sign(np.sin(np.arange(T) / 7))[:, None]


def bases(g, pool, T):
    """Points x_{t,i} and x_{t-1,i} of the base learners for t = 1, …, T + 1."""
    xs = np.zeros((T + 2, len(pool), g.shape[1]))
    hat = np.zeros((len(pool), g.shape[1]))
    for t in range(T):
        for i, eta in enumerate(pool):
            hat[i] = project(hat[i] - eta * g[t])
            xs[t + 2, i] = project(hat[i] - eta * g[t])
    return xs  # xs[t] is x_{t,i}, and x_{0,i} = x_{1,i} = 0


def test_the_pool_is_that_of_the_page():
    expected = [0.00745356, 0.01490712, 0.02981424, 0.05962848, 0.11925696, 0.125]
    np.testing.assert_allclose(step_pool(2.0, 1.5, 1.0, 4000), expected, rtol=0, atol=5e-9)
    assert step_pool(2.0, 1.5, 1.0, 4000)[-1] == 0.125


@pytest.mark.parametrize("L", [0.0, None])
def test_without_smoothness_the_pool_ends_at_the_largest_useful_step(L):
    pool = step_pool(2.0, 1.0, L, 100)
    assert pool[0] == pytest.approx(2 / math.sqrt(800))
    assert pool[-1] == 2.0
    assert (np.diff(pool) > 0).all()


def test_a_short_horizon_has_one_step_size():
    assert step_pool(2.0, 1.0, 1.0, 1).tolist() == [0.125]
    learner = DynamicOMD(Ball(1.0, dim=1), 1, G=1.0, L=1.0)
    learner.predict()
    learner.update([1.0])
    assert learner.predict().tolist() == [-0.25]


@pytest.mark.parametrize("L", [1.0, 0.02, 0.0])
def test_dynamic_omd_is_the_plain_loop(L):
    T, D, G = 120, 2.0, 1.0
    g = gradients(T)
    learner = DynamicOMD(Ball(RADIUS, dim=3), T, G=G, L=L)
    pool = step_pool(D, G, L, T)
    xs, n = bases(g, pool, T), len(pool)
    kappa, cap = 2 * L, 1 / (8 * D**2 * L) if L else 1 / (D * G)
    total, V, last = np.zeros(n), 0.0, np.zeros(3)
    for t in range(1, T + 1):
        fee = kappa * ((xs[t] - xs[t - 1]) ** 2).sum(1)
        guess = xs[t] @ last + fee if t > 1 else np.zeros(n)
        eps = min(cap, math.sqrt(math.log(n) / (D**2 * V))) if V > 0 else cap
        z = -eps * (total + guess)
        p = np.exp(z - z.max())
        p /= p.sum()
        np.testing.assert_allclose(learner.predict(), p @ xs[t], rtol=0, atol=1e-12)
        learner.update(g[t - 1])
        total += xs[t] @ g[t - 1] + fee
        V += ((g[t - 1] - last) ** 2).sum()
        last = g[t - 1]


@pytest.mark.parametrize("L", [1.0, 0.05])
def test_sword_pp_is_the_plain_loop_of_the_public_code(L):
    T, D, G = 120, 2.0, 1.0
    g = gradients(T, seed=1)
    pool = [D / (G * math.sqrt(T))]
    while pool[-1] <= 1 / (8 * L):
        pool.append(2 * pool[-1])
    xs, n = bases(g, pool, T), len(pool)
    learner = SwordPP(Ball(RADIUS, dim=3), T, G=G, L=L)
    middle, errors, eps = np.ones(n) / n, 1.0, 1 / (8 * D**2 * L)
    last = np.zeros(3)
    for t in range(1, T + 1):
        fee = 2 * L * ((xs[t] - xs[t - 1]) ** 2).sum(1)
        guess = xs[t] @ last + fee
        p = middle * np.exp(-eps * guess)
        np.testing.assert_allclose(learner.predict(), (p / p.sum()) @ xs[t], rtol=0, atol=1e-12)
        learner.update(g[t - 1])
        loss = xs[t] @ g[t - 1] + fee
        middle = middle * np.exp(-eps * loss)
        middle /= middle.sum()
        errors += np.abs(loss - guess).max() ** 2
        eps = min(1 / (8 * D**2 * L), errors**-0.5)
        last = g[t - 1]


def test_weights_do_not_underflow():
    for learner in (SwordPP(Ball(1.0), 20000, G=1.0, L=1e-4), DynamicOMD(Ball(1.0), 20000, G=1.0, L=1e-4)):
        learner.begin(1, 1)
        for _ in range(3000):
            learner.act(None)
            learner.update(np.array([[1.0]]))
        assert np.isfinite(learner.weights).all()
        assert learner.weights.sum() == pytest.approx(1)
        assert learner.act(None)[0, 0] == pytest.approx(-1, abs=1e-6)


def _plain(domain):
    """The same set, of a class that the compiled steps do not know."""
    kind = type(domain)
    other = object.__new__(type("Plain", (kind,), {}))
    vars(other).update(vars(domain))
    return other


@pytest.mark.parametrize("make", [DynamicOMD, SwordPP])
@pytest.mark.parametrize(
    "domain",
    [
        Ball(0.5),
        Ball(0.7, [0.3, -0.2, 0.1]),
        Box(-0.3, 0.2),
        Box([0.0, -np.inf, 0.1], [0.5, 0.1, 0.1]),
        Unconstrained(3.0),
    ],
    ids=repr,
)
def test_compiled_steps_are_the_plain_ones(domain, make):
    rng = np.random.default_rng(0)
    pair = [make(space, 100, D=1.5, G=1.0, L=0.3) for space in (domain, _plain(domain))]
    for learner in pair:
        learner.begin(3, 4)
    for _ in range(80):
        g = rng.normal(size=(4, 3)) / 4
        points = [learner.act(None) for learner in pair]
        np.testing.assert_allclose(*points, rtol=0, atol=1e-13)
        for learner in pair:
            learner.update(g)
    assert pair[0]._limits is not None
    assert pair[1]._limits is None


@pytest.mark.filterwarnings("ignore:.*longer than G")
def test_steps_along_gradients_whose_squares_overflow_stay_in_the_ball():
    learner = DynamicOMD(Ball(1.0, dim=2), 10, G=1.0, L=0.0)
    learner.predict()
    learner.update([3e150, 4e150])
    np.testing.assert_allclose(learner._bases, np.broadcast_to([-0.6, -0.8], learner._bases.shape), rtol=1e-12)


def segments_regret(learner, T=4000, S=10, sigma=0.0, R=8, d=10):
    rng = np.random.default_rng(7)
    learner.begin(d, R, domain=Ball(1.0), horizon=T, facts={"G": 1.5 + 3 * sigma, "L": 1.0})
    total = np.zeros(R)
    for t in range(T):
        if t % (T // S) == 0:
            mean = rng.normal(size=(R, d))
            mean *= 0.5 / np.linalg.norm(mean, axis=1, keepdims=True)
        x = learner.act(None)
        total += 0.5 * ((x - mean) ** 2).sum(1)
        learner.update(x - mean - sigma / math.sqrt(d) * rng.normal(size=(R, d)))
    return float(total.mean())


def test_comparators_that_move_are_followed():
    ogd, flat, two_layer = (segments_regret(learner) for learner in (OGD(), OptimisticOMD(), DynamicOMD()))
    assert 1.4 * two_layer < ogd
    assert flat < two_layer
    doubling = DynamicOMD()
    doubling_regret = segments_regret(_blind(doubling))
    assert doubling_regret < ogd
    assert len(doubling.pool) > 1


def _blind(learner):
    begin = learner.begin
    learner.begin = lambda *args, horizon, **facts: begin(*args, **facts)
    return learner


def test_runs_double_and_go_on_from_where_the_last_ended():
    learner = DynamicOMD(Ball(1.0, dim=2), G=1.0, L=1.0)
    lengths, points = [], []
    for _ in range(32 + 64 + 5):
        points.append(learner.predict())
        lengths.append(learner._length)
        learner.update([0.3, 0.1])
    assert lengths == [32] * 32 + [64] * 64 + [128] * 5
    for border in (32, 96):
        assert np.linalg.norm(points[border] - points[border - 1]) < 0.05
    told = DynamicOMD(Ball(1.0, dim=2), G=1.0, L=1.0)
    told.begin(horizon=77)
    assert told._length == 77


def test_implicit_bases_on_losses_that_are_not_smooth():
    rng = np.random.default_rng(0)
    R, T = 5, 150
    totals = {}
    for implicit in (True, False):
        rng = np.random.default_rng(0)
        learner = DynamicOMD(Ball(1.0), T, G=1.0, implicit=implicit)
        learner.begin(3, R)
        total = np.zeros(R)
        for t in range(T):
            features = rng.normal(size=(R, 3))
            features /= np.linalg.norm(features, axis=1, keepdims=True)
            truth = np.array([0.6, -0.3, 0.2]) * (1 if t < 75 else -1)
            loss = AbsoluteLoss(features, features @ truth)
            x = learner.act(None)
            assert Ball(1.0).contains(x)
            total += loss.value(x)
            learner.update(loss=loss)
        totals[implicit] = total.mean()
    assert totals[True] < 0.2 * T
    assert totals[True] < 1.1 * totals[False]


def test_an_implicit_base_plays_the_proximal_point():
    learner = DynamicOMD(Ball(5.0, dim=1), 1, G=1.0, L=1.0, implicit=True)  # one base with step 1/8
    learner.predict()
    learner.update(loss=AbsoluteLoss(np.ones((1, 1)), np.array([2.0])))
    assert learner.predict().tolist() == [0.25]


def test_what_is_missing_or_wrong_is_named():
    with pytest.raises(ValueError, match="horizon must be at least 1"):
        DynamicOMD(Ball(1.0), 0)
    with pytest.raises(ValueError, match="eps must be in"):
        DynamicOMD(Ball(1.0), 10, eps=0.0)
    with pytest.raises(OptimandError, match="G, the bound"):
        DynamicOMD(Ball(1.0, dim=1), 10).predict()
    with pytest.raises(OptimandError, match="Euclidean"):
        DynamicOMD(Simplex(3, entropy=True), 10, G=1.0).predict()
    learner = DynamicOMD(Ball(1.0, dim=1), 10, G=1.0, implicit=True)
    learner.predict()
    with pytest.raises(OptimandError, match="loss as an object"):
        learner.update([0.0])


@pytest.mark.parametrize("kind", [DynamicOMD, SwordPP])
def test_stretch_moves_the_upper_end_where_the_smoothness_is_not_known(kind):
    for L, same in ((None, False), (0.0, False), (1.0, True)):
        pools = []
        for stretch in (1.0, 4.0):
            learner = kind(Ball(1.0, dim=2), 100, G=1.0, L=L, stretch=stretch)
            learner.predict()
            pools.append(learner.pool)
        assert (pools[0][-1] == pools[1][-1]) == same
        assert same or pools[1][-1] == pytest.approx(4 * pools[0][-1])


@pytest.mark.parametrize("name", ["dynamic-omd", "sword-pp"])
def test_the_tuned_smoothness_acts_on_linear_losses_too(name):
    spec = known_of(SEAEnvironment("segments", d=2, curvature=0), 100)
    ends = []
    for smoothness in (0.1, 1.0):
        learner = catalog.get_method(name, family="online-convex")[0].build(spec, smoothness=smoothness)
        learner.reset(spec, Draws(SeedTree(0), [0]))
        learner.predict()
        ends.append(learner.pool[-1])
    assert ends[0] > 5 * ends[1]
