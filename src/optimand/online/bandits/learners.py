"""Learners for finite-armed bandits that keep a mean for each arm: UCB1, KL-UCB, MOSS, Thompson sampling and others.

All take rewards whose noise is subgaussian with the constant ``sigma`` that environments tell (1/2 for rewards in
[0, 1], for which most were stated): widths of intervals are in units of ``2 sigma``. Feedback may arrive late.
Importing this module imports Numba.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from optimand.core.validation import check_int, check_number

from ..engine.contracts import Array, Environment, Feedback, Learner, Spec
from ..engine.draws import Draws
from . import steps

LOOP = 1 << 16  # rounds that a compiled loop plays in one call


class MeanLearner(Learner):
    """What learners share that keep the number of pulls and the sum of rewards of every arm.

    A subclass has ``act``, which puts its choice into ``self.last`` and returns it.

    Attributes:
        pulls: pulls that it was told of, shape ``(R, K)``.
        sums: of rewards; ``means``: sums over pulls, 0 where there is none; ``roots``: of one over the
            pulls.
        time: rounds so far.
        scale: twice the constant ``sigma`` of the noise, 1 where the environment tells none.
    """

    kind = "reward"
    late = True

    def reset(self, spec: Spec, draws: Draws) -> None:
        """Forget everything."""
        shape = (spec.reps, spec.actions)
        self.arms, self.draws, self.time = spec.actions, draws, 0
        self.scale = 2.0 * float(spec.facts.get("sigma", 0.5))
        self.pulls, self.chosen = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        self.sums, self.means, self.roots = np.zeros(shape), np.zeros(shape), np.full(shape, np.inf)
        self._score = (self.pulls, self.sums, self.means, self.roots, self.chosen)
        self.last = np.zeros(spec.reps, np.int64)
        self._ones = np.ones(spec.reps, np.int64)

    def update(self, feedback: Feedback) -> None:
        """Add the rewards to the sums."""
        action = self.last if feedback.action is None else feedback.action
        count = self._ones if feedback.count is None else feedback.count
        steps.learn(self._score, action, np.asarray(feedback.reward, dtype=float), count)


class OneArm(MeanLearner):
    """What learners share that pull one arm at a time by a compiled rule of :mod:`~optimand.online.bandits.steps`.

    A subclass has ``rule`` and, from ``reset`` on, ``_settings``: two numbers and a flag that the rule reads.
    """

    rule: ClassVar[int]
    _settings: tuple[float, float, bool]

    def act(self, observation: Any) -> Array:
        """An arm for every repetition."""
        # Not in place: what was returned belongs to the caller.
        self.last = np.empty(len(self.last), np.int64)
        draws = self.draws
        steps.choose(self.rule, *self._settings, draws.key, draws.reps, self._score, self.time, self.last)
        self.time += 1
        return self.last

    def fuse(self, env: Environment) -> Callable[[int], None] | None:
        """A compiled loop with an environment of stochastic arms; None for another."""
        from .environments import plain_arms

        arms = plain_arms(env, self, OneArm)
        if arms is None:
            return None

        def run(rounds: int) -> None:
            self.last = self.last.copy()
            while rounds > 0:
                some = min(rounds, LOOP)
                steps.play(
                    self.rule, *self._settings, self.draws.key, self.draws.reps, self._score, self.time, arms.law,
                    arms._arm_state, some, self.last,
                )  # fmt: skip
                self.time += some
                rounds -= some

        return run


class UCB1(OneArm):
    """UCB1: the arm with the largest mean plus width of its interval (Auer, Cesa-Bianchi, Fischer 2002, figure 1).

    Args:
        exploration: ``c`` of the width ``2 sigma sqrt(c ln t / n)``, >= 0; 2 in the paper, less is often better.

    Example:
        >>> from optimand.online.bandits import BernoulliBandit
        >>> from optimand.online.engine import simulate
        >>> curves = simulate([UCB1()], BernoulliBandit([0.2, 0.8]), 1000, reps=20)
        >>> curves.mean("UCB1")[-1] < 30
        np.True_
    """

    rule = steps.UCB

    def __init__(self, exploration: float = 2.0) -> None:
        self.exploration = check_number("exploration", exploration, low=0)

    def reset(self, spec: Spec, draws: Draws) -> None:
        """Forget everything."""
        super().reset(spec, draws)
        self._settings = (float(self.exploration), self.scale, False)


class KLUCB(OneArm):
    """KL-UCB: the arm with the largest mean that its rewards leave plausible (Garivier and Cappé 2011, algorithm 1).

    Args:
        c: of the level ``ln t + c ln ln t``, >= 0; 3 in the analysis, 0 in the paper's experiments.

    The divergence is that of Bernoulli laws where rewards are in [0, 1], else of normal ones.
    """

    rule = steps.KLUCB

    def __init__(self, c: float = 0.0) -> None:
        self.c = check_number("c", c, low=0)

    def reset(self, spec: Spec, draws: Draws) -> None:
        """Forget everything."""
        super().reset(spec, draws)
        self._settings = (float(self.c), self.scale / 2, spec.facts.get("range") == (0.0, 1.0))


class MOSS(OneArm):
    """MOSS: widths that shrink as an arm uses up its share of the horizon (Audibert and Bubeck 2009).

    Args:
        exploration: factor of the width ``2 sigma sqrt(max(ln(T/(K n)), 0)/n)``, >= 0.

    The horizon must be known; :class:`~optimand.online.engine.wrappers.DoublingTrick` does without.
    """

    needs = ("horizon",)
    rule = steps.MOSS

    def __init__(self, exploration: float = 1.0) -> None:
        self.exploration = check_number("exploration", exploration, low=0)

    def reset(self, spec: Spec, draws: Draws) -> None:
        """Forget everything."""
        super().reset(spec, draws)
        self._settings = (float(spec.horizon or 1), self.scale * self.exploration, False)


class ThompsonSampling(OneArm):
    """Thompson sampling: the arm that is best in a draw from the posterior (Agrawal and Goyal 2012, 2013).

    The prior is uniform on the means of rewards in [0, 1] (rewards between are counted as shares of a success), else
    flat on the means of normal rewards.
    """

    rule = steps.THOMPSON

    def reset(self, spec: Spec, draws: Draws) -> None:
        """Forget everything."""
        super().reset(spec, draws)
        self._settings = (0.0, self.scale / 2, spec.facts.get("range") == (0.0, 1.0))


class EpsilonGreedy(OneArm):
    """The best arm so far, but any with a probability that decays (Auer, Cesa-Bianchi, Fischer 2002, figure 3).

    Args:
        scale: ``s`` of the probability ``min(1, s K / t)``, >= 0: ``c/d^2`` of the paper, with ``d`` a lower bound of
            the gap.
        epsilon: a probability that stays as it is, in place of the decaying one; None for that.
    """

    rule = steps.GREEDY

    def __init__(self, scale: float = 1.0, epsilon: float | None = None) -> None:
        self.rate = check_number("scale", scale, low=0)
        self.epsilon = None if epsilon is None else check_number("epsilon", epsilon, low=0, high=1)

    def reset(self, spec: Spec, draws: Draws) -> None:
        """Forget everything."""
        super().reset(spec, draws)
        decays = self.epsilon is None
        self._settings = (float(self.rate if self.epsilon is None else self.epsilon), 0.0, decays)


class UniformRandom(OneArm):
    """Any arm, each as likely; what others should be better than."""

    rule = steps.RANDOM
    _settings = (0.0, 0.0, False)


class ExploreThenCommit(MeanLearner):
    """Every arm ``pulls`` times, then the best of them for ever; in batches.

    Args:
        explore: pulls of each arm, at least 1; None for ``(T/K)^(2/3) (ln T)^(1/3)``, which balances both phases (a
            horizon is needed then).
        factor: of the number that ``None`` stands for, > 0.
    """

    batched = True

    def __init__(self, explore: int | None = None, factor: float = 1.0) -> None:
        self.factor = check_number("factor", factor, low=0, low_open=True)
        self.explore = None if explore is None else check_int("explore", explore, low=1)
        self.needs = ("horizon",) if explore is None else ()  # type: ignore[misc]

    def reset(self, spec: Spec, draws: Draws) -> None:
        """Forget everything."""
        super().reset(spec, draws)
        if self.explore is None:
            assert spec.horizon is not None
            total = float(spec.horizon)
            self._each = max(
                1, math.ceil(self.factor * (total / spec.actions) ** (2 / 3) * math.log(max(total, 2.0)) ** (1 / 3))
            )
        else:
            self._each = self.explore

    def act(self, observation: Any) -> tuple[Array, Array]:
        """The next arm as often as all are tried; then the best one, as often as there is time."""
        if self.time < self.arms:
            self.last = np.full(len(self.last), self.time, np.int64)
            counts = np.full(len(self.last), self._each, np.int64)
        else:
            self.last, counts = self.means.argmax(1), np.full(len(self.last), 1 << 62, np.int64)
        self.time += 1
        return self.last, counts


class SuccessiveElimination(MeanLearner):
    """Arms in turn, in batches that grow; those that are surely not the best are dropped (Even-Dar et al. 2006).

    Args:
        growth: factor of the pulls from one elimination to the next, > 1; the paper eliminates after every pull.
        exploration: factor of the width ``2 sigma sqrt(ln(2 K T)/(2 n))``, > 0.
    """

    batched = True
    needs = ("horizon",)

    def __init__(self, growth: float = 1.25, exploration: float = 1.0) -> None:
        self.growth = check_number("growth", growth, low=1, low_open=True)
        self.exploration = check_number("exploration", exploration, low=0, low_open=True)

    def reset(self, spec: Spec, draws: Draws) -> None:
        """Forget everything."""
        super().reset(spec, draws)
        log = math.log(2.0 * spec.actions * float(spec.horizon or 1))
        self._level = self.exploration * self.scale * math.sqrt(log / 2)
        self.active = np.ones((spec.reps, spec.actions), bool)
        self._target, self._pointer = np.ones(spec.reps, np.int64), np.zeros(spec.reps, np.int64)

    def act(self, observation: Any) -> tuple[Array, Array]:
        """An active arm for every repetition, and how often."""
        self.last, counts = np.empty_like(self.last), np.empty_like(self.last)
        steps.eliminate(
            self._score, self.active, self._target, self._pointer, self._level, self.growth, self.last, counts
        )
        self.time += 1
        return self.last, counts


class Exp3(Learner):
    """Exp3 (Auer et al. 2002), in the form with losses (Bubeck and Cesa-Bianchi 2012, section 3.1).

    An arm is drawn with a probability proportional to ``exp(-rate L)``, where ``L`` sums ``(1 - reward)/probability``
    of its pulls. Rewards should be in [0, 1]; on others it runs, and its bounds say nothing.

    Args:
        rate: > 0; None for ``sqrt(ln K/(K t))`` in round ``t``, which needs no horizon.
        factor: of the rate that ``None`` stands for, > 0.
    """

    kind = "reward"

    def __init__(self, rate: float | None = None, *, factor: float = 1.0) -> None:
        self.rate = None if rate is None else check_number("rate", rate, low=0, low_open=True)
        self.factor = check_number("factor", factor, low=0, low_open=True)

    def reset(self, spec: Spec, draws: Draws) -> None:
        """Forget everything."""
        self.arms, self.draws, self.time = spec.actions, draws, 0
        self.losses = np.zeros((spec.reps, spec.actions))
        self.chances, self.last = np.ones(spec.reps), np.zeros(spec.reps, np.int64)
        self._rows = np.arange(spec.reps)

    def act(self, observation: Any) -> Array:
        """An arm for every repetition."""
        rate = self.rate
        if rate is None:
            rate = self.factor * math.sqrt(math.log(self.arms) / (self.arms * (self.time + 1)))
        self.last, self.chances = np.empty_like(self.last), np.empty_like(self.chances)
        key, reps = self.draws.key, self.draws.reps
        steps.exp3_choose(self.losses, key, reps, self.time, rate, self.chances, self.last)
        self.time += 1
        return self.last

    def update(self, feedback: Feedback) -> None:
        """Add the loss, over the probability that it was met with."""
        self.losses[self._rows, self.last] += (1.0 - np.asarray(feedback.reward)) / self.chances
