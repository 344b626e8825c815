"""Formulas in text to SymPy expressions, without running them: SymPy's own parser would evaluate any Python code."""

from __future__ import annotations

import ast
import re
from typing import Any

FUNCTIONS = {
    **dict.fromkeys(("acos", "asin", "atan", "cos", "cosh", "exp", "log", "sin", "sinh", "sqrt", "tan", "tanh"), 1),
    "atan2": 2,
}  # and how many arguments they take
CONSTANTS = ("pi",)
MAX_EXPONENT = 1000  # a tower of powers of numbers would be computed digit by digit
_OPERATORS: dict[type, str] = {
    ast.Add: "__add__", ast.Sub: "__sub__", ast.Mult: "__mul__", ast.Div: "__truediv__", ast.Pow: "__pow__",
    ast.UAdd: "__pos__", ast.USub: "__neg__",
}  # fmt: skip


def parse(text: str, variables: int) -> Any:
    """The SymPy expression of a formula.

    Args:
        text: numbers, ``x1`` to ``x<variables>``, ``pi``, the operators ``+ - * / **``, parentheses and the functions
            acos, asin, atan, atan2, cos, cosh, exp, log, sin, sinh, sqrt, tan, tanh.
        variables: how many unknowns there are.

    Raises:
        TypeError: ``text`` is no string.
        ValueError: it holds anything else, or is no formula.

    Example:
        >>> parse("2*x1 + sqrt(x2)", 2)
        2*x1 + sqrt(x2)
        >>> parse("__import__('os')", 2)
        Traceback (most recent call last):
        ValueError: formula "__import__('os')": '__import__' is no function it may use; ...
    """
    if not isinstance(text, str):
        raise TypeError(f"a formula must be a string, got {text!r} ({type(text).__name__})")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        return _convert(tree, variables)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"formula {text!r} cannot be read: {error}") from error
    except ValueError as error:
        raise ValueError(f"formula {text!r}: {error}") from error


def _convert(node: ast.AST, variables: int) -> Any:
    import sympy  # type: ignore[import-untyped]

    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return sympy.sympify(value)
        case ast.Name(id=name):
            if name in CONSTANTS:
                return getattr(sympy, name)
            index = re.fullmatch(r"x([1-9]\d*)", name)
            if index is None or int(index[1]) > variables:
                raise ValueError(f"{name!r} is no unknown: they are x1 to x{variables}")
            return sympy.Symbol(name)
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
            return getattr(_convert(operand, variables), _OPERATORS[type(op)])()
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            first, second = _convert(left, variables), _convert(right, variables)
            if isinstance(op, ast.Pow) and second.is_number and abs(second) > MAX_EXPONENT:
                raise ValueError(f"an exponent must be at most {MAX_EXPONENT}, got {second}")
            return getattr(first, _OPERATORS[type(op)])(second)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if FUNCTIONS.get(name) == len(arguments):
            return getattr(sympy, name)(*(_convert(argument, variables) for argument in arguments))
        case ast.Call(func=ast.Name(id=name)) if name in FUNCTIONS:
            raise ValueError(f"{name} takes {FUNCTIONS[name]} arguments, got {ast.unparse(node)}")
        case ast.Call(func=ast.Name(id=name)):
            raise ValueError(f"{name!r} is no function it may use; there are {', '.join(FUNCTIONS)}")
        case _:
            raise ValueError(f"{ast.unparse(node)!r} is no part of a formula")
