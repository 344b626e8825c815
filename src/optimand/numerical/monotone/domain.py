"""The set-valued part ``G`` of an inclusion: its resolvent and its domain."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimand.core.projections import as_projection

Array = NDArray[np.float64]
Resolvent = Callable[[Array, float], Array]


def as_resolvent(value: Any) -> Resolvent:
    """A function ``(z, step) -> J(z)``: of a set, a projection, a resolvent with two arguments, or None for ``G = 0``.

    Args:
        value: None; a set with a method ``project``; a function ``z -> J(z)``, which is then taken to be a
            projection and so not to depend on the step; or a function ``(z, step) -> (I + step G)^{-1}(z)``.

    Raises:
        TypeError: anything else.

    Example:
        >>> import numpy as np
        >>> soft = as_resolvent(lambda z, step: np.sign(z) * np.maximum(abs(z) - step, 0))
        >>> soft(np.array([3.0]), 1.0).tolist(), as_resolvent(None)(np.array([3.0]), 1.0).tolist()
        ([2.0], [3.0])
    """
    if isinstance(value, _Guarded):
        return value
    if value is None:
        return lambda z, step: z
    if hasattr(value, "project"):
        return _Projection(value.project)
    try:
        project = as_projection(value)
    except TypeError:
        raise TypeError(
            "resolvent must be None, a set with a method project, or a function of (z) or (z, step), "
            f"got {value!r:.80} ({type(value).__name__})"
        ) from None
    return _Guarded(project) if _takes_two(project) else _Projection(project)


class _Guarded:
    """A resolvent that may work in place or hand out the same array each time: what goes in and comes out is copied."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, z: Array, step: float) -> Array:
        found = np.array(self._value(z.copy(), step), dtype=np.float64)
        if found.shape != z.shape:
            raise ValueError(f"resolvent must return shape {z.shape}, the shape of its argument, got {found.shape}")
        return found

    def _value(self, z: Array, step: float) -> Any:
        return self.function(z, step)


class _Projection(_Guarded):
    """A projection as a resolvent: the step does not matter, and points of the set stay where they are."""

    def _value(self, z: Array, step: float) -> Any:
        return self.function(z)


def into_domain(resolvent: Resolvent, u0: Array) -> Array:
    """``u0``, or its projection with a warning where the resolvent is a projection and ``u0`` not in its set.

    Args:
        resolvent: as from :func:`as_resolvent`.
        u0: shape ``(dim,)``.

    Example:
        >>> import numpy as np
        >>> into_domain(as_resolvent(None), np.ones(2)).tolist()
        [1.0, 1.0]
    """
    if not isinstance(resolvent, _Projection):
        return u0
    inside = resolvent(u0, 1.0)
    away = float(np.linalg.norm(inside - u0))
    if away > 1e-8 * (1 + float(np.linalg.norm(u0))):
        warnings.warn(f"u0 is outside the set, at distance {away:.3g}: its projection is taken", stacklevel=4)
    return inside


def _takes_two(function: Any) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    needed = [p for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len(needed) == 2
