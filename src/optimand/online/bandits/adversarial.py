"""Bandits on a sequence of losses that was fixed beforehand, with no assumption on how it came about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from optimand.core.validation import OptimandError

from ..engine.contracts import Array, Environment, Feedback, Spec
from ..engine.draws import Draws
from .environments import as_floats, check_arms


class AdversarialBandit(Environment):
    """Losses of all arms for every round, chosen before the learner plays; the reward of a pull is 1 less the loss.

    Regret is against ``best-arm``, the arm with the least sum of losses so far, or ``per-round``, the best arm of every
    round.

    Args:
        losses: in [0, 1]: shape ``(T, K)`` for all repetitions, ``(R, T, K)`` where row ``r`` is for repetition ``r``,
            or a function of draws and horizon that returns either.
        tell_horizon: whether learners are told the horizon.

    Example:
        >>> from optimand.online.bandits import Exp3
        >>> from optimand.online.engine import simulate
        >>> losses = np.zeros((1000, 3))
        >>> losses[:, 0] = 1.0
        >>> float(simulate([Exp3()], AdversarialBandit(losses), 1000, reps=20).mean("Exp3")[-1]) < 60
        True
    """

    kind = "reward"
    comparators = ("best-arm", "per-round")

    def __init__(self, losses: Any, *, tell_horizon: bool = True) -> None:
        self._given: Any = losses if callable(losses) else _checked(losses)
        self.tell_horizon = tell_horizon

    def reset(self, draws: Draws, horizon: int | None) -> None:
        """Make the sequence where it is random, and begin."""
        found = self._given
        if isinstance(found, Callable):  # type: ignore[arg-type]
            found = _checked(found(draws.child("losses"), horizon))
            if found.ndim == 3 and len(found) != len(draws.reps):
                raise OptimandError(f"losses must be for {len(draws.reps)} repetitions, got {len(found)}")
        elif found.ndim == 3:
            if draws.reps.max(initial=0) >= len(found):
                most = draws.reps.max() + 1
                raise OptimandError(f"losses are given for {len(found)} repetitions, and there are at least {most}")
            found = found[draws.reps]
        self.losses: Array = found
        if horizon is not None and horizon > found.shape[-2]:
            raise OptimandError(f"losses are given for {found.shape[-2]} rounds, the horizon is {horizon}")
        self.horizon, self.reps, self.arms, self.now = horizon, len(draws.reps), found.shape[-1], 0
        self.paid = np.zeros(self.reps)
        self._rows = np.arange(self.reps)
        self._totals = np.zeros((1 if found.ndim == 2 else self.reps, self.arms))
        self._least = np.zeros(len(self._totals))
        self._summed = 0

    def spec(self) -> Spec:
        """Arms, and the horizon where it is told."""
        horizon = self.horizon if self.tell_horizon else None
        return Spec("reward", self.reps, horizon, self.arms, facts={"range": (0.0, 1.0), "sigma": 0.5})

    def step(self, actions: Any, counts: Any = None) -> Feedback:
        """The round's rewards."""
        actions = check_arms(actions, self.reps)
        if ((actions < 0) | (actions >= self.arms)).any():
            raise OptimandError(f"actions must be in [0, {self.arms - 1}], got {actions.min()} … {actions.max()}")
        if self.losses.ndim == 2:
            loss = self.losses[self.now, actions]
        else:
            loss = self.losses[self._rows, self.now, actions]
        self.paid += loss
        self.now += 1
        return Feedback(reward=1.0 - loss)

    def regret(self, comparator: str) -> Array:
        """Regret so far, shape ``(R,)``."""
        fresh = self.losses[..., self._summed : self.now, :]
        # one round after another: the sum must not depend on when it was asked for
        for at in range(fresh.shape[-2]):
            self._totals += fresh[..., at, :]
            self._least += fresh[..., at, :].min(-1)
        self._summed = self.now
        return self.paid - (self._least if comparator == "per-round" else self._totals.min(1))


def _checked(losses: Any) -> Array:
    found = as_floats("losses", losses)
    if found.ndim not in (2, 3) or 0 in found.shape or found.shape[-1] < 2:
        raise ValueError(f"losses must have shape (T, K) or (R, T, K) with at least two arms, got {found.shape}")
    outside = found[~((found >= 0) & (found <= 1))]
    if len(outside):
        raise ValueError(f"losses must be in [0, 1], got {outside[0]:g}")
    return found
