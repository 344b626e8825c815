"""What the methods for monotone inclusions share: the iterate, its residual, the state and the count of calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from optimand.core.validation import check_number
from optimand.numerical.stateful import Stateful

from .domain import as_resolvent, into_domain
from .operators import Array, FiniteSumOperator

# Sampled iterations that one step may make, so that caps on time are looked at now and then.
LONGEST_BLOCK = 10_000


class InclusionMethod(Stateful):
    """A method for ``0 in F(u) + G(u)``, one step at a time.

    Args:
        op: the operator ``F``.
        u0: start, shape ``(dim,)``, finite; projected with a warning if outside the set that ``resolvent`` projects on.
        resolvent: of ``G``, as in :func:`~optimand.numerical.monotone.domain.as_resolvent`; None takes the
            operator's own: simplices for a matrix game, the whole space else.
        rng: seed or generator.

    Attributes:
        u: the point that the method would return now.
        g: an element of ``G(u)``, or None where the method knows none.
        nit: steps made.
        calls: component evaluations charged to this method.
        check_every: how many steps apart a test of the residual makes sense.
    """

    name: ClassVar[str] = ""
    # Attributes that an exact resume needs, beside the count of calls.
    _state: ClassVar[tuple[str, ...]] = ("u0", "u", "g", "nit", "_known", "rng")
    # Whether the next step needs F(u) anyhow, so that a test of the residual can share it.
    shares_tests: ClassVar[bool] = False
    check_every = 1

    def __init__(self, op: FiniteSumOperator, u0: Any, resolvent: Any = None, rng: Any = None) -> None:
        start = checked_start(op, u0)
        self.op = op
        self.own_set = resolvent is None  # the operator's
        self.resolvent = as_resolvent(op.default_resolvent() if resolvent is None else resolvent)
        self.u0 = into_domain(self.resolvent, start).copy()
        self.u = self.u0.copy()
        self.g: Array | None = None
        self.nit = 0
        self.rng = np.random.default_rng(rng)
        self._known: Array | None = None  # F(u), where it has been evaluated
        self._calls_before = op.calls

    @property
    def calls(self) -> float:
        """Component evaluations charged to this method."""
        return self.op.calls - self._calls_before

    def step(self) -> None:
        """One step; changes ``u``."""
        raise NotImplementedError

    def operator_value(self) -> Array:
        """``F(u)``: charged where the next step uses it, free where only a test does."""
        if self._known is None:
            self._known = self.op.full(self.u) if self.shares_tests else self.op.value(self.u)
        return self._known

    def natural_residual(self) -> float:
        """``‖u - J(u - F(u))‖`` at step 1; ``‖F(u)‖`` without constraints."""
        return float(np.linalg.norm(self.u - self.resolvent(self.u - self.operator_value(), 1.0)))

    def operator_residual(self) -> float:
        """``‖F(u) + g‖`` with the known ``g`` in ``G(u)``; NaN where none is known."""
        if self.g is None:
            return float("nan")
        return float(np.linalg.norm(self.operator_value() + self.g))

    def restart(self) -> None:
        """Make the current point the anchor and begin again."""
        self.u0 = self.u.copy()

    def state_dict(self) -> dict[str, Any]:
        """All that an exact resume needs, as plain values."""
        return {**super().state_dict(), "method": self.name, "calls": self.calls}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state`` exactly; ValueError if it is another method's."""
        if state.get("method") != self.name:
            raise ValueError(f"state must be one of {self.name!r}, got one of {state.get('method')!r}")
        super().load_state_dict(state)
        self._calls_before = self.op.calls - state["calls"]

    def _move(self, u: Array, g: Array | None = None) -> None:
        self.u, self.g, self._known = u, g, None
        self.nit += 1


def checked_start(op: FiniteSumOperator, u0: Any) -> Array:
    """``u0`` as a vector for ``op``; TypeError if ``op`` is no operator, ValueError if ``u0`` is no finite vector."""
    if not isinstance(op, FiniteSumOperator):
        raise TypeError(f"op must be a FiniteSumOperator, got {op!r:.80} ({type(op).__name__})")
    start = op._point(u0)
    if not len(start) or not np.isfinite(start).all():
        raise ValueError(f"u0 must be finite and not empty, got {start!r:.80}")
    return start


def step_size(step: float | None, factor: float, constant: float | None, name: str) -> float:
    """The step given, or ``factor / constant``.

    Args:
        step: a user's step > 0, or None.
        factor, constant: for the default.
        name: of the constant, for the error.

    Raises:
        ValueError: neither a step nor the constant is known, or the step is not positive.

    Example:
        >>> step_size(None, 0.5, 2.0, "L")
        0.25
    """
    if step is not None:
        return check_number("step", step, low=0, low_open=True)
    if constant is None:
        raise ValueError(f"step must be given, or the operator's {name} (estimate_constants finds one), got neither")
    return factor / check_number(name, constant, low=0, low_open=True)
