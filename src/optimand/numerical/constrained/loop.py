"""The run loop of constrained problems: counted oracle calls, and a residual that does not depend on the method.

A minimizer in SciPy's form owns its loop, whose state nobody can reach from outside: a run that was broken off starts
again. It ends as it would have, because everything random hangs on the seed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimand.core.running import BudgetSpent, Meter

from ..stationarity import kkt_residual, least_squares_multipliers
from .nlp import EqualityProblem

Array = NDArray[np.float64]
FLOOR = 1e-16


def point_residual(problem: EqualityProblem, x: Array) -> float:
    """``‖(∇f + Jᵀλ; c)‖`` at ``x`` with the multipliers of least squares, so that no method's own ones matter.

    Args:
        problem: its functions are called once each and not counted.
        x: shape ``(n,)``.

    Returns:
        Infinity where a value is not finite.

    Example:
        >>> from .problems import equality_problem
        >>> round(point_residual(equality_problem("hs28"), np.array([0.5, -0.5, 0.5])), 12)
        0.0
    """
    with np.errstate(all="ignore"):
        grad, jac, cons = problem.grad(x), problem.jac(x), problem.cons(x)
        values = jac.data if hasattr(jac, "tocsr") else jac
        if not (np.isfinite(grad).all() and np.isfinite(values).all() and np.isfinite(cons).all()):
            return math.inf
        value = kkt_residual(grad + jac.T @ least_squares_multipliers(grad, jac), cons)
    return value if math.isfinite(value) else math.inf


@dataclass
class Trace:
    """What one method did on one problem.

    Attributes:
        calls: oracle calls at which the best residual became smaller.
        residuals: the best residual from then on.
        counter: calls by kind.
        result: what the method returned; None where the budget ended it.
        seconds: spent in the method and the problem's functions.
        best: the point with the smallest residual.
    """

    calls: list[float] = field(default_factory=list)
    residuals: list[float] = field(default_factory=list)
    counter: Meter = field(default_factory=Meter)
    result: Any = None
    seconds: float = 0.0
    best: Array | None = None

    def residual_at(self, calls: float) -> float:
        """The best residual after that many oracle calls; infinity before the first point."""
        index = int(np.searchsorted(self.calls, calls, side="right"))
        return self.residuals[index - 1] if index else math.inf

    @property
    def stopped(self) -> str:
        """Why the method ended before the budget without calling that a success, in its own words; else empty."""
        if self.result is None or getattr(self.result, "success", False):
            return ""
        return str(getattr(self.result, "message", "") or "the method says that it did not succeed")

    def calls_to(self, residual: float) -> float:
        """The oracle calls after which the best residual was at most that; infinity where it never was."""
        reached = (c for c, r in zip(self.calls, self.residuals, strict=True) if r <= residual)
        return next(reached, math.inf)


@dataclass(frozen=True, kw_only=True)
class Statement:
    """``min f(x) subject to c(x) = 0`` and what is asked of a method; its own hyperparameters come beside it.

    Attributes:
        fun: ``f(x)``.
        grad: ``∇f(x)``, shape ``(n,)``.
        hess: ``∇²f(x)``, shape ``(n, n)``, dense or SciPy-sparse.
        cons: ``c(x)``, shape ``(m,)``.
        jac: Jacobian of ``c``, shape ``(m, n)``, dense or SciPy-sparse.
        cons_hess: ``cons_hess(x, v)``: the Hessian of ``v·c``.
        x0: start.
        lam0: start of the multipliers.
        tol: KKT residual that is asked for.
        max_seconds: the most time that a method may take.
        rng: all randomness of the method.
    """

    fun: Callable[[Array], float]
    grad: Callable[[Array], Array]
    hess: Callable[[Array], Any]
    cons: Callable[[Array], Array]
    jac: Callable[[Array], Any]
    cons_hess: Callable[[Array, Array], Any]
    x0: Array
    lam0: Array
    tol: float = 1e-6
    max_seconds: float = 60.0
    rng: np.random.Generator | None = None

    def scipy(self) -> dict[str, Any]:
        """Keyword arguments of ``scipy.optimize.minimize`` and of a minimizer in its form."""
        from scipy import optimize

        make_constraint: Any = optimize.NonlinearConstraint
        constraint = make_constraint(self.cons, 0.0, 0.0, jac=self.jac, hess=self.cons_hess)
        return {
            "fun": self.fun, "x0": self.x0.copy(), "jac": self.grad, "hess": self.hess, "constraints": constraint
        }  # fmt: skip

    def problem(self) -> EqualityProblem:
        """The same as an :class:`EqualityProblem`, whose Hessian is the sum of the two."""
        return EqualityProblem(
            fun=self.fun, grad=self.grad, cons=self.cons, jac=self.jac, x0=self.x0, lam0=self.lam0,
            hess=lambda x, lam: self.hess(x) + self.cons_hess(x, lam),
        )  # fmt: skip


class Watched:
    """A problem's functions in SciPy's form, counted; points whose gradient is asked for are candidates for the answer.

    Until a method asks for a gradient, which some never do, the points whose objective it asks for are.

    Args:
        problem: the problem.
        budget: the most oracle calls; the next one raises BudgetSpent.
        timed: makes the context that runs the method's clock; it is left while a residual is computed.
        seen: called with the trace after each candidate.
    """

    def __init__(
        self,
        problem: EqualityProblem,
        budget: float | None,
        timed: Callable[[], AbstractContextManager[None]],
        seen: Callable[[Trace], None] | None = None,
    ) -> None:
        self.problem, self.timed, self.seen = problem, timed, seen
        self.trace = Trace(counter=Meter(budget))
        self._clock: AbstractContextManager[None] | None = None
        self._objective_hessian: tuple[bytes, Any] | None = None
        self.m = len(problem.cons(problem.x0))

    def start(self) -> None:
        """Let the method's clock run."""
        self._since = time.perf_counter()
        self._clock = self.timed()
        self._clock.__enter__()

    def stop(self) -> None:
        """Stop it."""
        if self._clock is not None:
            self._clock.__exit__(None, None, None)
            self._clock = None
            self.trace.seconds += time.perf_counter() - self._since

    def fun(self, x: Array) -> float:
        """The objective."""
        self.trace.counter.charge(1, "objective")
        value = float(self.problem.fun(np.asarray(x)))
        if "gradient" not in self.trace.counter.by_kind:
            self.candidate(np.array(x, dtype=np.float64))
        return value

    def grad(self, x: Array) -> Array:
        """Its gradient; ``x`` becomes a candidate."""
        self.trace.counter.charge(1, "gradient")
        value = np.asarray(self.problem.grad(np.asarray(x)))
        self.candidate(np.array(x, dtype=np.float64))
        return value

    def cons(self, x: Array) -> Array:
        """The constraints."""
        self.trace.counter.charge(1, "constraints")
        return np.asarray(self.problem.cons(np.asarray(x)))

    def jac(self, x: Array) -> Any:
        """Their Jacobian."""
        self.trace.counter.charge(1, "jacobian")
        return self.problem.jac(np.asarray(x))

    def hess(self, x: Array) -> Any:
        """Hessian of the objective."""
        self.trace.counter.charge(1, "hessian")
        return self._hess0(np.asarray(x))

    def cons_hess(self, x: Array, v: Array) -> Any:
        """Hessian of ``v·c``."""
        self.trace.counter.charge(1, "constraint hessian")
        x = np.asarray(x)
        return self.problem.hess(x, np.asarray(v)) - self._hess0(x)  # type: ignore[misc]

    def _hess0(self, x: Array) -> Any:
        key = x.tobytes()
        if self._objective_hessian is None or self._objective_hessian[0] != key:
            self._objective_hessian = (key, self.problem.hess(x, np.zeros(self.m)))  # type: ignore[misc]
        return self._objective_hessian[1]

    def candidate(self, x: Array) -> None:
        """Compare a point with the best one; not charged and not timed."""
        running = self._clock is not None
        self.stop()
        trace, residual = self.trace, point_residual(self.problem, x)
        if not trace.residuals or residual < trace.residuals[-1]:
            trace.calls.append(trace.counter.total)
            trace.residuals.append(max(residual, FLOOR))
            trace.best = x
        if self.seen is not None:
            self.seen(trace)
        if running:
            self.start()


