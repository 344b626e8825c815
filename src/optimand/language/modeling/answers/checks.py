"""What checks of an answer are made of: a result, and how numbers are matched."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..formulations.expressions import Binary, Node, Number, walk
from ..formulations.formulation import Formulation

# Two optima that differ by less are the same: SCIP's feasibility tolerance is 1e-6.
SAME = 1e-5


@dataclass(frozen=True)
class Check:
    """One check of an answer.

    Attributes:
        name: what is checked.
        ok: whether it holds; None where it does not apply or cannot be told.
        detail: what was found.
        hard: whether an answer that fails it, or for which it cannot be told, counts as not verified.
    """

    name: str
    ok: bool | None
    detail: str
    hard: bool = True


def same_number(left: float, right: float, tol: float = SAME) -> bool:
    """Whether two numbers agree to a relative (and absolute) tolerance."""
    return math.isclose(left, right, rel_tol=tol, abs_tol=tol)


def coefficients(formulation: Formulation) -> tuple[float, ...]:
    """The numbers of a formulation that should come from the text: not exponents, signs, or bounds of zero."""
    found: list[float] = []
    nodes = [formulation.objective_node]
    for relation in formulation.relations:
        nodes += [relation.left, relation.right]
    for node in nodes:
        found += _data_numbers(node)
    for variable in formulation.variables:
        found += [abs(end) for end in (variable.low, variable.high) if end and variable.kind != "binary"]
    return tuple(found)


def _data_numbers(node: Node) -> list[float]:
    exponents = {id(part.right) for part in walk(node) if isinstance(part, Binary) and part.op == "**"}
    return [part.value for part in walk(node) if isinstance(part, Number) and id(part) not in exponents]


def key_of(value: float) -> float:
    """A number to nine digits, by which numbers of texts and of models are matched."""
    return float(f"{value:.9g}")
