"""Real data as misspecified linear bandits: rows are arms, a few of their features explain an outcome."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from optimand.core.validation import check_choice, check_int, check_number

from ..engine.draws import Draws
from .environment import MisspecifiedLinearEnvironment
from .instances import MisspecifiedLinearBandit
from .queries import Array

DATA = ("diabetes", "digits")


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


def real_bandit(
    data: str, eps: float = 0.1, s: int = 2, rng: np.random.Generator | int = 0
) -> MisspecifiedLinearBandit:
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


class PatientsBandit(MisspecifiedLinearEnvironment):
    """The 442 patients of scikit-learn's diabetes data as arms, rows divided by the largest length.

    For each repetition ``sparsity`` of the 10 measurements are drawn; least squares on them explains the standardised
    progression of the disease, its coefficients scaled to length 1, and what is left, clipped to ``[-eps, eps]``, is
    the error.

    Args:
        eps: bound of the error, > 0.
        sparsity: measurements, in [1, 10].
        noise: standard deviation of a reward, >= 0.

    Example:
        >>> from optimand.core.seeds import SeedTree
        >>> PatientsBandit().instance(Draws(SeedTree(0), [0, 1])).shape
        (2, 442)
    """

    def __init__(self, *, eps: float = 0.1, sparsity: int = 2, noise: float = 0.3, **options: Any) -> None:
        check_number("eps", eps, low=0, low_open=True)
        super().__init__(real_table("diabetes")[0], eps=eps, error="none", sparsity=sparsity, noise=noise, **options)

    def instance(self, draws: Draws) -> Array:
        """Means of the repetitions of ``draws``, shape ``(R, 442)``."""
        x, y = self.features, real_table("diabetes")[1][:, 0]
        chosen = draws.permutation(x.shape[1])[:, : self.sparsity]
        columns = x[:, chosen].transpose(1, 0, 2)
        found = np.linalg.pinv(columns) @ y
        scale = np.linalg.norm(found, axis=1, keepdims=True)
        linear = np.einsum("rnk,rk->rn", columns, found / scale)
        return linear + np.clip(y / scale - linear, -self.eps, self.eps)
