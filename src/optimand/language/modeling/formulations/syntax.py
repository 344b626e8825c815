"""What expressions are made of: the nodes of the tree, the functions there are, the error for what is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from optimand.core.validation import OptimandError

FUNCTIONS = {"sqrt": 1, "exp": 1, "log": 1, "ln": 1, "abs": 1, "sin": 1, "cos": 1, "min": 0, "max": 0}
Op = Literal["<=", ">=", "=="]
Kind = Literal["constant", "linear", "quadratic", "polynomial", "rational", "general"]


class ExpressionError(OptimandError, ValueError):
    """Text that is no expression of the grammar, or an expression that cannot be evaluated."""


@dataclass(frozen=True)
class Number:
    """A constant; ``text`` is how it was written."""

    value: float
    text: str = ""


@dataclass(frozen=True)
class Name:
    """A variable or a parameter."""

    name: str


@dataclass(frozen=True)
class Negative:
    """The negative of an expression."""

    of: Node


@dataclass(frozen=True)
class Binary:
    """Two expressions joined by ``+ - * / **``."""

    op: str
    left: Node
    right: Node


@dataclass(frozen=True)
class Call:
    """A function of :data:`FUNCTIONS` and its arguments."""

    function: str
    args: tuple[Node, ...]


Node = Number | Name | Negative | Binary | Call


@dataclass(frozen=True)
class Relation:
    """Two expressions compared.

    Attributes:
        left, right: the sides.
        op: ``<=``, ``>=`` or ``==``.
        strict: it was written ``<`` or ``>``.
    """

    left: Node
    op: Op
    right: Node
    strict: bool = False

    def __str__(self) -> str:
        op = self.op[0] if self.strict else self.op
        return f"{to_text(self.left)} {op} {to_text(self.right)}"


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it, in the order of writing."""
    yield node
    below: tuple[Node, ...] = ()
    if isinstance(node, Negative):
        below = (node.of,)
    elif isinstance(node, Binary):
        below = (node.left, node.right)
    elif isinstance(node, Call):
        below = node.args
    for child in below:
        yield from walk(child)


def number_text(value: float) -> str:
    """A number as Python reads it back, without a needless ``.0``."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


_LEVEL = {"+": 1, "-": 1, "*": 2, "/": 2, "**": 4}


def to_text(node: Node, name: Callable[[str], str] = str, *, plain: bool = False) -> str:
    """An expression as Python text with the fewest brackets.

    Args:
        node: the expression.
        name: what to write for a name.
        plain: write only what a solver's expressions understand: ``min`` and ``max`` through ``abs``, a power with a
            variable exponent through ``exp`` and ``log``.
    """

    def write(part: Node, level: int) -> str:
        if isinstance(part, Number):
            return number_text(part.value)
        if isinstance(part, Name):
            return name(part.name)
        if isinstance(part, Negative):
            text, own = "-" + write(part.of, 3), 2
        elif isinstance(part, Call):
            if plain and part.function in ("min", "max"):
                return _as_abs(part)
            return f"{part.function}({', '.join(write(arg, 0) for arg in part.args)})"
        else:
            if plain and part.op == "**" and any(isinstance(below, Name) for below in walk(part.right)):
                return f"exp({write(part.right, 3)} * log({write(part.left, 0)}))"
            own = _LEVEL[part.op]
            left = write(part.left, own + (part.op == "**"))
            right = write(part.right, own + (part.op in "-/"))
            text = f"{left} {part.op} {right}"
        return f"({text})" if own < level else text

    def _as_abs(call: Call) -> str:
        sign = "+" if call.function == "max" else "-"
        text = write(call.args[0], 0)
        for arg in call.args[1:]:
            other = write(arg, 0)
            text = f"(({text}) + ({other}) {sign} abs(({text}) - ({other}))) / 2"
        return f"({text})"

    return write(node, 0)
