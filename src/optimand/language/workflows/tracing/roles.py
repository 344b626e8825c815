"""A trace as a small program: which node is a variable, an input, an intermediate or the output, and its code lines.

A message node is a line of code if all its parents are in the graph; if one is missing, the node is an input of the
program, its value given. The official package calls such a node a blanket.

Reference: arXiv 2406.16218, Section 4.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base import Node
    from .graph import TraceGraph
    from .tape import Operator

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def value_summary(value: Any, limit: int = 200) -> str:
    """``repr`` of a value, cut in the middle where it is longer than ``limit`` characters; says how much is missing.

    Addresses of objects are left out, so that the same run gives the same text.

    Example:
        >>> value_summary("x" * 300, 40)
        "'xxxxxxxxxxxxxxxxxxx … 262 characters … xxxxxxxxxxxxxxxxxxx'"
    """
    text = _ADDRESS.sub("", repr(value))
    if len(text) <= limit:
        return text
    half = max(1, limit // 2)
    return f"{text[:half]} … {len(text) - 2 * half} characters … {text[-half:]}"


class Roles:
    """What each node of a graph is in the program.

    Attributes:
        variables: trainable parameters.
        inputs: other roots, and nodes whose parents are not all in the graph.
        others: intermediate nodes.
        outputs: the output.
        code: a line ``y = function(argument=name, …)`` for each node that is computed, in order.
        documentation: each function's label in the code, and its description.

    Example:
        >>> from optimand.language.workflows.tracing.nodes import node
        >>> from optimand.language.workflows.tracing.graph import trace_of
        >>> x = node(2, name="x", trainable=True)
        >>> roles = trace_of(x * x).roles()
        >>> [line.partition(" = ")[2].replace(x.py_name, "x") for line in roles.code]
        ['multiply(x=x, y=x)']
    """

    def __init__(self, graph: TraceGraph) -> None:
        self.graph = graph
        self.variables: list[Node] = []
        self.inputs: list[Node] = []
        self.others: list[Node] = []
        self.outputs: list[Node] = [] if graph.output is None else [graph.output]
        self.code: list[str] = []
        self.documentation: dict[str, str] = {}
        self._labels: dict[int, str] = {}
        self._operators: dict[tuple[str, str], str] = {}
        for item in graph.nodes:
            if item.trainable:
                self.variables.append(item)
            elif self.computed(item):
                self.code.append(self._line(item))
                if item is not graph.output:
                    self.others.append(item)
            elif item is not graph.output:
                self.inputs.append(item)

    def computed(self, item: Node) -> bool:
        """Whether a node is made by an operator from nodes that are in the graph."""
        return bool(item._inputs) and all(parent in self.graph for parent in item._inputs.values())

    def of(self, item: Node) -> str:
        """``variable``, ``input``, ``other``, ``output`` or ``exception``."""
        if item.trainable:
            return "variable"
        if item._role == "exception":
            return "exception"
        if item is self.graph.output:
            return "output"
        return "other" if self.computed(item) else "input"

    def label(self, operator: Operator) -> str:
        """The name of a function in the code; functions of one name and different descriptions get numbers."""
        key = operator.name, operator.description
        if key not in self._operators:
            label, tries = operator.name, 1
            while label in self.documentation:
                tries += 1
                label = f"{operator.name}_{tries}"
            self._operators[key] = label
            self.documentation[label] = operator.description
        return self._operators[key]

    def _line(self, item: Node) -> str:
        assert item._op is not None
        name = self.graph.name
        arguments = ", ".join(f"{key}={name(parent)}" for key, parent in item._inputs.items())
        hidden = ", ".join(name(parameter) for parameter in item.hidden)
        note = f"  # depends on {hidden}, too" if hidden else ""
        return f"{name(item)} = {self.label(item._op)}({arguments}){note}"
