"""Insights on their way into a library: what an extractor wrote, with the labels it proposes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .insights import Distribution, Insight, InsightError, Triple, normalised, sources_of
from .taxonomy import Taxonomy

Definitions = Mapping[Triple, Mapping[str, str] | None]


@dataclass(frozen=True)
class ExtractedInsight:
    """An insight without an id.

    Attributes:
        insight: its ``sources`` are the tasks it was verified on.
        definitions: texts of the labels that the taxonomy may lack.
    """

    insight: Insight
    definitions: Definitions = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        labels = [
            {"label": list(triple), "text": dict(text) if text else None} for triple, text in self.definitions.items()
        ]
        return {"insight": self.insight.to_dict(), "definitions": labels}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ExtractedInsight:
        """Read :meth:`to_dict`'s form."""
        definitions = {tuple(entry["label"]): entry["text"] for entry in data["definitions"]}
        return cls(Insight.from_dict(data["insight"]), definitions)  # type: ignore[arg-type]


def read_extracted(entry: Mapping[str, Any], taxonomy: Taxonomy, source: str, iteration: int) -> ExtractedInsight | str:
    """An insight of an extractor's reply, or why it cannot be one.

    Args:
        entry: see ``prompts.insight_schema``.
        taxonomy: labels in it are written as it writes them; others need a definition and a condition.
        source: id of the task.
        iteration: of learning or evolution.
    """
    proposed = {normalised(label["level2"]): label for label in entry["new_labels"]}
    labels: list[str] = []
    definitions: dict[Triple, Mapping[str, str] | None] = {}
    level1 = entry["level1"]
    for label in entry["level2"]:
        known = taxonomy.find(entry["stage"], level1, label)
        if known is not None:
            level1 = known[1]
            labels.append(known[2])
            continue
        text = proposed.get(normalised(label))
        if text is None or not text["definition"].strip() or not text["condition"].strip():
            return f"unknown label {entry['stage']} / {level1} / {label} without definition and condition"
        labels.append(" ".join(label.split()))
        definitions[entry["stage"], " ".join(level1.split()), labels[-1]] = {
            "definition": text["definition"],
            "condition": text["condition"],
        }
    try:
        insight = Insight(
            {entry["stage"]: {level1: tuple(labels)}},
            entry["condition"].strip(),
            entry["explanation"].strip(),
            entry["example"].strip(),
            sources=(source,),
            iteration=iteration,
        )
    except InsightError as error:
        return str(error)
    return ExtractedInsight(insight, definitions)


def merged(parts: Sequence[Insight], texts: Mapping[str, str], iteration: int) -> Insight | None:
    """One insight in the place of several, or None where they cannot be one.

    Args:
        parts: of one stage and one level 1; their labels are joined.
        texts: condition, explanation and example.
        iteration: of learning or evolution.
    """
    first = parts[0]
    if any((i.stage, normalised(i.level1)) != (first.stage, normalised(first.level1)) for i in parts):
        return None
    if not texts["condition"].strip() or not texts["explanation"].strip():
        return None
    marks = Distribution()
    for insight in parts:
        for state in ("positive", "negative", "unretrieved", "irrelevant", "invalid"):
            for task in getattr(insight.distribution, state):
                marks = marks.marked(state, task)
    return Insight(
        {first.stage: {first.level1: tuple(label for insight in parts for label in insight.level2)}},
        texts["condition"].strip(),
        texts["explanation"].strip(),
        texts["example"].strip(),
        sources=sources_of(parts),
        iteration=iteration,
        version=max(insight.version for insight in parts) + 1,
        parents=tuple(insight.insight_id for insight in parts if insight.insight_id is not None),
        occurrence=sum(insight.occurrence for insight in parts),
        distribution=marks,
    )


def joined(extracted: Iterable[ExtractedInsight], insight: Insight) -> ExtractedInsight:
    """An extracted insight that stands for several."""
    definitions: dict[Triple, Mapping[str, str] | None] = {}
    for new in extracted:
        definitions.update(new.definitions)
    return ExtractedInsight(insight, definitions)


def lessons_of(extracted: Iterable[ExtractedInsight]) -> list[Insight]:
    """The insights themselves."""
    return [new.insight for new in extracted]
