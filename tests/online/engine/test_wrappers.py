"""Feedback that comes late, fresh starts, and plain objects as learners."""

import numpy as np
import pytest

from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError
from optimand.online.bandits import MOSS, UCB1, BernoulliBandit, ExploreThenCommit, SuccessiveElimination
from optimand.online.engine import (
    DelayedFeedback,
    DoublingTrick,
    Draws,
    Environment,
    Feedback,
    Learner,
    PerRepetition,
    Restart,
    Spec,
    simulate,
)

MEANS = [0.2, 0.5, 0.9]


class Tracking(Environment):
    """Gradients of ``(x - t)^2 / 2`` in round ``t``: what arrives tells which round it is about."""

    kind = "gradient"
    comparators = ("path",)

    def reset(self, draws, horizon):
        self.reps, self.now, self.lost = len(draws.reps), 0, np.zeros(len(draws.reps))

    def spec(self):
        return Spec("gradient", self.reps, None, 1)

    def step(self, actions, counts=None):
        gradient = actions - self.now
        self.lost += gradient[:, 0] ** 2 / 2
        self.now += 1
        return Feedback(gradient=gradient)

    def regret(self, comparator):
        return self.lost.copy()


class Listener(Learner):
    """Plays the round's number and notes what it is told."""

    late = True

    def __init__(self, kind="gradient", arms=3):
        self.kind, self.arms = kind, arms

    def reset(self, spec, draws):
        self.reps, self.now, self.told = spec.reps, 0, []

    def act(self, observation):
        self.now += 1
        if self.kind == "gradient":
            return np.full((self.reps, 1), 2.0 * (self.now - 1))
        return np.full(self.reps, (self.now - 1) % self.arms)

    def update(self, feedback):
        count = np.ones(self.reps, int) if feedback.count is None else feedback.count
        value = feedback.gradient if self.kind == "gradient" else feedback.reward
        for r in np.flatnonzero(count):
            self.told.append(
                (self.now - 1, int(r), int(feedback.round[r]), feedback.action[r].item(), np.ravel(value)[r])
            )


def play(env, learner, rounds, reps=3):
    draws = Draws(SeedTree(0), np.arange(reps))
    env.reset(draws, rounds)
    learner.reset(env.spec(), draws.child("learner"))
    for _ in range(rounds):
        found = env.step(learner.act(None))
        for piece in found.late:
            learner.update(piece)
    return learner.told


def test_a_constant_delay_shifts_feedback():
    told = play(DelayedFeedback(Tracking(), 3), Listener(), 10)
    # round t plays 2 t, where the gradient is 2 t - t
    assert told == [(now, r, now - 3, 2.0 * (now - 3), now - 3.0) for now in range(3, 10) for r in range(3)]


def test_a_random_delay_loses_and_doubles_nothing():
    delays = []

    def delay(draws):
        delays.append(draws.integers(6))
        return delays[-1]

    rounds, reps = 60, 4
    told = play(DelayedFeedback(Tracking(), delay), Listener(), rounds, reps)
    expected = {
        (t + int(delays[t][r]), r, t, 2.0 * t, float(t)) for t in range(rounds) for r in range(reps)
        if t + delays[t][r] < rounds
    }  # fmt: skip
    assert set(told) == expected
    assert len(told) == len(expected)
    for r in range(reps):  # what arrives in one round comes in the order of rounds
        mine = [(now, t) for now, row, t, _, _ in told if row == r]
        assert mine == sorted(mine)


def test_rewards_are_those_of_the_action_of_that_round():
    env = BernoulliBandit([0.0, 1.0, 0.0])
    told = play(DelayedFeedback(env, lambda draws: draws.integers(5)), Listener("reward"), 40)
    assert all(action == t % 3 and reward == (action == 1) for _, _, t, action, reward in told)


