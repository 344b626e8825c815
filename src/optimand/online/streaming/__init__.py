"""Streams of arms that pass once: find a good one in little memory, then commit to it (arXiv 2306.02208).

Example:
    >>> from optimand.online.streaming import StreamingBandit, TowerEpsBest, mix_in, run_streaming
    >>> found = run_streaming(TowerEpsBest("loglog"), StreamingBandit(mix_in(100)), horizon=1_000_000)
    >>> found.gap < 0.05, found.peak_arms
    (True, 3)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimand.core.lazy import lazy_attribute

if TYPE_CHECKING:
    from .anytime import AnytimeEpsBest
    from .base import StreamLearner
    from .classifiers import classifier_stream
    from .environment import StreamingBandit
    from .errors import ArmDiscardedError, BudgetExceededError, MemoryExceededError, StreamLengthError
    from .instances import Instances, beta_arms, clear_cut, hard_instance, mix_in
    from .king import KingEpsBest
    from .pull_counts import schedules
    from .running import StreamingResult, run_streaming
    from .stream import ArmHandle, ArmStream
    from .tower import NaiveEpsBest, TowerEpsBest, UniformExplore

_HOMES = {
    "AnytimeEpsBest": "anytime",
    "ArmDiscardedError": "errors",
    "ArmHandle": "stream",
    "ArmStream": "stream",
    "BudgetExceededError": "errors",
    "Instances": "instances",
    "KingEpsBest": "king",
    "MemoryExceededError": "errors",
    "NaiveEpsBest": "tower",
    "StreamLearner": "base",
    "StreamLengthError": "errors",
    "StreamingBandit": "environment",
    "StreamingResult": "running",
    "TowerEpsBest": "tower",
    "UniformExplore": "tower",
    "beta_arms": "instances",
    "classifier_stream": "classifiers",
    "clear_cut": "instances",
    "hard_instance": "instances",
    "mix_in": "instances",
    "run_streaming": "running",
    "schedules": "pull_counts",
}

__all__ = [
    "AnytimeEpsBest",
    "ArmDiscardedError",
    "ArmHandle",
    "ArmStream",
    "BudgetExceededError",
    "Instances",
    "KingEpsBest",
    "MemoryExceededError",
    "NaiveEpsBest",
    "StreamLearner",
    "StreamLengthError",
    "StreamingBandit",
    "StreamingResult",
    "TowerEpsBest",
    "UniformExplore",
    "beta_arms",
    "classifier_stream",
    "clear_cut",
    "hard_instance",
    "mix_in",
    "run_streaming",
    "schedules",
]


def __getattr__(name: str) -> Any:
    return lazy_attribute(__name__, name, _HOMES)


def __dir__() -> list[str]:
    return __all__
