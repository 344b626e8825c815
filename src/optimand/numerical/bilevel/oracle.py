"""What the penalty methods ask of a bilevel problem: gradients at the pair (x, y), (x, z), always of one sample.

The difference of two gradients is divided by a small penalty, so a different sample at y than at z would add noise
of the order of 1/sigma. Here a batch goes to the pair as a whole: there is no call that could take two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ...core.projections import as_projection
from ...core.running import Meter

Array = Any


class PairedBatch(NamedTuple):
    """One draw of samples for both levels; the lower part serves y and z alike.

    Attributes:
        upper: the samples of f, whatever its functions take as third argument.
        lower: the samples of g.
    """

    upper: Any
    lower: Any


@dataclass(frozen=True)
class SplitData:
    """Inputs (n, features) and targets or labels (n,) of three splits: the lower level's, the upper's, neither's."""

    train_x: Array
    train_t: Array
    valid_x: Array
    valid_t: Array
    test_x: Array
    test_t: Array


@dataclass(frozen=True)
class Level:
    """An objective of one level with its two partial gradients.

    Attributes:
        fun: ``fun(x, y) -> float``.
        grad_x: ``grad_x(x, y)``, of the shape of x.
        grad_y: ``grad_y(x, y)``, of the shape of y.

    Where the problem is stochastic, each also takes the samples as a third argument, which is None for all data.

    Example:
        >>> f = Level(lambda x, y: 0.5 * (y - 1) ** 2, lambda x, y: 0 * x, lambda x, y: y - 1)
        >>> f.grad_y(0.0, 3.0)
        2.0
    """

    fun: Callable[..., Any]
    grad_x: Callable[..., Any]
    grad_y: Callable[..., Any]

    def __post_init__(self) -> None:
        for name in ("fun", "grad_x", "grad_y"):
            if not callable(getattr(self, name)):
                raise TypeError(f"{name} must be a function of x and y, got {getattr(self, name)!r:.60}")


@dataclass
class PairedOracle:
    """Base of the oracles: what is counted, and the three questions that the methods ask.

    Attributes:
        counter: counts evaluations of gradients, of kinds ``f`` and ``g``, and of functions, of kind ``values``.
            All data count 1, a batch counts its share.
    """

    counter: Meter = field(default_factory=Meter)

    def lower(self, x: Array, y: Array, z: Array, sigma: float, batch: Any = None) -> tuple[Array, Array]:
        """``sigma ∇_y f(x, y) + ∇_y g(x, y)`` and ``∇_y g(x, z)``."""
        raise NotImplementedError

    def upper(self, x: Array, y: Array, z: Array, sigma: float, batch: Any = None) -> Array:
        """``∇_x f(x, y) + (∇_x g(x, y) - ∇_x g(x, z)) / sigma``."""
        raise NotImplementedError

    def joint(self, x: Array, y: Array, z: Array, sigma: float, batch: Any = None) -> tuple[Array, Array, Array]:
        """The two of :meth:`lower` and the one of :meth:`upper` at the same point."""
        return (*self.lower(x, y, z, sigma, batch), self.upper(x, y, z, sigma, batch))

    def values(self, x: Array, y: Array, z: Array) -> tuple[float, float, float]:
        """``f(x, y)``, ``g(x, y)`` and ``g(x, z)`` on all data; three evaluations."""
        raise NotImplementedError


