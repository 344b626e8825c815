"""Lists, tuples, dicts and sets that hold nodes: as values, and as one node that depends on the nodes inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .base import MessageNode, Node, made
from .tape import STATE, Operator

CONTAINERS = (list, tuple, dict, set, frozenset)


def nodes_in(value: Any) -> list[Node]:
    """The nodes in a container, at any depth, each once, in order."""
    found: dict[int, Node] = {}
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, Node):
            found.setdefault(id(item), item)
        elif isinstance(item, dict):
            stack.extend(reversed([part for pair in item.items() for part in pair]))
        elif isinstance(item, CONTAINERS):
            stack.extend(reversed(list(item)))
    return list(found.values())


def rebuild(template: Any, values: Mapping[int, Any]) -> Any:
    """A copy of a container with the nodes in it replaced by values, which are given by the nodes' ids."""
    if isinstance(template, Node):
        return values[id(template)]
    if isinstance(template, dict):
        return {rebuild(key, values): rebuild(item, values) for key, item in template.items()}
    if isinstance(template, tuple) and hasattr(template, "_fields"):
        return type(template)(*(rebuild(item, values) for item in template))
    if isinstance(template, CONTAINERS):
        return type(template)(rebuild(item, values) for item in template)
    return template


def unwrap(value: Any) -> Any:
    """The value of a node, or a container with the values of the nodes in it; that reads the nodes.

    Example:
        >>> from optimand.language.workflows.tracing.nodes import node
        >>> unwrap({"a": [node(1), 2]})
        {'a': [1, 2]}
    """
    if isinstance(value, Node):
        return value._read()
    if isinstance(value, CONTAINERS):
        inside = nodes_in(value)
        return rebuild(value, {id(item): item._read() for item in inside}) if inside else value
    return value


def pack(value: Any) -> MessageNode | None:
    """A node of a container's values whose parents are the nodes inside; None if there are none."""
    inside = nodes_in(value)
    if not inside:
        return None
    data = rebuild(value, {id(item): item._data for item in inside})
    state = STATE.get()
    if state.scope is not None and state.scope.strict:
        state.scope.reads.extend(inside)
    inputs = {f"item_{i}": item for i, item in enumerate(inside)}
    packed = made(state, PACK, data, inputs, 1 + max(item._level for item in inside))
    if state.tracing:
        packed._set_extra("template", value)
    return packed


def _rerun(packed: MessageNode, values: dict[str, Any]) -> Any:
    inside = {id(item): values[key] for key, item in packed._inputs.items()}
    return rebuild(packed._get_extra("template"), inside)


PACK = Operator("pack", "[pack] A container made of these items.", None, rerun=_rerun)
