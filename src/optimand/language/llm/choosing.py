"""Which model answers: from a short text, or from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optimand.core.validation import OptimandError

from .base import ChatModel

if TYPE_CHECKING:
    from .openai_compatible import OpenAICompatible

OPENAI_URL = "https://api.openai.com/v1"
_FORMS = (
    "'embedded', 'embedded:FILE.gguf', 'openai:MODEL', 'http(s)://HOST/v1#MODEL', 'replay:FILE' or 'record:FILE=SPEC'"
)


def open_chat(spec: str | Mapping[str, Any] | ChatModel | None = None, **options: Any) -> ChatModel:
    """The model that ``spec`` or the environment names.

    Args:
        spec: ``embedded``; ``embedded:FILE.gguf`` for another model in that runtime; ``openai:MODEL``, at
            ``OPTIMAND_LLM_BASE_URL`` or ``OPENAI_BASE_URL`` where one is set; ``http://HOST:PORT/v1#MODEL`` for any
            OpenAI-compatible server (without ``#MODEL``: the one model it has); ``replay:FILE`` and
            ``record:FILE=SPEC`` for cassettes. A mapping from prefixes of roles to specs, with the key ``""`` for the
            rest, gives :class:`Roles`. A model is returned as it is. None takes ``OPTIMAND_LLM``, else the endpoint in
            the environment (see :func:`endpoint_configured`), else the embedded model.
        options: for the backend, such as ``timeout``.

    Raises:
        ChatError: the model cannot be had: no package, no server, no recording.
        OptimandError: ``spec`` is none of the above.

    Example:
        >>> open_chat("http://localhost:8080/v1#llama").name
        'llama at localhost:8080'
    """
    if spec is not None and not isinstance(spec, str | Mapping):
        if isinstance(spec, ChatModel):
            return spec
        raise TypeError(f"spec must be a text, a mapping, a model or None, got {spec!r:.60} ({type(spec).__name__})")
    if isinstance(spec, Mapping):
        from .budget import Roles

        chats = {prefix: open_chat(part, **options) for prefix, part in spec.items()}
        return Roles(chats, chats.pop("", None))
    spec = (spec or os.environ.get("OPTIMAND_LLM", "")).strip()
    if not spec:
        return _endpoint("", options) if _endpoint_in_environment() else _embedded("", options)
    head, _, rest = spec.partition(":")
    if head == "embedded":
        return _embedded(rest, options)
    if head == "openai":
        if not rest:
            raise OptimandError(f"the model {spec!r} lacks its name; expected 'openai:MODEL'")
        return _endpoint(rest, options)
    if head in ("http", "https"):
        from .openai_compatible import OpenAICompatible

        url, _, model = spec.partition("#")
        return OpenAICompatible(url, model or os.environ.get("OPTIMAND_LLM_MODEL") or None, **options)
    if head == "replay" and rest:
        from .cassettes import Replay

        return Replay(Path(rest), **options)
    if head == "record" and rest:
        from .cassettes import Record

        path, _, inner = rest.partition("=")
        return Record(open_chat(inner or "embedded", **options), Path(path))
    raise OptimandError(f"unknown language model {spec!r}; expected {_FORMS}")


def endpoint_configured() -> bool:
    """Whether the environment names a model other than the embedded one.

    That is: ``OPTIMAND_LLM`` names one; or a base URL is set (``OPTIMAND_LLM_BASE_URL`` or ``OPENAI_BASE_URL``); or a
    key together with ``OPTIMAND_LLM_MODEL``. A key alone is not taken for the wish to spend money.
    """
    spec = os.environ.get("OPTIMAND_LLM", "").strip()
    if spec:
        return spec.partition(":")[0] != "embedded"
    return _endpoint_in_environment()


def _endpoint_in_environment() -> bool:
    return bool(_base_url() or (_key() and os.environ.get("OPTIMAND_LLM_MODEL")))


def _base_url() -> str:
    return os.environ.get("OPTIMAND_LLM_BASE_URL") or os.environ.get("OPENAI_BASE_URL") or ""


def _key() -> str:
    return os.environ.get("OPTIMAND_LLM_API_KEY") or os.environ.get("OPENAI_API_KEY") or ""


def _endpoint(model: str, options: Mapping[str, Any]) -> OpenAICompatible:
    from .openai_compatible import OpenAICompatible

    return OpenAICompatible(_base_url() or OPENAI_URL, model or os.environ.get("OPTIMAND_LLM_MODEL") or None, **options)


def _embedded(path: str, options: Mapping[str, Any]) -> ChatModel:
    from .embedded import EmbeddedModel

    return EmbeddedModel(path or None, **options)
