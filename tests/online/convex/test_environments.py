"""The stochastically extended adversary: what it reveals, what it knows, and regret against brute force."""

import numpy as np
import pytest
from scipy.optimize import minimize

from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError
from optimand.online.convex import OGD, Ball, Box, OptimisticOMD, SEAEnvironment, Simplex, Unconstrained
from optimand.online.convex.shifts import (
    SHIFTS,
    Corrupted,
    clipped_noise,
    clipped_variance,
    mixture,
    segment_of,
)
from optimand.online.engine import Draws, simulate
from optimand.papers.optimistic_omd_sea import tables

KINDS = {
    "iid": {}, "alternating": {}, "adversarial": {}, "corrupted": {"corruption": 20.0}, "drift": {},
    "segments": {"segments": 4}, "rom": {"n": 150}, "multipass": {"n": 40}, "label-shift": {},
}  # fmt: skip


def play(env, rounds=100, reps=3, seed=0, horizon=None):
    """Play points that ignore the losses; returns points, revealed a_t and the environment's means."""
    env.reset(Draws(SeedTree(seed), np.arange(reps)), horizon or rounds)
    rng, points, drawn, means = np.random.default_rng(1), [], [], []
    for _ in range(rounds):
        x = env.domain.project(rng.normal(size=(reps, env.d)))
        feedback = env.step(x)
        a = env.curvature * x - feedback.gradient
        points.append(x)
        drawn.append(a)
        means.append(np.broadcast_to(env._means[env._at - 1], a.shape))
    return np.array(points), np.array(drawn), np.array(means)


def quad(env, a, x):
    return 0.5 * env.curvature * (x**2).sum(-1) - (a * x).sum(-1)


