"""From a failed attempt to verified insights: repair, exploration, extraction (arXiv 2510.18428, library learning)."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any

from optimand.language.llm.structured import ReplyError

from . import prompts
from .asking import shown
from .context import LearningContext, Record, TaskOutcome
from .extracted_insights import ExtractedInsight, joined, lessons_of, merged, read_extracted
from .insights import FORMULATION_STAGES, PROGRAM_STAGES, Insight
from .leaks import hard_coded
from .programmer import Trial, add_lessons
from .running import Outcome, extract_code
from .tasks import Task
from .taxonomy import Taxonomy

_MARK = re.compile(r"^\s*#\s*={3,}(.*)$")
MOST_GROUPS = 4


def fix_blocks(code: str) -> list[str]:
    """The repairs that stand between lines of ``#===``, each with its reason.

    Example:
        >>> fix_blocks("a = 1\\n#=== lower bound\\nx = m.addVar(lb=0)\\n#===\\nprint(a)")
        ['lower bound\\nx = m.addVar(lb=0)']
    """
    blocks: list[str] = []
    inside: list[str] | None = None
    for line in code.splitlines():
        mark = _MARK.match(line)
        if mark is None:
            if inside is not None:
                inside.append(line)
        elif inside is None:
            inside = [mark.group(1).strip(" =")]
        else:
            blocks.append("\n".join(inside))
            # A mark with a reason closes one block and opens the next.
            inside = [mark.group(1).strip(" =")] if mark.group(1).strip(" =") else None
    if inside is not None:
        blocks.append("\n".join(inside))
    return [block for block in blocks if block.strip()]


class Extractor:
    """Studies failures.

    Args:
        context: roles and settings.
    """

    def __init__(self, context: LearningContext) -> None:
        self.context, self.asker, self.settings = context, context.asker, context.settings

    # what a failure teaches

    def study(
        self,
        task: Task,
        trial: Trial,
        lessons: Sequence[Insight],
        taxonomy: Taxonomy,
        outcome: TaskOutcome,
        key: Sequence[Any],
        iteration: int = 0,
    ) -> list[ExtractedInsight]:
        """Verified extracted insights from one failed attempt.

        Args:
            task: with its known value.
            trial: the attempt.
            lessons: what was given, and what was accepted from earlier attempts.
            taxonomy: labels to file under.
            outcome: takes counts and a program that was found.
            key: names the attempt.
            iteration: of learning or evolution.
        """
        on_code: list[ExtractedInsight] = []
        if trial.outcome.status == "run_error":
            repaired = self.repair(task, trial, key)
            result = self.context.runner.run(task, repaired)
            if result.status in ("run_error", "parse_error"):
                outcome.note("not repaired")
                return []
            for number in range(self.settings.verify_attempts):
                here = (*key, "program", number)
                found = self.from_program(task, repaired, taxonomy, outcome, here, iteration)
                if result.right:
                    # The repair was all that was missing: no lesson on formulation is needed.
                    if found := self.context.accepted(task, found, lessons, outcome, here):
                        return found
                elif found := self.context.admissible(task, found, outcome, here):
                    on_code = found
                    break
            if result.right:
                return []
            trial = Trial(trial.formulation, repaired, result, trial.retrieved, trial.repairs)
        gold = self.gold(task, trial, outcome, key)
        if gold is None:
            outcome.note("no right program found")
            return []
        for number in range(self.settings.verify_attempts):
            here = (*key, "formulation", number)
            found = self.from_formulation(task, trial, gold, taxonomy, outcome, here, iteration)
            if found := self.context.accepted(task, [*on_code, *found], lessons, outcome, here):
                return found
        return []

    def repair(self, task: Task, trial: Trial, key: Sequence[Any]) -> str:
        """The program with its error repaired and the repairs marked."""
        sections = {
            prompts.TASK: task.description,
            prompts.FORMULATION: trial.formulation,
            prompts.PROGRAM: trial.code,
            "Error": trial.outcome.detail,
        }
        return extract_code(self.asker.text("diagnostic.program", prompts.DIAGNOSE_PROGRAM, sections, (task.id, *key)))

    def gold(self, task: Task, trial: Trial, outcome: TaskOutcome, key: Sequence[Any]) -> str | None:
        """A right program: the known one, else one that is found by exploring; it is kept in the record."""
        for program in (outcome.record.program, task.program):
            # A published program may be for another solver, or wrong by our tolerance.
            if program and self.context.runner.run(task, program).right:
                outcome.record.program = program
                return program
        found, rounds = self.explore(task, trial, key)
        outcome.note("exploration rounds", rounds)
        outcome.record.program = found
        return found

    def explore(self, task: Task, trial: Trial, key: Sequence[Any]) -> tuple[str | None, int]:
        """Programs are written, run and commented until one gives the known value.

        The truth is not told, only that the value is not it; a program that holds the value as a number that the task
        does not mention counts as wrong.

        Returns:
            The program or None, and the number of calls, ``explore_rounds`` at most.
        """
        code, feedback = trial.code, trial.outcome.shown
        for number in range(self.settings.explore_rounds):
            sections = {
                prompts.TASK: task.description,
                prompts.PROGRAM: code,
                "Feedback": f"This program is wrong: {feedback}.",
                prompts.RESULT: "\n".join(task.queries),
            }
            instruction = prompts.EXPLORE.format(code=self.context.programmer.code_prompt)
            reply = self.asker.text("explorer", instruction, sections, (task.id, *key, "explore", number))
            code = extract_code(reply) or code
            result: Outcome = self.context.runner.run(task, code)
            cheats = not self.settings.as_authors("leaks") and hard_coded(code, task.truths, task.description)
            if result.right and not cheats:
                return code, number + 1
            feedback = "it states a result instead of finding it" if cheats else result.shown
        return None, self.settings.explore_rounds

    def from_formulation(
        self,
        task: Task,
        trial: Trial,
        gold: str,
        taxonomy: Taxonomy,
        outcome: TaskOutcome,
        key: Sequence[Any],
        iteration: int,
    ) -> list[ExtractedInsight]:
        """Extracted insights on formulation from a failed attempt and a right program."""
        sections = {
            prompts.TASK: task.description,
            prompts.FORMULATION: trial.formulation,
            "Outcome": trial.outcome.shown,
            prompts.GOLD: gold,
            prompts.LABELS: taxonomy.describe(FORMULATION_STAGES),
        }
        return self._extracted(
            "formulation", prompts.EXTRACT_FORMULATION, sections, task, taxonomy, outcome, key, iteration
        )

    def from_program(
        self, task: Task, repaired: str, taxonomy: Taxonomy, outcome: TaskOutcome, key: Sequence[Any], iteration: int
    ) -> list[ExtractedInsight]:
        """Extracted insights on code from the marked repairs of a program."""
        blocks = fix_blocks(repaired)
        if not blocks:
            return []
        sections = {
            prompts.TASK: task.description,
            prompts.PROGRAM: repaired,
            "Repairs": "\n\n".join(blocks),
            prompts.LABELS: taxonomy.describe(PROGRAM_STAGES),
        }
        return self._extracted("program", prompts.EXTRACT_PROGRAM, sections, task, taxonomy, outcome, key, iteration)

    def _extracted(
        self,
        kind: str,
        instruction: str,
        sections: dict[str, str],
        task: Task,
        taxonomy: Taxonomy,
        outcome: TaskOutcome,
        key: Sequence[Any],
        iteration: int,
    ) -> list[ExtractedInsight]:
        try:
            reply = self.asker.json(
                f"extractor.{kind}", instruction, sections, prompts.INSIGHTS_SCHEMA[kind], (task.id, *key)
            )
        except ReplyError:
            outcome.refuse("reply could not be read")
            return []
        found = []
        for entry in reply["insights"]:
            new = read_extracted(entry, taxonomy, task.id, iteration)
            if isinstance(new, str):
                outcome.refuse("unknown label" if "unknown label" in new else "a part is missing")
            else:
                found.append(new)
        return found

    # merging the extracted insights of one task

    def groups(
        self, extracted: Sequence[ExtractedInsight], key: Sequence[Any], iteration: int
    ) -> list[tuple[list[ExtractedInsight], ExtractedInsight]]:
        """Proposed merges: members and what would stand for them; groups share no member."""
        if len(extracted) < 2:
            return []
        names = [f"new-{number}" for number in range(1, len(extracted) + 1)]
        listed = shown(lessons_of(extracted), names=names, parts=("labels", "condition", "explanation", "example"))
        try:
            reply = self.asker.json(
                "extractor.merge", prompts.MERGE, {prompts.INSIGHTS: listed}, prompts.MERGE_SCHEMA, key
            )
        except ReplyError:
            return []
        found, used = [], set[str]()
        for entry in reply["groups"]:
            ids = list(dict.fromkeys(name for name in entry["ids"] if name in names and name not in used))
            if len(ids) < 2:
                continue
            members = [extracted[names.index(name)] for name in ids]
            insight = merged(lessons_of(members), entry, iteration)
            if insight is not None:
                used.update(ids)
                found.append((members, joined(members, insight)))
        return found

    def merge_own(
        self,
        task: Task,
        extracted: list[ExtractedInsight],
        lessons: Sequence[Insight],
        key: Sequence[Any],
        iteration: int,
    ) -> list[ExtractedInsight]:
        """Merge the insights of one task: of all subsets of the proposed merges the largest that still verifies."""
        groups = self.groups(extracted, (task.id, *key, "merge"), iteration)[:MOST_GROUPS]
        for size in range(len(groups), 0, -1):
            for number, subset in enumerate(itertools.combinations(groups, size)):
                gone = [member for members, _ in subset for member in members]
                pool = [new for new in extracted if not any(new is member for member in gone)]
                pool += [new for _, new in subset]
                here = (*key, "merged", size, number)
                # The merged condition, too, has to hold for the task, and its text must not give the answer away.
                scratch = TaskOutcome(task.id, Record())
                if len(self.context.admissible(task, [d for _, d in subset], scratch, here)) < size:
                    continue
                if self.context.verified(task, add_lessons(lessons, lessons_of(pool)), here):
                    return pool
        return extracted
