"""Arithmetic in words a person or a model writes: parsed into a small tree, never run as code.

Formal lines of optimization problems (arXiv 2407.09887) and replies of language models hold expressions such as
``5*x + 4*y <= 1,000``. The grammar has numbers, names, ``+ - * / ** ^``, brackets, a few functions and relations; it
forgives what writers do (``2x``, ``1,000``, ``$5``, ``30%``, ``x_{1}``, ``x[1]``, the signs for "at most" and
"times"). Anything else is an error that says where: text of a model is data, so ``eval`` has no place here.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from optimand.core.validation import suggest

from .parsing import parse, parse_relations
from .syntax import (
    FUNCTIONS,
    Binary,
    Call,
    ExpressionError,
    Name,
    Negative,
    Node,
    Number,
    Op,
    Relation,
    number_text,
    to_text,
    walk,
)

__all__ = [
    "FUNCTIONS", "Binary", "Call", "ExpressionError", "Name", "Negative", "Node", "Number", "Op", "Relation",
    "evaluate", "names", "number_text", "numbers", "parse", "parse_relations", "to_text", "walk",
]  # fmt: skip

_PLAIN: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "**": operator.pow,
}  # fmt: skip


def evaluate(expression: Node | str, values: Mapping[str, Any]) -> Any:
    """The value of an expression.

    Args:
        expression: parsed, or its text.
        values: a number for each name, or arrays of one shape, for which the result is an array (with NaN or infinity
            where a number would raise).

    Raises:
        ExpressionError: a name without a value; for numbers, a division by zero or a function outside its domain.

    Example:
        >>> evaluate("x / (x + y)", {"x": 1, "y": 3})
        0.25
    """
    node = parse(expression) if isinstance(expression, str) else expression
    arrays = any(hasattr(value, "shape") and value.shape for value in values.values())
    if arrays:
        import numpy as np

        with np.errstate(all="ignore"):
            return _evaluate(node, values, np)
    try:
        found = _evaluate(node, values, math)
    except (ZeroDivisionError, ValueError, OverflowError) as error:
        if isinstance(error, ExpressionError):
            raise
        raise ExpressionError(f"{to_text(node)!r:.120} has no value there: {error}") from None
    if isinstance(found, complex):
        raise ExpressionError(f"{to_text(node)!r:.120} has no real value there")
    return found


def _evaluate(node: Node, values: Mapping[str, Any], functions: Any) -> Any:
    if isinstance(node, Number):
        return node.value
    if isinstance(node, Name):
        if node.name not in values:
            raise ExpressionError(f"no value for {node.name!r}{suggest(node.name, values)}")
        return values[node.name]
    if isinstance(node, Negative):
        return -_evaluate(node.of, values, functions)
    if isinstance(node, Binary):
        left, right = _evaluate(node.left, values, functions), _evaluate(node.right, values, functions)
        return _PLAIN[node.op](left, right)
    args = [_evaluate(arg, values, functions) for arg in node.args]
    if node.function == "abs":
        return abs(args[0])
    if node.function in ("min", "max"):
        if functions is math:
            return min(args) if node.function == "min" else max(args)
        return (functions.minimum if node.function == "min" else functions.maximum).reduce(
            functions.broadcast_arrays(*args)
        )
    return getattr(functions, node.function)(args[0])


def names(expression: Node | str) -> tuple[str, ...]:
    """The names in an expression, each once, in the order of writing."""
    node = parse(expression) if isinstance(expression, str) else expression
    return tuple(dict.fromkeys(part.name for part in walk(node) if isinstance(part, Name)))


def numbers(expression: Node | str) -> tuple[float, ...]:
    """The constants in an expression, in the order of writing.

    Example:
        >>> numbers("5*x + 30% * 1,000")
        (5.0, 0.3, 1000.0)
    """
    node = parse(expression) if isinstance(expression, str) else expression
    return tuple(part.value for part in walk(node) if isinstance(part, Number))
