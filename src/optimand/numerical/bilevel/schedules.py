"""Schedules of the penalty, the steps and the momentum, functions of the step k = 1, 2, ..., and automatic steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.validation import check_int, check_number
from ..stateful import Stateful
from .oracle import PairedOracle

Array = Any
Schedule = Callable[[int], float]
AUTO = "auto"
REFRESH = 10  # steps from one look at the curvature to the next
LENGTH = 1e-4  # of differences of gradients, relative to the points', at least that
REACH = 1.0  # an automatic upper step moves x by at most this times 1 + ‖x‖


@dataclass(frozen=True)
class Constant:
    """The same value at every step.

    Args:
        value: the value, > 0.

    Example:
        >>> Constant(0.1)(7)
        0.1
    """

    value: float

    def __post_init__(self) -> None:
        check_number("value", self.value, low=0, low_open=True)

    def __call__(self, k: int) -> float:
        """The value at step ``k``."""
        return self.value


@dataclass(frozen=True)
class Annealing:
    """From ``start`` to ``end`` in ``steps`` steps, by the same factor each step; ``end`` from there on.

    Args:
        start: value at k = 1, > 0.
        end: value from ``k = steps`` on, > 0.
        steps: >= 1.

    Example:
        >>> sigma = Annealing(1.0, 0.01, 3)
        >>> [round(sigma(k), 12) for k in (1, 2, 3, 4)]
        [1.0, 0.1, 0.01, 0.01]
    """

    start: float
    end: float
    steps: int

    def __post_init__(self) -> None:
        check_number("start", self.start, low=0, low_open=True)
        check_number("end", self.end, low=0, low_open=True)
        check_int("steps", self.steps, low=1)

    def __call__(self, k: int) -> float:
        """The value at step ``k`` >= 1."""
        share = 1.0 if self.steps == 1 else min(1.0, (k - 1) / (self.steps - 1))
        return self.start * (self.end / self.start) ** share


def as_schedule(name: str, value: Any, *, high: float = math.inf) -> Schedule:
    """A schedule of a number, or of a function of the step; each value is checked when it is used.

    Args:
        name: the argument's name, for errors.
        value: a number in (0, high], or a function of ``k``.
        high: largest value allowed.

    Raises:
        ValueError: a number out of range.
        TypeError: neither a number nor a function.

    Example:
        >>> as_schedule("sigma", 0.5)(1)
        0.5
        >>> as_schedule("sigma", lambda k: 1 / k)(4)
        0.25
        >>> as_schedule("sigma", 0.0)
        Traceback (most recent call last):
        ...
        ValueError: sigma must be in (0, inf), got 0.0
    """
    if not callable(value):
        number = check_number(name, value, low=0, low_open=True, high=high)
        if math.isinf(number):
            raise ValueError(f"{name} must be finite, got {value!r}")
        return Constant(number)

    def checked(k: int) -> float:
        return check_number(f"{name} at step {k}", value(k), low=0, low_open=True, high=high)

    return checked


def _norm(a: Array) -> float:
    return math.sqrt(float(np.vdot(a, a)))


class Curvature(Stateful):
    """The largest curvature seen so far of each of some functions: power iteration on differences of gradients.

    Args:
        rounds: differences at the first look; every later one goes on from the last directions with one more.
        rng: seed or generator of directions, drawn at the start and where one has come to nothing.

    Attributes:
        values: the curvatures, lower estimates of the gradients' Lipschitz constants; 0 for linear functions.

    Example:
        >>> H = np.diag([3.0, 1.0])
        >>> round(Curvature().look(lambda points: [H @ points[0]], [np.zeros(2)]), 4)
        3.0
    """

    _state = ("values", "directions", "rng")

    def __init__(self, rounds: int = 10, rng: Any = 0) -> None:
        self.rounds, self.rng = rounds, np.random.default_rng(rng)
        self.values: list[float] = []
        self.directions: list[Array] | None = None

    @property
    def value(self) -> float:
        """The largest curvature of all functions."""
        return max(self.values, default=0.0)

    def look(self, gradients: Callable[[list[Array]], Sequence[Array]], points: Sequence[Array]) -> float:
        """The curvature after a look around ``points``, one of each function; ``gradients`` takes such a list."""
        rounds = 1 if self.directions else self.rounds
        directions = self.directions or [np.zeros(np.shape(p)) for p in points]
        # A function that was flat so far may be curved here: its direction is drawn anew.
        directions = [d if 0 < _norm(d) < math.inf else self.rng.normal(size=np.shape(d)) for d in directions]
        base, length = gradients(list(points)), LENGTH * max(1.0, *map(_norm, points))
        for _ in range(rounds):
            ahead = [
                p + d * (length / _norm(d)) if 0 < _norm(d) < math.inf else p
                for p, d in zip(points, directions, strict=True)
            ]
            directions = [(a - b) / length for a, b in zip(gradients(ahead), base, strict=True)]
            if not any(0 < _norm(d) < math.inf for d in directions):
                break
        self.directions = directions
        seen = [_norm(d) if _norm(d) < math.inf else 0.0 for d in directions]
        self.values = [max(pair) for pair in zip(seen, self.values or seen, strict=True)]
        return self.value


class LowerStep(Stateful):
    """The lower step size ``gamma``: a number, or 0.8 over the largest curvature seen so far.

    Args:
        gamma: a number > 0, or ``"auto"``: a look at the :class:`Curvature` of both lower objectives at the start and
            every ten steps. As it is that of ``sigma f + g``, the step shrinks with
            ``1 + sigma L_f / L_g`` as it must.
        rho: prox parameter, whose curvature 1/rho is added.
        share: what replaces 0.8.

    Raises:
        TypeError, ValueError: ``gamma`` is neither.

    Example:
        >>> LowerStep(0.5).value
        0.5
    """

    _state = ("value", "curvature")

    def __init__(self, gamma: Any, rho: float = math.inf, share: float = 0.8) -> None:
        self.auto = isinstance(gamma, str)
        if self.auto and gamma != AUTO:
            raise ValueError(f"gamma must be a number or 'auto', got {gamma!r}")
        self.value = math.nan if self.auto else as_schedule("gamma", gamma)(1)
        self.rho = rho
        self.share = check_number("share", share, low=0, low_open=True)
        self.curvature = Curvature()

    def update(
        self, k: int, oracle: PairedOracle, x: Array, y: Array, z: Array, sigma: float, draw: Callable[[], Any]
    ) -> float:
        """The step size at step ``k`` >= 1; where it is automatic, draws samples for a look when it is time for one."""
        if self.auto and (self.curvature.directions is None or k % REFRESH == 0):
            batch = draw()
            curvature = self.curvature.look(lambda points: oracle.lower(x, points[0], points[1], sigma, batch), [y, z])
            self.value = step_of(curvature, self.share, self.rho)
        return self.value

    def look_anew(self) -> None:
        """Forget the curvature seen so far: the next step is measured where it is taken."""
        self.curvature = Curvature()


def step_of(curvature: float, share: float = 0.8, rho: float = math.inf) -> float:
    """``share`` over the curvature with that of the prox term, ``1/rho``; 1 where there is next to none.

    Example:
        >>> step_of(3.0, rho=1.0)
        0.2
    """
    total = curvature + (0.0 if math.isinf(rho) else 1 / rho)
    return share / total if total > 1e-8 else 1.0


class UpperStep(Stateful):
    """The upper step size ``alpha``: a number, a schedule, or the adaptive rule of Malitsky and Mishchenko.

    Args:
        alpha: a number > 0, a function of the step k = 1, 2, …, or ``"auto"``: half the inverse of the curvature
            seen between the last two points, growing by at most the rule's factor a step, and never so long that x
            moves by more than 1 + ‖x‖. A hypergradient that still moves because the lower level does looks like
            curvature and keeps the step short. For exact gradients only.

    Reference: Malitsky, Mishchenko, "Adaptive gradient descent without descent", ICML 2020, Algorithm 1.

    Example:
        >>> step = UpperStep("auto")
        >>> first = step.update(1, np.array([1.0]), np.array([2.0]))
        >>> round(first, 4), round(step.update(2, np.array([0.98]), np.array([1.96])), 6)
        (0.01, 0.25)
    """

    _state = ("value", "_ratio", "_last")

    def __init__(self, alpha: Any) -> None:
        self.auto = isinstance(alpha, str)
        if self.auto and alpha != AUTO:
            raise ValueError(f"alpha must be a number, a function of the step or 'auto', got {alpha!r}")
        self.schedule: Callable[[int], float] | None = None if self.auto else as_schedule("alpha", alpha)
        self.value, self._ratio = math.nan, math.inf
        self._last: tuple[Array, Array] | None = None

    def update(self, k: int, x: Array, gradient: Array) -> float:
        """The step size at step ``k``, at ``x`` with ``gradient``."""
        if self.schedule is not None:
            self.value = self.schedule(k)
            return self.value
        if not gradient.any():  # says nothing of a sensible length
            return self.value if self._last else 1.0
        if self._last is None:
            value = 0.01 * (1 + _norm(x)) / _norm(gradient)
        else:
            moved, turned = _norm(x - self._last[0]), _norm(gradient - self._last[1])
            value = min(math.sqrt(1 + self._ratio) * self.value, moved / (2 * turned) if turned > 0 else math.inf)
            if not (0 < value < math.inf):
                value = self.value
            # x may run ahead of the lower variables, whose curvature can grow fast with it
            if _norm(gradient) > 0:
                value = min(value, REACH * (1 + _norm(x)) / _norm(gradient))
            self._ratio = value / self.value
        self._last = (x, gradient)
        self.value = value
        return value

    def shorten(self) -> None:
        """Make the next automatic step, from the point of the last one, a quarter as long."""
        self.value, self._ratio = self.value / 4, 0.0
