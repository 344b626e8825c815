"""Second solvers, which share nothing with SCIP: HiGHS, a parametric method for ratios, enumeration, local searches.

A program's result is believed when an independent solve of the formulation agrees. Linear problems go to HiGHS;
a ratio of linear functions over linear constraints to Dinkelbach's iteration, each step by HiGHS; problems in few whole
numbers are enumerated; for the rest many local searches give the best point found, which can refute a claimed
optimum but not prove one.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from optimand.core.validation import check_int, check_number

from .expressions import evaluate
from .formulation_data import Solved
from .polynomials import Polynomial, degree, linear, linear_terms

if TYPE_CHECKING:
    from .formulation import Formulation

MOST_POINTS = 2_000_000
CHUNK = 200_000
_STATUS = {0: "optimal", 1: "limit", 2: "infeasible", 3: "unbounded"}


def _solved(status: str, how: str, values: dict[str, float] | None = None, objective: float | None = None) -> Solved:
    return Solved(status, values or {}, objective, how)


def _rows(formulation: Formulation) -> tuple[Any, Any, Any] | None:
    """Constraint matrix with lower and upper sides; None unless all constraints are linear."""
    import numpy as np

    at = {variable.name: column for column, variable in enumerate(formulation.variables)}
    rows = np.zeros((len(formulation.normal), len(at)))
    low, high = np.full(len(rows), -math.inf), np.full(len(rows), math.inf)
    for row, item in enumerate(formulation.normal):
        if item.polynomial is None or degree(item.polynomial) > 1:
            return None
        terms, offset = linear_terms(item.polynomial)
        for name, coefficient in terms.items():
            rows[row, at[name]] = coefficient
        if item.op in ("<=", "=="):
            high[row] = -offset
        if item.op in (">=", "=="):
            low[row] = -offset
    return rows, low, high


def _milp(formulation: Formulation, cost: Any, seconds: float) -> Any:
    import numpy as np
    from scipy.optimize import Bounds, LinearConstraint, milp

    found = _rows(formulation)
    assert found is not None  # the callers looked
    rows, low, high = found
    ends = np.array([variable.bounds for variable in formulation.variables])
    arguments: dict[str, Any] = {
        "integrality": np.array([int(variable.whole) for variable in formulation.variables]),
        "bounds": Bounds(ends[:, 0], ends[:, 1]),
        "constraints": [LinearConstraint(rows, low, high)] if len(rows) else [],
        "options": {"time_limit": seconds, "mip_rel_gap": 0.0},
    }
    result = milp(cost, **arguments)
    if result.status == 4 or (result.status == 2 and "unbounded" in str(result.message).lower()):
        # HiGHS says "unbounded or infeasible": a feasible point decides.
        feasible = milp(np.zeros(len(cost)), **arguments)
        result.status = 3 if feasible.status == 0 else 2
    return result


def _cost(formulation: Formulation, terms: dict[str, float]) -> Any:
    import numpy as np

    sign = -1.0 if formulation.sense == "maximize" else 1.0
    return sign * np.array([terms.get(variable.name, 0.0) for variable in formulation.variables])


def _point(formulation: Formulation, x: Any) -> dict[str, float]:
    return {
        variable.name: float(round(number)) if variable.whole else float(number)
        for variable, number in zip(formulation.variables, x, strict=True)
    }


def solve_linear(formulation: Formulation, seconds: float = 10.0) -> Solved:
    """See :meth:`optimand.language.modeling.formulations.formulation.Formulation.solve_linear`."""
    how = "HiGHS"
    objective = linear(formulation.objective_node)
    if objective is None or _rows(formulation) is None:
        return _solved("unsupported", how)
    terms, offset = objective
    result = _milp(formulation, _cost(formulation, terms), seconds)
    status = _STATUS.get(result.status, "limit")
    if result.x is None:
        return _solved(status, how)
    values = _point(formulation, result.x)
    total = offset + math.fsum(coefficient * values[name] for name, coefficient in terms.items())
    return _solved(status, how, values, total)


def solve(formulation: Formulation, *, seconds: float = 10.0, seed: int = 0) -> Solved:
    """See :meth:`optimand.language.modeling.formulations.formulation.Formulation.solve`."""
    check_number("seconds", seconds, low=0, low_open=True)
    check_int("seed", seed, low=0)
    for attempt in (solve_linear, solve_ratio, enumerate_points):
        found = attempt(formulation, seconds)
        if found.status not in ("unsupported", "limit"):
            return found
    return search(formulation, seconds=seconds, seed=seed)


def solve_ratio(formulation: Formulation, seconds: float = 10.0) -> Solved:
    """Optimize a quotient of linear functions under linear constraints by Dinkelbach's iteration.

    Returns:
        ``unsupported`` where the problem is of another form or the denominator may vanish.

    Example:
        >>> from optimand.language.modeling.formulations.formulation import Formulation, Variable
        >>> f = Formulation((Variable("x", high=4), Variable("y", high=4)), "maximize", "(2x + y) / (x + y + 1)")
        >>> round(solve_ratio(f).objective, 6)
        1.6
    """
    how = "HiGHS in Dinkelbach's iteration"
    quotient = formulation.objective_fraction
    if quotient is None or max(map(degree, quotient)) > 1 or _rows(formulation) is None:
        return _solved("unsupported", how)
    (top, top_offset), (bottom, bottom_offset) = map(linear_terms, quotient)
    least = _least(formulation, bottom, seconds)
    if least is None:
        return _solved("unsupported", how)
    if least + bottom_offset <= 1e-9:
        negative = {name: -value for name, value in bottom.items()}
        least = _least(formulation, negative, seconds)
        if least is None or least - bottom_offset <= 1e-9:
            return _solved("unsupported", how)
        top, bottom = {name: -value for name, value in top.items()}, negative
        top_offset, bottom_offset = -top_offset, -bottom_offset
    values: dict[str, float] = {}
    ratio = 0.0
    for step in range(60):
        terms = {name: top.get(name, 0.0) - ratio * bottom.get(name, 0.0) for name in {**top, **bottom}}
        result = _milp(formulation, _cost(formulation, terms), seconds)
        if result.status != 0:
            return _solved(_STATUS.get(result.status, "limit"), how)
        values = _point(formulation, result.x)
        parts = [
            offset + math.fsum(c * values[n] for n, c in side.items())
            for side, offset in ((top, top_offset), (bottom, bottom_offset))
        ]
        new = parts[0] / parts[1]
        if step and abs(new - ratio) <= 1e-12 * max(1.0, abs(ratio)):
            return _solved("optimal", how, values, new)
        ratio = new
    return _solved("limit", how, values, ratio)


def _least(formulation: Formulation, terms: dict[str, float], seconds: float) -> float | None:
    """The least value of a linear function on the feasible set; None where there is none."""
    import numpy as np

    result = _milp(formulation, np.array([terms.get(v.name, 0.0) for v in formulation.variables]), seconds)
    return float(result.fun) if result.status == 0 else None


def tightened(formulation: Formulation, rounds: int = 20) -> dict[str, tuple[float, float]]:
    """Bounds that the linear constraints imply, by propagation.

    Example:
        >>> from optimand.language.modeling.formulations.formulation import Formulation, Variable
        >>> tightened(Formulation((Variable("x", kind="integer"),), "maximize", "x**2", ("2x <= 9",)))
        {'x': (0.0, 4.0)}
    """
    bounds = {variable.name: list(variable.bounds) for variable in formulation.variables}
    whole = {variable.name for variable in formulation.variables if variable.whole}
    for _ in range(rounds):
        before = {name: tuple(ends) for name, ends in bounds.items()}
        for item in formulation.normal:
            if item.polynomial is not None and degree(item.polynomial) <= 1:
                if item.op in ("<=", "=="):
                    _propagate(item.polynomial, bounds, 1.0)
                if item.op in (">=", "=="):
                    _propagate(item.polynomial, bounds, -1.0)
        for name in whole:
            low, high = bounds[name]
            bounds[name] = [low if math.isinf(low) else math.ceil(low - 1e-6),
                            high if math.isinf(high) else math.floor(high + 1e-6)]  # fmt: skip
        if {name: tuple(ends) for name, ends in bounds.items()} == before:
            break
    return {name: (float(low), float(high)) for name, (low, high) in bounds.items()}


def _propagate(polynomial: Polynomial, bounds: dict[str, list[float]], sign: float) -> None:
    """Use ``sign * polynomial <= 0`` on each of its names."""
    terms, offset = linear_terms(polynomial)
    for name, coefficient in terms.items():
        rest = sign * offset
        for other, value in terms.items():
            if other != name:
                value *= sign
                rest += value * bounds[other][0 if value > 0 else 1]
        limit = -rest / (sign * coefficient)
        if math.isfinite(limit):
            if sign * coefficient > 0:
                bounds[name][1] = min(bounds[name][1], limit)
            else:
                bounds[name][0] = max(bounds[name][0], limit)


def enumerate_points(formulation: Formulation, seconds: float = 10.0) -> Solved:
    """Try every point of a problem in whole numbers with at most two million points.

    Returns:
        ``unsupported`` for real variables or too many points; ``infeasible`` if none satisfies the constraints.
    """
    how = "enumeration"
    if not all(variable.whole for variable in formulation.variables):
        return _solved("unsupported", how)
    bounds = tightened(formulation)
    if any(low > high for low, high in bounds.values()):
        return _solved("infeasible", how)
    if any(math.isinf(end) for ends in bounds.values() for end in ends):
        return _solved("unsupported", how)
    sizes = [int(high - low) + 1 for low, high in bounds.values()]
    if math.prod(sizes) > MOST_POINTS:
        return _solved("unsupported", how)
    import numpy as np

    best: tuple[float, dict[str, float]] | None = None
    sign = 1.0 if formulation.sense == "maximize" else -1.0
    started = time.monotonic()
    lows = [low for low, _ in bounds.values()]
    for begin in range(0, math.prod(sizes), CHUNK):
        if time.monotonic() - started > seconds:
            return _solved("limit", how)
        index = np.unravel_index(np.arange(begin, min(begin + CHUNK, math.prod(sizes))), sizes)
        points = {name: at + low for name, at, low in zip(bounds, index, lows, strict=True)}
        good = _feasible(formulation, points)
        score = np.where(good, sign * np.broadcast_to(evaluate(formulation.objective_node, points), good.shape), np.nan)
        if np.isnan(score).all():
            continue
        at = int(np.nanargmax(score))
        if best is None or score[at] > best[0]:
            best = float(score[at]), {name: float(column[at]) for name, column in points.items()}
    if best is None:
        return _solved("infeasible", how)
    return _solved("optimal", how, best[1], sign * best[0])


def _feasible(formulation: Formulation, points: dict[str, Any]) -> Any:
    import numpy as np

    good = np.ones(len(next(iter(points.values()))), dtype=bool)
    for item in formulation.normal:
        if item.polynomial is not None:
            left: Any = sum(
                coefficient * math.prod([points[name] ** power for name, power in monomial], start=np.float64(1))
                for monomial, coefficient in item.polynomial.items()
            )
            right, op = 0.0, item.op
            size = 1.0 + sum(abs(c) for c in item.polynomial.values())
        else:
            left, right = (evaluate(side, points) for side in (item.relation.left, item.relation.right))
            op, size = item.relation.op, np.maximum(1.0, np.abs(right))
        gap = np.asarray(left - right)
        slack = 1e-9 * size
        good &= (gap <= slack) if op == "<=" else (gap >= -slack) if op == ">=" else (np.abs(gap) <= slack)
    return good


def search(formulation: Formulation, *, seconds: float = 10.0, seed: int = 0, starts: int = 40) -> Solved:
    """Local searches (SLSQP) from random starts; whole numbers are rounded both ways, fixed, and the rest re-solved.

    Returns:
        Status ``limit`` with the best feasible point, or without a point where none was found.
    """
    from .local_search import best_point

    bounds = tightened(formulation)
    if any(low > high + 1e-9 * max(1.0, abs(high)) for low, high in bounds.values()):
        return _solved("infeasible", "propagation of bounds")
    bounds = {name: (min(low, high), high) for name, (low, high) in bounds.items()}
    values = best_point(formulation, bounds, seconds=seconds, seed=seed, starts=starts)
    if values is None:
        return _solved("limit", "local searches")
    return _solved("limit", "local searches", values, float(evaluate(formulation.objective_node, values)))
