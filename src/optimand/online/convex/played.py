"""What the environments of this room share: losses are revealed round by round, and judged many rounds at a time.

What is revealed does not depend on what is played, so it is drawn for a chunk of rounds at once, and the points that
were played are kept until the chunk is full or regret is asked for. Sums over rounds are running sums in the order of
the rounds, so that they do not depend on how many repetitions there are.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from optimand.core.validation import OptimandError

from ..engine.contracts import Array, Environment, Feedback, Spec
from ..engine.draws import Draws
from .comparators import outside
from .domains import Domain

CHUNK = 64
# Numbers that a chunk may hold: with many repetitions or dimensions it has fewer rounds.
_MOST = 4_000_000
# How far outside its set, relatively, a point may be played: what a projection found by iterations may leave.
TOLERANCE = 1e-6


def summed(values: Array) -> Array:
    """The sum over the first axis in its order, whatever the other axes; ``np.sum`` may pair terms of few columns."""
    return np.asarray(np.cumsum(values, axis=0)[-1])


class PlayedEnvironment(Environment):
    """Reveals gradient and loss at the points played.

    A subclass draws chunks (:meth:`_draw`), gives the loss of a round (:meth:`_loss`) and judges points
    (:meth:`_judge`).

    Attributes:
        domain: the set to play in.
        d: dimension.
    """

    kind: ClassVar[Any] = "gradient"
    domain: Domain
    d: int

    def _begin(self, draws: Draws, horizon: int | None) -> None:
        self._reps = len(draws.reps)
        self._horizon = horizon
        self._chunk = max(1, min(CHUNK, _MOST // (self._reps * self.d)))
        self._points = np.empty((self._chunk, self._reps, self.d))
        self._at = self._chunk  # the next round's place in the chunk
        self._judged = self._chunk
        self._first = -self._chunk  # rounds before the chunk

    def _told(self, **known: float | None) -> Spec:
        """What learners may know: the set, its diameter ``D``, and of the facts those that are known and finite."""
        known = {"D": self.domain.diameter_in(self.d), **known}
        facts = {name: value for name, value in known.items() if value is not None and np.isfinite(value)}
        return Spec("gradient", self._reps, self._horizon, self.d, domain=self.domain, facts=facts)

    @property
    def rounds(self) -> int:
        """Rounds played."""
        return self._first + self._at

    def step(self, actions: Any, counts: Any = None) -> Feedback:
        """Play the points ``actions`` (R, d).

        Raises:
            OptimandError: the points have another shape, or the horizon is over.
        """
        x = np.asarray(actions)
        if x.shape != (self._reps, self.d):
            raise OptimandError(f"actions must have shape {(self._reps, self.d)}, got {x.shape}")
        j = self._at
        if self._horizon is not None and self._first + j >= self._horizon:
            raise OptimandError(f"the horizon of {self._horizon} rounds is over")
        if j == self._chunk:
            self._flush()
            self._follow()
            self._first += self._chunk
            left = self._chunk if self._horizon is None else min(self._chunk, self._horizon - self._first)
            self._draw(self._first, left)
            j = self._judged = 0
        self._points[j] = x
        self._at = j + 1
        loss = self._loss(j)
        return Feedback(gradient=loss.gradient(x), loss=loss)

    def _flush(self) -> None:
        start, stop = self._judged, self._at
        if start == stop:
            return
        points = self._points[start:stop]
        away = outside(self.domain, points.reshape(-1, self.d))
        if away > TOLERANCE:
            raise OptimandError(
                f"a point outside the domain was played in rounds {self._first + start + 1} to {self._first + stop}: "
                f"{away:.3g} away from {self.domain!r:.80}"
            )
        self._judge(points, start, stop)
        self._judged = stop

    def _follow(self) -> None:
        """Take account of what does not depend on points, before the chunk ends; nothing by default."""

    def _draw(self, first: int, count: int) -> None:
        """Draw what rounds ``first + 1, …, first + count`` reveal."""
        raise NotImplementedError

    def _loss(self, j: int) -> Any:
        """The loss of the ``j``-th round of the chunk."""
        raise NotImplementedError

    def _judge(self, points: Array, start: int, stop: int) -> None:
        """Take account of points (stop - start, R, d) that were played in these rounds of the chunk."""
        raise NotImplementedError
