"""Catalog entries of the family ``bandits``: each makes a learner from a :class:`~.family.BanditTask`."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from optimand.core.catalog import method
from optimand.core.space import Choice, Float, Int
from optimand.core.validation import check_int

from .. import bandits

if TYPE_CHECKING:
    from .family import BanditTask


@method("ucb1", family="bandits", space={"exploration": Float(0.02, 4.0, log=True)})
def ucb1(task: BanditTask, *, exploration: float = 2.0) -> Any:
    """UCB1: the largest mean plus width of its interval."""
    return bandits.UCB1(exploration)


@method("kl-ucb", family="bandits", space={"c": Float(0.0, 3.0)})
def kl_ucb(task: BanditTask, *, c: float = 0.0) -> Any:
    """KL-UCB: the largest mean that the rewards leave plausible."""
    return bandits.KLUCB(c)


@method("moss", family="bandits", space={"exploration": Float(0.1, 4.0, log=True)})
def moss(task: BanditTask, *, exploration: float = 1.0) -> Any:
    """MOSS: widths that shrink as an arm uses up its share of the horizon, which it knows."""
    return bandits.MOSS(exploration)


@method("thompson", family="bandits")
def thompson(task: BanditTask) -> Any:
    """Thompson sampling: the best arm of a draw from the posterior."""
    return bandits.ThompsonSampling()


@method("epsilon-greedy", family="bandits", space={"scale": Float(0.1, 100.0, log=True)})
def epsilon_greedy(task: BanditTask, *, scale: float = 1.0) -> Any:
    """The best arm so far, but any with a probability that decays as scale K/t."""
    return bandits.EpsilonGreedy(scale)


@method("explore-then-commit", family="bandits", space={"factor": Float(0.05, 5.0, log=True)})
def explore_then_commit(task: BanditTask, *, factor: float = 1.0) -> Any:
    """Every arm equally often, then the best one for ever; factor of the pulls that balance both."""
    return bandits.ExploreThenCommit(factor=factor)


@method(
    "successive-elimination",
    family="bandits",
    space={"exploration": Float(0.1, 2.0, log=True), "growth": Choice(1.1, 1.25, 2.0)},
)
def successive_elimination(task: BanditTask, *, exploration: float = 1.0, growth: float = 1.25) -> Any:
    """Arms in turn, in growing batches, without those that are surely not the best."""
    return bandits.SuccessiveElimination(growth, exploration)


@method("exp3", family="bandits", space={"factor": Float(0.1, 10.0, log=True)})
def exp3(task: BanditTask, *, factor: float = 1.0) -> Any:
    """Exp3: exponential weights on estimated losses; factor of the usual rate."""
    return bandits.Exp3(factor=factor)


@method("ucb1-restarted", family="bandits", space={"exploration": Float(0.02, 4.0, log=True), "restarts": Int(1, 50)})
def ucb1_restarted(task: BanditTask, *, exploration: float = 2.0, restarts: int = 5) -> Any:
    """UCB1 begun anew so many times over the horizon, for means that change."""
    from ..engine.wrappers import Restart

    check_int("restarts", restarts, low=1)
    return Restart(functools.partial(bandits.UCB1, exploration), -(-task.horizon // restarts))


@method("uniform", family="bandits")
def uniform(task: BanditTask) -> Any:
    """Any arm, each as likely."""
    return bandits.UniformRandom()
