"""Expressions as polynomials and quotients of polynomials: what decides which solver can take them.

A polynomial is a dictionary from monomials to coefficients; a monomial is a sorted tuple of pairs (name, power), the
empty one standing for the constant. Quotients are kept as numerator and denominator, so a division can be multiplied
out where the denominator's sign is known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from .expressions import evaluate, names, number_text, parse
from .syntax import Binary, ExpressionError, Kind, Name, Negative, Node, Number

Monomial = tuple[tuple[str, int], ...]
Polynomial = dict[Monomial, float]
ONE: Monomial = ()
MOST_TERMS = 4000
HIGHEST_POWER = 12


class _TooLarge(Exception):  # noqa: N818 (what happened)
    """The expansion has more terms than are useful."""


def add(left: Polynomial, right: Polynomial, factor: float = 1.0) -> Polynomial:
    """``left + factor * right``; terms that cancel are dropped."""
    found = dict(left)
    for monomial, coefficient in right.items():
        found[monomial] = found.get(monomial, 0.0) + factor * coefficient
    return {monomial: value for monomial, value in found.items() if value != 0.0}


def multiply(left: Polynomial, right: Polynomial) -> Polynomial:
    """The product."""
    if len(left) * len(right) > MOST_TERMS:
        raise _TooLarge
    found: Polynomial = {}
    for a, x in left.items():
        for b, y in right.items():
            powers = dict(a)
            for name, power in b:
                powers[name] = powers.get(name, 0) + power
            monomial = tuple(sorted(powers.items()))
            found[monomial] = found.get(monomial, 0.0) + x * y
    return {monomial: value for monomial, value in found.items() if value != 0.0}


def constant(polynomial: Polynomial) -> float | None:
    """The value of a polynomial without names, else None."""
    return polynomial.get(ONE, 0.0) if not polynomial or set(polynomial) == {ONE} else None


def degree(polynomial: Polynomial) -> int:
    """The highest total power."""
    return max((sum(power for _, power in monomial) for monomial in polynomial), default=0)


def fraction(node: Node) -> tuple[Polynomial, Polynomial] | None:
    """Numerator and denominator, or None for what is no quotient of polynomials.

    Raises:
        ExpressionError: a division by the constant zero.

    Example:
        >>> from .expressions import parse
        >>> fraction(parse("(x + 1) / 4"))
        ({(('x', 1),): 0.25, (): 0.25}, {(): 1.0})
    """
    try:
        return _fraction(node)
    except _TooLarge:
        return None


def _fraction(node: Node) -> tuple[Polynomial, Polynomial] | None:
    one: Polynomial = {ONE: 1.0}
    if not names(node):
        value = float(evaluate(node, {}))
        return ({ONE: value} if value else {}), one
    if isinstance(node, Number):
        return {ONE: node.value}, one
    if isinstance(node, Name):
        return {((node.name, 1),): 1.0}, one
    if isinstance(node, Negative):
        inner = _fraction(node.of)
        return None if inner is None else (add({}, inner[0], -1.0), inner[1])
    if not isinstance(node, Binary):
        return None
    left = _fraction(node.left)
    if left is None:
        return None
    if node.op == "**":
        return _power(left, node.right)
    right = _fraction(node.right)
    if right is None:
        return None
    if node.op in "+-":
        factor = 1.0 if node.op == "+" else -1.0
        if left[1] == right[1]:
            return add(left[0], right[0], factor), left[1]
        return add(multiply(left[0], right[1]), multiply(right[0], left[1]), factor), multiply(left[1], right[1])
    if node.op == "/":
        if not right[0]:
            raise ExpressionError("an expression divides by zero")
        right = right[1], right[0]
    return _scaled(multiply(left[0], right[0]), multiply(left[1], right[1]))


def _scaled(top: Polynomial, bottom: Polynomial) -> tuple[Polynomial, Polynomial]:
    """The same quotient with denominator 1 where it is constant."""
    value = constant(bottom)
    if value is None:
        return top, bottom
    return {monomial: coefficient / value for monomial, coefficient in top.items()}, {ONE: 1.0}


def _power(base: tuple[Polynomial, Polynomial], exponent: Node) -> tuple[Polynomial, Polynomial] | None:
    if names(exponent):
        return None
    power = float(evaluate(exponent, {}))
    if not power.is_integer() or abs(power) > HIGHEST_POWER:
        return None
    top: Polynomial = {ONE: 1.0}
    bottom: Polynomial = {ONE: 1.0}
    for _ in range(abs(int(power))):
        top, bottom = multiply(top, base[0]), multiply(bottom, base[1])
    if power < 0 and not top:
        raise ExpressionError("an expression divides by zero")
    return (top, bottom) if power >= 0 else _scaled(bottom, top)


Fraction = tuple[Polynomial, Polynomial]


def difference(left: Fraction, right: Fraction) -> Fraction | None:
    """``left - right`` over one denominator; None where it has too many terms."""
    if left[1] == right[1]:
        return add(left[0], right[0], -1.0), left[1]
    try:
        return add(multiply(left[0], right[1]), multiply(right[0], left[1]), -1.0), multiply(left[1], right[1])
    except _TooLarge:
        return None


def value(found: Polynomial, point: Mapping[str, float]) -> float:
    """The polynomial at a point."""
    return math.fsum(
        coefficient * math.prod(point[name] ** power for name, power in monomial)
        for monomial, coefficient in found.items()
    )


def polynomial(node: Node) -> Polynomial | None:
    """The expanded polynomial, or None."""
    found = fraction(node)
    return found[0] if found is not None and constant(found[1]) == 1.0 else None


def linear(node: Node) -> tuple[dict[str, float], float] | None:
    """Coefficients and constant of a linear expression, else None.

    Example:
        >>> from .expressions import parse
        >>> linear(parse("3 * (x - 2) + y / 2"))
        ({'x': 3.0, 'y': 0.5}, -6.0)
    """
    found = polynomial(node)
    return None if found is None or degree(found) > 1 else linear_terms(found)


def linear_terms(found: Polynomial) -> tuple[dict[str, float], float]:
    """Coefficients and constant of a polynomial of degree at most one."""
    return {monomial[0][0]: value for monomial, value in found.items() if monomial}, found.get(ONE, 0.0)


def classify(expression: Node | str) -> Kind:
    """What an expression is in its names: ``constant``, ``linear``, ``quadratic``, ``polynomial``, ``rational`` (a
    quotient of polynomials) or ``general``.

    Example:
        >>> classify("x * (y + 1)"), classify("x / (x + y)"), classify("sqrt(x)")
        ('quadratic', 'rational', 'general')
    """
    found = fraction(parse(expression) if isinstance(expression, str) else expression)
    if found is None:
        return "general"
    if constant(found[1]) is None:
        return "rational"
    order = degree(found[0])
    return ("constant", "linear", "quadratic", "polynomial")[min(order, 3)]  # type: ignore[return-value]


def interval(found: Polynomial, bounds: Mapping[str, tuple[float, float]]) -> tuple[float, float]:
    """An interval that holds the polynomial's values on a box (not always the smallest).

    Args:
        found: the polynomial.
        bounds: lower and upper bound of each name; infinities are fine.

    Example:
        >>> interval({(("x", 1),): 2.0, (("y", 2),): 1.0}, {"x": (0, 5), "y": (-1, 3)})
        (0.0, 19.0)
    """
    low = high = 0.0
    for monomial, coefficient in found.items():
        a = b = coefficient
        for name, power in monomial:
            a, b = _times((a, b), _raised(bounds[name], power))
        low, high = low + a, high + b
    return low, high


def _raised(bound: tuple[float, float], power: int) -> tuple[float, float]:
    low, high = bound
    ends = sorted((_pow(low, power), _pow(high, power)))
    if power % 2 == 0 and low < 0 < high:
        return 0.0, ends[1]
    return ends[0], ends[1]


def _pow(value: float, power: int) -> float:
    try:
        return float(value) ** power
    except OverflowError:
        return math.inf if value > 0 or power % 2 == 0 else -math.inf


def _times(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    products = [0.0 if 0.0 in (x, y) else x * y for x in a for y in b]
    return min(products), max(products)


def polynomial_text(found: Polynomial, name: Mapping[str, str] | None = None) -> str:
    """A polynomial as Python text.

    Example:
        >>> polynomial_text({(("x", 2),): 3.0, (): -1.0})
        '3*x**2 - 1'
    """
    text = ""
    for monomial, coefficient in found.items():
        factors = [(name or {}).get(part, part) + (f"**{power}" if power > 1 else "") for part, power in monomial]
        size = abs(coefficient)
        if size != 1 or not factors:
            factors.insert(0, number_text(size))
        sign = "-" if coefficient < 0 else "+"
        text += f" {sign} " + "*".join(factors) if text else ("-" if sign == "-" else "") + "*".join(factors)
    return text or "0"
