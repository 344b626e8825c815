"""Convex losses of one round for all repetitions at once, as objects: value, gradient, and what implicit steps need.

A loss holds the data of a round, with a leading axis of ``R`` repetitions, and is evaluated at points ``(R, d)``.
Losses of a linear model are functions of the prediction ``z = <features, x>`` alone, so ``scalar_value`` and
``scalar_gradient`` are all that a proximal step needs (arXiv 2302.04552 plays implicit updates with them).
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from optimand.core.validation import check_choice, check_number

from .domains import Array, as_numbers


class QuadraticLoss:
    """``(h/2) ||x||^2 - <a, x>``.

    Args:
        curvature: ``h``, at least 0.
        linear: ``a``, shape ``(R, d)``.

    Example:
        >>> loss = QuadraticLoss(1.0, np.array([[1.0, 0.0]]))
        >>> loss.value(np.array([[1.0, 1.0]])).tolist(), loss.gradient(np.array([[1.0, 1.0]])).tolist()
        ([0.0], [[0.0, 1.0]])
    """

    __slots__ = ("curvature", "linear")

    def __init__(self, curvature: float, linear: Array) -> None:
        self.curvature, self.linear = curvature, linear

    def value(self, x: Array) -> Array:
        """Values, shape ``(R,)``."""
        return np.einsum("rd,rd->r", 0.5 * self.curvature * x - self.linear, x)

    def gradient(self, x: Array) -> Array:
        """Gradients, shape ``(R, d)``."""
        return self.curvature * x - self.linear

    def prox(self, x: Array, step: Any) -> Array:
        """``argmin_u loss(u) + ||u - x||^2 / (2 step)`` without constraints; ``step`` a number or ``(R,)``."""
        eta = np.asarray(step, dtype=float).reshape(-1, 1)
        return (x + eta * self.linear) / (1.0 + eta * self.curvature)


class LinearLoss:
    """``<g, x>``.

    Args:
        slope: ``g``, shape ``(R, d)``.

    Example:
        >>> LinearLoss(np.array([[2.0, -1.0]])).value(np.array([[1.0, 1.0]])).tolist()
        [1.0]
    """

    __slots__ = ("slope",)

    def __init__(self, slope: Array) -> None:
        self.slope = slope

    def value(self, x: Array) -> Array:
        """Values, shape ``(R,)``."""
        return np.einsum("rd,rd->r", self.slope, x)

    def gradient(self, x: Array) -> Array:
        """The slope, whatever the point, as a new array."""
        return np.array(np.broadcast_to(self.slope, x.shape))

    def prox(self, x: Array, step: Any) -> Array:
        """``argmin_u loss(u) + ||u - x||^2 / (2 step)`` without constraints; ``step`` a number or ``(R,)``."""
        return np.asarray(x - np.asarray(step, dtype=float).reshape(-1, 1) * self.slope)


class LinearModelLoss:
    """A loss of the prediction ``z = <features, x>``.

    Args:
        features: shape ``(R, d)``, finite.
        targets: shape ``(R,)``, finite; labels are -1 and 1.

    Raises:
        TypeError: they are no numbers.
        ValueError: they are not finite, their shapes do not fit, or labels are something else than -1 and 1.

    Class attributes:
        smoothness: the largest second derivative in ``z``; None where there is a kink.
        slope: the largest absolute derivative in ``z``; None where there is no bound.
        labels: whether the targets must be -1 and 1.
    """

    __slots__ = ("features", "targets")
    smoothness: ClassVar[float | None] = None
    slope: ClassVar[float | None] = 1.0
    labels: ClassVar[bool] = False

    def __init__(self, features: Any, targets: Any) -> None:
        self.features = as_numbers("features", features, "(R, d)")
        self.targets = as_numbers("targets", targets, "(R,)")
        if self.features.ndim != 2:
            raise ValueError(f"features must have shape (R, d), got {self.features.shape}")
        if self.targets.shape != self.features.shape[:1]:
            raise ValueError(
                f"targets must have shape {self.features.shape[:1]}, one for each row of features, got "
                f"{self.targets.shape}"
            )
        for name, values in (("features", self.features), ("targets", self.targets)):
            if not np.isfinite(values).all():
                raise ValueError(f"{name} must be finite, got {values[~np.isfinite(values)][0]}")
        wrong = self.targets[np.abs(self.targets) != 1.0]
        if self.labels and len(wrong):
            raise ValueError(f"targets must be -1 and 1 for {type(self).__name__}, got {wrong[0]:g}")

    def on(self, features: Array, targets: Array) -> LinearModelLoss:
        """The same loss on other data, which are not checked: one is made in every round of a stream."""
        made = type(self).__new__(type(self))
        made.features, made.targets = features, targets
        return made

    def scalar_value(self, z: Array) -> Array:
        """Values at predictions ``z``, which broadcast against the targets."""
        raise NotImplementedError

    def scalar_gradient(self, z: Array) -> Array:
        """Derivatives in the prediction; at a kink one of the subgradients."""
        raise NotImplementedError

    def value(self, x: Array) -> Array:
        """Values, shape ``(R,)``."""
        return self.scalar_value(np.einsum("rd,rd->r", self.features, x))

    def gradient(self, x: Array) -> Array:
        """Gradients, shape ``(R, d)``."""
        return self.scalar_gradient(np.einsum("rd,rd->r", self.features, x))[:, None] * self.features


class SquaredLoss(LinearModelLoss):
    """Half the squared error, ``(z - y)^2 / 2``.

    Example:
        >>> loss = SquaredLoss(np.array([[1.0, 2.0]]), np.array([1.0]))
        >>> loss.value(np.array([[1.0, 1.0]])).tolist(), loss.gradient(np.array([[1.0, 1.0]])).tolist()
        ([2.0], [[2.0, 4.0]])
    """

    __slots__ = ()
    smoothness = 1.0
    slope = None

    def scalar_value(self, z: Array) -> Array:
        """``(z - y)^2 / 2``."""
        return np.asarray(0.5 * (z - self.targets) ** 2)

    def scalar_gradient(self, z: Array) -> Array:
        """``z - y``."""
        return np.asarray(z - self.targets)


class AbsoluteLoss(LinearModelLoss):
    """The absolute error ``|z - y|``; 0 is its subgradient at the kink.

    Example:
        >>> AbsoluteLoss(np.array([[1.0]]), np.array([3.0])).gradient(np.array([[1.0]])).tolist()
        [[-1.0]]
    """

    __slots__ = ()

    def scalar_value(self, z: Array) -> Array:
        """``|z - y|``."""
        return np.abs(z - self.targets)

    def scalar_gradient(self, z: Array) -> Array:
        """The sign of ``z - y``."""
        return np.sign(z - self.targets)


class QuantileLoss(LinearModelLoss):
    """The pinball loss ``max(q (y - z), (q - 1)(y - z))``, least in expectation at the ``q``-quantile of ``y``.

    Args:
        features: shape ``(R, d)``.
        targets: shape ``(R,)``.
        quantile: in (0, 1).

    Example:
        >>> QuantileLoss(np.array([[1.0]]), np.array([3.0]), 0.9).value(np.array([[1.0], ])).tolist()
        [1.8]
    """

    __slots__ = ("quantile",)

    def __init__(self, features: Any, targets: Any, quantile: float = 0.5) -> None:
        super().__init__(features, targets)
        self.quantile = check_number("quantile", quantile, low=0, high=1, low_open=True, high_open=True)

    def on(self, features: Array, targets: Array) -> QuantileLoss:
        """The same loss on other data, which are not checked."""
        made = QuantileLoss.__new__(QuantileLoss)
        made.features, made.targets, made.quantile = features, targets, self.quantile
        return made

    def scalar_value(self, z: Array) -> Array:
        """The pinball loss."""
        gap = self.targets - z
        return np.maximum(self.quantile * gap, (self.quantile - 1.0) * gap)

    def scalar_gradient(self, z: Array) -> Array:
        """``-q`` below the target, ``1 - q`` above it, 0 at it."""
        gap = self.targets - z
        return np.where(gap > 0, -self.quantile, np.where(gap < 0, 1.0 - self.quantile, 0.0))


class HingeLoss(LinearModelLoss):
    """``max(0, 1 - y z)`` for labels -1 and 1.

    Example:
        >>> HingeLoss(np.array([[1.0]]), np.array([-1.0])).value(np.array([[0.5]])).tolist()
        [1.5]
    """

    __slots__ = ()
    labels = True

    def scalar_value(self, z: Array) -> Array:
        """``max(0, 1 - y z)``."""
        return np.maximum(0.0, 1.0 - self.targets * z)

    def scalar_gradient(self, z: Array) -> Array:
        """``-y`` where the margin is below 1, else 0."""
        return np.where(self.targets * z < 1.0, -self.targets, 0.0)


class LogisticLoss(LinearModelLoss):
    """``log(1 + exp(-y z))`` for labels -1 and 1, without overflow.

    Example:
        >>> LogisticLoss(np.array([[1.0]]), np.array([1.0])).value(np.array([[0.0]])).round(4).tolist()
        [0.6931]
    """

    __slots__ = ()
    smoothness = 0.25
    labels = True

    def scalar_value(self, z: Array) -> Array:
        """``log(1 + exp(-y z))``."""
        return np.logaddexp(0.0, -self.targets * z)

    def scalar_gradient(self, z: Array) -> Array:
        """``-y / (1 + exp(y z))``."""
        margin = self.targets * z
        small = np.exp(-np.abs(margin))
        return -self.targets * np.where(margin >= 0, small, 1.0) / (1.0 + small)


LINEAR_MODELS: dict[str, type[LinearModelLoss]] = {
    "squared": SquaredLoss,
    "absolute": AbsoluteLoss,
    "quantile": QuantileLoss,
    "hinge": HingeLoss,
    "logistic": LogisticLoss,
}


def linear_model_loss(name: str, features: Array, targets: Array, quantile: float = 0.5) -> LinearModelLoss:
    """The loss called ``name`` on these data.

    Args:
        name: ``squared``, ``absolute``, ``quantile``, ``hinge`` or ``logistic``.
        features: shape ``(R, d)``.
        targets: shape ``(R,)``.
        quantile: of the pinball loss.

    Raises:
        ValueError: another name, or data that the loss refuses.

    Example:
        >>> linear_model_loss("hinge", np.ones((1, 2)), np.ones(1)).value(np.zeros((1, 2))).tolist()
        [1.0]
    """
    kind = LINEAR_MODELS[check_choice("loss", name, LINEAR_MODELS)]
    if kind is QuantileLoss:
        return QuantileLoss(features, targets, quantile)
    return kind(features, targets)
