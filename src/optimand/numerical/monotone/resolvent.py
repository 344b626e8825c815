"""Variance-reduced forward-reflected-backward (VR-FoRB): the resolvent of ``F + G`` from components of ``F``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from optimand.core.validation import check_int, check_number
from optimand.numerical.stateful import Stateful

from .domain import as_resolvent
from .operators import Array, FiniteSumOperator


class VRForb(Stateful):
    """Solve ``0 in A(v) + G(v)``, ``A(v) = F(v) + (v - u)/eta``: then ``v`` is the resolvent ``J_{eta (F + G)}(u)``.

    One iteration draws a component q::

        z⁺ = J_{tau G}((1 - p) z + p w - tau [A(w) + A_q(z) - A_q(w_prev)])
        w_prev <- w;  with probability p: w <- z⁺, A(w) evaluated;  z <- z⁺

    so ``w_prev`` differs from ``w`` in the one iteration after ``w`` was renewed, and only there.

    Args:
        op: the operator ``F``.
        resolvent: of ``G``; None takes the operator's own.
        rng: seed or generator.
        p: probability of renewing ``w``, in (0, 1]; by default ``1/n``.
        c: in ``tau = c √p / (L + 1/eta)``, > 0. The analysis has 1/2; 1, the default where ``p <= 0.1``, is
            twice as fast and converged throughout.
        deterministic: use all components in each iteration, ``p = 1``.
        backtrack: double ``L`` when the components drawn between two renewals change faster than it says (general
            operators only: games know theirs).

    Attributes:
        z: the iterate; w: the last point where ``F`` is known, ``at_w``; g: an element of ``G(w)``, or None at first.
        steps: iterations since :meth:`begin`.

    Reference: Alacaoglu, Malitsky, arXiv 2102.08352; Cai, Alacaoglu, Diakonikolas, arXiv 2310.02987, Algorithm 3.

    Example:
        >>> import numpy as np
        >>> op = FiniteSumOperator.from_matrix_game(np.diag([1.0, 2.0]))
        >>> inner = VRForb(op, rng=0)
        >>> inner.begin(np.array([0.5, 0.5, 0.5, 0.5]), eta=1.0)
        >>> inner.run(400)
        >>> bool(inner.bound <= 1e-9), inner.z.round(4).tolist()
        (True, [0.6923, 0.3077, 0.5385, 0.4615])
    """

    def __init__(
        self,
        op: FiniteSumOperator,
        resolvent: Any = None,
        rng: Any = None,
        *,
        p: float | None = None,
        c: float | None = None,
        deterministic: bool = False,
        backtrack: bool = False,
    ) -> None:
        self.op = op
        self.compiled = op.structure == "game" and resolvent is None and not deterministic
        self.resolvent = as_resolvent(op.default_resolvent() if resolvent is None else resolvent)
        self.rng = np.random.default_rng(rng)
        self.deterministic = bool(deterministic)
        self.backtrack = bool(backtrack)
        default = 1.0 if deterministic else 1.0 / op.n_effective
        self.p = default if p is None else check_number("p", p, low=0, low_open=True, high=1)
        self.c = (1.0 if self.p <= 0.1 else 0.5) if c is None else check_number("c", c, low=0, low_open=True)
        constant = "L" if deterministic else "L_mean"
        known = getattr(op, constant)
        if known is None:
            raise ValueError(f"the operator must know {constant} (estimate_constants finds one), got one that does not")
        self.L = check_number("L", known, low=0, low_open=True)
        self.steps = 0
        self.thresholds = np.zeros(2)

    def begin(self, u: Array, eta: float, start: Array | None = None, known: Array | None = None) -> None:
        """Set the problem and start.

        Args:
            u: the point whose resolvent is sought, shape ``(dim,)``.
            eta: the resolvent's step, > 0.
            start: first ``z`` and ``w``, a point of the domain of ``G``; by default ``u``.
            known: ``F(start)``, if it has been evaluated.
        """
        self.center = u.copy()
        self.eta = check_number("eta", eta, low=0, low_open=True)
        self.z = (u if start is None else start).copy()
        self.w = self.lagged = self.z.copy()
        self.at_w = self.op.full(self.w) if known is None else known
        self.at_lagged = self.at_w
        self.g: Array | None = None
        self.argument = np.zeros_like(self.z)
        self.steps = 0
        self._ratio = [0.0, 0.0]
        self._left = self._draw_length()

    @property
    def tau(self) -> float:
        """The step."""
        return self.c * math.sqrt(self.p) / (self.L + 1 / self.eta)

    @property
    def bound(self) -> float:
        """``eta ‖A(w) + g‖``, which the distance from ``w`` to the resolvent does not exceed; infinite at first."""
        if self.g is None:
            return math.inf
        return self.eta * float(np.linalg.norm(self.at_w + (self.w - self.center) / self.eta + self.g))

    @property
    def element(self) -> Array:
        """An element of ``G(z)`` after an iteration."""
        return (self.argument - self.z) / self.tau

    def run(self, steps: int) -> None:
        """Make ``steps`` iterations, with the renewals of ``w`` that fall due."""
        end = self.steps + check_int("steps", steps, low=0)
        while self.steps < end:
            self.advance(end - self.steps)

    def advance(self, limit: int) -> bool:
        """Make iterations until ``w`` is renewed, at most ``limit``; returns whether it was renewed."""
        length = min(limit, self._left)
        if self.deterministic:
            self._full_step()
        elif self.compiled:
            self._compiled_block(length)
        else:
            self._block(length)
        self.steps += length
        self._left -= length
        self.lagged, self.at_lagged = self.w, self.at_w
        if self._left:
            return False
        if self.backtrack and self._too_fast():
            return False
        self.w = self.z.copy()
        self.g = self.element
        self.at_w = self.op.full(self.w)
        self._left = self._draw_length()
        return True

    def _too_fast(self) -> bool:
        """Whether the components since the last renewal changed faster than ``L`` says; then ``L`` is doubled.

        The iterations since then, which may have run away, are taken back.
        """
        change, moved = self._ratio
        self._ratio = [0.0, 0.0]
        if change <= moved * self.L**2:
            return False
        self.L *= 2
        self.z = self.w.copy()
        self._left = self._draw_length()
        return True

    def _draw_length(self) -> int:
        return 1 if self.deterministic else int(self.rng.geometric(self.p))

    def _base(self, lagged: Array) -> Array:
        """What does not change between renewals in the argument of the resolvent."""
        at_w = self.at_w + (self.w - self.center) / self.eta
        return self.p * self.w - self.tau * at_w + (self.tau / self.eta) * lagged

    def _full_step(self) -> None:
        keep = 1 - self.p - self.tau / self.eta
        change = self.at_w - self.at_lagged
        self.argument = keep * self.z + self._base(self.lagged) - self.tau * change
        self.z = self.resolvent(self.argument, self.tau)

    def _block(self, length: int) -> None:
        tau, keep = self.tau, 1 - self.p - self.tau / self.eta
        lagged, base = self.lagged, self._base(self.lagged)
        for q in self.op.sample(self.rng, length):
            change = self.op.batch(self.z, [q]) - self.op.batch(lagged, [q])
            if self.backtrack:
                self._ratio[0] += float(change @ change)
                self._ratio[1] += float((self.z - lagged) @ (self.z - lagged))
            self.argument = keep * self.z + base - tau * change
            self.z = self.resolvent(self.argument, tau)
            if lagged is not self.w:
                lagged, base = self.w, self._base(self.w)

    def _compiled_block(self, length: int) -> None:
        from . import sweeps

        op: Any = self.op
        tau = self.tau
        rows, columns = op.draw(self.rng, length)
        A, AT = op.arrays
        base = np.stack([self._base(self.lagged), self._base(self.w)])
        sweeps.forb(
            A, AT, rows, columns, tau * op.per_row, tau * op.per_column, self.z, self.w, self.lagged, base,
            1 - self.p - tau / self.eta, self.argument, self.thresholds,
        )  # fmt: skip
        op.calls += length

    _state = ("center", "eta", "z", "w", "lagged", "at_w", "at_lagged", "g", "argument", "steps", "L", "thresholds",
              "_ratio", "_left", "rng")  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state`` exactly."""
        super().load_state_dict(state)
        if self.lagged is not None and np.array_equal(self.lagged, self.w):
            self.lagged = self.w
