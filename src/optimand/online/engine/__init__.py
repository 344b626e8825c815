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

from typing import TYPE_CHECKING

from optimand.core.lazy import lazy_exports

if TYPE_CHECKING:
    from .contracts import Environment as Environment
    from .contracts import Feedback as Feedback
    from .contracts import Learner as Learner
    from .contracts import Spec as Spec
    from .curves import RegretCurves as RegretCurves
    from .draws import Draws as Draws
    from .grid import Segments as Segments
    from .grid import recording_grid as recording_grid
    from .gym import GymEnvironment as GymEnvironment
    from .gym import as_gym as as_gym
    from .rollout import start as start
    from .simulation import simulate as simulate
    from .sweeps import sweep as sweep
    from .wrappers import DelayedFeedback as DelayedFeedback
    from .wrappers import DoublingTrick as DoublingTrick
    from .wrappers import PerRepetition as PerRepetition
    from .wrappers import Restart as Restart

__getattr__, __dir__, __all__ = lazy_exports(__name__)
