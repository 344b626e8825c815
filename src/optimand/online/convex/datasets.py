"""Real data for streams: a file in ``$OPTIMAND_DATA``, and sets that scikit-learn brings along.

Of rows that have not come nothing is used but scales: columns are mapped to [0, 1] where they differ in kind, and rows
divided by one number for all, so that learners may be told a bound of the gradients.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

import numpy as np

from optimand.core.validation import OptimandError, check_choice

Array = np.ndarray


# Sets that scikit-learn brings along: loader, loss of the stream, rows.
PACKAGED = {
    "breast-cancer": ("load_breast_cancer", "logistic", 569),
    "diabetes": ("load_diabetes", "squared", 442),
}


def sulfur_recovery(root: str | os.PathLike[str] | None = None) -> tuple[Array, Array]:
    """The sulfur recovery unit, 10 081 rows in time order: 5 measurements and a concentration, all on [0, 1].

    Args:
        root: folder of the data; by default ``$OPTIMAND_DATA``. The file is ``optimistic-omd-sea/SRU_1.mat`` there.

    Raises:
        OptimandError: the file is not there, or holds something else.
    """
    return _read_mat(sulfur_file(root))


def sulfur_file(root: str | os.PathLike[str] | None = None) -> Path:
    """The file of :func:`sulfur_recovery`; OptimandError where it is not there."""
    place = os.environ.get("OPTIMAND_DATA") if root is None else os.fspath(root)
    if not place:
        raise OptimandError(
            "the data of the sulfur recovery unit are a file: set OPTIMAND_DATA to the folder that holds "
            "optimistic-omd-sea/SRU_1.mat"
        )
    path = Path(place).expanduser() / "optimistic-omd-sea" / "SRU_1.mat"
    if not path.is_file():
        raise OptimandError(f"{str(path)!r} is not there (OPTIMAND_DATA={place!r})")
    return path


@functools.lru_cache(maxsize=4)
def _read_mat(path: Path) -> tuple[Array, Array]:
    from scipy.io import loadmat

    try:
        content = loadmat(path)
        x, y = np.asarray(content["x_train"], dtype=float), np.asarray(content["y_train"], dtype=float).ravel()
    except Exception as error:  # whatever a damaged file makes the reader raise
        raise OptimandError(f"{str(path)!r} is no file of the sulfur recovery unit: {error!r}") from error
    if x.ndim != 2 or y.shape != x.shape[:1]:
        raise OptimandError(f"{str(path)!r} holds features {x.shape} and targets {y.shape}")
    return x, y


def diabetes() -> tuple[Array, Array]:
    """442 patients of scikit-learn's diabetes set: 10 measurements and a constant, and the progression.

    Features are scaled so that the longest row has norm 1, the constant being as large as a typical row; the target is
    mapped to [-1, 1].
    """
    x, y = _sklearn("load_diabetes")
    x = np.column_stack([x, np.full(len(x), np.linalg.norm(x, axis=1).mean())])
    return x / np.linalg.norm(x, axis=1).max(), 2 * (y - y.min()) / (y.max() - y.min()) - 1


def digits() -> tuple[Array, Array, Array]:
    """1797 digits of scikit-learn: 64 pixels and a constant, in rows of norm at most 1, the label (is it at least 5)
    as -1 or 1, and the class."""
    x, classes = _sklearn("load_digits")
    x = np.column_stack([x, np.full(len(x), 16.0)])
    return x / np.linalg.norm(x, axis=1).max(), np.where(classes >= 5, 1.0, -1.0), classes.astype(np.int64)


def _sklearn(loader: str) -> tuple[Array, Array]:
    try:
        from sklearn import datasets
    except ImportError as error:
        raise OptimandError("these data are part of scikit-learn: pip install scikit-learn") from error
    x, y = getattr(datasets, loader)(return_X_y=True)
    return np.asarray(x, dtype=float), np.asarray(y, dtype=float)


def packaged(name: str) -> tuple[Array, Array]:
    """``breast-cancer`` (classification) or ``diabetes`` (regression) of scikit-learn in its order.

    Numbers are mapped to [0, 1] column by column, a constant is added, and rows are scaled to norm at most 1; labels
    are -1 and 1.

    Example:
        >>> x, y = packaged("breast-cancer")
        >>> x.shape, sorted(set(y.tolist()))
        ((569, 31), [-1.0, 1.0])
    """
    loader, loss, _ = PACKAGED[check_choice("data", name, PACKAGED)]
    x, y = _sklearn(loader)
    x = np.column_stack([*map(_unit, x.T), np.ones(len(y))])
    y = np.where(y > y.mean(), 1.0, -1.0) if loss == "logistic" else _unit(y)
    return x / np.linalg.norm(x, axis=1).max(), y


def _unit(column: Array) -> Array:
    spread = float(np.ptp(column))
    return (column - column.min()) / spread if spread else np.zeros_like(column)
