"""One task studied: what its failures teach, and in evolution which insights misled, were missed, or are missing.

Part of AlphaOPT (arXiv 2510.18428, library learning and evolution, step by step as in the released program).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from optimand.language.llm.structured import ReplyError

from . import prompts
from .asking import shown
from .context import LearningContext, Record, TaskOutcome, trial_fails_alike
from .extracted_insights import ExtractedInsight
from .extraction import Extractor
from .insights import FORMULATION_STAGES, Insight
from .library import ExperienceLibrary
from .programmer import Trial, add_lessons
from .tasks import Task

TRAINING_TEMPERATURE = 0.7


def combinations(candidates: Sequence[Sequence[Insight]], most: int) -> Iterator[tuple[Insight, ...]]:
    """One insight for each issue that has candidates, in the order of the Cartesian product, ``most`` at most.

    Example:
        >>> [len(c) for c in combinations([], 8)]
        []
    """
    pools = [list(pool) for pool in candidates if pool]
    return itertools.islice(itertools.product(*pools), most) if pools else iter(())


class Diagnostician:
    """Finds out why a task fails.

    Args:
        context: roles and settings.
        extractor: writes insights for what is still missing.
    """

    def __init__(self, context: LearningContext, extractor: Extractor) -> None:
        self.context, self.extractor = context, extractor

    def first(
        self, task: Task, library: ExperienceLibrary, key: Sequence[Any], temperature: float = 0.0
    ) -> tuple[Trial, list[Insight]]:
        """An attempt with what the library offers, and the insights that were given."""
        context = self.context
        lessons = context.retriever.for_formulation(task, library, key)
        formulation = context.programmer.formulate(task, lessons, key, temperature)
        on_code = context.retriever.for_program(task, formulation, library, key)
        code = context.programmer.code(task, formulation, on_code, key, temperature)
        lessons = add_lessons(lessons, on_code)
        return context.programmer.run(task, formulation, code, lessons, key), lessons

    def diagnose(
        self, task: Task, library: ExperienceLibrary, record: Record, key: Sequence[Any], iteration: int
    ) -> TaskOutcome:
        """Attempt a task once, at temperature 0, and study a failure.

        Args:
            task: with its known value.
            library: is not changed.
            record: what is known of the task.
            key: names the round.
            iteration: 1, 2, …
        """
        trial, lessons = self.first(task, library, key)
        ids = [i.insight_id for i in lessons if i.insight_id is not None]
        record = Record([trial.outcome.status], float(trial.right), trial.right, ids, record.program, record.tried + 1)
        outcome = TaskOutcome(task.id, record)
        if trial.right:
            # All that a solved task was given counts for it; the authors' comparison for this is never true.
            if not self.context.settings.as_authors("positives"):
                outcome.marks = [(number, "positive") for number in ids]
            return outcome
        if trial.outcome.status in ("run_error", "parse_error"):
            return self._missing(task, trial, lessons, library, outcome, key, iteration)
        gold = self.extractor.gold(task, trial, outcome, key)
        issues = self.issues(task, trial, gold, (*key, 1))
        states = self.states(task, trial, lessons, issues, key)
        kept = [i for i in lessons if i.insight_id is None or states.get(i.insight_id, "positive") == "positive"]
        outcome.marks = [(number, state) for number, state in states.items()]
        if any(state in ("negative", "irrelevant") for state in states.values()):
            again = self.context.programmer.attempt(task, kept, (*key, "kept"))
            if again.right:
                outcome.note("solved without misleading insights")
                return outcome
            trial = again
            issues = self.issues(task, trial, gold, (*key, 2))
        else:
            kept = list(lessons)
        kept, solved = self.unretrieved(task, issues, kept, lessons, library, outcome, key)
        if solved:
            outcome.note("solved by insights that were not retrieved")
            return outcome
        return self._missing(task, trial, kept, library, outcome, key, iteration)

    def _missing(
        self,
        task: Task,
        trial: Trial,
        kept: Sequence[Insight],
        library: ExperienceLibrary,
        outcome: TaskOutcome,
        key: Sequence[Any],
        iteration: int,
    ) -> TaskOutcome:
        """What no insight of the library says is extracted anew."""
        outcome.extracted = self.extractor.study(
            task, trial, kept, library.taxonomy, outcome, (*key, "missing"), iteration
        )
        outcome.note("studied anew")
        return outcome

    def issues(self, task: Task, trial: Trial, gold: str | None, key: Sequence[Any]) -> dict[int, str]:
        """Root causes by number; empty where no reply can be read."""
        sections = {
            prompts.TASK: task.description,
            prompts.FORMULATION: trial.formulation,
            "Outcome": trial.outcome.shown,
            prompts.GOLD: gold or "",
        }
        try:
            reply = self.context.asker.json(
                "diagnostic.issues", prompts.DIAGNOSE_ISSUES, sections, prompts.ISSUES_SCHEMA, (task.id, *key)
            )
        except ReplyError:
            return {}
        return {entry["id"]: entry["issue"] for entry in reply["issues"]}

    def states(
        self, task: Task, trial: Trial, lessons: Sequence[Insight], issues: dict[int, str], key: Sequence[Any]
    ) -> dict[int, str]:
        """The state of each insight on formulation that was given; those not named are irrelevant."""
        given = [i for i in lessons if i.stage in FORMULATION_STAGES and i.insight_id is not None]
        if not given:
            return {}
        sections = {
            prompts.TASK: task.description,
            prompts.FORMULATION: trial.formulation,
            prompts.ISSUES: numbered(issues),
            prompts.INSIGHTS: shown(given),
        }
        try:
            reply = self.context.asker.json(
                "diagnostic.states", prompts.DIAGNOSE_STATES, sections, prompts.STATES_SCHEMA, (task.id, *key)
            )
        except ReplyError:
            return {}
        said = {entry["id"]: entry["state"] for entry in reply["states"]}
        return {i.insight_id: said.get(str(i.insight_id), "irrelevant") for i in given if i.insight_id is not None}

    def unretrieved(
        self,
        task: Task,
        issues: dict[int, str],
        kept: list[Insight],
        seen: Sequence[Insight],
        library: ExperienceLibrary,
        outcome: TaskOutcome,
        key: Sequence[Any],
    ) -> tuple[list[Insight], bool]:
        """Try insights that were not retrieved, one for each issue, at most ``combinations`` together.

        Returns:
            The insights kept with the best combination, and whether the task is solved with them.
        """
        seen_ids = {i.insight_id for i in seen}
        # One that was given but not followed may be tried again; it was not missed, and is not marked so.
        known = {i.insight_id for i in kept if i.insight_id is not None}
        numbers = list(issues)
        pools = [self.context.retriever.for_issue(task, issues[n], library, known, (*key, "issue", n)) for n in numbers]

        def missed(insights: Iterable[Insight]) -> list[tuple[int, str]]:
            ids = dict.fromkeys(i.insight_id for i in insights if i.insight_id is not None)
            return [(number, "unretrieved") for number in ids if number not in seen_ids]

        with_pool = [n for n, pool in zip(numbers, pools, strict=True) if pool]
        best: tuple[int, tuple[Insight, ...], set[int]] | None = None
        for count, combination in enumerate(combinations(pools, self.context.settings.combinations)):
            outcome.note("combinations")
            here = (*key, "combination", count)
            trial = self.context.programmer.attempt(task, add_lessons(kept, combination), here)
            # The value decides; the authors also ask whether each issue is solved.
            judged = self.context.settings.as_authors("judged")
            solved = set(numbers) if trial.right and not judged else self.validate(task, trial, issues, here)
            if trial.right and len(solved) == len(numbers):
                outcome.marks += missed(combination)
                return add_lessons(kept, combination), True
            if best is None or len(numbers) - len(solved) < best[0]:
                best = len(numbers) - len(solved), combination, solved
        if best is None:
            return kept, False
        useful = [i for n, i in zip(with_pool, best[1], strict=True) if n in best[2]]
        outcome.marks += missed(useful)
        return add_lessons(kept, useful), False

    def validate(self, task: Task, trial: Trial, issues: dict[int, str], key: Sequence[Any]) -> set[int]:
        """Numbers of the issues that a formulation is judged to solve."""
        sections = {
            prompts.TASK: task.description,
            prompts.FORMULATION: trial.formulation,
            prompts.ISSUES: numbered(issues),
        }
        try:
            reply = self.context.asker.json(
                "diagnostic.validate", prompts.VALIDATE, sections, prompts.VALIDATE_SCHEMA, (task.id, *key)
            )
        except ReplyError:
            return set()
        return {entry["id"] for entry in reply["issues"] if entry["solved"] and entry["id"] in issues}


def numbered(issues: dict[int, str]) -> str:
    """Issues as prompts show them."""
    return "\n".join(f"{number}. {text}" for number, text in issues.items())


def attempt_and_learn(
    context: LearningContext,
    diagnostician: Diagnostician,
    extractor: Extractor,
    task: Task,
    library: ExperienceLibrary,
    record: Record,
) -> TaskOutcome:
    """Several attempts with the same insights, then a study of each that failed."""
    key: tuple[Any, ...] = ("learn",)
    trial, lessons = diagnostician.first(task, library, (*key, 0), TRAINING_TEMPERATURE)
    trials = [trial]
    for number in range(1, context.settings.attempts):
        trials.append(context.programmer.attempt(task, lessons, (*key, number), TRAINING_TEMPERATURE))
    right = sum(trial.right for trial in trials)
    ids = [i.insight_id for i in lessons if i.insight_id is not None]
    statuses = [trial.outcome.status for trial in trials]
    tried = record.tried + len(trials)
    outcome = TaskOutcome(
        task.id, Record(statuses, right / len(trials), right == len(trials), ids, record.program, tried)
    )
    studied: list[Any] = []
    for number, trial in enumerate(trials):
        known = not context.settings.as_authors("repeats") and any(trial_fails_alike(trial, old) for old in studied)
        if trial.right or known:
            continue
        studied.append(trial)
        given: list[Insight] = [*lessons, *(new.insight for new in outcome.extracted)]
        found: list[ExtractedInsight] = extractor.study(
            task, trial, given, library.taxonomy, outcome, (*key, number), iteration=0
        )
        outcome.extracted += found
    if len(outcome.extracted) > 1:
        outcome.extracted = extractor.merge_own(task, outcome.extracted, lessons, key, 0)
    return outcome
