"""Reading expressions: a tokenizer and recursive descent, with the limits that keep every later recursion shallow."""

from __future__ import annotations

import math
import re

from optimand.core.validation import suggest

from .syntax import FUNCTIONS, Binary, Call, ExpressionError, Name, Negative, Node, Number, Relation

LONGEST = 20_000
DEEPEST = 80
LONGEST_CHAIN = 64

_SIGNS = {
    "≤": "<=", "⩽": "<=", "≥": ">=", "⩾": ">=", "×": "*", "·": "*", "⋅": "*", "∗": "*", "÷": "/", "−": "-", "–": "-",
    "²": "**2", "³": "**3", "\\leq": "<=", "\\geq": ">=", "\\le": "<=", "\\ge": ">=", "\\cdot": "*", "\\times": "*",
    "\\left": "", "\\right": "", "\\,": "", "\\%": "%", "\\$": "", "$": "", "€": "", "£": "",
}  # fmt: skip
_SIGN = re.compile("|".join(re.escape(sign) for sign in sorted(_SIGNS, key=len, reverse=True)))
_SUBSCRIPT = re.compile(r"(?<=\w)(?:_\{([\w,\s]+)\}|\[([\w,\s'\"]+)\])")
_NUMBER = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+(?![\d,])(?:\.\d+)?")
_ARGUMENTS = re.compile(r"\d{1,3}(?:,\d{3})+(?!\d)")
_WORD = re.compile(r"[^\W\d]\w*")
_MARK = re.compile(r"\*\*|<=|>=|==|=<|=>|!=|[-+*/^()<>=,%]")
_RELATIONS = {"<=": "<=", "=<": "<=", "<": "<=", ">=": ">=", "=>": ">=", ">": ">=", "==": "==", "=": "=="}


def _subscripted(match: re.Match[str]) -> str:
    inside = match.group(1) or match.group(2)
    return "_" + "_".join(re.findall(r"\w+", inside))


def _tokens(text: str) -> list[tuple[str, str]]:
    """Pairs of kind (``number``, ``name``, ``mark``) and text."""
    if not isinstance(text, str):
        raise TypeError(f"an expression must be a text, got {text!r:.60} ({type(text).__name__})")
    if len(text) > LONGEST:
        raise ExpressionError(f"an expression may have {LONGEST} characters, got {len(text)}")
    text = _SUBSCRIPT.sub(_subscripted, _SIGN.sub(lambda match: _SIGNS[match.group()], text))
    found: list[tuple[str, str]] = []
    calls: list[bool] = []  # for each open bracket: does it hold arguments, which commas separate?
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        grouped = _GROUPED.match(text, at)
        if any(calls) and (doubtful := _ARGUMENTS.match(text, at)):
            raise ExpressionError(
                f"{doubtful.group()!r} among a function's arguments may be one number or several: write numbers "
                f"without commas, and a space between arguments, in {text!r:.120}"
            )
        tries = (("number", grouped), ("number", _NUMBER.match(text, at)), ("name", _WORD.match(text, at)))
        kind, match = next((pair for pair in tries if pair[1]), ("mark", _MARK.match(text, at)))
        if match is None:
            raise ExpressionError(f"unexpected {text[at]!r} at character {at + 1} of {text!r:.120}")
        token = match.group()
        if token == "(":
            calls.append(bool(found) and found[-1][0] == "name")
        elif token == ")" and calls:
            calls.pop()
        found.append((kind, token))
        at = match.end()
    return found


def _joined(terms: list[tuple[str, Node]]) -> Node:
    """A sum from left to right; a long one as a balanced tree, so that no function of trees recurses deeply."""
    if len(terms) <= LONGEST_CHAIN:
        node = terms[0][1]
        for mark, term in terms[1:]:
            node = Binary(mark, node, term)
        return node
    half = len(terms) // 2
    sign = terms[half][0]
    rest = [("+" if mark == sign else "-", term) for mark, term in terms[half:]]
    return Binary(sign, _joined(terms[:half]), _joined(rest))


