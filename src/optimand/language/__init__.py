"""Language models as optimizers and as modelers: workflows that optimize themselves, words turned into programs."""

from __future__ import annotations

from typing import Any

from optimand.core.lazy import lazy_attribute

__all__ = ["llm", "modeling", "sandbox", "workflows"]


def __getattr__(name: str) -> Any:
    return lazy_attribute(__name__, name, {}, modules=__all__)


def __dir__() -> list[str]:
    return __all__
