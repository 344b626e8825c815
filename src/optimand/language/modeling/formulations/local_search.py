"""Many local searches on a formulation: the second opinion on a nonlinear problem that cannot be enumerated."""

from __future__ import annotations

import itertools
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .expressions import evaluate

if TYPE_CHECKING:
    from .formulation import Formulation

# Where a variable has no bound, starts are drawn from an interval of this size.
REACH = 100.0


def best_point(
    formulation: Formulation, bounds: Mapping[str, tuple[float, float]], *, seconds: float, seed: int, starts: int
) -> dict[str, float] | None:
    """The best feasible point that SLSQP finds from random starts.

    Args:
        formulation: any.
        bounds: a box that holds the feasible points.
        seconds: wall time, looked at between searches.
        seed: of the starts.
        starts: most starts.

    Returns:
        Values by variable, or None where no search ends feasible.
    """
    rng = np.random.default_rng(seed)
    listed = [variable.name for variable in formulation.variables]
    whole = [variable.name for variable in formulation.variables if variable.whole]
    sign = 1.0 if formulation.sense == "maximize" else -1.0
    best: tuple[float, dict[str, float]] | None = None
    ends = time.monotonic() + seconds
    for start in range(starts):
        if time.monotonic() > ends:
            break
        begin = np.array([_draw(rng, *bounds[name], middle=start == 0) for name in listed])
        point = _descend(formulation, bounds, {}, dict(zip(listed, begin, strict=True)))
        candidates = [point]
        if whole:
            candidates = [
                _descend(formulation, bounds, dict(zip(whole, fixed, strict=True)), point)
                for fixed in whole_neighbours([point[name] for name in whole], most=16)
            ]
        for candidate in candidates:
            seen = formulation.check(candidate, tol=1e-6)
            if seen.feasible and (best is None or sign * seen.objective > best[0]):
                best = sign * seen.objective, candidate
    return None if best is None else best[1]


def _draw(rng: np.random.Generator, low: float, high: float, *, middle: bool) -> float:
    if math.isinf(low) and math.isinf(high):
        low, high = -REACH, REACH
    elif math.isinf(low):
        low = high - REACH
    elif math.isinf(high):
        high = low + REACH
    return (low + high) / 2 if middle else float(rng.uniform(low, high))


def _descend(
    formulation: Formulation,
    bounds: Mapping[str, tuple[float, float]],
    fixed: Mapping[str, float],
    start: Mapping[str, float],
) -> dict[str, float]:
    from scipy.optimize import minimize

    free = [name for name in start if name not in fixed]
    if not free:
        return {name: float(fixed[name]) for name in start}
    sign = -1.0 if formulation.sense == "maximize" else 1.0

    def point(x: Any) -> dict[str, float]:
        return {**dict(zip(free, map(float, x), strict=True)), **fixed}

    def guarded(function: Callable[[dict[str, float]], float], otherwise: float) -> Callable[[Any], float]:
        def value(x: Any) -> float:
            try:
                found = function(point(x))
            except ArithmeticError:
                return otherwise
            except ValueError:  # outside the domain of a function
                return otherwise
            return found if math.isfinite(found) else otherwise

        return value

    constraints: Any = [
        {"type": "eq" if op == "==" else "ineq", "fun": guarded(gap, -1e6)} for op, gap in _gaps(formulation)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # steps outside a function's domain are expected
        result: Any = minimize(
            guarded(lambda values: sign * float(evaluate(formulation.objective_node, values)), 1e12),
            [start[name] for name in free],
            bounds=[bounds[name] for name in free],
            constraints=constraints,
            method="SLSQP",
            options={"maxiter": 200, "ftol": 1e-12},
        )
    found = {**dict(zip(free, map(float, result.x), strict=True)), **fixed}
    return {name: found[name] for name in start}


def _gaps(formulation: Formulation) -> list[tuple[str, Callable[[dict[str, float]], float]]]:
    from .polynomials import value

    found: list[tuple[str, Callable[[dict[str, float]], float]]] = []
    for item in formulation.normal:
        if item.polynomial is not None:
            sign = -1.0 if item.op == "<=" else 1.0
            size = max(map(abs, item.polynomial.values()), default=1.0)

            def gap(values: dict[str, float], item: Any = item, factor: float = sign / size) -> float:
                return factor * value(item.polynomial, values)

            found.append((item.op, gap))
        else:
            sign = -1.0 if item.relation.op == "<=" else 1.0

            def sides(values: dict[str, float], item: Any = item, factor: float = sign) -> float:
                return factor * float(evaluate(item.relation.left, values) - evaluate(item.relation.right, values))

            found.append((item.relation.op, sides))
    return found


def whole_neighbours(values: list[float], most: int = 64) -> Iterator[tuple[float, ...]]:
    """The whole points around a point, nearest roundings first, at most ``most``.

    Example:
        >>> list(whole_neighbours([1.2, 3.0]))
        [(1.0, 3.0), (2.0, 3.0)]
    """
    sides = []
    for value in values:
        near = float(round(value))
        other = near + (1.0 if value > near else -1.0)
        sides.append((near,) if abs(value - near) < 1e-6 else (near, other))
    yield from itertools.islice(itertools.product(*sides), most)
