"""Methods that the penalty method is compared with: implicit differentiation, unrolling, and no upper level at all."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from ...core.catalog import method
from ...core.space import Choice, Dimension, Float
from ...core.validation import OptimandError, check_int, check_number
from ..stateful import Stateful
from .implicit import implicit_hypergradient, unrolled_hypergradient
from .loop import Instance
from .oracle import checked_projection
from .schedules import Curvature, step_of

Array = Any

ALPHA, GAMMA, INNER = Float(0.03, 10.0, log=True), Float(0.1, 1.6, log=True), Choice(5, 10, 20, 50)
SPACE: dict[str, Dimension] = {"alpha": ALPHA, "gamma": GAMMA, "inner_steps": INNER}


class _LowerDescent(Stateful):
    """Projected gradient steps on g alone; the step is ``share`` over the curvature, looked at every tenth time."""

    _state = ("curvature", "count")

    def __init__(self, instance: Instance, share: float) -> None:
        self.oracle, self.share = instance.oracle, share
        self.project = checked_projection("project_y", instance.project_y)
        self.curvature, self.count = Curvature(), 0

    def step_size(self, x: Array, z: Array) -> float:
        if self.count % 10 == 0:
            self.curvature.look(lambda points: [self.oracle.lower_gradient(x, points[0])], [z])
        self.count += 1
        return step_of(self.curvature.value, self.share)

    def path(self, x: Array, z: Array, gamma: float, steps: int) -> list[Array]:
        """The points from ``z`` on, ``steps + 1`` of them."""
        points = [z]
        for _ in range(steps):
            points.append(self.project(points[-1] - gamma * self.oracle.lower_gradient(x, points[-1])))
        return points

    def run(self, x: Array, z: Array, gamma: float, steps: int) -> Array:
        """The last of these points, keeping no others."""
        for _ in range(steps):
            z = self.project(z - gamma * self.oracle.lower_gradient(x, z))
        return z


class _Baseline(Stateful):
    _state: ClassVar[tuple[str, ...]] = ("x", "z", "descent")

    def __init__(self, instance: Instance, *, alpha: float = 1.0, gamma: float = 0.8, inner_steps: int = 20) -> None:
        if not hasattr(instance.oracle, "second_order"):
            raise OptimandError("the method needs second derivatives, which this problem's oracle does not have")
        self.instance, self.oracle = instance, instance.oracle
        self.alpha = alpha * instance.upper_unit
        self.inner_steps = check_int("inner_steps", inner_steps, low=1)
        self.descent = _LowerDescent(instance, gamma)
        self.project_x = checked_projection("project_x", instance.project_x)
        self.x, self.z = self.project_x(instance.x0), self.descent.project(instance.y0)

    def move(self, gradient: Array, z: Array) -> None:
        if not (np.isfinite(gradient).all() and np.isfinite(z).all()):
            raise FloatingPointError("the hypergradient is not finite")
        self.x, self.z = self.project_x(self.x - self.alpha * gradient), z


@method(
    "bilevel-implicit",
    family="bilevel",
    space={**SPACE, "cg_steps": Choice(3, 5, 10, 20)},
    summary="Implicit differentiation by conjugate gradients: needs Hessian-vector products",
)
class Implicit(_Baseline):
    """Implicit differentiation: lower steps from the last solution, then conjugate gradients from the last v.

    Args:
        instance, alpha, gamma, inner_steps: see :func:`~optimand.numerical.bilevel.methods.double_loop`.
        cg_steps: cap on products with the Hessian in each step.
    """

    _state = (*_Baseline._state, "v")

    def __init__(
        self, instance: Instance, *, alpha: float = 1.0, gamma: float = 0.8, inner_steps: int = 20, cg_steps: int = 20
    ) -> None:
        super().__init__(instance, alpha=alpha, gamma=gamma, inner_steps=inner_steps)
        self.cg_steps = cg_steps
        self.v: Array | None = None

    def step(self) -> None:
        """One outer step."""
        z = self.descent.run(self.x, self.z, self.descent.step_size(self.x, self.z), self.inner_steps)
        free = None if self.instance.free is None else self.instance.free(z)
        hessian, mixed = self.oracle.second_order(self.x, z)
        f_x, f_y = self.oracle.upper_gradients(self.x, z)
        gradient, v = implicit_hypergradient(
            f_x, f_y, hessian, mixed, start=self.v, free=free, tol=1e-8, maxiter=self.cg_steps
        )
        self.move(gradient, z)
        self.v = v


@method(
    "bilevel-unrolled",
    family="bilevel",
    space=SPACE,
    summary="Differentiation through the lower steps: memory grows with their number",
)
class Unrolled(_Baseline):
    """Reverse-mode differentiation through the last lower steps, from the last solution.

    Args:
        instance, alpha, gamma, inner_steps: see :func:`~optimand.numerical.bilevel.methods.double_loop`.
    """

    def step(self) -> None:
        """One outer step."""
        x = self.x
        gamma = self.descent.step_size(x, self.z)
        path = self.descent.path(x, self.z, gamma, self.inner_steps)
        free = None if self.instance.free is None else [self.instance.free(point) for point in path[1:]]
        f_x, f_y = self.oracle.upper_gradients(x, path[-1])
        gradient = unrolled_hypergradient(f_x, f_y, path[:-1], gamma, lambda y: self.oracle.second_order(x, y), free)
        self.move(gradient, path[-1])


@method(
    "no-cleaning",
    family="bilevel",
    space={"gamma": GAMMA},
    summary="The lower level alone, all weights 1 (penalties at their usual value): what tuning has to beat",
)
class FixedUpper(_Baseline):
    """The lower level alone, at the upper variable that a user would choose without tuning.

    Args:
        instance, gamma: see :func:`~optimand.numerical.bilevel.methods.double_loop`.
    """

    def __init__(self, instance: Instance, *, gamma: float = 0.8) -> None:
        super().__init__(instance, gamma=gamma)
        self.x = self.project_x(instance.neutral)

    def step(self) -> None:
        """Some lower steps."""
        self.z = self.descent.run(self.x, self.z, self.descent.step_size(self.x, self.z), self.inner_steps)


@method(
    "validation-only",
    family="bilevel",
    space={"gamma": GAMMA, "decay": Float(1e-5, 1.0, log=True)},
    summary="The upper level alone: trained on the validation data, without the training data",
)
class UpperOnly(_Baseline):
    """The upper level alone: f is minimized over y, as if its data were for training, with a little decay.

    Args:
        instance, gamma: see :func:`~optimand.numerical.bilevel.methods.double_loop`.
        decay: weight of a penalty on the lower variable, without which few data are overfitted, >= 0.
    """

    _state = (*_Baseline._state, "momentum", "previous")

    def __init__(self, instance: Instance, *, gamma: float = 0.8, decay: float = 1e-3) -> None:
        super().__init__(instance, gamma=gamma)
        self.decay = check_number("decay", decay, low=0)
        self.momentum, self.previous = 1.0, self.z
        # Twice the curvature of g at the start serves for f, whose data are of the same kind.
        self.gamma = self.descent.step_size(self.x, self.z) / 2

    def step(self) -> None:
        """Some accelerated gradient steps in y."""
        for _ in range(self.inner_steps):
            following = (1 + math.sqrt(1 + 4 * self.momentum**2)) / 2
            ahead = self.z + (self.momentum - 1) / following * (self.z - self.previous)
            self.previous, self.momentum = self.z, following
            slope = self.oracle.upper_gradients(self.x, ahead)[1] + self.decay * ahead
            self.z = self.descent.project(ahead - self.gamma * slope)
