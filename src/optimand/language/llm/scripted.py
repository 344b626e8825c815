"""Replies written beforehand, or computed by a function: for tests, simulated oracles, playing without a model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from .base import Backend, ChatError, ChatResult, Message, Request, Usage


class Scripted(Backend):
    """A model that gives prepared replies.

    Args:
        replies: texts, given one after another; or a function ``reply(messages, **options) -> str``, which gets the
            options of :meth:`ChatModel.chat <optimand.language.llm.ChatModel.chat>`, ``role`` among them, and may be
            called from several threads.
        repeat: begin again when the texts are used up.
        name: its name in reports.

    ``calls`` holds what was asked, in order: messages and options.

    Raises:
        ChatError: by ``chat`` when the texts are used up.

    Example:
        >>> model = Scripted(["4", "no"])
        >>> model.chat([{"role": "user", "content": "2 + 2?"}]).text
        '4'
        >>> len(model.calls)
        1
    """

    def __init__(
        self, replies: Iterable[str] | Callable[..., str], *, repeat: bool = False, name: str = "scripted"
    ) -> None:
        self.name = name
        self.calls: list[tuple[tuple[Message, ...], dict[str, Any]]] = []
        self._reply = replies if callable(replies) else None
        self._texts = [] if callable(replies) else list(replies)
        for text in self._texts:
            if not isinstance(text, str):
                raise TypeError(f"replies must be texts, got {text!r:.60} ({type(text).__name__})")
        self._repeat = repeat
        self._next = 0
        self._lock = threading.Lock()

    def complete(self, request: Request) -> ChatResult:
        """The next reply, or the next ``n``."""
        messages, n, options = request.messages, request.n, request.options
        with self._lock:
            self.calls.append((messages, options))
            texts = [] if self._reply else [self._take() for _ in range(n)]
        if self._reply is not None:
            texts = [self._reply(messages, **options) for _ in range(n)]
        read = sum(len(message["content"].split()) for message in messages)
        written = sum(len(text.split()) for text in texts)
        return ChatResult(tuple(texts), Usage(1, read, written), ("stop",) * n, self.name)

    def _take(self) -> str:
        if self._next >= len(self._texts) and not (self._repeat and self._texts):
            raise ChatError(f"the script of {self.name!r} has {len(self._texts)} replies and all are used up")
        text = self._texts[self._next % len(self._texts)]
        self._next += 1
        return text
