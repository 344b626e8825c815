"""A recorded graph as a small program in nine sections, which a language model can read.

Trace (arXiv 2406.16218, Section 4 and its appendix) shows an optimizer the minimal subgraph as pseudo code, with
the values that its nodes had. Here every line inside a section is indented, and texts are written as JSON strings,
so that no value, feedback or source can look like the beginning of another section; long values are cut, and the
cut says how much is missing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optimand.language.llm.secrets import redact

from .code_values import signature_text
from .kinds import kind_of, plain
from .values import is_code, limits_of, name_of

if TYPE_CHECKING:
    from ..tracing.graph import TraceGraph

SECTIONS = (
    "Instruction",
    "Code",
    "Documentation",
    "Variables",
    "Constraints",
    "Inputs",
    "Others",
    "Outputs",
    "Feedback",
)
_INDENT = "    "
_LINE_ENDS = re.compile("[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_OPERATOR = re.compile(r"\s*\[([^\]]*)\]\s*(.*)", re.DOTALL)


@dataclass(frozen=True)
class Limits:
    """How many characters of texts a prompt shows.

    Attributes:
        value: of inputs, intermediate values and outputs.
        variable: of the values of trainable parameters, code among them.
        feedback: of the feedback.
        named: of single nodes, by name; goes before the others.
        lines: entries of one of the sections Code, Inputs, Others; of more, the first and the last are shown.
    """

    value: int = 1000
    variable: int = 6000
    feedback: int = 6000
    named: Mapping[str, int] | None = None
    lines: int = 400

    def of(self, node: Any, *, variable: bool) -> int:
        """The limit of a node's value."""
        return (self.named or {}).get(name_of(node), self.variable if variable else self.value)


def shortened(text: str, limit: int) -> str:
    """The text, or its beginning with a note that says what is missing.

    Example:
        >>> shortened("abcdefgh", 5)
        'abcde … [cut: 5 of 8 characters]'
    """
    return text if len(text) <= limit else f"{text[:limit]} … [cut: {limit} of {len(text)} characters]"


def value_text(value: Any) -> str:
    """A value on one line: as JSON where it has that form, else its ``repr``.

    Example:
        >>> print(value_text("a\\n# Feedback"), value_text((1, True)))
        "a\\n# Feedback" [1, true]
    """
    kind = kind_of(value)
    if value is None or kind in ("bool", "int", "float", "str", "list", "tuple", "dict", "array"):
        text = json.dumps(plain(value), ensure_ascii=False)
    else:
        text = _ADDRESS.sub("", repr(value))  # an address would make the prompt of the same run differ
    return _one_line(text)


def _one_line(text: str) -> str:
    """Line ends of every kind become escapes."""
    return _LINE_ENDS.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def indented(text: str, by: str = _INDENT) -> str:
    """Every line of a text moved to the right; line ends of every kind count.

    Example:
        >>> indented("a\\r#b")
        '    a\\n    #b'
    """
    return "\n".join(by + line for line in text.splitlines())


def operator_of(description: str) -> tuple[str, str]:
    """The name and the text of a description ``[name] text``."""
    found = _OPERATOR.match(description)
    return (found.group(1), found.group(2)) if found else ("", description)


def value_line(node: Any, limits: Limits, *, variable: bool = False, name: str | None = None) -> str:
    """``(type) name = value``; source code follows on lines of its own."""
    limit = limits.of(node, variable=variable)
    name = name_of(node) if name is None else name
    if is_code(node):
        return f"(code) {name}:\n{indented(shortened(redact(node.data), limit))}"
    return f"({_type_name(node)}) {name} = {shortened(value_text(_redacted(node.data)), limit)}"


def _redacted(value: Any) -> Any:
    """Texts in a value without secrets, before they are escaped: an escape must not hide one."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list | tuple):
        return [_redacted(item) for item in value]
    if isinstance(value, dict):
        return {redact(key) if isinstance(key, str) else key: _redacted(item) for key, item in value.items()}
    if value is None or isinstance(value, bool | int | float) or kind_of(value) != "any":
        return value
    return _Written(redact(repr(value)))


class _Written:
    """A ``repr`` without secrets in place of the value."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _type_name(node: Any) -> str:
    from ..tracing.base import ExceptionNode

    return "exception" if isinstance(node, ExceptionNode) else type(node.data).__name__


