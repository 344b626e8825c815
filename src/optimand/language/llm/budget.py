"""Wrappers around models: counting and limiting what calls cost, a model for each role, replies kept in memory."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from optimand.core.validation import check_int, check_number

from .base import Backend, BudgetExceeded, ChatError, ChatModel, ChatResult, Request, Usage


class Metered(Backend):
    """A model whose calls are counted, by role too, and that refuses calls once a limit is reached.

    Args:
        chat: the model that answers.
        max_calls: most calls, those under way included; None for no limit.
        max_tokens: most tokens read and written.
        max_cost: most cost, in the currency of ``prices``.
        prices: of a million tokens, as ``(prompt, completion)``; None takes the cost that the backend reports.
        strict: refuse a call that might go over a limit on tokens or cost, taking its longest replies and four
            characters of the prompt for a token. Otherwise a call is refused when a limit is reached already, and the
            calls then under way may go over it.
        used: what was used before, such as by a run that goes on.
        on_call: told the role and the usage after every call.

    ``usage`` is the sum, ``by_role`` a sum for each role. Calls that fail are not counted.

    Raises:
        BudgetExceeded: by ``chat``, before the call is made.

    Example:
        >>> from optimand.language.llm import Scripted
        >>> model = Metered(Scripted(["a"], repeat=True), max_calls=1)
        >>> _ = model.chat([{"role": "user", "content": "?"}], role="demo")
        >>> model.by_role["demo"].calls
        1
        >>> model.chat([{"role": "user", "content": "?"}])
        Traceback (most recent call last):
        optimand.language.llm.base.BudgetExceeded: the limit max_calls=1 is reached
    """

    def __init__(
        self,
        chat: ChatModel,
        *,
        max_calls: int | None = None,
        max_tokens: int | None = None,
        max_cost: float | None = None,
        prices: tuple[float, float] | None = None,
        strict: bool = False,
        used: Usage | None = None,
        on_call: Callable[[str, Usage], None] | None = None,
    ) -> None:
        self.inner = chat
        self.max_calls = None if max_calls is None else check_int("max_calls", max_calls, low=0)
        self.max_tokens = None if max_tokens is None else check_int("max_tokens", max_tokens, low=0)
        self.max_cost = None if max_cost is None else check_number("max_cost", max_cost, low=0)
        if prices is not None:
            if len(prices) != 2:
                raise ValueError(f"prices must be (prompt, completion), got {prices!r}")
            prices = check_number("prices[0]", prices[0], low=0), check_number("prices[1]", prices[1], low=0)
        self.prices = prices
        self.strict = bool(strict)
        self._on_call = on_call
        self._usage = used if used is not None else Usage()
        self._by_role: dict[str, Usage] = {}
        self._pending = Usage()
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The model's name."""
        return self.inner.name

    @property
    def usage(self) -> Usage:
        """What all calls cost."""
        with self._lock:
            return self._usage

    @property
    def by_role(self) -> dict[str, Usage]:
        """What the calls of each role cost."""
        with self._lock:
            return dict(self._by_role)

    def __repr__(self) -> str:
        limits = [f"{name}={value}" for name, value in self._limits().items() if value is not None]
        return f"Metered({', '.join([repr(self.name), *limits])})"

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["_lock"]
        state["_on_call"] = None
        state["_pending"] = Usage()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def complete(self, request: Request) -> ChatResult:
        """Ask if the budget allows it."""
        expected = self._priced(Usage(1))
        if self.strict:
            read = sum(len(message["content"]) for message in request.messages) // 4 + 8 * len(request.messages)
            expected = self._priced(Usage(1, read, request.n * request.max_tokens))
        with self._lock:
            self._check(expected)
            self._pending += expected
        result: ChatResult | None = None
        try:
            result = request.ask(self.inner)
        finally:
            used = self._priced(result.usage) if result is not None else Usage()
            with self._lock:
                self._pending += _negative(expected)
                if result is not None:
                    self._usage += used
                    self._by_role[request.role] = self._by_role.get(request.role, Usage()) + used
        if self._on_call is not None:
            self._on_call(request.role, used)
        return replace(result, usage=used)

    def _limits(self) -> dict[str, float | None]:
        return {"max_calls": self.max_calls, "max_tokens": self.max_tokens, "max_cost": self.max_cost}

    def _priced(self, usage: Usage) -> Usage:
        if self.prices is None:
            return usage
        cost = (usage.prompt_tokens * self.prices[0] + usage.completion_tokens * self.prices[1]) / 1e6
        return replace(usage, cost=cost)

    def _check(self, expected: Usage) -> None:
        total = self._usage + self._pending
        if self.max_calls is not None and total.calls + 1 > self.max_calls:
            raise BudgetExceeded(f"the limit max_calls={self.max_calls} is reached")
        for name, limit, now, more in (
            ("max_tokens", self.max_tokens, total.tokens, expected.tokens),
            ("max_cost", self.max_cost, total.cost, expected.cost),
        ):
            if limit is None:
                continue
            if now >= limit:
                raise BudgetExceeded(f"the limit {name}={limit:g} is reached ({now:g} used)")
            if now + more > limit:
                raise BudgetExceeded(f"the limit {name}={limit:g} leaves {limit - now:g}, and a call may take {more:g}")


