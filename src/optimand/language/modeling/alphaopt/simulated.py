"""A scripted stand-in for a language model, to test learning without one: every program is really run.

The programmer makes a pitfall's mistake unless an insight that teaches to avoid it, and whose condition mentions its
trigger, is in the prompt; lessons that are given without cause it follows too, to its harm. The extractor is right with
a probability; otherwise it writes another pitfall's lesson, a vague one, or one that gives the answer away. What is
drawn is a function of the seed that comes with a call, hence of the learner's seed, the task and the attempt, never of
the order of calls, so workers and interruptions change nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from optimand.core.validation import check_number
from optimand.language.llm.base import ChatResult, Message, Usage

from . import prompts
from .asking import PREFIX
from .insights import Insight
from .simulated_tasks import PITFALLS, Pitfall, SimulatedTask

_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
_QUOTED = re.compile(r'"([^"]+)"')
_CHOICE = re.compile(r"^% (\w+): (right|wrong)$", re.MULTILINE)
_EXTRA = re.compile(r"^% without cause: (\w+)$", re.MULTILINE)
_STATED = re.compile(r"^% the result is ([\d.]+)$", re.MULTILINE)
BROAD = "costs"


def sections_of(messages: Sequence[Message]) -> dict[str, str]:
    """The headed sections of a prompt."""
    parts = _SECTION.split(messages[1]["content"])
    return {name.strip(): text.strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def entries_of(text: str) -> list[dict[str, Any]]:
    """Insights of a section, which shows them one a line."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def condition_holds(condition: str, text: str) -> bool:
    """How the stand-in reads a condition: quoted phrases, joined by "together with" and "or".

    A second paragraph, where there is one, takes the place of the first; one with "does NOT apply" excludes.

    Example:
        >>> condition_holds('This insight applies when the text mentions "set-up" or "fee".', "after a set-up of 5")
        True
        >>> condition_holds('This insight applies when "a" together with "b".', "a only")
        False
    """
    paragraphs = condition.split("\n")
    applies = [p for p in paragraphs if "does NOT apply" not in p]
    excluded = [phrase for p in paragraphs if "does NOT apply" in p for phrase in _QUOTED.findall(p)]
    if any(phrase in text for phrase in excluded):
        return False
    alternatives = (_QUOTED.findall(part) for part in re.split(r'(?<=") or (?=")', applies[-1]))
    return any(phrases and all(phrase in text for phrase in phrases) for phrases in alternatives)


def lesson(pitfall: Pitfall, condition: str | None = None, explanation: str | None = None) -> dict[str, str]:
    """Texts of an insight on a pitfall."""
    general = f'This insight applies when the problem statement mentions "{pitfall.trigger}".'
    return {
        "condition": general if condition is None else condition,
        "explanation": explanation
        or f"When the problem involves such a phrase, the best practice is to {pitfall.lesson}. A common mistake is "
        "not to, which happens because the phrase is easily overlooked. More generally, words carry structure.",
        "example": f"# Wrong\n{pitfall.wrong}\n# Correct\n{pitfall.correct}",
    }


def taught(entry: Mapping[str, Any]) -> Pitfall | None:
    """The pitfall that an insight is about: its trigger is in the condition and its lesson in the explanation."""
    for pitfall in PITFALLS.values():
        if pitfall.trigger in entry["condition"] and pitfall.lesson in entry.get("explanation", ""):
            return pitfall
    return None


