"""Logistic regression with linear and spherical constraints: real data, random equations."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from optimand.core.validation import OptimandError, check_choice, check_int
from optimand.data import load

from ..nlp import EqualityProblem

Array = NDArray[np.float64]
DATA = ("breast-cancer", "digits", "mushrooms")
EQUATIONS = 10


def constrained_logistic(data: str = "breast-cancer", seed: int = 0) -> EqualityProblem:
    """``min mean log(1 + exp(-y_i w·x_i))`` subject to ``A w = b`` (10 random equations) and ``‖w‖² = 1``.

    Args:
        data: ``breast-cancer`` (569 rows), ``digits`` (1797 rows; even against odd) or ``mushrooms`` (8124 rows, files
            in ``$OPTIMAND_DATA``). All rows; constant columns dropped, the others scaled to [-1, 1], labels ±1.
        seed: of ``numpy.random.default_rng``, from which ``A`` (10 x d) and then ``b`` are drawn, standard normal;
            drawn again while the plane misses the sphere (``‖A⁺ b‖ ≥ 1``).

    Returns:
        Weights and multipliers start at ones. Curvature of the reduced Hessian below 1e-2 counts as none in the
        paper's experiments: ``solve_problem(…, curvature_tol=1e-2)``.

    Raises:
        ValueError: unknown data set, or a negative seed.
        OptimandError: the files of ``mushrooms`` are not there.

    Reference:
        Hong, Na, Mahoney, Kolar, ICML 2023, section on constrained logistic regression.

    Example:
        >>> problem = constrained_logistic("breast-cancer")
        >>> problem.x0.shape, problem.cons(problem.x0).shape, round(float(problem.cons(problem.x0)[-1]), 12)
        ((30,), (11,), 29.0)
    """
    check_choice("data", data, DATA)
    check_int("seed", seed, low=0)
    features, labels = _table(data)
    a, b = _equations(features.shape[1], seed)
    return logistic_on_sphere(features, labels, a, b, name=f"logistic-sphere {data}")


def logistic_on_sphere(features: Array, labels: Array, a: Array, b: Array, name: str) -> EqualityProblem:
    """The same problem for any data.

    Args:
        features: shape ``(N, d)``.
        labels: shape ``(N,)``, -1 or 1.
        a: shape ``(k, d)``.
        b: shape ``(k,)``.
        name: of the problem.
    """
    signed = features * labels[:, None]
    count, d = features.shape
    k = len(b)
    sphere_hessian = 2 * np.eye(d)

    def fun(w: Array) -> float:
        return float(np.logaddexp(0, -(signed @ w)).mean())

    def grad(w: Array) -> Array:
        return -signed.T @ expit(-(signed @ w)) / count

    def cons(w: Array) -> Array:
        return np.append(a @ w - b, w @ w - 1)

    def jac(w: Array) -> Array:
        return np.vstack([a, 2 * w])

    def curvature(w: Array) -> Array:
        share = expit(signed @ w)
        return share * (1 - share) / count

    def hess(w: Array, lam: Array) -> Array:
        root = features * np.sqrt(curvature(w))[:, None]
        return root.T @ root + lam[k] * sphere_hessian

    def hessp(w: Array, lam: Array, v: Array) -> Array:
        return features.T @ (curvature(w) * (features @ v)) + 2 * lam[k] * v

    return EqualityProblem(
        fun=fun, grad=grad, cons=cons, jac=jac, hess=hess, hessp=hessp,
        x0=np.ones(d), lam0=np.ones(k + 1), name=name, f_star=None,
    )  # fmt: skip


def _equations(d: int, seed: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    while True:
        a, b = rng.standard_normal((EQUATIONS, d)), rng.standard_normal(EQUATIONS)
        # the point of the plane nearest to 0 must lie inside the sphere, or they do not meet
        if np.linalg.norm(np.linalg.lstsq(a, b, rcond=None)[0]) < 1:
            return a, b


@functools.lru_cache(maxsize=4)
def _table(data: str) -> tuple[Array, Array]:
    """All rows, scaled column by column to [-1, 1], and labels ±1."""
    if data == "mushrooms":
        features, labels = _mushrooms()
    elif data == "digits":
        x, y = _all_rows("digits")
        features, labels = x.reshape(len(x), -1), np.where(y % 2 == 0, 1.0, -1.0)
    else:
        x, y = _all_rows("breast_cancer")
        features, labels = x, np.where(y == 1, 1.0, -1.0)
    low, high = features.min(0), features.max(0)
    varies = high > low
    low, high = low[varies], high[varies]
    return 2 * (features[:, varies] - low) / (high - low) - 1, labels


def _all_rows(name: str) -> tuple[Array, NDArray[np.int64]]:
    table: Any = load(name)
    splits = (table.train, table.valid, table.test)
    return (
        np.concatenate([split.x for split in splits]).astype(np.float64),
        np.concatenate([split.y for split in splits]),
    )


def mushroom_files() -> list[Path]:
    """The two files of the mushrooms; OptimandError where they are not in ``$OPTIMAND_DATA``."""
    root = os.environ.get("OPTIMAND_DATA")
    files = [Path(root or ".") / "mushrooms" / f"agaricus.txt.{part}" for part in ("train", "test")]
    if not root or not all(file.is_file() for file in files):
        raise OptimandError(
            "data 'mushrooms' is a folder of files: set OPTIMAND_DATA to the folder that holds "
            f"mushrooms/agaricus.txt.train and .test (OPTIMAND_DATA={root!r})"
        )
    return files


def _mushrooms() -> tuple[Array, Array]:
    from sklearn.datasets import load_svmlight_files

    files = mushroom_files()
    x_train, y_train, x_test, y_test = load_svmlight_files([str(file) for file in files])
    features = np.vstack([x_train.toarray(), x_test.toarray()]).astype(np.float64)
    return features, np.where(np.concatenate([y_train, y_test]) > 0, 1.0, -1.0)
