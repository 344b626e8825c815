"""Learners of misspecified linear bandits: plain reference loops, theory, and the same results however they are run."""

import math

import numpy as np
import pytest

from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError
from optimand.online.bandits.environments import BernoulliBandit
from optimand.online.engine.contracts import Feedback, Spec
from optimand.online.engine.draws import Draws
from optimand.online.engine.grid import recording_grid
from optimand.online.engine.rollout import start
from optimand.online.engine.simulation import simulate
from optimand.online.linear_bandits.commit import SparseNetCommit
from optimand.online.linear_bandits.environment import MisspecifiedLinearEnvironment
from optimand.online.linear_bandits.linucb import LinTS, LinUCB
from optimand.online.linear_bandits.phased import PhasedElimination


def directions(N, d, seed=0):
    rows = np.random.default_rng(seed).standard_normal((N, d))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def begun(env, reps=3, horizon=100, seed=0):
    env.reset(Draws(SeedTree(seed).child("environment"), np.arange(reps)), horizon)
    return env


LEARNERS = {
    "LinUCB": LinUCB,
    "LinTS": LinTS,
    "PhasedElimination": PhasedElimination,
    "SparseNetCommit": SparseNetCommit,
}


class PlainLinUCB:
    """One repetition, one inversion a round: the textbook."""

    def __init__(self, Phi, ridge, confidence, sigma, radius, eps):
        self.Phi, self.ridge, self.confidence, self.sigma = Phi, ridge, confidence, sigma
        self.radius, self.eps, self.t = radius, eps, 0
        self.V, self.b = ridge * np.eye(Phi.shape[1]), np.zeros(Phi.shape[1])

    def select(self):
        inverse = np.linalg.inv(self.V)
        log_det = np.linalg.slogdet(self.V / self.ridge)[1]
        beta = math.sqrt(self.ridge) * self.radius + self.sigma * math.sqrt(log_det + 2 * math.log(1 / self.confidence))
        beta += self.eps * math.sqrt(self.t)
        width = np.sqrt(np.einsum("ij,jk,ik->i", self.Phi, inverse, self.Phi))
        self.scores = self.Phi @ inverse @ self.b + beta * width
        return int(self.scores.argmax())

    def update(self, arm, reward):
        self.V += np.outer(self.Phi[arm], self.Phi[arm])
        self.b += reward * self.Phi[arm]
        self.t += 1


@pytest.mark.parametrize("eps", [0.0, 0.1])
@pytest.mark.parametrize("ridge", [0.1, 1.0])
def test_linucb_is_the_plain_loop(eps, ridge):
    # Rows of different lengths: with equal ones the first scores differ by rounding alone.
    Phi, reps, horizon = directions(30, 5) * np.linspace(0.5, 1, 30)[:, None], 4, 300
    env = MisspecifiedLinearEnvironment(Phi, eps=0.1, noise=0.2)
    learner = LinUCB(confidence=0.05, regularisation=ridge, misspecification=eps)
    env.reset(Draws(SeedTree(3), np.arange(reps)), horizon)
    learner.reset(env.spec(), Draws(SeedTree(4), np.arange(reps)))
    plain = [PlainLinUCB(Phi, ridge, 0.05, 0.2, 1.0, eps) for _ in range(reps)]
    for _ in range(horizon):
        actions = learner.act(None)
        assert actions.tolist() == [p.select() for p in plain]
        feedback = env.step(actions)
        for r, p in enumerate(plain):
            p.update(actions[r], feedback.reward[r])
        learner.update(feedback)
    for r, p in enumerate(plain):
        np.testing.assert_allclose(learner.predicted[r], Phi @ np.linalg.solve(p.V, p.b), atol=1e-8)
        np.testing.assert_allclose(learner.inverse[r], np.linalg.inv(p.V), atol=1e-8)


def test_linucb_with_a_fixed_radius_uses_it():
    learner = LinUCB(alpha=2.0)
    learner.reset(Spec("reward", 1, 10, 2, features=np.array([[1.0, 0.0], [0.0, 1.1]])), Draws(SeedTree(0), [0]))
    assert learner.act(None).tolist() == [1]
    learner.update(Feedback(reward=np.array([-2.0])))
    # Ridge 1: the estimate along the second is -2.2 / 2.21, its width 1.1 / √2.21.
    assert learner.predicted[0] == pytest.approx([0, 1.1 * -2.2 / 2.21])
    assert np.sqrt(learner.squared[0]) == pytest.approx([1, 1.1 / math.sqrt(2.21)])
    assert learner.act(None).tolist() == [0]