@dataclass(frozen=True)
class GraphReport:
    """The sections of a graph, as lists of lines; :meth:`render` makes a prompt of them.

    Attributes:
        variables: the trainable parameters in the graph, with parameters that act inside a function.
        lines: entries of each section, by its title.
    """

    variables: tuple[Any, ...]
    lines: Mapping[str, tuple[str, ...]]

    def render(self, mask: Collection[str] = ()) -> str:
        """All sections in their order; those in ``mask`` keep their title and lose their content."""
        parts = []
        for title in SECTIONS:
            lines = () if title in mask else self.lines[title]
            parts.append("\n".join([f"#{title}", *(indented(line) for line in lines)]))
        return "\n\n".join(parts)


def variables_in(graph: TraceGraph, parameters: Sequence[Any]) -> tuple[Any, ...]:
    """The parameters on which the output depends, in the graph's order, those that act inside functions included."""
    owned = {id(parameter) for parameter in parameters}
    return tuple(node for node in graph.nodes if id(node) in owned)


def report_of(
    graph: TraceGraph, parameters: Sequence[Any], *, objective: str, limits: Limits, refused: Iterable[str] = ()
) -> GraphReport:
    """Sort the nodes of a graph into sections.

    A trainable parameter of the optimizer is a variable. Another root, and a node some of whose inputs lie outside
    the graph, is an input. What is left is computed by a line of code; the last of these is the output, the rest
    are others.

    Args:
        graph: the sum of the graphs that the parameters received.
        parameters: the optimizer's trainable ones.
        objective: the text of the instruction.
        limits: of lengths.
        refused: why values of the last proposal were turned down; told with the feedback.
    """
    roles = graph.roles()
    variables = variables_in(graph, parameters)
    owned = {id(parameter) for parameter in variables}
    fixed = [node for node in roles.variables if id(node) not in owned and node is not graph.output]
    told = {label: operator_of(text)[1].strip() for label, text in roles.documentation.items()}

    def line(node: Any) -> str:
        return value_line(node, limits, name=graph.name(node))

    lines = {
        "Instruction": (redact(objective),),
        "Code": _ends(roles.code, limits.lines, str),
        "Documentation": tuple(f"[{label}] {shortened(redact(text), limits.value)}" for label, text in told.items()),
        "Variables": tuple(value_line(node, limits, variable=True) for node in variables),
        "Constraints": tuple(filter(None, map(constraint_of, variables))),
        "Inputs": _ends([*fixed, *roles.inputs], limits.lines, line),
        "Others": _ends(roles.others, limits.lines, line),
        "Outputs": tuple(map(line, roles.outputs)),
        "Feedback": (shortened(redact(feedback_text(graph.feedback)), limits.feedback), *map(redact, refused)),
    }
    return GraphReport(variables, lines)


def _ends(items: Sequence[Any], limit: int, write: Callable[[Any], str]) -> tuple[str, ...]:
    """A line for each item; of more than the limit, the first and the last, with a note between them."""
    if len(items) <= limit:
        return tuple(map(write, items))
    last = limit // 2
    note = f"… [cut: {limit} of {len(items)} lines]"
    return (*map(write, items[: limit - last]), note, *map(write, items[len(items) - last :]))


def feedback_text(feedback: Any) -> str:
    """Feedback as a text; what is no text as a value on one line."""
    return feedback if isinstance(feedback, str) else value_text(feedback)


def constraint_of(parameter: Any) -> str:
    """What a parameter's values must satisfy, in a line; empty if nothing is said."""
    parts = []
    low, high = limits_of(parameter)
    if low is not None or high is not None:
        parts.append(
            f"at least {low}" if high is None else f"at most {high}" if low is None else f"from {low} to {high}"
        )
    choices = getattr(parameter, "choices", None)
    if choices is not None:
        parts.append("one of " + ", ".join(value_text(choice) for choice in choices))
    longest = getattr(parameter, "max_length", None)
    if longest is not None:
        parts.append(f"at most {longest} characters")
    own = getattr(parameter, "constraint", None)
    if is_code(parameter) and not own:
        signature = signature_text(parameter.data)
        if signature is not None:
            parts.append(f"keep the name and the arguments of {signature}")
    if own:
        parts.append(f"\n{_INDENT}".join(redact(str(own)).splitlines()))
    kind = "code" if is_code(parameter) else type(parameter.data).__name__
    return f"({kind}) {name_of(parameter)}: {'; '.join(parts)}" if parts else ""
