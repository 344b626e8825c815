"""Replays: a recorded graph computed again for other values, without running the workflow.

Only what lies downstream of a changed value is computed again; all else keeps its recorded value, so what was drawn at
random elsewhere stays as it was. Branches that the workflow took are those of the recording.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from optimand.core.validation import OptimandError

from .base import MessageNode, Node
from .graph import ancestors

if TYPE_CHECKING:
    from .graph import TraceGraph


class ReplayError(OptimandError):
    """A node of the graph cannot be computed again."""


def replay(graph: TraceGraph, values: Mapping[Node, Any]) -> Any:
    """The graph's output for other values of some of its nodes.

    Args:
        graph: a recorded graph, with its output.
        values: new values of nodes, by node; of roots or of intermediate ones.

    Returns:
        The value that the output would have had.

    Raises:
        ReplayError: the graph has no output, or a node to be computed was made by hand, without a function, or by a
            function that reads one of the changed nodes without having it as an input.
        Exception: what a function raises for these values.

    Example:
        >>> from optimand.language.workflows.tracing.nodes import node
        >>> from optimand.language.workflows.tracing.graph import trace_of
        >>> x = node(2, trainable=True)
        >>> replay(trace_of(x * x + 1), {x: 5}), x.data
        (26, 2)
    """
    if graph.output is None:
        raise ReplayError("the graph has no output to compute")
    return recompute(graph.output, graph.nodes, {id(item): value for item, value in values.items()})


def recompute(output: Node, nodes: Any, given: Mapping[int, Any]) -> Any:
    """The output's value; ``given`` holds new values by the nodes' ids."""
    fresh = dict(given)
    for item in sorted(nodes, key=lambda item: item._serial):
        if id(item) in fresh or not isinstance(item, MessageNode):
            continue
        changed = any(id(parent) in fresh for parent in item._inputs.values())
        if changed or any(id(parameter) in fresh for parameter in item.hidden):
            fresh[id(item)] = _run(item, fresh)
    return fresh.get(id(output), output._data)


def _run(item: MessageNode, fresh: Mapping[int, Any]) -> Any:
    values = {key: fresh.get(id(parent), parent._data) for key, parent in item._inputs.items()}
    inner = item._get_extra("inner")
    if inner is not None:
        copies: Mapping[str, Node] = item._get_extra("inner_inputs")
        given = {id(copies[key]): value for key, value in values.items() if key in copies}
        nodes = ancestors(inner)
        given.update({id(one): fresh[id(one)] for one in nodes if id(one) in fresh})
        if item._get_extra("code_of") is None or id(item._get_extra("code_of")) not in fresh:
            return recompute(inner, nodes, given)
    read = [parameter for parameter in item.hidden if id(parameter) in fresh]
    if read:  # the function itself would look at the present value
        raise ReplayError(
            f"{item!r} reads {read[0].py_name} besides its inputs: make it an argument to replay changes of it"
        )
    operator = item.operator
    if operator.rerun is not None:
        return operator.rerun(item, values)
    if operator.function is None:
        raise ReplayError(f"{item!r} was made by hand: no function is known that computes it")
    return operator.function(*values.values())
