"""IGNITE: sharpness of a surrogate's mean prediction as a penalty, its optimizer wrapper, and what it is compared to.

Reference:
    Dao, Nguyen, Truong, Hoang, Incorporating Surrogate Gradient Norm to Improve Offline Optimization Techniques,
    NeurIPS 2024, arXiv 2503.04242.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimand.core.lazy import lazy_attribute

if TYPE_CHECKING:
    from .base import Regularizer
    from .baselines import GradientNorm, Sensitivity, SharpnessAware, WeightDecay
    from .choosing import make_regularizer
    from .optimizer import IGNITE
    from .sharpness import SurrogateSharpness

_HOMES = {
    "IGNITE": "optimizer",
    "GradientNorm": "baselines",
    "Regularizer": "base",
    "Sensitivity": "baselines",
    "SharpnessAware": "baselines",
    "SurrogateSharpness": "sharpness",
    "WeightDecay": "baselines",
    "make_regularizer": "choosing",
}

__all__ = [
    "IGNITE",
    "GradientNorm",
    "Regularizer",
    "Sensitivity",
    "SharpnessAware",
    "SurrogateSharpness",
    "WeightDecay",
    "make_regularizer",
]


def __getattr__(name: str) -> Any:
    return lazy_attribute(__name__, name, _HOMES)


def __dir__() -> list[str]:
    return __all__
