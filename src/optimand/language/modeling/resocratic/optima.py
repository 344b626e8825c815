"""The recorded optimum of a template's problem, and whether it is the only one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from optimand.language.modeling.formulations.expressions import evaluate, to_text
from optimand.language.modeling.formulations.formulation import Constraint, Formulation
from optimand.language.modeling.formulations.solving import tightened

if TYPE_CHECKING:
    from .problem_specs import ProblemSpec

MOST_POINTS = 2_000_000


@dataclass(frozen=True)
class Optimum:
    """An optimal point.

    Attributes:
        objective: the optimal value.
        values: the point.
        unique: no other point has this value (to solvers' tolerances).
        how: what found it.
    """

    objective: float
    values: dict[str, float]
    unique: bool
    how: str


def find_optimum(spec: ProblemSpec) -> Optimum | None:
    """The optimum by the template's own formula, HiGHS or all points; None where there is none."""
    formulation = spec.formulation()
    if spec.exact is not None:
        return Optimum(float(spec.exact), {k: float(v) for k, v in spec.point.items()}, spec.unique, "template")
    if formulation.kind == "linear":
        return linear_optimum(formulation)
    return enumerated_optimum(formulation)


def linear_optimum(formulation: Formulation) -> Optimum | None:
    """The optimum of a linear problem by HiGHS, its uniqueness by a second objective on the optimal face.

    A random linear function takes different least and largest values on a set of more than one point, almost surely.
    """
    found = formulation.solve_linear()
    if found.status != "optimal" or found.objective is None:
        return None
    slack = 1e-9 * max(1.0, abs(found.objective))
    sign, edge = (">=", found.objective - slack) if formulation.sense == "maximize" else (
        "<=", found.objective + slack)  # fmt: skip
    on_face = (*formulation.constraints, Constraint(f"{to_text(formulation.objective_node)} {sign} {edge:.12f}"))
    weights = np.random.default_rng(len(formulation.variables)).uniform(1, 2, len(formulation.variables))
    other = " + ".join(f"{w:.6f}*{v.name}" for w, v in zip(weights, formulation.variables, strict=True))
    ends = [
        Formulation(formulation.variables, sense, other, on_face).solve_linear().objective
        for sense in ("maximize", "minimize")  # type: ignore[arg-type]
    ]
    unique = None not in ends and abs(ends[0] - ends[1]) <= 1e-5 * max(1.0, abs(ends[0]))  # type: ignore[operator, arg-type]
    return Optimum(found.objective, dict(found.values), unique, found.how)


def enumerated_optimum(formulation: Formulation) -> Optimum | None:
    """The optimum of a problem in whole numbers from all its points; None where no point is feasible.

    Raises:
        ValueError: a real variable, or more than two million points.
    """
    bounds = tightened(formulation)
    if any(low > high for low, high in bounds.values()):
        return None
    sizes = [int(high - low) + 1 if math.isfinite(high - low) else MOST_POINTS for low, high in bounds.values()]
    if math.prod(sizes) > MOST_POINTS or not all(variable.whole for variable in formulation.variables):
        raise ValueError(f"too many points, or real variables, to list all: {bounds}")
    grid = np.unravel_index(np.arange(math.prod(sizes)), sizes)
    points: dict[str, NDArray[np.float64]] = {
        name: low + at.astype(np.float64) for (name, (low, _)), at in zip(bounds.items(), grid, strict=True)
    }
    for relation in formulation.relations:
        gap = _value(relation.left, points) - _value(relation.right, points)
        tolerance = 1e-9 * (1.0 + np.abs(_value(relation.right, points)))
        if relation.op == "==":
            good = np.abs(gap) <= tolerance
        else:
            good = (gap if relation.op == "<=" else -gap) <= tolerance
        points = {name: column[good] for name, column in points.items()}
    if not len(next(iter(points.values()))):
        return None
    score = _value(formulation.objective_node, points)
    score = score if formulation.sense == "maximize" else -score
    at = int(np.nanargmax(score))
    ties = int((score >= score[at] - 1e-9 * max(1.0, abs(float(score[at])))).sum())
    value = float(score[at]) if formulation.sense == "maximize" else -float(score[at])
    return Optimum(value, {name: float(column[at]) for name, column in points.items()}, ties == 1, "all points")


def _value(node: Any, points: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    found = np.asarray(evaluate(node, points), dtype=np.float64)
    return np.broadcast_to(found, next(iter(points.values())).shape)