def run_method(
    problem: EqualityProblem,
    build: Callable[..., Any],
    hyper: Mapping[str, Any],
    *,
    budget: float | None = None,
    timed: Callable[[], AbstractContextManager[None]] = nullcontext,
    seen: Callable[[Trace], None] | None = None,
    **asked: Any,
) -> Trace:
    """Run a method on a problem until it ends or its oracle calls are spent.

    Args:
        problem: with ``hess``.
        build: ``build(statement, **hyper)``, a method of the family; see :class:`Statement`.
        hyper: its hyperparameters.
        budget: oracle calls; None for no bound.
        timed: makes the context that runs the method's clock.
        seen: called with the trace after each candidate.
        asked: ``tol``, ``max_seconds`` and ``rng`` of the statement.

    Returns:
        The trace. The method's final point counts as a candidate, too.

    Raises:
        TypeError: the problem has no ``hess``, or the method returns something without a point ``x`` of numbers.
        ValueError: that point has another shape than the start.

    Example:
        >>> from .methods import ipopt, slsqp
        >>> from .problems import equality_problem
        >>> trace = run_method(equality_problem("hs6"), slsqp, {})
        >>> trace.residuals[-1] < 1e-6, trace.counter.by_kind["gradient"] > 5
        (True, True)
    """
    if problem.hess is None:
        raise TypeError(f"problem {problem.name!r} must have hess: methods are given Hessians")
    watched = Watched(problem, budget, timed, seen)
    lam0 = np.zeros(watched.m) if problem.lam0 is None else problem.lam0
    statement = Statement(
        fun=watched.fun, grad=watched.grad, hess=watched.hess, cons=watched.cons, jac=watched.jac,
        cons_hess=watched.cons_hess, x0=problem.x0.copy(), lam0=lam0.copy(), **asked,
    )  # fmt: skip
    watched.start()
    try:
        with np.errstate(all="ignore"):
            result = build(statement, **hyper)
    except BudgetSpent:
        return watched.trace
    finally:
        watched.stop()
    if getattr(result, "x", None) is None:
        raise TypeError(f"a minimizer must return an OptimizeResult with the point x, got {result!r:.80}")
    watched.trace.result = result
    watched.candidate(_final_point(result.x, problem.x0.shape))
    return watched.trace


def _final_point(x: Any, shape: tuple[int, ...]) -> Array:
    try:
        point = np.array(x, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"the x of a minimizer's result must hold numbers, got {x!r:.80}") from error
    if point.shape != shape:
        raise ValueError(f"the x of a minimizer's result must have shape {shape}, got {point.shape}")
    return point
