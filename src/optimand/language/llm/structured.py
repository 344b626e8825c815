"""Replies with a structure: JSON out of a model's text, checked against a schema, asked for again when it is wrong.

A backend that can enforces the schema while it decodes; every other reply goes through :func:`read_json`, which
accepts what has one meaning and refuses what would have to be guessed. :func:`ask` does both and tells the model what
was wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optimand.core.validation import OptimandError, check_choice, check_int

from .base import ChatModel, Message, json_format
from .lenient_json import Malformed, Unfinished, looks_like_latex, read_value, strict
from .schemas import faults_of

_TAG = r"think|thinking|thought|thoughts|reasoning|reflection|scratchpad"
_THINKING_OPENS = re.compile(rf"\s*(?:<(?:{_TAG})>|\[THINK\])", re.IGNORECASE)
_THINKING_CLOSES = re.compile(rf"</(?:{_TAG})>|\[/THINK\]", re.IGNORECASE)
_FENCE_OPENS = re.compile(r"(?:```|~~~)[ \t]*(?:json\w*)?\s*\Z", re.IGNORECASE)
_FENCE_CLOSES = re.compile(r"\s*(?:```|~~~|\Z)")
_FENCES = ("```", "~~~")
# An opening bracket with which a reply means JSON: if reading fails there, values inside it are not the reply.
_MEANT = re.compile(r"""\{\s*["'“‘][^"'“”‘’]*["'”’]\s*:|\{\s*[A-Za-z_]\w*\s*:\s*["'\[{\d-]|\[\s*[\[{"'“‘]""")
_GOES_ON = re.compile(r"""\s*,\s*["'“‘][^"'“”‘’\n]{1,80}["'”’]\s*:""")


class ReplyError(OptimandError):
    """A reply that holds no usable JSON.

    Attributes:
        reply: the text that came.
        cut_off: whether it ends inside the JSON or inside the model's thinking.
        faults: what the schema says about the value, if there was one.
    """

    def __init__(self, message: str, *, reply: str = "", cut_off: bool = False, faults: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.reply = reply
        self.cut_off = cut_off
        self.faults = tuple(faults)


@dataclass(frozen=True)
class _Found:
    value: Any
    start: int
    fenced: bool


def read_json(text: str, schema: Mapping[str, Any] | None = None, *, several: str = "last") -> Any:
    """The JSON value in a model's reply.

    Thinking tags, code fences and words around the value are skipped. Trailing, missing or doubled commas, comments,
    single quotes, bare keys, Python's constants, raw line breaks, unescaped quotes and LaTeX backslashes in strings are
    mended where only one reading is possible. A number or a text alone counts if it is the whole reply.

    Args:
        text: the reply.
        schema: of the value wanted; values that do not satisfy it are passed over, and the one returned is converted
            as in :func:`~optimand.language.llm.schemas.faults_of`.
        several: what to do with different values that fit equally: take the ``last``, because drafts come first, or
            the ``first``, or ``error``. A value in a code fence goes before others, an object before an array.

    Raises:
        ReplyError: there is none, it cannot be read with certainty, it is cut off, or it does not satisfy the schema.

    Example:
        >>> read_json("<think>{maybe}</think> Sure! ```json\\n{'x': 7, 'formula': \\"\\\\frac{a}{b}\\",}\\n```")
        {'x': 7, 'formula': '\\\\frac{a}{b}'}
    """
    check_choice("several", several, ("last", "first", "error"))
    if not isinstance(text, str):
        raise TypeError(f"text must be a string, got {text!r:.60} ({type(text).__name__})")
    values = _values(text, selecting=schema is not None)
    if schema is None:
        fitting = values
    else:
        checked = [(found, *faults_of(found.value, schema)) for found in values]
        fitting = [_Found(value, found.start, found.fenced) for found, value, faults in checked if not faults]
        if not fitting:
            _, _, faults = min(checked, key=lambda entry: (not entry[0].fenced, len(entry[2]), -entry[0].start))
            listed = "; ".join(faults[:8]) + ("; …" if len(faults) > 8 else "")
            raise ReplyError(f"the reply does not satisfy the schema: {listed}", reply=text, faults=faults)
    best = _preferred(fitting)
    if several == "error" and any(found.value != best[-1].value for found in best):
        raise ReplyError(f"the reply holds {len(best)} different JSON values and one was asked for", reply=text)
    return best[0 if several == "first" else -1].value


def read_all_json(text: str) -> list[Any]:
    """All JSON objects and arrays of a reply, in order; or the one number or text that it is.

    Raises:
        ReplyError: there is none, or one cannot be read with certainty.

    Example:
        >>> read_all_json('{"x": 1} and then {"x": 2}')
        [{'x': 1}, {'x': 2}]
    """
    return [found.value for found in _values(text, selecting=False)]


def ask(
    chat: ChatModel,
    messages: Sequence[Message],
    schema: Mapping[str, Any],
    *,
    role: str,
    retries: int = 2,
    check: Callable[[Any], str | None] | None = None,
    name: str = "reply",
    max_tokens: int = 1024,
    seed: int | None = None,
    temperature: float = 0.0,
) -> Any:
    """Ask for a value of a schema, and again with the fault named when the reply has one.

    Args:
        chat: the model.
        messages: see :meth:`ChatModel.chat <optimand.language.llm.ChatModel.chat>`.
        schema: JSON schema of the value; sent as ``response_format``, and checked whatever the backend does with it.
        role: what the call is for.
        retries: most further calls, >= 0.
        check: a further condition on the value: returns what is wrong with it, or None.
        name: the schema's name, for the backend.
        max_tokens: most tokens of a reply; doubled after a reply that was cut off.
        seed: of the first call; each further one takes the next.
        temperature: >= 0.

    Returns:
        The value, with the schema's types.

    Raises:
        ReplyError: no call gave a usable value; it says what was wrong with the last, and whether that was cut off.

    Example:
        >>> from optimand.language.llm import Scripted
        >>> model = Scripted(['{"n": 12}', '{"n": 7.0}'])
        >>> schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 10}}, "required": ["n"]}
        >>> ask(model, [{"role": "user", "content": "A number up to 10?"}], schema, role="demo")
        {'n': 7}
    """
    check_int("retries", retries, low=0)
    check_int("max_tokens", max_tokens, low=1)
    conversation = list(messages)
    for attempt in range(retries + 1):
        result = chat.chat(
            conversation,
            response_format=json_format(schema, name),
            temperature=temperature,
            max_tokens=max_tokens,
            seed=None if seed is None else seed + attempt,
            role=role,
        )
        cut_off = result.finish_reasons[:1] == ("length",)
        try:
            value = read_json(result.text, schema)
            fault = check(value) if check else None
            if not fault:
                return value
            error = ReplyError(fault, reply=result.text)
        except ReplyError as caught:
            error = caught
        if cut_off:
            # Whatever the fault looks like, its cause is the limit.
            error = ReplyError(
                f"the reply was cut off at max_tokens={max_tokens}: {error}",
                reply=result.text,
                cut_off=True,
                faults=error.faults,
            )
            max_tokens *= 2
        conversation = _again(messages, result.text, error)
    tries = "1 call" if retries == 0 else f"{retries + 1} calls"
    raise ReplyError(
        f"no usable reply for {role!r} from {chat.name!r} in {tries}; the last: {error}; it began {error.reply[:80]!r}",
        reply=error.reply,
        cut_off=error.cut_off,
        faults=error.faults,
    )


def _again(messages: Sequence[Message], reply: str, error: ReplyError) -> list[Message]:
    """The conversation with the fault named. A reply that was cut off is not repeated: it would fill the context."""
    if error.cut_off:
        note = "Your last reply was cut off. Answer more briefly, with the complete JSON and nothing else."
        last = messages[-1]
        if last["role"] != "user":
            return [*messages, {"role": "user", "content": note}]
        return [*messages[:-1], {"role": "user", "content": f"{last['content']}\n\n{note}"}]
    shown = reply if len(reply) <= 4000 else reply[:4000] + " […]"
    note = f"This reply cannot be used: {error}. Answer again with JSON of the required form and nothing else."
    return [*messages, {"role": "assistant", "content": shown or "(empty)"}, {"role": "user", "content": note}]


def _values(text: str, *, selecting: bool) -> list[_Found]:
    """All values of a reply; ``selecting`` says that a schema will tell the right one among them."""
    whole = _whole(text)
    if whole is not None:
        return [whole]
    body, offset = _without_thinking(text)
    found, failure = _scan(body)
    if not found and failure is None and offset and not _THINKING_OPENS.match(text):
        found, failure = _scan(text)  # the closing tag may stand inside a string
    scalar = _scalar(body) if not found and failure is None else None
    if scalar is not None:
        return [scalar]
    if failure is not None:
        position, error = failure
        # A value after the broken one may be its correction; without a schema that cannot be known.
        later = [entry for entry in found if entry.start > position] if selecting else []
        if not later or isinstance(error, Unfinished):
            kind = "is cut off" if isinstance(error, Unfinished) else "is malformed"
            line = body.count("\n", 0, min(error.position, len(body))) + 1
            raise ReplyError(
                f"the reply's JSON {kind} (line {line}: {error})", reply=text, cut_off=isinstance(error, Unfinished)
            )
        found = later
    if not found:
        raise ReplyError(f"the reply holds no JSON: {text.strip()[:80]!r}", reply=text)
    return found


def _whole(text: str) -> _Found | None:
    """The reply as strict JSON, if it is that and nothing of it needs a second look."""
    stripped = text.strip()
    if "\\" in stripped and looks_like_latex(stripped):
        return None
    try:
        value = strict(stripped)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, str) and value.strip()[:1] in ("{", "["):  # JSON written as a text of JSON
        inner = _whole(value)
        return inner if inner is not None else _Found(value, 0, False)
    return _Found(value, 0, False)


def _without_thinking(text: str) -> tuple[str, int]:
    if text.lstrip()[:1] in ("{", "[") and not _THINKING_OPENS.match(text):
        return text, 0
    closings = list(_THINKING_CLOSES.finditer(text))
    if closings:
        return text[closings[-1].end() :], closings[-1].end()
    if _THINKING_OPENS.match(text):
        raise ReplyError("the reply ends inside the model's thinking", reply=text, cut_off=True)
    return text, 0


def _scalar(body: str) -> _Found | None:
    text = body.strip()
    if len(text) >= 6 and text.startswith(_FENCES) and text.endswith(_FENCES):
        text = re.sub(r"\A[\w+-]*", "", text[3:-3])
    return _whole(text)


def _scan(text: str) -> tuple[list[_Found], tuple[int, Malformed] | None]:
    """Objects and arrays from left to right, and the last place where JSON was meant but could not be read."""
    found: list[_Found] = []
    failure: tuple[int, Malformed] | None = None
    at = 0
    while True:
        opening = re.compile(r"[{\[]").search(text, at)
        if opening is None:
            return found, failure
        start = opening.start()
        try:
            value, end = read_value(text, start)
            if isinstance(value, dict) and value and _GOES_ON.match(text, end):
                raise Malformed("an object is closed too early", end)
            found.append(_Found(value, start, _fenced(text, start, end)))
            at = end
        except Malformed as error:
            if _MEANT.match(text, start):
                failure = (start, error)
                at = _past(text, start)
            else:
                at = start + 1


def _fenced(text: str, start: int, end: int) -> bool:
    """Whether a value is all that stands in its code fence."""
    return bool(_FENCE_OPENS.search(text[max(0, start - 40) : start]) and _FENCE_CLOSES.match(text, end))


def _past(text: str, start: int) -> int:
    """After the bracket that closes the one at ``start`` by count alone, or the end."""
    depth = 0
    for found in re.compile(r"[{}\[\]]").finditer(text, start):
        depth += 1 if found.group() in "{[" else -1
        if depth == 0:
            return found.end()
    return len(text)


def _preferred(found: list[_Found]) -> list[_Found]:
    """Of all values those of the best rank: not empty, in a fence, an object."""

    def rank(entry: _Found) -> tuple[bool, bool, bool]:
        return (entry.value not in ({}, []), entry.fenced, isinstance(entry.value, dict))

    best = max(map(rank, found))
    return [entry for entry in found if rank(entry) == best]
