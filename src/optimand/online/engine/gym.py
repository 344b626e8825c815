"""Between the engine and Gymnasium: its environments as one of ours, and ours as one-state environments of its kind.

Gymnasium is imported where it is used.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError, check_int, check_number

from .contracts import Array, Environment, Feedback, Spec
from .draws import Draws
from .rollout import default_comparators


class GymEnvironment(Environment):
    """Gymnasium environments as an environment of kind ``transition``, one for each repetition.

    Feedback has ``reward``, ``terminated``, ``truncated`` and ``observation``. When an episode ends the next begins at
    once: ``observation`` is its first one, and ``final`` the one that ended the episode (valid in the rows where
    ``terminated`` or ``truncated`` is set). The spec's ``domain`` is the action space of one environment, and
    ``facts["observations"]`` its observation space.

    Regret is against ``rate``: a policy that earns so much a step, or, with 0, the negative of what was earned.

    Args:
        make: makes a single environment, such as ``lambda: gymnasium.make("CartPole-v1")``.
        rate: reward a step of what regret is measured against.

    Example:
        >>> import gymnasium
        >>> env = GymEnvironment(lambda: gymnasium.make("CartPole-v1"), rate=1.0)
        >>> env.reset(Draws(SeedTree(0), [0, 1]), None).shape, env.spec().actions
        ((2, 4), 2)
    """

    kind = "transition"
    comparators = ("rate",)

    def __init__(self, make: Callable[[], Any], *, rate: float = 0.0) -> None:
        if not callable(make):
            raise TypeError(f"make must be a function that makes an environment, got {make!r:.60}")
        self.make = make
        self.rate = check_number("rate", rate)

    def reset(self, draws: Draws, horizon: int | None) -> Any:
        """Make the environments, each with a seed of its repetition's own; returns their observations."""
        from gymnasium.vector import AutoresetMode, SyncVectorEnv

        reps = len(draws.reps)
        self.env = SyncVectorEnv([self.make] * reps, autoreset_mode=AutoresetMode.SAME_STEP)
        self.horizon, self.reps = horizon, reps
        self.earned, self.steps, self.episodes = np.zeros(reps), 0, np.zeros(reps)
        seeds: list[int | None] = [
            int(draws.tree.child("gymnasium", rep).integer() % 2**31) for rep in draws.reps.tolist()
        ]
        observation, _ = self.env.reset(seed=seeds)
        return copy.deepcopy(observation)

    def spec(self) -> Spec:
        """Spaces, and the number of actions (or the dimension of the action space)."""
        space = self.env.single_action_space
        size = int(space.n) if hasattr(space, "n") else int(np.prod(space.shape or (1,)))
        facts = {"observations": self.env.single_observation_space}
        return Spec("transition", self.reps, self.horizon, size, domain=space, facts=facts)

    def step(self, actions: Any, counts: Any = None) -> Feedback:
        """A step of every environment."""
        observation, reward, terminated, truncated, infos = self.env.step(actions)
        self.earned += reward
        self.steps += 1
        ended = terminated | truncated
        self.episodes += ended
        final = None
        if ended.any():
            final = copy.deepcopy(observation)
            for row in np.flatnonzero(ended):
                _put(final, int(row), infos["final_obs"][row])
        return Feedback(
            reward=np.array(reward), observation=copy.deepcopy(observation), terminated=terminated.copy(),
            truncated=truncated.copy(), final=final,
        )  # fmt: skip

    def regret(self, comparator: str) -> Array:
        """``rate`` times the steps, less the rewards."""
        return self.rate * self.steps - self.earned

    def extras(self) -> dict[str, Array]:
        """Rewards, and episodes that have ended."""
        return {"earned": self.earned.copy(), "episodes": self.episodes.copy()}


def _put(batch: Any, row: int, value: Any) -> None:
    if isinstance(batch, Mapping):
        for key in batch:
            _put(batch[key], row, value[key])
    elif isinstance(batch, tuple):
        for part, entry in zip(batch, value, strict=True):
            _put(part, row, entry)
    else:
        batch[row] = value


