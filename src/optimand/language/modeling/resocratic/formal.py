"""Formal lines of a scenario as a formulation that can be solved without the program a model wrote.

The lines are semi-formal: JSON-like objects for variables, ``Maximize …`` for the objective, named sums, relations,
and half-sentences before or between them. A line is read where its formal part stands alone or after a colon or a
clause; lines of plain words are comments. Anything else makes the scenario unread, never guessed at: a formulation
that leaves out a constraint would call a wrong program right.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from optimand.language.modeling.formulations.expressions import (
    Binary,
    Call,
    ExpressionError,
    Name,
    Negative,
    Node,
    Number,
    Relation,
    names,
    parse,
    parse_relations,
    to_text,
)
from optimand.language.modeling.formulations.formulation import Constraint, Formulation, FormulationError, Variable

from .scenarios import Scenario, Section

_KINDS: dict[str, Literal["real", "integer", "binary"]] = {
    "integer": "integer", "int": "integer", "real": "real", "continuous": "real", "float": "real", "binary": "binary",
    "bool": "binary", "boolean": "binary",
}  # fmt: skip
_SENSE = re.compile(r"\b(maximi[sz](?:e|ing)|minimi[sz](?:e|ing)|maximum|minimum)\b\s*:?\s*", re.IGNORECASE)
_OBJECT = re.compile(r"\{[^{}]*\}")
_SIGN = re.compile(r"<|>|=|≤|≥")
_COMPUTES = re.compile(r"[<>=≤≥]|[\w)]\s*[*/^+]\s*[\w(]|\d\s*-\s*\d")
_LIMITS = re.compile(r"\b(at most|at least|no more|no less|no fewer|exceed|limited to|up to|per cent)\b", re.IGNORECASE)
_CUT = re.compile(r":\s+|\b[Ss]o,?\s+|\b[Tt]hus,?\s+|\.\s+|,\s+|\bi\.e\.,?\s+|\bis\s+")


class _Unread(Exception):  # noqa: N818 (what happened)
    """A line is neither a comment nor readable."""


@dataclass(frozen=True)
class Reading:
    """What the formal lines say.

    Attributes:
        formulation: None where they could not be read in full.
        reason: why not; empty otherwise.
        comments: lines that were taken for plain words.
    """

    formulation: Formulation | None
    reason: str = ""
    comments: tuple[str, ...] = ()


@dataclass
class _State:
    variables: dict[str, dict[str, Any]] = field(default_factory=dict)
    defined: dict[str, Node] = field(default_factory=dict)
    constraints: list[Constraint] = field(default_factory=list)
    objective: tuple[str, Node] | None = None
    comments: list[str] = field(default_factory=list)

    @property
    def known(self) -> set[str]:
        return {*self.variables, *self.defined}


def read_formal(scenario: Scenario) -> Reading:
    """Read the formal lines of a scenario.

    Args:
        scenario: at least variables and an objective.

    Returns:
        The formulation, or why there is none.

    Example:
        >>> from optimand.language.modeling.resocratic.scenarios import parse_scenario
        >>> text = '''## Define Variables:
        ... A press makes juice.
        ... // {"litres of juice": "x", "range": "0 <= x <= 80", "type": "real"}
        ... ## Define Objective Function:
        ... A litre earns 3.
        ... // Maximize 3x'''
        >>> read_formal(parse_scenario(text)).formulation.solve_linear().objective
        240.0
    """
    state = _State()
    try:
        for k, section in enumerate(scenario.sections):
            for line in section.formal:
                _read_line(line, k, section, state)
        if not state.variables:
            raise _Unread("no variable was declared")
        if state.objective is None:
            raise _Unread("no line says what to maximize or minimize")
        sense, objective = state.objective
        return Reading(
            Formulation(
                tuple(Variable(name, **given) for name, given in state.variables.items()),
                sense,  # type: ignore[arg-type]
                to_text(objective),
                tuple(state.constraints),
            ),
            comments=tuple(state.comments),
        )
    except (_Unread, FormulationError) as error:
        return Reading(None, str(error), tuple(state.comments))


def _read_line(line: str, k: int, section: Section, state: _State) -> None:
    objects = list(_OBJECT.finditer(line))
    if k == 0 and objects and ('"' in line or "'" in line):
        for found in objects:
            _declare(found.group(), state)
        rest = line[objects[-1].end() :].strip(" ,;.")
        rest = re.sub(r"^(where|with)\s+", "", rest, flags=re.IGNORECASE)
        if rest:
            _read_line(rest, k, section, state)
        return
    if k == 1 and (sense := _last(_SENSE, line)):
        _read_objective(sense.group(1), line[sense.end() :], state)
        return
    for piece in _pieces(line):
        _read_piece(piece, section, state)


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    matches = list(pattern.finditer(text))
    return matches[-1] if matches else None


def _declare(text: str, state: _State) -> None:
    """Variables of one JSON-like object: each entry but ``range`` and ``type`` is a meaning and its symbol."""
    try:
        content = json.loads(text)
    except ValueError:
        try:
            content = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise _Unread(f"the object {text!r:.80} cannot be read") from None
    if not isinstance(content, dict) or not all(isinstance(x, str) for pair in content.items() for x in pair):
        raise _Unread(f"the object {text!r:.80} must hold texts")
    kind = content.pop("type", "real").strip().lower()
    span = content.pop("range", "")
    if kind not in _KINDS:
        raise _Unread(f"the type {kind!r} is unknown")
    if not content:
        raise _Unread(f"the object {text!r:.80} names no variable")
    for meaning, symbol in content.items():
        if not symbol.isidentifier() or symbol in state.variables:
            raise _Unread(f"the symbol {symbol!r} is no identifier, or declared twice")
        # Without a range nothing bounds the variable; the demonstrations give one wherever they mean it.
        state.variables[symbol] = {"meaning": meaning, "kind": _KINDS[kind], "low": None, "high": None}
    if span.strip():
        _read_range(span, next(iter(content.values())), state)


def _read_range(span: str, symbol: str, state: _State) -> None:
    given = state.variables[symbol]
    if re.fullmatch(rf"\s*{symbol}\s*(=|in|is)\s*\{{?\(?\s*0\s*(or|,|/)\s*1\s*\)?\}}?\s*", span):
        given["kind"] = "binary"
        return
    if re.fullmatch(r"\s*(free|real|unrestricted|any)\s*", span, re.IGNORECASE):
        return
    if found := re.fullmatch(rf"\s*{symbol}\s+(?:in|between)\s+\[?\s*(\S+?)\s*(?:,|to|and)\s*(\S+?)\s*\]?\s*", span):
        span = f"{found.group(1)} <= {symbol} <= {found.group(2)}"
    for piece in _pieces(span):
        for relation in _relations(piece):
            if not _tighten(relation, state):
                state.constraints.append(Constraint(str(relation)))


def _tighten(relation: Relation, state: _State) -> bool:
    """Take a relation between a variable and a number as a bound."""
    left, right, op = relation.left, relation.right, relation.op
    if isinstance(right, Name) and not isinstance(left, Name):
        left, right, op = right, left, {"<=": ">=", ">=": "<=", "==": "=="}[op]  # type: ignore[assignment]
    value = _value(right)
    if not isinstance(left, Name) or left.name not in state.variables or value is None or op == "==":
        return False
    if relation.strict and state.variables[left.name]["kind"] != "real":
        return False
    side, choose = ("high", min) if op == "<=" else ("low", max)
    before = state.variables[left.name][side]
    state.variables[left.name][side] = value if before is None else choose(before, value)
    return True


def _value(node: Node) -> float | None:
    if isinstance(node, Number):
        return node.value
    inner = _value(node.of) if isinstance(node, Negative) else None
    return None if inner is None or math.isinf(inner) else -inner


def _pieces(line: str) -> Iterator[str]:
    """Split at semicolons, at ``and``, and at commas that stand between relations."""
    for part in re.split(r";|\band\b", line):
        if not part.strip():
            continue
        commas = re.split(r",\s+", part)
        if len(commas) > 1 and all(len(_SIGN.findall(piece)) for piece in commas if piece.strip()):
            yield from (piece.strip(" .") for piece in commas if piece.strip())
        else:
            yield part.strip(" .,")


def _candidates(piece: str) -> Iterator[str]:
    """The piece, then what follows a colon or a clause of it, from long to short."""
    yield piece
    for cut in _CUT.finditer(piece):
        before = piece[: cut.start()]
        if not _COMPUTES.search(before):
            yield piece[cut.end() :]


def _read_piece(piece: str, section: Section, state: _State) -> None:
    if not _SIGN.search(piece):
        # A sum that is compared with nothing states nothing; the demonstrations explain formulas in such lines.
        if _LIMITS.search(piece) and re.search(r"\d", piece):
            raise _Unread(f"the line {piece!r:.100} states a limit in words")
        state.comments.append(piece)
        return
    for candidate in _candidates(piece):
        found = re.match(r"\s*([A-Za-z_]\w*)\s*={1,2}(?!=)\s*(.+)$", candidate, re.DOTALL)
        if found and found.group(1) not in state.variables and not _SIGN.search(found.group(2)):
            try:
                node = _substituted(parse(found.group(2)), state.defined)
            except ExpressionError:
                continue
            if set(names(node)) <= state.known:
                if found.group(1) in state.defined:
                    raise _Unread(f"{found.group(1)!r} is defined twice")
                state.defined[found.group(1)] = node
                return
            continue
        try:
            relations = _shared(candidate, state)
        except ExpressionError:
            continue
        used = {name for relation in relations for side in (relation.left, relation.right) for name in names(side)}
        if used and used <= state.known:
            for relation in relations:
                text = f"{to_text(_substituted(relation.left, state.defined))} " + (
                    f"{relation.op[0] if relation.strict else relation.op} "
                    f"{to_text(_substituted(relation.right, state.defined))}"
                )
                state.constraints.append(Constraint(text, section.text))
            return
    raise _Unread(f"the line {piece!r:.100} cannot be read")


def _shared(text: str, state: _State) -> Sequence[Relation]:
    """Relations of a piece, where ``x, h >= 0`` is one for each name."""
    found = re.fullmatch(r"\s*((?:[A-Za-z_]\w*\s*,\s*)+[A-Za-z_]\w*)\s*(<=|>=|<|>|≤|≥)\s*(.+)", text)
    if not found:
        return _relations(text)
    listed = [name.strip() for name in found.group(1).split(",")]
    return [relation for name in listed for relation in _relations(f"{name} {found.group(2)} {found.group(3)}")]


def _relations(text: str) -> Sequence[Relation]:
    return parse_relations(text)


def _read_objective(word: str, rest: str, state: _State) -> None:
    if state.objective is not None:
        raise _Unread("two lines say what to maximize or minimize")
    rest = rest.strip(" .:")
    if found := re.match(r"([A-Za-z_]\w*)\s*=\s*(.+)$", rest):
        rest = found.group(2)
    try:
        node = _substituted(parse(rest), state.defined)
    except ExpressionError as error:
        raise _Unread(f"the objective cannot be read: {error}") from None
    if unknown := set(names(node)) - set(state.variables):
        raise _Unread(f"the objective uses {min(unknown)!r}, which is neither a variable nor defined")
    state.objective = ("maximize" if word.lower().startswith("max") else "minimize", node)


def _substituted(node: Node, defined: dict[str, Node]) -> Node:
    """The node with defined names replaced by what they stand for."""
    if isinstance(node, Name):
        return defined.get(node.name, node)
    if isinstance(node, Negative):
        return Negative(_substituted(node.of, defined))
    if isinstance(node, Binary):
        return Binary(node.op, _substituted(node.left, defined), _substituted(node.right, defined))
    if isinstance(node, Call):
        return Call(node.function, tuple(_substituted(arg, defined) for arg in node.args))
    return node
