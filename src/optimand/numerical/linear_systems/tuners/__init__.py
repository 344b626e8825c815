"""Tuners of omega: before a solve they are asked for a value, after it they are told what the solve cost.

Lazily imported, because the learners' inner loops import Numba.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimand.core.lazy import lazy_exports

if TYPE_CHECKING:
    from .base import FixedOmega as FixedOmega
    from .base import OmegaTuner as OmegaTuner
    from .chebcb import ChebCB as ChebCB
    from .tsallis import BinnedBandit as BinnedBandit
    from .tsallis import TsallisINF as TsallisINF

__getattr__, __dir__, __all__ = lazy_exports(__name__)
