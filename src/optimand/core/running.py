"""What the run loops of all families are made of: counting, the end of a budget, positions, guards, checkpoints.

A family's loop builds its method and says what one unit of the method's work is; everything else stands here.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from .recorder import Recorder, log_positions
from .validation import OptimandError, check_number

T = TypeVar("T")

POSITIONS = 48  # at which a run is looked at, spaced by ratios
IDLE = 10_000  # units of work that cost nothing, after which a method is taken to hang


class BudgetSpent(BaseException):
    """The budget is spent: the run loop ends the method here.

    Not an ``Exception``, because a method's own ``except Exception`` must not keep it going.
    """


class Meter:
    """Counts what a method spends, by kind, and ends it at the budget.

    Args:
        budget: the most that may be charged in all, >= 0; None for no bound.
        unit: what is counted, in the plural, for messages.

    Example:
        >>> meter = Meter(budget=2, unit="oracle calls")
        >>> meter.charge(1, "gradient")
        >>> meter.charge(1, "objective")
        >>> meter.total, meter.by_kind
        (2.0, {'gradient': 1.0, 'objective': 1.0})
        >>> meter.charge(1, "gradient")
        Traceback (most recent call last):
        optimand.core.running.BudgetSpent: 3 oracle calls asked for, 2 allowed
    """

    def __init__(self, budget: float | None = None, unit: str = "oracle calls") -> None:
        self.budget = None if budget is None else check_number("budget", budget, low=0)
        self.unit = unit
        self.by_kind: dict[str, float] = {}
        self.total = 0.0

    def charge(self, amount: float, kind: str = "calls") -> None:
        """Count ``amount`` of a kind; BudgetSpent, with nothing counted, where that would exceed the budget."""
        if self.budget is not None and self.total + amount > self.budget:
            raise BudgetSpent(f"{self.total + amount:g} {self.unit} asked for, {self.budget:g} allowed")
        self.total += amount
        self.by_kind[kind] = self.by_kind.get(kind, 0.0) + amount


class Positions(Generic[T]):
    """Records, at fixed positions of a budget, what a method had by then.

    A unit of work that goes beyond a position does not count for it.

    Args:
        at: the positions, rising.
        record: called with each position that is crossed, and what the method had before.

    Example:
        >>> positions = Positions([1, 2, 4], lambda at, value: print(at, value))
        >>> positions.cross(3, "first")
        1 first
        2 first
        >>> positions.finish("last")
        4 last
    """

    def __init__(self, at: Iterable[float], record: Callable[[float, T], Any]) -> None:
        self.at, self.record = list(at), record
        self.next = 0

    @classmethod
    def spaced_by_ratios(cls, budget: int, record: Callable[[float, T], Any]) -> Positions[T]:
        """About :data:`POSITIONS` whole positions from 1 to ``budget``."""
        return cls(log_positions(budget, POSITIONS), record)

    @property
    def done(self) -> bool:
        """Whether all positions are recorded."""
        return self.next >= len(self.at)

    def cross(self, spent: float, before: T) -> None:
        """Record ``before`` at every position that is less than ``spent``."""
        while not self.done and self.at[self.next] < spent:
            self.record(self.at[self.next], before)
            self.next += 1

    def finish(self, last: T) -> None:
        """Record ``last`` at the positions that are left."""
        self.cross(float("inf"), last)


class IdleGuard:
    """Ends a method whose work costs nothing without end.

    Args:
        name: the method's name.
        what: what it did, for the message, such as ``steps without evaluating the operator``.
        most: units of work without cost.

    Example:
        >>> guard = IdleGuard("lazy", "steps without a call", most=2)
        >>> guard.worked(1.0); guard.worked(1.0)
        >>> guard.worked(1.0)
        Traceback (most recent call last):
        optimand.core.validation.OptimandError: method 'lazy' made 2 steps without a call
    """

    def __init__(self, name: str, what: str, most: int = IDLE) -> None:
        self.name, self.what, self.most = name, what, most
        self._spent, self._idle = 0.0, 0

    def worked(self, spent: float) -> None:
        """Say what is spent after a unit of work; OptimandError after too many that cost nothing."""
        self._idle = 0 if spent > self._spent else self._idle + 1
        self._spent = spent
        if self._idle >= self.most:
            raise OptimandError(f"method {self.name!r} made {self._idle} {self.what}")


def save(recorder: Recorder, solver: Any, *loop: Any, now: bool = False) -> None:
    """Keep a run's state if it is time to: a method's ``state_dict()``, and what the loop needs besides.

    A method without ``state_dict`` is kept whole where it can be pickled; where it cannot (generators), nothing is
    kept, and an interrupted run starts again and ends the same.

    Args:
        recorder: of the run.
        solver: the method's object.
        loop: the loop's own values; pickled together with a method that is kept whole, so that what they share
            stays shared.
        now: whatever the time; for a run of few parts, each of them long.
    """
    if not (now or recorder.checkpoint_due()):
        return
    import cloudpickle

    try:
        whole = not hasattr(solver, "state_dict")
        recorder.save(cloudpickle.dumps((whole, solver if whole else solver.state_dict(), loop)))
    except (TypeError, pickle.PicklingError, AttributeError):
        recorder.postpone_checkpoint()


def resume(recorder: Recorder, solver: Any) -> tuple[Any, tuple[Any, ...]] | None:
    """The method's object set back to the last :func:`save`, and the loop's values; None to start afresh.

    Args:
        recorder: of the run; it is set back as well.
        solver: the method's object, freshly built.
    """
    saved = recorder.restore()
    if saved is None:
        return None
    whole, state, loop = pickle.loads(saved)
    if whole:
        return state, loop
    solver.load_state_dict(state)
    return solver, loop


def drive(
    step: Callable[[], Any],
    *,
    spent: Callable[[], float],
    shown: Callable[[], T],
    positions: Positions[T],
    recorder: Recorder,
    guard: IdleGuard,
    keep: Callable[[], None] = lambda: None,
) -> None:
    """Let a method work until its budget is spent, it ends, or all positions are recorded.

    Args:
        step: a unit of its work; it may raise :class:`BudgetSpent`, or StopIteration at its end.
        spent: what it has spent of the budget.
        shown: what it would report now.
        positions: where that is recorded.
        recorder: its clock runs in ``step`` alone.
        guard: against work without end that costs nothing.
        keep: called after each unit, to :func:`save`.
    """
    while not positions.done:
        before = shown()
        try:
            with recorder.timed():
                step()
        except (BudgetSpent, StopIteration):
            positions.cross(spent(), before)
            break
        guard.worked(spent())
        positions.cross(spent(), before)
        recorder.progress(spent())
        keep()
    positions.finish(shown())
