"""Pairs as conversations: tokens with the answer marked, and lines of JSON for other trainers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from optimand.core.validation import OptimandError

SYSTEM = "Solve the problem with a Python program that uses pyscipopt. Answer with the program."
IGNORED = -100


class Pair(Protocol):
    """What is exported: a question and a program; synthetic pairs and template items are such."""

    @property
    def question(self) -> str:
        """The question."""

    @property
    def code(self) -> str:
        """The program."""


class Tokenizer(Protocol):
    """What turns text into integers; a Hugging Face tokenizer is one."""

    def encode(self, text: str) -> list[int]:
        """Tokens of a text."""


class ByteTokenizer:
    """Bytes as tokens, with four more for the parts of a conversation.

    Example:
        >>> tokens = ByteTokenizer()
        >>> tokens.encode("ab"), tokens.decode([97, 98, tokens.end])
        ([97, 98], 'ab')
    """

    size = 260
    system, user, assistant, end = 256, 257, 258, 259

    def encode(self, text: str) -> list[int]:
        """The bytes of a text."""
        return list(text.encode())

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of tokens; those above 255 are left out, broken characters replaced."""
        return bytes(token for token in tokens if token < 256).decode("utf-8", "replace")


def to_messages(pair: Pair, system: str = SYSTEM) -> list[dict[str, str]]:
    """A pair as a conversation of system, user and assistant."""
    return [
        {"role": "system", "content": system},
        {"role": "user", "content": pair.question},
        {"role": "assistant", "content": f"```python\n{pair.code.strip()}\n```"},
    ]


def write_chat_jsonl(pairs: Iterable[Pair], path: str | os.PathLike[str], system: str = SYSTEM) -> int:
    """Write pairs as lines ``{"messages": [...]}``, the form that trainers of chat models read.

    Args:
        pairs: questions with programs.
        path: of the file; it is replaced when all is written.
        system: the system line.

    Returns:
        How many were written.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(target.name + ".part")
    count = 0
    with temporary.open("w", encoding="utf-8") as file:
        for pair in pairs:
            file.write(json.dumps({"messages": to_messages(pair, system)}, ensure_ascii=False) + "\n")
            count += 1
    temporary.replace(target)
    return count


def encode_chat(messages: Sequence[Mapping[str, str]], tokenizer: Any) -> tuple[list[int], list[int]]:
    """Tokens of a conversation, and what is learned at each.

    Args:
        messages: the last one is the answer.
        tokenizer: a :class:`ByteTokenizer`, or one with a chat template as Hugging Face's.

    Returns:
        Tokens and targets of one length; a target is -100 on the prompt and the token itself on the answer and its end.

    Raises:
        ValueError: the last message is not the assistant's.
        OptimandError: the tokenizer has neither a chat template nor tokens for the parts of a conversation.

    Example:
        >>> chat = [{"role": "user", "content": "2+2"}, {"role": "assistant", "content": "4"}]
        >>> encode_chat(chat, ByteTokenizer())
        ([257, 50, 43, 50, 258, 52, 259], [-100, -100, -100, -100, -100, 52, 259])
    """
    if not messages or messages[-1]["role"] != "assistant":
        raise ValueError(f"the last message must be the assistant's, got {messages[-1:]!r:.80}")
    answer = messages[-1]["content"]
    if getattr(tokenizer, "chat_template", None):
        # As text, since templates end a turn in their own way, and what they return as tokens differs by version.
        begin, whole = (
            str(tokenizer.apply_chat_template(list(part), tokenize=False, add_generation_prompt=part is not messages))
            for part in (messages[:-1], messages)
        )
        rest = whole[len(begin) :] if whole.startswith(begin) else answer
        prompt = list(tokenizer.encode(begin, add_special_tokens=False))
        target = list(tokenizer.encode(rest, add_special_tokens=False))
        if rest == answer:  # no end of the turn in the template
            target.append(tokenizer.eos_token_id)
    else:
        if not all(hasattr(tokenizer, name) for name in ("system", "user", "assistant", "end")):
            raise OptimandError(
                f"tokenizer must have a chat_template, or tokens system, user, assistant and end as ByteTokenizer has; "
                f"got {type(tokenizer).__name__}"
            )
        prompt = []
        for message in messages[:-1]:
            prompt += [getattr(tokenizer, message["role"]), *tokenizer.encode(message["content"])]
        prompt.append(tokenizer.assistant)
        target = [*tokenizer.encode(answer), tokenizer.end]
    return [*prompt, *target], [IGNORED] * len(prompt) + target
