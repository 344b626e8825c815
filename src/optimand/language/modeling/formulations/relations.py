"""Relations in normal form: divisions multiplied out where that is sound, strict ones on whole numbers made exact."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

from .polynomials import Polynomial, add, constant, difference, fraction, interval, value
from .syntax import ExpressionError, Op, Relation

_MIRRORED: dict[Op, Op] = {"<=": ">=", ">=": "<=", "==": "=="}


@dataclass(frozen=True)
class Normal:
    """A relation as a polynomial compared with zero.

    Attributes:
        relation: as written.
        polynomial: the difference of the sides; None where it is none, or a denominator's sign is not known.
        op: ``<=``, ``>=`` or ``==``.
    """

    relation: Relation
    polynomial: Polynomial | None
    op: Op


def normalize(relation: Relation, bounds: Mapping[str, tuple[float, float]], whole: Set[str]) -> Normal:
    """The normal form of a relation.

    Args:
        relation: any.
        bounds: of the names; they tell the sign of a denominator.
        whole: names that take whole numbers only.

    Example:
        >>> from .expressions import parse_relations
        >>> normalize(parse_relations("x / (x + y) >= 0.5")[0], {"x": (0, 9), "y": (0, 9)}, set()).polynomial
        {(('x', 1),): 0.5, (('y', 1),): -0.5}
    """
    left, right = fraction(relation.left), fraction(relation.right)
    quotient = difference(left, right) if left and right else None
    if quotient is None:
        return Normal(relation, None, relation.op)
    top, bottom = quotient
    low, high = interval(bottom, bounds)
    if constant(bottom) is None and low < 0 < high:
        return Normal(relation, None, relation.op)
    op: Op = relation.op if low >= 0 else _MIRRORED[relation.op]
    if relation.strict and _takes_whole_numbers(top, whole):
        top = add(top, {(): 1.0 if op == "<=" else -1.0})  # between whole numbers, "more" means "at least one more"
    return Normal(relation, top, op)


def _takes_whole_numbers(polynomial: Polynomial, whole: Set[str]) -> bool:
    return all(float(coefficient).is_integer() for coefficient in polynomial.values()) and all(
        name in whole for monomial in polynomial for name, _ in monomial
    )


def violated(item: Normal, point: Mapping[str, float], tol: float) -> str:
    """A sentence on how a point breaks a relation; empty if it does not.

    Args:
        item: the relation.
        point: a value for each name.
        tol: relative to the larger side, and at least absolute.
    """
    from .expressions import evaluate

    relation, op, size = item.relation, item.relation.op, 1.0
    try:
        left, right = float(evaluate(relation.left, point)), float(evaluate(relation.right, point))
        gap, size = left - right, max(1.0, abs(left), abs(right))
        equal_where_strict = relation.strict and abs(gap) <= tol * size
    except ExpressionError:
        # A quotient without a value, such as a share of nothing: its multiplied form decides.
        if item.polynomial is None:
            return f"{relation} has no value there"
        gap, op, equal_where_strict = value(item.polynomial, point), item.op, False
    if equal_where_strict and item.polynomial is not None:
        gap, op = value(item.polynomial, point), item.op
    broken = {"<=": gap > tol * size, ">=": gap < -tol * size, "==": abs(gap) > tol * size}[op]
    return f"{relation} does not hold: the difference of its sides is {gap:.6g}" if broken else ""
