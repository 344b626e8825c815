"""The programmer: from a task and insights to a formulation, from there to a program, and its repair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from . import prompts
from .asking import Asker, shown
from .insights import PROGRAM_STAGES, Insight
from .running import Outcome, Runner, extract_code
from .tasks import Task


@dataclass(frozen=True)
class Trial:
    """One attempt at a task.

    Attributes:
        formulation: the model in LaTeX.
        code: the program.
        outcome: what it came to.
        retrieved: ids of the insights that were given, those on formulation and those on code.
        repairs: rounds of self-debugging.
    """

    formulation: str
    code: str
    outcome: Outcome
    retrieved: tuple[int, ...] = ()
    repairs: int = 0

    @property
    def right(self) -> bool:
        """Whether the task is solved."""
        return self.outcome.right


class Programmer:
    """Formulates and programs.

    Args:
        asker: the models.
        runner: runs the programs.
        solver: what programs are written for, ``scip`` or ``highs``.
        rewrite: fit the insights to the task in a call of its own before they are used.
        repairs: rounds of self-debugging after an error.
    """

    def __init__(
        self, asker: Asker, runner: Runner, *, solver: str = "scip", rewrite: bool = False, repairs: int = 3
    ) -> None:
        self.asker, self.runner, self.rewrite, self.repairs = asker, runner, rewrite, repairs
        self.code_prompt = prompts.CODE_SCIP if solver == "scip" else prompts.CODE_HIGHS

    def formulate(self, task: Task, lessons: Sequence[Insight], key: Sequence[Any], temperature: float = 0.0) -> str:
        """A formulation, with the lessons on formulation among ``lessons`` at hand."""
        sections = {prompts.TASK: task.description, prompts.INSIGHTS: self._lessons(task, lessons, False, key)}
        return self.asker.text("programmer.formulate", prompts.FORMULATE, sections, (task.id, *key), temperature)

    def code(
        self, task: Task, formulation: str, lessons: Sequence[Insight], key: Sequence[Any], temperature: float = 0.0
    ) -> str:
        """A program for a formulation, with the lessons on code at hand; empty where the reply holds none."""
        sections = {
            prompts.TASK: task.description,
            prompts.FORMULATION: formulation,
            prompts.INSIGHTS: self._lessons(task, lessons, True, key),
            prompts.RESULT: "\n".join(task.queries),
        }
        reply = self.asker.text("programmer.code", self.code_prompt, sections, (task.id, *key), temperature)
        return extract_code(reply)

    def _lessons(self, task: Task, lessons: Sequence[Insight], on_code: bool, key: Sequence[Any]) -> str:
        pool = [insight for insight in lessons if (insight.stage in PROGRAM_STAGES) == on_code]
        # Lessons that are tried out have no id yet; their names must not depend on what else is going on.
        names = [str(i.insight_id) if i.insight_id is not None else f"new-{n}" for n, i in enumerate(pool, 1)]
        text = shown(pool, names=names)
        if not self.rewrite or not pool:
            return text
        sections = {prompts.TASK: task.description, prompts.INSIGHTS: text}
        return self.asker.text("programmer.rewrite", prompts.REWRITE, sections, (task.id, *key, on_code))

    def debug(self, task: Task, code: str, outcome: Outcome, key: Sequence[Any]) -> str:
        """A repaired program; the old one where the reply holds none."""
        sections = {prompts.TASK: task.description, prompts.PROGRAM: code, "Error": outcome.detail}
        return extract_code(self.asker.text("programmer.debug", prompts.DEBUG, sections, (task.id, *key))) or code

    def run(
        self,
        task: Task,
        formulation: str,
        code: str,
        lessons: Sequence[Insight],
        key: Sequence[Any],
        repairs: int | None = None,
    ) -> Trial:
        """Run a program, repairing it while it ends with an error."""
        outcome, rounds = self.runner.run(task, code), 0
        most = self.repairs if repairs is None else repairs
        while outcome.status == "run_error" and rounds < most:
            rounds += 1
            repaired = self.debug(task, code, outcome, (*key, "repair", rounds))
            if repaired == code:
                break
            code = repaired
            outcome = self.runner.run(task, code)
        ids = tuple(insight.insight_id for insight in lessons if insight.insight_id is not None)
        return Trial(formulation, code, outcome, ids, rounds)

    def attempt(
        self,
        task: Task,
        lessons: Sequence[Insight],
        key: Sequence[Any],
        temperature: float = 0.0,
        repairs: int | None = None,
    ) -> Trial:
        """Formulation, program and run with given lessons."""
        formulation = self.formulate(task, lessons, key, temperature)
        code = self.code(task, formulation, lessons, key, temperature)
        return self.run(task, formulation, code, lessons, key, repairs)


def add_lessons(old: Sequence[Insight], new: Sequence[Insight]) -> list[Insight]:
    """Both, without those that are there already."""
    seen = {(i.condition, i.explanation, i.example) for i in old}
    return [*old, *(i for i in new if (i.condition, i.explanation, i.example) not in seen)]