class LevelOracle(PairedOracle):
    """An oracle of two :class:`Level` objects.

    Args:
        f: upper level.
        g: lower level.
        shape_x, shape_y: shapes that gradients must have.
        stochastic: whether the functions take samples as a third argument.

    Raises:
        ValueError: when asked, a gradient has another shape.

    Example:
        >>> f = Level(lambda x, y: 0.5 * (y - 1) ** 2 + x**2 / 4, lambda x, y: x / 2, lambda x, y: y - 1)
        >>> g = Level(lambda x, y: 0.5 * (y - 2 * x) ** 2, lambda x, y: -2 * (y - 2 * x), lambda x, y: y - 2 * x)
        >>> oracle = LevelOracle(f, g, (), ())
        >>> float(oracle.upper(np.float64(1.0), np.float64(1.5), np.float64(2.0), 1.0))
        1.5
    """

    def __init__(
        self, f: Level, g: Level, shape_x: tuple[int, ...], shape_y: tuple[int, ...], stochastic: bool = False
    ) -> None:
        super().__init__()
        self.f, self.g = f, g
        self.shape_x, self.shape_y = tuple(shape_x), tuple(shape_y)
        self.stochastic = stochastic

    def gradient(self, kind: str, which: str, x: Array, y: Array, batch: Any = None) -> Array:
        """The gradient of ``f`` or ``g`` in ``x`` or ``y``; one evaluation."""
        level = self.f if kind == "f" else self.g
        self.counter.charge(1, kind)
        # A copy: functions may write every gradient into the same array.
        found = np.array(getattr(level, f"grad_{which}")(x, y, *self._samples(kind, batch)), dtype=np.float64)
        expected = self.shape_x if which == "x" else self.shape_y
        if found.shape != expected:
            raise ValueError(f"{kind}.grad_{which} must return an array of shape {expected}, got {found.shape}")
        return found

    def _samples(self, kind: str, batch: Any) -> tuple[Any, ...]:
        if not self.stochastic:
            return ()
        return (None,) if batch is None else (batch.upper if kind == "f" else batch.lower,)

    def lower(self, x: Array, y: Array, z: Array, sigma: float, batch: Any = None) -> tuple[Array, Array]:
        """Gradients that move y and z; three evaluations."""
        h_y = sigma * self.gradient("f", "y", x, y, batch) + self.gradient("g", "y", x, y, batch)
        return h_y, self.gradient("g", "y", x, z, batch)

    def upper(self, x: Array, y: Array, z: Array, sigma: float, batch: Any = None) -> Array:
        """The gradient that moves x; three evaluations."""
        difference = self.gradient("g", "x", x, y, batch) - self.gradient("g", "x", x, z, batch)
        return self.gradient("f", "x", x, y, batch) + difference / sigma

    def values(self, x: Array, y: Array, z: Array) -> tuple[float, float, float]:
        """Values on all data."""
        return self.value("f", x, y), self.value("g", x, y), self.value("g", x, z)

    def value(self, kind: str, x: Array, y: Array) -> float:
        """``f`` or ``g`` at a point, on all data; one evaluation."""
        self.counter.charge(1, "values")
        found = np.asarray((self.f if kind == "f" else self.g).fun(x, y, *self._samples(kind, None)))
        if found.size != 1:
            raise ValueError(f"{kind}.fun must return a number, got an array of shape {found.shape}")
        return float(found.reshape(()))


def checked_projection(name: str, value: Any) -> Callable[[Array], Array]:
    """The projection that ``value`` stands for, which says so when it returns another shape than it was given.

    Args:
        name: the argument's name.
        value: a set, a function or None; see :func:`optimand.core.projections.as_projection`.

    Raises:
        TypeError: something else. ValueError: when used, an array of another shape.

    Example:
        >>> project = checked_projection("project_x", lambda x: x[:1])
        >>> project(np.zeros(3))
        Traceback (most recent call last):
        ...
        ValueError: project_x must return an array of shape (3,), got (1,)
    """
    try:
        project = as_projection(value)
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from None

    def checked(point: Array) -> Array:
        found = project(point)
        if np.shape(found) != np.shape(point):
            raise ValueError(f"{name} must return an array of shape {np.shape(point)}, got {np.shape(found)}")
        return found

    return checked


def index_sampler(n_upper: int, n_lower: int, batch: int) -> Callable[[np.random.Generator], PairedBatch]:
    """A function that draws paired batches of row numbers, with replacement.

    Args:
        n_upper, n_lower: numbers of samples of f and of g.
        batch: rows to draw for each level, >= 1.

    Example:
        >>> draw = index_sampler(10, 20, batch=3)
        >>> batch = draw(np.random.default_rng(0))
        >>> batch.upper.shape, batch.lower.shape
        ((3,), (3,))
    """

    def draw(rng: np.random.Generator) -> PairedBatch:
        return PairedBatch(rng.integers(n_upper, size=batch), rng.integers(n_lower, size=batch))

    return draw
