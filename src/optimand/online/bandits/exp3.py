"""Exp3: exponential weights on estimated losses, for losses that nothing is assumed of."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from optimand.core.validation import check_number

from ..engine.contracts import Array, Feedback, Learner, Spec
from ..engine.draws import Draws
from . import steps


class Exp3(Learner):
    """Exp3 (Auer et al. 2002), in the form with losses (Bubeck and Cesa-Bianchi 2012, section 3.1).

    An arm is drawn with a probability proportional to ``exp(-rate L)``, where ``L`` sums ``(1 - reward)/probability``
    of its pulls. Rewards should be in [0, 1]; on others it runs, and its bounds say nothing.

    Args:
        rate: > 0; None for ``sqrt(ln K/(K t))`` in round ``t``, which needs no horizon.
        factor: of the rate that ``None`` stands for, > 0.
    """

    kind = "reward"

    def __init__(self, rate: float | None = None, factor: float = 1.0) -> None:
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
