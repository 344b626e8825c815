"""Sets inside scikit-learn: ``digits`` and ``breast_cancer`` (UCI, CC BY 4.0)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..core.validation import OptimandError
from .containers import TableData, stratified_split, take

# Both sets come in an order of their own and without a split: this one is fixed, stratified, and
# has nothing to do with a run's seed, so that results of different runs are about the same data.
_SHARES = (0.6, 0.2, 0.2)


def digits(root: Path | None = None) -> TableData:
    """1797 handwritten digits of 8x8 pixels, values 0 to 16: 1078 train, 360 valid, 359 test."""
    return _from_sklearn("digits", "UCI optical recognition of handwritten digits", (8, 8))


def breast_cancer(root: Path | None = None) -> TableData:
    """569 tumors with 30 measurements, benign or malignant: 341 train, 115 valid, 113 test."""
    return _from_sklearn("breast_cancer", "UCI breast cancer Wisconsin (diagnostic)", (30,))


def _from_sklearn(name: str, source: str, shape: tuple[int, ...]) -> TableData:
    try:
        from sklearn import datasets
    except ImportError as error:
        raise OptimandError(f"data set {name!r} is part of scikit-learn: pip install scikit-learn") from error
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    x = x.reshape(len(x), *shape).astype(np.float32)
    y = y.astype(np.int64)
    train, valid, test = (take(x, y, part) for part in stratified_split(y, _SHARES))
    return TableData(name, train, valid, test, int(y.max()) + 1, f"{source}, from scikit-learn")
