"""Gymnasium's environments in the engine, and the engine's in Gymnasium."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from optimand.core.projections import Box
from optimand.core.validation import OptimandError
from optimand.online.bandits import BernoulliBandit, GaussianBandit
from optimand.online.engine import (
    DelayedFeedback,
    Environment,
    Feedback,
    GymEnvironment,
    Learner,
    Spec,
    as_gym,
    simulate,
)


class Quadratic(Environment):
    """Losses ``|x - 0.3|^2 / 2`` with noise in the gradient, on a box."""

    kind = "gradient"
    comparators = ("best-point",)
    domain = Box(np.array([-1.0, 0.0]), np.array([1.0, 0.5]))

    class Loss:
        def value(self, x):
            return ((x - 0.3) ** 2).sum(-1) / 2

    def reset(self, draws, horizon):
        self.draws, self.lost = draws, np.zeros(len(draws.reps))

    def spec(self):
        return Spec("gradient", len(self.lost), None, 2, domain=self.domain)

    def step(self, actions, counts=None):
        assert all(self.domain.contains(x) for x in actions)
        loss = self.Loss()
        self.lost += loss.value(actions)
        return Feedback(gradient=actions - 0.3 + 0.1 * self.draws.normal(2), loss=loss)

    def regret(self, comparator):
        return self.lost.copy()


def cartpole():
    return gymnasium.make("CartPole-v1")


class Pushing(Learner):
    """Pushes the cart to the side to which the pole leans."""

    kind = "transition"

    def reset(self, spec, draws):
        assert spec.domain == gymnasium.spaces.Discrete(2)
        self.ends, self.finals = 0, []

    def act(self, observation):
        assert observation.shape[1] == 4
        return (observation[:, 2] > 0).astype(int)

    def update(self, feedback):
        ended = feedback.terminated | feedback.truncated
        self.ends += ended.sum()
        if ended.any():
            self.finals.append(np.abs(feedback.final[ended]))
            # the next episode begins near 0, the last one ended far out
            assert np.abs(feedback.observation[ended]).max() <= 0.05
            assert ((self.finals[-1][:, 2] > 0.2) | (self.finals[-1][:, 0] > 2.3)).all()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_gymnasiums_environments_are_simulated():
    env = GymEnvironment(cartpole, rate=1.0)
    found = simulate([Pushing()], env, 150, reps=3)
    extras = found.extras["Pushing"]
    assert (extras["earned"] == 150).all()
    assert (extras["episodes"] >= 1).all()
    assert (found.at("Pushing") == 0).all()
    assert (simulate([Pushing()], env, 150, reps=3, block=1).extras["Pushing"]["episodes"] == extras["episodes"]).all()
    assert len(np.unique(simulate([Pushing()], env, 150, reps=8).extras["Pushing"]["episodes"])) > 1


@pytest.mark.parametrize("env", [BernoulliBandit([0.2, 0.8]), GaussianBandit([0.0, 1.0, 2.0])])
def test_bandits_pass_gymnasiums_check(env):
    check_env(as_gym(env, 10), skip_render_check=True)


@pytest.mark.filterwarnings("ignore:.*Box observation space.*")
@pytest.mark.filterwarnings("ignore:.*symmetric and normalized.*")
def test_online_convex_optimization_passes_gymnasiums_check():
    made = as_gym(Quadratic(), 10)
    check_env(made, skip_render_check=True)
    np.testing.assert_allclose(made.action_space.low, [-1, 0])
    np.testing.assert_allclose(made.action_space.high, [1, 0.5])
    made.reset(seed=0)
    observation, reward, terminated, truncated, _ = made.step(np.array([0.5, 0.3]))
    assert reward == pytest.approx(-0.02)
    assert np.abs(observation - [0.2, 0]).max() < 0.5
    assert not terminated
    assert not truncated


def test_an_agent_meets_what_a_learner_would():
    """The rewards of an arm are those of the engine's first repetitions, one an episode."""
    env = BernoulliBandit([0.3, 0.6])
    made = as_gym(env, 40, seed=5)
    totals = []
    for _ in range(3):
        made.reset()
        rewards = [made.step(1)[1] for _ in range(39)]
        _, last, terminated, truncated, info = made.step(1)
        totals.append(sum(rewards) + last)
        assert truncated
        assert not terminated
        assert info["regret"] == pytest.approx(0.0)

    class Second(Learner):
        def reset(self, spec, draws):
            self.arms = np.ones(spec.reps, int)

        def act(self, observation):
            return self.arms

        def update(self, feedback): ...

    assert simulate([Second()], env, 40, reps=3, seed=5).extras["Second"]["earned"].tolist() == totals
    made.reset(seed=5)
    assert sum(made.step(1)[1] for _ in range(40)) == totals[0]
    with pytest.raises(OptimandError, match="call reset"):
        made.step(1)


def test_what_has_no_one_state_form_is_refused():
    with pytest.raises(OptimandError, match="without delay"):
        as_gym(DelayedFeedback(BernoulliBandit([0.1, 0.9]), 2), 10)
    with pytest.raises(OptimandError, match="of kind reward or gradient"):
        as_gym(GymEnvironment(cartpole), 10)
    free = Quadratic()
    free.domain = None
    with pytest.raises(OptimandError, match="bounded domain"):
        as_gym(free, 10)
    with pytest.raises(ValueError, match="horizon must be at least 1"):
        as_gym(Quadratic(), 0)
