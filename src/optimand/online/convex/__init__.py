"""Online convex optimization between stochastic and adversarial losses, by optimistic mirror descent.

Example:
    >>> from optimand.online.convex import Ball, OptimisticOMD
    >>> learner = OptimisticOMD(Ball(1.0, dim=2), G=1.0)
    >>> x = learner.predict()
    >>> learner.update([0.5, 0.0])
    >>> learner.predict().round(4).tolist()
    [-0.8836, 0.0]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimand.core.lazy import lazy_attribute

if TYPE_CHECKING:
    from .adagrad_norm import AdaGradNorm
    from .domains import Ball, Box, Domain, Simplex, Unconstrained
    from .dynamic_omd import DynamicOMD, step_pool
    from .environments import SEAEnvironment
    from .gradient_learner import GradientLearner
    from .implicit import implicit_step
    from .losses import (
        AbsoluteLoss,
        HingeLoss,
        LinearLoss,
        LogisticLoss,
        QuadraticLoss,
        QuantileLoss,
        SquaredLoss,
        linear_model_loss,
    )
    from .ogd import OGD, StronglyConvexOGD
    from .ons import ONS
    from .optimistic_ftrl import OptimisticFTRL
    from .optimistic_omd import OptimisticOMD
    from .optimistic_sgd import OptimisticSGD
    from .streams import RandomDesign, StreamEnvironment
    from .sword_pp import SwordPP

_HOMES = {
    "OGD": "ogd",
    "ONS": "ons",
    "AbsoluteLoss": "losses",
    "AdaGradNorm": "adagrad_norm",
    "Ball": "domains",
    "Box": "domains",
    "Domain": "domains",
    "DynamicOMD": "dynamic_omd",
    "GradientLearner": "gradient_learner",
    "HingeLoss": "losses",
    "LinearLoss": "losses",
    "LogisticLoss": "losses",
    "OptimisticFTRL": "optimistic_ftrl",
    "OptimisticOMD": "optimistic_omd",
    "OptimisticSGD": "optimistic_sgd",
    "QuadraticLoss": "losses",
    "QuantileLoss": "losses",
    "RandomDesign": "streams",
    "SEAEnvironment": "environments",
    "Simplex": "domains",
    "SquaredLoss": "losses",
    "StreamEnvironment": "streams",
    "StronglyConvexOGD": "ogd",
    "SwordPP": "sword_pp",
    "Unconstrained": "domains",
    "implicit_step": "implicit",
    "linear_model_loss": "losses",
    "step_pool": "dynamic_omd",
}

__all__ = [
    "OGD",
    "ONS",
    "AbsoluteLoss",
    "AdaGradNorm",
    "Ball",
    "Box",
    "Domain",
    "DynamicOMD",
    "GradientLearner",
    "HingeLoss",
    "LinearLoss",
    "LogisticLoss",
    "OptimisticFTRL",
    "OptimisticOMD",
    "OptimisticSGD",
    "QuadraticLoss",
    "QuantileLoss",
    "RandomDesign",
    "SEAEnvironment",
    "Simplex",
    "SquaredLoss",
    "StreamEnvironment",
    "StronglyConvexOGD",
    "SwordPP",
    "Unconstrained",
    "implicit_step",
    "linear_model_loss",
    "step_pool",
]


def __getattr__(name: str) -> Any:
    return lazy_attribute(__name__, name, _HOMES)


def __dir__() -> list[str]:
    return __all__
