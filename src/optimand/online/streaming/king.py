"""The king with a budget: an eps-best arm with a single stored arm, then commit (arXiv 2306.02208).

The king stands on an estimate of his mean. A challenger is pulled in rounds that double; he loses as soon as his mean
is clearly below the estimate, and the king's budget, which grows with every challenger, pays for the rounds. A king
whose budget is spent is dethroned. This is the practical form of the game that gives the paper's O(K^{1/3} T^{2/3})
with high constant probability in single-arm memory. Unlike the published code, the estimate rests on pulls of the king
and never on the true gaps, and a challenger who survives all rounds is crowned instead of ending the program.
"""

from __future__ import annotations

import math

from optimand.core.seeds import SeedTree
from optimand.core.validation import check_choice, check_int, check_number

from ..engine.draws import Draws
from .base import Arm, StreamLearner
from .pull_counts import King, king_pulls


class KingEpsBest(StreamLearner):
    """A king who defends his place against challengers.

    With an environment's ``memory`` he needs 2, which includes the arriving arm, and 3 with a fallback.

    Args:
        fallback: ``fractional`` pulls a random share 1.5/ln K of the arms ``ln K/eps^2`` times beside the game, and
            commits to the best of them if the game has used more than ``10 K/eps^2`` trials; it needs a second stored
            arm. None plays the game alone.
        explore: factor of all counts, > 0; 1 is the published one.
        seed: of the random share, where no engine provides random numbers.

    Example:
        >>> from optimand.online.streaming import KingEpsBest, StreamingBandit, run_streaming
        >>> found = run_streaming(KingEpsBest(), StreamingBandit([0.0] * 5 + [1.0] + [0.0] * 2), horizon=8000)
        >>> found.explored, found.regret, found.peak_arms
        (1420, 1200.0, 2)
    """

    plan: King
    king: Arm | None
    second: Arm | None
    draws: Draws | None = None

    def __init__(self, fallback: str | None = None, explore: float = 1.0, seed: int = 0) -> None:
        super().__init__()
        self.fallback: str | None = check_choice("fallback", fallback, (None, "fractional"))
        self.explore = check_number("explore", explore, low=0, low_open=True)
        self.seed = check_int("seed", seed, low=0)

    def draw_from(self, draws: Draws) -> None:
        """Take random numbers from ``draws``, a source for one repetition."""
        self.draws = draws

    def _begin(self, K: int, T: int) -> None:
        self.plan = king_pulls(K, T, self.explore)
        self._own = self.draws or Draws(SeedTree(self.seed).child("learner"), [0])
        self.king = self.second = None
        self.estimate = self.second_mean = -math.inf
        self.budget = self.spent = 0

    def _observe(self, arm: Arm) -> None:
        if self.K == 1:
            self.king = arm
            return
        before = (self.king, self.second, arm)
        if self.left > 0 and (self.fallback is None or self.spent <= self.plan.most):
            at = self.left
            self._challenge(arm, self.plan)
            self.spent += at - self.left
        if self.fallback is not None:
            self._sample(arm, self.plan)
        gone = {id(a): a for a in before if a is not None and a is not self.king and a is not self.second}
        for loser in gone.values():
            loser.release()

    def _challenge(self, arm: Arm, plan: King) -> None:
        if self.king is None:
            self.estimate, _ = self._pull(arm, plan.first)
            self.king, self.budget = arm, plan.first
            return
        self.budget += plan.income
        for pulls in plan.pulls:
            if self.budget < pulls:
                break
            mean, n = self._pull(arm, pulls)
            if n == 0:
                return
            self.budget -= pulls
            if mean <= self.estimate - plan.margin:
                return
        mean, n = self._pull(arm, plan.first)
        if n:
            self.estimate = max(self.estimate, mean)
        self.king, self.budget = arm, plan.first

    def _sample(self, arm: Arm, plan: King) -> None:
        coin = float(self._own.uniform()[0])
        # The first arm always enters, so that there is one to fall back on.
        if self.arrivals > 1 and coin >= plan.chance:
            return
        mean, n = self._pull(arm, plan.fraction)
        if n == 0:
            mean = -math.inf
        if self.second is None or mean > self.second_mean:
            self.second, self.second_mean = arm, mean

    def _choose(self) -> Arm:
        assert self.king is not None
        fallen = self.fallback is not None and self.second is not None and self.spent > self.plan.most
        chosen, other = (self.second, self.king) if fallen else (self.king, self.second)
        if other is not None and other is not chosen:
            other.release()
        self.king = self.second = chosen
        assert chosen is not None
        return chosen
