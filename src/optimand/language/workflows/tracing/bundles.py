"""``bundle``: a function as one operator of the trace, its source a parameter if wanted.

The arguments become nodes, the function runs on their values (or, with traceable code, on nodes of its own), and its
output is a node whose parents are the arguments. What it reads besides its arguments is an error, since a dependency
that is not in the graph gets no feedback; where that is allowed, the parameters behind it are kept as hidden ones and
get feedback, too. Facts about a call belong to its node, so calls in other threads cannot change them.

Differences from the official package: each call has its own ``info``; recursion is overridden without a trace function;
changed code runs in the sandbox; code whose signature changed is refused with feedback.

Reference: arXiv 2406.16218, Section 2.
"""

from __future__ import annotations

import copy
import functools
import inspect
import threading
import weakref
from collections.abc import Callable
from typing import Any

from optimand.core.validation import OptimandError

from .base import MessageNode, Node
from .binding import Arguments
from .calls import EVAL_TEXT, Call, run_code, run_coroutine
from .packing import unwrap
from .parameters import CodeParameter
from .sources import signature_of, source_of
from .tape import STATE, Operator, identifier

_STATE_KEY = "_bundled_state"
_lock = threading.Lock()


def bundle(
    description: str | Callable[..., Any] | None = None,
    traceable_code: bool = False,
    trainable: bool = False,
    catch_execution_error: bool = True,
    allow_external_dependencies: bool = False,
    overwrite_python_recursion: bool = False,
    *,
    source: str | None = None,
    trusted: bool = False,
    sandbox: Any = None,
) -> Any:
    """Make a function one operator of the trace.

    Args:
        description: ``[name] text``, or only the text; the function's name and docstring where None.
        traceable_code: the function runs on nodes, and its inner graph is kept with the output.
        trainable: the function's source is a parameter.
        catch_execution_error: an exception becomes an :class:`ExecutionError` with its node; else it passes as it is.
        allow_external_dependencies: the function may read nodes that are not among its arguments.
        overwrite_python_recursion: calls of the function inside itself run plainly and are not traced; always so for
            trainable functions.
        source: the function's source, where Python does not know it.
        trusted: changed code of a trainable function runs in this process instead of the sandbox.
        sandbox: a :class:`SandboxedPython <optimand.language.sandbox.SandboxedPython>`; one is shared where None.

    Returns:
        A decorator; also usable as a decorator itself, without parentheses.

    Example:
        >>> @bundle()
        ... def area(width, height=2):
        ...     '''Width times height.'''
        ...     return width * height
        >>> a = area(3)
        >>> a.data, sorted(a.inputs), a.description
        (6, ['height', 'width'], '[area] Width times height.')
    """
    if callable(description):
        return Bundled(description)

    def decorate(function: Callable[..., Any]) -> Bundled:
        return Bundled(
            function,
            description,
            traceable_code=traceable_code,
            trainable=trainable,
            catch_execution_error=catch_execution_error,
            allow_external_dependencies=allow_external_dependencies,
            overwrite_python_recursion=overwrite_python_recursion,
            source=source,
            trusted=trusted,
            sandbox=sandbox,
        )

    return decorate


