"""One call of a bundled function: its scope, its output or exception as a node, and what it read besides its inputs."""

from __future__ import annotations

import contextvars
import traceback
from typing import TYPE_CHECKING, Any

from optimand.core.validation import OptimandError

from .base import ExceptionNode, ExecutionError, MessageNode, Node, made, wrap
from .graph import ancestors
from .packing import unwrap
from .parameters import CodeParameter, ParameterNode
from .running import CodeFailure, call_sandboxed, compile_trusted, known_sources
from .sources import error_comment, error_text, marked, parse
from .tape import STATE, Scope, State

if TYPE_CHECKING:
    from .bundles import Bundled

EVAL_TEXT = "[eval] The function that the code defines, called with the other inputs."


class MissingInputsError(OptimandError):
    """A bundled function read nodes that are not among its arguments."""


class CodeRejected(Exception):  # noqa: N818 (what happened)
    """Code that cannot be run at all: no Python, another signature, or it fails while it is defined."""

    def __init__(self, text: str, comment: str) -> None:
        super().__init__(text)
        self.text, self.comment = text, comment


def run_code(bundled: Bundled, parameter: CodeParameter, code: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Call the function that changed code defines, here if it is trusted, else in the sandbox.

    Raises:
        CodeRejected, CodeFailure: it cannot be run, or failed in the sandbox.
        Exception: what trusted code raises.
    """
    problem = parameter.problem(code)
    if problem is not None:
        raise CodeRejected(problem, _problem_comment(code, problem))
    if bundled.trusted:
        return _compiled(bundled, parameter.function, code)(*args, **kwargs)
    return call_sandboxed(code, parameter.function, bundled.fun, args, kwargs, bundled.sandbox)


def run_coroutine(awaitable: Any) -> Any:
    """The result of an awaitable, also where this thread's event loop is running already."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    async def awaited() -> Any:
        return await awaitable

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(awaited())
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(contextvars.copy_context().run, asyncio.run, awaited()).result()


def _compiled(bundled: Bundled, name: str, code: str) -> Any:
    last = bundled.__dict__.get("_last_compiled")
    if last is None or last[0] != code:
        try:
            last = code, compile_trusted(code, name, bundled.fun)[0]
        except Exception as error:
            text = f"({type(error).__name__}) {error}"
            comment = error_comment(error, error_text(type(error).__name__, str(error)), _known(name, code))
            raise CodeRejected(text, comment) from error
        bundled.__dict__["_last_compiled"] = last
    return last[1]


def _known(name: str, code: str) -> Any:
    return known_sources(f"<code of {name}>", code)


def _problem_comment(code: str, problem: str) -> str:
    line = None
    try:
        parse(code)
    except SyntaxError as error:
        line = error.lineno
    except (ValueError, MemoryError, RecursionError, TypeError):
        pass
    kind, _, message = problem.partition(") ")
    text = error_text(kind[1:], message)
    shown = marked(code, line, text.partition("\n")[0]) if isinstance(code, str) else repr(code)
    return f"{shown}\n{text}"


class Call:
    """A call under way."""

    __slots__ = ("bundled", "code", "inputs", "key", "parameter", "scope", "state", "values")

    def __init__(self, bundled: Bundled, key: object, parameter: CodeParameter | None, inputs: dict[str, Node]) -> None:
        self.bundled = bundled
        self.key = key
        self.parameter = parameter
        self.inputs = inputs
        self.state = STATE.get()
        self.values: dict[str, Any] = {}
        self.scope: Scope | None = None
        # Changed code; None as long as the user's own function runs.
        self.code: str | None = None
        if parameter is not None and parameter._data != parameter.original:
            self.code = str(parameter._data)

    def _begin(self) -> tuple[list[Any], dict[str, Any]]:
        bundled = self.bundled
        if bundled.traceable_code:
            # Copies that are roots of the inner graph, under the names of the inputs.
            self.values = {
                key: item._data if item._get_extra("self") else item.detach(keep_name=True)
                for key, item in self.inputs.items()
            }
        else:
            self.values = {key: item._data for key, item in self.inputs.items()}
        self.scope = Scope(self.key, not bundled.traceable_code, self.state.scope)
        return bundled.arguments.spread(self.values)

    def run(self) -> MessageNode:
        """Run a plain function."""
        args, kwargs = self._begin()
        token = STATE.set(State(self.state.tape, self.scope, self.state.tracing))
        try:
            if self.code is None:
                output = self.bundled.fun(*args, **kwargs)
            else:
                output = self._run_changed(self.code, args, kwargs)
            value, inner = self._value(output)
        except (CodeRejected, CodeFailure) as error:
            failure: Exception = error
        except Exception as error:
            if not self.bundled.catch_execution_error:
                raise
            failure = error
        else:
            return self._finish(value, inner)
        finally:
            STATE.reset(token)
        raise self._failure(failure) from failure

    async def run_async(self) -> MessageNode:
        """Run a coroutine function."""
        args, kwargs = self._begin()
        token = STATE.set(State(self.state.tape, self.scope, self.state.tracing))
        try:
            if self.code is None:
                output = await self.bundled.fun(*args, **kwargs)
            elif self.bundled.trusted:
                output = await self._run_changed(self.code, args, kwargs)
            else:
                import asyncio

                output = await asyncio.to_thread(self._run_changed, self.code, args, kwargs)
            value, inner = self._value(output)
        except (CodeRejected, CodeFailure) as error:
            failure: Exception = error
        except Exception as error:
            if not self.bundled.catch_execution_error:
                raise
            failure = error
        else:
            return self._finish(value, inner)
        finally:
            STATE.reset(token)
        raise self._failure(failure) from failure

    def _run_changed(self, code: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        assert self.parameter is not None
        if not self.bundled.trusted and self.bundled.traceable_code:
            args, kwargs = [unwrap(item) for item in args], {key: unwrap(item) for key, item in kwargs.items()}
        return run_code(self.bundled, self.parameter, code, args, kwargs)

    def _value(self, output: Any) -> tuple[Any, Node | None]:
        """The output as a value; of traceable code also as a node of the inner graph."""
        if self.bundled.traceable_code:
            inner = wrap(output)
            return inner._data, inner if inner is output or inner._inputs else None
        return unwrap(output), None

    def _finish(self, value: Any, inner: Node | None) -> MessageNode:
        external = self._external()
        # Whoever wrote changed code cannot add arguments: what it reads besides becomes a hidden dependency.
        if external and not self.bundled.allow_external_dependencies and self.code is None:
            listed = ", ".join(f"{item.py_name} = {item._data!r:.60}" for item in external)
            raise MissingInputsError(
                f"{self.bundled.name!r} reads nodes that are not among its inputs, so they would get no feedback: "
                f"{listed}; make them arguments, or give bundle(allow_external_dependencies=True)"
            )
        inputs = self._all_inputs()
        level = 1 + max((item._level for item in inputs.values()), default=-1)
        result = made(self.state, self.bundled.operator, value, inputs, level)
        self._tell(result, value, inner, external)
        return result

    def _all_inputs(self) -> dict[str, Node]:
        return self.inputs if self.parameter is None else {**self.inputs, "__code": self.parameter}

    def _external(self) -> list[Node]:
        """Nodes older than the call that were read and are no inputs; the scope around learns of them, too."""
        scope, outer = self.scope, self.state.scope
        assert scope is not None
        found: dict[int, Node] = {}
        if scope.reads and self.state.tracing:
            own = {id(item) for item in self.inputs.values()}
            for item in scope.reads:
                if item._serial < scope.start and id(item) not in own and not item._get_extra("self"):
                    found[id(item)] = item
        if outer is not None and outer.strict:
            outer.reads.extend(found.values())
            outer.reads.extend(self.inputs.values())
            if self.parameter is not None:
                outer.codes.append(self.parameter)
            outer.codes.extend(scope.codes)
        return list(found.values())

    def _tell(self, result: MessageNode, value: Any, inner: Node | None, external: list[Node]) -> None:
        """Keep with the node what its call was."""
        args, kwargs = self.bundled.arguments.spread(self.values)
        result._extra = {
            "info": {
                "inputs": {"args": args, "kwargs": kwargs},
                "output": value if inner is None else inner,
                "external_dependencies": external,
            }
        }
        scope = self.scope
        assert scope is not None
        if not self.state.tracing or not (inner is not None or external or scope.codes):
            return
        hidden: dict[int, ParameterNode] = {id(item): item for item in scope.codes if item is not self.parameter}
        for start in (*external, *([] if inner is None else [inner])):
            for item in ancestors(start):
                if isinstance(item, ParameterNode):
                    hidden[id(item)] = item
        result._extra["hidden"] = tuple(hidden.values())
        if inner is not None:
            result._extra["inner"] = inner
            result._extra["inner_inputs"] = {key: item for key, item in self.values.items() if isinstance(item, Node)}
            result._extra["code_of"] = self.parameter

    def _failure(self, error: Exception) -> ExecutionError:
        """The exception of a call as what to raise."""
        external = self._external()
        inner = error.exception_node if isinstance(error, ExecutionError) else None
        inputs = self._all_inputs()
        if isinstance(error, CodeRejected):
            assert self.parameter is not None
            text, comment, inputs = error.text, error.comment, {"__code": self.parameter}
            description = f"[exception] The code {self.parameter.py_name} cannot be run."
        elif isinstance(error, CodeFailure):
            text, comment = error.text, error.comment
            description = f"[exception] The function {self.bundled.name} raised an exception."
        else:
            kind, message = type(error).__name__, str(error)
            text = str(inner._data) if inner is not None else f"({kind}) {message}"
            full = text if text.endswith((".", "!", "?")) else text + "."
            inside = None if inner is None else inner.info.get("error_comment")
            comment = error_comment(error, full, self._sources(), inside)
            description = f"[exception] The function {self.bundled.name} raised an exception."
        node = ExceptionNode(
            text,
            inputs=inputs,
            description=description,
            name="exception_" + self.bundled.operator.name,
            operator=self.bundled.operator if "__code" not in inputs or len(inputs) > 1 else None,
        )
        self._tell(node, text, inner, external)
        assert node._extra is not None
        node._extra["info"] |= {"error_comment": comment, "traceback": "".join(traceback.format_exception(error))}
        return ExecutionError(node)

    def _sources(self) -> Any:
        """Sources for marking errors of functions whose file Python cannot read."""
        if self.code is not None and self.parameter is not None:
            return _known(self.parameter.function, self.code)
        source = self.bundled.source
        return {} if source is None or not source.file.startswith("<") else {source.file: source}
