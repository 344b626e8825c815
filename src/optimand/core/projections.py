"""Euclidean projections onto convex sets: simplex, box, balls, affine subspace and products of these.

NumPy arrays and torch tensors go the same way: whatever comes in, of any floating dtype and on any device, comes out
as a new array of its kind. The functions work on the last axis, so a batch of vectors is projected in one call. The
projections onto simplex and l1 ball are exact, by sorting (Held, Wolfe, Crowder 1974; Duchi et al. 2008).

torch is never imported here: a tensor can only come from a caller who has.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np

from .validation import check_number

# A NumPy array or a torch tensor.
Array = Any


@runtime_checkable
class ConvexSet(Protocol):
    """A closed convex set that points can be projected onto."""

    def project(self, x: Array) -> Array:
        """The nearest point of the set to ``x``, as a new array."""

    def contains(self, x: Array, tol: float = 1e-9) -> bool:
        """Whether ``x`` is within ``tol`` of the set."""


def _is_torch(x: Array) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def _namespace(x: Array) -> Any:
    return sys.modules["torch"] if _is_torch(x) else np


def _like(value: Any, x: Array) -> Array:
    """``value`` as an array of the kind, dtype and device of ``x``."""
    if _is_torch(x):
        return sys.modules["torch"].as_tensor(value, dtype=x.dtype, device=x.device)
    return np.asarray(value, dtype=x.dtype if np.issubdtype(x.dtype, np.floating) else np.float64)


def _as_array(x: Array) -> Array:
    return x if _is_torch(x) else np.asarray(x, dtype=None if hasattr(x, "dtype") else np.float64)


def _falling(x: Array) -> Array:
    return x.sort(dim=-1, descending=True).values if _is_torch(x) else -np.sort(-x, axis=-1)


def _running_sum(x: Array) -> Array:
    return x.cumsum(-1)


def _at_least_zero(x: Array) -> Array:
    return x.clamp_min(0) if _is_torch(x) else np.maximum(x, 0)


def project_simplex(x: Array, total: float = 1.0) -> Array:
    """The nearest points with entries >= 0 that sum to ``total``.

    Args:
        x: shape ``[..., n]``.
        total: what each vector sums to, > 0.

    Raises:
        ValueError: ``total`` is not positive.

    Example:
        >>> project_simplex(np.array([1.0, 1.0, -5.0])).tolist()
        [0.5, 0.5, 0.0]
    """
    check_number("total", total, low=0, low_open=True)
    x = _as_array(x)
    falling = _falling(x)
    top = falling[..., :1]
    count = _like(np.arange(1, x.shape[-1] + 1), x)
    # Relative to the largest entry, so that large common offsets do not cost digits.
    thresholds = (_running_sum(falling - top) - total) / count
    active = (falling - top > thresholds).sum(-1, keepdims=True)
    active = active.clamp_min(1) if _is_torch(x) else np.maximum(active, 1)
    if _is_torch(x):
        threshold = thresholds.gather(-1, active - 1)
    else:
        threshold = np.take_along_axis(thresholds, active - 1, axis=-1)
    return _at_least_zero(x - top - threshold)


def project_l1_ball(x: Array, radius: float = 1.0) -> Array:
    """The nearest points with ``sum |x_i| <= radius``; ``x`` of shape ``[..., n]``, radius > 0.

    Example:
        >>> project_l1_ball(np.array([3.0, -1.0])).tolist()
        [1.0, -0.0]
    """
    check_number("radius", radius, low=0, low_open=True)
    x = _as_array(x)
    xp = _namespace(x)
    outside = abs(x).sum(-1, keepdims=True) > radius
    return xp.where(outside, xp.sign(x) * project_simplex(abs(x), radius), x)


def project_l2_ball(x: Array, radius: float = 1.0) -> Array:
    """The nearest points with ``‖x‖_2 <= radius``; ``x`` of shape ``[..., n]``, radius > 0.

    Example:
        >>> project_l2_ball(np.array([3.0, 4.0])).round(12).tolist()
        [0.6, 0.8]
    """
    check_number("radius", radius, low=0, low_open=True)
    x = _as_array(x)
    xp = _namespace(x)
    # Scaled by the largest entry: squares of huge or tiny entries would overflow or vanish.
    scale = abs(x).max(-1, keepdims=True).values if _is_torch(x) else abs(x).max(-1, keepdims=True)
    safe = xp.where(scale > 0, scale, _like(1.0, x))
    norm = safe * xp.sqrt(((x / safe) ** 2).sum(-1, keepdims=True))
    return xp.where(norm > radius, x * (radius / xp.where(norm > radius, norm, _like(1.0, x))), x)


def project_box(x: Array, low: Any, high: Any) -> Array:
    """The nearest points with ``low <= x <= high``, bounds being numbers (also infinite) or arrays.

    Example:
        >>> project_box(np.array([-2.0, 0.5, 2.0]), 0.0, 1.0).tolist()
        [0.0, 0.5, 1.0]
    """
    x = _as_array(x)
    xp = _namespace(x)
    return xp.minimum(xp.maximum(x, _like(low, x)), _like(high, x))


class _Set:
    def project(self, x: Array) -> Array:
        raise NotImplementedError

    def __call__(self, x: Array) -> Array:
        """The same as :meth:`project`."""
        return self.project(x)

    def contains(self, x: Array, tol: float = 1e-9) -> bool:
        """Whether every entry of ``x`` is within ``tol`` of its projection."""
        x = _as_array(x)
        return bool((abs(self.project(x) - x) <= tol).all())


class Free(_Set):
    """The whole space.

    Example:
        >>> Free()(np.array([7.0])).tolist()
        [7.0]
    """

    def project(self, x: Array) -> Array:
        """A copy of ``x``."""
        x = _as_array(x)
        return x.clone() if _is_torch(x) else x.copy()

    def __repr__(self) -> str:
        return "Free()"


class Box(_Set):
    """The points between two bounds.

    Args:
        low, high: numbers or arrays of the shape of the points, infinite where there is no bound.

    Raises:
        ValueError: a bound is NaN, or ``low`` exceeds ``high``.

    Example:
        >>> Box(-1, 1)(np.array([-3.0, 0.5])).tolist()
        [-1.0, 0.5]
    """

    def __init__(self, low: Any, high: Any) -> None:
        lows, highs = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
        if np.isnan(lows).any() or np.isnan(highs).any():
            raise ValueError(f"low and high must not be NaN, got low={low!r}, high={high!r}")
        if not (lows <= highs).all():
            raise ValueError(f"low must not exceed high, got low={low!r}, high={high!r}")
        self.low, self.high = low, high

    def project(self, x: Array) -> Array:
        """The nearest point of the box."""
        return project_box(x, self.low, self.high)

    def __repr__(self) -> str:
        return f"Box({self.low!r}, {self.high!r})"


class Simplex(_Set):
    """The vectors with entries >= 0 that sum to ``total``.

    Example:
        >>> Simplex()(np.array([2.0, 0.0])).tolist()
        [1.0, 0.0]
    """

    def __init__(self, total: float = 1.0) -> None:
        self.total = check_number("total", total, low=0, low_open=True)

    def project(self, x: Array) -> Array:
        """The nearest point of the simplex."""
        return project_simplex(x, self.total)

    def __repr__(self) -> str:
        return f"Simplex({self.total!r})"


class _Ball(_Set):
    def __init__(self, radius: float = 1.0, center: Any = 0.0) -> None:
        self.radius = check_number("radius", radius, low=0, low_open=True)
        self.center = center

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.radius!r}, {self.center!r})"


class L1Ball(_Ball):
    """The points within ``radius`` of ``center`` in the l1 norm.

    Example:
        >>> L1Ball(2.0)(np.array([3.0, 0.0])).tolist()
        [2.0, 0.0]
    """

    def project(self, x: Array) -> Array:
        """The nearest point of the ball."""
        x = _as_array(x)
        center = _like(self.center, x)
        return center + project_l1_ball(x - center, self.radius)


class L2Ball(_Ball):
    """The points within ``radius`` of ``center`` in the Euclidean norm.

    Example:
        >>> L2Ball(1.0, center=1.0)(np.array([3.0])).tolist()
        [2.0]
    """

    def project(self, x: Array) -> Array:
        """The nearest point of the ball."""
        x = _as_array(x)
        center = _like(self.center, x)
        return center + project_l2_ball(x - center, self.radius)


class Affine(_Set):
    """The solutions of ``A x = b``.

    Args:
        A: shape ``(m, n)``, of any rank.
        b: shape ``(m,)``.

    Raises:
        ValueError: shapes that do not match, entries that are not finite, or equations without a solution.

    Example:
        >>> Affine([[1.0, 1.0]], [2.0])(np.array([3.0, 1.0])).round(12).tolist()
        [2.0, 0.0]
    """

    def __init__(self, A: Any, b: Any) -> None:
        matrix, right = np.atleast_2d(np.asarray(A, dtype=float)), np.atleast_1d(np.asarray(b, dtype=float))
        if matrix.ndim != 2 or right.shape != matrix.shape[:1]:
            raise ValueError(f"A must be (m, n) and b (m,), got {matrix.shape} and {right.shape}")
        if not (np.isfinite(matrix).all() and np.isfinite(right).all()):
            raise ValueError("A and b must be finite, got entries that are not")
        left, values, rows = np.linalg.svd(matrix, full_matrices=False)
        rank = int((values > values.max(initial=0.0) * max(matrix.shape) * np.finfo(float).eps).sum())
        # An orthonormal basis of the row space, and the solution of least norm.
        self._rows = rows[:rank]
        self._offset = self._rows.T @ ((left[:, :rank].T @ right) / values[:rank])
        gap = np.linalg.norm(matrix @ self._offset - right)
        if gap > 1e-9 * max(1.0, float(np.linalg.norm(right))):
            raise ValueError(f"A x = b must have a solution, got equations that miss by {gap:.3g}")

    def project(self, x: Array) -> Array:
        """The nearest solution."""
        x = _as_array(x)
        rows, offset = _like(self._rows, x), _like(self._offset, x)
        return x - ((x - offset) @ rows.T) @ rows

    def __repr__(self) -> str:
        return f"Affine({len(self._rows)} equations in {self._rows.shape[1]} unknowns)"


class Product(_Set):
    """Blocks of the last axis, each in a set of its own.

    Args:
        blocks: pairs of a block's length and its set.

    Example:
        >>> Product((2, Simplex()), (1, Box(0, 1)))(np.array([2.0, 0.0, 5.0])).tolist()
        [1.0, 0.0, 1.0]
    """

    def __init__(self, *blocks: tuple[int, Any]) -> None:
        self.blocks = [(int(size), as_projection(part)) for size, part in blocks]
        if not blocks or any(size < 1 for size, _ in self.blocks):
            raise ValueError(f"blocks must be pairs of a length >= 1 and a set, got {blocks!r}")
        self.size = sum(size for size, _ in self.blocks)

    def project(self, x: Array) -> Array:
        """The nearest point, block by block; ValueError for a point of another length."""
        x = _as_array(x)
        if x.shape[-1] != self.size:
            raise ValueError(f"x must have {self.size} entries, got shape {tuple(x.shape)}")
        parts, start = [], 0
        for size, part in self.blocks:
            parts.append(part(x[..., start : start + size]))
            start += size
        return sys.modules["torch"].cat(parts, -1) if _is_torch(x) else np.concatenate(parts, -1)

    def __repr__(self) -> str:
        return f"Product({', '.join(f'({size}, {part!r})' for size, part in self.blocks)})"


def as_projection(value: Any) -> Callable[[Array], Array]:
    """A function that projects: of a set, of a function that is one, or of None for the whole space.

    Raises:
        TypeError: anything else.

    Example:
        >>> as_projection(None)(np.array([3.0])).tolist()
        [3.0]
    """
    if value is None:
        return Free()
    if callable(value):
        return value
    if isinstance(value, ConvexSet):
        return value.project
    raise TypeError(
        f"a set must have a method project, or be a function or None, got {value!r:.80} ({type(value).__name__})"
    )
