"""Generated Python, run where it can do no harm: limits always, isolation where the system allows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimand.core.lazy import lazy_attribute

if TYPE_CHECKING:
    from .checks import DEFAULT_IMPORTS, ForbiddenCode, check_source
    from .isolation import Isolation
    from .python import SandboxedPython
    from .results import CallResult, RunResult, SandboxError

_HOMES = {
    "DEFAULT_IMPORTS": "checks",
    "CallResult": "results",
    "ForbiddenCode": "checks",
    "Isolation": "isolation",
    "RunResult": "results",
    "SandboxError": "results",
    "SandboxedPython": "python",
    "check_source": "checks",
}

__all__ = [
    "DEFAULT_IMPORTS",
    "CallResult",
    "ForbiddenCode",
    "Isolation",
    "RunResult",
    "SandboxError",
    "SandboxedPython",
    "check_source",
]


def __getattr__(name: str) -> Any:
    return lazy_attribute(__name__, name, _HOMES)


def __dir__() -> list[str]:
    return __all__
