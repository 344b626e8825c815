"""Finite-armed bandits: Bernoulli, Gaussian, resampled tables of outcomes, and sequences of losses.

What an arm gives at its n-th pull is a function of the repetition, the arm and n, so all learners meet the same noise
(the *tape* of the arm), in whatever order they pull. Means stay here: a learner is told the number of arms, their
features, the horizon and constants. Importing this module imports Numba.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from optimand.core.validation import OptimandError, check_int

from ..engine.contracts import Array, Environment, Feedback, Spec
from ..engine.draws import Draws
from . import pulls

BERNOULLI, GAUSSIAN, TABLE = pulls.BERNOULLI, pulls.GAUSSIAN, pulls.TABLE

# Means, or what draws them for the repetitions at hand.
Means = Any


class StochasticBandit(Environment):
    """Arms whose rewards are independent draws; the base of the environments with known means.

    Regret is pseudo-regret, with true means, against

    * ``best-arm``: the arm with the largest sum of means over the rounds so far;
    * ``per-segment``: the best arm of every round, which differs where means change;
    * ``realised``: the arm whose own tape of rewards has the largest sum, less the rewards that were earned.

    Args:
        means: shape ``(K,)``; ``(R, K)`` where row ``r`` is for repetition ``r``; or a function of
            :class:`~optimand.online.engine.draws.Draws` that returns ``(R, K)`` for its repetitions. With ``changes``
            the same with an axis of segments before that of arms, ``(S, K)`` or ``(R, S, K)``.
        changes: rounds (from 0) at which the next row of means begins to hold, rising, ``S - 1`` of them.
        features: of the arms, shape ``(K, d)``, which learners are told.
        tell_horizon: whether learners are told the horizon.

    A subclass may override :meth:`instance`, which makes the means of the repetitions at hand, for instance of a
    misspecified linear model.
    """

    kind = "reward"
    comparators = ("best-arm", "per-segment", "realised")
    law: ClassVar[int] = BERNOULLI

    def __init__(
        self, means: Means, *, changes: Sequence[int] = (), features: Any = None,
        tell_horizon: bool = True,
    ) -> None:  # fmt: skip
        self._given = means if callable(means) else self._checked(as_floats("means", means), len(changes) + 1)
        self.changes = tuple(check_int("changes", change, low=1) for change in changes)
        if list(self.changes) != sorted(set(self.changes)):
            raise ValueError(f"changes must rise, got {list(changes)}")
        self.features = None if features is None else as_floats("features", features)
        self.tell_horizon = tell_horizon
        if self.features is not None and self.features.ndim != 2:
            raise ValueError(f"features must have shape (K, d), got {self.features.shape}")
        # Segments of a batch would have to be drawn one by one.
        self.batches = not self.changes  # type: ignore[misc]

    def instance(self, draws: Draws) -> Array:
        """Means of the repetitions of ``draws``: ``(R, K)`` or ``(1, K)`` for all, with changes ``(R, S, K)``."""
        if callable(self._given):
            return np.asarray(self._given(draws), dtype=float)
        segmented = 2 if self.changes else 1
        if self._given.ndim == segmented:
            return self._given[None]
        if draws.reps.max(initial=0) >= len(self._given):
            rows = len(self._given)
            hint = "" if self.changes else "; rows that follow one another in time need changes=[…]"
            raise OptimandError(
                f"means have {rows} rows, one for each repetition, and there are at least {draws.reps.max() + 1} "
                f"repetitions: give a single row for all{hint}"
            )
        return self._given[draws.reps]

    def sigmas(self, arms: int) -> Array:
        """Standard deviations of the noise, shape ``(K,)``; used by Gaussian rewards alone."""
        return np.zeros(arms)

    def table(self) -> Array:
        """Outcomes that are drawn from, shape ``(K, N)``; used by tables alone."""
        return np.zeros((1, 1))

    def facts(self) -> dict[str, Any]:
        """Constants that learners are told: ``range`` of the rewards, ``sigma`` of which the noise is subgaussian."""
        return {"range": (0.0, 1.0), "sigma": 0.5}

    def reset(self, draws: Draws, horizon: int | None) -> None:
        """Draw the means where they are random, and begin."""
        if self.changes and horizon is not None and self.changes[-1] >= horizon:
            raise OptimandError(f"changes must be before the horizon of {horizon}, got {list(self.changes)}")
        # The number of rows says whether all repetitions have the same means: it must not depend on the block.
        means = self.instance(draws.child("instance"))
        shape = "(R, S, K)" if self.changes else "(R, K)"
        if means.ndim != (3 if self.changes else 2) or len(means) not in (1, len(draws.reps)):
            raise OptimandError(
                f"means must come in the shape {shape} with R = {len(draws.reps)} or 1, got {means.shape}"
            )
        means = means if self.changes else means[:, None]
        self._checked(means, len(self.changes) + 1)
        reps, arms = len(draws.reps), means.shape[2]
        if self.features is not None and len(self.features) != arms:
            raise OptimandError(f"features are given for {len(self.features)} arms, means for {arms}")
        self.horizon, self.reps, self.arms = horizon, reps, arms
        self.means = np.ascontiguousarray(means)
        self.pulls, self.time = np.zeros((reps, arms), np.int64), np.zeros(reps, np.int64)
        self.lost, self.earned = np.zeros(reps), np.zeros(reps)
        self._arm_state = (
            pulls.tape_starts(draws.key, draws.reps, arms), self.means, np.ascontiguousarray(means.max(2)),
            np.array([*self.changes, pulls.NEVER]), np.ascontiguousarray(self.sigmas(arms), dtype=float),
            np.ascontiguousarray(self.table(), dtype=float), self.pulls, self.time, self.lost, self.earned,
        )  # fmt: skip
        self._tape: Array | None = None
        self._seen = np.zeros(reps, np.int64)
        self._summed = False

    def spec(self) -> Spec:
        """Arms, features, constants, and the horizon where it is told."""
        horizon = self.horizon if self.tell_horizon else None
        return Spec("reward", self.reps, horizon, self.arms, features=self.features, facts=self.facts())

    def step(self, actions: Any, counts: Any = None) -> Feedback:
        """Pull an arm in every repetition, once or ``counts`` times.

        Raises:
            OptimandError: ``actions`` is not an array ``(R,)`` of whole numbers from 0 to K - 1.
        """
        actions = check_arms(actions, self.reps)
        rewards = np.empty(self.reps)
        if counts is None:
            wrong = pulls.step(self.law, self._arm_state, actions, rewards)
        else:
            counts = np.ascontiguousarray(counts, dtype=np.int64)
            self._summed = self._summed or (self.law != TABLE and int(counts.max()) > pulls.SINGLE)
            wrong = pulls.step_batches(self.law, self._arm_state, actions, counts, rewards)
        if wrong >= 0:
            raise OptimandError(f"actions must be in [0, {self.arms - 1}], got {actions[wrong]}")
        return Feedback(reward=rewards)

    def regret(self, comparator: str) -> Array:
        """Regret so far, shape ``(R,)``."""
        if comparator == "per-segment" or (comparator == "best-arm" and not self.changes):
            return self.lost.copy()
        if comparator == "best-arm":
            totals = np.empty((self.reps, self.arms))
            pulls.fixed_arm_totals(self._arm_state, totals)
            return self.lost + totals.max(1)
        if self._summed:
            raise OptimandError(
                f"regret against 'realised' rewards needs single pulls: batches of more than {pulls.SINGLE} are drawn "
                "as sums"
            )
        if self._tape is None:
            self._tape = np.zeros((self.reps, self.arms))
        pulls.advance_tape(self.law, self._arm_state, self._tape, self._seen)
        return self._tape.max(1) - self.earned

    def extras(self) -> dict[str, Array]:
        """Rewards earned, and the share of pulls of an arm that was the best on average."""
        segments = np.diff(np.minimum([0, *self._arm_state[3]], int(self.time.max(initial=1))))
        best = (self.means * segments[:, None]).sum(1).argmax(1)
        share = self.pulls[np.arange(self.reps), np.broadcast_to(best, self.reps)] / np.maximum(self.time, 1)
        return {"earned": self.earned.copy(), "best_arm_share": share}

    def _checked(self, means: Array, segments: int) -> Array:
        if not np.isfinite(means).all() or means.size == 0 or means.ndim == 0 or means.shape[-1] < 2:
            raise ValueError(f"means must be finite numbers of at least two arms, got {means!r:.80}")
        low, high = self.support()
        if (means < low).any() or (means > high).any():
            raise ValueError(f"means must be in [{low:g}, {high:g}], got {means.min():g} … {means.max():g}")
        if segments > 1 and (means.ndim < 2 or means.shape[-2] != segments):
            raise ValueError(f"means must have {segments} rows for {segments - 1} changes, got shape {means.shape}")
        if means.ndim > (3 if segments > 1 else 2) + (means.ndim == 3 and means.shape[1] == 1):
            raise ValueError(f"means must have shape (K,) or (R, K), got {means.shape}")
        return means

    def support(self) -> tuple[float, float]:
        """The interval that means must be in."""
        return 0.0, 1.0


def plain_arms(env: Environment, learner: Any, base: Any) -> StochasticBandit | None:
    """``env`` where a compiled loop may stand for ``base``'s steps in it; else None."""
    steps = type(learner)
    if not isinstance(env, StochasticBandit) or type(env).step is not StochasticBandit.step:
        return None
    return env if steps.act is base.act and steps.update is base.update else None


