"""Nodes of workflows: :func:`node` makes them, the classes are in ``base`` and ``parameters``.

A workflow is ordinary Python on nodes; every operation makes a node that knows its inputs and its operator.

Reference: arXiv 2406.16218, Section 2.
"""

from __future__ import annotations

from typing import Any

from .base import ExceptionNode, ExecutionError, MessageNode, Node, wrap
from .operators import IDENTITY
from .packing import nodes_in, unwrap
from .parameters import CodeParameter, ParameterNode
from .tape import STATE, Tape, identifier, stop_tracing


def node(
    value: Any,
    *,
    name: str | None = None,
    trainable: bool = False,
    description: str | None = None,
    **about: Any,
) -> Node:
    """A value as a node.

    Args:
        value: anything; a node comes back as it is, unless it is to be trainable or gets another name.
        name: what it is called.
        trainable: make a :class:`ParameterNode`.
        description: what it is for.
        about: for parameters: ``constraint, minimum, maximum, choices, max_length, schema, kind``.

    Returns:
        A node; of a container that holds nodes one that depends on them.

    Example:
        >>> x = node(2, name="x", trainable=True, minimum=0, maximum=9)
        >>> x.trainable, (x + 1).data, node([x, 1]).data
        (True, 3, [2, 1])
    """
    if trainable:
        return ParameterNode(value, name=name, description=description, **about)
    if about:
        raise TypeError(f"{next(iter(about))!r} is for trainable nodes; give trainable=True")
    if isinstance(value, Node):
        if name is None and description is None:
            return value
        found: Node = Node._run(IDENTITY, {"x": value})
        if name is not None:
            found._base = identifier(name)
            found._index = STATE.get().tape.index(found._base)
    else:
        found = wrap(value, name)
    if description is not None:
        found._describe(description)
    return found


__all__ = [
    "CodeParameter",
    "ExceptionNode",
    "ExecutionError",
    "MessageNode",
    "Node",
    "ParameterNode",
    "Tape",
    "node",
    "nodes_in",
    "stop_tracing",
    "unwrap",
    "wrap",
]
