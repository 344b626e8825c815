"""Solving a sequence of related systems while a tuner learns which omega they like."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from numpy.typing import ArrayLike

from optimand.core.validation import check_choice, check_int, check_number

from .matrices import PreparedMatrix, prepare
from .tuners.base import OmegaTuner

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

METHODS = ("sor", "ssor-cg", "cg")
COSTS = ("iterations", "seconds")


@runtime_checkable
class Tuner(Protocol):
    """What :class:`SequenceSolver` needs of a tuner; our own derive from :class:`OmegaTuner`."""

    def ask(self, context: float | None = None) -> float:
        """The omega for the next solve."""

    def tell(self, cost: float) -> None:
        """What that solve cost."""


class SequenceSolver:
    """A linear solver for a loop over related systems, which tunes omega on the way.

    Args:
        method: ``ssor-cg`` (symmetric positive definite), ``sor``, or ``cg`` without omega.
        tuner: an object with ``ask(context)`` and ``tell(cost)``; by default :class:`TsallisINF` with a random
            seed. None is the only choice for ``cg``.
        base: the matrix A of a sequence A + c I, for :meth:`from_shift`.
        cost: what the tuner hears: ``iterations``, or ``seconds`` for the wall time of a solve. With seconds a
            tuner of this package needs ``least_cost=0``, and results are as reproducible as the clock.
        rtol: relative tolerance, see :func:`sor` (relative to the initial residual) and :func:`ssor_cg` (to b).
        atol: absolute tolerance.
        maxiter: cap on the iterations of a solve, and what a solve counts that fails.
        max_seconds: cap on the time of a solve.

    Attributes:
        solves: systems solved or tried so far.
        iterations: iterations so far, a failed solve counting ``maxiter``.
        seconds: wall time of the solves so far.
        tuner_seconds: wall time of asking and telling the tuner so far.
        failures: solves that did not converge.

    Raises:
        ValueError: an argument is out of range, or a tuner is given to ``cg``.
        TypeError: the tuner has no ``ask`` and ``tell``.

    Reference:
        Khodak, Chow, Balcan, Talwalkar (arXiv 2310.02246).

    Example:
        >>> import numpy as np
        >>> from optimand.numerical.linear_systems import ChebCB, laplacian
        >>> tuner = ChebCB(context_bounds=(0, 1), rng=0)
        >>> solver = SequenceSolver("ssor-cg", tuner=tuner, base=laplacian(10))
        >>> rng = np.random.default_rng(0)
        >>> for shift in rng.random(50):
        ...     found = solver.solve(solver.from_shift(shift), rng.standard_normal(100))
        >>> found.success, solver.solves, 1 <= found.omega <= 1.95
        (True, 50, True)
    """

    def __init__(
        self,
        method: str = "ssor-cg",
        *,
        tuner: Tuner | None = None,
        base: Any = None,
        cost: str = "iterations",
        rtol: float = 1e-8,
        atol: float = 0.0,
        maxiter: int = 10_000,
        max_seconds: float | None = None,
    ) -> None:
        self.method = check_choice("method", method, METHODS)
        self.cost = check_choice("cost", cost, COSTS)
        self.tuner = _checked_tuner(self.method, self.cost, tuner)
        self.rtol = check_number("rtol", rtol, low=0)
        self.atol = check_number("atol", atol, low=0)
        self.maxiter = check_int("maxiter", maxiter, low=1)
        self.max_seconds = None if max_seconds is None else check_number("max_seconds", max_seconds, low=0)
        self._base = None if base is None else prepare(base)
        self._solver = _solver(self.method)
        self.solves = self.iterations = self.failures = 0
        self.seconds = self.tuner_seconds = 0.0

    def from_shift(self, shift: float) -> PreparedMatrix:
        """``base + shift I`` without building it anew, for :meth:`solve`; the shift becomes the solve's context.

        Args:
            shift: any finite number; the matrix may become indefinite.

        Raises:
            ValueError: there is no ``base``, or the shift is not finite.
        """
        if self._base is None:
            raise ValueError("from_shift() needs the matrix of the sequence: SequenceSolver(…, base=A)")
        number = check_number("shift", shift)
        return self._base.shifted(number)

    def solve(
        self, A: Any, b: ArrayLike, x0: ArrayLike | None = None, *, context: float | None = None
    ) -> OptimizeResult:
        """Solve A x = b with the omega that the tuner proposes, and tell it the cost.

        Args:
            A: dense or sparse square matrix with a nonzero diagonal, or the result of :meth:`from_shift`.
            b: right-hand side, shape ``(n,)``.
            x0: start, shape ``(n,)``; zero by default.
            context: what the tuner may know of the system; by default the shift of a matrix from :meth:`from_shift`.

        Returns:
            The solver's result with ``omega``, ``cost`` (as told), ``seconds`` besides. A solve that fails has
            ``success`` False, its best point, and the cost of ``maxiter`` iterations.
        """
        matrix = prepare(A)
        if context is None and self._base and isinstance(A, PreparedMatrix) and A.data is self._base.data:
            context = A.shift
        options: dict[str, Any] = {
            "rtol": self.rtol, "atol": self.atol, "maxiter": self.maxiter, "max_seconds": self.max_seconds,
        }  # fmt: skip
        omega = None
        asking = time.perf_counter()
        if self.tuner is not None:
            omega = options["omega"] = check_number("what the tuner proposes", self.tuner.ask(context))
        began = time.perf_counter()
        found = self._solver(matrix, b, x0, **options)
        ended = time.perf_counter()
        seconds = ended - began
        iterations = int(found.nit) if found.success else self.maxiter
        if self.cost == "iterations":
            cost = float(iterations)
        else:
            cost = seconds * (1.0 if found.success else self.maxiter / max(int(found.nit), 1))
        if self.tuner is not None:
            self.tuner.tell(cost)
        self.tuner_seconds += began - asking + time.perf_counter() - ended
        self.solves += 1
        self.iterations += iterations
        self.seconds += seconds
        self.failures += not found.success
        found.update(omega=omega, cost=cost, seconds=seconds)
        return cast("OptimizeResult", found)

    def state_dict(self) -> dict[str, Any]:
        """The tuner's state and the totals.

        Raises:
            TypeError: the tuner has no ``state_dict``.
        """
        return {"tuner": None if self.tuner is None else _stateful(self.tuner).state_dict(), **self._totals()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where :meth:`state_dict` was taken; omegas are those of an uninterrupted run."""
        wanted = [*self._totals(), *(["tuner"] if self.tuner is not None else [])]
        if missing := [name for name in wanted if name not in state]:
            raise ValueError(f"state must be what state_dict() returned, got one without {', '.join(missing)}")
        if self.tuner is not None:
            _stateful(self.tuner).load_state_dict(state["tuner"])
        for name in self._totals():
            setattr(self, name, state[name])

    def _totals(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in ("solves", "iterations", "failures", "seconds", "tuner_seconds")}


