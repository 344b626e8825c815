"""What goes over the wire to a server with the OpenAI interface, and what comes back: pure functions."""

from __future__ import annotations

import json
import os
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

from optimand.core.validation import OptimandError, check_number

from .base import ChatError, Message, Usage, schema_of
from .secrets import Secret, redact
from .transport import Reply

TIMEOUT_VARIABLE, TIMEOUT = "OPTIMAND_LLM_TIMEOUT", 120.0
KEY_VARIABLES = ("OPTIMAND_LLM_API_KEY", "OPENAI_API_KEY")


def checked_url(url: str) -> tuple[str, str]:
    if not isinstance(url, str):
        raise TypeError(f"base_url must be a string, got {url!r:.60} ({type(url).__name__})")
    url = url.strip().rstrip("/").removesuffix("/chat/completions")
    try:
        parts = urllib.parse.urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        raise OptimandError(f"base_url is no address: {redact(url)!r}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise OptimandError(f"base_url must be like 'https://HOST/v1', got {redact(url)!r}")
    if parts.username or parts.password or parts.query:
        raise OptimandError(
            f"base_url must hold no user, password or query; give the key as api_key ({parts.hostname})"
        )
    return url, parts.hostname + port


def key_of(given: str | None) -> Secret:
    if given is not None:
        return Secret(given)
    for variable in KEY_VARIABLES:
        if os.environ.get(variable, "").strip():
            return Secret(os.environ[variable], variable)
    return Secret(None)


def timeout_of(given: float | None) -> float:
    """Seconds for one try: what is given, else the environment's, else 120."""
    if given is not None:
        return check_number("timeout", given, low=0, low_open=True)
    text = os.environ.get(TIMEOUT_VARIABLE, "").strip()
    if not text:
        return TIMEOUT
    try:
        return check_number(TIMEOUT_VARIABLE, float(text), low=0, low_open=True)
    except ValueError:
        raise OptimandError(f"{TIMEOUT_VARIABLE} must be a number of seconds above 0, got {text!r}") from None


def is_local(host: str) -> bool:
    name = host.rpartition(":")[0] or host
    return name == "localhost" or name.startswith("127.") or "::1" in name or name.endswith((".local", ".internal"))


def forms_of(messages: Sequence[Message], wanted: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Messages and ``response_format`` from what is wanted down to plain text with the wish in words."""
    plain = [dict(message) for message in messages]
    if wanted is None:
        return [{"messages": plain}]
    schema = schema_of(wanted)
    if schema is None:
        wish = "Reply with one JSON object and nothing else."
        worded = _with_wish(plain, wish)
        return [
            {"messages": plain, "response_format": dict(wanted)},
            {"messages": worded, "response_format": dict(wanted)},
            {"messages": worded},
        ]
    loose = {**wanted["json_schema"], "strict": False}
    wish = f"Reply with JSON only, of this JSON schema: {json.dumps(schema, ensure_ascii=False)}"
    worded = _with_wish(plain, wish)
    return [
        {"messages": plain, "response_format": dict(wanted)},
        {"messages": plain, "response_format": {"type": "json_schema", "json_schema": loose}},
        {"messages": worded, "response_format": {"type": "json_object"}},
        {"messages": worded},
    ]


def _with_wish(messages: list[dict[str, str]], wish: str) -> list[dict[str, str]]:
    last = messages[-1]
    return [*messages[:-1], {**last, "content": f"{last['content']}\n\n{wish}"}]


def error_of(reply: Reply) -> tuple[str, str]:
    """The server's own words and the parameter that it names, whichever of the usual places they stand in."""
    try:
        body = reply.json()
    except ValueError:
        return reply.body.strip()[:300] or "no explanation", ""
    error = body.get("error", body) if isinstance(body, Mapping) else body
    if isinstance(error, Mapping):
        message = error.get("message") or error.get("detail") or error.get("error") or error
        return str(message)[:600], str(error.get("param") or "")
    return str(error)[:600], ""


def choices_of(body: Mapping[str, Any], host: str) -> list[tuple[str, str]]:
    try:
        drawn = []
        for choice in body["choices"]:
            message = choice["message"]
            content = message.get("content")
            if isinstance(content, list):  # parts; those that are thinking have no text of their own
                content = "".join(str(part.get("text", "")) for part in content if part.get("type") == "text")
            drawn.append((str(content or message.get("refusal") or ""), str(choice.get("finish_reason") or "stop")))
    except (KeyError, TypeError, AttributeError):
        drawn = []
    if not drawn:
        shown = redact(json.dumps(body, ensure_ascii=False)[:120])
        raise ChatError(f"{host} answered without a choice: {shown}")
    return drawn


def usage_of(body: Mapping[str, Any], messages: Sequence[Message], drawn: Sequence[tuple[str, str]]) -> Usage:
    """What the server counted; where it does not say, four characters count as a token, so that budgets hold."""
    told = body.get("usage")
    told = told if isinstance(told, Mapping) else {}
    read = told.get("prompt_tokens")
    written = told.get("completion_tokens")
    if not isinstance(read, int):
        read = sum(len(message["content"]) for message in messages) // 4 + 4 * len(messages)
    if not isinstance(written, int):
        written = sum(len(text) for text, _ in drawn) // 4 + 1
    cost = told.get("cost")
    return Usage(1, read, written, cost=float(cost) if isinstance(cost, int | float) else 0.0)
