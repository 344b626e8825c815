"""Features, parameters and errors of drawn instances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from optimand.core.validation import check_int, check_number

from .queries import Array, check_features


def gaussian_actions(N: int, d: int, rng: np.random.Generator | int = 0, norm: float = 1.0) -> Array:
    """``N`` rows of independent directions, uniform on the sphere of radius ``norm`` in ``R^d``; shape ``(N, d)``.

    Example:
        >>> float(np.linalg.norm(gaussian_actions(3, 5, norm=0.9), axis=1).max().round(12))
        0.9
    """
    check_int("N", N, low=1)
    check_int("d", d, low=1)
    check_number("norm", norm, low=0, low_open=True)
    rows = np.random.default_rng(rng).standard_normal((N, d))
    return norm * rows / np.linalg.norm(rows, axis=1, keepdims=True)


def rademacher_actions(N: int, d: int, rng: np.random.Generator | int = 0) -> Array:
    """Rows of independent signs, shape ``(N, d)``: a well-conditioned design for sparse regression."""
    check_int("N", N, low=1)
    check_int("d", d, low=1)
    return np.where(np.random.default_rng(rng).random((N, d)) < 0.5, -1.0, 1.0)


def random_theta(
    d: int, s: int, rng: np.random.Generator | int = 0, magnitudes: tuple[float, float] | None = None
) -> Array:
    """A parameter with ``s`` nonzero entries on a random support, shape ``(d,)``.

    Args:
        d: dimension.
        s: nonzero entries, in [1, d].
        rng: source of random numbers, or its seed.
        magnitudes: range that absolute values are uniform in, with random signs; None for a direction uniform on the
            unit sphere.

    Example:
        >>> theta = random_theta(9, 3)
        >>> int((theta != 0).sum()), float(np.linalg.norm(theta).round(12))
        (3, 1.0)
    """
    check_int("d", d, low=1)
    check_int("s", s, low=1, high=d)
    rng = np.random.default_rng(rng)
    theta = np.zeros(d)
    support = rng.choice(d, s, replace=False)
    if magnitudes is None:
        direction = rng.standard_normal(s)
        theta[support] = direction / np.linalg.norm(direction)
    else:
        theta[support] = rng.uniform(*magnitudes, size=s) * rng.choice([-1.0, 1.0], size=s)
    return theta


def aimed_errors(Phi: Any, eps: float) -> Callable[[Array, Array], Array]:
    """Errors that fool least squares on a G-optimal design by about ``√d eps``, as a function of ``(Phi, theta)``.

    With ``a0`` the action nearest to orthogonal to ``theta`` and ``V`` the matrix of the design,
    ``e(a) = eps sign(phi(a)' V^-1 phi(a0))`` but ``e(a0) = -eps``: every answer raises the prediction for ``a0``.

    The design is computed once, here. The function takes one parameter ``(d,)`` or several ``(R, d)``.

    Args:
        Phi: features, shape ``(N, d)``.
        eps: size of the errors, >= 0.

    Reference: a construction of ours; that least squares loses ``√d`` is Lattimore et al. (2020).

    Example:
        >>> error = aimed_errors(np.eye(2), 0.1)
        >>> error(np.eye(2), np.array([1.0, 0.0])).tolist()
        [0.0, -0.1]
    """
    from .design import g_optimal_design

    Phi = check_features(Phi)
    check_number("eps", eps, low=0)
    design = g_optimal_design(Phi)
    rows = Phi[design.support]
    inverse = np.linalg.pinv(rows.T @ (rows * design.weights[:, None]), rcond=1e-10, hermitian=True)

    def errors(Phi: Array, theta: Array) -> Array:
        a0 = np.abs(np.atleast_2d(theta) @ Phi.T).argmin(axis=1)
        found = eps * np.sign(Phi[a0] @ inverse @ Phi.T)
        found[np.arange(len(a0)), a0] = -eps
        return found if np.ndim(theta) == 2 else found[0]

    return errors
