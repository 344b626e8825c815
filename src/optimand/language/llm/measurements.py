"""What the embedded model is worth, measured: form with and without a schema, a simple search, speed.

Trace's page (arXiv 2406.16218) reports, for the same model, free text with valid JSON in none of ten replies and ten of
ten with a schema. The functions here repeat such measurements with fixed seeds; other models can be given instead.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Any

from optimand.core.validation import check_int

from .base import ChatError, ChatModel, Usage, json_format
from .lenient_json import strict
from .schemas import faults_of
from .structured import ReplyError, read_json

_INSTRUCTION = (
    "You tune the variables of a small program. Answer with a JSON object with the keys reasoning (a short text) and "
    "suggestion (an object that gives each variable a new value)."
)
_TASK = (
    "Code: y = square(x); z = add(y, u)\nVariables: (int) x = {x}, from 0 to 20\nInputs: (int) u = {u}\n"
    "Output: z = {z}\nFeedback: z should be {word}.\nYour response:"
)
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "reasoning": {"type": "string", "maxLength": 40},
        "suggestion": {
            "type": "object",
            "properties": {"x": {"type": "integer", "minimum": 0, "maximum": 20}},
            "required": ["x"],
            "additionalProperties": False,
        },
    },
    "required": ["reasoning", "suggestion"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class JsonValidity:
    """How many of ``replies`` were of the form asked for.

    Attributes:
        replies: asked in each way.
        free: free text that is JSON of the schema by the letter.
        free_read: free text from which :func:`read_json` gets such JSON.
        enforced: replies decoded under the schema that are JSON of it by the letter.
        usage: of all calls.
    """

    replies: int
    free: int
    free_read: int
    enforced: int
    usage: Usage

    def __str__(self) -> str:
        return (
            f"free text {self.free}/{self.replies} valid ({self.free_read} after mending), "
            f"with a schema {self.enforced}/{self.replies}"
        )


def embedded_json_validity(replies: int = 10, *, chat: ChatModel | None = None, seed: int = 0) -> JsonValidity:
    """Ask for an update of one variable, as free text and under a schema.

    Args:
        replies: asked in each way, each for other numbers and with another seed, at temperature 0.7.
        chat: the model; None for the embedded one.
        seed: of the numbers and replies.

    Raises:
        ChatError: the model cannot be had.
    """
    check_int("replies", replies, low=1)
    model = _model(chat)
    rng = random.Random(seed)
    usage = Usage()
    free = mended = enforced = 0
    for index in range(replies):
        x, u = rng.randint(1, 20), rng.randint(1, 99)
        task = _TASK.format(x=x, u=u, z=x * x + u, word=rng.choice(["smaller", "larger"]))
        messages = [{"role": "system", "content": _INSTRUCTION}, {"role": "user", "content": task}]
        options: dict[str, Any] = {"temperature": 0.7, "max_tokens": 100, "seed": seed + index, "role": "measure.form"}
        result = model.chat(messages, **options)
        usage += result.usage
        free += _by_the_letter(result.text)
        try:
            read_json(result.text, _SCHEMA)
            mended += 1
        except ReplyError:
            pass
        result = model.chat(messages, response_format=json_format(_SCHEMA), **options)
        usage += result.usage
        enforced += _by_the_letter(result.text)
    return JsonValidity(replies, free, mended, enforced, usage)


@dataclass(frozen=True)
class SearchQuality:
    """How many of ``targets`` were found within ``steps`` guesses by the model, at random, and by bisection."""

    targets: int
    steps: int
    model: int
    random: int
    bisection: int
    usage: Usage

    def __str__(self) -> str:
        return f"of {self.targets}: model {self.model}, random {self.random}, bisection {self.bisection}"


def embedded_search_quality(
    targets: int = 12, *, steps: int = 10, chat: ChatModel | None = None, seed: int = 0
) -> SearchQuality:
    """Have a number from 0 to 100 guessed from "larger" and "smaller", each guess confined to what is still possible.

    Args:
        targets: numbers to find.
        steps: guesses for each.
        chat: the model; None for the embedded one.
        seed: of targets and replies.

    Raises:
        ChatError: the model cannot be had.
    """
    check_int("targets", targets, low=1)
    check_int("steps", steps, low=1)
    model = _model(chat)
    rng = random.Random(seed)
    usage = Usage()
    found = {"model": 0, "random": 0, "bisection": 0}
    for index in range(targets):
        target = rng.randint(0, 100)
        for who in found:
            low, high, history = 0, 100, ""
            for step in range(steps):
                if who == "random":
                    guess = rng.randint(low, high)
                elif who == "bisection":
                    guess = (low + high) // 2
                else:
                    guess, used = _guess(model, low, high, history, seed + 100 * index + step)
                    usage += used
                if guess == target:
                    found[who] += 1
                    break
                word = "larger" if guess < target else "smaller"
                history += f"I tried {guess}: it must be {word}.\n"
                low, high = (guess + 1, high) if guess < target else (low, guess - 1)
    return SearchQuality(targets, steps, **found, usage=usage)


@dataclass(frozen=True)
class Speed:
    """Tokens a second in ``reading`` a prompt and ``writing`` a reply, and seconds to ``load`` the weights."""

    load: float
    reading: float
    writing: float
    threads: int


def embedded_speed(threads: int = 1, *, read: int = 500, write: int = 60) -> Speed:
    """Time the embedded model on a prompt of about ``read`` tokens and a reply of ``write``.

    Raises:
        ChatError: it is not installed.
    """
    from .embedded import EmbeddedModel

    model = EmbeddedModel(threads=check_int("threads", threads, low=1))
    begin = time.perf_counter()
    model.load()
    load = time.perf_counter() - begin
    prompt = [{"role": "user", "content": "Tell a story. " + "one two three " * (read // 3)}]
    model.chat(prompt, max_tokens=1, role="measure.speed")
    short = model.chat(prompt, max_tokens=1, role="measure.speed").usage
    long = model.chat(prompt, max_tokens=write, role="measure.speed").usage
    more = max(1, long.completion_tokens - short.completion_tokens)
    return Speed(load, short.prompt_tokens / short.seconds, more / max(1e-9, long.seconds - short.seconds), threads)


def _model(chat: ChatModel | None) -> ChatModel:
    if chat is not None:
        return chat
    from .embedded import EmbeddedModel

    return EmbeddedModel()


def _by_the_letter(text: str) -> bool:
    try:
        return not faults_of(strict(text), _SCHEMA, convert=False)[1]
    except ValueError:
        return False


def _guess(model: ChatModel, low: int, high: int, history: str, seed: int) -> tuple[int, Usage]:
    schema = {
        "type": "object",
        "properties": {"x": {"type": "integer", "minimum": low, "maximum": high}},
        "required": ["x"],
        "additionalProperties": False,
    }
    task = f"Find a hidden number from 0 to 100.\n{history}It is from {low} to {high}. Your next guess as JSON, key x:"
    result = model.chat(
        [{"role": "user", "content": task}],
        response_format=json_format(schema),
        temperature=0.7,
        max_tokens=30,
        seed=seed,
        role="measure.search",
    )
    try:
        return int(read_json(result.text, schema)["x"]), result.usage
    except ReplyError as error:
        raise ChatError(f"the model's guess cannot be used: {error}") from error
