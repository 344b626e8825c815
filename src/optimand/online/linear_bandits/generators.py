"""Features, parameters and errors of the test instances, and bandits made of real data."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from optimand.core.seeds import SeedTree
from optimand.core.validation import check_choice, check_int, check_number

from .instances import Array, MisspecifiedLinearBandit
from .queries import check_features

DATA = ("diabetes", "digits")


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


def aimed_bandit(N: int = 4000, d: int = 60, s: int = 2, eps: float = 0.1, seed: int = 0) -> MisspecifiedLinearBandit:
    """Directions in ``R^d`` of length 0.9, a sparse parameter, and errors aimed at least squares.

    Example:
        >>> aimed_bandit(N=200, d=6).Phi.shape
        (200, 6)
    """
    tree = SeedTree(seed)
    Phi = gaussian_actions(N, d, tree.child("features").numpy(), norm=0.9)
    theta = random_theta(d, s, tree.child("theta").numpy())
    return MisspecifiedLinearBandit(Phi, theta, eps, aimed_errors(Phi, eps), seed=tree)


@functools.cache
def real_table(data: str) -> tuple[Array, Array]:
    """Rows of a data set, divided by the largest length, and its outcomes, a column each."""
    from sklearn import datasets

    if data == "diabetes":
        x, y = datasets.load_diabetes(return_X_y=True)
        y = (y - y.mean()) / y.std()
        targets = y[:, None]
    else:
        x, labels = datasets.load_digits(return_X_y=True)
        targets = (labels[:, None] == np.arange(10)) - 0.1
    x = x / np.linalg.norm(x, axis=1).max()
    x.setflags(write=False)
    return x, targets


def real_features(data: str) -> Array:
    """Rows of a data set of scikit-learn, divided by the largest row's length: ``diabetes`` (442, 10), ``digits``."""
    check_choice("data", data, DATA)
    return real_table(data)[0]


def real_bandit(data: str, eps: float = 0.1, s: int = 2, rng: np.random.Generator | int = 0) -> Any:
    """Actions are the rows of a data set, rewards an outcome as far as ``s`` features explain it, up to ``eps``.

    An outcome (the disease's progression; being an image of one digit, drawn at random) is fitted by least squares on
    ``s`` features drawn at random, and scaled so that the parameter has norm 1. What the fit leaves, clipped to
    ``[-eps, eps]``, is the error.

    Args:
        data: ``diabetes`` or ``digits``.
        eps: > 0.
        s: features, at least 1.
        rng: draws the features (and the digit).

    Example:
        >>> bandit = real_bandit("diabetes")
        >>> bandit.actions, int((bandit.oracle().theta != 0).sum())
        (442, 2)
    """
    check_choice("data", data, DATA)
    check_number("eps", eps, low=0, low_open=True)
    x, targets = real_table(data)
    rng = np.random.default_rng(rng)
    y = targets[:, rng.integers(targets.shape[1])]
    varying = np.flatnonzero(x.std(axis=0) > 0.02 * x.std(axis=0).max())
    check_int("s", s, low=1, high=len(varying))
    support = rng.choice(varying, s, replace=False)
    found = np.linalg.lstsq(x[:, support], y, rcond=None)[0]
    scale = float(np.linalg.norm(found))
    theta = np.zeros(x.shape[1])
    theta[support] = found / scale
    return MisspecifiedLinearBandit(x, theta, eps, np.clip(y / scale - x @ theta, -eps, eps))
