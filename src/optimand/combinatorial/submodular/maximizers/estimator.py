"""Choosing rows of a table, with the interface of scikit-learn's estimators."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from optimand.core.validation import check_choice, check_int

from ..objectives.base import Floats, Objective
from ..objectives.coverage import Coverage
from ..objectives.facility import FacilityLocation
from ..objectives.pairwise import GraphCut, LogDet
from ..objectives.similarity import METRICS, check_table, cross_similarity, similarity_scale
from .maximize import METHODS, run_method
from .sieve import SieveStreaming

OBJECTIVES = ("facility", "log-det", "graph-cut", "coverage")
# Graph cut compares with all rows at once, so a pass over rows cannot evaluate it.
STREAMED = ("facility", "log-det", "coverage")


class SubmodularSelection(BaseEstimator):  # type: ignore[misc]
    """Select ``k`` rows that stand for a table, or that differ most.

    Args:
        k: rows to select, at least 1.
        objective: ``facility`` (each row is like a selected one), ``log-det`` (the selected ones differ), ``graph-cut``
            (both), ``coverage`` (the columns in which a selected row is positive; of a table >= 0).
        metric: similarity of rows: ``squared``, ``rbf`` or ``cosine``; ``log-det`` needs ``rbf`` or ``cosine``.
        method: of :func:`~optimand.combinatorial.submodular.maximizers.maximize.maximize_submodular`.
        sigma: noise of ``log-det``.
        lam: redundancy of ``graph-cut``.
        eps: of the methods with one, and of :meth:`partial_fit`.
        random_state: seed of ``stochastic``.

    Attributes:
        ranking_: numbers of the selected rows, in the order selected; with ``partial_fit`` counted over all batches.
        gains_: the gain of each.
        selected_: the rows themselves.
        nfev_: questions asked.

    Example:
        >>> chosen = SubmodularSelection(2).fit([[0.0], [0.1], [5.0], [5.1], [5.2]])
        >>> chosen.ranking_.tolist(), chosen.selected_.ravel().tolist()
        ([2, 0], [5.0, 0.0])
    """

    _sieve: SieveStreaming
    _places: dict[int, int]

    def __init__(
        self,
        k: int = 10,
        objective: str = "facility",
        *,
        metric: str | None = None,
        method: str = "lazy",
        sigma: float = 1.0,
        lam: float = 0.5,
        eps: float = 0.1,
        random_state: int | None = 0,
    ) -> None:
        self.k = k
        self.objective = objective
        self.metric = metric
        self.method = method
        self.sigma = sigma
        self.lam = lam
        self.eps = eps
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> SubmodularSelection:
        """Select rows of ``X``, shape ``(n, d)``."""
        table, metric = self._check(X)
        check_choice("method", self.method, METHODS)
        f = self._function(table, table, metric, similarity_scale(table, metric))
        rng = np.random.default_rng(self.random_state)
        chosen, gains, calls = run_method(f, np.arange(len(table)), f.check_size(self.k), self.method, self.eps, rng)
        self.__dict__.pop("_sieve", None)
        self.n_seen_ = len(table)
        self._keep(chosen, gains, table[chosen], calls)
        return self

    def partial_fit(self, X: Any, y: Any = None) -> SubmodularSelection:
        """Go on with the next rows of a stream (sieve-streaming); only the candidates are remembered.

        ``facility`` measures how well the rows of the first batch are represented: let it be a fair sample.
        """
        table, metric = self._check(X)
        check_choice("objective of partial_fit", self.objective, STREAMED)
        if not hasattr(self, "_sieve"):
            self._scale, self._reference = similarity_scale(table, metric), table
            self._rows, self._numbers, self.n_seen_ = table[:0], np.empty(0, dtype=np.int64), 0
        elif table.shape[1] != self._reference.shape[1]:
            raise ValueError(f"X must have {self._reference.shape[1]} features, got {table.shape[1]}")
        kept = len(self._rows)
        rows = np.concatenate([self._rows, table])
        numbers = np.concatenate([self._numbers, self.n_seen_ + np.arange(len(table))])
        f = self._function(rows, self._reference, metric, self._scale)
        if hasattr(self, "_sieve"):
            self._sieve.rebase(f, self._places)
        else:
            self._sieve = SieveStreaming(f, self.k, self.eps)
        self._sieve.push_all(np.arange(kept, len(rows)))
        self.n_seen_ += len(table)
        places = self._sieve.kept
        self._places = {i: at for at, i in enumerate(places)}
        self._rows, self._numbers = rows[places], numbers[places]
        members, gains = self._sieve.found()
        self._keep(numbers[members], np.array(gains), rows[members], self._sieve.oracle_calls)
        return self

    def transform(self, X: Any = None) -> Floats:
        """The selected rows: of ``X`` where it is given, else those that were fitted."""
        self._check_fitted()
        if X is None:
            return self.selected_
        table = check_table(X)
        if len(self.ranking_) and int(self.ranking_.max()) >= len(table):
            raise ValueError(
                f"X must have the rows that were fitted, more than {self.ranking_.max()}, got {len(table)}"
            )
        rows: Floats = table[self.ranking_]
        return rows

    def fit_transform(self, X: Any, y: Any = None) -> Floats:
        """Fit and return the selected rows."""
        return self.fit(X).selected_

    def get_support(self, indices: bool = False) -> Any:
        """Which rows are selected, as a mask over all rows seen or, with ``indices``, as sorted numbers."""
        self._check_fitted()
        if indices:
            return np.sort(self.ranking_)
        mask = np.zeros(self.n_seen_, dtype=bool)
        mask[self.ranking_] = True
        return mask

    def _check_fitted(self) -> None:
        if not hasattr(self, "ranking_"):
            raise NotFittedError("SubmodularSelection has selected nothing: call fit or partial_fit first")

    def _check(self, X: Any) -> tuple[Floats, str]:
        check_int("k", self.k, low=1)
        check_choice("objective", self.objective, OBJECTIVES)
        metric = self.metric if self.metric is not None else "rbf" if self.objective == "log-det" else "squared"
        check_choice("metric", metric, METRICS if self.objective != "log-det" else ("rbf", "cosine"))
        table = check_table(X)
        if not len(table):
            raise ValueError("X must have at least one row, got none")
        if self.objective == "coverage" and table.min() < 0:
            raise ValueError(f"X must be at least 0 for objective 'coverage', got {table.min():g}")
        self.n_features_in_ = table.shape[1]
        return table, metric

    def _function(self, rows: Floats, reference: Floats, metric: str, scale: float) -> Objective:
        if self.objective == "coverage":
            return Coverage([np.flatnonzero(row) for row in rows], np.ones(rows.shape[1]))
        if self.objective == "facility":
            return FacilityLocation(cross_similarity(reference, rows, metric, scale))
        matrix = cross_similarity(rows, rows, metric, scale)
        if self.objective == "log-det":
            return LogDet(matrix, self.sigma)
        return GraphCut(matrix, self.lam, min(self.k, len(rows)))

    def _keep(self, numbers: Any, gains: Floats, rows: Floats, calls: int) -> None:
        self.ranking_, self.gains_, self.selected_, self.nfev_ = np.asarray(numbers), gains, rows, calls
