"""Tasks of offline optimization: data, an exact oracle, and scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimand.core.lazy import lazy_exports

if TYPE_CHECKING:
    from .base import OfflineData as OfflineData
    from .base import Task as Task
    from .base import percentile_scores as percentile_scores
    from .locking import OracleLocked as OracleLocked
    from .registry import make as make
    from .synthetic import synthetic as synthetic


__getattr__, __dir__, __all__ = lazy_exports(__name__)
