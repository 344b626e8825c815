"""Language models as optimizers and as modelers: workflows that optimize themselves, words turned into programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimand.core.lazy import lazy_exports

if TYPE_CHECKING:
    from . import llm as llm
    from . import modeling as modeling
    from . import sandbox as sandbox
    from . import workflows as workflows

__getattr__, __dir__, __all__ = lazy_exports(__name__)
