"""Built-in learners as arrays for the compiled loops: their counts, and their state for all repetitions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..engine.draws import Draws
from .accounts import Accounts, Array
from .anytime import AnytimeEpsBest
from .kernels import run_king, run_tower
from .king import KingEpsBest
from .pull_counts import LARGEST, king_pulls
from .tower import NaiveEpsBest, TowerEpsBest, TowerLearner, UniformExplore

TOWERS = (UniformExplore, NaiveEpsBest, TowerEpsBest)


# Counts by epoch and level, counts by epoch; a learner that knows the horizon has one epoch.
LEVEL_PLAN = np.dtype([("pulls", np.int64), ("arms", np.int64)])
EPOCH_PLAN = np.dtype(
    [("levels", np.int64), ("final", np.int64), ("budget", np.int64), ("size", np.int64), ("alone", np.bool_)]
)
# A champion by level (-1 for none), and what a repetition knows besides.
LEVEL = np.dtype([("arm", np.int64), ("mean", np.float64), ("used", np.int64), ("count", np.int64)])
TOWER = np.dtype(
    [("epoch", np.int64), ("left", np.int64), ("got", np.int64), ("alive", np.int64), ("over", np.bool_),
     ("chosen", np.bool_)]
)  # fmt: skip
KING = np.dtype(
    [("arm", np.int64), ("estimate", np.float64), ("budget", np.int64), ("spent", np.int64), ("left", np.int64),
     ("over", np.bool_), ("second", np.int64), ("second_mean", np.float64)]
)  # fmt: skip


class KingPlan(NamedTuple):
    """Counts of the king, and the key of his random numbers."""

    first: int
    income: int
    margin: float
    chance: float
    fraction: int
    most: int
    fractional: bool
    key: Any


@dataclass
class Compiled:
    """A compiled loop ``run(accounts, *counts, *state, target)`` with what it works on.

    Attributes:
        run: the loop.
        counts: what it reads.
        state: arrays that it changes.
    """

    run: Callable[..., None]
    counts: tuple[Any, ...]
    state: tuple[Array, ...]


def compile_plan(learner: Any, accounts: Accounts, draws: Draws) -> Compiled | None:
    """The compiled form of a learner; None where there is none, as for a subclass, which may do something else."""
    reps, K = accounts.means.shape
    if type(learner) is KingEpsBest:
        return _king(learner, reps, K, accounts.terms.horizon, draws)
    if type(learner) in TOWERS:
        return _tower(learner, reps, [(K, K, accounts.terms.horizon)], epochs=False)
    if type(learner) is AnytimeEpsBest and isinstance(learner.learner, TOWERS) and type(learner.learner) in TOWERS:
        arms = learner.epoch_arms
        number = -(-K // arms) + 1
        sizes = [(arms, arms + (j > 0), learner.budget(j)) for j in range(number)]
        return _tower(learner.learner, reps, sizes, epochs=True)
    return None


def _tower(learner: TowerLearner, reps: int, sizes: list[tuple[int, int, int]], epochs: bool) -> Compiled:
    plans = [learner.counts(K, T) for _, K, T in sizes]
    levels = max(plan.levels for plan in plans)
    by_level = np.full((len(plans), levels), LARGEST, LEVEL_PLAN)
    by_epoch = np.zeros(len(plans), EPOCH_PLAN)
    for row, (plan, (size, K, T)) in enumerate(zip(plans, sizes, strict=True)):
        by_level["pulls"][row, : plan.levels], by_level["arms"][row, : plan.levels] = plan.pulls, plan.arms
        by_epoch[row] = (plan.levels, plan.final, T, size, K == 1)
    state = np.zeros(reps, TOWER)
    state["left"] = sizes[0][2]
    champions = np.zeros((reps, levels), LEVEL)
    champions["arm"], champions["mean"] = -1, -np.inf
    return Compiled(run_tower, (by_level, by_epoch, epochs), (state, champions))


def _king(learner: KingEpsBest, reps: int, K: int, T: int, draws: Draws) -> Compiled:
    plan = king_pulls(K, T, learner.explore)
    counts = KingPlan(
        plan.first, plan.income, plan.margin, plan.chance, plan.fraction, plan.most, learner.fallback is not None,
        draws.key,
    )  # fmt: skip
    state = np.zeros(reps, KING)
    state["arm"], state["second"], state["left"] = -1, -1, T
    state["estimate"], state["second_mean"] = -np.inf, -np.inf
    return Compiled(run_king, (counts, np.array(plan.pulls, np.int64)), (state,))
