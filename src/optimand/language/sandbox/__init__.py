"""Generated Python, run where it can do no harm: limits always, isolation where the system allows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimand.core.lazy import lazy_exports

if TYPE_CHECKING:
    from .checks import DEFAULT_IMPORTS as DEFAULT_IMPORTS
    from .checks import ForbiddenCode as ForbiddenCode
    from .checks import check_source as check_source
    from .isolation import Isolation as Isolation
    from .python import SandboxedPython as SandboxedPython
    from .results import CallResult as CallResult
    from .results import RunResult as RunResult
    from .results import SandboxError as SandboxError

__getattr__, __dir__, __all__ = lazy_exports(__name__)
