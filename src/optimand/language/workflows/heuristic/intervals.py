"""Intervals of numbers, and how known operators act on them and on derivatives: what the signs of influence rest on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

Interval = tuple[float, float]
EVERYTHING: Interval = (-math.inf, math.inf)
ZERO: Interval = (0.0, 0.0)
ONE: Interval = (1.0, 1.0)


def add(a: Interval, b: Interval) -> Interval:
    """``a + b``."""
    return _ordered(a[0] + b[0], a[1] + b[1])


def negate(a: Interval) -> Interval:
    """``-a``."""
    return (-a[1], -a[0])


def multiply(a: Interval, b: Interval) -> Interval:
    """``a * b``; zero times infinity is zero, since an infinite end stands for values that are large but finite.

    Example:
        >>> multiply((-1.0, 2.0), (0.0, float("inf")))
        (-inf, inf)
        >>> multiply((0.0, 2.0), (-3.0, -1.0))
        (-6.0, 0.0)
    """
    products = [0.0 if x == 0.0 or y == 0.0 else x * y for x in a for y in b]
    return (min(products) + 0.0, max(products) + 0.0)


def invert(a: Interval) -> Interval:
    """``1 / a``; everything where ``a`` holds zero."""
    if a[0] <= 0.0 <= a[1]:
        return EVERYTHING
    return (1.0 / a[1], 1.0 / a[0])


def power(a: Interval, n: int) -> Interval:
    """``a**n`` for an integer ``n >= 0``."""
    ends = sorted(_raised(x, n) for x in a)
    if n % 2 == 0 and n > 0 and a[0] < 0.0 < a[1]:
        return (0.0, ends[1])
    return (ends[0], ends[1]) if n else ONE


def _raised(x: float, n: int) -> float:
    try:
        return float(x) ** n
    except OverflowError:
        return math.inf if x > 0 or n % 2 == 0 else -math.inf


def _ordered(low: float, high: float) -> Interval:
    return (-math.inf if math.isnan(low) else low, math.inf if math.isnan(high) else high)


def _increasing(function: Callable[[float], float]) -> Callable[[Interval], Interval]:
    def image(a: Interval) -> Interval:
        ends = []
        for x, otherwise in zip(a, EVERYTHING, strict=True):
            try:
                ends.append(float(function(x)))
            except (OverflowError, ValueError):
                ends.append(math.inf if isinstance(x, float) and x > 0 else otherwise)
        return _ordered(ends[0], ends[1])

    return image


def _positive(a: Interval, low: float = 0.0, high: float = math.inf) -> Interval:
    return (low, high)


# A result of an operator: its value, and the partial derivative by each argument.
Partials = tuple[Interval, list[Interval]]


def _sum(a: Interval, b: Interval) -> Partials:
    return add(a, b), [ONE, ONE]


def _difference(a: Interval, b: Interval) -> Partials:
    return add(a, negate(b)), [ONE, negate(ONE)]


def _product(a: Interval, b: Interval) -> Partials:
    return multiply(a, b), [b, a]


def _quotient(a: Interval, b: Interval) -> Partials:
    inverse = invert(b)
    return multiply(a, inverse), [inverse, negate(multiply(a, power(inverse, 2)))]


def _power(a: Interval, b: Interval) -> Partials:
    n = b[0]
    if b[0] != b[1] or not float(n).is_integer() or n < 0:
        if a[0] > 0 and b[0] == b[1]:  # a positive base: monotone, by the exponent's sign
            sign = ONE if n > 0 else negate(ONE)
            return (0.0, math.inf), [multiply(sign, (0.0, math.inf)), EVERYTHING]
        return EVERYTHING, [EVERYTHING, EVERYTHING]
    k = int(n)
    slope = multiply((float(k), float(k)), power(a, k - 1)) if k else ZERO
    return power(a, k), [slope, EVERYTHING]


def _unary_power(a: Interval, n: int) -> Partials:
    value, slopes = _power(a, (float(n), float(n)))
    return value, slopes[:1]


def _absolute(a: Interval) -> Partials:
    if a[0] >= 0.0:
        return a, [ONE]
    if a[1] <= 0.0:
        return negate(a), [negate(ONE)]
    return (0.0, max(-a[0], a[1])), [(-1.0, 1.0)]


def _largest(a: Interval, b: Interval) -> Partials:
    return (max(a[0], b[0]), max(a[1], b[1])), [(0.0, 1.0), (0.0, 1.0)]


def _smallest(a: Interval, b: Interval) -> Partials:
    return (min(a[0], b[0]), min(a[1], b[1])), [(0.0, 1.0), (0.0, 1.0)]


def _monotone(function: Callable[[float], float]) -> Callable[[Interval], Partials]:
    image = _increasing(function)
    # The derivative's size does not matter for a sign; it is only known not to be negative.
    return lambda a: (image(a), [_positive(a)])


def _root(a: Interval) -> Partials:
    return _increasing(math.sqrt)((max(a[0], 0.0), max(a[1], 0.0))), [(0.0, math.inf)]


def _logarithm(a: Interval) -> Partials:
    low = math.log(a[0]) if a[0] > 0 else -math.inf
    return (low, math.log(a[1]) if 0 < a[1] < math.inf else math.inf), [(0.0, math.inf)]


def _sigmoid(x: float) -> float:
    return 0.5 * (1.0 + math.tanh(0.5 * x))


def _exact(x: float) -> float:
    return x


# By the name that an operator has in a description, ``[name] …``. Rounding is a staircase: never falling.
OPERATORS: dict[str, Callable[..., Partials]] = {
    "add": _sum, "sub": _difference, "subtract": _difference, "mul": _product, "multiply": _product,
    "truediv": _quotient, "div": _quotient, "divide": _quotient, "pow": _power, "power": _power,
    "neg": lambda a: (negate(a), [negate(ONE)]), "pos": lambda a: (a, [ONE]), "identity": lambda a: (a, [ONE]),
    "clone": lambda a: (a, [ONE]), "abs": _absolute, "max": _largest, "min": _smallest,
    "maximum": _largest, "minimum": _smallest,
    "tanh": _monotone(math.tanh), "exp": _monotone(math.exp), "sigmoid": _monotone(_sigmoid),
    "cube": lambda a: _unary_power(a, 3), "sqrt": _root, "log": _logarithm,
    "square": lambda a: _unary_power(a, 2),
    "round": _monotone(lambda x: x if math.isinf(x) else float(round(x))),
    "floor": _monotone(lambda x: x if math.isinf(x) else float(math.floor(x))),
    "ceil": _monotone(lambda x: x if math.isinf(x) else float(math.ceil(x))),
}  # fmt: skip


def apply(name: str, arguments: Sequence[Interval]) -> Partials | None:
    """The values that a known operator can take, and its partial derivatives; None where it is not known.

    Args:
        name: as in :data:`OPERATORS`.
        arguments: an interval for each argument.

    Example:
        >>> apply("mul", [(0.0, 1.0), (-2.0, -2.0)])
        ((-2.0, 0.0), [(-2.0, -2.0), (0.0, 1.0)])
    """
    rule = OPERATORS.get(name)
    if rule is None:
        return None
    try:
        value, slopes = rule(*arguments)
    except TypeError:  # called with another number of arguments than the operator that we know by this name
        return None
    return _ordered(*value), [_ordered(*slope) for slope in slopes]
