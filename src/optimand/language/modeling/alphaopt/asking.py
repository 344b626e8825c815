"""Asking a model in a role: which model, temperature and seed each role has, and what it spent."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from optimand.language.llm.base import ChatModel, Usage
from optimand.language.llm.structured import ask

from .insights import Insight

PREFIX = "alphaopt."
# Role: which of the two models, and the temperature, as in the released configuration.
ROLES: dict[str, tuple[str, float]] = {
    "programmer.formulate": ("base", 0.7),
    "programmer.rewrite": ("base", 0.0),
    "programmer.code": ("base", 0.7),
    "programmer.debug": ("base", 0.0),
    "retriever.match": ("base", 0.0),
    "retriever.check": ("base", 0.0),
    "diagnostic.issues": ("advanced", 0.0),
    "diagnostic.states": ("advanced", 0.0),
    "diagnostic.validate": ("advanced", 0.0),
    "diagnostic.program": ("advanced", 0.0),
    "extractor.formulation": ("advanced", 0.7),
    "extractor.program": ("advanced", 0.7),
    "extractor.merge": ("advanced", 0.0),
    "extractor.online_merge": ("advanced", 0.0),
    "evolver.negative": ("base", 0.0),
    "evolver.unretrieved": ("base", 0.0),
    "evolver.refine": ("base", 0.7),
    "explorer": ("advanced", 0.7),
}


class Asker:
    """Two models behind the named roles.

    Args:
        base: generates, retrieves, refines.
        advanced: extracts, diagnoses, explores; ``base`` when None.
        seed: each call's seed is made from it, the role and the call's key, never from the order of calls.
        max_tokens: of each reply.

    ``by_role`` holds what each role spent.
    """

    def __init__(
        self, base: ChatModel, advanced: ChatModel | None = None, *, seed: int = 0, max_tokens: int = 2048
    ) -> None:
        self.base, self.advanced = base, advanced if advanced is not None else base
        self.seed, self.max_tokens = seed, max_tokens
        self.by_role: dict[str, Usage] = {}
        self._lock = threading.Lock()

    def seed_of(self, role: str, key: Sequence[Any]) -> int:
        """The seed of a call."""
        text = "\x1f".join(map(str, (self.seed, role, *key)))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1

    def _counted(self, role: str) -> ChatModel:
        return _Counted(self.base if ROLES[role][0] == "base" else self.advanced, self, role)

    def spend(self, role: str, usage: Usage) -> None:
        """Add to what a role spent."""
        with self._lock:
            self.by_role[role] = self.by_role.get(role, Usage()) + usage

    def text(
        self,
        role: str,
        instruction: str,
        sections: Mapping[str, str],
        key: Sequence[Any],
        temperature: float | None = None,
    ) -> str:
        """Free text.

        Args:
            role: a name in ``ROLES``.
            instruction: what is wanted.
            sections: headings and their texts.
            key: what the call is about; with the role it makes the seed.
            temperature: the role's when None.
        """
        result = self._counted(role).chat(
            messages(instruction, sections),
            temperature=ROLES[role][1] if temperature is None else temperature,
            max_tokens=self.max_tokens,
            seed=self.seed_of(role, key),
            role=PREFIX + role,
        )
        return result.text

    def json(
        self,
        role: str,
        instruction: str,
        sections: Mapping[str, str],
        schema: Mapping[str, Any],
        key: Sequence[Any],
        *,
        retries: int = 2,
    ) -> Any:
        """A value of a schema; ``ReplyError`` when no reply gave one."""
        return ask(
            self._counted(role),
            messages(instruction, sections),
            schema,
            role=PREFIX + role,
            retries=retries,
            name=role.replace(".", "_"),
            max_tokens=self.max_tokens,
            seed=self.seed_of(role, key),
            temperature=ROLES[role][1],
        )


class _Counted:
    """A model whose calls are charged to a role."""

    def __init__(self, chat: ChatModel, asker: Asker, role: str) -> None:
        self.name, self._chat, self._asker, self._role = chat.name, chat, asker, role

    def chat(self, messages: Sequence[Mapping[str, str]], **options: Any) -> Any:
        """Ask the model; see :class:`~optimand.language.llm.base.ChatModel`."""
        result = self._chat.chat(messages, **options)
        self._asker.spend(self._role, result.usage)
        return result


def messages(instruction: str, sections: Mapping[str, str]) -> list[dict[str, str]]:
    """A system message and one with headed sections; empty sections are left out."""
    body = "\n\n".join(f"## {name}\n{text.strip()}" for name, text in sections.items() if text and text.strip())
    return [{"role": "system", "content": instruction}, {"role": "user", "content": body}]


def shown(insights: Iterable[Insight], *, names: Sequence[str] | None = None, parts: Sequence[str] = ()) -> str:
    """Insights as prompts show them, a JSON object a line.

    Args:
        insights: which.
        names: how to call them; by default their ids.
        parts: which parts; condition, explanation and example when empty.
    """
    pool = list(insights)
    called = names if names is not None else [str(insight.insight_id) for insight in pool]
    lines = []
    for name, insight in zip(called, pool, strict=True):
        entry: dict[str, Any] = {"id": name}
        for part in parts or ("condition", "explanation", "example"):
            if part == "labels":
                entry["labels"] = [list(triple) for triple in insight.triples]
            elif text := getattr(insight, part):
                entry[part] = text
        lines.append(json.dumps(entry, ensure_ascii=False))
    return "\n".join(lines)
