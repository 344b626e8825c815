"""Who is told, in sentences, what a model's backend waits for: through whatever is put around the backend."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

_listener: ContextVar[Callable[[str], None] | None] = ContextVar("optimand_llm_listener", default=None)


@contextlib.contextmanager
def listening(listener: Callable[[str], None] | None) -> Iterator[None]:
    """Tell a function about waits and further tries of every model asked inside the block, in this thread or task.

    Args:
        listener: called with a sentence; None for nobody.

    Example:
        >>> with listening(print):
        ...     tell("no answer in 120 s, try 2 of 3")
        no answer in 120 s, try 2 of 3
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def tell(sentence: str) -> None:
    """Tell the listener, if there is one."""
    listener = _listener.get()
    if listener is not None:
        listener(sentence)
