"""Taking insights into a library: merged across the tasks of a minibatch, then with what the library has.

A merge stands only if every source task still comes out right with it. The authors' program then deletes every library
insight under a shared label; ours deletes exactly those that were merged (``official="deletion"`` is theirs). Beyond
the paper, an insight is tried on tasks that were solved without it, so that a condition that reaches too far is
noticed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from optimand.language.llm.structured import ReplyError

from . import prompts
from .asking import shown
from .context import LearningContext, Record
from .extracted_insights import ExtractedInsight, joined, lessons_of, merged
from .extraction import Extractor
from .indexes import TextIndex, nearest
from .insights import Insight
from .leaks import leaks
from .library import ExperienceLibrary
from .programmer import add_lessons
from .review import Proposal
from .tasks import Task

MOST_CANDIDATES = 30


@dataclass
class Intake:
    """What taking extracted insights in did.

    Attributes:
        added: ids of the insights that are new in the library.
        deleted: ids that merges replaced.
        refused: how many extracted insights did harm on solved tasks.
        merges: accepted merges, those across tasks and those with the library.
        failed_merges: proposed merges that did not verify.
    """

    added: list[int] = field(default_factory=list)
    deleted: list[int] = field(default_factory=list)
    refused: int = 0
    merges: int = 0
    failed_merges: int = 0


class Merger:
    """The one consumer of extracted insights; it works in the order of task ids, whatever the workers did.

    Args:
        context: roles and settings.
        extractor: proposes groups.
        tasks: known tasks by id; insights with other sources are not merged, because they could not be verified.
        records: what is known of the tasks.
    """

    def __init__(
        self, context: LearningContext, extractor: Extractor, tasks: Mapping[str, Task], records: Mapping[str, Record]
    ) -> None:
        self.context, self.extractor, self.tasks, self.records = context, extractor, tasks, records

    def take_in(
        self, library: ExperienceLibrary, extracted: Sequence[ExtractedInsight], key: Sequence[Any], iteration: int
    ) -> Intake:
        """Merge extracted insights among themselves and with the library, and put them in.

        Args:
            library: is changed.
            extracted: each with its source tasks.
            key: names the minibatch.
            iteration: of learning or evolution.
        """
        intake = Intake()
        pool = sorted(extracted, key=lambda new: new.insight.sources)
        pool = self.across(library, pool, (*key, "across"), iteration, intake)
        for number, new in enumerate(pool):
            self.online(library, new, pool[number + 1 :], (*key, "online", number), iteration, intake)
        return intake

    # lessons that a task is verified with

    def lessons(
        self, task: str, library: ExperienceLibrary, pool: Sequence[ExtractedInsight], without: Sequence[Insight]
    ) -> list[Insight]:
        """Insights that a task goes by: those it retrieved, and those that were verified on it."""
        gone = [(i.insight_id, i.condition, i.explanation) for i in without]
        retrieved = set(self.records[task].retrieved) if task in self.records else set()
        found = [i for i in library if i.insight_id in retrieved or task in i.sources]
        found = add_lessons(found, [new.insight for new in pool if task in new.insight.sources])
        return [i for i in found if (i.insight_id, i.condition, i.explanation) not in gone]

    def holds(
        self,
        library: ExperienceLibrary,
        made: Insight,
        parts: Sequence[Insight],
        pool: Sequence[ExtractedInsight],
        key: Sequence[Any],
    ) -> bool:
        """Whether a merged insight applies on every source task and makes it come out right."""
        if any(task not in self.tasks for task in made.sources):
            return False
        settings = self.context.settings
        if not settings.as_authors("leaks") and any(leaks(made, self.tasks[task].truths) for task in made.sources):
            return False

        def one(name: str) -> bool:
            task = self.tasks[name]
            if not self.context.own_condition_holds(task, made, (*key, "applies")):
                return False
            lessons = add_lessons(self.lessons(name, library, pool, parts), [made])
            return self.context.verified(task, lessons, key)

        return all(self.context.map(one, made.sources))

    # across tasks

    def across(
        self,
        library: ExperienceLibrary,
        pool: list[ExtractedInsight],
        key: Sequence[Any],
        iteration: int,
        intake: Intake,
    ) -> list[ExtractedInsight]:
        """Merge extracted insights of different tasks; a group whose merge does not verify stays as it was."""
        for start in range(0, len(pool), MOST_CANDIDATES):
            chunk = pool[start : start + MOST_CANDIDATES]
            for number, (members, made) in enumerate(self.extractor.groups(chunk, (*key, start), iteration)):
                here = (*key, start, number)
                if self.holds(library, made.insight, lessons_of(members), pool, here):
                    first = next(place for place, new in enumerate(pool) if new is members[0])
                    pool = [
                        made if place == first else new
                        for place, new in enumerate(pool)
                        if place == first or not any(new is member for member in members)
                    ]
                    intake.merges += 1
                else:
                    intake.failed_merges += 1
        return pool

    # with the library

    def online(
        self,
        library: ExperienceLibrary,
        new: ExtractedInsight,
        pool: Sequence[ExtractedInsight],
        key: Sequence[Any],
        iteration: int,
        intake: Intake,
    ) -> None:
        """Merge one extracted insight with the library's insights under its labels, or add it."""
        harmed = self.harmed(library, new.insight, key)
        if len(harmed) >= len(new.insight.sources):
            intake.refused += 1
            return
        for task in harmed:
            new = ExtractedInsight(new.insight.marked("negative", task), new.definitions)
        candidates = self._candidates(library, new.insight)
        proposal = self._proposed(new, candidates, key, iteration) if candidates else None
        if proposal is not None:
            made, parents = proposal
            gone = [i.insight_id for i in parents if i.insight_id is not None]
            parts = [new.insight, *parents]
            if self.holds(library, made.insight, parts, pool, key) and not self._spreads(
                library, made.insight, harmed, key
            ):
                if self.context.settings.approve == "ask":
                    kept = library.add(new.insight, new.definitions)
                    intake.added.append(kept.insight_id)  # type: ignore[arg-type]
                    ids = (kept.insight_id, *gone)
                    stands = replace(made.insight, parents=ids)  # type: ignore[arg-type]
                    reason = f"one insight verified on {', '.join(made.insight.sources)} can stand for these"
                    library.pending.append(Proposal("merge", ids, reason, (stands,)))  # type: ignore[arg-type]
                    return
                kept = library.add(made.insight, made.definitions)
                if self.context.settings.as_authors("deletion"):
                    shared = library.retrieve(taxonomy=made.insight.triples)
                    gone = [i.insight_id for i in shared if i is not kept and not i.pinned]  # type: ignore[misc]
                library.remove(gone, into=[kept.insight_id])  # type: ignore[list-item]
                intake.added.append(kept.insight_id)  # type: ignore[arg-type]
                intake.deleted += gone
                intake.merges += 1
                return
            intake.failed_merges += 1
        kept = library.add(new.insight, new.definitions)
        intake.added.append(kept.insight_id)  # type: ignore[arg-type]

    def _candidates(self, library: ExperienceLibrary, insight: Insight) -> list[Insight]:
        shared = [i for i in library.retrieve(taxonomy=insight.triples) if not i.pinned]
        known = [i for i in shared if i.sources and all(task in self.tasks for task in i.sources)]
        if len(known) <= MOST_CANDIDATES:
            return known
        return nearest(f"{insight.condition} {insight.explanation}", known, MOST_CANDIDATES)

    def _proposed(
        self, new: ExtractedInsight, candidates: Sequence[Insight], key: Sequence[Any], iteration: int
    ) -> tuple[ExtractedInsight, list[Insight]] | None:
        # The authors' prompt promises explanation and example but is given neither.
        parts = (
            ("labels", "condition")
            if self.context.settings.as_authors("candidates")
            else ("labels", "condition", "explanation", "example")
        )
        sections = {
            "Incoming": shown([new.insight], names=["incoming"], parts=(*parts[:2], "explanation", "example")),
            prompts.INSIGHTS: shown(candidates, parts=parts),
        }
        try:
            reply = self.context.asker.json(
                "extractor.online_merge", prompts.ONLINE_MERGE, sections, prompts.ONLINE_SCHEMA, key
            )
        except ReplyError:
            return None
        wanted = set(reply["merged_ids"])
        parents = [i for i in candidates if str(i.insight_id) in wanted and i.stage == new.insight.stage]
        if not parents:
            return None
        made = merged([new.insight, *parents], reply, iteration)
        return None if made is None else (joined([new], made), parents)

    def _spreads(self, library: ExperienceLibrary, made: Insight, harmed: Sequence[str], key: Sequence[Any]) -> bool:
        """Whether a merged insight harms solved tasks that the extracted insight alone did not."""
        return bool(set(self.harmed(library, made, (*key, "merged"))) - set(harmed))

    # over-general insights

    def harmed(self, library: ExperienceLibrary, insight: Insight, key: Sequence[Any]) -> list[str]:
        """Solved tasks, other than its sources, that an insight spoils.

        Looked at are the nearest by words and some of all the others, because a condition that reaches too far does its
        harm on tasks unlike its source; of those where it is judged to apply, ``replay`` are solved again.
        """
        solved = [
            name
            for name in sorted(self.tasks)
            if name in self.records and self.records[name].solved and name not in insight.sources
        ]
        if not solved or not self.context.settings.replay or self.context.settings.as_authors("replay"):
            return []
        text = f"{insight.condition} {insight.explanation}"
        most = self.context.settings.replay
        order = TextIndex([self.tasks[name].description for name in solved]).rank(text, len(solved))
        near, far = order[: most // 2], sorted(order[most // 2 :])
        far = far[:: max(1, len(far) // (2 * most))][: 2 * most]

        def reached(name: str) -> bool:
            return self.context.retriever.applies(self.tasks[name], insight, (*key, "replay"))

        def spoils(name: str) -> bool:
            task = self.tasks[name]
            lessons = add_lessons(self.lessons(name, library, (), ()), [insight])
            return not self.context.verified(task, lessons, (*key, "replay"))

        looked_at = [solved[number] for number in (*near, *far)]
        names = [name for name, hit in zip(looked_at, self.context.map(reached, looked_at), strict=True) if hit][:most]
        return [name for name, bad in zip(names, self.context.map(spoils, names), strict=True) if bad]


def apply_marks(library: ExperienceLibrary, marks: Sequence[tuple[int, str, str]]) -> None:
    """Enter states in the insights' distributions.

    Args:
        library: is changed; ids that a merge replaced are followed to what stands for them.
        marks: (insight id, state, task id).
    """
    for number, state, task in marks:
        for current in _current(library, number):
            library.replace(library[current].marked(state, task))


def count_retrievals(library: ExperienceLibrary, ids: Sequence[int]) -> None:
    """Add one to the occurrence of each insight retrieved."""
    for number in ids:
        for current in _current(library, number):
            insight = library[current]
            library.replace(replace(insight, occurrence=insight.occurrence + 1))


def _current(library: ExperienceLibrary, number: int) -> list[int]:
    if number in library:
        return [number]
    return [found for later in library.retired.get(number, ()) for found in _current(library, later)]