class SimulatedOracle:
    """Plays every role of AlphaOPT on generated tasks.

    Args:
        tasks: those it may be asked about.
        right: probability that the extractor is right.
        found: probability that the explorer finds a right program in a round.
        merges: probability that a merge keeps the lesson.
        seed: of its own draws.
    """

    def __init__(
        self,
        tasks: Iterable[SimulatedTask],
        *,
        right: float = 0.8,
        found: float = 0.6,
        merges: float = 0.9,
        seed: int = 0,
    ) -> None:
        self.name = "simulated oracle"
        self.right = check_number("right", right, low=0, high=1)
        self.found = check_number("found", found, low=0, high=1)
        self.merges = check_number("merges", merges, low=0, high=1)
        self.seed = seed
        self._tasks = {made.task.description: made for made in tasks}

    def chat(
        self, messages: Sequence[Message], *, role: str = "", seed: int | None = None, **options: Any
    ) -> ChatResult:
        """Reply in a role; see :class:`~optimand.language.llm.base.ChatModel`."""
        name = role.removeprefix(PREFIX)
        answer = getattr(self, "_" + name.replace(".", "_"))(sections_of(messages), seed)
        text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
        read = sum(len(message["content"].split()) for message in messages)
        return ChatResult((text,), Usage(1, read, len(text.split())), ("stop",), self.name)

    def _draw(self, seed: int | None, what: str) -> float:
        digest = hashlib.sha256(f"{self.seed}/{seed}/{what}".encode()).digest()
        return int.from_bytes(digest[:6], "big") / 2**48

    def _task(self, sections: Mapping[str, str]) -> SimulatedTask:
        return self._tasks[sections[prompts.TASK]]

    # programmer

    def _programmer_formulate(self, sections: Mapping[str, str], seed: int | None) -> str:
        made = self._task(sections)
        given = entries_of(sections.get(prompts.INSIGHTS, ""))
        lines = ["\\min \\text{costs}"]
        followed = [pitfall.key for entry in given if (pitfall := taught(entry)) is not None]
        for key in made.pitfalls:
            lines.append(f"% {key}: {'right' if key in followed else 'wrong'}")
        lines += [f"% without cause: {key}" for key in dict.fromkeys(followed) if key not in made.pitfalls]
        for entry in given:
            if stated := re.search(r"the result is ([\d.]+\d)", entry.get("explanation", "")):
                lines.append(f"% the result is {stated.group(1)}")
                break
        return "\n".join(lines)

    def _programmer_rewrite(self, sections: Mapping[str, str], seed: int | None) -> str:
        return sections[prompts.INSIGHTS]

    def _programmer_code(self, sections: Mapping[str, str], seed: int | None) -> str:
        made = self._task(sections)
        text = sections[prompts.FORMULATION]
        avoided = [key for key, choice in _CHOICE.findall(text) if choice == "right"]
        stated = _STATED.search(text)
        code = made.program(avoided, _EXTRA.findall(text), float(stated.group(1)) if stated else None)
        return f"```python\n{code}```"

    def _explorer(self, sections: Mapping[str, str], seed: int | None) -> str:
        made = self._task(sections)
        right = self._draw(seed, "explore") < self.found
        return f"```python\n{made.program(made.pitfalls if right else made.pitfalls[1:])}```"

    # retriever

    def _retriever_match(self, sections: Mapping[str, str], seed: int | None) -> Any:
        text = sections[prompts.TASK] + sections.get(prompts.ISSUES, "")
        chosen = [
            pitfall.label
            for pitfall in PITFALLS.values()
            # A careful model also names labels that might matter: half of the others.
            if pitfall.trigger in text or self._draw(None, text[:200] + pitfall.key) < 0.5
        ]
        return {"labels": [{"stage": s, "level1": a, "level2": [b]} for s, a, b in chosen]}

    def _retriever_check(self, sections: Mapping[str, str], seed: int | None) -> Any:
        issue = sections.get(prompts.ISSUES)
        found = []
        for entry in entries_of(sections[prompts.CANDIDATES]):
            condition = entry["condition"]
            if issue is not None:
                # Shown one issue, it sees that an insight bears on it even if the condition is too narrow.
                holds = any(phrase in condition for phrase in _QUOTED.findall(issue))
            else:
                holds = condition_holds(condition, sections[prompts.TASK])
            if holds:
                found.append({"id": entry["id"], "reason": "its condition holds"})
        return {"applies": found}

    # diagnostic

    def _diagnostic_issues(self, sections: Mapping[str, str], seed: int | None) -> Any:
        text = sections[prompts.FORMULATION]
        wrong = [key for key, choice in _CHOICE.findall(text) if choice == "wrong"]
        issues = [f'the text says "{PITFALLS[key].trigger}" and the model does not' for key in wrong]
        issues += [f"a rule is used without cause: {key}" for key in _EXTRA.findall(text)]
        return {"issues": [{"id": n, "issue": issue, "evidence": "formulation"} for n, issue in enumerate(issues, 1)]}

    def _diagnostic_states(self, sections: Mapping[str, str], seed: int | None) -> Any:
        text = sections[prompts.FORMULATION]
        choices, extra = dict(_CHOICE.findall(text)), set(_EXTRA.findall(text))
        states = []
        for entry in entries_of(sections[prompts.INSIGHTS]):
            pitfall = taught(entry)
            key = pitfall.key if pitfall else ""
            state = {"right": "positive", "wrong": "invalid"}.get(choices.get(key, ""), "irrelevant")
            states.append({"id": entry["id"], "state": "negative" if key in extra else state, "reason": "compared"})
        return {"states": states}

    def _diagnostic_validate(self, sections: Mapping[str, str], seed: int | None) -> Any:
        choices = dict(_CHOICE.findall(sections[prompts.FORMULATION]))
        right = [PITFALLS[key].trigger for key, choice in choices.items() if choice == "right"]
        found = []
        for line in sections[prompts.ISSUES].splitlines():
            number, _, issue = line.partition(". ")
            solved = any(f'"{trigger}"' in issue for trigger in right)
            found.append({"id": int(number), "solved": solved, "reason": "compared"})
        return {"issues": found}

    # extractor

    def _extractor_formulation(self, sections: Mapping[str, str], seed: int | None) -> Any:
        made = self._task(sections)
        wrong = [key for key, choice in _CHOICE.findall(sections[prompts.FORMULATION]) if choice == "wrong"]
        if self._draw(seed, "extract") < self.right:
            return {"insights": [self._written(PITFALLS[key], lesson(PITFALLS[key])) for key in wrong]}
        kind = int(self._draw(seed, "kind") * 4)
        pitfall = PITFALLS[wrong[0]] if wrong else PITFALLS["flow"]
        stranger = next(p for p in PITFALLS.values() if p.key not in made.pitfalls)
        if kind == 0:  # a lesson for other tasks
            texts = lesson(stranger)
        elif kind == 1:  # vague
            texts = lesson(
                pitfall, f'This insight applies when it mentions "{BROAD}".', "When the problem is hard, think."
            )
        elif kind == 2:  # the answer in disguise
            texts = lesson(
                pitfall,
                f'This insight applies when the statement mentions "{made.setting}".',
                f"When the problem involves a {made.setting}, the result is {made.task.truths[0]!r}.",
            )
        else:  # a right condition with another pitfall's advice
            texts = lesson(pitfall, None, lesson(stranger)["explanation"])
        return {"insights": [self._written(pitfall, texts)]}

    @staticmethod
    def _written(pitfall: Pitfall, texts: Mapping[str, str]) -> dict[str, Any]:
        stage, level1, level2 = pitfall.label
        return {"stage": stage, "level1": level1, "level2": [level2], "new_labels": [], **texts}

    def _merged(self, entries: Sequence[Mapping[str, Any]], seed: int | None) -> dict[str, str]:
        pitfall = taught(entries[0])
        assert pitfall is not None
        if self._draw(seed, "merge" + pitfall.key) < self.merges:
            return lesson(pitfall)
        return lesson(pitfall, None, "When the problem involves several lessons, the best practice is to follow all.")

    def _extractor_merge(self, sections: Mapping[str, str], seed: int | None) -> Any:
        groups: dict[str, list[dict[str, Any]]] = {}
        for entry in entries_of(sections[prompts.INSIGHTS]):
            pitfall = taught(entry)
            if pitfall is not None:
                groups.setdefault(pitfall.key, []).append(entry)
        return {
            "groups": [
                {"ids": [entry["id"] for entry in group], **self._merged(group, seed)}
                for group in groups.values()
                if len(group) > 1
            ]
        }

    def _extractor_online_merge(self, sections: Mapping[str, str], seed: int | None) -> Any:
        incoming = entries_of(sections["Incoming"])[0]
        mine = taught(incoming)
        same = [e for e in entries_of(sections[prompts.INSIGHTS]) if mine is not None and taught(e) is mine]
        if not same:
            return {"merged_ids": [], "condition": "", "explanation": "", "example": ""}
        return {"merged_ids": [entry["id"] for entry in same], **self._merged([incoming, *same], seed)}

    # evolver

    def _evolver_negative(self, sections: Mapping[str, str], seed: int | None) -> Any:
        made = self._task(sections)
        pitfall = taught(entries_of(sections[prompts.INSIGHTS])[0])
        phrases = [PITFALLS[key].trigger for key in made.pitfalls if pitfall is None or key != pitfall.key]
        return {"applies": False, "text": "the statement is about " + " and ".join(f'"{p}"' for p in phrases)}

    def _evolver_unretrieved(self, sections: Mapping[str, str], seed: int | None) -> Any:
        pitfall = taught(entries_of(sections[prompts.INSIGHTS])[0])
        return {"applies": True, "text": f'the statement mentions "{pitfall.trigger if pitfall else BROAD}"'}

    def _evolver_refine(self, sections: Mapping[str, str], seed: int | None) -> Any:
        entry = entries_of(sections[prompts.INSIGHTS])[0]
        phrases = list(dict.fromkeys(_QUOTED.findall(entry["condition"])))
        wanted = list(dict.fromkeys(_QUOTED.findall(sections.get("Wrongly left out", ""))))
        unwanted = list(dict.fromkeys(_QUOTED.findall(sections.get("Wrongly applied", ""))))
        first = entry["condition"].split("\n")[0].removeprefix("This insight applies when").strip()
        either = " or ".join(f'"{phrase}"' for phrase in dict.fromkeys((*wanted, *phrases)))
        variants = [
            ("one broad rule", f'it mentions "{BROAD}"', ""),
            ("short list", f"it mentions {either}", ""),
            ("must-have pair", "it mentions " + " together with ".join(f'"{p}"' for p in (*phrases, *wanted)), ""),
            ("stated against missing", first, " or ".join(f'"{phrase}"' for phrase in unwanted)),
            ("keywords", f'it mentions "{wanted[0] if wanted else phrases[-1]}"', ""),
        ]
        return {"conditions": [{"strategy": s, "applies": a, "not_applies": n} for s, a, n in variants]}


def too_broad(insight: Insight) -> Insight:
    """The insight with a condition that holds for every generated task."""
    pitfall = taught(insight.to_dict())
    assert pitfall is not None
    return insight.with_condition(
        f'This insight applies when the problem statement mentions "{BROAD}" or "{pitfall.trigger}".'
    )


def too_narrow(insight: Insight, setting: str) -> Insight:
    """The insight with a condition that holds only for tasks of one setting."""
    pitfall = taught(insight.to_dict())
    assert pitfall is not None
    return insight.with_condition(
        f'This insight applies when the problem statement mentions "{setting}" together with "{pitfall.trigger}".'
    )
