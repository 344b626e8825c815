"""Changes to a library that a person decides on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optimand.core.validation import OptimandError, check_choice

from .indexes import TextIndex, insight_text
from .insights import Insight, InsightError, style_faults

if TYPE_CHECKING:
    from .library import ExperienceLibrary

KINDS = ("merge", "refine", "rewrite", "verify", "remove")
# Cosine of TF-IDF from which two insights under one label are offered as duplicates.
ALIKE = 0.8


@dataclass(frozen=True)
class Proposal:
    """A change, or a hint that one is due.

    Attributes:
        kind: ``merge``, ``refine`` (another condition), ``rewrite`` (texts depart from their pattern), ``verify`` (no
            source task) or ``remove``.
        ids: the insights that it is about.
        reason: why, in a sentence.
        insights: what would take their place; empty for a hint.
    """

    kind: str
    ids: tuple[int, ...]
    reason: str
    insights: tuple[Insight, ...] = ()

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, KINDS)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        made = [insight.to_dict() for insight in self.insights]
        return {"kind": self.kind, "ids": list(self.ids), "reason": self.reason, "insights": made}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Proposal:
        """Read :meth:`to_dict`'s form.

        Raises:
            OptimandError: a part is missing or has another form.
        """
        parts = {"kind": str, "ids": list, "reason": str, "insights": list}
        if not isinstance(data, Mapping) or any(not isinstance(data.get(part), kind) for part, kind in parts.items()):
            raise OptimandError(f"a proposal must have kind, ids, reason and insights, got {data!r:.80}")
        if data["kind"] not in KINDS or any(type(number) is not int for number in data["ids"]):
            raise OptimandError(
                f"a proposal's kind must be one of {', '.join(KINDS)} and its ids integers, got {data['kind']!r} and "
                f"{data['ids']!r:.60}"
            )
        made = tuple(Insight.from_dict(entry) for entry in data["insights"])
        return cls(data["kind"], tuple(data["ids"]), data["reason"], made)


def apply(library: ExperienceLibrary, proposal: Proposal) -> None:
    """Make a proposed change; see :meth:`ExperienceLibrary.accept`."""
    if not proposal.insights and proposal.kind != "remove":
        raise OptimandError(
            f"the proposal to {proposal.kind} {list(proposal.ids)} is a hint without a change: edit them"
        )
    if proposal.kind == "refine":
        old, wanted = library[proposal.ids[0]], proposal.insights[0]
        if wanted.history[-1:] != (old.condition,):
            raise OptimandError(f"the condition of {old.name} was changed after the proposal to refine it: reject it")
        # Only the condition: what was counted since the proposal was made stays.
        library.replace(old.with_condition(wanted.condition))
        return
    gone = [library[number] for number in proposal.ids]
    if any(insight.pinned for insight in gone):
        raise InsightError(f"a pinned insight is among {list(proposal.ids)}; unpin it first")
    made = [library.add(insight).insight_id for insight in proposal.insights]
    library.remove(proposal.ids, into=[number for number in made if number is not None])


def suggestions(library: ExperienceLibrary) -> Iterator[Proposal]:
    """What the library's own statistics suggest, pinned insights left out."""
    pool = [insight for insight in library if not insight.pinned]
    for insight in pool:
        marks = insight.distribution
        number = insight.insight_id
        assert number is not None
        if marks.negative and not marks.positive and not marks.unretrieved:
            tasks = ", ".join(marks.negative)
            yield Proposal("remove", (number,), f"it misled on {tasks} and helped on no task")
        elif marks.needs_refinement:
            reason = f"it misled on {len(marks.negative)} tasks and was missed on {len(marks.unretrieved)}"
            yield Proposal("refine", (number,), reason)
        if not insight.sources:
            yield Proposal("verify", (number,), "it was verified on no task")
        if faults := style_faults(insight):
            yield Proposal("rewrite", (number,), "; ".join(faults))
    index = TextIndex([insight_text(insight) for insight in pool])
    for first, insight in enumerate(pool):
        scores = index.scores(insight_text(insight))
        for second in range(first + 1, len(pool)):
            if scores[second] >= ALIKE and set(insight.keys) & set(pool[second].keys):
                ids = [i.insight_id for i in (insight, pool[second]) if i.insight_id is not None]
                yield Proposal("merge", tuple(ids), f"their words are alike (cosine {scores[second]:.2f})")