def test_thompson_sampling_draws_from_the_posterior():
    Phi, sigma = directions(6, 3), 0.5
    learner = LinTS(regularisation=0.5, noise=sigma)
    learner.reset(Spec("reward", 4000, 10, 6, features=Phi), Draws(SeedTree(0), np.arange(4000)))
    rewards = [0.3, -0.2, 0.9]
    V, b = 0.5 * np.eye(3), np.zeros(3)
    for arm, reward in enumerate(rewards):
        learner._last = np.full(4000, arm)
        learner.update(Feedback(reward=np.full(4000, reward)))
        V += np.outer(Phi[arm], Phi[arm])
        b += reward * Phi[arm]
    np.testing.assert_allclose(learner.root[0] @ learner.root[0].T, np.linalg.inv(V), atol=1e-10)
    mean = np.linalg.solve(V, b)
    draws = np.random.default_rng(0).multivariate_normal(mean, sigma**2 * np.linalg.inv(V), 100_000)
    expected = np.bincount((draws @ Phi.T).argmax(axis=1), minlength=6) / 100_000
    found = np.bincount(learner.act(None), minlength=6) / 4000
    assert np.abs(found - expected).max() < 0.03


def test_phased_elimination_is_below_its_bound_and_keeps_the_best_arm():
    Phi, sigma, horizon = directions(40, 4), 0.5, 30_000
    env = MisspecifiedLinearEnvironment(Phi, eps=0.0, error="none", noise=sigma)
    learner = PhasedElimination()
    curves = simulate({"pe": learner}, env, horizon, reps=30)
    # Phase l has at most m_l + d (d + 1) / 2 pulls; its arms were within 4 widths of the phase before it.
    d, N, m = 4, 40, math.ceil(16 * math.log(max(math.log(4), 1))) + 16
    total, phase, left = 0.0, 1, horizon
    gap = 2.0
    while left > 0:
        pulls = min(m * 2 ** (phase - 1) + d * (d + 1) / 2, left)
        total += pulls * gap
        level = math.log(2 * N * phase * (phase + 1) * horizon)
        gap = min(gap, 4 * sigma * math.sqrt(2 * level * 1.1 * d / (m * 2 ** (phase - 1))))
        left -= pulls
        phase += 1
    assert curves.at("pe").max() <= total
    assert curves.extras["pe"]["gap"].mean() < 0.05


def test_phased_elimination_plans_once_for_the_same_arms():
    env = begun(MisspecifiedLinearEnvironment(directions(20, 3), eps=0.0, error="none", noise=0.0), reps=8)
    learner = PhasedElimination()
    learner.reset(env.spec(), Draws(SeedTree(0), np.arange(8)))
    assert len(learner.plans) == 1
    assert (learner.plan == 0).all()


def test_phased_elimination_commits_once_errors_matter_more_than_noise():
    Phi = directions(50, 4)
    env = MisspecifiedLinearEnvironment(Phi, eps=0.1, error="uniform", noise=0.1)
    curves = simulate({"told": PhasedElimination(misspecification=0.1)}, env, 50_000, reps=20)
    assert curves.extras["told"]["gap"].max() <= 2 * (1 + 2 * 1.05 * math.sqrt(4))
    late = curves.at("told") - curves.at("told", 25_000)
    # One arm for the whole second half, so regret is linear there.
    np.testing.assert_allclose(late, curves.extras["told"]["gap"] * 0.1 * 25_000, rtol=0.02, atol=1)


def test_arms_that_features_cannot_tell_apart():
    curves = simulate(
        [PhasedElimination()], MisspecifiedLinearEnvironment(np.zeros((3, 2)), eps=0.1, noise=0.1), 50, reps=2
    )
    assert np.isfinite(curves.at("PhasedElimination")).all()


def test_missing_facts_are_named():
    with pytest.raises(OptimandError, match="SparseNetCommit needs s and eps"):
        simulate([SparseNetCommit()], BernoulliBandit([0.2, 0.4]), 10, reps=1)


def test_net_commit_is_within_six_eps():
    env = MisspecifiedLinearEnvironment(directions(200, 6), eps=0.2, noise=0.3, sparsity=2)
    for method in ("net", "cover"):
        curves = simulate({"s": SparseNetCommit(method=method, share=1.0)}, env, 30_000, reps=40)
        assert (curves.extras["s"]["gap"] <= 6).sum() >= 38


def test_long_rows_are_scaled_with_the_parameter():
    Phi = 3 * directions(100, 4)
    env = MisspecifiedLinearEnvironment(Phi, eps=0.3, noise=0.0, sparsity=1)
    curves = simulate([SparseNetCommit()], env, 500, reps=20)
    assert curves.extras["SparseNetCommit"]["gap"].max() <= 4