def as_gym(env: Environment, horizon: int, *, seed: int = 0) -> Any:
    """A bandit, or online convex optimization, as a Gymnasium environment with a single state.

    An episode is one repetition of ``horizon`` rounds, at the end of which ``truncated`` is set and ``info["regret"]``
    tells the regret. Every ``reset`` goes on to the next repetition; ``reset(seed=…)`` begins with the first one of
    that seed. Rewards are those of the arm (observation: always 0), or the negative loss at the point played
    (observation: the gradient there; points are projected onto the domain).

    Args:
        env: of kind ``reward``, or of kind ``gradient`` with a bounded domain.
        horizon: rounds, at least 1.
        seed: root of the random numbers until ``reset`` is given one.

    Raises:
        OptimandError: the environment is of another kind, or of a domain without bounds.

    Example:
        >>> from optimand.online.bandits import BernoulliBandit
        >>> env = as_gym(BernoulliBandit([0.0, 1.0]), horizon=2)
        >>> _ = env.reset(seed=1)
        >>> env.step(1)[:4], env.step(0)[4]["regret"]
        ((0, 1.0, False, False), 1.0)
    """
    check_int("horizon", horizon, low=1)
    if env.kind not in ("reward", "gradient") or getattr(env, "late", "never") != "never":
        raise OptimandError(f"as_gym takes environments of kind reward or gradient without delay, got {env.kind!r}")
    import gymnasium
    from gymnasium import spaces

    class OneState(gymnasium.Env):  # type: ignore[misc]
        metadata = {"render_modes": []}  # noqa: RUF012 (Gymnasium's form)

        def __init__(self, env: Environment, horizon: int, seed: int) -> None:
            self._env, self._horizon = copy.deepcopy(env), horizon
            self._tree, self._rep = SeedTree(seed), -1
            self._now: int | None = None
            # Spaces must be known before the first reset.
            self._env.reset(Draws(self._tree.child("environment"), [0]), horizon)
            spec = self._env.spec()
            self._plays_points = spec.kind == "gradient"
            if self._plays_points:
                low, high = _bounds(spec)
                self.action_space = spaces.Box(low, high, dtype=np.float64)
                self.observation_space = spaces.Box(-np.inf, np.inf, (spec.actions,), np.float64)
                self._domain = spec.domain
            else:
                self.action_space = spaces.Discrete(spec.actions)
                self.observation_space = spaces.Discrete(1)

        def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
            super().reset(seed=seed)
            if seed is not None:
                self._tree, self._rep = SeedTree(seed), -1
            self._rep, self._now = self._rep + 1, 0
            self._env.reset(Draws(self._tree.child("environment"), [self._rep]), self._horizon)
            return np.zeros(self.observation_space.shape) if self._plays_points else 0, {}

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            if self._now is None or self._now >= self._horizon:
                raise OptimandError("call reset before the first step and after the end of an episode")
            self._now += 1
            if self._plays_points:
                point = self._domain.project(np.asarray(action, dtype=float))[None]
                found = self._env.step(point)
                observation: Any = np.array(found.gradient[0], dtype=np.float64)
                reward = -float(np.ravel(found.loss.value(point))[0])
            else:
                found = self._env.step(np.array([int(action)]))
                observation, reward = None, float(found.reward[0])
            ended = self._now == self._horizon
            info = {}
            if ended:
                info["regret"] = float(self._env.regret(default_comparators(self._env)[0])[0])
            return observation if self._plays_points else 0, reward, False, ended, info

    return OneState(env, horizon, seed)


def _bounds(spec: Spec) -> tuple[Array, Array]:
    """Ends of a box around the domain, found by projecting points that are far out on each axis."""
    d, far = spec.actions, 1e6
    project = getattr(spec.domain, "project", None)
    if project is None:
        raise OptimandError("as_gym needs a bounded domain to play from, and the environment names none")
    axes = np.eye(d)
    high = np.array([project(far * axes[i])[i] for i in range(d)])
    low = np.array([project(-far * axes[i])[i] for i in range(d)])
    if max(np.abs(high).max(), np.abs(low).max()) > far / 10:
        raise OptimandError(f"as_gym needs a bounded domain to play from, got {spec.domain!r:.60}")
    return low, high
