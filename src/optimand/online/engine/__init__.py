"""One engine for online learning: learners and environments on an axis of repetitions, and regret over time.

A learner has ``reset(spec, draws)``, ``act(observation)`` and ``update(feedback)``; an environment ``reset``, ``spec``,
``step`` and ``regret``. All randomness comes from :class:`Draws`, so results depend on the seed alone.

Example:
    >>> import numpy as np
    >>> from optimand.online.bandits import BernoulliBandit
    >>> from optimand.online.engine import Learner, simulate
    >>> class Stubborn(Learner):
    ...     def reset(self, spec, draws):
    ...         self.arms = np.zeros(spec.reps, dtype=np.int64)
    ...     def act(self, observation):
    ...         return self.arms
    ...     def update(self, feedback):
    ...         pass
    >>> curves = simulate([Stubborn()], BernoulliBandit([0.3, 0.8]), 100, reps=5)
    >>> round(float(curves.mean("Stubborn")[-1]), 6)
    50.0
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimand.core.lazy import lazy_attribute

if TYPE_CHECKING:
    from .contracts import Environment, Feedback, Learner, Spec
    from .curves import Interval, RegretCurves
    from .draws import Draws
    from .grid import Segments, recording_grid
    from .gym import GymEnvironment, as_gym
    from .rollout import Rollout, start
    from .running import run_repetitions
    from .simulation import simulate
    from .sweeps import Sweep, sweep
    from .wrappers import DelayedFeedback, DoublingTrick, PerRepetition, Restart

_HOMES = {
    "DelayedFeedback": "wrappers",
    "DoublingTrick": "wrappers",
    "Draws": "draws",
    "Environment": "contracts",
    "Feedback": "contracts",
    "GymEnvironment": "gym",
    "Interval": "curves",
    "Learner": "contracts",
    "PerRepetition": "wrappers",
    "RegretCurves": "curves",
    "Restart": "wrappers",
    "Rollout": "rollout",
    "Segments": "grid",
    "Spec": "contracts",
    "Sweep": "sweeps",
    "as_gym": "gym",
    "recording_grid": "grid",
    "run_repetitions": "running",
    "simulate": "simulation",
    "start": "rollout",
    "sweep": "sweeps",
}

__all__ = [
    "DelayedFeedback",
    "DoublingTrick",
    "Draws",
    "Environment",
    "Feedback",
    "GymEnvironment",
    "Interval",
    "Learner",
    "PerRepetition",
    "RegretCurves",
    "Restart",
    "Rollout",
    "Segments",
    "Spec",
    "Sweep",
    "as_gym",
    "recording_grid",
    "run_repetitions",
    "simulate",
    "start",
    "sweep",
]


def __getattr__(name: str) -> Any:
    return lazy_attribute(__name__, name, _HOMES)


def __dir__() -> list[str]:
    return __all__
