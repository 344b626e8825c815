"""Nodes: values that remember what they were computed from.

A workflow is ordinary Python on nodes; every operation makes a node that knows its inputs and its operator. Edges point
from a node to its inputs only, and nothing else holds nodes, so a graph that is no longer used is freed at once by
reference counting. Names are counted per :class:`Tape <optimand.language.workflows.tracing.tape.Tape>`.

Two decisions where the official package differs. Python's ``==`` is traced like the other comparisons (see
``operators``), while hashes are by identity; containers inside this package go by ``id``. Lists, tuples and dicts that
hold nodes become nodes of their values, with the nodes inside as parents.

Reference: arXiv 2406.16218, Section 2.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optimand.core.validation import OptimandError

from .feedback import Receiver
from .operators import Operators, spread
from .packing import CONTAINERS, nodes_in, rebuild
from .tape import SERIAL, STATE, Operator, identifier

if TYPE_CHECKING:
    from .parameters import ParameterNode

_DESCRIPTION = re.compile(r"\[([^\[\]]+)\]\s*(.*)", re.DOTALL)
_NO_INPUTS: dict[str, Node] = {}  # shared by all roots, never written


class Node(Operators, Receiver):
    """A value in a workflow.

    Args:
        value: anything; of a node, its value is taken.
        name: what the node is called; ``x`` becomes ``x0``, ``x1``, … The type's name where None.
        description: ``[kind] text``, or only the text.
        info: facts to keep with the node.

    Attributes:
        data: the value.
        name: as ``x:0``; :attr:`py_name` as ``x0``.
        level: 0 for a root, else one more than the highest level of its parents.

    Example:
        >>> x = Node(3, name="x")
        >>> y = x * 2 + 1
        >>> y.data, y.level, [parent.data for parent in y.parents]
        (7, 2, [6, 1])
    """

    __slots__ = ("__weakref__", "_base", "_data", "_extra", "_index", "_inputs", "_level", "_op", "_serial", "_spent")

    _base: str
    _index: int
    _level: int
    _serial: int
    _spent: bool
    _op: Operator | None
    _inputs: dict[str, Node]
    _extra: dict[str, Any] | None

    def __init__(
        self,
        value: Any,
        *,
        name: str | None = None,
        description: str | None = None,
        info: Mapping[str, Any] | None = None,
    ) -> None:
        if isinstance(value, Node):
            name = value._base if name is None else name
            value = value._read()
        self._data = value
        self._base = type(value).__name__ if name is None else identifier(name)
        self._index = STATE.get().tape.index(self._base)
        self._serial = next(SERIAL)
        self._level = 0
        self._inputs = _NO_INPUTS
        self._op = None
        self._spent = False
        self._extra = None
        if description is not None:
            self._describe(description)
        if info is not None:
            self._set_extra("info", dict(info))

    @property
    def data(self) -> Any:
        """The value; inside a bundled function, reading it makes the node one of the call's dependencies."""
        return self._read()

    def _read(self) -> Any:
        scope = STATE.get().scope
        if scope is not None:
            scope.reads.append(self)
        return self._data

    @property
    def name(self) -> str:
        """The name with its number, as ``x:0``."""
        return f"{self._base}:{self._index}"

    @property
    def py_name(self) -> str:
        """The name as Python could write it, as ``x0``."""
        return f"{self._base}_{self._index}" if self._base[-1].isdigit() else f"{self._base}{self._index}"

    @property
    def level(self) -> int:
        """The length of the longest way from a root."""
        return self._level

    @property
    def inputs(self) -> dict[str, Node]:
        """The inputs by the names of the operator's arguments; one node may be there twice."""
        return dict(self._inputs)

    @property
    def parents(self) -> tuple[Node, ...]:
        """The inputs, each node once."""
        return tuple({id(parent): parent for parent in self._inputs.values()}.values())

    @property
    def is_root(self) -> bool:
        """Whether the node has no parents."""
        return not self._inputs

    @property
    def trainable(self) -> bool:
        """Whether an optimizer may change the value."""
        return False

    @property
    def type(self) -> type:
        """The value's type."""
        return type(self._data)

    @property
    def description(self) -> str:
        """``[kind or operator] text``."""
        found: str | None = self._get_extra("description")
        return found or (self._op.description if self._op else f"[{type(self).__name__}] a value")

    @property
    def info(self) -> dict[str, Any]:
        """Facts about the node: of a bundled call its inputs, output, source and what else it read."""
        static = self._op.static if self._op else {}
        return {**static, **(self._get_extra("info") or {})}

    @property
    def hidden(self) -> tuple[ParameterNode, ...]:
        """Parameters that the value depends on without their being ancestors: of an inner graph, or read outside."""
        found: tuple[ParameterNode, ...] | None = self._get_extra("hidden")
        return found or ()

    def detach(self, *, keep_name: bool = False) -> Node:
        """A root of the same value, with the next number of the name or the same."""
        return _root(self._data, self._base, self._index if keep_name else STATE.get().tape.index(self._base))

    def __copy__(self) -> Node:
        return self.detach()

    def __deepcopy__(self, memo: dict[int, Any]) -> Node:
        return _root(copy.deepcopy(self._data, memo), self._base, self._index)

    def __reduce__(self) -> Any:
        return _root, (self._data, self._base, self._index)

    def __repr__(self) -> str:
        shown = repr(self._data)
        return f"{type(self).__name__}({self.py_name} = {shown if len(shown) <= 100 else shown[:97] + '...'})"

    def __getattr__(self, name: str) -> Any:
        hint = ""
        if not name.startswith("_") and hasattr(self._data, name):
            hint = f"; its value has: write x.getattr({name!r}) or x.call({name!r}, ...)"
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}{hint}")

    def _describe(self, text: str) -> None:
        self._set_extra("description", text if _DESCRIPTION.match(text) else f"[{type(self).__name__}] {text.strip()}")

    def _get_extra(self, key: str) -> Any:
        return None if self._extra is None else self._extra.get(key)

    def _set_extra(self, key: str, value: Any) -> None:
        if self._extra is None:
            self._extra = {}
        self._extra[key] = value

    @staticmethod
    def _run(op: Operator, inputs: dict[str, Any]) -> Any:
        """Apply an operator to nodes and values; the dict becomes the made node's inputs."""
        state = STATE.get()
        values = []
        level = 0
        for key, item in inputs.items():
            if not isinstance(item, Node):
                inputs[key] = item = wrap(item)
            values.append(item._data)
            if item._level > level:
                level = item._level
        if state.scope is not None and state.scope.strict:
            state.scope.reads.extend(inputs.values())
        try:
            value = op.function(*values)  # type: ignore[misc]
        except Exception as error:
            raise _failed(op, inputs, error) from error
        return made(state, op, value, inputs, level + 1)

    def _run_call(self, op: Operator, first: Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Apply an operator with any number of arguments."""
        inputs: dict[str, Any] = {"x": first}
        for i, arg in enumerate(args):
            inputs[f"args_{i}"] = arg
        inputs.update(kwargs)
        state = STATE.get()
        for key, item in inputs.items():
            if not isinstance(item, Node):
                inputs[key] = wrap(item, None if key.startswith("args_") else key)
        if state.scope is not None and state.scope.strict:
            state.scope.reads.extend(inputs.values())
        positional, named = spread({key: item._data for key, item in inputs.items()})
        try:
            if op.rerun is None or op.function is None:
                raise TypeError(f"{op!r} takes no free arguments")
            value = op.function(*positional, **named)
        except Exception as error:
            raise _failed(op, inputs, error) from error
        return made(state, op, value, inputs, 1 + max(item._level for item in inputs.values()))


def made(state: Any, op: Operator, value: Any, inputs: dict[str, Node], level: int) -> MessageNode:
    """The node of an operation that has been carried out; the fast way to a MessageNode."""
    result: MessageNode = _new(MessageNode)
    result._data = value
    result._base = base = op.name
    result._index = state.tape.index(base)
    result._serial = next(SERIAL)
    result._op = op
    result._spent = False
    result._extra = None
    if state.tracing:
        result._inputs = inputs
        result._level = level
    else:
        result._inputs = _NO_INPUTS
        result._level = 0
    return result


def _root(data: Any, base: str, index: int) -> Node:
    root: Node = _new(Node)
    root._data, root._base, root._index = data, base, index
    root._serial, root._level, root._inputs = next(SERIAL), 0, _NO_INPUTS
    root._op, root._spent, root._extra = None, False, None
    return root


_new = object.__new__


class MessageNode(Node):
    """The output of an operator.

    Args:
        value: the value.
        inputs: nodes by the operator's argument names, or a list of nodes.
        description: ``[operator] text``.
        info, name: as of :class:`Node`; the name of the operator where None.

    Raises:
        ValueError: the description does not begin with ``[operator]``.
        TypeError: an input is not a node.
    """

    __slots__ = ()

    def __init__(
        self,
        value: Any,
        *,
        inputs: Mapping[str, Node] | Sequence[Node],
        description: str,
        info: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> None:
        found = _DESCRIPTION.match(description)
        if found is None:
            raise ValueError(f"description must be '[operator] text', got {description!r}")
        given = dict(inputs) if isinstance(inputs, Mapping) else {item.py_name: item for item in inputs}
        for key, item in given.items():
            if not isinstance(item, Node):
                raise TypeError(f"inputs[{key!r}] must be a node, got {item!r:.60} ({type(item).__name__})")
        super().__init__(value, name=found[1] if name is None else name, info=info)
        self._op = Operator(identifier(found[1]), description)
        if STATE.get().tracing and given:
            self._inputs = given
            self._level = 1 + max(item._level for item in given.values())

    @property
    def operator(self) -> Operator:
        """What made the node."""
        assert self._op is not None
        return self._op


class ExecutionError(OptimandError):
    """A workflow stopped at an exception; :attr:`exception_node` is where feedback on it starts."""

    def __init__(self, exception_node: ExceptionNode) -> None:
        super().__init__(str(exception_node._data))
        self.exception_node = exception_node

    @property
    def node(self) -> ExceptionNode:
        """The same node."""
        return self.exception_node


class ExceptionNode(MessageNode):
    """An exception of a workflow as a node: its value is ``(ErrorType) message``, its parents the inputs.

    Args:
        value: the exception, or its text ``(ErrorType) message``.
        inputs, description, info, name: as of :class:`MessageNode`.
        operator: what raised it.
    """

    __slots__ = ()

    _role = "exception"

    def __init__(
        self,
        value: BaseException | str,
        *,
        inputs: Mapping[str, Node] | Sequence[Node],
        description: str = "[exception] The operator raised an exception.",
        info: Mapping[str, Any] | None = None,
        name: str | None = None,
        operator: Operator | None = None,
    ) -> None:
        text = value if isinstance(value, str) else f"({type(value).__name__}) {value}"
        super().__init__(text, inputs=inputs, description=description, info=info, name=name)
        if operator is not None:  # for replays on inputs that raise nothing
            self._op = Operator(
                "exception", description, operator.function, static=operator.static, rerun=operator.rerun
            )

    def create_feedback(self, style: str = "simple") -> str:
        """The exception as feedback.

        Args:
            style: ``simple`` for ``(ErrorType) message``; ``full`` for the source with the failing line marked, of each
                of the user's functions that the exception passed through, and then that text.

        Example:
            >>> from optimand.language.workflows.tracing.nodes import node
            >>> try:
            ...     node(1) / 0
            ... except ExecutionError as error:
            ...     error.exception_node.create_feedback()
            '(ZeroDivisionError) division by zero'
        """
        if style not in ("simple", "full"):
            raise ValueError(f"style must be 'simple' or 'full', got {style!r}")
        comment = self.info.get("error_comment")
        return str(comment) if style == "full" and comment else str(self._data)


def _failed(operator: Operator, inputs: dict[str, Any], error: Exception) -> ExecutionError:
    """What to raise when an operator raised."""
    if isinstance(error, ExecutionError):
        return error
    return ExecutionError(
        ExceptionNode(
            error,
            inputs=inputs,
            description=f"[exception] The operator {operator.name} raised an exception.",
            name="exception_" + operator.name,
            operator=operator,
        )
    )


def wrap(value: Any, name: str | None = None) -> Node:
    """The value as a node: itself if it is one, a node of a container's values if it holds nodes, else a constant."""
    if isinstance(value, Node):
        return value
    if isinstance(value, CONTAINERS):
        packed = _pack(value)
        if packed is not None:
            return packed
    return Node(value, name=name)


def _pack(value: Any) -> MessageNode | None:
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


def _repack(packed: MessageNode, values: dict[str, Any]) -> Any:
    inside = {id(item): values[key] for key, item in packed._inputs.items()}
    return rebuild(packed._get_extra("template"), inside)


PACK = Operator("pack", "[pack] A container made of these items.", None, rerun=_repack)
