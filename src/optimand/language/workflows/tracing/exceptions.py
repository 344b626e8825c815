"""Exceptions of workflows as nodes, so that they can be feedback.

Where an operation raises, a node takes the place of its output: its value is ``(ErrorType) message`` and its parents
are the inputs. :class:`ExecutionError` carries it out of the workflow.

Reference: arXiv 2406.16218, Section 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from optimand.core.validation import OptimandError

from .base import MessageNode, Node
from .tape import Operator


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


def failed(operator: Operator, inputs: dict[str, Any], error: Exception) -> ExecutionError:
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
