"""An unknown number of trials: epochs of the stream with budgets that double.

No learner that keeps at most ``m < K`` arms has, on every stream, regret that grows slower than ``T`` against the best
of all ``K`` arms. Let the last arm have mean 1 and all others 1/2. If regret grows slower than ``T``, the first ``m``
arms are not kept for ever: with probability 1/2 one of them is released within some ``s`` trials, and a certain one of
them, arm ``i``, is the first to go with probability at least ``1/(2m)``. Now let arm ``i`` have mean
``1/2 + d``, ``d = 1/(5 m sqrt(s))``, and all others 1/2. Until the first release only the first ``m`` arms have been
seen, and by Pinsker's inequality ``s`` rewards change no probability by more than ``1/(4m)``: with probability at least
``1/(4m)`` the best arm is released all the same, and every later trial costs ``d``.

What is possible, and what this does: epoch ``j`` takes the next ``arms`` arms of the stream and ``first 2^j`` trials,
plays a known-horizon learner on them and on the winner so far, and commits until the epoch's trials are spent. If that
learner's regret is at most ``C k^{1/3} t^{2/3}`` for ``k`` arms and ``t`` trials, the sum over the epochs of the regret
against the best arm of each epoch (the winner carried over included) is, for every ``T >= first`` while arms last, at
most ``4.3 C (arms + 1)^{1/3} T^{2/3}``: the budgets sum to a geometric series with the factor
``1/(1 - 2^{-2/3}) < 2.71``, and the last, perhaps unfinished epoch is at most twice as long as ``T``. That is regret
against the best of all arms where every epoch's arms are as good: streams that come again, or that go on for ever from
one distribution, there up to the best of ``arms`` draws. After the last arm the winner is played for all time.
"""

from __future__ import annotations

from optimand.core.validation import OptimandError, check_int

from .base import Arm, StreamLearner
from .errors import StreamLengthError
from .tower import TowerEpsBest


class AnytimeEpsBest(StreamLearner):
    """A known-horizon learner in epochs of doubling budget, for a number of trials that nobody knows.

    Args:
        learner: plays the epochs; the ``loglog`` tower by default.
        arms: arms of an epoch, besides the winner carried over, at least 1.
        first: trials of the first epoch; ``100 arms`` by default.

    Example:
        >>> from optimand.online.streaming import AnytimeEpsBest, StreamingBandit, run_streaming
        >>> found = run_streaming(AnytimeEpsBest(arms=4), StreamingBandit([0.1, 0.2, 0.9, 0.1] * 5), horizon=5000)
        >>> found.gap, found.explored <= 5000
        (0.0, True)
    """

    def __init__(self, learner: StreamLearner | None = None, arms: int = 50, first: int | None = None) -> None:
        super().__init__()
        self.learner = TowerEpsBest() if learner is None else learner
        if not isinstance(self.learner, StreamLearner) or isinstance(self.learner, AnytimeEpsBest):
            raise OptimandError(f"learner must be one with a known horizon, got {learner!r}")
        self.epoch_arms = check_int("arms", arms, low=1)
        self.first = 100 * self.epoch_arms if first is None else check_int("first", first, low=1)
        self.epoch, self.got = -1, 0
        self.winner: Arm | None = None

    def budget(self, epoch: int) -> int:
        """Trials of an epoch."""
        return min(self.first * 2**epoch, 2**62)

    def start(self, K: int | None = None, T: int | None = None) -> None:
        """Begin a stream; ``K`` is only used to check its length, ``T`` not at all."""
        self.K = None if K is None else check_int("K", K, low=1)
        self.over, self.arrivals, self.epoch, self.got, self.winner = False, 0, -1, 0, None

    def draw_from(self, draws: object) -> None:
        """Hand random numbers on."""
        if hasattr(self.learner, "draw_from"):
            self.learner.draw_from(draws)

    def observe_arm(self, arm: Arm) -> None:
        """Meet the next arm; at the end of an epoch the winner is played first for what is left of its trials."""
        if self.K is not None and self.arrivals == self.K:
            raise StreamLengthError(f"the stream is longer than the K={self.K} arms that start was told")
        self.arrivals += 1
        inner = self.learner
        if (self.epoch < 0 or self.got == self.epoch_arms) and not self.over:
            self._next_epoch()
        if self.over:
            arm.release()
            return
        inner.observe_arm(arm)
        self.got += 1
        self.over = inner.over
        if self.got == self.epoch_arms:
            self.winner = inner.commit()
            self.over = inner.over

    def _next_epoch(self) -> None:
        inner, winner = self.learner, self.winner
        if winner is not None:
            inner._pull(winner, inner.left)
        over = inner.over
        self.epoch += 1
        self.got, self.winner = 0, None
        inner.start(self.epoch_arms + (winner is not None), self.budget(self.epoch))
        if winner is not None:
            inner.observe_arm(winner)
        self.over = over or inner.over

    def commit(self) -> Arm:
        """The winner so far."""
        if self.arrivals == 0 or (self.K is not None and self.arrivals < self.K):
            raise StreamLengthError(f"the stream ended after {self.arrivals} of K={self.K} arms")
        return self.winner if self.winner is not None else self.learner._choose()