def as_floats(name: str, values: Any) -> Array:
    """``values`` as an array of floats; ValueError that names them where they are no numbers or of uneven rows."""
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be numbers in rows of equal length, got {values!r:.80}") from None


def check_arms(actions: Any, reps: int) -> Array:
    """``actions`` as contiguous int64 of shape ``(R,)``; OptimandError for anything else."""
    if type(actions) is np.ndarray and actions.shape == (reps,) and actions.dtype == np.int64:
        return np.ascontiguousarray(actions)  # the usual case, which must cost next to nothing
    actions = np.asarray(actions)
    if actions.shape != (reps,) or actions.dtype.kind not in "iu":
        raise OptimandError(
            f"actions must be whole numbers of shape ({reps},), got shape {actions.shape} of {actions.dtype}"
        )
    return np.ascontiguousarray(actions, dtype=np.int64)


class BernoulliBandit(StochasticBandit):
    """Arms that give 1 with a probability of their own, else 0.

    Args:
        means: probabilities; see :class:`StochasticBandit`, also for the other arguments.

    Example:
        >>> from optimand.online.bandits import UCB1
        >>> from optimand.online.engine import simulate
        >>> bandit = BernoulliBandit([0.3, 0.7])
        >>> bool(simulate([UCB1()], bandit, 2000, reps=50).mean("UCB1")[-1] < 40)
        True
    """


