"""Rows of tables in scikit-learn as elements, with similarities between them."""

from __future__ import annotations

from typing import Any

import numpy as np

from optimand.core.validation import OptimandError, check_choice

from ..objectives.base import Floats, Objective
from ..objectives.facility import FacilityLocation
from ..objectives.pairwise import GraphCut, LogDet
from ..objectives.similarity import similarity

TABLES = ("digits", "wine", "breast_cancer")
OBJECTIVES = ("facility", "log-det", "graph-cut")


def table(name: str) -> Floats:
    """The features of a table, standardized but for the pixels of ``digits``; shape ``(n, d)``."""
    check_choice("data", name, TABLES)
    try:
        from sklearn import datasets
    except ImportError as error:
        raise OptimandError(f"data {name!r} is part of scikit-learn: python -m pip install scikit-learn") from error
    x: Any = getattr(datasets, f"load_{name}")(return_X_y=True)[0]
    rows: Floats = np.asarray(x, dtype=np.float64)
    return rows if name == "digits" else (rows - rows.mean(axis=0)) / rows.std(axis=0)


def table_objective(name: str, objective: str, k: int) -> Objective:
    """How well a few rows stand for the table (``facility``), or how they differ (``log-det``), or both.

    Args:
        name: ``digits``, ``wine`` or ``breast_cancer``.
        objective: ``facility`` of the largest squared distance less the squared distance; ``log-det`` of an RBF kernel
            with noise of standard deviation 1/2; ``graph-cut`` of the RBF kernel with redundancy 1/2.
        k: the largest solution.
    """
    check_choice("objective", objective, OBJECTIVES)
    if objective == "facility":
        return FacilityLocation(similarity(table(name)))
    matrix = similarity(table(name), "rbf")
    return LogDet(matrix, 0.5) if objective == "log-det" else GraphCut(matrix, 0.5, k)
