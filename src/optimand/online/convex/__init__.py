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

from typing import TYPE_CHECKING

from optimand.core.lazy import lazy_exports

if TYPE_CHECKING:
    from .adagrad_norm import AdaGradNorm as AdaGradNorm
    from .domains import Ball as Ball
    from .domains import Box as Box
    from .domains import Domain as Domain
    from .domains import Simplex as Simplex
    from .domains import Unconstrained as Unconstrained
    from .dynamic_omd import DynamicOMD as DynamicOMD
    from .dynamic_omd import step_pool as step_pool
    from .environments import SEAEnvironment as SEAEnvironment
    from .gradient_learner import GradientLearner as GradientLearner
    from .implicit import implicit_step as implicit_step
    from .losses import AbsoluteLoss as AbsoluteLoss
    from .losses import HingeLoss as HingeLoss
    from .losses import LinearLoss as LinearLoss
    from .losses import LogisticLoss as LogisticLoss
    from .losses import QuadraticLoss as QuadraticLoss
    from .losses import QuantileLoss as QuantileLoss
    from .losses import SquaredLoss as SquaredLoss
    from .losses import linear_model_loss as linear_model_loss
    from .ogd import OGD as OGD
    from .ogd import StronglyConvexOGD as StronglyConvexOGD
    from .ons import ONS as ONS
    from .optimistic_ftrl import OptimisticFTRL as OptimisticFTRL
    from .optimistic_omd import OptimisticOMD as OptimisticOMD
    from .optimistic_sgd import OptimisticSGD as OptimisticSGD
    from .streams import StreamEnvironment as StreamEnvironment
    from .sword_pp import SwordPP as SwordPP

__getattr__, __dir__, __all__ = lazy_exports(__name__)
