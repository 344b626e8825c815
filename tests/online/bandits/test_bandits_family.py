"""The family: problems, methods, users' learners."""

import numpy as np
import pytest
from tests.running import entry, reader, runner

import optimand.online.bandits.methods
import optimand.online.bandits.problems  # noqa: F401 (registers them)
from optimand.core.validation import OptimandError
from optimand.online.bandits import UCB1
from optimand.online.bandits.family import adopt, describe
from optimand.online.bandits.problems import (
    bernoulli_bandit,
    changing_bandit,
    digits_models,
    gaussian_bandit,
)
from optimand.online.engine import Learner

NAMES = (
    "ucb1", "kl-ucb", "moss", "thompson", "epsilon-greedy", "explore-then-commit", "successive-elimination", "exp3",
    "ucb1-restarted", "uniform",
)  # fmt: skip
BATCHED = ("explore-then-commit", "successive-elimination")


run, curve = runner(200), reader("regret")


@pytest.mark.parametrize("name", NAMES)
def test_every_method_runs_on_every_problem(name):
    for problem in (bernoulli_bandit(arms=3, reps=4), gaussian_bandit(arms=3, reps=4), changing_bandit(reps=4)):
        if name in BATCHED and problem.name.startswith("changing"):
            with pytest.raises(OptimandError, match="acts in batches, which the environment does not take"):
                run(problem, entry(name))
            continue
        recorder = run(problem, entry(name))
        values = curve(recorder)
        assert values[-1][0] == 200
        assert np.isfinite([value for _, value in values]).all()
        assert curve(recorder, split="valid") != values
        assert len(curve(recorder, "regret:q10")) == len(values)
        assert recorder.costs["repetitions"] == 4


def test_changing_bandits_record_both_regrets():
    recorder = run(changing_bandit(arms=3, segments=3, reps=10), entry("ucb1-restarted"), budget=300, restarts=3)
    both = zip(curve(recorder), curve(recorder, "regret-fixed"), strict=True)
    assert all(a >= b for (_, a), (_, b) in both)


def test_changing_bandits_with_fewer_pulls_than_segments_have_fewer_segments():
    for budget in (1, 3):
        recorder = run(changing_bandit(arms=3, segments=5, reps=4), entry("ucb1"), budget=budget)
        assert curve(recorder)[-1][0] == budget


def test_spaces_are_of_hyperparameters_that_change_the_run():
    for name in NAMES:
        assert set(entry(name).space) <= set(entry(name).defaults), name
    problem = bernoulli_bandit(arms=5, reps=20)
    greedy, wide = (curve(run(problem, entry("ucb1"), exploration=x, budget=1000))[-1][1] for x in (0.2, 4.0))
    assert greedy < wide


def test_means_can_be_given():
    problem = bernoulli_bandit(means=(0.1, 0.9), reps=3)
    assert problem.name == "bernoulli-bandit:means=(0.1,0.9)"
    assert curve(run(problem, entry("uniform"), budget=100))[-1][1] == pytest.approx(40, rel=0.3)
    with pytest.raises(ValueError, match=r"means must be in \[0, 1\]"):
        bernoulli_bandit(means=(0.1, 1.9))
    with pytest.raises(ValueError, match="arms must be at least 2"):
        gaussian_bandit(arms=1)


def test_digits_models_are_real_and_split():
    problem = digits_models(arms=6, reps=5)
    means = problem.make("test", 300).outcomes.mean(1)
    assert means.max() > 0.85
    assert np.abs(means - problem.make("valid", 300).outcomes.mean(1)).max() < 0.06
    recorder = run(problem, entry("kl-ucb"), budget=300)
    assert 0 < curve(recorder)[-1][1] < 300 * (means.max() - means.min())


class Vectorised(Learner):
    """Always the arm of a number."""

    def __init__(self, arm=1):
        self.arm = arm

    def reset(self, spec, draws):
        self.arms = np.full(spec.reps, self.arm)

    def act(self, observation):
        return self.arms

    def update(self, feedback):
        pass


class Plain:
    """The best mean so far."""

    def __init__(self, arms, c=1.0, *, rng):
        self.sums, self.pulls, self.rng = [c] * arms, [1] * arms, rng

    def select(self):
        return max(range(len(self.sums)), key=lambda a: self.sums[a] / self.pulls[a] + 1e-9 * self.rng.random())

    def update(self, arm, reward):
        self.sums[arm] += reward
        self.pulls[arm] += 1


class Acting:
    def __init__(self, horizon, scale=1.0):
        self.left = horizon

    def act(self, observation):
        self.left -= 1
        return self.left % 2

    def update(self, reward):
        assert isinstance(reward, float)


def test_users_learners_are_adopted():
    problem = bernoulli_bandit(means=(0.1, 0.9), reps=3)
    vectorised = adopt("vectorised", Vectorised)
    assert vectorised.defaults == {"arm": 1}
    assert vectorised.summary == "Always the arm of a number."
    assert curve(run(problem, vectorised))[-1][1] == 0
    assert curve(run(problem, vectorised, arm=0))[-1][1] == pytest.approx(160)
    plain = adopt("plain", Plain)
    assert plain.defaults == {"c": 1.0}
    assert set(plain.space) == {"c"}
    assert curve(run(problem, plain, c=2.0))[-1][1] < 160
    assert curve(run(problem, adopt("acting", Acting)))[-1][1] == pytest.approx(80)
    assert adopt("ucb", UCB1).defaults == {"exploration": 2.0}
    assert curve(run(problem, adopt("ucb", UCB1))) == curve(run(problem, entry("ucb1")))


def failing(arms):
    raise RuntimeError("no such thing")


@pytest.mark.parametrize(
    ("obj", "words"),
    [
        (3, "is 3 .int.; expected a class whose objects have reset"),
        (failing, "does not work on a small bandit: RuntimeError: no such thing"),
        (lambda arms, width: None, "has no default for width"),
        (lambda arms: object(), "object lacks act, update"),
        (type("Wild", (Plain,), {"select": lambda self: 7}), r"actions must be in \[0, 2\], got 7"),
    ],
)
def test_what_cannot_be_adopted_is_said(obj, words):
    with pytest.raises(OptimandError, match=words):
        adopt("mine", obj)


def test_methods_are_described():
    assert describe(entry("moss"))["knows the horizon"] == "yes"
    assert describe(entry("successive-elimination"))["pulls in batches"] == "yes"
    assert describe(entry("ucb1"))["knows the horizon"] == "no"