@pytest.mark.parametrize("name", LEARNERS)
def test_results_do_not_depend_on_blocks_and_resume_bit_for_bit(name):
    env = MisspecifiedLinearEnvironment(directions(40, 4), eps=0.1, noise=0.2, sparsity=1)
    make = LEARNERS[name]
    whole = simulate({name: make()}, env, 400, reps=5, points=12)
    single = simulate({name: make()}, env, 400, reps=5, points=12, backend="loop")
    np.testing.assert_allclose(whole.of(name), single.of(name), rtol=1e-9, atol=1e-9)
    options = {"horizon": 400, "reps": np.arange(5), "seed": SeedTree(0), "grid": recording_grid(400, 12), "name": name}
    rollout = start(make(), MisspecifiedLinearEnvironment(env.features, eps=0.1, noise=0.2, sparsity=1), **options)
    for _ in range(5):
        rollout.advance()
    state = rollout.state_dict()
    again = start(make(), MisspecifiedLinearEnvironment(env.features, eps=0.1, noise=0.2, sparsity=1), **options)
    again.load_state_dict(state)
    while again.position < len(again.grid):
        again.advance()
    np.testing.assert_array_equal(again.curves["best-arm"], whole.of(name))


@pytest.mark.parametrize("make", [LinUCB, LinTS, lambda: LinUCB(alpha=0.5, misspecification=0.1)])
def test_compiled_loops_give_what_single_steps_give(make):
    env = MisspecifiedLinearEnvironment(directions(30, 4), eps=0.1, noise=0.2, sparsity=2)
    fused = simulate({"x": make()}, env, 500, reps=4, points=20, backend="numba")
    plain = simulate({"x": make()}, env, 500, reps=4, points=20, backend="numpy")
    np.testing.assert_allclose(fused.of("x"), plain.of("x"), rtol=1e-9, atol=1e-9)


def test_batches_equal_singles_on_average():
    # The same phases pulled one at a time.
    class Singles(PhasedElimination):
        batched = False

        def reset(self, spec, draws):
            super().reset(spec, draws)
            self.done, self.sum = np.zeros(spec.reps, dtype=np.int64), np.zeros(spec.reps)

        def act(self, observation):
            return super().act(observation)[0]

        def update(self, feedback):
            self.done += 1
            self.sum += feedback.reward
            whole = self.done >= self._asked
            if whole.any():
                mean = np.where(whole, self.sum / self.done, 0.0)
                super().update(Feedback(reward=mean, count=np.where(whole, self._asked, -1)))
                self.done[whole], self.sum[whole] = 0, 0.0

    env = MisspecifiedLinearEnvironment(directions(15, 3), eps=0.05, noise=0.5)
    curves = simulate({"batches": PhasedElimination(), "singles": Singles()}, env, 3000, reps=150)
    gap = curves.difference_to("singles", "batches", level=0.999)
    assert gap.low <= 0 <= gap.high
    assert abs(gap.value) < 0.05 * curves.mean("singles")[-1]


def test_arms_without_features_are_told_apart():
    learners = {"ucb": LinUCB(), "ts": LinTS(), "pe": PhasedElimination(), "net": SparseNetCommit(s=1, eps=0.1)}
    curves = simulate(learners, BernoulliBandit([0.1, 0.5, 0.9]), 2000, reps=10)
    for name in learners:
        assert curves.extras[name]["best_arm_share"].mean() > 0.7


def test_linear_learners_profit_from_features():
    env = MisspecifiedLinearEnvironment(directions(200, 5), eps=0.02, noise=0.3)
    curves = simulate({"ucb": LinUCB(), "ts": LinTS()}, env, 1500, reps=15)
    for name in ("ucb", "ts"):
        assert curves.slope(name, 300, 1500).value < 0.75


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: LinUCB(confidence=0.0), "confidence must be in"),
        (lambda: LinUCB(regularisation=0.0), "regularisation must be in"),
        (lambda: LinUCB(misspecification=-1.0), "misspecification must be in"),
        (lambda: LinTS(scale=0.0), "scale must be in"),
        (lambda: PhasedElimination(first=0), "first must be at least 1"),
        (lambda: PhasedElimination(confidence=1.0), "confidence must be in"),
        (lambda: SparseNetCommit(method="eliminate"), "method must be"),
        (lambda: SparseNetCommit(s=0), "s must be at least 1"),
    ],
)
def test_bad_arguments_are_named(make, said):
    with pytest.raises(ValueError, match=said):
        make()
