"""Sharpening conditions: which insights misled or were missed, what the conditions should say, a score for each try.

Part of AlphaOPT (arXiv 2510.18428, library evolution). Retrieval is replayed with each proposed condition on the tasks
where the insight helped, misled or was missed; the best condition is kept if it scores more than the old one. Beyond
the paper, of conditions that score alike the one is taken that reaches the fewest other tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optimand.core.validation import check_int
from optimand.language.llm.structured import ReplyError

from . import prompts
from .asking import shown
from .context import LearningContext
from .insights import FORMULATION_STAGES, Insight, Triple, normalised
from .tasks import Task
from .taxonomy import Taxonomy

MOST_TASKS = 20
MOST_BYSTANDERS = 12
_APPLIES, _NOT = "This insight applies when", "This insight does NOT apply when"


@dataclass(frozen=True)
class Refinement:
    """What refining an insight gave.

    Attributes:
        insight_id: which.
        baseline: score of the old condition: only its positive tasks are right.
        scores: of the proposed conditions.
        insight: the next version, or None where no condition scored more.
    """

    insight_id: int
    baseline: float
    scores: tuple[float, ...]
    insight: Insight | None


def refinement_score(n_pos: int, n_neg: int, n_unr: int, pos_hit: int, neg_hit: int, unr_hit: int) -> float:
    """Share of tasks that a condition gets right: retrieved where it helps, left out where it misleads.

    Args:
        n_pos, n_neg, n_unr: tasks where the insight helped, misled, was missed; at least one in all.
        pos_hit, neg_hit, unr_hit: on how many of each it is retrieved with the condition.

    Example:
        >>> round(refinement_score(9, 2, 3, 8, 0, 2), 6), round(refinement_baseline(9, 2, 3), 6)
        (0.857143, 0.642857)
    """
    for name, hit, most in (("pos_hit", pos_hit, n_pos), ("neg_hit", neg_hit, n_neg), ("unr_hit", unr_hit, n_unr)):
        check_int(name, hit, low=0, high=check_int(f"n_{name[:3]}", most, low=0))
    total = check_int("n_pos + n_neg + n_unr", n_pos + n_neg + n_unr, low=1)
    return (pos_hit + unr_hit + (n_neg - neg_hit)) / total


def refinement_baseline(n_pos: int, n_neg: int, n_unr: int) -> float:
    """Score of the condition as it is: it found the positive tasks and the negative ones, and missed the rest."""
    return refinement_score(n_pos, n_neg, n_unr, n_pos, n_neg, 0)


def best_variant(baseline: float, scores: Sequence[float]) -> int | None:
    """Number of the first best score if it is above the baseline; strictly, so an equal score changes nothing.

    Example:
        >>> best_variant(0.8, [0.6, 0.8]), best_variant(0.64, [0.86, 0.86])
        (None, 0)
    """
    if not scores or max(scores) <= baseline + 1e-12:
        return None
    return max(range(len(scores)), key=lambda number: (scores[number], -number))


def assemble(original: str, applies: str, not_applies: str) -> str:
    """A condition of three paragraphs: the first of the original, then when it applies, then when it does not.

    Example:
        >>> print(assemble("This insight applies when a.", "goods are counted.", ""))
        This insight applies when a.
        This insight applies when goods are counted.
    """
    parts = [original.split("\n", 1)[0].strip()]
    for opening, text in ((_APPLIES, applies.strip()), (_NOT, not_applies.strip())):
        if text:
            text = " ".join(text.split())
            parts.append(text if text.lower().startswith(opening.lower()) else f"{opening} {text}")
    return "\n".join(parts)


class Refiner:
    """Proposes conditions and keeps the best.

    Args:
        context: roles and settings.
        tasks: known tasks by id.
        taxonomy: what the quick match chooses from.
        diagnosed: key of the diagnosis, whose quick match is replayed.
    """

    def __init__(
        self, context: LearningContext, tasks: Mapping[str, Task], taxonomy: Taxonomy, diagnosed: Sequence[Any] = ()
    ) -> None:
        self.context, self.tasks, self.taxonomy, self.diagnosed = context, tasks, taxonomy, diagnosed
        self._labels: dict[str, set[Triple]] = {}

    def refine(self, insight: Insight, key: Sequence[Any]) -> Refinement | None:
        """Refine an insight by its distribution; None where there is nothing to learn from."""
        marks = insight.distribution
        positive = self._known(marks.positive)
        unretrieved = [t for t in self._known(marks.unretrieved) if t not in positive]
        negative = [t for t in self._known(marks.negative) if t not in positive and t not in unretrieved]
        if insight.pinned or not (negative or unretrieved):
            return None
        unretrieved = self.matched(insight, unretrieved)
        if not (negative or unretrieved):
            return None
        assert insight.insight_id is not None
        key = (*key, insight.insight_id)
        conditions = self.propose(insight, negative, unretrieved, key)
        baseline = refinement_baseline(len(positive), len(negative), len(unretrieved))
        scores = self.context.map(
            lambda condition: self.score(insight.with_condition(condition), positive, negative, unretrieved, key),
            conditions,
        )
        best = best_variant(baseline, scores)
        if best is not None:
            best = self.narrowest(insight, conditions, scores, best, key)
        made = None if best is None else insight.with_condition(conditions[best])
        return Refinement(insight.insight_id, baseline, tuple(scores), made)

    def narrowest(
        self, insight: Insight, conditions: Sequence[str], scores: Sequence[float], best: int, key: Sequence[Any]
    ) -> int:
        """Of the conditions with the best score the one that reaches the fewest tasks it was no use for.

        Where an insight was only missed and never misled, a condition that holds for everything scores as well as the
        right one; on the next round it misleads. The authors take the first.
        """
        equal = [number for number, score in enumerate(scores) if score >= scores[best] - 1e-12]
        settings = self.context.settings
        if len(equal) == 1 or settings.as_authors("ties") or not settings.replay:
            return best
        marks = insight.distribution
        used = {*marks.positive, *marks.negative, *marks.unretrieved}
        others = [self.tasks[name] for name in sorted(self.tasks) if name not in used]
        others = others[:: max(1, len(others) // MOST_BYSTANDERS)][:MOST_BYSTANDERS]

        def reach(number: int) -> int:
            trial = insight.with_condition(conditions[number])
            here = (*key, "others", number)
            return sum(self.context.retriever.applies(task, trial, here) for task in others)

        reached = self.context.map(reach, equal)
        return min(zip(reached, equal, strict=True))[1]

    def matched(self, insight: Insight, tasks: Sequence[Task]) -> list[Task]:
        """Those tasks for which the quick match names a label of the insight; on others no condition can help."""
        if not self.context.settings.use_taxonomy or insight.stage not in FORMULATION_STAGES:
            return list(tasks)
        todo = [task for task in tasks if task.id not in self._labels]
        key = (*self.diagnosed, "formulation")

        def labels(task: Task) -> list[Triple]:
            return self.context.retriever.match(task, self.taxonomy, FORMULATION_STAGES, key)

        for task, found in zip(todo, self.context.map(labels, todo), strict=True):
            self._labels[task.id] = {(normalised(a), normalised(b), normalised(c)) for a, b, c in found}
        return [task for task in tasks if self._labels[task.id] & set(insight.keys)]

    def _known(self, ids: Sequence[str]) -> list[Task]:
        return [self.tasks[name] for name in ids if name in self.tasks][:MOST_TASKS]

    def propose(
        self, insight: Insight, negative: Sequence[Task], unretrieved: Sequence[Task], key: Sequence[Any]
    ) -> list[str]:
        """The proposed conditions, at most ``variants``."""
        against = [self._applicability("evolver.negative", prompts.EVOLVE_NEGATIVE, insight, t, key) for t in negative]
        for_it = [
            self._applicability("evolver.unretrieved", prompts.EVOLVE_UNRETRIEVED, insight, t, key) for t in unretrieved
        ]
        sections = {
            prompts.INSIGHTS: shown([insight]),
            "Wrongly applied": "\n".join(f"- {reply['text']}" for reply in against if reply and not reply["applies"]),
            "Wrongly left out": "\n".join(f"- {reply['text']}" for reply in for_it if reply),
        }
        variants = self.context.settings.variants
        try:
            reply = self.context.asker.json(
                "evolver.refine",
                prompts.REFINE.format(variants=variants),
                sections,
                prompts.refine_schema(variants),
                key,
            )
        except ReplyError:
            return []
        made = [
            assemble(insight.condition, entry["applies"], entry["not_applies"])
            for entry in reply["conditions"][:variants]
        ]
        return [condition for condition in dict.fromkeys(made) if condition != insight.condition]

    def _applicability(
        self, role: str, instruction: str, insight: Insight, task: Task, key: Sequence[Any]
    ) -> dict[str, Any] | None:
        sections = {prompts.TASK: task.description, prompts.INSIGHTS: shown([insight])}
        try:
            reply: dict[str, Any] = self.context.asker.json(
                role, instruction, sections, prompts.APPLICABILITY_SCHEMA, (task.id, *key)
            )
        except ReplyError:
            return None
        return reply

    def score(
        self,
        insight: Insight,
        positive: Sequence[Task],
        negative: Sequence[Task],
        unretrieved: Sequence[Task],
        key: Sequence[Any],
    ) -> float:
        """Replay the full check, at temperature 0, with the insight as it would be."""
        hits = [
            sum(self.context.retriever.applies(task, insight, (*key, "score", insight.version)) for task in tasks)
            for tasks in (positive, negative, unretrieved)
        ]
        return refinement_score(len(positive), len(negative), len(unretrieved), *hits)
