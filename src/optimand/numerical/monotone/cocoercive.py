"""Algorithm 1: one-step Halpern iteration with the PAGE estimator, for operators that are cocoercive on average."""

from __future__ import annotations

import math
import warnings
from typing import Any, ClassVar

import numpy as np

from optimand.numerical.estimators import Page

from .base import InclusionMethod, step_size
from .operators import Array


class OneStepHalpern(InclusionMethod):
    """Halpern's iteration on a forward-backward step with the full operator; ``F`` must be cocoercive.

    ``u_{k+1} = J(λ_k u0 + (1 - λ_k) u_k - eta F(u_k))`` with ``λ_k = 2/(k + 4)``: the anchor is inside the resolvent.

    Args:
        op, u0, resolvent, rng: as in :class:`~optimand.numerical.monotone.base.InclusionMethod`.
        step: eta > 0; by default ``1/L_own``, or ``1/L_cocoercive`` where the former is unknown.

    Reference: Diakonikolas, arXiv 2002.08872; Cai, Alacaoglu, Diakonikolas, arXiv 2310.02987, Section 3.

    Example:
        >>> import numpy as np
        >>> from optimand.numerical.monotone import FiniteSumOperator
        >>> op = FiniteSumOperator(1, lambda u: u - 1, lambda u, idx: u - 1, L_cocoercive=1.0)
        >>> method = OneStepHalpern(op, np.zeros(2))
        >>> for _ in range(100): method.step()
        >>> bool(method.operator_residual() < 0.05)
        True
    """

    name = "halpern-one-step"
    shares_tests = True
    _factor: ClassVar[float] = 1.0
    _state: ClassVar[tuple[str, ...]] = (*InclusionMethod._state, "k")

    def __init__(self, *args: Any, step: float | None = None, **given: Any) -> None:
        super().__init__(*args, **given)
        constant = self._constant()
        if constant == math.inf:
            warnings.warn(
                f"{self.name} needs a cocoercive operator, and this one is not (as in a bilinear game): "
                "the iteration may diverge; 'vr-halpern-inexact' or 'eag' need monotonicity only",
                stacklevel=3,
            )
            constant = self.op.L_mean
        self.eta = step_size(step, self._factor, constant, "L_cocoercive")
        self.k = 0

    def step(self) -> None:
        """One iteration: one evaluation of the operator."""
        weight = 2 / (self.k + 4)
        z = weight * self.u0 + (1 - weight) * self.u - self.eta * self._estimate()
        u = self.resolvent(z, self.eta)
        self._move(u, (z - u) / self.eta)
        self.k += 1

    def _constant(self) -> float | None:
        return self.op.L_cocoercive if self.op.L_own is None else self.op.L_own

    def _estimate(self) -> Array:
        return self.operator_value()

    def restart(self) -> None:
        """Make the current point the anchor and begin again."""
        super().restart()
        self.k = 0


class CocoerciveHalpern(OneStepHalpern):
    """Algorithm 1: :class:`OneStepHalpern` with the operator estimated by PAGE from batches of ``⌈√n⌉`` components.

    Args:
        op, u0, resolvent, rng: as in :class:`~optimand.numerical.monotone.base.InclusionMethod`. The components must
            be equally likely.
        step: eta > 0; by default ``1/(4 L_cocoercive)``, for which the guarantee is stated. Up to 8 times that worked
            on the examples of the documentation.
        batch: components a batch; by default ``⌈√n⌉``.
        backtrack: halve the step whenever a batch changes faster than ``L_cocoercive`` (``1/(4 step)`` if unknown)
            allows.

    Guarantee: ``(E ‖F(u_k) + g_k‖²)^(1/2) <= 16 L ‖u0 - u*‖ / (k + 4)`` with ``L = L_cocoercive``, and an expected
    number of evaluations of order ``n log √n + √n k``.

    Reference: Cai, Alacaoglu, Diakonikolas, arXiv 2310.02987, Algorithm 1.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> rows = rng.standard_normal((100, 3))
        >>> from optimand.numerical.monotone import FiniteSumOperator
        >>> op = FiniteSumOperator.from_affine(rows[:, :, None] * rows[:, None, :], rows)
        >>> method = CocoerciveHalpern(op, np.zeros(3), rng=0, step=1 / op.L_cocoercive)
        >>> for _ in range(400): method.step()
        >>> bool(method.operator_residual() < 0.02), method.calls < 400 * 100 / 2
        (True, True)
    """

    name = "vr-halpern"
    shares_tests = False
    _factor = 0.25
    _state: ClassVar[tuple[str, ...]] = (*OneStepHalpern._state, "eta", "L", "estimator")

    def __init__(
        self,
        *args: Any,
        step: float | None = None,
        batch: int | None = None,
        backtrack: bool = False,
        **given: Any,
    ) -> None:
        super().__init__(*args, step=step, **given)
        op = self.op
        self.check_every = math.isqrt(op.n - 1) + 1
        self.estimator = Page(op.n, batch, self.rng)
        self.backtrack = bool(backtrack)
        known = op.L_cocoercive
        self.L = 0.25 / self.eta if known is None or known == math.inf else known

    def _constant(self) -> float | None:
        return self.op.L_cocoercive

    def _estimate(self) -> Array:
        return self.estimator.step(_Watched(self) if self.backtrack else self.op, self.u)

    def restart(self) -> None:
        """Make the current point the anchor and begin again, with a full evaluation."""
        super().restart()
        self.estimator.k = 0


class _Watched:
    """The operator as the estimator sees it: where a batch changes faster than L allows, L is doubled."""

    def __init__(self, method: CocoerciveHalpern) -> None:
        self.method = method
        self._first: tuple[Array, Array] | None = None

    def full(self, u: Array) -> Array:
        return self.method.op.full(u)

    def batch(self, u: Array, idx: Any) -> Array:
        method, value = self.method, self.method.op.batch(u, idx)
        if self._first is None:
            self._first = u, value
        else:
            moved, changed = (float(np.linalg.norm(a - b)) for a, b in zip(self._first, (u, value), strict=True))
            while changed > method.L * moved > 0:
                method.L, method.eta = 2 * method.L, method.eta / 2
        return value