def _checked_tuner(method: str, cost: str, tuner: Tuner | None) -> Tuner | None:
    if method == "cg":
        if tuner is not None:
            raise ValueError("tuner must be None for method='cg', which has no omega")
        return None
    if tuner is None:
        from .tuners import TsallisINF

        return TsallisINF(least_cost=1.0 if cost == "iterations" else 0.0)
    if not isinstance(tuner, Tuner):
        raise TypeError(f"tuner must have the methods ask(context) and tell(cost), got {tuner!r:.60}")
    if isinstance(tuner, OmegaTuner):
        least, most = float(tuner.arms.min()), float(tuner.arms.max())
        if least <= 0 or most >= 2:
            raise ValueError(f"tuner must have arms in (0, 2), got arms from {least:g} to {most:g}")
        if cost == "seconds" and tuner.least_cost > 0 and len(tuner.arms) > 1:
            raise ValueError(f"tuner must have least_cost=0 where cost='seconds', got {tuner.least_cost:g}")
    return tuner


def _stateful(tuner: Any) -> Any:
    if not (hasattr(tuner, "state_dict") and hasattr(tuner, "load_state_dict")):
        raise TypeError(f"the tuner {type(tuner).__name__} has no state_dict and load_state_dict")
    return tuner


def _solver(method: str) -> Callable[..., Any]:
    if method == "sor":
        from .sor import sor

        return sor
    from .ssor import cg, ssor_cg

    return ssor_cg if method == "ssor-cg" else cg
