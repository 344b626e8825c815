"""Streams of data as environments: rows in time order, in random order, reshuffled, or with labels that shift.

Playing a linear model on a finite data set in random order is the random order model, and in several reshuffled passes
it is multi-pass stochastic gradient descent; both are special cases of the model of arXiv 2302.04552. The expectation
of a loss is not known here, so regret is the realised one: against the model that is best for the losses that came.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from optimand.core.validation import OptimandError, check_choice

from ..engine.contracts import Array, Spec
from ..engine.draws import Draws
from .comparators import best_model
from .domains import Ball, Domain, check_domain
from .environments import largest_norm
from .losses import LINEAR_MODELS, linear_model_loss
from .played import PlayedEnvironment, summed
from .shifts import draw_labels, mixture

ORDERS = ("time", "random", "reshuffled", "label-shift")


class StreamEnvironment(PlayedEnvironment):
    """A linear model on rows of data that come one at a time.

    Regret is measured against: ``realised``, the fixed model that is best for the losses so far (exact for the
    squared loss on a ball or without constraints, else found by iterations and never better than the best);
    ``loss``, nothing: the learner's total loss.

    Args:
        features: shape ``(n, d)``.
        targets: shape ``(n,)``; labels must be -1 and 1 for ``hinge`` and ``logistic``.
        loss: ``squared`` (half the square), ``absolute``, ``quantile``, ``hinge`` or ``logistic``.
        order: ``time`` (as they stand, once), ``random`` (one pass in an order of each repetition's own),
            ``reshuffled`` (passes without end) or ``label-shift`` (rows drawn with replacement from classes whose
            proportions move).
        domain: a convex set; the unit ball by default.
        quantile: of the quantile loss.
        classes: for ``label-shift`` the class of each row, integers from 0 on, shape ``(n,)``.
        how: for ``label-shift``, as of :class:`~optimand.online.convex.shifts.LabelShift`.

    Raises:
        ValueError: shapes or values do not fit.

    Example:
        >>> from optimand.online.engine import simulate
        >>> from optimand.online.convex import OGD
        >>> x = np.random.default_rng(0).uniform(-1, 1, (50, 2))
        >>> env = StreamEnvironment(x, x @ [0.5, -0.2], order="random")
        >>> float(simulate([OGD()], env, 50, reps=3).mean("OGD")[-1]) > 0
        True
    """

    comparators: ClassVar[tuple[str, ...]] = ("realised", "loss")

    def __init__(
        self, features: Any, targets: Any, *, loss: str = "squared", order: str = "time", domain: Domain | None = None,
        quantile: float = 0.5, classes: Any = None, how: str = "sine",
    ) -> None:  # fmt: skip
        self.features = np.ascontiguousarray(features, dtype=float)
        self.targets = np.ascontiguousarray(targets, dtype=float)
        if self.features.ndim != 2 or 0 in self.features.shape:
            raise ValueError(f"features must have shape (n, d), got {self.features.shape}")
        if self.targets.shape != self.features.shape[:1]:
            raise ValueError(f"targets must have shape {self.features.shape[:1]}, got {self.targets.shape}")
        if not (np.isfinite(self.features).all() and np.isfinite(self.targets).all()):
            raise ValueError("features and targets must be finite")
        self.loss, self.order = check_choice("loss", loss, LINEAR_MODELS), check_choice("order", order, ORDERS)
        self.quantile, self.how = quantile, how
        self._all = linear_model_loss(loss, self.features, self.targets, quantile)
        self.classes = None if classes is None else np.asarray(classes, dtype=np.int64)
        if order == "label-shift":
            self._check_classes()
        self.d = self.features.shape[1]
        self.domain = Ball(1.0) if domain is None else check_domain(domain)

    def _check_classes(self) -> None:
        if self.classes is None or self.classes.shape != self.targets.shape:
            raise ValueError(f"order 'label-shift' needs classes of shape {self.targets.shape}")
        sizes = np.bincount(self.classes) if self.classes.min() >= 0 else np.zeros(0)
        if len(sizes) < 2 or (sizes == 0).any():
            raise ValueError("classes must be 0, 1, … without gaps, at least two of them")
        # Rows of a class lie next to each other in this order.
        self._by_class, self._sizes = np.argsort(self.classes, kind="stable"), sizes
        self._starts = np.cumsum(sizes) - sizes

    def reset(self, draws: Draws, horizon: int | None) -> None:
        """Begin anew; a stream that ends must be long enough for the horizon."""
        n = len(self.targets)
        if horizon is None:
            raise OptimandError("a stream needs to know the horizon")
        if self.order in ("time", "random") and horizon > n:
            raise OptimandError(f"the stream has {n} rows for {horizon} rounds; order='reshuffled' repeats them")
        self._begin(draws, horizon)
        self._order_draws, self._labels = draws.child("order"), draws.child("labels")
        self._pass, self._rows_of_pass = -1, np.zeros((0, self._reps), dtype=np.int64)
        self._total = np.zeros(self._reps)
        self._counts = np.zeros((self._reps, n))
        self._best: Array | None = None

    def spec(self) -> Spec:
        """Dimension, domain, and the facts ``D``, ``G``, ``L`` and, for exp-concave losses, ``alpha``."""
        return self._told(**self._constants())

    def _constants(self) -> dict[str, float | None]:
        longest = float(np.linalg.norm(self.features, axis=1).max())
        most = longest * largest_norm(self.domain, self.d)  # of a prediction
        smooth = self._all.smoothness
        if self.loss == "squared":
            error = most + float(np.abs(self.targets).max())
            return {"G": longest * error, "L": longest**2, "alpha": 1.0 / error**2}
        return {
            "G": longest if self.loss != "quantile" else longest * max(self.quantile, 1 - self.quantile),
            "L": None if smooth is None else smooth * longest**2,
            # f'' / f'^2 of the logistic loss is exp(margin)
            "alpha": float(np.exp(-most)) if self.loss == "logistic" else None,
        }

    def _draw(self, first: int, count: int) -> None:
        rows = self._rows(first, count)
        self._chunk_rows = rows
        self._chunk_features, self._chunk_targets = self.features[rows], self.targets[rows]

    def _rows(self, first: int, count: int) -> Array:
        n = len(self.targets)
        if self.order == "time":
            return np.repeat(np.arange(first, first + count)[:, None], self._reps, axis=1)
        if self.order == "label-shift":
            shares = mixture(self.how, first, count, self._horizon or 1, len(self._sizes))
            labels = draw_labels(self._labels, shares)
            within = (self._order_draws.uniform(count).T * self._sizes[labels]).astype(np.int64)
            return self._by_class[self._starts[labels] + np.minimum(within, self._sizes[labels] - 1)]
        parts = []
        while count > 0:
            number, at = divmod(first, n)
            if number != self._pass:
                self._pass = number
                self._rows_of_pass = self._order_draws.child(number).permutation(n).T
            part = self._rows_of_pass[at : at + count]
            parts.append(part)
            first, count = first + len(part), count - len(part)
        return np.concatenate(parts)

    def _loss(self, j: int) -> Any:
        return self._all.on(self._chunk_features[j], self._chunk_targets[j])

    def _judge(self, points: Array, start: int, stop: int) -> None:
        rows = self._chunk_rows[start:stop]
        z = np.einsum("trd,trd->tr", points, self._chunk_features[start:stop])
        played = self._all.on(self._chunk_features[start:stop], self._chunk_targets[start:stop])
        self._total = self._total + summed(played.scalar_value(z))
        np.add.at(self._counts, (np.arange(self._reps)[None, :], rows), 1.0)

    def regret(self, comparator: str) -> Array:
        """Realised regret, or the total loss, so far; shape ``(R,)``."""
        check_choice("comparator", comparator, self.comparators)
        self._flush()
        if comparator == "loss":
            return self._total.copy()
        return self._total - self.best_fixed()[1]

    def best_fixed(self) -> tuple[Array, Array]:
        """The models (R, d) that are best for the losses so far, and their total losses (R,)."""
        self._flush()
        found = best_model(self.domain, self._all, self._counts, self._best)
        self._best = found[0]
        return found

    def extras(self) -> dict[str, Array]:
        """The total ``loss`` so far."""
        self._flush()
        return {"loss": self._total.copy()}
