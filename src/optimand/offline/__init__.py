"""Offline optimization: propose designs from a fixed data set, without asking the oracle.

Example:
    >>> from optimand import offline
    >>> task = offline.make("synthetic:dim=4")
    >>> task.score(task.x[task.data.best(8)])[100] < 1
    True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimand.core.lazy import lazy_exports

if TYPE_CHECKING:
    from .problems import OfflineProblem as OfflineProblem
    from .proposing import optimize as optimize
    from .tasks.arrays import task_from_arrays as task_from_arrays
    from .tasks.base import OfflineData as OfflineData
    from .tasks.base import Task as Task
    from .tasks.base import percentile_scores as percentile_scores
    from .tasks.locking import OracleLocked as OracleLocked
    from .tasks.registry import make as make


__getattr__, __dir__, __all__ = lazy_exports(__name__)