class GaussianBandit(StochasticBandit):
    """Arms with normal rewards.

    Args:
        means: finite numbers; see :class:`StochasticBandit`, also for the other arguments.
        sigma: standard deviation of the noise, > 0: a number or one for each arm. Learners are told the largest.

    Example:
        >>> from optimand.online.bandits import ThompsonSampling
        >>> from optimand.online.engine import simulate
        >>> bandit = GaussianBandit(lambda draws: draws.normal(5), sigma=2.0)
        >>> simulate([ThompsonSampling()], bandit, 100, reps=3).reps
        3
    """

    law = GAUSSIAN

    def __init__(self, means: Means, sigma: Any = 1.0, **options: Any) -> None:
        super().__init__(means, **options)
        self.sigma = np.atleast_1d(as_floats("sigma", sigma))
        if self.sigma.ndim > 1 or not (self.sigma > 0).all() or not np.isfinite(self.sigma).all():
            raise ValueError(f"sigma must be a positive number or one for each arm, got {sigma!r}")

    def support(self) -> tuple[float, float]:
        """All numbers."""
        return -np.inf, np.inf

    def sigmas(self, arms: int) -> Array:
        """One for each arm."""
        if len(self.sigma) not in (1, arms):
            raise OptimandError(f"sigma must be a number or one for each of {arms} arms, got {len(self.sigma)}")
        return np.broadcast_to(self.sigma, arms)

    def facts(self) -> dict[str, Any]:
        """The noise; the rewards have no range."""
        return {"sigma": float(self.sigma.max())}


class TableBandit(StochasticBandit):
    """Arms that draw from outcomes that were measured: each pull gives an entry of the arm's row, chosen at random.

    Args:
        outcomes: shape ``(K, N)``, in [0, 1]: a row for each arm, with its N outcomes.
        options: as of :class:`StochasticBandit`, without ``changes``.

    Example:
        >>> TableBandit([[0.0, 1.0], [0.5, 0.7]]).instance(None).round(2).tolist()
        [[0.5, 0.6]]
    """

    law = TABLE

    def __init__(self, outcomes: Any, **options: Any) -> None:
        self.outcomes = as_floats("outcomes", outcomes)
        if self.outcomes.ndim != 2 or 0 in self.outcomes.shape:
            raise ValueError(f"outcomes must have shape (K, N), a row for each arm, got {self.outcomes.shape}")
        outside = self.outcomes[~((self.outcomes >= 0) & (self.outcomes <= 1))]
        if len(outside):
            raise ValueError(f"outcomes must be in [0, 1], got {outside[0]:g}")
        if options.get("changes"):
            raise ValueError("changes are not for tables of outcomes")
        super().__init__(self.outcomes.mean(1), **options)

    def table(self) -> Array:
        """The outcomes."""
        return self.outcomes


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
        self._given: Any = losses if callable(losses) else _checked_losses(losses)
        self.tell_horizon = tell_horizon

    def reset(self, draws: Draws, horizon: int | None) -> None:
        """Make the sequence where it is random, and begin."""
        found = self._given
        if isinstance(found, Callable):  # type: ignore[arg-type]
            found = _checked_losses(found(draws.child("losses"), horizon))
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


def _checked_losses(losses: Any) -> Array:
    found = as_floats("losses", losses)
    if found.ndim not in (2, 3) or 0 in found.shape or found.shape[-1] < 2:
        raise ValueError(f"losses must have shape (T, K) or (R, T, K) with at least two arms, got {found.shape}")
    outside = found[~((found >= 0) & (found <= 1))]
    if len(outside):
        raise ValueError(f"losses must be in [0, 1], got {outside[0]:g}")
    return found
