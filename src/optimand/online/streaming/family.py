"""The family ``streaming-bandits``: learners that meet each arm once, compared by regret over trials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from optimand.core import adoption
from optimand.core.catalog import Family, Method, add_family

from ..engine.contracts import Spec
from .base import check_learner
from .errors import BudgetExceededError

_EXPECTED = (
    "expected a class Learner(**hyper), or a function that returns an object, with start(K, T), observe_arm(arm) and "
    "commit() -> arm; an arm has pull(n) -> mean reward and release()"
)
_SMALL = (0.2, 0.4, 0.9, 0.1, 0.5)
# A learner may want more trials than a short stream has, and one that pulls in a loop must not be kept busy.
_SHORT = (100, 100_000, 10**9)


def make_learner(method: Method, hyper: Mapping[str, Any], spec: Spec) -> Any:
    """The method's learner for what ``spec`` tells: ``actions`` arms and ``horizon`` trials.

    Raises:
        OptimandError: what the method builds has not the step interface.
    """
    learner = method.build(spec, **{**method.defaults, **hyper})
    check_learner(method.name, learner)
    return learner


def adopt(name: str, obj: Any) -> Method:
    """Turn a user's learner into a method.

    Args:
        name: what the method is to be called.
        obj: a class or function whose result has ``start(K, T)``, ``observe_arm(arm)`` and ``commit()``.
            Hyperparameters and defaults are read from its signature; ``explore``, ``scale`` and ``pulls`` are tuned
            from a tenth to ten times a positive default.

    Raises:
        OptimandError: ``obj`` is something else, has a required hyperparameter, or does not work on a short stream.

    Example:
        >>> class First:
        ...     def start(self, K, T): self.arm = None
        ...     def observe_arm(self, arm):
        ...         if self.arm is None: self.arm = arm
        ...         else: arm.release()
        ...     def commit(self): return self.arm
        >>> adopt("first", First).defaults
        {}
    """
    return adoption.adopt(
        name, obj, family="streaming-bandits", takes="hyperparameters", expected=_EXPECTED, on="a short stream",
        trial=rehearse, build=lambda spec, **hyper: obj(**hyper), leading=0, tuned=("explore", "scale", "pulls"),
        factor=10, counts=("pulls",),
    )  # fmt: skip


def rehearse(method: Method) -> None:
    """Play a stream of five arms, with more trials where the learner asks for more; loops are compiled by the way."""
    for horizon in _SHORT[:-1]:
        try:
            _play(method, np.array(_SMALL), horizon)
            return
        except BudgetExceededError:
            continue
    _play(method, np.array(_SMALL), _SHORT[-1])


def _play(method: Method, means: Any, horizon: int) -> dict[str, float]:
    """What one repetition of a stream counted."""
    from ..engine.simulation import simulate
    from .environment import StreamingBandit

    learner = make_learner(method, {}, Spec("arms", 1, horizon, len(means)))
    found = simulate({"method": learner}, StreamingBandit(means), horizon, reps=1, points=2)
    return {name: float(values[0]) for name, values in found.extras["method"].items()}


def describe(method: Method) -> dict[str, str]:
    """What a method spends on a stream of 100 arms with evenly spread means and a million trials."""
    trials = "trials before commitment, 100 arms, 10^6 trials"
    order = np.random.default_rng(0).permutation(100)
    try:
        told = _play(method, (np.arange(100) / 99)[order], 1_000_000)
    except BudgetExceededError:
        return {trials: "asks for more than there are"}
    return {
        trials: f"{told['explored_pulls']:.0f}",
        "arms alive at once, the arriving one included": f"{told['peak_arms']:.0f}",
    }


add_family(
    Family(
        name="streaming-bandits",
        takes="a class with `start(K, T)`, `observe_arm(handle)` and `commit()`",
        guide="streaming.md",
        summary="find a good arm in a stream that passes once and commit to it; compared by regret over trials",
        adopt=adopt,
        describe=describe,
        methods=("tower-log", "tower-loglog", "tower-logstar", "king", "uniform-explore", "naive-eps-best"),
    )
)
