"""Checks of what users hand to learners, sets and losses by hand: what came, and what was expected.

The engine's own losses are not checked here: environments make one a round, from data that were checked once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from optimand.core.validation import OptimandError

Array = np.ndarray


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


def check_hand_made(loss: Any, shape: tuple[int, int]) -> None:
    """Check a loss that came by hand, for points of shape ``(R, d)``.

    Raises:
        OptimandError: it has no ``gradient``, or the features of a linear model do not fit.
    """
    if not callable(getattr(loss, "gradient", None)):
        raise OptimandError(
            f"loss must be an object with gradient(x) for points x of shape (R, d), got {loss!r:.60} "
            f"({type(loss).__name__})"
        )
    features = getattr(loss, "features", None)
    if features is not None:
        found = np.shape(features)
        if len(found) != 2 or found[1] != shape[1] or found[0] not in (1, shape[0]):
            raise OptimandError(
                f"loss must have features of shape {shape}, as the points have, got {found} ({type(loss).__name__})"
            )


def gradient_of(loss: Any, x: Array) -> Array:
    """The loss's gradient at the points ``x`` (R, d).

    Raises:
        OptimandError: it fails, or has another shape.
    """
    kind = type(loss).__name__
    try:
        found = np.asarray(loss.gradient(x.copy()), dtype=float)
    except Exception as error:  # whatever a user's code raises
        raise OptimandError(
            f"{kind}.gradient(x) failed at points x of shape {x.shape}, one row a repetition: "
            f"{type(error).__name__}: {error}"
        ) from error
    if found.shape != x.shape:
        raise OptimandError(
            f"{kind}.gradient(x) must have the shape of the points x, (R, d) = {x.shape}, got {found.shape}"
        )
    return found