def best(env, linear, curvature):
    """The least value of (curvature/2)|x|^2 - <linear, x> on the unit ball, by SLSQP."""
    found = minimize(
        lambda x: 0.5 * curvature * x @ x - linear @ x, np.full(env.d, 0.1), jac=lambda x: curvature * x - linear,
        constraints={"type": "ineq", "fun": lambda x: 1 - x @ x, "jac": lambda x: -2 * x}, method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 300},
    )  # fmt: skip
    return found.fun


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("curvature", [1.0, 0.0])
def test_regret_is_that_of_brute_force(kind, curvature):
    env = SEAEnvironment(kind, d=3, curvature=curvature, **KINDS[kind])
    points, drawn, means = play(env)
    expected, realised = quad(env, means, points).sum(0), quad(env, drawn, points).sum(0)
    for r in range(3):
        n = len(points) * curvature
        assert env.regret("fixed")[r] == pytest.approx(expected[r] - best(env, means[:, r].sum(0), n), abs=1e-5)
        assert env.regret("realised")[r] == pytest.approx(realised[r] - best(env, drawn[:, r].sum(0), n), abs=1e-5)
    each = env.domain.project(means / max(curvature, 1e-12))
    np.testing.assert_allclose(env.regret("dynamic"), expected - quad(env, means, each).sum(0), atol=1e-8)
    numbers = segment_of(0, 100, 100, env.shift.segments)
    for r in range(3):
        parts = [means[numbers == s, r] for s in np.unique(numbers)]
        least = sum(best(env, part.sum(0), len(part) * curvature) for part in parts)
        assert env.regret("per-segment")[r] == pytest.approx(expected[r] - least, abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_measures_of_difficulty_are_sums_over_rounds(kind):
    env = SEAEnvironment(kind, d=3, **KINDS[kind])
    _, _, means = play(env)
    extras = env.extras()
    np.testing.assert_allclose(extras["Sigma2_cum"], (np.diff(means, axis=0) ** 2).sum((0, 2)), atol=1e-12)
    path = np.linalg.norm(np.diff(env.domain.project(means), axis=0), axis=2).sum(0)
    np.testing.assert_allclose(extras["path_length"], path, atol=1e-12)


@pytest.mark.parametrize("kind", ["iid", "rom", "label-shift", "multipass"])
def test_the_variance_is_that_of_what_is_drawn(kind):
    options = {"iid": {"sigma": 0.7}, "rom": {"n": 60}, "multipass": {"n": 30}, "label-shift": {"sigma": 0.3}}[kind]
    env = SEAEnvironment(kind, d=4, **options)
    _, drawn, means = play(env, rounds=60, reps=800)
    measured_ = ((drawn - means) ** 2).sum(2)
    found, sem = measured_.sum(0).mean(), measured_.sum(0).std() / 800**0.5
    assert found == pytest.approx(env.extras()["sigma2_cum"].mean(), abs=4 * sem + 1e-9)
    deviation = (drawn - means).mean((0, 1))
    assert np.abs(deviation).max() < 4 * env.extras()["sigma2_cum"].mean() ** 0.5 / 60 / 800**0.5


def test_noise_is_cut_and_its_variance_known():
    for d in (1, 3, 50):
        noise = clipped_noise(Draws(SeedTree(0), np.arange(200)), 500, d, 0.4)
        norms = np.linalg.norm(noise, axis=2)
        assert norms.max() <= 1.2 + 1e-12
        assert (norms**2).mean() == pytest.approx(clipped_variance(d, 0.4), rel=0.02)
    assert not clipped_noise(Draws(SeedTree(0), [0]), 5, 3, 0.0).any()


def test_gradients_are_within_the_bound_that_learners_are_told():
    for kind, options in KINDS.items():
        for curvature in (0.0, 1.0):
            env = SEAEnvironment(kind, d=3, curvature=curvature, **options)
            env.reset(Draws(SeedTree(0), np.arange(5)), 100)
            G = env.spec().facts["G"]
            for _ in range(100):
                x = Ball(1.0).project(np.random.default_rng(0).normal(size=(5, 3)) * 9)
                assert np.linalg.norm(env.step(x).gradient, axis=1).max() <= G * (1 + 1e-12)


def test_facts_are_told():
    env = SEAEnvironment("iid", d=4, curvature=2.0, sigma=0.1)
    env.reset(Draws(SeedTree(0), [0]), 10)
    spec = env.spec()
    G = 2 + 0.5 + 0.3
    assert spec.facts == pytest.approx({"D": 2.0, "G": G, "L": 2.0, "lam": 2.0, "alpha": 2 / G**2, "sigma": 0.1})
    assert (spec.actions, spec.reps, spec.horizon, spec.kind) == (4, 1, 10, "gradient")
    linear = SEAEnvironment("iid", curvature=0.0, sigma=0.0)
    linear.reset(Draws(SeedTree(0), [0]), 10)
    assert linear.spec().facts["L"] == 0
    assert "lam" not in linear.spec().facts
    free = SEAEnvironment("iid", domain=Unconstrained(diameter=2.0))
    free.reset(Draws(SeedTree(0), [0]), 10)
    assert "G" not in free.spec().facts


@pytest.mark.parametrize("kind", KINDS)
def test_results_do_not_depend_on_blocks(kind):
    env = SEAEnvironment(kind, d=3, **KINDS[kind])
    for comparator in env.comparators:
        whole, one = (
            simulate([OptimisticOMD()], env, 90, reps=4, comparator=comparator, block=b, points=7) for b in (4, 1)
        )
        np.testing.assert_array_equal(whole.of("OptimisticOMD"), one.of("OptimisticOMD"))


def test_all_learners_meet_the_same_losses():
    env = SEAEnvironment("segments", d=3)
    _, first, _ = play(env)
    _, second, _ = play(env)
    np.testing.assert_array_equal(first, second)


def test_a_state_resumes_bit_for_bit():
    for kind in ("label-shift", "multipass", "adversarial"):
        env, copy = (SEAEnvironment(kind, d=3, **KINDS[kind]) for _ in range(2))
        for e in (env, copy):
            e.reset(Draws(SeedTree(0), np.arange(2)), 200)
        x = np.full((2, 3), 0.1)
        for _ in range(70):
            env.step(x)
        copy.load_state_dict(env.state_dict())
        for _ in range(100):
            np.testing.assert_array_equal(env.step(x).gradient, copy.step(x).gradient)
        np.testing.assert_array_equal(env.regret("fixed"), copy.regret("fixed"))


def test_a_single_pass_in_random_order_varies_little():
    """Sigma^2 of one pass is at most 8 G^2 (Sachs et al.), and the last mean is the last loss."""
    env = SEAEnvironment("rom", d=3, n=200, spread=1.0, mean=0.0)
    _, drawn, means = play(env, rounds=200, reps=20)
    assert (env.extras()["Sigma2_cum"] <= 8 * np.linalg.norm(drawn, axis=2).max() ** 2).all()
    np.testing.assert_allclose(means[-1], drawn[-1])
    pool = np.sort(drawn, axis=0)
    np.testing.assert_allclose(means[0], pool.mean(0))


def test_passes_reshuffle_the_same_losses():
    env = SEAEnvironment("multipass", d=2, n=25)
    _, drawn, _ = play(env, rounds=50)
    np.testing.assert_allclose(np.sort(drawn[:25], axis=0), np.sort(drawn[25:], axis=0), atol=1e-12)
    assert np.abs(drawn[:25] - drawn[25:]).max() > 0.1


@pytest.mark.parametrize("where", ["start", "even"])
def test_corruption_is_spent_exactly(where):
    shift = Corrupted(mean=0.5, corruption=12.0, where=where)
    shift.begin(Draws(SeedTree(0), [0]), 100, 2)
    means = np.concatenate([shift.block(first, 25)[0] for first in (0, 25, 50, 75)])
    assert (0.5 - means[:, 0, 0]).sum() == pytest.approx(12.0)
    env = SEAEnvironment("corrupted", d=2, corruption=12.0, where=where, sigma=0.0)
    play(env)
    assert env.extras()["Sigma2_cum"].max() <= 4 * env.gradient_bound() * 12.0


def test_mixtures_sum_to_one():
    for how in ("linear", "sine", "square"):
        shares = mixture(how, 0, 50, 50, 4)
        np.testing.assert_allclose(shares.sum(1), 1)
        assert shares[0, 0] == pytest.approx(0.9)
        assert shares[:, -1].max() > 0.85


@pytest.mark.parametrize("domain", [Box(-0.2, 0.3), Simplex(), Ball(0.5, center=0.2)])
def test_other_domains_have_exact_comparators(domain):
    rng = np.random.default_rng(0)
    for curvature in (0.0, 1.0):
        env = SEAEnvironment("alternating", d=3, curvature=curvature, domain=domain)
        points, _, means = play(env)
        others = domain.project(rng.normal(size=(4000, 3)))
        values = 0.5 * curvature * len(points) * (others**2).sum(1)[:, None] - others @ means.sum(0).T
        regret = quad(env, means, points).sum(0) - values.min(0)
        assert (env.regret("fixed") >= regret - 1e-9).all()
        np.testing.assert_allclose(env.regret("fixed"), regret, atol=1.0)


def test_points_outside_are_refused():
    env = SEAEnvironment("iid", d=2)
    env.reset(Draws(SeedTree(0), [0]), 10)
    env.step(np.array([[1.0, 1.0]]))
    with pytest.raises(OptimandError, match="outside the domain was played in rounds 1 to 1"):
        env.regret("fixed")
    env.reset(Draws(SeedTree(0), [0]), 1)
    with pytest.raises(OptimandError, match=r"shape \(1, 2\), got \(2,\)"):
        env.step(np.zeros(2))
    env.step(np.zeros((1, 2)))
    with pytest.raises(OptimandError, match="horizon of 1 rounds is over"):
        env.step(np.zeros((1, 2)))


def test_points_that_are_not_finite_give_regret_that_is_not():
    env = SEAEnvironment("iid", d=2)
    env.reset(Draws(SeedTree(0), [0]), 10)
    env.step(np.full((1, 2), np.nan))
    assert np.isnan(env.regret("fixed")).all()


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: SEAEnvironment("iidd"), ValueError, "kind must be one of .* did you mean 'iid'"),
        (lambda: SEAEnvironment("iid", d=0), ValueError, "d must be at least 1"),
        (lambda: SEAEnvironment("iid", curvature=-1), ValueError, "curvature must be in"),
        (lambda: SEAEnvironment("iid", sigma=-1), ValueError, "sigma must be in"),
        (lambda: SEAEnvironment("adversarial", sigma=1.0), OptimandError, "has no noise: sigma must be 0, got 1.0"),
        (lambda: SEAEnvironment("segments", segment=3), OptimandError, "no option 'segment'.*did you mean 'segments'"),
        (lambda: SEAEnvironment("multipass", passes=True), OptimandError, "no option 'passes'"),
        (lambda: SEAEnvironment(Corrupted(), size=1), OptimandError, "takes no options"),
        (lambda: SEAEnvironment("iid", curvature=0.0, domain=Unconstrained()), OptimandError, "unbounded domain"),
        (lambda: play(SEAEnvironment("rom", n=10)), OptimandError, "'rom' has 10 losses for 100 rounds"),
        (lambda: play(SEAEnvironment("drift", d=1)), OptimandError, "needs d >= 2"),
        (lambda: play(SEAEnvironment("adversarial", means=np.ones((5, 10)))), OptimandError, "at least 100, 10"),
        (lambda: SEAEnvironment("iid").reset(Draws(SeedTree(0), [0]), None), OptimandError, "know the horizon"),
        (lambda: simulate([OGD()], SEAEnvironment("iid"), 5, comparator="best"), ValueError, "comparator must be"),
    ],
)
def test_bad_arguments_are_named(make, error, text):
    with pytest.raises(error, match=text):
        make()


@pytest.mark.parametrize("row", [(1.0, "iid", 0.5), (0.0, "alternating", 0.0)])
def test_the_static_table_comes_out(row):
    """Two rows of the table with 20 runs, deviations allowed for so many; all rows are a claim."""
    curves = tables.static_row(row, reps=20)
    for name, reference in zip(curves.names, tables.STATIC[row], strict=False):
        assert tables.apart(curves.mean(name)[-1], curves.sem(name)[-1], reference, ours=20) <= 1.2, name


def test_every_kind_is_tested():
    assert set(KINDS) == set(SHIFTS)
