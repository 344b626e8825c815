"""optimand: choose, trust and run optimization methods.

The rooms load when they are first used: ``from optimand.optim import Lion`` needs torch and nothing else
of this package; ``import optimand`` needs neither.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from ._version import __version__

_ROOMS = [module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")]
_LAB = {"compare": "optimand.lab.study", "open_study": "optimand.lab.study"}

__all__ = ["__version__", *_LAB, *_ROOMS]  # noqa: PLE0604 (names of a table)


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _LAB:
        return getattr(importlib.import_module(_LAB[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