def test_no_delay_is_no_change():
    env = BernoulliBandit(MEANS)
    plain, wrapped, drawn = (
        simulate([UCB1()], e, 300, reps=5).of("UCB1")
        for e in (env, DelayedFeedback(env, 0), DelayedFeedback(env, lambda draws: draws.integers(1)))
    )
    assert (plain == wrapped).all()
    assert (plain == drawn).all()


def test_delay_costs_about_the_delay():
    env = BernoulliBandit(MEANS)
    plain, wrapped = (simulate([UCB1()], e, 2000, reps=40).mean("UCB1")[-1] for e in (env, DelayedFeedback(env, 150)))
    # 150 rounds of blind turns over three arms of gaps 0.7, 0.4 and 0
    assert wrapped - plain == pytest.approx(150 * 1.1 / 3, rel=0.5)


def test_gradient_learners_that_know_nothing_of_lateness_follow_constant_delays():
    class Descent(Learner):
        kind = "gradient"

        def reset(self, spec, draws):
            self.x = np.zeros((spec.reps, 1))

        def act(self, observation):
            return self.x

        def update(self, feedback):
            self.x = self.x - 0.1 * feedback.gradient

    simulate([Descent()], DelayedFeedback(Tracking(), 2), 20, reps=2)
    with pytest.raises(OptimandError, match="here it arrives late"):
        simulate([Descent()], DelayedFeedback(Tracking(), lambda draws: draws.integers(3)), 20, reps=2)


def test_delays_are_checked():
    env = BernoulliBandit(MEANS)
    with pytest.raises(ValueError, match="delay must be at least 0, got -1"):
        DelayedFeedback(env, -1)
    with pytest.raises(OptimandError, match="without delay"):
        DelayedFeedback(DelayedFeedback(env, 1), 1)
    with pytest.raises(OptimandError, match="delay must return whole numbers"):
        simulate([UCB1()], DelayedFeedback(env, lambda draws: draws.uniform()), 5, reps=2)
    with pytest.raises(OptimandError, match="acts in batches"):
        simulate([ExploreThenCommit(3)], DelayedFeedback(env, 1), 5, reps=2)


class Diary(UCB1):
    """Notes the horizons it is told and how often it is begun."""

    seen: list = []

    def reset(self, spec, draws):
        type(self).seen.append(spec.horizon)
        super().reset(spec, draws)


def test_doubling_begins_anew_with_the_horizon_of_the_epoch():
    Diary.seen = []
    simulate({"d": DoublingTrick(Diary, first=10)}, BernoulliBandit(MEANS, tell_horizon=False), 75, reps=2)
    assert Diary.seen == [10, 20, 40, 80]
    Diary.seen = []
    simulate({"r": Restart(Diary, 30)}, BernoulliBandit(MEANS), 75, reps=2)
    assert Diary.seen == [30, 30, 30]


def test_an_epoch_is_a_fresh_learner_of_its_own():
    """The first epoch is the plain learner with that horizon; MOSS needs one."""
    env = BernoulliBandit(MEANS)
    doubled = simulate({"m": DoublingTrick(MOSS, first=64)}, env, 200, reps=4, points=300)
    plain = simulate({"m": MOSS()}, env, 64, reps=4, points=300)
    assert (doubled.of("m")[:, :64] == plain.of("m")).all()
    with pytest.raises(OptimandError, match="needs to know horizon"):
        simulate([MOSS()], BernoulliBandit(MEANS, tell_horizon=False), 100, reps=2)


@pytest.mark.parametrize("factory", [ExploreThenCommit, SuccessiveElimination])
def test_batched_learners_are_doubled_at_their_own_pace(factory):
    env = BernoulliBandit(MEANS, tell_horizon=False)
    found = simulate({"x": DoublingTrick(factory, first=100)}, env, 5000, reps=6)
    assert np.isfinite(found.of("x")).all()
    assert (np.diff(found.of("x"), axis=1) >= 0).all()
    assert 0 < found.mean("x")[-1] < 5000 * 0.37


