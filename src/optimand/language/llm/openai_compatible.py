"""Any server with the OpenAI interface for chat: hosted ones, vLLM, llama.cpp, Ollama, LM Studio, gateways.

The interface is one request; the standard library sends it. What servers differ in is found out from their refusals and
remembered: how far they enforce a schema, how the limit on tokens is called, whether they draw several replies at once.
"""

from __future__ import annotations

import hashlib
import json
import logging
import random
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from optimand.core.validation import check_int, check_number, suggest

from .base import Backend, ChatError, ChatResult, ChatTimeout, Message, Request, Usage
from .secrets import names_secret, redact, remember
from .transport import Reply, Unreachable, request_json
from .waiting import tell
from .wire import KEY_VARIABLES, checked_url, choices_of, error_of, forms_of, is_local, key_of, timeout_of, usage_of

logger = logging.getLogger("optimand.language.llm")

_TRY_AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_REFUSED = {400, 415, 422, 501}
_AFTER_SILENCE = 2  # further tries after time-outs: each costs the whole time-out
_OPTIONAL = ("temperature", "seed")  # what some models refuse and can do without


class OpenAICompatible(Backend):
    """A model at an endpoint with the OpenAI interface.

    Args:
        base_url: such as ``https://api.openai.com/v1`` or ``http://localhost:11434/v1``.
        model: the model's name there; None asks the server, and takes the one it has.
        api_key: None reads ``OPTIMAND_LLM_API_KEY``, else ``OPENAI_API_KEY``; a server of one's own may need none. It
            is sent to ``base_url`` alone, and never shown, logged or pickled.
        timeout: seconds for one try; None reads ``OPTIMAND_LLM_TIMEOUT``, else takes 120.
        retries: most further tries after a fault of the connection, or the statuses 408, 409, 425, 429 and 5xx; after
            time-outs no more than two.
        backoff: seconds to wait before the first of them, doubled with each, times a random factor in [0.5, 1]. A
            server's Retry-After is kept instead.
        max_wait: most seconds to wait before a try; a server that wants more gets no further one.
        headers: further ones to send; values of those named like keys are kept secret as ``api_key`` is.
        extra: further entries of each request's body, such as ``{"top_p": 0.9}``.
        progress: told in a sentence about every wait and every adaptation, as whoever listens
            (:func:`~optimand.language.llm.waiting.listening`) is.

    ``adaptations`` lists what was left out because the server refused it, such as ``seed``.

    Example:
        >>> OpenAICompatible("http://localhost:8080/v1", "llama", api_key="sk-0123456789")
        OpenAICompatible('http://localhost:8080/v1', 'llama', api_key=[redacted])
    """

    def __init__(
        self,
        base_url: str,
        model: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float | None = None,
        retries: int = 4,
        backoff: float = 0.5,
        max_wait: float = 60.0,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self.base_url, self._host = checked_url(base_url)
        self.timeout = timeout_of(timeout)
        self.retries = check_int("retries", retries, low=0)
        self.backoff = check_number("backoff", backoff, low=0)
        self.max_wait = check_number("max_wait", max_wait, low=0)
        self._key = key_of(api_key)
        self._headers = dict(headers or {})
        for name, value in self._headers.items():
            if names_secret(name):
                remember(value.rpartition(" ")[2])
        self._extra = dict(extra or {})
        self._progress = progress
        self._model = model
        self.adaptations: list[str] = []
        self._levels: dict[str, int] = {}
        self._start()
        if self._key and self.base_url.startswith("http:") and not is_local(self._host):
            warnings.warn(f"the key goes to {self._host} unencrypted; use https if it can", UserWarning, stacklevel=2)

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._random = random.Random()

    @property
    def name(self) -> str:
        """The model and its host."""
        return f"{self._model or 'the model'} at {self._host}"

    @property
    def model(self) -> str:
        """The model's name; asks the server where none was given."""
        if self._model is None:
            found = self.models()
            if len(found) != 1:
                listed = ", ".join(found[:8]) or "none"
                raise ChatError(
                    f"{self._host} has {len(found)} models ({listed}); name one, "
                    f"such as '{self.base_url}#{found[0] if found else 'MODEL'}', or set OPTIMAND_LLM_MODEL"
                )
            self._model = found[0]
        return self._model

    def __repr__(self) -> str:
        key = ", api_key=[redacted]" if self._key else ""
        return f"OpenAICompatible({self.base_url!r}, {self._model!r}{key})"

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["_lock"], state["_random"]
        state["_progress"] = None  # a function of the other process
        state["_headers"] = {name: value for name, value in self._headers.items() if redact(value) == value}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()

    def models(self) -> list[str]:
        """The names of the models that the server lists."""
        reply = self._send("/models", None)
        if reply.status != 200:
            raise self._failure(reply)
        body = self._json(reply)
        return [str(entry["id"]) for entry in body.get("data") or [] if isinstance(entry, Mapping) and "id" in entry]

    def complete(self, request: Request) -> ChatResult:
        """Ask the endpoint.

        A server that refuses a schema is asked without its strict form, then for any JSON, then for text, with the
        schema in words: check the reply, as :func:`~optimand.language.llm.structured.ask` does.
        """
        begin = time.monotonic()
        messages, seed, n = request.messages, request.seed, request.n
        body: dict[str, Any] = {
            "model": self.model, "max_tokens": request.max_tokens, "temperature": request.temperature,
        }  # fmt: skip
        if seed is not None:
            body["seed"] = seed
        if n > 1:
            body["n"] = n
        body |= self._extra
        texts: list[str] = []
        reasons: list[str] = []
        usage = Usage()
        answered = ""
        while len(texts) < n:
            if texts:  # the server drew fewer than were asked for: the rest one by one, each with a seed of its own
                body.pop("n", None)
                if seed is not None:
                    body["seed"] = seed + len(texts)
            found = self._json(self._answer(messages, body, request.response_format))
            drawn = choices_of(found, self._host)
            texts += [text for text, _ in drawn]
            reasons += [reason for _, reason in drawn]
            usage += usage_of(found, messages, drawn)
            answered = str(found.get("model") or self.model)
        usage = replace(usage, seconds=time.monotonic() - begin)
        return ChatResult(tuple(texts[:n]), usage, tuple(reasons[:n]), answered)

    def _answer(self, messages: Sequence[Message], body: dict[str, Any], wanted: Mapping[str, Any] | None) -> Reply:
        """Send, giving up step by step what the server refuses."""
        forms = forms_of(messages, wanted)
        digest = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()
        level = self._levels.get(digest, 0)
        refusal: Reply | None = None
        while True:
            request = self._adapted(body)
            request |= forms[level]
            reply = self._send("/chat/completions", request)
            if reply.status == 200:
                self._levels[digest] = level
                return reply
            if reply.status in _REFUSED:
                if self._adapt(reply, request):
                    continue
                refusal = refusal or reply
                if level + 1 < len(forms):
                    level += 1
                    self._say(f"{self._host} refused the form of reply; asking with less of it ({reply.status})")
                    continue
            # The first refusal is the one that is about the request as it was meant.
            raise self._failure(refusal or reply)

    def _adapted(self, body: Mapping[str, Any]) -> dict[str, Any]:
        request = {name: value for name, value in body.items() if name not in self.adaptations}
        if "max_tokens" in self.adaptations:
            request["max_completion_tokens"] = body["max_tokens"]
        return request

    def _adapt(self, reply: Reply, request: Mapping[str, Any]) -> bool:
        """Whether the refusal names a parameter that can be left out or called otherwise."""
        message, parameter = error_of(reply)
        lower = message.lower()
        candidates = [name for name in ("max_tokens", *_OPTIONAL, "n") if name in request]
        for name in candidates:
            named = parameter == name or f"'{name}'" in message or f'"{name}"' in message or f"`{name}`" in message
            if name == "max_tokens":
                named = "max_completion_tokens" in lower
            elif name in _OPTIONAL and not named:
                named = name in lower and any(
                    word in lower for word in ("unsupported", "not support", "extra", "permit")
                )
            if named:
                with self._lock:
                    if name not in self.adaptations:
                        self.adaptations.append(name)
                instead = "asking for max_completion_tokens" if name == "max_tokens" else f"asking without {name!r}"
                self._say(f"{self._host} refused {name!r}; {instead}")
                return True
        return False

    def _send(self, path: str, payload: Mapping[str, Any] | None) -> Reply:
        """One request with its retries; the last reply, whatever its status."""
        wait, silent = self.backoff, 0
        for attempt in range(self.retries + 1):
            asked: float | None = None
            reply: Reply | None = None
            error: Unreachable | None = None
            try:
                reply = request_json(
                    self.base_url + path, payload, key=self._key, timeout=self.timeout, headers=self._headers
                )
                if reply.status not in _TRY_AGAIN or "insufficient_quota" in reply.body:
                    return reply
                why = f"status {reply.status}"
                asked = reply.wait()
            except Unreachable as caught:
                error = caught
                why = str(caught)
            slow = error is not None and error.slow
            silent += slow
            last = attempt == self.retries or silent > _AFTER_SILENCE or (error is not None and error.permanent)
            pause = asked if asked is not None else min(self.max_wait, wait * (0.5 + 0.5 * self._random.random()))
            if last or pause > self.max_wait:
                if reply is not None:
                    return reply
                raise self._silence(error, attempt + 1) from None
            if slow:
                tries = min(self.retries, attempt + 1 + _AFTER_SILENCE - silent) + 1
                self._say(f"{self._host}: no answer in {self.timeout:g} s, try {attempt + 2} of {tries}")
            else:
                again = f"trying again in {pause:.1f} s ({attempt + 1} of {self.retries})"
                self._say(f"{self._host}: {redact(why)}; {again}")
            time.sleep(pause)
            wait *= 2
        raise AssertionError("unreachable")

    def _say(self, sentence: str) -> None:
        logger.info(sentence)
        tell(sentence)
        if self._progress is not None:
            self._progress(sentence)

    def _silence(self, error: Unreachable | None, tries: int) -> ChatError:
        count = "1 try" if tries == 1 else f"{tries} tries"
        if error is not None and error.slow:
            return ChatTimeout(f"{self.name} did not answer within timeout={self.timeout:g} s ({count})")
        return ChatError(f"no server answers at {self.base_url} ({redact(str(error))}; {count}); is it running?")

    def _failure(self, reply: Reply) -> ChatError:
        message = redact(error_of(reply)[0])
        status = reply.status
        if status in (401, 403):
            source = f"the key from {self._key.variable}" if self._key.variable else "the key that was given"
            if not self._key:
                return ChatError(
                    f"{self._host} wants a key and none is set; set {KEY_VARIABLES[0]} ({status}: {message})"
                )
            return ChatError(f"{self._host} refused {source} ({status}: {message})")
        if status == 404:
            return ChatError(f"{self._missing()} (404: {message})")
        if status in (301, 302, 303, 307, 308):
            target = redact(reply.headers.get("location", "elsewhere"))
            return ChatError(f"{self.base_url} redirects to {target}, which is not followed; give that as base_url")
        if status in _TRY_AGAIN:
            asked = reply.wait()
            later = f"; it asks to wait {asked:g} s, more than max_wait" if asked and asked > self.max_wait else ""
            return ChatError(f"{self._host} did not answer in {self.retries + 1} tries ({status}: {message}{later})")
        return ChatError(f"{self._host} refused the request ({status}: {message})")

    def _missing(self) -> str:
        """Says whether it is the model that is missing or the path, by looking at what the server lists."""
        try:
            reply = request_json(
                self.base_url + "/models", None, key=self._key, timeout=min(5.0, self.timeout), headers=self._headers
            )
            known = [str(entry["id"]) for entry in reply.json()["data"]]
        except (Unreachable, ValueError, KeyError, TypeError):
            return f"{self.base_url} has no chat completions for the model {self._model!r}; does the URL end in /v1?"
        if self._model in known:
            return f"{self.base_url} lists {self._model!r} and has no chat completions for it"
        listed = ", ".join(known[:8]) + (", …" if len(known) > 8 else "")
        return (
            f"{self._host} has no model {self._model!r}{suggest(str(self._model), known)} (it has {listed or 'none'})"
        )

    def _json(self, reply: Reply) -> Mapping[str, Any]:
        try:
            body = reply.json()
        except ValueError:
            body = None
        if not isinstance(body, Mapping):
            kind = reply.headers.get("content-type", "text")
            raise ChatError(
                f"{self.base_url} answered with {kind} and not with JSON ({redact(reply.body[:80])!r}); "
                "does the URL end in /v1?"
            )
        return body
