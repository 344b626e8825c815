"""Real data for streams: files in ``$OPTIMAND_DATA``, and sets that installed packages bring along.

Of rows that have not come nothing is used but scales: columns are mapped to [0, 1] where they differ in kind, and rows
divided by one number for all, so that learners may be told a bound of the gradients.
"""

from __future__ import annotations

import functools
import gzip
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from optimand.core.validation import OptimandError, check_choice

Array = np.ndarray


class Packaged(NamedTuple):
    """A set that a package brings along.

    Attributes:
        package: scikit-learn or river.
        source: name of the loader, or of the file in the package.
        target: column of the target, in a file.
        loss: of the stream.
        rows: how many there are.
    """

    package: str
    source: str
    target: str
    loss: str
    rows: int


PACKAGED = {
    "breast-cancer": Packaged("scikit-learn", "load_breast_cancer", "", "logistic", 569),
    "diabetes": Packaged("scikit-learn", "load_diabetes", "", "squared", 442),
    "trump": Packaged("river", "trump_approval.csv.gz", "five_thirty_eight", "squared", 1001),
    "phishing": Packaged("river", "phishing.csv.gz", "is_phishing", "logistic", 1250),
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
    """A set that scikit-learn or the package ``river`` brings along, in its order: features and targets.

    ``breast-cancer`` and ``phishing`` (river) are classification, ``diabetes`` and ``trump`` (river; approval by
    pollsters over time) regression. Numbers are mapped to [0, 1] column by column, a constant is added, and rows are
    scaled to norm at most 1; labels are -1 and 1.

    Raises:
        OptimandError: the package is not installed, or does not hold the file.

    Example:
        >>> x, y = packaged("breast-cancer")
        >>> x.shape, sorted(set(y.tolist()))
        ((569, 31), [-1.0, 1.0])
    """
    kept = PACKAGED[check_choice("data", name, PACKAGED)]
    if kept.package == "scikit-learn":
        x, y = _sklearn(kept.source)
        return _scaled(list(x.T), y, kept.loss)
    import importlib.util

    found = importlib.util.find_spec("river")
    if found is None or not found.submodule_search_locations:
        raise OptimandError(f"data {name!r} are part of the package river: pip install river")
    path = Path(next(iter(found.submodule_search_locations))) / "datasets" / kept.source
    if not path.is_file():
        raise OptimandError(f"the installed river has no file {kept.source!r} with the data {name!r}")
    return read_table(path, kept.target, kept.loss)


def read_table(path: str | os.PathLike[str], target: str, loss: str) -> tuple[Array, Array]:
    """Features and targets of a CSV file (gzipped or not) in its order; columns that are no numbers are left out.

    Args:
        path: the file; its first line names the columns.
        target: the column to predict.
        loss: of the stream; labels are mapped to -1 and 1 for ``logistic`` and ``hinge``, numbers to [0, 1] otherwise.

    Raises:
        OptimandError: the file has no such column, or no column of numbers.
    """
    import csv

    raw = Path(path).read_bytes()
    text = (gzip.decompress(raw) if os.fspath(path).endswith(".gz") else raw).decode()
    rows = list(csv.DictReader(text.splitlines()))
    if not rows or target not in rows[0]:
        raise OptimandError(f"{os.fspath(path)!r} has no column {target!r}")
    columns = [
        column for name in rows[0] if name != target and (column := _numbers([row[name] for row in rows])) is not None
    ]
    y = _numbers([row[target] for row in rows])
    if not columns or y is None:
        raise OptimandError(f"{os.fspath(path)!r} has no columns of numbers besides {target!r}")
    return _scaled(columns, y, loss)


def _scaled(columns: list[Array], y: Array, loss: str) -> tuple[Array, Array]:
    x = np.column_stack([*map(_unit, columns), np.ones(len(y))])
    y = np.where(y > y.mean(), 1.0, -1.0) if loss in ("logistic", "hinge") else _unit(y)
    return x / np.linalg.norm(x, axis=1).max(), y


def _numbers(texts: list[str]) -> Array | None:
    words = {"true": 1.0, "false": 0.0}
    try:
        found = np.array([words.get(t.lower()) if t.lower() in words else float(t) for t in texts], dtype=float)
    except ValueError:
        return None
    return found if np.isfinite(found).all() else None


def _unit(column: Array) -> Array:
    spread = float(np.ptp(column))
    return (column - column.min()) / spread if spread else np.zeros_like(column)