class Bundled:
    """A bundled function; calls give nodes. Made by :func:`bundle`.

    Attributes:
        fun: the function that was bundled.
        parameter: its source as a :class:`CodeParameter` if it is trainable, else None; of a method, each instance has
            its own.
        operator: what calls are recorded as.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        description: str | None = None,
        *,
        traceable_code: bool = False,
        trainable: bool = False,
        catch_execution_error: bool = True,
        allow_external_dependencies: bool = False,
        overwrite_python_recursion: bool = False,
        source: str | None = None,
        trusted: bool = False,
        sandbox: Any = None,
    ) -> None:
        if isinstance(function, staticmethod | classmethod):
            raise TypeError("bundle goes inside staticmethod and classmethod: put @bundle() below them")
        if not callable(function):
            raise TypeError(f"bundle needs a function, got {function!r:.60} ({type(function).__name__})")
        self.fun = function
        self.traceable_code = traceable_code
        self.trainable = trainable
        self.catch_execution_error = catch_execution_error
        self.allow_external_dependencies = allow_external_dependencies
        self.overwrite_python_recursion = overwrite_python_recursion or trainable
        self.trusted = trusted
        self.sandbox = sandbox
        self.arguments = Arguments(function)
        self.is_async = inspect.iscoroutinefunction(function)
        self.source = source_of(function, source)
        self._parameter: CodeParameter | None = None
        self._owner: type | None = None
        functools.update_wrapper(self, function, updated=())
        name = getattr(function, "__name__", type(function).__name__)
        self.name = "function" if name == "<lambda>" else name
        if trainable and (self.source is None or self.source.text.find("def ") < 0):
            raise OptimandError(
                f"the source of {self.name!r} is not known, as in an interactive session or for a lambda: give it as "
                "bundle(trainable=True, source=...)"
            )
        doc = inspect.getdoc(function) or ""
        if description is None:
            description = f"[{self.name}] {doc or 'A function without a description.'}"
        elif not description.lstrip().startswith("["):
            description = f"[{self.name}] {description}"
        else:
            self.name = description.lstrip()[1:].partition("]")[0].strip() or self.name
        static = {
            "fun": function,
            "fun_name": getattr(function, "__qualname__", self.name),
            "doc": doc,
            "signature": self.arguments.signature,
            "source": None if self.source is None else self.source.text,
            "file": None if self.source is None else self.source.file,
            "line_number": None if self.source is None else self.source.line,
        }
        self.operator = Operator(
            "eval" if trainable else identifier(self.name),
            f"{EVAL_TEXT} Here it is the function {self.name}. {doc}".strip() if trainable else description,
            static=static,
            rerun=self._rerun,
        )
        self.description = description

    @property
    def parameter(self) -> CodeParameter | None:
        """The source as a parameter; None if the function is not trainable."""
        if not self.trainable:
            return None
        if self._parameter is None:
            with _lock:
                self._parameter = self._parameter or self._new_parameter()
        return self._parameter

    def parameters(self) -> list[CodeParameter]:
        """The parameter in a list, empty if there is none; as a module has it."""
        return [] if self.parameter is None else [self.parameter]

    def _new_parameter(self) -> CodeParameter:
        assert self.source is not None
        text = self.source.text
        return CodeParameter(
            text,
            function=self.fun.__name__,
            constraint="The code must start with:\n" + signature_of(text),
            description=f"[ParameterNode] The source of the function {self.name}.",
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._owner is not None and args and isinstance(args[0], self._owner):
            return self.__get__(args[0], type(args[0]))(*args[1:], **kwargs)
        scope = STATE.get().scope
        if self.overwrite_python_recursion and scope is not None and scope.runs(self):
            return self.fun(*args, **kwargs)
        return self._start(self, self.parameter, self.arguments.bind(args, kwargs))

    def _start(self, key: object, parameter: CodeParameter | None, inputs: dict[str, Node]) -> Any:
        call = Call(self, key, parameter, inputs)
        return call.run_async() if self.is_async else call.run()

    def _rerun(self, made: MessageNode, values: dict[str, Any]) -> Any:
        code = values.pop("__code", None)
        args, kwargs = self.arguments.spread(values)
        if code is None or made._inputs["__code"].original == code:  # type: ignore[attr-defined]
            output = self.fun(*args, **kwargs)
        else:
            output = run_code(self, made._inputs["__code"], code, args, kwargs)  # type: ignore[arg-type]
        return unwrap(run_coroutine(output) if inspect.isawaitable(output) else output)

    def __set_name__(self, owner: type, name: str) -> None:
        self._owner = owner

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else BoundBundle(self, instance)

    def __deepcopy__(self, memo: dict[int, Any]) -> Bundled:
        return self  # a function; copies of a module have their own parameters through their instances

    def __repr__(self) -> str:
        return f"<bundled function {self.name}>"


class BoundBundle:
    """A bundled method of an instance, with a code parameter of its own if it is trainable."""

    __slots__ = ("__self__", "bundled")

    def __init__(self, bundled: Bundled, instance: Any) -> None:
        self.bundled = bundled
        self.__self__ = instance

    @property
    def parameter(self) -> CodeParameter | None:
        """The source as this instance's parameter; None if the method is not trainable."""
        if not self.bundled.trainable:
            return None
        return _state_of(self.__self__, self.bundled.name).code(self.bundled)

    @property
    def trainable(self) -> bool:
        """Whether the source is a parameter."""
        return self.bundled.trainable

    def parameters(self) -> list[CodeParameter]:
        """The parameter in a list, empty if there is none."""
        return [] if self.parameter is None else [self.parameter]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        bundled, instance = self.bundled, self.__self__
        key = (bundled, id(instance)) if bundled.overwrite_python_recursion else bundled
        scope = STATE.get().scope
        if bundled.overwrite_python_recursion and scope is not None and scope.runs(key):
            return bundled.fun(instance, *args, **kwargs)
        node = instance if isinstance(instance, Node) else self_node(instance)
        return bundled._start(key, self.parameter, bundled.arguments.bind((node, *args), kwargs))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bundled, name)

    def __repr__(self) -> str:
        return f"<bundled method {self.bundled.name} of {type(self.__self__).__name__}>"