def test_doubling_forgets_what_arrives_from_an_earlier_epoch():
    env = BernoulliBandit([0.0, 1.0])
    learner = DoublingTrick(lambda: Listener("reward", 2), first=8)
    draws = Draws(SeedTree(0), [0, 1])
    late = DelayedFeedback(env, 3)
    late.reset(draws, 24)
    learner.reset(late.spec(), draws)
    for _ in range(24):
        for piece in late.step(learner.act(None)).late:
            learner.update(piece)
    # the second epoch begins in round 8, and counts its rounds from 0
    assert [t for _, r, t, _, _ in learner.inner.told if r == 0] == list(range(13))


def test_restarting_helps_where_means_change():
    env = BernoulliBandit([[0.9, 0.1], [0.1, 0.9]], changes=[1500])
    found = simulate(
        {"stay": UCB1(0.2), "restart": Restart(lambda: UCB1(0.2), 300)}, env, 3000, reps=20, comparator="per-segment"
    )
    assert found.difference_to("restart", "stay").low > 0


class Plain:
    """UCB1 as it is found in notebooks."""

    def __init__(self, arms, c=2.0):
        self.c, self.sums, self.pulls = c, [0.0] * arms, [0] * arms

    def select(self):
        if 0 in self.pulls:
            return self.pulls.index(0)
        log = np.log(sum(self.pulls))
        return int(np.argmax([s / n + np.sqrt(self.c * log / n) for s, n in zip(self.sums, self.pulls, strict=True)]))

    def update(self, arm, reward):
        self.sums[arm] += reward
        self.pulls[arm] += 1


class Silent:
    pass


class Blind:
    def __init__(self, rng, horizon=None):
        self.rng, self.horizon, self.total = rng, horizon, 0.0

    def act(self, observation):
        return int(self.rng.integers(3))

    def update(self, reward):
        self.total += reward


def test_a_plain_learner_does_what_the_one_on_arrays_does():
    env = BernoulliBandit(MEANS)
    found = simulate({"plain": PerRepetition(Plain), "arrays": UCB1()}, env, 200, reps=4)
    np.testing.assert_allclose(found.of("plain"), found.of("arrays"))


def test_plain_learners_get_generators_that_do_not_depend_on_the_block():
    env = BernoulliBandit(MEANS)
    one, two = (simulate({"b": PerRepetition(Blind)}, env, 60, reps=4, block=size).of("b") for size in (4, 1))
    assert (one == two).all()
    assert len(np.unique(one[:, -1])) > 1


def test_plain_learners_of_points():
    class Descent:
        def __init__(self, dim):
            self.x = np.zeros(dim)

        def act(self, observation):
            return self.x

        def update(self, gradient):
            self.x = self.x - 0.5 * gradient

    found = simulate({"d": PerRepetition(Descent, kind="gradient")}, Tracking(), 50, reps=2)
    # the lag of gradient steps behind a line is 1/step
    assert np.diff(found.of("d")[0])[-1] == pytest.approx(2.0**2 / 2, rel=1e-3)


def test_plain_objects_that_do_not_fit_are_named():
    env = BernoulliBandit(MEANS)
    with pytest.raises(OptimandError, match="Silent lacks act, update; expected select"):
        simulate([PerRepetition(Silent)], env, 5, reps=2)
    with pytest.raises(TypeError, match="make must be a class or function"):
        PerRepetition(3)
    with pytest.raises(ValueError, match="kind must be one of"):
        PerRepetition(Plain, kind="transition")
    for make in (UCB1, lambda arms: UCB1()):
        with pytest.raises(OptimandError, match="UCB1 is a learner on arrays already"):
            simulate({"ucb": PerRepetition(make)}, env, 5, reps=2)
    for wrap in (lambda: Restart(UCB1(), 10), lambda: DoublingTrick(UCB1())):
        with pytest.raises(TypeError, match="factory must be a class or function that makes a learner, not a learner"):
            wrap()
    with pytest.raises(ValueError, match="period must be at least 1"):
        Restart(UCB1, 0)
