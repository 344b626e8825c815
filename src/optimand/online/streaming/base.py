"""What learners on streams of arms share: the step interface, and pulls that never exceed the trials that are left.

A learner meets arms one at a time as handles with ``pull(n) -> mean`` and ``release()``. It may be driven by
:func:`~optimand.online.streaming.running.run_streaming`, by the simulation engine, or by an application with handles of
its own: nothing here asks for more than these two verbs.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Protocol

from optimand.core.validation import OptimandError, check_int

from ..engine.contracts import Stateful
from .errors import BudgetExceededError, StreamLengthError

VERBS = ("start", "observe_arm", "commit")


class Arm(Protocol):
    """A handle of an arm."""

    def pull(self, n: int) -> float:
        """Mean reward of ``n`` fresh trials."""

    def release(self) -> None:
        """Give the arm up; it does not come back."""


class StreamLearner(Stateful):
    """A learner with a step interface: ``start``, ``observe_arm`` for each arm, ``commit``.

    Attributes:
        K, T: what :meth:`start` was told.
        left: trials that the learner may still spend.
        over: whether an arm refused a pull because the trials ran out; for learners that are not told ``T``.
        arrivals: arms observed.
    """

    kind: ClassVar[str] = "arms"

    def __init__(self) -> None:
        self.K: int | None = None
        self.T: int | None = None
        self.left, self.over, self.arrivals = 0, False, 0

    def start(self, K: int | None, T: int | None) -> None:
        """Begin a stream of ``K`` arms and ``T`` trials.

        Raises:
            TypeError, ValueError: ``K`` or ``T`` is missing, no integer, or less than 1.
        """
        self.K, self.T = check_int("K", K, low=1), check_int("T", T, low=1, high=2**62)
        self.left, self.over, self.arrivals = self.T, False, 0
        self._begin(self.K, self.T)

    def observe_arm(self, arm: Arm) -> None:
        """Meet the next arm: pull it, keep it or release it.

        Raises:
            StreamLengthError: more arms come than :meth:`start` was told.
            OptimandError: a reward is NaN, or the stream was not started.
        """
        if self.K is None:
            raise OptimandError(f"{type(self).__name__}: call start(K, T) before observe_arm")
        if self.arrivals == self.K:
            raise StreamLengthError(f"the stream is longer than the K={self.K} arms that start was told")
        self.arrivals += 1
        self._observe(arm)

    def commit(self) -> Arm:
        """The arm for all trials that are left; its handle is the only one that is not released.

        Raises:
            StreamLengthError: fewer arms came than :meth:`start` was told.
        """
        if self.K is None or self.arrivals < self.K:
            raise StreamLengthError(f"the stream ended after {self.arrivals} of K={self.K} arms")
        return self._choose()

    def _begin(self, K: int, T: int) -> None:
        raise NotImplementedError

    def _observe(self, arm: Arm) -> None:
        raise NotImplementedError

    def _choose(self) -> Arm:
        raise NotImplementedError

    def _pull(self, arm: Arm, n: int) -> tuple[float, int]:
        """Mean of at most ``n`` pulls, as many as are left, and their number; NaN and 0 where none is left."""
        n = min(n, self.left)
        if n == 0:
            return math.nan, 0
        try:
            mean = arm.pull(n)
        except BudgetExceededError as error:
            n = self.left = error.left
            self.over = True
            if n == 0:
                return math.nan, 0
            mean = arm.pull(n)
        self.left -= n
        if not -math.inf < mean < math.inf:
            raise OptimandError(f"a batch of {n} pulls has the mean reward {mean}: rewards must be finite numbers")
        return mean, n


def check_learner(name: str, learner: Any) -> None:
    """OptimandError unless ``learner`` has the step interface."""
    missing = [verb for verb in VERBS if not callable(getattr(learner, verb, None))]
    if missing:
        raise OptimandError(
            f"learner {name!r} ({type(learner).__name__}) lacks {', '.join(missing)}: a learner on a stream of arms "
            "has start(K, T), observe_arm(handle) and commit() -> handle"
        )


def state_of(learner: Any) -> Any:
    """A learner's state: what its ``state_dict`` says, else its attributes."""
    return learner.state_dict() if hasattr(learner, "state_dict") else dict(vars(learner))


def set_state(learner: Any, state: Any) -> None:
    """Put a state back that :func:`state_of` took."""
    if hasattr(learner, "load_state_dict"):
        learner.load_state_dict(state)
    else:
        vars(learner).clear()
        vars(learner).update(state)
