"""Language models behind one call: endpoints, the embedded model, recordings, scripts, budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimand.core.lazy import lazy_attribute

if TYPE_CHECKING:
    from .base import (
        Backend,
        BudgetExceeded,
        ChatError,
        ChatModel,
        ChatResult,
        ChatTimeout,
        Request,
        Usage,
        achat,
        json_format,
        schema_of,
    )
    from .budget import Cached, Metered, Roles
    from .cassettes import NotRecorded, Record, Replay
    from .choosing import endpoint_configured, open_chat
    from .embedded import EmbeddedModel
    from .openai_compatible import OpenAICompatible
    from .scripted import Scripted
    from .secrets import redact
    from .serve import serve_embedded
    from .structured import ReplyError, ask, read_all_json, read_json

_HOMES = {
    "Backend": "base",
    "BudgetExceeded": "base",
    "Cached": "budget",
    "ChatError": "base",
    "ChatModel": "base",
    "ChatResult": "base",
    "ChatTimeout": "base",
    "EmbeddedModel": "embedded",
    "Metered": "budget",
    "NotRecorded": "cassettes",
    "OpenAICompatible": "openai_compatible",
    "Record": "cassettes",
    "Replay": "cassettes",
    "Request": "base",
    "ReplyError": "structured",
    "Roles": "budget",
    "Scripted": "scripted",
    "Usage": "base",
    "achat": "base",
    "ask": "structured",
    "endpoint_configured": "choosing",
    "json_format": "base",
    "open_chat": "choosing",
    "read_all_json": "structured",
    "read_json": "structured",
    "redact": "secrets",
    "schema_of": "base",
    "serve_embedded": "serve",
}

__all__ = [
    "Backend",
    "BudgetExceeded",
    "Cached",
    "ChatError",
    "ChatModel",
    "ChatResult",
    "ChatTimeout",
    "EmbeddedModel",
    "Metered",
    "NotRecorded",
    "OpenAICompatible",
    "Record",
    "Replay",
    "ReplyError",
    "Request",
    "Roles",
    "Scripted",
    "Usage",
    "achat",
    "ask",
    "endpoint_configured",
    "json_format",
    "open_chat",
    "read_all_json",
    "read_json",
    "redact",
    "schema_of",
    "serve_embedded",
]


def __getattr__(name: str) -> Any:
    return lazy_attribute(__name__, name, _HOMES)


def __dir__() -> list[str]:
    return __all__
