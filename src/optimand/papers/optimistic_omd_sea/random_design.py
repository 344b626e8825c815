"""Least squares with random features: the exp-concave losses of the claims, whose expectation is known."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from optimand.core.validation import check_int, check_number
from optimand.online.convex import Ball, SquaredLoss
from optimand.online.convex.comparators import least_squares
from optimand.online.convex.environments import largest_norm
from optimand.online.convex.played import PlayedEnvironment, summed
from optimand.online.engine import Draws, Spec

Array = np.ndarray

_SQUARED = SquaredLoss(np.zeros((1, 1)), np.zeros(1))


class RandomDesign(PlayedEnvironment):
    """Least squares with random features: ``f_t(x) = (<x, z_t> - y_t)^2 / 2``, ``y_t = <w, z_t> + noise``.

    The features are uniform on the unit sphere, so ``F_t(x) = ||x - w||^2 / (2 d) + v/2`` with ``v`` the variance of
    the noise is known: exp-concave losses whose expectation is strongly convex only with a constant ``1/d``. Regret
    is measured against ``fixed``, the best point for ``F_t``, or ``realised``, the best for the losses that came;
    points are played from the unit ball.

    Args:
        d: dimension.
        sigma: standard deviation of the noise, which is cut at three of them.
        weight: norm of ``w``, whose direction is drawn for each repetition; in [0, 1].
    """

    comparators: ClassVar[tuple[str, ...]] = ("fixed", "realised")

    def __init__(self, d: int = 5, sigma: float = 0.1, weight: float = 0.5) -> None:
        self.d = check_int("d", d, low=1)
        self.sigma = check_number("sigma", sigma, low=0)
        self.weight = check_number("weight", weight, low=0, high=1)
        self.domain = Ball(1.0)

    def reset(self, draws: Draws, horizon: int | None) -> None:
        """Draw the weights and begin anew."""
        self._begin(draws, horizon)
        self._feature_draws, self._noise_draws = draws.child("features"), draws.child("noise")
        w = draws.child("weights").normal(self.d)
        self._w = self.weight * w / np.linalg.norm(w, axis=1, keepdims=True)
        self._excess, self._total, self._squares = (np.zeros(self._reps) for _ in range(3))
        self._gram, self._moment = np.zeros((self._reps, self.d, self.d)), np.zeros((self._reps, self.d))

    def spec(self) -> Spec:
        """Dimension, domain, and the facts ``D``, ``G``, ``L``, ``alpha`` and ``sigma``; rows have norm 1."""
        error = largest_norm(self.domain, self.d) + self.weight + 3 * self.sigma
        return self._told(G=error, L=1.0, alpha=1 / error**2, sigma=self.sigma)

    def _draw(self, first: int, count: int) -> None:
        z = np.swapaxes(self._feature_draws.normal(count, self.d), 0, 1)
        self._z = np.ascontiguousarray(z / np.linalg.norm(z, axis=2, keepdims=True))
        noise = np.clip(self._noise_draws.normal(count).T, -3.0, 3.0) * self.sigma
        self._y = np.einsum("trd,rd->tr", self._z, self._w) + noise

    def _loss(self, j: int) -> Any:
        return _SQUARED.on(self._z[j], self._y[j])

    def _judge(self, points: Array, start: int, stop: int) -> None:
        z, y = self._z[start:stop], self._y[start:stop]
        self._excess = self._excess + summed(((points - self._w) ** 2).sum(axis=2)) / (2 * self.d)
        self._total = self._total + summed(0.5 * (np.einsum("trd,trd->tr", points, z) - y) ** 2)
        self._gram = self._gram + summed(z[:, :, :, None] * z[:, :, None, :])
        self._moment = self._moment + summed(z * y[:, :, None])
        self._squares = self._squares + summed(0.5 * y**2)

    def regret(self, comparator: str) -> Array:
        """Regret so far, shape ``(R,)``."""
        self._flush()
        if comparator == "fixed":
            return self._excess
        best = least_squares(self.domain, self._gram, self._moment)
        assert best is not None
        image = np.einsum("rij,rj->ri", self._gram, best)
        return self._total - self._squares - ((0.5 * image - self._moment) * best).sum(axis=1)
