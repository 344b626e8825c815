"""The family ``bandits``: learners on finitely many arms, compared by regret after a number of pulls."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from optimand.core import adoption
from optimand.core.catalog import Family, Method, add_family

from ..engine.wrappers import GIVEN, PerRepetition, takes_size

TUNED = ("exploration", "scale", "rate", "c", "epsilon", "factor")
ROUNDS = 12  # of a rehearsal

_EXPECTED = (
    "expected a class whose objects have reset(spec, draws), act(observation), update(feedback) on arrays of "
    "repetitions; or a class of the number of arms whose objects have select() and update(arm, reward), or "
    "act(observation) and update(reward)"
)


@dataclass(frozen=True)
class BanditTask:
    """What a method may know before its learner is made.

    Attributes:
        horizon: pulls to come.
    """

    horizon: int


def adopt(name: str, obj: Any) -> Method:
    """Turn a user's learner into a method.

    Args:
        name: what the method is to be called.
        obj: a class (or function that makes objects) of learners on arrays, made without arguments; or of plain
            objects, one for each repetition, made from the number of arms where it takes a first argument, and with
            ``rng`` and ``horizon`` where it takes those. Further parameters are hyperparameters and need defaults;
            positive ones with usual names (``exploration``, ``scale``, ``rate``, ``c``, …) are tuned.

    Raises:
        OptimandError: ``obj`` is something else, has a required hyperparameter, or does not work on a small bandit.

    Example:
        >>> class Greedy:
        ...     def __init__(self, arms, c=1.0):
        ...         self.sums, self.pulls = [c] * arms, [1] * arms
        ...     def select(self):
        ...         return max(range(len(self.sums)), key=lambda a: self.sums[a] / self.pulls[a])
        ...     def update(self, arm, reward):
        ...         self.sums[arm] += reward
        ...         self.pulls[arm] += 1
        >>> adopt("greedy", Greedy).defaults
        {'c': 1.0}
    """
    try:
        leading = takes_size(obj)
    except (TypeError, ValueError):  # adoption says what is wrong with it
        leading = False
    return adoption.adopt(
        name, obj, family="bandits", takes="arms", expected=_EXPECTED, on="a small bandit", trial=rehearse,
        build=functools.partial(_build, obj, leading), given=GIVEN, leading=int(leading), tuned=TUNED, factor=10,
    )  # fmt: skip


def _build(obj: Callable[..., Any], leading: bool, task: BanditTask, **hyper: Any) -> Any:
    make = functools.partial(obj, **hyper)
    if not leading and not set(GIVEN) & set(inspect.signature(obj).parameters):
        made = make()
        if callable(getattr(made, "reset", None)):
            return made
    return PerRepetition(make)


def rehearse(method: Method, rounds: int = ROUNDS, reps: int = 2) -> float:
    """Regret of a method on a small bandit of three arms, which every method of the family can play."""
    from ..engine.simulation import simulate
    from .environments import BernoulliBandit

    learner = method.build(BanditTask(rounds), **method.defaults)
    found = simulate({method.name: learner}, BernoulliBandit([0.2, 0.4, 0.8]), rounds, reps=reps, points=2)
    return float(found.mean(method.name)[-1])


def describe(method: Method) -> dict[str, str]:
    """Regret on a small bandit, and whether the method must know the horizon or pulls in batches."""
    learner = method.build(BanditTask(500), **method.defaults)
    return {
        "regret after 500 pulls of arms 0.2, 0.4, 0.8": f"{rehearse(method, 500, 20):.1f}",
        "knows the horizon": "yes" if "horizon" in getattr(learner, "needs", ()) else "no",
        "pulls in batches": "yes" if getattr(learner, "batched", False) else "no",
    }


add_family(
    Family(
        name="bandits",
        takes="a class of the number of arms with `select()` and `update(arm, reward)`, or a learner of the engine",
        guide="bandits.md",
        summary="pull arms whose rewards are unknown; compared by regret against the best arm",
        adopt=adopt,
        describe=describe,
        methods=("ucb1", "kl-ucb", "thompson", "moss", "epsilon-greedy", "exp3"),
    )
)
