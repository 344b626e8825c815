"""Tasks of offline optimization: data, an exact oracle, and scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimand.core.lazy import lazy_attribute

if TYPE_CHECKING:
    from .base import OfflineData, Task
    from .locking import OracleLocked
    from .registry import make
    from .scoring import percentile_scores
    from .synthetic import synthetic

_HOMES = {
    "OfflineData": "base",
    "OracleLocked": "locking",
    "Task": "base",
    "make": "registry",
    "percentile_scores": "scoring",
    "synthetic": "synthetic",
}

__all__ = ["OfflineData", "OracleLocked", "Task", "make", "percentile_scores", "synthetic"]


def __getattr__(name: str) -> Any:
    return lazy_attribute(__name__, name, _HOMES)


def __dir__() -> list[str]:
    return __all__
