"""Lists, tuples, dicts and sets that hold nodes: as values, and as one node that depends on the nodes inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .operators import Operators

if TYPE_CHECKING:
    from .base import Node

CONTAINERS = (list, tuple, dict, set, frozenset)


def nodes_in(value: Any) -> list[Node]:
    """The nodes in a container, at any depth, each once, in order."""
    found: dict[int, Any] = {}
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, Operators):
            found.setdefault(id(item), item)
        elif isinstance(item, dict):
            stack.extend(reversed([part for pair in item.items() for part in pair]))
        elif isinstance(item, CONTAINERS):
            stack.extend(reversed(list(item)))
    return list(found.values())


def rebuild(template: Any, values: Mapping[int, Any]) -> Any:
    """A copy of a container with the nodes in it replaced by values, which are given by the nodes' ids."""
    if isinstance(template, Operators):
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
    if isinstance(value, Operators):
        return value._read()
    if isinstance(value, CONTAINERS):
        inside = nodes_in(value)
        return rebuild(value, {id(item): item._read() for item in inside}) if inside else value
    return value
