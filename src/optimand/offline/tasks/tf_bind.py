"""Binding of transcription factors to all DNA 8-mers (TF-Bind-8): six complete tables, so the oracle is exact.

The values are E-scores of protein-binding microarrays (Barrera et al., Science 351, 2016), scaled to [0, 1] over the
table. A sequence and its reverse complement have one value, and both strands are rows, as in Design-Bench (Trabucco et
al., arXiv 2202.08450): 65,792 rows, 256 palindromes twice. Offline are the rows with at most the median value.
"""

from __future__ import annotations

import csv
import functools
import gzip
import os
from pathlib import Path

import numpy as np

from optimand.core.validation import OptimandError, check_choice, check_number

from .base import OfflineData, Task, worst_part
from .encoding import Floats, Ints, text_to_ints

FACTORS = ("SIX6", "CRX", "PAX4", "GFI1", "KLF1", "VSX1")
LETTERS = "ACGT"
LENGTH = 8
FOLDER = "ignite-offline"


def tf_bind(factor: str = "SIX6", percentile: float = 50.0) -> Task:
    """DNA of length 8 that a transcription factor binds; designs are integers for A, C, G, T.

    Args:
        factor: ``SIX6`` (the table of Design-Bench), ``CRX``, ``PAX4``, ``GFI1``, ``KLF1`` or ``VSX1``.
        percentile: offline are the rows with a value at most this percentile of all, in (0, 100].

    Raises:
        OptimandError: ``$OPTIMAND_DATA`` is not set, or lacks the table.
    """
    check_choice("factor", factor, FACTORS)
    check_number("percentile", percentile, low=0, low_open=True, high=100)
    x, y = read_table(_file(factor))
    part = worst_part(y, percentile)
    lookup = np.full(len(LETTERS) ** LENGTH, np.nan)
    lookup[_keys(x)] = y
    name = f"tfbind8:{factor}" + (f",percentile={percentile:g}" if percentile != 50 else "")
    data = OfflineData(x[part], y[part], True, num_classes=len(LETTERS), name=name)
    return Task(
        data, lambda designs: lookup[_keys(designs)], y_min=float(y.min()), y_max=float(y.max()),
        summary=f"8 bases that {factor} binds, rows up to percentile {percentile:g} of a complete table",
    )  # fmt: skip


def _keys(designs: Ints) -> Ints:
    return np.asarray(designs @ (len(LETTERS) ** np.arange(LENGTH - 1, -1, -1)))


def _file(factor: str) -> Path:
    place = os.environ.get("OPTIMAND_DATA")
    wanted = f"{FOLDER}/{factor}_REF_R1.csv.gz"
    if not place:
        raise OptimandError(f"the tables of TF-Bind-8 are files: set OPTIMAND_DATA to the folder that holds {wanted}")
    path = Path(place).expanduser() / wanted
    if not path.is_file():
        raise OptimandError(f"{str(path)!r} is not there (OPTIMAND_DATA={place!r})")
    return path


@functools.lru_cache(maxsize=6)
def read_table(path: Path) -> tuple[Ints, Floats]:
    """Both strands of a table: designs ``(2 n, 8)`` and values scaled to [0, 1].

    Args:
        path: gzipped CSV with the columns seq, revcomp, e_score.

    Raises:
        OptimandError: the file holds something else.
    """
    try:
        with gzip.open(path, "rt", newline="") as file:
            rows = list(csv.DictReader(file))
        x = text_to_ints([r["seq"] for r in rows] + [r["revcomp"] for r in rows], LETTERS)
        raw = np.array([float(r["e_score"]) for r in rows])
    except (OSError, EOFError, KeyError, ValueError, TypeError) as error:
        raise OptimandError(f"{str(path)!r} is no table of seq, revcomp, e_score: {error!r}") from error
    if x.shape[1:] != (LENGTH,) or not np.isfinite(raw).all() or len(np.unique(_keys(x))) != len(LETTERS) ** LENGTH:
        raise OptimandError(f"{str(path)!r} must hold all sequences of {LENGTH} bases with finite values")
    y = (raw - raw.min()) / (raw.max() - raw.min())
    y = np.concatenate([y, y])
    for array in (x, y):
        array.setflags(write=False)
    return x, y
