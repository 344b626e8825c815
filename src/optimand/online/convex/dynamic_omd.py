"""Small regret against comparators that move: a pool of optimistic learners under optimistic Hedge (arXiv 2302.04552).

Each base learner has a step size of its own, for one speed of the comparator; all of them go by the one gradient at
the combined point. The structure is that of Sword++ (arXiv 2112.14368): the losses that Hedge sees carry a fee on how
far a base learner moves, which pays for the difference between gradients at different points. Where the horizon is not
known, runs of doubling length follow each other, each from the point that the last one ended at.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from optimand.core.validation import check_int, check_number

from .domains import Ball, Box, Unconstrained
from .gradient_learner import Array, GradientLearner, check_euclidean
from .implicit import guess_error, implicit_step
from .loops import base_steps, hedge

FIRST_HORIZON = 32


def step_pool(D: float, G: float, L: float | None, horizon: int, stretch: float = 1.0) -> Array:
    """Step sizes from ``sqrt(D^2 / (8 G^2 T))`` by factors of 2 up to ``1/(8 L)``, which is the last one.

    Args:
        D: diameter, > 0.
        G: bound on the norms of gradients, > 0.
        L: smoothness; 0 or None puts ``stretch D/G`` at the upper end.
        horizon: rounds ``T``.
        stretch: factor of the upper end where ``L`` is 0 or None, > 0.

    Example:
        >>> step_pool(2.0, 1.5, 1.0, 4000).round(8).tolist()
        [0.00745356, 0.01490712, 0.02981424, 0.05962848, 0.11925696, 0.125]
    """
    least = D / (G * math.sqrt(8 * horizon))
    most = 1 / (8 * L) if L else stretch * D / G
    if least >= most:
        return np.array([most])
    count = math.ceil(math.log2(most / least)) + 1
    return np.minimum(least * 2.0 ** np.arange(count), most)


class TwoLayer(GradientLearner):
    """Base of learners with a pool of base learners under a Hedge of some kind.

    Attributes:
        pool: step sizes of the base learners, shape ``(N,)``.
        weights: their weights in the round, shape ``(R, N)``.
    """

    asks: ClassVar[tuple[str, ...]] = ("G", "D")

    def __init__(
        self, domain: Any = None, horizon: int | None = None, *, D: float | None = None, G: float | None = None,
        L: float | None = None, implicit: bool = False, stretch: float = 1.0, x1: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(domain, D=D, G=G, L=L, x1=x1)
        self.stretch = check_number("stretch", stretch, low=0, low_open=True, high=math.inf, high_open=True)
        self.horizon = None if horizon is None else check_int("horizon", horizon, low=1)
        self.implicit = bool(implicit)

    def _begin(self) -> None:
        check_euclidean(type(self).__name__, self._space)
        told = self.horizon if self.horizon is not None else self.horizon_told
        self._doubles = told is None
        self._length = FIRST_HORIZON if told is None else told
        self._start(self._first_point())

    def _start(self, x: Array) -> None:
        """Begin a run of ``self._length`` rounds at the points ``x`` (R, d)."""
        self._end = self.t + self._length
        self.pool = self._make_pool(self._length)
        reps, n = len(x), len(self.pool)
        self._xhat = np.repeat(x[:, None], n, axis=1)
        self._bases = self._xhat
        self._mean = x
        self._fee = np.zeros((reps, n))  # kappa |x_{t,i} - x_{t-1,i}|^2
        self._guess = np.zeros((reps, n))  # m_t
        self._last = np.zeros_like(x)
        self._last_loss: Any = None
        self._kappa = 2.0 * (self._constant("L") or 0.0)
        self._limits = None if self.implicit else _limits(self._space, x.shape[1])
        self.weights = np.full((reps, n), 1.0 / n)
        self._start_weights()

    def _make_pool(self, horizon: int) -> Array:
        raise NotImplementedError

    def _start_weights(self) -> None:
        raise NotImplementedError

    def _weigh(self, losses: Array, guesses: Array, wrong: Array) -> tuple[Array, Array]:
        """What Hedge weighs by: ``z`` (R, N) and rates (R,), for weights proportional to ``exp(-rate z)``.

        Args:
            losses: of the bases in the round, shape ``(R, N)``.
            guesses: of those of the next round, shape ``(R, N)``.
            wrong: squares of the errors of guessed gradients, shape ``(R,)``.
        """
        raise NotImplementedError

    def _cap(self) -> float:
        """The largest learning rate of Hedge."""
        D, G, L = self._constant("D"), self._constant("G"), self._constant("L")
        return float(1 / (8 * D**2 * L) if L else self.stretch / (D * G))

    def _decide(self) -> Array:
        if self._doubles and self.t == self._end:
            self._length *= 2
            self._start(self._mean)
        return self._mean

    def _learn(self, g: Array, square: Array, loss: Any) -> None:
        wrong = guess_error(self, g, loss)
        losses, guesses, fee = self._move(g, loss)
        losses += self._fee
        guesses += fee
        self._fee = fee
        z, rate = self._weigh(losses, guesses, np.einsum("rd,rd->r", wrong, wrong))
        self.weights, self._mean = hedge(z, rate, self._bases)
        self._guess = guesses
        self._last = g

    def _move(self, g: Array, loss: Any) -> tuple[Array, Array, Array]:
        """Two steps of every base; ``<g, x_{t,i}>``, ``<g, x_{t+1,i}>`` and the fee of the move, each (R, N)."""
        if self._limits is not None:
            self._xhat, self._bases, losses, guesses, fee = base_steps(
                g, self._xhat, self._bases, self.pool, self._kappa, *self._limits
            )
            return losses, guesses, fee
        step = self.pool[None, :, None] * g[:, None]
        before = self._bases
        self._xhat = self._space.settle(self._xhat - step)
        self._bases = self._implicit_bases(loss) if self.implicit else self._space.settle(self._xhat - step)
        losses, guesses = (np.einsum("rnd,rd->rn", points, g) for points in (before, self._bases))
        far = self._bases - before
        return losses, guesses, self._kappa * np.einsum("rnd,rnd->rn", far, far)

    def _implicit_bases(self, loss: Any) -> Array:
        anchors = np.ascontiguousarray(np.swapaxes(self._xhat, 0, 1))
        return np.ascontiguousarray(np.swapaxes(implicit_step(loss, anchors, self.pool[:, None], self._space), 0, 1))


def _limits(space: Any, d: int) -> tuple[Array, float, Array, Array] | None:
    """Center and radius of a ball, bounds of a box: what the compiled steps project by; None for other sets."""
    free = np.zeros(d), math.inf, np.full(d, -math.inf), np.full(d, math.inf)
    kind = type(space)
    if kind is Ball:
        return np.array(np.broadcast_to(space.center, d)), space.radius, *free[2:]
    if kind is Box:
        return *free[:2], np.array(np.broadcast_to(space.lo, d)), np.array(np.broadcast_to(space.hi, d))
    return free if kind is Unconstrained else None


class DynamicOMD(TwoLayer):
    """Two layers: base learners ``i`` with steps ``eta_i``, and optimistic Hedge on what they would have lost.

    ``l_{t,i} = <g_t, x_{t,i}> + kappa |x_{t,i} - x_{t-1,i}|^2`` with ``kappa = 2 L``; Hedge's rate is
    ``min(1 / (8 D^2 L), sqrt(ln N / (D^2 V_{t-1})))`` on all losses so far and the guess of the next one, with ``V`` as
    in :class:`~optimand.online.convex.OptimisticOMD`.

    Args:
        domain: where points are played from; None for the environment's.
        horizon: rounds; None for what the environment tells, and where it does not, for runs of doubling length.
        D: diameter of the domain, > 0; by default the domain's own.
        G: bound on the norms of gradients, > 0.
        L: smoothness of the mean losses; None and 0 (linear losses) put ``D/G`` and ``1/(D G)`` in place of what has
            ``L`` below the line.
        implicit: whether base learners play proximal steps on the last loss itself, for losses that are not smooth.
        eps: Hedge's largest rate, > 0, instead of ``1 / (8 D^2 L)``.
        stretch: factor of ``D/G`` and ``1/(D G)`` where they stand in for what has ``L``, > 0.
        x1: the first point, shape ``(d,)``.

    Raises:
        ValueError: an argument is out of its range.
        OptimandError: a constant is neither given nor told, or ``implicit`` meets a round without a loss object.

    Example:
        >>> from optimand.online.convex import Ball
        >>> learner = DynamicOMD(Ball(1.0, dim=2), horizon=100, G=1.0, L=1.0)
        >>> for _ in range(20):
        ...     _ = learner.predict()
        ...     learner.update([0.5, 0.0])
        >>> len(learner.pool), float(learner.predict()[0]) < -0.5
        (2, True)
    """

    def __init__(
        self, domain: Any = None, horizon: int | None = None, *, D: float | None = None, G: float | None = None,
        L: float | None = None, implicit: bool = False, eps: float | None = None, stretch: float = 1.0,
        x1: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(domain, horizon, D=D, G=G, L=L, implicit=implicit, stretch=stretch, x1=x1)
        self.eps = None if eps is None else check_number("eps", eps, low=0, low_open=True)

    def _make_pool(self, horizon: int) -> Array:
        return step_pool(self._constant("D"), self._constant("G"), self._constant("L"), horizon, self.stretch)

    def _start_weights(self) -> None:
        self.V = np.zeros(len(self.weights))
        self._total = np.zeros(self.weights.shape)
        self._most = self._cap() if self.eps is None else self.eps
        self._factor = math.sqrt(math.log(len(self.pool))) / self._constant("D")

    def _weigh(self, losses: Array, guesses: Array, wrong: Array) -> tuple[Array, Array]:
        self._total = self._total + losses
        self.V = self.V + wrong
        # V = 0 leaves the cap alone: the quotient is then larger than any cap.
        return self._total + guesses, np.minimum(self._most, self._factor / np.sqrt(np.maximum(self.V, 1e-300)))
