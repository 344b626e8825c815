"""Recordings of conversations, to run them again without a model: exactly, without a network, without keys in them.

A cassette is a file of JSON lines, one for each call: the request as it was made, the reply as it came. A replayed call
must be the recorded one in every respect; anything else fails with the difference, because a reply to another question
is worse than none.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .base import Backend, BudgetExceeded, ChatError, ChatModel, ChatResult, ChatTimeout, Request, Usage
from .secrets import redact, redact_all

VERSION = 1
_ERRORS: dict[str, type[ChatError]] = {
    "ChatError": ChatError,
    "ChatTimeout": ChatTimeout,
    "BudgetExceeded": BudgetExceeded,
}


class NotRecorded(ChatError):  # noqa: N818 (what happened)
    """A cassette holds no reply to a request; the message shows how the nearest recorded request differs."""


class Record(Backend):
    """A model whose calls are written to a cassette.

    Keys are cut out of requests and replies before they are written, and out of the reply that is returned, so that a
    replay gives the same. Failed calls are recorded too, with their error.

    Args:
        chat: the model that answers.
        path: the cassette; lines are appended, each whole or not at all, and the file is only its owner's to read.
        reuse: answer what the file holds from the file, and ask the model only for the rest: an interrupted run goes on
            where it stopped.

    Raises:
        ChatError: the file is there and is no cassette.

    Example:
        >>> import tempfile
        >>> from optimand.language.llm import Scripted
        >>> path = Path(tempfile.mkdtemp()) / "run.jsonl"
        >>> asked = [{"role": "user", "content": "2 + 2?"}]
        >>> Record(Scripted(["4"]), path).chat(asked, role="sum").text
        '4'
        >>> Replay(path).chat(asked, role="sum").text
        '4'
    """

    def __init__(self, chat: ChatModel, path: str | os.PathLike[str], *, reuse: bool = False) -> None:
        self.inner = chat
        self.path = Path(path)
        self._lock = threading.Lock()
        known = _read(self.path) if self.path.exists() else []
        self._before = Counter() if reuse else Counter(entry["key"] for entry in known)
        self._known = _by_key(known) if reuse else {}
        self._asked: Counter[str] = Counter()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _mend_end(self.path)

    @property
    def name(self) -> str:
        """The model's name."""
        return self.inner.name

    def __repr__(self) -> str:
        return f"Record({self.name!r}, {str(self.path)!r})"

    def complete(self, request: Request) -> ChatResult:
        """Ask the model and record."""
        written = _written(request)
        key = _key(written)
        with self._lock:
            occurrence = self._asked[key]
            self._asked[key] += 1
        recorded = self._known.get(key, [])
        if occurrence < len(recorded) and "reply" in recorded[occurrence]:
            return _result(recorded[occurrence]["reply"])
        try:
            result = request.ask(self.inner)
        except ChatError as error:
            kind = next(name.__name__ for name in type(error).__mro__ if name.__name__ in _ERRORS)
            self._write(key, occurrence, written, {"error": {"type": kind, "message": redact(str(error))}})
            raise
        reply = redact_all(_reply(result))
        self._write(key, occurrence, written, {"reply": reply})
        return _result(reply)

    def _write(self, key: str, occurrence: int, request: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        occurrence += self._before[key]
        line = {"cassette": VERSION, "key": key, "occurrence": occurrence, "request": request, **answer}
        with self._lock:
            data = (json.dumps(line) + "\n").encode()
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                if os.write(handle, data) != len(data):
                    raise ChatError(f"the cassette {str(self.path)!r} could not be written: no space")
            finally:
                os.close(handle)


class Replay(Backend):
    """A cassette as a model: it answers the recorded requests, and nothing else.

    A request is the recorded one if messages, ``response_format``, ``temperature``, ``max_tokens``, ``seed``, ``n`` and
    ``role`` are the same. The second of two equal requests gets the second recorded reply, and so on. Recorded errors
    are raised again. No network is touched.

    Args:
        path: the cassette.
        repeat: give the last recorded reply when a request comes more often than it was recorded.

    Raises:
        ChatError: there is no such file, or it is no cassette; by ``chat``: :class:`NotRecorded`.
    """

    def __init__(self, path: str | os.PathLike[str], *, repeat: bool = False) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise ChatError(f"there is no cassette {str(self.path)!r}")
        self._entries = _read(self.path)
        self._by_key = _by_key(self._entries)
        self._asked: Counter[str] = Counter()
        self._repeat = repeat
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """Which model was recorded."""
        models = {entry["reply"]["model"] for entry in self._entries if "reply" in entry}
        return f"recording of {' and '.join(sorted(models)) or 'nothing'}"

    def __repr__(self) -> str:
        return f"Replay({str(self.path)!r})"

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def remaining(self) -> int:
        """How many recorded calls were not asked for so far."""
        return sum(max(0, len(entries) - self._asked[key]) for key, entries in self._by_key.items())

    def complete(self, request: Request) -> ChatResult:
        """The recorded reply."""
        written = _written(request)
        key = _key(written)
        with self._lock:
            occurrence = self._asked[key]
            self._asked[key] += 1
        recorded = self._by_key.get(key)
        if recorded is None:
            raise NotRecorded(self._difference(written))
        if occurrence >= len(recorded):
            if not self._repeat:
                raise NotRecorded(
                    f"the cassette {self.path.name!r} holds {len(recorded)} replies to a request with role "
                    f"{request.role!r} and it came {occurrence + 1} times; record it anew, or replay with repeat=True"
                )
            occurrence = len(recorded) - 1
        entry = recorded[occurrence]
        if "error" in entry:
            raise _ERRORS.get(entry["error"]["type"], ChatError)(entry["error"]["message"])
        return _result(entry["reply"])

    def _difference(self, request: Mapping[str, Any]) -> str:
        """What sets a request apart from the nearest recorded one, as a unified diff."""
        if not self._entries:
            return f"the cassette {self.path.name!r} is empty"
        new = _lines(request)
        candidates = [entry["request"] for entry in self._entries]
        candidates = [old for old in candidates if old["role"] == request["role"]] or candidates
        matcher = difflib.SequenceMatcher(autojunk=False)
        matcher.set_seq2(new)

        def likeness(old: Mapping[str, Any]) -> float:
            matcher.set_seq1(_lines(old))
            return matcher.ratio()

        nearest = max(candidates[:500], key=likeness)
        diff = list(difflib.unified_diff(_lines(nearest), new, "recorded", "asked", lineterm="", n=2))
        shown = "\n".join(line if len(line) <= 300 else line[:297] + "..." for line in diff[:60])
        more = f"\n… {len(diff) - 60} more lines" if len(diff) > 60 else ""
        return f"the cassette {self.path.name!r} does not hold this request; the nearest differs so:\n{shown}{more}"


def _written(request: Request) -> dict[str, Any]:
    """A request as a cassette holds it, without secrets."""
    line = {
        "role": request.role,
        "messages": [dict(message) for message in request.messages],
        "response_format": request.response_format,
        "temperature": float(request.temperature),
        "max_tokens": int(request.max_tokens),
        "seed": request.seed,
        "n": int(request.n),
    }
    # Through JSON and back: what is compared is what is written. The order of a schema's keys is kept, it matters.
    return json.loads(json.dumps(redact_all(line)))  # type: ignore[no-any-return]


def _key(request: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(request).encode()).hexdigest()[:32]


def _lines(request: Mapping[str, Any]) -> list[str]:
    """A request as readable lines."""
    lines = [f"role: {request['role']}"]
    lines += [f"{name}: {request[name]}" for name in ("temperature", "max_tokens", "seed", "n")]
    for message in request["messages"]:
        lines.append(f"--- {message.get('role', '')}")
        lines += str(message.get("content", "")).splitlines()
    lines.append("--- response_format")
    return lines + json.dumps(request["response_format"], indent=1, ensure_ascii=False).splitlines()


def _reply(result: ChatResult) -> dict[str, Any]:
    usage = result.usage
    return {
        "texts": list(result.texts),
        "finish_reasons": list(result.finish_reasons),
        "model": result.model,
        "usage": [usage.calls, usage.prompt_tokens, usage.completion_tokens, usage.seconds, usage.cost],
    }


def _result(reply: Mapping[str, Any]) -> ChatResult:
    return ChatResult(tuple(reply["texts"]), Usage(*reply["usage"]), tuple(reply["finish_reasons"]), reply["model"])


def _read(path: Path) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    text = path.read_text("utf-8")
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            version = entry["cassette"]
            complete = isinstance(entry["request"]["messages"], list) and ("reply" in entry or "error" in entry)
        except (ValueError, KeyError, TypeError):
            if number == len(lines) and not text.endswith("\n"):
                continue  # the writer was stopped in the midst of its last line
            raise ChatError(f"line {number} of {str(path)!r} is no line of a cassette") from None
        if version != VERSION or not complete:
            raise ChatError(f"line {number} of {str(path)!r} is of cassette version {version!r}; known is {VERSION}")
        # The key is computed again: a line edited by hand counts as what it says.
        entries.append({**entry, "key": _key(entry["request"])})
    return entries


def _by_key(entries: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The answers to each request in order. A failed call that was made again, in a run that went on, gives way."""
    found: dict[str, list[dict[str, Any]]] = {}
    failed: dict[tuple[str, Any], int] = {}
    for entry in entries:
        answers = found.setdefault(entry["key"], [])
        call = entry["key"], entry.get("occurrence")
        place = failed.pop(call, len(answers))
        answers[place : place + 1] = [entry]
        if "error" in entry:
            failed[call] = place
    return found


def _mend_end(path: Path) -> None:
    """Cut off a last line that was not finished, so that the next one begins on its own."""
    if not path.exists() or path.stat().st_size == 0:
        return
    data = path.read_bytes()
    if data.endswith(b"\n"):
        return
    start = data.rfind(b"\n") + 1
    try:
        json.loads(data[start:])
        with path.open("ab") as handle:
            handle.write(b"\n")
    except ValueError:
        os.truncate(path, start)