class Roles(Backend):
    """One model out of several, by what the call is for.

    Args:
        chats: models by prefix: ``alphaopt`` is for the roles ``alphaopt`` and ``alphaopt.…``; the longest prefix wins.
        default: for all other roles; None refuses them.

    Raises:
        ChatError: by ``chat``, for a role without a model.

    Example:
        >>> from optimand.language.llm import Scripted
        >>> model = Roles({"judge": Scripted(["no"])}, Scripted(["yes"]))
        >>> model.chat([{"role": "user", "content": "?"}], role="judge.final").text
        'no'
    """

    def __init__(self, chats: Mapping[str, ChatModel], default: ChatModel | None = None) -> None:
        for prefix, chat in {**chats, "default": default}.items():
            if chat is not None and not isinstance(chat, ChatModel):
                raise TypeError(f"the model for {prefix!r} must have chat() and name, got {chat!r:.60}")
        self.chats = dict(chats)
        self.default = default

    @property
    def name(self) -> str:
        """All models by prefix."""
        parts = [f"{prefix}: {chat.name}" for prefix, chat in self.chats.items()]
        if self.default is not None:
            parts.append(f"else {self.default.name}")
        return ", ".join(parts)

    def __repr__(self) -> str:
        return f"Roles({self.name})"

    def model_for(self, role: str) -> ChatModel:
        """The model that answers ``role``."""
        fitting = [prefix for prefix in self.chats if role == prefix or role.startswith(prefix + ".")]
        if fitting:
            return self.chats[max(fitting, key=len)]
        if self.default is None:
            raise ChatError(f"there is no model for the role {role!r}; there are {', '.join(self.chats) or 'none'}")
        return self.default

    def complete(self, request: Request) -> ChatResult:
        """Ask the role's model."""
        return request.ask(self.model_for(request.role))


class Cached(Backend):
    """A model that gives the same reply to the same request, for as long as the object lives; a cassette lasts longer.

    Of threads that make the same request at once, one asks and the others wait for its reply.

    Args:
        chat: the model that answers.
        size: most replies kept; the oldest go first.

    ``hits`` counts the calls that were answered from memory; they cost nothing.
    """

    def __init__(self, chat: ChatModel, *, size: int = 4096) -> None:
        self.inner = chat
        self.size = check_int("size", size, low=1)
        self.hits = 0
        self._replies: dict[str, ChatResult] = {}
        self._asking: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The model's name."""
        return self.inner.name

    def complete(self, request: Request) -> ChatResult:
        """Ask, or remember."""
        key = json.dumps([[dict(message) for message in request.messages], request.options], default=dict)
        with self._lock:
            turn = self._asking.setdefault(key, threading.Lock())
        with turn:
            with self._lock:
                known = self._replies.get(key)
                self.hits += known is not None
            if known is not None:
                return replace(known, usage=Usage())
            result = request.ask(self.inner)
            with self._lock:
                self._replies[key] = result
                while len(self._replies) > self.size:
                    oldest = next(iter(self._replies))
                    del self._replies[oldest]
                    self._asking.pop(oldest, None)
        return result


def _negative(usage: Usage) -> Usage:
    return Usage(-usage.calls, -usage.prompt_tokens, -usage.completion_tokens, -usage.seconds, -usage.cost)
