"""Towers of levels, each with one champion: eps-best arms in little memory, then commit (arXiv 2306.02208).

An arm enters at the bottom, is pulled ``b_l`` times at level ``l`` and compared with the level's champion; a level that
has seen ``c_l`` arms hands its champion up and begins anew. With one level that never closes this is uniform
exploration or the naive search for an eps-best arm; with the published code's counts for ``ln K``, ``ln ln K`` or
``log* K`` levels these are the paper's strategies of regret O(K^{1/3} T^{2/3}). Unlike in that code, every trial is
charged to the arm that is pulled and counted against ``T``, the play-off keeps its running best, and counts are whole.
"""

from __future__ import annotations

import math
from typing import Any

from optimand.core.validation import check_choice, check_number

from .base import Arm, StreamLearner
from .pull_counts import SCHEDULES, Tower, naive_pulls, tower_pulls, uniform_pulls


class TowerLearner(StreamLearner):
    """Levels of champions with the counts of :meth:`counts`.

    Args:
        explore: factor of all counts, > 0; 1 is the paper's.
    """

    arms: list[Arm | None]

    def __init__(self, explore: float = 1.0) -> None:
        super().__init__()
        self.explore = check_number("explore", explore, low=0, low_open=True)

    def counts(self, K: int, T: int) -> Tower:
        """The schedule for ``K`` arms and ``T`` trials."""
        raise NotImplementedError

    def _begin(self, K: int, T: int) -> None:
        self.plan = self.counts(K, T)
        levels = self.plan.levels
        self.arms, self.means, self.seen = [None] * levels, [-math.inf] * levels, [0] * levels

    def _observe(self, arm: Arm) -> None:
        if self.K == 1:
            self.arms[0] = arm
            return
        plan, level, old = self.plan, 0, -math.inf
        while True:
            mean, n = self._pull(arm, plan.pulls[level])
            if n == 0:
                if level == 0 and any(held is not None for held in self.arms):
                    arm.release()
                    return
                mean = old
            held = self.arms[level]
            if held is None or mean > self.means[level]:
                self.arms[level], self.means[level] = arm, mean
                arm = held  # type: ignore[assignment]
            if arm is not None:
                arm.release()
            self.seen[level] += 1
            if level == plan.levels - 1 or self.seen[level] < plan.arms[level]:
                return
            arm, old = self.arms[level], self.means[level]  # type: ignore[assignment]
            self.arms[level], self.seen[level] = None, 0
            level += 1

    def _choose(self) -> Arm:
        alive = [(arm, mean) for arm, mean in zip(self.arms, self.means, strict=True) if arm is not None]
        best, highest = alive[0][0], -math.inf
        if len(alive) > 1:
            for arm, mean in alive:
                fresh, n = self._pull(arm, self.plan.final)
                mean = fresh if n else mean
                if mean > highest:
                    best, highest = arm, mean
            for arm, _ in alive:
                if arm is not best:
                    arm.release()
        self.arms = [best, *[None] * (self.plan.levels - 1)]
        return best


class UniformExplore(TowerLearner):
    """Pull every arm ``(T/K)^(2/3) (ln T)^(1/3)`` times, keep the best: regret O(K^{1/3} T^{2/3} (log T)^{1/3}).

    Example:
        >>> from optimand.online.streaming import StreamingBandit, UniformExplore, run_streaming
        >>> run_streaming(UniformExplore(), StreamingBandit([0.0, 1.0, 0.0]), horizon=3000).explored
        603
    """

    def counts(self, K: int, T: int) -> Tower:
        """One level."""
        return uniform_pulls(K, T, self.explore)


class NaiveEpsBest(TowerLearner):
    """Pull every arm ``ln K/eps^2`` times, keep the best: regret O(K^{1/3} T^{2/3} log K) with one stored arm."""

    def counts(self, K: int, T: int) -> Tower:
        """One level."""
        return naive_pulls(K, T, self.explore)


class TowerEpsBest(TowerLearner):
    """A tower of levels: expected regret O(K^{1/3} T^{2/3}) with as many stored arms as levels.

    With an environment's ``memory``, which includes the arriving arm, one more than the levels is always enough.

    Args:
        schedule: ``log``, ``loglog`` or ``logstar``, named after the number of levels, with the constants of the
            paper's experiments; ``theory`` with those of the proofs, which explore some thousand times more.
        explore: factor of all counts, > 0.
        delta: of ``theory``: probability of failure, in (0, 1).

    Example:
        >>> from optimand.online.streaming import StreamingBandit, TowerEpsBest, run_streaming
        >>> found = run_streaming(TowerEpsBest("log"), StreamingBandit([0.0] * 13 + [1.0] + [0.0] * 13), horizon=27_000)
        >>> found.explored, found.regret, found.peak_arms, found.arm
        (3860, 3240.0, 3, 13)
    """

    def __init__(self, schedule: str = "loglog", explore: float = 1.0, delta: float = 0.1) -> None:
        super().__init__(explore)
        self.schedule: str = check_choice("schedule", schedule, SCHEDULES)
        self.delta = check_number("delta", delta, low=0, high=1, low_open=True, high_open=True)

    def counts(self, K: int, T: int) -> Tower:
        """The levels of the schedule."""
        return tower_pulls(self.schedule, K, T, self.explore, self.delta)

    def __repr__(self) -> str:
        extra: dict[str, Any] = {} if self.explore == 1 else {"explore": self.explore}
        return f"TowerEpsBest({', '.join([repr(self.schedule), *(f'{k}={v}' for k, v in extra.items())])})"
