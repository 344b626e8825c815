"""Trace graphs and backward passes.

One reverse sweep from the output marks its ancestors, in time and memory linear in nodes and edges; the subgraph of a
parameter, all ways from it to the output with their other inputs, is computed when it is asked for. The official
package copies growing lists of nodes along the edges instead, which costs quadratic time; the sets are the same.
Messages of other kinds, such as derivatives, are sent by a :class:`Propagator` of ``propagators``.

Reference: arXiv 2406.16218, Algorithms 1 and 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from optimand.core.validation import OptimandError

from .base import Node
from .parameters import ParameterNode

if TYPE_CHECKING:
    from .roles import Roles


_order = attrgetter("_level", "_serial")
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
        self.nodes: tuple[Node, ...] = tuple(sorted(by_id.values(), key=_order))
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
        return TraceGraph((*self.nodes, *other.nodes), max(outputs, key=_order, default=None), feedback)

    def __radd__(self, other: Any) -> TraceGraph:
        return self if other == 0 else NotImplemented  # for sum()

    @property
    def parameters(self) -> tuple[ParameterNode, ...]:
        """The trainable parameters in it."""
        return tuple(item for item in self.nodes if isinstance(item, ParameterNode) and item.trainable)

    def children(self, of: Node) -> tuple[Node, ...]:
        """The nodes of the graph that have this one among their inputs."""
        return tuple(item for item in self.nodes if any(parent is of for parent in item._inputs.values()))

    def name(self, of: Node) -> str:
        """The node's name, unique in this graph: parameters keep theirs, others that clash get an ending."""
        if self._names is None:
            names: dict[int, str] = {}
            taken: set[str] = set()
            for item in sorted(self.nodes, key=lambda item: not isinstance(item, ParameterNode)):
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
        return TraceGraph._of(_between(self.nodes, starts), self.output, self.feedback)

    def inner(self, of: Node) -> TraceGraph | None:
        """The graph inside a call of a function with traceable code; None if there is none."""
        output = of._get_extra("inner")
        return None if output is None else trace_of(output)

    def roles(self) -> Roles:
        """What each node is in the program that the graph stands for: see :class:`roles.Roles`."""
        from .roles import Roles

        return Roles(self)

    def _repr_svg_(self) -> str:
        from .drawing import to_svg

        return to_svg(self)

    def _repr_html_(self) -> str:
        from .drawing import to_html

        return to_html(self, page=False)


class Sweep:
    """A backward pass: the ancestors of its target, and the messages to roots if they are not graphs.

    Parameters hold it until ``zero_feedback``; other roots only point to it.
    """

    __slots__ = ("__weakref__", "_last", "_nodes", "feedback", "messages", "target")

    def __init__(self, target: Node, feedback: Any, nodes: list[Node]) -> None:
        self.target = target
        self.feedback = feedback
        self._nodes = nodes
        self._last: tuple[tuple[int, ...], TraceGraph] | None = None
        self.messages: dict[int, dict[Node, list[Any]]] | None = None

    def graph(self) -> TraceGraph:
        """All ancestors of the target."""
        return TraceGraph(self._nodes, self.target, self.feedback)

    def subgraph(self, starts: Iterable[Node]) -> TraceGraph:
        """What lies between these nodes and the target."""
        starts = list(starts)
        key = tuple(id(item) for item in starts)
        if self._last is None or self._last[0] != key:
            found = _between(self._nodes, starts)
            self._last = key, TraceGraph._of(found, self.target, self.feedback)
        return self._last[1]

    def feedback_of(self, item: Node) -> dict[Node, list[Any]]:
        """What the children of a node sent to it."""
        if self.messages is not None:
            return self.messages.get(id(item), {})
        if item is self.target:
            return {}
        children = [
            child
            for child in self._nodes
            if any(parent is item for parent in child._inputs.values()) or any(p is item for p in child.hidden)
        ]
        return {child: [self.subgraph((child,))] for child in children}


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


def _between(nodes: Iterable[Node], starts: list[Node]) -> list[Node]:
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
    return sorted(kept.values(), key=_order)


def trace_of(target: Node, feedback: Any = None) -> TraceGraph:
    """All that a node was computed from, as a graph."""
    return TraceGraph(ancestors(target), target, feedback)


def backward(target: Node, feedback: Any = "", *, propagator: Any = None, retain_graph: bool = False) -> None:
    """Send feedback on a node to all roots that it depends on.

    Args:
        target: a node; its value may be anything.
        feedback: a text, a score, a derivative: what the propagator carries.
        propagator: how messages are made; None for subgraphs (see :meth:`ParameterNode.received`).
        retain_graph: allow another pass over these nodes.

    Raises:
        TypeError: the target is not a node.
        GraphError: an earlier pass went over one of the nodes and did not retain the graph.

    Reference: arXiv 2406.16218, Algorithm 1; here in O(nodes + edges).
    """
    if not isinstance(target, Node):
        raise TypeError(f"target must be a node, got {target!r:.60} ({type(target).__name__})")
    found = ancestors(target)
    for item in found:
        if item._spent:
            raise GraphError(
                f"a backward pass went over {item!r} before: give it retain_graph=True, or compute the output again"
            )
    sweep = Sweep(target, feedback, found)
    if propagator is not None and not getattr(propagator, "sends_graphs", False):
        sweep.messages = propagator.sweep(target, feedback, sorted(found, key=_order, reverse=True))
    kept = False
    for item in found:
        if not item._inputs:
            strong = item.trainable
            kept = kept or strong
            item._keep_sweep(sweep, strong)
        elif not retain_graph:
            item._spent = True
    if not kept:  # nothing else would hold the pass
        target._keep_sweep(sweep, True)


def received(parameters: Iterable[ParameterNode]) -> TraceGraph | None:
    """The union of the subgraphs that parameters have received, in one sweep per backward pass; None without any.

    Raises:
        GraphError: passes brought different feedback.
    """
    by_sweep: dict[int, tuple[Sweep, list[Node]]] = {}
    for parameter in parameters:
        for sweep in parameter._live_sweeps():
            if sweep.messages is None:
                by_sweep.setdefault(id(sweep), (sweep, []))[1].append(parameter)
    total: TraceGraph | None = None
    for sweep, starts in by_sweep.values():
        graph = sweep.subgraph(starts)
        total = graph if total is None else total + graph
    return total


def zero_feedback(parameters: Iterable[Node]) -> None:
    """Forget the feedback of these nodes."""
    for item in parameters:
        item.zero_feedback()


def replay(graph: TraceGraph, values: Mapping[Node, Any]) -> Any:
    """The graph's output for other values of some of its nodes; see :func:`replaying.replay`."""
    from .replaying import replay as run

    return run(graph, values)


def __getattr__(name: str) -> Any:
    # The propagators need this module, and are asked for here.
    if name in ("Propagator", "GraphPropagator", "SumPropagator"):
        from . import propagators

        return getattr(propagators, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
