"""IGNITE: sharpness of a surrogate's mean prediction as a penalty, its optimizer wrapper, and what it is compared to.

Reference:
    Dao, Nguyen, Truong, Hoang, Incorporating Surrogate Gradient Norm to Improve Offline Optimization Techniques,
    NeurIPS 2024, arXiv 2503.04242.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimand.core.lazy import lazy_exports

if TYPE_CHECKING:
    from .base import Regularizer as Regularizer
    from .baselines import GradientNorm as GradientNorm
    from .baselines import Sensitivity as Sensitivity
    from .baselines import SharpnessAware as SharpnessAware
    from .baselines import WeightDecay as WeightDecay
    from .baselines import make_regularizer as make_regularizer
    from .optimizer import IGNITE as IGNITE
    from .sharpness import SurrogateSharpness as SurrogateSharpness


__getattr__, __dir__, __all__ = lazy_exports(__name__)
