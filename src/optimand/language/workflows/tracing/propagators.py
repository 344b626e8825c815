"""Propagators: what a backward pass sends along the edges of a trace.

The default sends subgraphs, and has a linear-time way of its own (``graph.backward``). Another propagator says how a
node's messages, one or more from each of its children, become messages to its inputs; with derivatives as messages that
is back-propagation. Messages are made for inputs by the operator's argument names, so a node that uses one parent twice
sends it two.

Reference: arXiv 2406.16218, Algorithms 1 and 2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .base import MessageNode, Node
from .graph import TraceGraph

Rule = Callable[[MessageNode, Any], Mapping[str, Any]]


class Propagator:
    """Sends messages of any kind; a subclass says how they start, add up and pass a node.

    Example:
        >>> from optimand.language.workflows.tracing.nodes import node
        >>> class Derivatives(SumPropagator):
        ...     pass
        >>> derivatives = Derivatives()
        >>> derivatives.register(
        ...     "multiply", lambda made, d: {"x": d * made.inputs["y"].data, "y": d * made.inputs["x"].data}
        ... )
        >>> x = node(3.0, trainable=True)
        >>> (x * x * x).backward(1.0, propagator=derivatives)
        >>> sum(x.messages())
        27.0
    """

    sends_graphs = False

    def __init__(self) -> None:
        self.overrides: dict[str, Rule] = {}

    def register(self, operator: str, rule: Rule) -> None:
        """Pass nodes of this operator by a rule of their own: ``rule(node, message) -> {input name: message}``."""
        if not callable(rule):
            raise TypeError(f"rule must be a function of a node and a message, got {rule!r:.60}")
        self.overrides[operator] = rule

    def init_feedback(self, target: Node, feedback: Any) -> Any:
        """The first message, to the target itself."""
        return feedback

    def aggregate(self, messages: Sequence[Any]) -> Any:
        """One message from those of all children, at least one, those of earlier children last."""
        raise NotImplementedError

    def propagate(self, child: MessageNode, message: Any) -> Mapping[str, Any]:
        """Messages to a node's inputs by argument name; inputs that are left out get none."""
        raise NotImplementedError

    def sweep(self, target: Node, feedback: Any, order: Sequence[Node]) -> dict[int, dict[Node, list[Any]]]:
        """Send messages from the target back to the roots.

        Args:
            target: where feedback is.
            feedback: the feedback.
            order: the target and its ancestors, each before its inputs.

        Returns:
            For each root, by id, its messages by child.
        """
        waiting: dict[int, dict[Node, list[Any]]] = {id(target): {target: [self.init_feedback(target, feedback)]}}
        for item in order:
            if not isinstance(item, MessageNode) or not item._inputs or id(item) not in waiting:
                continue
            message = self.aggregate([one for given in waiting.pop(id(item)).values() for one in given])
            rule = self.overrides.get(item.operator.name, self.propagate)
            sent = rule(item, message)
            unknown = [key for key in sent if key not in item._inputs]
            if unknown:
                raise ValueError(
                    f"the rule for {item.operator.name!r} sent a message to {unknown[0]!r}; the inputs are "
                    + ", ".join(map(repr, item._inputs))
                )
            for key, one in sent.items():
                waiting.setdefault(id(item._inputs[key]), {}).setdefault(item, []).append(one)
            self._send_hidden(item, message, waiting)
        return waiting

    def _send_hidden(self, item: MessageNode, message: Any, waiting: dict[int, dict[Node, list[Any]]]) -> None:
        """Parameters inside a function's own graph get nothing, unless a subclass knows what."""


class SumPropagator(Propagator):
    """Adds the messages of a node's children and passes the sum to every input: numbers add up, texts join."""

    def aggregate(self, messages: Sequence[Any]) -> Any:
        total = messages[0]
        for message in messages[1:]:
            total = total + message
        return total

    def propagate(self, child: MessageNode, message: Any) -> Mapping[str, Any]:
        return dict.fromkeys(child._inputs, message)


class GraphPropagator(Propagator):
    """Sends subgraphs, edge by edge as the paper writes it, if an override is registered; else in linear time."""

    @property
    def sends_graphs(self) -> bool:  # type: ignore[override]
        """Whether the linear-time way gives the same."""
        return type(self) is GraphPropagator and not self.overrides

    def init_feedback(self, target: Node, feedback: Any) -> TraceGraph:
        return TraceGraph((target,), target, feedback)

    def aggregate(self, messages: Sequence[TraceGraph]) -> TraceGraph:
        return sum(messages)  # type: ignore[return-value]

    def propagate(self, child: MessageNode, message: TraceGraph) -> Mapping[str, Any]:
        graph = message + TraceGraph(child.parents)
        return dict.fromkeys(child._inputs, graph)

    def _send_hidden(self, item: MessageNode, message: Any, waiting: dict[int, dict[Node, list[Any]]]) -> None:
        graph = message + TraceGraph(item.parents)
        for parameter in item.hidden:
            waiting.setdefault(id(parameter), {}).setdefault(item, []).append(graph + TraceGraph((parameter,)))
