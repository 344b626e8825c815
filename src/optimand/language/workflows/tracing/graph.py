"""Trace graphs: what a node was computed from, and the part of it that lies behind given nodes.

The subgraph of a parameter, all ways from it to the output with their other inputs, is found in time linear in nodes
and edges. The official package copies growing lists of nodes along the edges instead, which costs quadratic time; the
sets are the same.

Reference: arXiv 2406.16218, Algorithms 1 and 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast

from optimand.core.validation import OptimandError

from .roles import Roles

if TYPE_CHECKING:
    from .base import Node
    from .parameters import ParameterNode


by_level = attrgetter("_level", "_serial")
_age = attrgetter("_serial")


class GraphError(OptimandError, AttributeError):
    """A backward pass or a sum of graphs that cannot be."""


class TraceGraph:
    """Part of a trace: nodes, the output that feedback is on, and the feedback.

    Args:
        nodes: nodes of the graph, each counted once.
        output: where the feedback is.
        feedback: anything; None where there is none.

    Attributes:
        nodes: ordered by level, within a level by creation.

    Example:
        >>> from optimand.language.workflows.tracing.nodes import node
        >>> x = node(2, name="x", trainable=True)
        >>> y = x * x + 1
        >>> y.backward("larger, please")
        >>> graph = x.received()
        >>> [item.data for item in graph], graph.feedback, graph.output is y
        ([2, 1, 4, 5], 'larger, please', True)
    """

    __slots__ = ("_ids", "_names", "feedback", "nodes", "output")

    def __init__(self, nodes: Iterable[Node] = (), output: Node | None = None, feedback: Any = None) -> None:
        by_id = {id(item): item for item in nodes}
        self.nodes: tuple[Node, ...] = tuple(sorted(by_id.values(), key=by_level))
        self.output = output
        self.feedback = feedback
        self._ids = by_id.keys()
        self._names: dict[int, str] | None = None

    @classmethod
    def _of(cls, ordered: list[Node], output: Node | None, feedback: Any) -> TraceGraph:
        graph = cls((), output, feedback)
        graph.nodes = tuple(ordered)
        graph._ids = {id(item): item for item in ordered}.keys()
        return graph

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __contains__(self, item: object) -> bool:
        return id(item) in self._ids

    def __repr__(self) -> str:
        return f"TraceGraph({len(self.nodes)} nodes, output={self.output!r}, feedback={self.feedback!r:.60})"

    def __add__(self, other: TraceGraph) -> TraceGraph:
        """The union, by identity of nodes; its output is the later of the two.

        Raises:
            GraphError: both have feedback, and it differs.
        """
        if not isinstance(other, TraceGraph):
            return NotImplemented
        feedback = self.feedback if other.feedback is None else other.feedback
        if self.feedback is not None and other.feedback is not None and not _same(self.feedback, other.feedback):
            raise GraphError(
                f"graphs with different feedback cannot be added: {self.feedback!r:.80} and {other.feedback!r:.80}; "
                "call zero_feedback() between backward passes, or put the outputs into one node"
            )
        outputs = [item for item in (self.output, other.output) if item is not None]
        return TraceGraph((*self.nodes, *other.nodes), max(outputs, key=by_level, default=None), feedback)

    def __radd__(self, other: Any) -> TraceGraph:
        return self if other == 0 else NotImplemented  # for sum()

    @property
    def parameters(self) -> tuple[ParameterNode, ...]:
        """The trainable parameters in it."""
        return tuple(cast("ParameterNode", item) for item in self.nodes if item.trainable)

    def children(self, of: Node) -> tuple[Node, ...]:
        """The nodes of the graph that have this one among their inputs."""
        return tuple(item for item in self.nodes if any(parent is of for parent in item._inputs.values()))

    def name(self, of: Node) -> str:
        """The node's name, unique in this graph: parameters keep theirs, others that clash get an ending."""
        if self._names is None:
            names: dict[int, str] = {}
            taken: set[str] = set()
            for item in sorted(self.nodes, key=lambda item: item._role != "parameter"):
                name, tries = item.py_name, 1
                while name in taken:
                    tries += 1
                    name = f"{item.py_name}_{tries}"
                taken.add(name)
                names[id(item)] = name
            self._names = names
        return self._names.get(id(of)) or of.py_name

    def subgraph(self, parameters: Iterable[Node]) -> TraceGraph:
        """The ways from these nodes to the output, and the parents of the nodes on them."""
        starts = list(parameters)
        return TraceGraph._of(between(self.nodes, starts), self.output, self.feedback)

    def inner(self, of: Node) -> TraceGraph | None:
        """The graph inside a call of a function with traceable code; None if there is none."""
        output = of._get_extra("inner")
        return None if output is None else trace_of(output)

    def roles(self) -> Roles:
        """What each node is in the program that the graph stands for: see :class:`roles.Roles`."""
        return Roles(self)

    def _repr_svg_(self) -> str:
        from .drawing import to_svg

        return to_svg(self)

    def _repr_html_(self) -> str:
        from .drawing import to_html

        return to_html(self, page=False)


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    try:
        return bool(type(a) is type(b) and a == b)
    except Exception:  # values whose comparison has no truth, such as arrays
        return False


def ancestors(target: Node) -> list[Node]:
    """The node, all that it was computed from, and the hidden parameters of these; in no order."""
    seen = {id(target)}
    stack = [target]
    found = []
    while stack:
        item = stack.pop()
        found.append(item)
        for parent in item._inputs.values():
            if id(parent) not in seen:
                seen.add(id(parent))
                stack.append(parent)
        if item._extra is not None:
            for parent in item.hidden:
                if id(parent) not in seen:
                    seen.add(id(parent))
                    stack.append(parent)
    return found


def between(nodes: Iterable[Node], starts: list[Node]) -> list[Node]:
    """Of nodes closed under ancestors: the starts, their descendants, and the parents of these, ordered."""
    given = {id(item): item for item in nodes}
    kept = {id(item): item for item in starts if id(item) in given}
    reached = set(kept)
    # Inputs exist before what is computed from them, so creation order is a topological one.
    for item in sorted(given.values(), key=_age):
        key = id(item)
        inputs = item._inputs.values()
        if key not in reached:
            for parent in inputs:
                if id(parent) in reached:
                    break
            else:
                if item._extra is None or not any(id(parent) in reached for parent in item.hidden):
                    continue
            reached.add(key)
            kept[key] = item
        for parent in inputs:
            if id(parent) in given:
                kept[id(parent)] = parent
    return sorted(kept.values(), key=by_level)


def trace_of(target: Node, feedback: Any = None) -> TraceGraph:
    """All that a node was computed from, as a graph."""
    return TraceGraph(ancestors(target), target, feedback)
