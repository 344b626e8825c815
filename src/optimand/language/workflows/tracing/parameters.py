"""Parameters: the roots that an optimizer may change, with what their values may be.

Reference: arXiv 2406.16218, Section 2; ranges and choices are ours, so that a decoder can enforce them.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from optimand.core.validation import check_choice, check_int, check_number

from .base import Node
from .feedback import received

if TYPE_CHECKING:
    from .graph import TraceGraph

KINDS = ("bool", "int", "float", "str", "code", "list", "tuple", "dict", "other")


class ParameterNode(Node):
    """A root whose value an optimizer may change.

    Args:
        value: the first value.
        name: what it is called.
        description: what it is for.
        constraint: what values must satisfy, in words.
        trainable: False to hold it fixed for now; may be set at any time.
        minimum, maximum: limits of a number, both allowed values.
        choices: the only values allowed.
        max_length: most characters of a text, or items of a list.
        schema: JSON schema of the value, for what the above cannot say.
        kind: one of ``bool, int, float, str, code, list, tuple, dict, other``; the type of the value where None.
        info: facts to keep with it.

    Raises:
        ValueError: the first value breaks the limits, or ``minimum > maximum``.

    Example:
        >>> x = ParameterNode(0.5, name="rate", minimum=0, maximum=1)
        >>> x.kind, x.check(1)
        ('float', 1.0)
        >>> x.data = 2.0
        Traceback (most recent call last):
            ...
        ValueError: rate must be in [0, 1], got 2.0
    """

    __slots__ = ("_trainable", "choices", "constraint", "kind", "max_length", "maximum", "minimum", "schema")

    _role = "parameter"

    def __init__(
        self,
        value: Any,
        *,
        name: str | None = None,
        description: str | None = None,
        constraint: str | None = None,
        trainable: bool = True,
        minimum: float | None = None,
        maximum: float | None = None,
        choices: Iterable[Any] | None = None,
        max_length: int | None = None,
        schema: Mapping[str, Any] | None = None,
        kind: str | None = None,
        info: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(value, name=name, description=description, info=info)
        self._trainable = bool(trainable)
        self.constraint = constraint
        self.minimum = None if minimum is None else check_number("minimum", minimum)
        self.maximum = None if maximum is None else check_number("maximum", maximum)
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"minimum must not exceed maximum, got {minimum!r} > {maximum!r}")
        self.choices = None if choices is None else tuple(choices)
        if self.choices is not None and not self.choices:
            raise ValueError("choices must not be empty")
        self.max_length = None if max_length is None else check_int("max_length", max_length, low=1)
        self.schema = None if schema is None else dict(schema)
        self.kind = _kind(self._data) if kind is None else check_choice("kind", kind, KINDS)
        self._data = self.check(self._data)

    @property
    def is_code(self) -> bool:
        """Whether the value is the source of a function."""
        return self.kind == "code"

    @property
    def trainable(self) -> bool:
        """Whether an optimizer may change the value."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)

    @property
    def data(self) -> Any:
        """The value; setting it checks the limits."""
        return self._read()

    @data.setter
    def data(self, value: Any) -> None:
        self._data = self.check(value)

    def check(self, value: Any) -> Any:
        """The value if it is allowed, an int for a float as a float.

        Raises:
            TypeError, ValueError: it is not; the text names the parameter, the value and what was expected.
        """
        name = self._base
        if self.choices is not None:
            return check_choice(name, value, self.choices)
        if self.kind in ("int", "float") and (self.minimum is not None or self.maximum is not None):
            low = -math.inf if self.minimum is None else self.minimum
            high = math.inf if self.maximum is None else self.maximum
            number = check_number(name, value, low=low, high=high)
            return number if self.kind == "float" and isinstance(value, int) else value
        if self.kind == "code" and not (isinstance(value, str) and value.strip()):
            raise TypeError(f"{name} must be the source of a function, got {value!r:.60} ({type(value).__name__})")
        if self.max_length is not None and hasattr(value, "__len__") and len(value) > self.max_length:
            raise ValueError(f"{name} must have at most {self.max_length} characters or items, got {len(value)}")
        return value

    def received(self) -> TraceGraph | None:
        """The subgraph through which feedback came: all ways from here to the outputs, and their other inputs.

        Returns:
            The union over the backward passes since :meth:`zero_feedback`; None if there was none.

        Raises:
            GraphError: two passes brought different feedback.
        """
        return received((self,))

    def messages(self) -> list[Any]:
        """All messages that a propagator has brought, of all children."""
        return [message for messages in self.feedback.values() for message in messages]

    def __deepcopy__(self, memo: dict[int, Any]) -> ParameterNode:
        """A parameter of the same name, without the feedback."""
        other: ParameterNode = object.__new__(type(self))
        memo[id(self)] = other
        other.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        return other

    def __copy__(self) -> ParameterNode:
        other: ParameterNode = object.__new__(type(self))
        other.__setstate__(self.__getstate__())
        return other

    def __reduce__(self) -> Any:
        return object.__new__, (type(self),), self.__getstate__()

    def __getstate__(self) -> dict[str, Any]:
        state = {name: getattr(self, name) for name in self._fields()}
        state["_extra"] = {key: item for key, item in (self._extra or {}).items() if key != "sweeps"} or None
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        bare = Node(None, name="_")
        for name in ("_serial", "_level", "_inputs", "_op", "_spent"):
            setattr(self, name, getattr(bare, name))
        for name, item in state.items():
            setattr(self, name, item)

    @classmethod
    def _fields(cls) -> list[str]:
        own = [name for kind in cls.__mro__ if issubclass(kind, ParameterNode) for name in kind.__slots__]
        return ["_data", "_base", "_index", *own]


class CodeParameter(ParameterNode):
    """The source of a function as a parameter.

    Args:
        source: the function's source, without decorators.
        function: its name.
        name, constraint, trainable, max_length: as of :class:`ParameterNode`.

    Attributes:
        original: the source that the user wrote; as long as the value is this text, the user's function itself runs.
        function: the name that code must define.
    """

    __slots__ = ("function", "original")

    def __init__(
        self,
        source: str,
        *,
        function: str,
        name: str = "__code",
        constraint: str | None = None,
        trainable: bool = True,
        max_length: int | None = None,
        description: str | None = None,
    ) -> None:
        super().__init__(
            source,
            name=name,
            kind="code",
            constraint=constraint,
            trainable=trainable,
            max_length=max_length,
            description=description or f"[ParameterNode] The source of the function {function}.",
        )
        self.original = source
        self.function = function

    def problem(self, code: str) -> str | None:
        """Why code cannot take this one's place, as ``(ErrorType) message``; None if it can.

        It must be valid Python and define the function with the same arguments as the original.
        """
        from .sources import problem_of

        return problem_of(code, self.original, self.function)


def _kind(value: Any) -> str:
    for kind in (bool, int, float, str, list, tuple, dict):
        if isinstance(value, kind):
            return kind.__name__
    return "other"
