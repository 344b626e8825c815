"""What expressions are made of: the nodes of the tree, the functions there are, the error for what is none."""

from __future__ import annotations

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
        from .expressions import to_text

        op = self.op[0] if self.strict else self.op
        return f"{to_text(self.left)} {op} {to_text(self.right)}"
