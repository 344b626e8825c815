"""Tuners of omega: before a solve they are asked for a value, after it they are told what the solve cost.

Lazily imported, because the learners' inner loops import Numba.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimand.core.lazy import lazy_attribute

if TYPE_CHECKING:
    from .base import OmegaTuner
    from .chebcb import ChebCB
    from .fixed import FixedOmega
    from .tsallis import BinnedBandit, TsallisINF

__all__ = ["BinnedBandit", "ChebCB", "FixedOmega", "OmegaTuner", "TsallisINF"]

_MODULES = {
    "BinnedBandit": "tsallis",
    "ChebCB": "chebcb",
    "FixedOmega": "fixed",
    "OmegaTuner": "base",
    "TsallisINF": "tsallis",
}


def __getattr__(name: str) -> Any:
    return lazy_attribute(__name__, name, _MODULES)
