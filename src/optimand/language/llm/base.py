"""What a language model is to this package: one call, its answer, and what it cost.

Everything that asks a model takes a :class:`ChatModel`. Backends, recorders, budgets and scripted stand-ins all have
this one method, so they can be put around one another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from optimand.core.validation import OptimandError, check_int, check_number

Message = Mapping[str, str]


class ChatError(OptimandError):
    """A model could not be asked, or did not answer: no server, refused key, no model on this machine."""


class ChatTimeout(ChatError):  # noqa: N818 (what happened)
    """A call took longer than it was given."""


class BudgetExceeded(ChatError):  # noqa: N818 (what happened)
    """A call was not made because the limit on calls, tokens or cost is reached."""


@dataclass(frozen=True)
class Usage:
    """What calls cost; adding two gives the sum.

    Attributes:
        calls: requests answered.
        prompt_tokens: tokens read.
        completion_tokens: tokens written.
        seconds: wall time.
        cost: in the currency of the prices that were given; 0 without prices.

    Example:
        >>> Usage(calls=1, prompt_tokens=10) + Usage(calls=2, completion_tokens=5)
        Usage(calls=3, prompt_tokens=10, completion_tokens=5, seconds=0.0, cost=0.0)
    """

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    cost: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.seconds + other.seconds,
            self.cost + other.cost,
        )

    @property
    def tokens(self) -> int:
        """Tokens read and written."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class ChatResult:
    """The answer to one call.

    Attributes:
        texts: the replies, ``n`` of them.
        usage: what they cost together.
        finish_reasons: why each ended: ``stop``, ``length`` (cut off at ``max_tokens``) or what the backend says.
        model: the model that answered, as the backend names it.
    """

    texts: tuple[str, ...]
    usage: Usage = field(default_factory=Usage)
    finish_reasons: tuple[str, ...] = ()
    model: str = ""

    @property
    def text(self) -> str:
        """The first reply."""
        return self.texts[0]


@runtime_checkable
class ChatModel(Protocol):
    """A language model, or anything that stands for one.

    Attributes:
        name: says which model answers, for reports; never a secret.
    """

    @property
    def name(self) -> str: ...

    def chat(
        self,
        messages: Sequence[Message],
        *,
        response_format: Mapping[str, Any] | None = None,
        temperature: float = 0.0,
        max_tokens: int = 1024,
        seed: int | None = None,
        n: int = 1,
        role: str = "",
    ) -> ChatResult:
        """Ask once.

        Args:
            messages: ``{"role": "system" | "user" | "assistant", "content": text}`` each, oldest first.
            response_format: None for free text, ``{"type": "json_object"}``, or what :func:`json_format` makes; a
                backend that can constrains its decoder to it, others only ask for it.
            temperature: >= 0; 0 takes the likeliest token.
            max_tokens: most tokens of each reply.
            seed: for backends that draw reproducibly.
            n: replies wanted.
            role: what the call is for, such as ``optoprime.step`` or ``alphaopt.programmer.code``. Models can be
                chosen, budgeted and scripted by it; it is not sent.

        Raises:
            ChatError: no answer; :class:`ChatTimeout` or :class:`BudgetExceeded` where these are why.
        """


@dataclass(frozen=True)
class Request:
    """One call of a model: what was asked, with every option.

    Attributes:
        messages, response_format, temperature, max_tokens, seed, n, role: see :meth:`ChatModel.chat`.
    """

    messages: tuple[Message, ...]
    response_format: Mapping[str, Any] | None = None
    temperature: float = 0.0
    max_tokens: int = 1024
    seed: int | None = None
    n: int = 1
    role: str = ""

    @property
    def options(self) -> dict[str, Any]:
        """Everything but the messages, by name."""
        return {name: value for name, value in vars(self).items() if name != "messages"}

    def ask(self, chat: ChatModel) -> ChatResult:
        """Put the same request to another model."""
        return chat.chat(self.messages, **self.options)


class Backend:
    """Base of models: takes a call's options once, and checks them; a subclass answers in ``complete``.

    Example:
        >>> class Echo(Backend):
        ...     name = "echo"
        ...
        ...     def complete(self, request):
        ...         return ChatResult((request.messages[-1]["content"],) * request.n)
        >>> Echo().chat([{"role": "user", "content": "hm"}], n=2).texts
        ('hm', 'hm')
    """

    def chat(
        self,
        messages: Sequence[Message],
        *,
        response_format: Mapping[str, Any] | None = None,
        temperature: float = 0.0,
        max_tokens: int = 1024,
        seed: int | None = None,
        n: int = 1,
        role: str = "",
    ) -> ChatResult:
        """Ask once; see :meth:`ChatModel.chat`.

        Raises:
            TypeError, ValueError: ``n`` or ``max_tokens`` is no whole number >= 1, or ``temperature`` is negative.
        """
        check_int("n", n, low=1)
        check_int("max_tokens", max_tokens, low=1)
        check_number("temperature", temperature, low=0)
        return self.complete(Request(tuple(messages), response_format, temperature, max_tokens, seed, n, role))

    def complete(self, request: Request) -> ChatResult:
        """Answer a request whose options were checked."""
        raise NotImplementedError


def json_format(schema: Mapping[str, Any], name: str = "reply") -> dict[str, Any]:
    """The ``response_format`` that asks for JSON of a schema.

    Example:
        >>> json_format({"type": "object"})["json_schema"]["name"]
        'reply'
    """
    return {"type": "json_schema", "json_schema": {"name": name, "schema": dict(schema), "strict": True}}


def schema_of(response_format: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The schema in a ``response_format``, or None if it holds none."""
    if response_format is None or response_format.get("type") != "json_schema":
        return None
    return response_format["json_schema"]["schema"]


async def achat(chat: ChatModel, messages: Sequence[Message], **options: Any) -> ChatResult:
    """Ask without blocking the event loop: the call runs in a thread, whatever the backend."""
    return await asyncio.to_thread(chat.chat, messages, **options)
