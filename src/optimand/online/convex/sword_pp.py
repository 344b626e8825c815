"""Sword++ (Zhao et al., arXiv 2112.14368) as the public code PyNOL plays it, to compare with.

It differs from :class:`~optimand.online.convex.DynamicOMD` in three places: the pool begins at ``sqrt(D^2/(G^2 T))``
and ends one step size above ``1/(8 L)``; Hedge updates weights round by round with the rate of each round, instead of
weighing all losses anew; and its rate falls with the errors of the guessed losses, not of the gradients. Weights are
kept as logarithms, where PyNOL's own underflow.
"""

from __future__ import annotations

import math

import numpy as np

from .dynamic_omd import TwoLayer

Array = np.ndarray


class SwordPP(TwoLayer):
    """Sword++ with PyNOL's constants.

    Args:
        domain: where points are played from; None for the environment's.
        horizon: rounds; None for what the environment tells, and where it does not, for runs of doubling length.
        D: diameter of the domain, > 0; by default the domain's own.
        G: bound on the norms of gradients, > 0.
        L: smoothness of the losses; None and 0 put ``D/G`` and ``1/(D G)`` in place of what has ``L`` below the line.
        stretch: factor of ``D/G`` and ``1/(D G)`` where they stand in for what has ``L``, > 0.
        x1: the first point, shape ``(d,)``.

    Raises:
        ValueError: an argument is out of its range.
        OptimandError: a constant is neither given nor told.

    Example:
        >>> from optimand.online.convex import Ball
        >>> learner = SwordPP(Ball(1.0, dim=1), horizon=4000, G=1.5, L=1.0)
        >>> _ = learner.predict()
        >>> learner.pool.round(8).tolist()
        [0.02108185, 0.0421637, 0.0843274, 0.16865481]
    """

    def _make_pool(self, horizon: int) -> Array:
        D, G, L = self._constant("D"), self._constant("G"), self._constant("L")
        pool = [D / (G * math.sqrt(horizon))]
        most = 1 / (8 * L) if L else self.stretch * D / G
        while pool[-1] <= most:
            pool.append(2 * pool[-1])
        return np.array(pool)

    def _start_weights(self) -> None:
        self._logs = np.zeros(self.weights.shape)
        self._errors = np.ones(len(self.weights))
        self._most = self._cap()
        self._rate = np.full(len(self.weights), self._most)

    def _weigh(self, losses: Array, guesses: Array, wrong: Array) -> tuple[Array, Array]:
        self._logs = self._logs - self._rate[:, None] * losses
        self._logs = self._logs - self._logs.max(1, keepdims=True)
        self._errors = self._errors + np.abs(losses - self._guess).max(1) ** 2
        self._rate = np.minimum(self._most, 1 / np.sqrt(self._errors))
        return self._rate[:, None] * guesses - self._logs, np.ones(len(losses))
