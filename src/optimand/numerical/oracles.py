"""Counting of oracle calls: what a comparison of solvers charges them for."""

from __future__ import annotations

from ..core.validation import check_number


class OracleBudgetSpent(BaseException):
    """The budget of oracle calls is spent: a run loop ends the method here.

    Not an ``Exception``, because a method's own ``except Exception`` must not keep it going.
    """


class OracleCounter:
    """Counts calls by kind and stops at a budget.

    Args:
        budget: the most that may be charged in all; None for no bound.

    Example:
        >>> counter = OracleCounter(budget=2)
        >>> counter.charge(1, "gradient")
        >>> counter.charge(1, "objective")
        >>> counter.total, counter.by_kind
        (2.0, {'gradient': 1.0, 'objective': 1.0})
        >>> counter.charge(1, "gradient")
        Traceback (most recent call last):
        optimand.numerical.oracles.OracleBudgetSpent: 3 oracle calls asked for, 2 allowed
    """

    def __init__(self, budget: float | None = None) -> None:
        self.budget = None if budget is None else check_number("budget", budget, low=0)
        self.by_kind: dict[str, float] = {}
        self.total = 0.0

    def charge(self, calls: float, kind: str = "calls") -> None:
        """Count ``calls`` of a kind; OracleBudgetSpent, with nothing counted, where they would exceed the budget."""
        if self.budget is not None and self.total + calls > self.budget:
            raise OracleBudgetSpent(f"{self.total + calls:g} oracle calls asked for, {self.budget:g} allowed")
        self.total += calls
        self.by_kind[kind] = self.by_kind.get(kind, 0.0) + calls
