"""Language models behind one call: endpoints, the embedded model, recordings, scripts, budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimand.core.lazy import lazy_exports

if TYPE_CHECKING:
    from .base import Backend as Backend
    from .base import BudgetExceeded as BudgetExceeded
    from .base import ChatError as ChatError
    from .base import ChatModel as ChatModel
    from .base import ChatResult as ChatResult
    from .base import ChatTimeout as ChatTimeout
    from .base import Request as Request
    from .base import Usage as Usage
    from .base import achat as achat
    from .base import json_format as json_format
    from .base import schema_of as schema_of
    from .budget import Cached as Cached
    from .budget import Metered as Metered
    from .budget import Roles as Roles
    from .cassettes import NotRecorded as NotRecorded
    from .cassettes import Record as Record
    from .cassettes import Replay as Replay
    from .choosing import endpoint_configured as endpoint_configured
    from .choosing import open_chat as open_chat
    from .embedded import EmbeddedModel as EmbeddedModel
    from .openai_compatible import OpenAICompatible as OpenAICompatible
    from .scripted import Scripted as Scripted
    from .secrets import redact as redact
    from .serve import serve_embedded as serve_embedded
    from .structured import ReplyError as ReplyError
    from .structured import ask as ask
    from .structured import read_all_json as read_all_json
    from .structured import read_json as read_json

__getattr__, __dir__, __all__ = lazy_exports(__name__)
