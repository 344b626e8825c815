"""Convex sets that points are played from: balls, boxes, the simplex and the whole space, on arrays ``(..., d)``.

Euclidean projections are those of :mod:`optimand.core.projections`; the ball has a short way for points of ordinary
size, because it runs twice in every round. Projections in the norm of a matrix, which the online Newton step of
arXiv 2302.04552 needs, are in :mod:`optimand.online.convex.metric`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from optimand.core import projections
from optimand.core.validation import check_int, check_number

from .metric import nearest_in_ball, nearest_in_polytope

Array = np.ndarray


class Domain:
    """A closed convex set of ``R^d``.

    Attributes:
        dim: the dimension; None where the set does not tell it.
        diameter: the largest distance of two of its points; infinite for an unbounded set.
        bounded: whether the diameter is that of the set itself.
        entropic: whether learners should go by the entropy and the largest entry of gradients instead of by the
            Euclidean norm.
    """

    dim: int | None = None
    diameter: float = math.inf
    bounded: bool = True
    entropic: bool = False

    def settle(self, x: Array) -> Array:
        """The projection of an array of floats ``(..., d)``, which may be the very array where nothing moves."""
        raise NotImplementedError

    def project(self, x: Any) -> Array:
        """The nearest points of the set to ``x``, shape ``(..., d)``, as another array.

        Example:
            >>> Ball(1.0).project([[3.0, 4.0], [0.1, 0.0]]).round(12).tolist()
            [[0.6, 0.8], [0.1, 0.0]]
        """
        points = np.array(x, dtype=float)
        self._check_points(points)
        return self.settle(points)

    def project_metric(self, x: Any, H: Any) -> Array:
        """The points ``z`` of the set that are nearest to ``x`` in the norm ``sqrt((z - x)^T H (z - x))``.

        Args:
            x: shape ``(..., d)``.
            H: symmetric positive definite, shape ``(..., d, d)``.

        Raises:
            ValueError: shapes that do not match.

        Example:
            >>> Box([0.0, 0.0], [1.0, 9.0]).project_metric([2.0, 0.0], [[2.0, 1.0], [1.0, 2.0]]).round(12).tolist()
            [1.0, 0.5]
        """
        points, matrices = np.array(x, dtype=float), np.asarray(H, dtype=float)
        self._check_points(points)
        d = points.shape[-1]
        if matrices.shape[-2:] != (d, d):
            raise ValueError(f"H must have shape (..., {d}, {d}) for points of {d} entries, got {matrices.shape}")
        shape = points.shape
        found = points.reshape(-1, d)
        matrices = np.broadcast_to(matrices, (*shape[:-1], d, d)).reshape(-1, d, d)
        # Points that are in the set stay; the others are found at a cost of O(d^3) each.
        moving = np.flatnonzero((np.abs(self.settle(found.copy()) - found) > 1e-13 * (1 + np.abs(found))).any(1))
        if len(moving):
            found[moving] = self._nearest(found[moving], matrices[moving])
        return found.reshape(shape)

    def contains(self, x: Any, tol: float = 1e-9) -> bool:
        """Whether every point of ``x``, shape ``(..., d)``, is within ``tol`` of the set, entry by entry."""
        points = np.array(x, dtype=float)
        self._check_points(points)
        return bool((np.abs(self.settle(points.copy()) - points) <= tol).all())

    def start(self, dim: int) -> Array:
        """The point of the set nearest to 0, shape ``(dim,)``."""
        return self.settle(np.zeros(dim))

    def dual_square(self, g: Array) -> Array:
        """The square of the norm that gradients ``(..., d)`` are measured in, shape ``(...)``."""
        return np.einsum("...i,...i->...", g, g)

    def diameter_in(self, dim: int) -> float:
        """The diameter of the set in ``R^dim``."""
        return self.diameter

    def _nearest(self, x: Array, H: Array) -> Array:
        raise NotImplementedError

    def _check_points(self, points: Array) -> None:
        if points.ndim == 0 or points.shape[-1] == 0:
            raise ValueError(f"points must have shape (..., d) with d >= 1, got {points.shape}")
        if self.dim is not None and points.shape[-1] != self.dim:
            raise ValueError(f"points must have {self.dim} entries, got shape {points.shape}")

    def _learn_dim(self, dim: int | None, *bounds: Array) -> None:
        shape = np.broadcast_shapes(*(bound.shape for bound in bounds)) if bounds else ()
        if len(shape) > 1:
            raise ValueError(f"bounds and centers must be numbers or vectors, got shape {shape}")
        own = shape[0] if shape else None
        if dim is not None:
            check_int("dim", dim, low=1)
            if own is not None and own != dim:
                raise ValueError(f"dim must be {own}, the length of the vector that describes the set, got {dim}")
        self.dim = dim if own is None else own


class Ball(Domain):
    """The points within ``radius`` of ``center``.

    Args:
        radius: > 0 and finite.
        center: a number, or a vector of shape ``(d,)``.
        dim: the dimension; a vector for the center tells it too, and an environment does.

    Raises:
        ValueError: the radius is not positive, or the center is not finite.

    Example:
        >>> Ball(2.0).diameter, Ball(1.0).contains([0.6, 0.9])
        (4.0, False)
    """

    def __init__(self, radius: float = 1.0, center: Any = 0.0, dim: int | None = None) -> None:
        self.radius = check_number("radius", radius, low=0, low_open=True, high=math.inf, high_open=True)
        self.center = as_numbers("center", center, "() or (d,)")
        if not np.isfinite(self.center).all():
            raise ValueError(f"center must be finite, got {center!r}")
        self._learn_dim(dim, self.center)
        self.diameter = 2 * self.radius
        self._moved = bool(self.center.any())

    def settle(self, x: Array) -> Array:
        """The projection of ``x``."""
        shifted = x - self.center if self._moved else x
        square = np.einsum("...i,...i->...", shifted, shifted)
        top = float(np.maximum.reduce(square, axis=None, initial=0.0))
        if top <= self.radius * self.radius:
            return x
        if not top < math.inf:
            return self.center + projections.project_l2_ball(shifted, self.radius)
        # Exactly 1 for points inside, so that these stay bit for bit.
        shifted = shifted * (self.radius / np.maximum(np.sqrt(square), self.radius))[..., None]
        return shifted + self.center if self._moved else shifted

    def _nearest(self, x: Array, H: Array) -> Array:
        return self.center + nearest_in_ball(x - self.center, H, self.radius)

    def __repr__(self) -> str:
        return f"Ball({self.radius!r}, {self.center.tolist()!r})"


class Box(Domain):
    """The points between two bounds.

    Args:
        lo, hi: numbers or vectors of shape ``(d,)``, infinite where there is no bound.
        dim: the dimension, where the bounds are numbers.

    Raises:
        TypeError: a bound is no number.
        ValueError: a bound is NaN, the lengths differ, or the box is empty (``lo > hi`` somewhere).

    Example:
        >>> Box([0.0, -1.0], 1.0).project([2.0, -3.0]).tolist(), round(Box(-1, 1, dim=4).diameter_in(4), 12)
        ([1.0, -1.0], 4.0)
    """

    def __init__(self, lo: Any, hi: Any, dim: int | None = None) -> None:
        self.lo, self.hi = as_numbers("lo", lo, "() or (d,)"), as_numbers("hi", hi, "() or (d,)")
        for name, bound in (("lo", self.lo), ("hi", self.hi)):
            if bound.ndim > 1:
                raise ValueError(f"{name} must be a number or a vector, got shape {bound.shape}")
            if np.isnan(bound).any():
                raise ValueError(f"{name} must not be NaN, got {bound.tolist()!r:.60}")
        if self.lo.ndim == self.hi.ndim == 1 and len(self.lo) != len(self.hi):
            raise ValueError(f"lo and hi must have the same length, got {len(self.lo)} and {len(self.hi)}")
        if not (self.lo <= self.hi).all():
            raise ValueError(f"lo must not exceed hi, got lo={lo!r:.60}, hi={hi!r:.60}")
        self._learn_dim(dim, self.lo, self.hi)
        self.bounded = bool(np.isfinite(self.hi - self.lo).all())
        self.diameter = self.diameter_in(self.dim) if self.dim is not None else math.inf
        if self.dim is None and not (self.hi > self.lo).any():
            self.diameter = 0.0

    def settle(self, x: Array) -> Array:
        """The projection of ``x``."""
        return np.minimum(np.maximum(x, self.lo), self.hi)

    def diameter_in(self, dim: int) -> float:
        """The length of the diagonal in ``R^dim``."""
        return float(np.linalg.norm(np.broadcast_to(self.hi - self.lo, dim))) if self.bounded else math.inf

    def _nearest(self, x: Array, H: Array) -> Array:
        return nearest_in_polytope(x, H, self.settle(x), self.lo, self.hi)

    def __repr__(self) -> str:
        return f"Box({self.lo.tolist()!r}, {self.hi.tolist()!r})"


class Simplex(Domain):
    """The vectors with entries >= 0 that sum to 1.

    Args:
        dim: the number of entries, at least 1; None where an environment tells it.
        entropy: whether learners that can shall go by the entropy: then gradients are measured by their largest
            entry, and the diameter is ``sqrt(2 ln d)``.

    Example:
        >>> Simplex().project([2.0, 0.0]).tolist(), round(Simplex(2, entropy=True).diameter, 3)
        ([1.0, 0.0], 1.177)
    """

    def __init__(self, dim: int | None = None, entropy: bool = False) -> None:
        self.entropic = bool(entropy)
        self._learn_dim(dim)
        self.diameter = math.sqrt(2.0) if dim is None and not entropy else math.inf if dim is None else 0.0
        if dim is not None:
            self.diameter = self.diameter_in(dim)

    def settle(self, x: Array) -> Array:
        """The projection of ``x``, by sorting."""
        return projections.project_simplex(x)

    def start(self, dim: int) -> Array:
        """The center of the simplex."""
        return np.full(dim, 1.0 / dim)

    def softmin(self, z: Array) -> Array:
        """The points proportional to ``exp(-z)``, computed from logarithms; shape ``(..., d)``."""
        weights = np.exp(z.min(-1, keepdims=True) - z)
        weights /= weights.sum(-1, keepdims=True)
        return weights

    def dual_square(self, g: Array) -> Array:
        """The square of the largest entry, or of the Euclidean norm without ``entropy``."""
        return np.abs(g).max(-1) ** 2 if self.entropic else super().dual_square(g)

    def diameter_in(self, dim: int) -> float:
        """``sqrt(2)``, or ``sqrt(2 ln dim)`` with ``entropy``; 0 where there is one point only."""
        return 0.0 if dim == 1 else math.sqrt(2.0 * math.log(dim)) if self.entropic else math.sqrt(2.0)

    def _nearest(self, x: Array, H: Array) -> Array:
        return nearest_in_polytope(x, H, self.settle(x), np.zeros(()), np.full((), math.inf), total=1.0)

    def __repr__(self) -> str:
        return f"Simplex({self.dim!r}, entropy={self.entropic})"


class Unconstrained(Domain):
    """The whole space.

    Args:
        diameter: twice the distance that a solution may have from the start, > 0; learners whose steps depend on it
            ask for it.
        dim: the dimension; an environment tells it too.

    Example:
        >>> Unconstrained(diameter=2.0).project([7.0]).tolist()
        [7.0]
    """

    bounded = False

    def __init__(self, diameter: float | None = None, dim: int | None = None) -> None:
        if diameter is not None:
            self.diameter = check_number("diameter", diameter, low=0, low_open=True, high=math.inf, high_open=True)
        self._learn_dim(dim)

    def settle(self, x: Array) -> Array:
        """``x`` itself."""
        return x

    def _nearest(self, x: Array, H: Array) -> Array:
        return x

    def __repr__(self) -> str:
        return f"Unconstrained(diameter={self.diameter!r})"


def check_domain(domain: Any) -> Domain:
    """``domain``; TypeError where it is no convex set of this module."""
    if not isinstance(domain, Domain):
        raise TypeError(f"domain must be a convex set such as Ball(1.0), got {domain!r} ({type(domain).__name__})")
    return domain


def as_numbers(name: str, value: Any, shape: str) -> Array:
    """``value`` as an array of floats, which may be NaN.

    Args:
        name: of the argument.
        value: what came.
        shape: what was expected, in words.

    Raises:
        TypeError: it holds something else than numbers, or rows of unequal length.
    """
    try:
        return np.asarray(value, dtype=float)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be numbers of shape {shape}, got {value!r:.60} ({error})") from error
