"""What tracing keeps per context: names, whether operations are recorded, and which values a call has read.

One context variable holds it all, so every thread and every asyncio task has its own and an operation pays for one
look-up. There is no registry of nodes: a tape counts names, nothing else.

Reference: arXiv 2406.16218 describes the tracing; the official package keeps one global list of all nodes.
"""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .nodes import MessageNode, Node, ParameterNode

# Creation order, for ties between nodes of one level and for "made before this call began"; a number, not a registry.
SERIAL = itertools.count()


def identifier(name: str) -> str:
    """A name as an identifier.

    Example:
        >>> identifier("my prompt"), identifier("2nd")
        ('my_prompt', '_2nd')
    """
    if not isinstance(name, str) or not name:
        raise TypeError(f"name must be a text that is not empty, got {name!r} ({type(name).__name__})")
    if not name.isidentifier():
        name = re.sub(r"\W", "_", name)
        name = name if name.isidentifier() else "_" + name
    return name


class Tape:
    """Counts names: the first node called ``x`` is ``x0``, the next ``x1``.

    As a context manager a tape goes on from the numbers of the tape around it and gives them back at the end, so the
    same steps give the same names each time they are run inside a ``with Tape():``. A fresh one counts from 0 whatever
    was named before, so that prompts and their recordings do not depend on what the process did earlier; nodes from
    outside must then not be mixed with those inside, whose names they may share.

    Args:
        fresh: count from 0.

    Example:
        >>> from optimand.language.workflows.tracing.nodes import node
        >>> x = node(2, name="x")
        >>> def names():
        ...     with Tape():
        ...         return (x + 1).py_name
        >>> names() == names()
        True
        >>> with Tape(fresh=True):
        ...     node(2, name="x").py_name
        'x0'
    """

    __slots__ = ("_counts", "_entered", "_fresh", "_lock")

    def __init__(self, *, fresh: bool = False) -> None:
        self._counts: dict[str, int] = {}
        self._fresh = fresh
        self._lock = threading.Lock()
        self._entered = 0

    def index(self, base: str) -> int:
        """The next free number of this name; safe when several threads share the tape."""
        with self._lock:
            number = self._counts.get(base, 0)
            self._counts[base] = number + 1
        return number

    def __enter__(self) -> Tape:
        state = STATE.get()
        with state.tape._lock:
            counts = {} if self._fresh else dict(state.tape._counts)
        with self._lock:
            if not self._entered:  # else it is in use, here or in another thread, and goes on counting
                self._counts = counts
            self._entered += 1
        inner = State(self, state.scope, state.tracing)
        inner.token = STATE.set(inner)
        return self

    def __exit__(self, *error: object) -> None:
        token = STATE.get().token
        assert token is not None
        STATE.reset(token)
        with self._lock:
            self._entered -= 1


class Scope:
    """One running call of a bundled function: what it reads, and whether it traces inside.

    Attributes:
        start: nodes with a smaller serial number were made before the call.
        strict: operations on nodes inside count as reads, because no inner graph keeps them.
        reads: nodes read so far, with repetitions.
        codes: parameters whose code ran inside; they get feedback without being inputs.
        owner: the bundled function.
        outer: the scope around this one.
    """

    __slots__ = ("codes", "outer", "owner", "reads", "start", "strict")

    def __init__(self, owner: object, strict: bool, outer: Scope | None) -> None:
        self.owner = owner
        self.strict = strict
        self.outer = outer
        self.reads: list[Node] = []
        self.codes: list[ParameterNode] = []
        self.start = next(SERIAL)

    def runs(self, owner: object) -> bool:
        """Whether ``owner`` is running here or in a scope around."""
        scope: Scope | None = self
        while scope is not None:
            if scope.owner is owner or scope.owner == owner:
                return True
            scope = scope.outer
        return False


class State:
    """The tracing state of a context; replaced, never changed."""

    __slots__ = ("scope", "tape", "token", "tracing")

    def __init__(self, tape: Tape, scope: Scope | None, tracing: bool) -> None:
        self.tape = tape
        self.scope = scope
        self.tracing = tracing
        self.token: Token[State] | None = None  # of a tape, to go back by


STATE: ContextVar[State] = ContextVar("optimand_workflow_tracing", default=State(Tape(), None, True))  # noqa: B039


@contextmanager
def stop_tracing() -> Iterator[None]:
    """Within, operations give nodes without parents, and reads are not recorded.

    Example:
        >>> from optimand.language.workflows.tracing.nodes import node
        >>> x = node(1)
        >>> with stop_tracing():
        ...     y = x + 1
        >>> y.data, y.parents
        (2, ())
    """
    state = STATE.get()
    token = STATE.set(State(state.tape, None, False))
    try:
        yield
    finally:
        STATE.reset(token)


class Operator:
    """What made a node: a function with a name and a description.

    Attributes:
        name: as in ``[name] description``; propagators look up their overrides by it.
        description: ``[name]`` and a sentence.
        function: called with the inputs' values in order; None where a node was made by hand.
        static: facts about the function for the node's ``info``: its source, docstring, file.
        rerun: ``rerun(node, values)`` computes the node's value from other input values, for replays.
    """

    __slots__ = ("description", "function", "name", "rerun", "static")

    def __init__(
        self,
        name: str,
        description: str,
        function: Callable[..., Any] | None = None,
        *,
        static: dict[str, Any] | None = None,
        rerun: Callable[[MessageNode, dict[str, Any]], Any] | None = None,
    ) -> None:
        self.name = name
        self.description = description
        self.function = function
        self.static = static or {}
        self.rerun = rerun

    def __repr__(self) -> str:
        return f"Operator({self.name!r})"