class _Parser:
    """Recursive descent over the tokens."""

    def __init__(self, text: str) -> None:
        self.text, self.tokens, self.at, self.depth = text, _tokens(text), 0, 0

    def fail(self, wanted: str) -> ExpressionError:
        came = repr(self.tokens[self.at][1]) if self.at < len(self.tokens) else "the end"
        return ExpressionError(f"expected {wanted} but found {came} in {self.text!r:.120}")

    def peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def kind(self) -> str:
        return self.tokens[self.at][0] if self.at < len(self.tokens) else ""

    def take(self, *marks: str) -> str:
        if self.kind() == "mark" and self.peek() in marks:
            self.at += 1
            return self.tokens[self.at - 1][1]
        return ""

    def sum(self) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            raise ExpressionError(f"brackets may be {DEEPEST} deep, more in {self.text!r:.120}")
        terms = [("+", self.product())]
        while mark := self.take("+", "-"):
            terms.append((mark, self.product()))
        self.depth -= 1
        return _joined(terms)

    def product(self) -> Node:
        node = self.signed()
        for _ in range(LONGEST_CHAIN):
            if mark := self.take("*", "/"):
                node = Binary(mark, node, self.signed())
            elif self._juxtaposed():
                quotient = isinstance(node, Binary) and node.op == "/" and not isinstance(node.left, Number)
                if quotient and self.tokens[self.at - 1][0] == "number":  # 1/2x is a half of x, but y/2x?
                    raise ExpressionError(f"{self.text!r:.120} can be read two ways: write y/2*x or y/(2*x)")
                node = Binary("*", node, self.power())
            else:
                return node
        raise ExpressionError(f"a product may have {LONGEST_CHAIN} factors, more in {self.text!r:.120}")

    def _juxtaposed(self) -> bool:
        """Whether a factor follows without a sign: ``2x``, ``3(x + y)``, ``(x + y) z``."""
        kind, before = self.tokens[self.at - 1]
        factor = kind == "number" or before in (")", "%")
        return factor and (self.kind() == "name" or self.peek() == "(")

    def signed(self) -> Node:
        sign = self.take("-", "+")
        if not sign:
            return self.power()
        self.depth += 1
        if self.depth > DEEPEST:
            raise ExpressionError(f"signs may be {DEEPEST} deep, more in {self.text!r:.120}")
        inner = self.signed()
        self.depth -= 1
        return Negative(inner) if sign == "-" else inner

    def power(self) -> Node:
        node = self.atom()
        if self.take("**", "^"):
            node = Binary("**", node, self.signed())
        return node

    def atom(self) -> Node:
        kind, token = self.kind(), self.peek()
        if kind == "number":
            self.at += 1
            value = float(token.replace(",", ""))
            if math.isinf(value):
                raise ExpressionError(f"the number {token!r:.40} is too large")
            if self.take("%"):
                return Number(value / 100, token + "%")
            return Number(value, token)
        if kind == "name":
            self.at += 1
            return self.call(token) if self.peek() == "(" else Name(token)
        if self.take("("):
            node = self.sum()
            if not self.take(")"):
                raise self.fail("')'")
            return node
        raise self.fail("a number, a name or '('")

    def call(self, function: str) -> Node:
        if function not in FUNCTIONS:
            near = suggest(function, FUNCTIONS)
            raise ExpressionError(f"unknown function {function!r} in {self.text!r:.120}{near}; use * to multiply")
        self.take("(")
        args = [self.sum()]
        while self.take(","):
            args.append(self.sum())
        if not self.take(")"):
            raise self.fail("')'")
        if FUNCTIONS[function] and len(args) != FUNCTIONS[function]:
            raise ExpressionError(f"{function} takes one argument, got {len(args)} in {self.text!r:.120}")
        return Call("log" if function == "ln" else function, tuple(args))


def parse(text: str) -> Node:
    """Read an expression.

    Raises:
        ExpressionError: the text is outside the grammar; says what was expected and what came.

    Example:
        >>> from optimand.language.modeling.formulations.expressions import to_text
        >>> to_text(parse("2x + 3(y - 1)^2"))
        '2 * x + 3 * (y - 1) ** 2'
    """
    parser = _Parser(text)
    node = parser.sum()
    if parser.at < len(parser.tokens):
        raise parser.fail("an operator")
    return node


def parse_relations(text: str) -> tuple[Relation, ...]:
    """Read a constraint; a chain such as ``10 <= x <= 20`` gives several relations.

    Raises:
        ExpressionError: the text holds no relation, or is outside the grammar.

    Example:
        >>> [str(found) for found in parse_relations("10 <= x + y < 1,000")]
        ['10 <= x + y', 'x + y < 1000']
    """
    parser = _Parser(text)
    left, found = parser.sum(), []
    while mark := parser.take(*_RELATIONS):
        right = parser.sum()
        found.append(Relation(left, _RELATIONS[mark], right, mark in "<>"))  # type: ignore[arg-type]
        left = right
    if parser.at < len(parser.tokens) or not found:
        raise parser.fail("a relation (<=, >= or ==)" if not found else "an operator")
    return tuple(found)
