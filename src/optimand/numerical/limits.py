"""How a solver may end, and the caps that make every solver end: iterations, seconds, oracle calls."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import IntEnum
from typing import Any

from ..core.validation import check_int, check_number


class Status(IntEnum):
    """Why a solver ended; the ``status`` of its result."""

    CONVERGED = 0
    ITERATIONS = 1
    TIME = 2
    ORACLE_CALLS = 3
    SINGULAR = 4
    NOT_FINITE = 5
    STALLED = 6
    UNBOUNDED = 7
    STOPPED = 8


MESSAGES = {
    Status.CONVERGED: "converged to the tolerance",
    Status.ITERATIONS: "the cap on iterations is reached",
    Status.TIME: "the cap on time is reached",
    Status.ORACLE_CALLS: "the cap on oracle calls is reached",
    Status.SINGULAR: "a matrix is singular to working accuracy",
    Status.NOT_FINITE: "a function value or derivative is not finite",
    Status.STALLED: "no further progress is possible in this arithmetic",
    Status.UNBOUNDED: "the objective falls without bound",
    Status.STOPPED: "stopped by the callback",
}


def message(status: Status, detail: str = "") -> str:
    """A sentence that says why a solver ended.

    Args:
        status: the reason.
        detail: what was singular, and the like.

    Example:
        >>> message(Status.SINGULAR, "the Jacobian at iteration 3")
        'a matrix is singular to working accuracy (the Jacobian at iteration 3)'
    """
    return f"{MESSAGES[status]} ({detail})" if detail else MESSAGES[status]


def stops(callback: Callable[..., Any], *args: Any, **named: Any) -> bool:
    """Whether a callback, called so, ends the run: by a true result, or by StopIteration.

    Example:
        >>> stops(lambda x: x > 1, 2), stops(lambda x: None, 2)
        (True, False)
    """
    try:
        return bool(callback(*args, **named))
    except StopIteration:
        return True


class Limits:
    """Caps on a solver's work; the clock runs from its making.

    Args:
        maxiter: iterations, None for no cap.
        max_seconds: wall-clock seconds, None for no cap.
        max_calls: oracle calls, None for no cap.

    Raises:
        TypeError, ValueError: a cap is no number, or below 0.

    Example:
        >>> limits = Limits(maxiter=10)
        >>> limits.reached(9) is None, limits.reached(10).name
        (True, 'ITERATIONS')
    """

    def __init__(
        self, maxiter: int | None = None, max_seconds: float | None = None, max_calls: float | None = None
    ) -> None:
        self.maxiter = None if maxiter is None else check_int("maxiter", maxiter, low=0)
        self.max_seconds = None if max_seconds is None else check_number("max_seconds", max_seconds, low=0)
        self.max_calls = None if max_calls is None else check_number("max_calls", max_calls, low=0)
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def reached(self, nit: int, calls: float = 0) -> Status | None:
        """The cap that is reached after ``nit`` iterations and ``calls`` oracle calls, or None."""
        if self.maxiter is not None and nit >= self.maxiter:
            return Status.ITERATIONS
        if self.max_calls is not None and calls >= self.max_calls:
            return Status.ORACLE_CALLS
        if self.max_seconds is not None and self.seconds >= self.max_seconds:
            return Status.TIME
        return None
