"""Optimistic online mirror descent for everything between stochastic and adversarial losses (arXiv 2302.04552).

The last gradient serves as a guess of the next one, and the step size falls with the squares of how wrong the guesses
were: under i.i.d. losses these errors are the variance, under adversarial ones the variation, and the learner need not
know which it meets. One gradient in a round.

On the simplex with entropy the convex form is played lazily, ``x_t`` from all gradients so far anew: mirror descent
with a falling step can fail there, since the entropy's divergence is not bounded.
"""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np

from optimand.core.validation import check_choice, check_number

from .domains import Simplex
from .gradient_learner import LARGEST, SLACK, Array, GradientLearner, check_bounded, check_euclidean
from .implicit import guess_error, implicit_step

CURVATURES = ("convex", "strongly_convex", "exp_concave")
# Rounds after which an inverse that is updated is computed again.
REFRESH = 1000


class OptimisticOMD(GradientLearner):
    """Two steps from ``xhat_t``: to the point that is played by the last gradient, and on by the new one.

    With ``V_t = sum_{s<=t} |g_s - g_{s-1}|^2`` and ``g_0 = 0``:

    * ``convex``: steps ``eta_t = D / sqrt(delta + 4 G^2 + V_{t-1})``;
    * ``strongly_convex``: steps ``2 / (lam t)``;
    * ``exp_concave``: Newton steps with ``H_t = (1 + beta G^2 / 2) I + (beta/2) sum_{s<t} g_s g_s^T`` and projections
      in its norm.

    Args:
        domain: where points are played from; None for the environment's.
        curvature: of the losses: ``convex``, ``strongly_convex`` or ``exp_concave``.
        D: diameter of the domain, > 0; by default the domain's own.
        G: bound on the norms of gradients, > 0, or ``"adaptive"`` with ``convex``: a gradient that exceeds the bound
            at hand at least doubles it, and the sum ``V`` begins anew from the point at hand.
        L: smoothness of the mean losses, at least 0; None where it is not known.
        lam: modulus of strong convexity, > 0.
        alpha: of exp-concavity, > 0.
        delta: in the convex step, at least 0; by default ``10 D^2 L^2``, or ``G^2`` where ``L`` is not known or with
            ``implicit``.
        beta: > 0; by default ``min(1 / (4 G D), alpha) / 2``, which is cautious.
        implicit: whether the first step is a proximal one on the last loss itself, for losses that are not smooth;
            needs ``curvature="convex"`` and the round's losses as objects.
        x1: the first point, shape ``(d,)``.

    Raises:
        ValueError: an argument is out of its range, or ``exp_concave`` on an unbounded domain.
        OptimandError: a constant is neither given nor told, or ``implicit`` meets a round without a loss object.

    Example:
        >>> from optimand.online.convex import Ball
        >>> learner = OptimisticOMD(Ball(1.0, dim=1), G=1.0, delta=0.0)
        >>> points = []
        >>> for g in (1.0, 1.0, -1.0, 0.5):
        ...     points.append(float(learner.predict()[0]))
        ...     learner.update([g])
        >>> [round(x, 4) for x in points], round(float(learner.V[0]), 4)
        ([0.0, -1.0, -1.0, 0.5611], 7.25)
    """

    def __init__(
        self, domain: Any = None, curvature: str = "convex", *, D: float | None = None, G: Any = None,
        L: float | None = None, lam: float | None = None, alpha: float | None = None, delta: float | None = None,
        beta: float | None = None, implicit: bool = False, x1: Any = None,
    ) -> None:  # fmt: skip
        self.curvature = check_choice("curvature", curvature, CURVATURES)
        super().__init__(domain, D=D, G=G, L=L, x1=x1)
        self.lam = None if lam is None else check_number("lam", lam, low=0, low_open=True)
        self.alpha = None if alpha is None else check_number("alpha", alpha, low=0, low_open=True)
        self.delta = None if delta is None else check_number("delta", delta, low=0, high=math.inf, high_open=True)
        self.beta = None if beta is None else check_number("beta", beta, low=0, low_open=True)
        self.implicit = bool(implicit)
        if self.implicit and curvature != "convex":
            raise ValueError(f"implicit must be False with curvature={curvature!r}: implicit steps are for 'convex'")
        if curvature == "exp_concave" and domain is not None:
            check_bounded("curvature='exp_concave'", domain)

    def _checked_bound(self, G: Any) -> Any:
        if isinstance(G, str) and G == "adaptive":
            if self.curvature != "convex":
                raise ValueError(f"G='adaptive' needs curvature='convex', got {self.curvature!r}")
            return G
        return super()._checked_bound(G)

    @property
    def asks(self) -> tuple[str, ...]:  # type: ignore[override]
        """The constants that the form at hand needs."""
        if self.curvature == "strongly_convex":
            return ("lam",)
        if self.curvature == "exp_concave":
            known = self.beta is not None or self.alpha is not None
            return ("G", "D") if known else ("G", "D", "alpha")
        return ("G", "D")

    def _begin(self) -> None:
        assert self._shape is not None
        reps, d = self._shape
        self._xhat = self._first_point()
        self._last = np.zeros(self._shape)
        self._last_loss: Any = None
        if self.curvature != "convex":
            check_euclidean(f"curvature={self.curvature!r}", self._space)
        if self.curvature == "exp_concave":
            check_bounded("curvature='exp_concave'", self._space)
            G, D = self._constant("G"), self._constant("D")
            self._beta = self.beta if self.beta is not None else 0.5 * min(1 / (4 * G * D), self._constant("alpha"))
            self._H = np.repeat((1 + self._beta * G**2 / 2) * np.eye(d)[None], reps, axis=0)
            self._inverse = np.linalg.inv(self._H)
        elif self.curvature == "convex":
            self.V = np.zeros(reps)
            self._D = float(self._constant("D"))
            self._adaptive = self._constant("G") == "adaptive"
            self.restarts = np.zeros(reps, dtype=np.int64)
            self._bound: Any = np.zeros(reps) if self._adaptive else float(self._constant("G"))
            self._set_base()
            if self._adaptive:
                self._limit = 0.0
            if self.implicit:
                check_euclidean("implicit", self._space)
            self._sum = np.zeros(self._shape) if self._lazy else None
            if self._lazy and self.x1 is not None and not np.allclose(self.x1, 1 / d, rtol=0, atol=1e-12):
                raise ValueError(f"x1 must be the center of a simplex with entropy, got {self.x1.tolist()}")

    @property
    def _lazy(self) -> bool:
        return self._space.entropic

    def _set_base(self) -> None:
        """The part of the step's denominator that does not grow."""
        L = self._constant("L")
        if self.delta is not None:
            delta: Any = self.delta
        elif self.implicit or L is None:
            delta = self._bound**2
        else:
            delta = 10 * (self._D * L) ** 2
        self._base = delta + 4 * self._bound**2

    @property
    def eta(self) -> Any:
        """The step size of the round to come: ``(R,)``, or a number; None for Newton steps."""
        if self._shape is None:
            self.begin()
        if self.curvature == "convex":
            total = self._base + self.V
            # Before the first gradient an adaptive bound is 0, and so is every gradient that the step multiplies.
            return self._D / np.sqrt(np.maximum(total, 1 / LARGEST)) if self._adaptive else self._D / np.sqrt(total)
        return 2 / (self._constant("lam") * (self.t + 1)) if self.curvature == "strongly_convex" else None

    def _decide(self) -> Array:
        if self.curvature == "exp_concave":
            return self._newton(self._last)
        self._eta = self.eta
        column = self._eta[:, None] if self.curvature == "convex" else self._eta
        if self._last_loss is not None:
            return implicit_step(self._last_loss, self._xhat, self._eta, self._space)
        if self.curvature == "convex" and self._sum is not None:
            return cast("Simplex", self._space).softmin(column * (self._sum + self._last))
        return self._space.settle(self._xhat - column * self._last)

    def _learn(self, g: Array, square: Array, loss: Any) -> None:
        if self.curvature == "exp_concave":
            self._learn_newton(g)
        elif self.curvature == "strongly_convex":
            self._xhat = self._space.settle(self._xhat - self._eta * g)
        elif self._sum is not None:
            self._sum = self._sum + g
            self.V = self.V + self._space.dual_square(g - self._last)
        else:
            self._learn_convex(g, loss)
        self._last = g

    def _learn_convex(self, g: Array, loss: Any) -> None:
        wrong = guess_error(self, g, loss)
        self._xhat = self._space.settle(self._xhat - self._eta[:, None] * g)
        self.V = self.V + np.einsum("rd,rd->r", wrong, wrong)

    def _exceed(self, square: Array) -> None:
        if self.curvature != "convex" or not self._adaptive:
            super()._exceed(square)
            return
        # The limit is the least of the bounds of all repetitions: most that come here have not exceeded their own.
        over = square > (self._bound * SLACK) ** 2
        if not over.any():
            return
        self._bound = np.where(over, np.maximum(2 * self._bound, np.sqrt(square)), self._bound)
        self.restarts = self.restarts + over
        self.V = np.where(over, 0.0, self.V)
        self._last = np.where(over[:, None], 0.0, self._last)
        if self._sum is not None:
            self._sum = np.where(over[:, None], 0.0, self._sum)
        self._set_base()
        self._eta = np.where(over, self.eta, self._eta)
        self._limit = float((self._bound.min() * SLACK) ** 2)

    def _newton(self, g: Array) -> Array:
        moved = self._xhat - np.einsum("rij,rj->ri", self._inverse, g)
        return self._space.project_metric(moved, self._H)

    def _learn_newton(self, g: Array) -> None:
        self._xhat = self._newton(g)
        self._H, self._inverse = with_rank_one(self._H, self._inverse, g, 0.5 * self._beta, self.t + 1)


def with_rank_one(matrix: Array, inverse: Array, g: Array, weight: float, rounds: int) -> tuple[Array, Array]:
    """``matrix + weight g g^T`` and its inverse, (R, d, d), updated (Sherman and Morrison) in all but a few rounds."""
    matrix = matrix + weight * g[:, :, None] * g[:, None, :]
    if rounds % REFRESH == 0:
        return matrix, np.linalg.inv(matrix)
    image = np.einsum("rij,rj->ri", inverse, g)
    share = weight / (1 + weight * np.einsum("ri,ri->r", image, g))
    return matrix, inverse - share[:, None, None] * image[:, :, None] * image[:, None, :]