class _InstanceState:
    """What an instance keeps for its bundled methods: code parameters, and its node as long as a graph uses it."""

    __slots__ = ("codes", "owner", "self_index", "self_node")

    def __init__(self, owner: int, codes: dict[str, CodeParameter] | None = None) -> None:
        self.owner: int | None = owner
        self.codes = codes or {}
        self.self_node: weakref.ref[Node] | None = None
        self.self_index: int | None = None

    def code(self, bundled: Bundled) -> CodeParameter:
        key = str(bundled.operator.static["fun_name"])
        with _lock:
            if key not in self.codes:
                self.codes[key] = bundled._new_parameter()
            return self.codes[key]

    def __deepcopy__(self, memo: dict[int, Any]) -> _InstanceState:
        other = _InstanceState(0, copy.deepcopy(self.codes, memo))
        other.owner = None  # whoever asks first
        return other

    def __reduce__(self) -> Any:
        return _restored, (self.codes,)


def _restored(codes: dict[str, CodeParameter]) -> _InstanceState:
    state = _InstanceState(0, codes)
    state.owner = None
    return state


def _state_of(instance: Any, name: str) -> _InstanceState:
    try:
        attributes = instance.__dict__
    except AttributeError:
        raise OptimandError(
            f"{type(instance).__name__} has __slots__ and no place for the parameter of its method {name!r}: add "
            "'__dict__' to the slots"
        ) from None
    with _lock:
        state = attributes.get(_STATE_KEY)
        if state is None:
            state = attributes[_STATE_KEY] = _InstanceState(id(instance))
        elif state.owner is None:
            state.owner = id(instance)
        elif state.owner != id(instance):
            # A shallow copy shares its original's attributes, but each instance has parameters of its own.
            copied = {key: copy.copy(parameter) for key, parameter in state.codes.items()}
            state = attributes[_STATE_KEY] = _InstanceState(id(instance), copied)
    return state


def self_node(instance: Any) -> Node:
    """The node of an instance: one for all its methods, as long as a graph holds it."""
    if not hasattr(instance, "__dict__"):
        return Node(instance, name="self")
    state = _state_of(instance, "")
    with _lock:
        found = None if state.self_node is None else state.self_node()
        if found is None:
            found = Node(instance, name="self")
            found._set_extra("self", True)
            if state.self_index is not None:
                found._index = state.self_index
            state.self_index = found._index
            state.self_node = weakref.ref(found)
    return found
