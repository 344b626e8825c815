"""Small situations played through with scripted models: a merge with a bystander, a search among combinations."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optimand.language.llm.scripted import Scripted
from optimand.language.modeling.alphaopt import prompts
from optimand.language.modeling.alphaopt.asking import PREFIX
from optimand.language.modeling.alphaopt.context import Record, TaskOutcome
from optimand.language.modeling.alphaopt.extracted_insights import ExtractedInsight
from optimand.language.modeling.alphaopt.insights import Insight
from optimand.language.modeling.alphaopt.learner import AlphaOPT
from optimand.language.modeling.alphaopt.library import ExperienceLibrary
from optimand.language.modeling.alphaopt.merging import Intake
from optimand.language.modeling.alphaopt.running import Runner
from optimand.language.modeling.alphaopt.simulated import SimulatedOracle, entries_of, lesson, sections_of
from optimand.language.modeling.alphaopt.simulated_tasks import PITFALLS, make_tasks
from optimand.language.modeling.alphaopt.tasks import Task

BOUNDS = ("General Formulation", "Variable Definition", "Explicit Bounds")


@dataclass(frozen=True)
class Printed:
    """What a program that was not run is said to have printed."""

    status: str
    values: Mapping[str, float]
    error: str = ""
    output: str = ""
    log: str = ""


@dataclass(frozen=True)
class Merge:
    """What an online merge did.

    Attributes:
        merged: ids that the merge names.
        deleted: ids that are gone.
        kept_bystander: whether an insight with the same label, which the merge does not name, is still there.
        library: afterwards.
    """

    merged: tuple[int, ...]
    deleted: tuple[int, ...]
    kept_bystander: bool
    library: ExperienceLibrary


def merge_with_bystander(*, official: bool, runner: Runner | None = None) -> Merge:
    """A new insight is merged with one that teaches the same; another, with the same label, teaches something else."""
    tasks = [made for made in make_tasks(24, 3, double=0) if made.pitfalls == ("flow",)]
    pitfall = PITFALLS["flow"]
    stage, level1, level2 = pitfall.label
    known, incoming = tasks[0].task, tasks[1].task

    def insight(source: str, **texts: Any) -> Insight:
        return Insight({stage: {level1: (level2,)}}, **{**lesson(pitfall), **texts}, sources=(source,))

    library = ExperienceLibrary()
    library.add(insight(known.id, example="# Wrong\nnothing\n# Correct\nm.addCons(a == b)"))
    library.add(
        insight(
            known.id,
            condition='This insight applies when the statement mentions "reservoir".',
            explanation="When the problem involves a reservoir, the best practice is to let it keep what is left.",
        )
    )
    oracle = SimulatedOracle(tasks)

    def reply(messages: Any, *, role: str = "", **options: Any) -> str:
        if role == "alphaopt.extractor.online_merge":
            return json.dumps({"merged_ids": ["1"], **lesson(pitfall)})
        return oracle.chat(messages, role=role, **options).text

    with AlphaOPT(Scripted(reply), library=library, runner=runner, official=official, workers=1) as learner:
        learner.tasks = {task.id: task for task in (known, incoming)}
        merger = _merger(learner)
        intake = Intake()
        merger.online(library, ExtractedInsight(insight(incoming.id)), (), ("merge",), 0, intake)
    gone = tuple(number for number in (1, 2) if number not in library)
    return Merge((1,), gone, 2 in library, library)


def _merger(learner: AlphaOPT) -> Any:
    from optimand.language.modeling.alphaopt.merging import Merger

    return Merger(learner.context, learner.extractor, learner.tasks, {})


class OneTask:
    """A model for one task; its program prints 3 where ``right`` holds for the insights that were given, else 1.

    Args:
        right: of the set of their ids, those without one called by their explanations.
        first: ids retrieved at first.
        states: by id, as the diagnosis says.
        issues: for each issue the ids that bear on it.
        solves: for each id the issues that a formulation with it is judged to solve.
        extracted: replies of the extractor, one after another, the last again and again.
        applies: whether conditions of extracted insights hold.

    ``given`` holds what each formulation was given, ``roles`` which roles were asked.
    """

    def __init__(
        self,
        right: Callable[[set[str]], bool],
        *,
        first: Sequence[str] = (),
        states: Mapping[str, str] | None = None,
        issues: Mapping[int, Sequence[str]] | None = None,
        solves: Mapping[str, Sequence[int]] | None = None,
        extracted: Sequence[Sequence[Mapping[str, Any]]] = ((),),
        applies: bool = True,
    ) -> None:
        self.right, self.first, self.states = right, first, states or {}
        self.issues, self.solves, self.extracted = issues or {}, solves or {}, list(extracted)
        self.applies = applies
        self.given: list[tuple[str, ...]] = []
        self.roles: list[str] = []
        self.offered: list[dict[str, Any]] = []

    def __call__(self, messages: Any, *, role: str, **options: Any) -> str:
        name = role.removeprefix(PREFIX)
        self.roles.append(name)
        answer = getattr(self, name.replace(".", "_"))(sections_of(messages))
        return answer if isinstance(answer, str) else json.dumps(answer)

    def retriever_match(self, sections: Mapping[str, str]) -> Any:
        """The one label that is in use."""
        stage, level1, level2 = BOUNDS
        return {"labels": [{"stage": stage, "level1": level1, "level2": [level2]}]}

    def retriever_check(self, sections: Mapping[str, str]) -> Any:
        """What bears on the issue, or was retrieved at first, and extracted insights."""
        shown = [entry["id"] for entry in entries_of(sections[prompts.CANDIDATES])]
        wanted = [*self.first, *(name for name in shown if name.startswith("new-") and self.applies)]
        if prompts.ISSUES in sections:
            wanted = list(self.issues[int(sections[prompts.ISSUES].split()[-1])])
        return {"applies": [{"id": name, "reason": ""} for name in wanted if name in shown]}

    def programmer_formulate(self, sections: Mapping[str, str]) -> str:
        """A list of what was given."""
        entries = entries_of(sections.get(prompts.INSIGHTS, ""))
        names = tuple(entry["explanation"] if entry["id"].startswith("new-") else entry["id"] for entry in entries)
        self.given.append(names)
        return json.dumps(names)

    def programmer_code(self, sections: Mapping[str, str]) -> str:
        """A program that prints 3 or 1."""
        return f"print({3 if self.right(set(json.loads(sections[prompts.FORMULATION]))) else 1})"

    def diagnostic_issues(self, sections: Mapping[str, str]) -> Any:
        """The issues."""
        return {"issues": [{"id": number, "issue": f"issue {number}", "evidence": ""} for number in self.issues]}

    def diagnostic_states(self, sections: Mapping[str, str]) -> Any:
        """The states."""
        return {"states": [{"id": name, "state": state, "reason": ""} for name, state in self.states.items()]}

    def diagnostic_validate(self, sections: Mapping[str, str]) -> Any:
        """What the insights given are said to solve."""
        done = {issue for name in json.loads(sections[prompts.FORMULATION]) for issue in self.solves.get(name, ())}
        return {"issues": [{"id": number, "solved": number in done, "reason": ""} for number in self.issues]}

    def extractor_formulation(self, sections: Mapping[str, str]) -> Any:
        """The next reply."""
        return {"insights": self.extracted.pop(0) if len(self.extracted) > 1 else self.extracted[0]}

    def extractor_online_merge(self, sections: Mapping[str, str]) -> Any:
        """No merge; ``offered`` keeps what was shown."""
        self.offered = entries_of(sections[prompts.INSIGHTS])
        return {"merged_ids": [], "condition": "", "explanation": "", "example": ""}


def number_printed(code: str) -> Printed:
    """What ``print(NUMBER)`` prints, without running it."""
    return Printed("optimal", {"objective": float(code.strip().removeprefix("print(").rstrip(")"))})


def unretrieved_combinations(sizes: Sequence[int]) -> tuple[int, bool]:
    """A task whose issues have so many candidate insights each, and a model that never solves it.

    Returns:
        The number of combinations tried, and whether they are the first ones of the Cartesian product.
    """
    stage, level1, level2 = BOUNDS
    library, groups = ExperienceLibrary(), dict[int, list[str]]()
    for issue, size in enumerate(sizes, 1):
        made = [
            Insight({stage: {level1: (level2,)}}, f"This insight applies when {issue}, {n}.", "When the problem …")
            for n in range(size)
        ]
        groups[issue] = [str(library.add(insight).insight_id) for insight in made]
    model = OneTask(lambda given: False, issues=groups)
    runner = Runner(number_printed)
    with AlphaOPT(Scripted(model), library=library, runner=runner, workers=1) as learner:
        task = Task.of("t", "A task that nothing solves.", 2)
        issues = {number: f"issue {number}" for number in groups}
        learner.diagnostician.unretrieved(task, issues, [], [], library, TaskOutcome("t", Record()), ("x",))
    expected = list(itertools.product(*groups.values()))[: len(model.given)]
    return len(model.given), model.given == expected
