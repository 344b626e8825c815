"""Streams of arms that pass once: find a good one in little memory, then commit to it (arXiv 2306.02208).

Example:
    >>> from optimand.online.streaming import StreamingBandit, TowerEpsBest, mix_in, run_streaming
    >>> found = run_streaming(TowerEpsBest("loglog"), StreamingBandit(mix_in(100)), horizon=1_000_000)
    >>> found.gap < 0.05, found.peak_arms
    (True, 3)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimand.core.lazy import lazy_exports

if TYPE_CHECKING:
    from .anytime import AnytimeEpsBest as AnytimeEpsBest
    from .base import StreamLearner as StreamLearner
    from .environment import StreamingBandit as StreamingBandit
    from .errors import ArmDiscardedError as ArmDiscardedError
    from .errors import BudgetExceededError as BudgetExceededError
    from .errors import MemoryExceededError as MemoryExceededError
    from .errors import StreamLengthError as StreamLengthError
    from .instances import beta_arms as beta_arms
    from .instances import classifier_stream as classifier_stream
    from .instances import clear_cut as clear_cut
    from .instances import hard_instance as hard_instance
    from .instances import mix_in as mix_in
    from .king import KingEpsBest as KingEpsBest
    from .pull_counts import schedules as schedules
    from .running import run_streaming as run_streaming
    from .tower import NaiveEpsBest as NaiveEpsBest
    from .tower import TowerEpsBest as TowerEpsBest
    from .tower import UniformExplore as UniformExplore

__getattr__, __dir__, __all__ = lazy_exports(__name__)
