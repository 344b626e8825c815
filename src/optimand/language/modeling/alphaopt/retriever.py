"""Retrieval: a quick match by labels, then a full check of the conditions (arXiv 2510.18428, released program).

Where a reply stays malformed the authors keep the whole batch, so a weak model drowns in lessons that do not apply. By
default ours drops it and keeps the five nearest, by an embedding where one is given, else by TF-IDF;
``malformed="keep"`` is theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optimand.core.validation import check_choice, check_int
from optimand.language.llm.structured import ReplyError

from . import prompts
from .asking import Asker, shown
from .indexes import Embed, nearest
from .insights import FORMULATION_STAGES, PROGRAM_STAGES, Insight, Triple
from .library import ExperienceLibrary
from .tasks import Task
from .taxonomy import Taxonomy

BATCH = 30


class Retriever:
    """Finds the insights that apply to a task.

    Args:
        asker: the models.
        batch: conditions in a call of the full check.
        malformed: what to do with a batch when no reply can be read: ``drop`` it and keep the nearest ``fallback`` by
            words, or ``keep`` it whole.
        retries: further calls after a malformed reply; 2, or with ``keep`` 5, when None.
        fallback: how many are kept of a dropped batch.
        use_taxonomy: quick match first; without it every insight goes to the full check.
        embed: texts to vectors; with it the nearest are found by these instead of words.
    """

    def __init__(
        self,
        asker: Asker,
        *,
        batch: int = BATCH,
        malformed: str = "drop",
        retries: int | None = None,
        fallback: int = 5,
        use_taxonomy: bool = True,
        embed: Embed | None = None,
    ) -> None:
        check_int("batch", batch, low=1)
        check_int("fallback", fallback, low=0)
        check_choice("malformed", malformed, ("drop", "keep"))
        self.asker, self.batch, self.malformed, self.fallback = asker, batch, malformed, fallback
        self.retries = check_int("retries", (5 if malformed == "keep" else 2) if retries is None else retries, low=0)
        self.use_taxonomy, self.embed = use_taxonomy, embed

    def match(
        self,
        task: Task,
        taxonomy: Taxonomy,
        stages: tuple[str, ...],
        key: Sequence[Any],
        more: dict[str, str] | None = None,
    ) -> list[Triple]:
        """Labels that may matter for a task; unknown ones are dropped, all are returned where no reply can be read."""
        sections = {prompts.TASK: task.description, **(more or {}), prompts.LABELS: taxonomy.describe(stages)}
        schema = prompts.match_schema(stages)
        try:
            reply = self.asker.json(
                "retriever.match", prompts.MATCH, sections, schema, (task.id, *key), retries=self.retries
            )
        except ReplyError:
            # The full check, which follows, decides anyway.
            return [triple for triple in taxonomy if triple[0] in stages]
        found = (
            taxonomy.find(entry["stage"], entry["level1"], label)
            for entry in reply["labels"]
            for label in entry["level2"]
        )
        return list(dict.fromkeys(triple for triple in found if triple is not None and triple[0] in stages))

    def check(
        self, task: Task, candidates: Sequence[Insight], key: Sequence[Any], more: dict[str, str] | None = None
    ) -> list[Insight]:
        """The candidates whose conditions hold for a task, in their order."""
        kept: list[Insight] = []
        for start in range(0, len(candidates), self.batch):
            batch = list(candidates[start : start + self.batch])
            names = [str(i.insight_id) if i.insight_id is not None else f"new-{n}" for n, i in enumerate(batch, 1)]
            listed = shown(batch, names=names, parts=("condition",))
            sections = {prompts.TASK: task.description, **(more or {}), prompts.CANDIDATES: listed}
            try:
                reply = self.asker.json(
                    "retriever.check",
                    prompts.CHECK,
                    sections,
                    prompts.CHECK_SCHEMA,
                    (task.id, *key, start),
                    retries=self.retries,
                )
            except ReplyError:
                text = " ".join((task.description, *(more or {}).values()))
                kept += batch if self.malformed == "keep" else nearest(text, batch, self.fallback, self.embed)
                continue
            chosen = {entry["id"] for entry in reply["applies"]}
            kept += [insight for name, insight in zip(names, batch, strict=True) if name in chosen]
        return kept

    def candidates(
        self,
        task: Task,
        library: ExperienceLibrary,
        stages: tuple[str, ...],
        key: Sequence[Any],
        more: dict[str, str] | None = None,
    ) -> list[Insight]:
        """Insights that share a label with the task; all of the stages without the taxonomy."""
        if not any(insight.stage in stages for insight in library):
            return []
        if not self.use_taxonomy:
            return library.retrieve(stages=stages)
        return library.retrieve(taxonomy=self.match(task, library.taxonomy, stages, key, more), stages=stages)

    def for_formulation(self, task: Task, library: ExperienceLibrary, key: Sequence[Any]) -> list[Insight]:
        """Insights for the formulation of a task."""
        found = self.candidates(task, library, FORMULATION_STAGES, (*key, "formulation"))
        return self.check(task, found, (*key, "formulation"))

    def for_program(
        self, task: Task, formulation: str, library: ExperienceLibrary, key: Sequence[Any]
    ) -> list[Insight]:
        """Insights for the program of a formulation."""
        more = {prompts.FORMULATION: formulation}
        found = self.candidates(task, library, PROGRAM_STAGES, (*key, "program"), more)
        return self.check(task, found, (*key, "program"), more)

    def for_issue(
        self, task: Task, issue: str, library: ExperienceLibrary, kept: set[int], key: Sequence[Any]
    ) -> list[Insight]:
        """Insights on formulation that bear on an issue, those whose ids are in ``kept`` left out."""
        more = {prompts.ISSUES: issue}
        found = self.candidates(task, library, FORMULATION_STAGES, key, more)
        return self.check(task, [i for i in found if i.insight_id not in kept], key, more)

    def applies(self, task: Task, insight: Insight, key: Sequence[Any]) -> bool:
        """Whether one insight's condition is judged to hold."""
        return bool(self.check(task, [insight], key))
