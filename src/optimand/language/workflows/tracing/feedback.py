"""Backward passes, and what nodes receive in them.

One reverse sweep from the output marks its ancestors, in time and memory linear in nodes and edges; the subgraph of a
parameter is computed when it is asked for. Messages of other kinds, such as derivatives, are sent by a
:class:`Propagator` of ``propagators``.

Parameters hold the passes that reached them until ``zero_feedback``. Other roots point to them weakly, since constants
are never asked to forget: a strong reference would keep their graph in a cycle that only the garbage collector frees.

Reference: arXiv 2406.16218, Algorithms 1 and 2.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from .graph import GraphError, TraceGraph, ancestors, between, by_level

if TYPE_CHECKING:
    from .base import Node
    from .parameters import ParameterNode


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
            found = between(self._nodes, starts)
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


class Receiver:
    """The part of a node that feedback comes to."""

    __slots__ = ()

    _role: ClassVar[str] = "value"  # ``parameter`` or ``exception`` of those
    _extra: dict[str, Any] | None

    @property
    def feedback(self) -> dict[Node, list[Any]]:
        """What each child has sent back, by child; message nodes pass all of theirs on and have none.

        Of a root that is no parameter it lasts as long as a parameter, or the caller, holds the same backward pass.
        """
        found: dict[Node, list[Any]] = {}
        for sweep in self._live_sweeps():
            for child, messages in sweep.feedback_of(self).items():  # type: ignore[arg-type]
                found.setdefault(child, []).extend(messages)
        return found

    def zero_feedback(self) -> None:
        """Forget all feedback."""
        if self._extra is not None:
            self._extra.pop("sweeps", None)

    def backward(self, feedback: Any = "", *, propagator: Any = None, retain_graph: bool = False) -> None:
        """Send feedback to all that the value was computed from; see :func:`backward`."""
        backward(self, feedback, propagator=propagator, retain_graph=retain_graph)  # type: ignore[arg-type]

    def _live_sweeps(self) -> list[Sweep]:
        found = [item() if isinstance(item, weakref.ref) else item for item in (self._extra or {}).get("sweeps", ())]
        return [sweep for sweep in found if sweep is not None]

    def _keep_sweep(self, sweep: Sweep, strong: bool) -> None:
        if self._extra is None:
            self._extra = {}  # type: ignore[misc]
        kept = self._extra.setdefault("sweeps", [])
        if not strong:  # passes that are over leave nothing behind at an input that many runs share
            kept[:] = [item for item in kept if not isinstance(item, weakref.ref) or item() is not None]
        kept.append(sweep if strong else weakref.ref(sweep))


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
    if not isinstance(target, Receiver):
        raise TypeError(f"target must be a node, got {target!r:.60} ({type(target).__name__})")
    found = ancestors(target)
    for item in found:
        if item._spent:
            raise GraphError(
                f"a backward pass went over {item!r} before: give it retain_graph=True, or compute the output again"
            )
    sweep = Sweep(target, feedback, found)
    if propagator is not None and not getattr(propagator, "sends_graphs", False):
        sweep.messages = propagator.sweep(target, feedback, sorted(found, key=by_level, reverse=True))
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
