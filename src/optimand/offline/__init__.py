"""Offline optimization: propose designs from a fixed data set, without asking the oracle.

Example:
    >>> from optimand import offline
    >>> task = offline.make("synthetic:dim=4")
    >>> task.score(task.x[task.data.best(8)])[100] < 1
    True
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimand.core.lazy import lazy_attribute

if TYPE_CHECKING:
    from .problems import OfflineProblem
    from .proposing import optimize
    from .tasks.arrays import task_from_arrays
    from .tasks.base import OfflineData, Task
    from .tasks.locking import OracleLocked
    from .tasks.registry import make
    from .tasks.scoring import percentile_scores

_HOMES = {
    "OfflineData": "tasks.base",
    "OfflineProblem": "problems",
    "OracleLocked": "tasks.locking",
    "Task": "tasks.base",
    "make": "tasks.registry",
    "optimize": "proposing",
    "percentile_scores": "tasks.scoring",
    "task_from_arrays": "tasks.arrays",
}

__all__ = [
    "OfflineData",
    "OfflineProblem",
    "OracleLocked",
    "Task",
    "make",
    "optimize",
    "percentile_scores",
    "task_from_arrays",
]


def __getattr__(name: str) -> Any:
    return lazy_attribute(__name__, name, _HOMES)


def __dir__() -> list[str]:
    return __all__
