"""An insight: one lesson on modelling, when it applies, why, and the tasks on which it was proved.

Part of AlphaOPT (arXiv 2510.18428): experience is kept as insights of four parts, a place in a taxonomy, a condition,
an explanation and an example. Here an insight cannot change: a change makes another insight with a higher version, so
threads can share them and a library can say what replaced what.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Any

from optimand.core.validation import OptimandError, suggest

STAGES = ("Domain Modeling", "General Formulation", "Code Implementation")
FORMULATION_STAGES = STAGES[:2]
PROGRAM_STAGES = STAGES[2:]
STATES = ("positive", "negative", "unretrieved", "irrelevant", "invalid")

Triple = tuple[str, str, str]

_ADVICE = re.compile(
    r"\b(you should|should be (?:model|declar|formul|written|treat)|must be (?:model|declar|formul|written|treat)\w*|"
    r"best practice|common mistake|remember to|make sure to)",
    re.IGNORECASE,
)


class InsightError(OptimandError):
    """An insight that breaks a rule; the text names the insight and the rule."""


@lru_cache(maxsize=8192)
def normalised(label: str) -> str:
    """A label as it is compared: case and spacing do not matter.

    Example:
        >>> normalised(" Flow   Conservation") == normalised("flow conservation")
        True
    """
    return " ".join(label.split()).casefold()


@dataclass(frozen=True)
class Distribution:
    """What an insight did on which tasks, by id, in the last diagnosis.

    Attributes:
        positive: it was right, was followed, and helped.
        negative: it was retrieved though wrong there, and misled.
        unretrieved: it would have helped, but was not retrieved.
        irrelevant: it was retrieved, and had no effect.
        invalid: it was right, but was not followed.
    """

    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    unretrieved: tuple[str, ...] = ()
    irrelevant: tuple[str, ...] = ()
    invalid: tuple[str, ...] = ()

    def marked(self, state: str, task: str) -> Distribution:
        """With ``task`` under ``state``; twice is once."""
        if state not in STATES:
            raise ValueError(f"state must be one of {', '.join(STATES)}, got {state!r}{suggest(state, STATES)}")
        old: tuple[str, ...] = getattr(self, state)
        return self if task in old else replace(self, **{state: (*old, task)})

    @property
    def needs_refinement(self) -> bool:
        """Whether the condition was too broad for some task or too narrow for another."""
        return bool(self.negative or self.unretrieved)


@dataclass(frozen=True)
class Insight:
    """One lesson.

    Args:
        taxonomy: ``{stage: {level1: (level2, ...)}}`` with one stage, one level 1 and at least one level 2.
        condition: when it applies, without advice: "This insight applies when …".
        explanation: the lesson: "When the problem involves … The best practice is … A common mistake is …".
        example: a few lines under ``# Wrong`` and ``# Correct``.
        insight_id: given by the library when None.
        sources: ids of the tasks on which it was verified.
        iteration: 0 from learning, 1, 2, … from that round of evolution.
        version: 1, and one more with every rewriting.
        parents: ids of the insights that were merged into this one.
        occurrence: how often it was retrieved.
        distribution: what it did on which tasks.
        pinned: learning never merges, rewrites or removes it.
        history: conditions that this one replaced, oldest first.

    Raises:
        InsightError: a part is missing, or the taxonomy has another shape.

    Example:
        >>> lesson = Insight(
        ...     {"Code Implementation": {"Data I/O & Validation": ("Missing Data Defaults",)}},
        ...     "This insight applies when the data has gaps.",
        ...     "When the problem involves gaps, the best practice is to state what a gap means.",
        ... )
        >>> lesson.triples
        (('Code Implementation', 'Data I/O & Validation', 'Missing Data Defaults'),)
    """

    taxonomy: Mapping[str, Mapping[str, tuple[str, ...]]]
    condition: str
    explanation: str
    example: str = ""
    insight_id: int | None = None
    sources: tuple[str, ...] = ()
    iteration: int = 0
    version: int = 1
    parents: tuple[int, ...] = ()
    occurrence: int = 0
    distribution: Distribution = field(default_factory=Distribution)
    pinned: bool = False
    history: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        name = f"insight {self.insight_id}" if self.insight_id is not None else "insight"
        object.__setattr__(self, "taxonomy", _read_taxonomy(name, self.taxonomy))
        for part in ("condition", "explanation", "example"):
            value = getattr(self, part)
            if not isinstance(value, str):
                raise InsightError(f"{name}: {part} must be a text, got {value!r:.60} ({type(value).__name__})")
            if part != "example" and not value.strip():
                raise InsightError(f"{name} has no {part}; every insight needs one")
        _check_rest(name, self)

    @property
    def name(self) -> str:
        """How errors and reports call it."""
        return f"insight {self.insight_id}" if self.insight_id is not None else f"insight {self.condition[:50]!r}"

    @property
    def stage(self) -> str:
        """Its stage."""
        return next(iter(self.taxonomy))

    @property
    def level1(self) -> str:
        """Its label of the first level."""
        return next(iter(self.taxonomy[self.stage]))

    @property
    def level2(self) -> tuple[str, ...]:
        """Its labels of the second level."""
        return self.taxonomy[self.stage][self.level1]

    @property
    def triples(self) -> tuple[Triple, ...]:
        """Its (stage, level 1, level 2), one for each label of the second level."""
        return tuple((self.stage, self.level1, label) for label in self.level2)

    @property
    def keys(self) -> tuple[Triple, ...]:
        """:attr:`triples` as they are compared."""
        return tuple((normalised(a), normalised(b), normalised(c)) for a, b, c in self.triples)

    def with_condition(self, condition: str) -> Insight:
        """The next version, with another condition; the old one goes to the history."""
        return replace(self, condition=condition, version=self.version + 1, history=(*self.history, self.condition))

    def marked(self, state: str, task: str) -> Insight:
        """With a task under one of the states of :class:`Distribution`."""
        return replace(self, distribution=self.distribution.marked(state, task))

    def to_dict(self) -> dict[str, Any]:
        """Plain data, in a fixed order."""
        return {
            "insight_id": self.insight_id,
            "taxonomy": {self.stage: {self.level1: list(self.level2)}},
            "condition": self.condition,
            "explanation": self.explanation,
            "example": self.example,
            "sources": list(self.sources),
            "iteration": self.iteration,
            "version": self.version,
            "parents": list(self.parents),
            "occurrence": self.occurrence,
            "distribution": {state: list(getattr(self.distribution, state)) for state in STATES},
            "pinned": self.pinned,
            "history": list(self.history),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Insight:
        """Read :meth:`to_dict`'s form or the released one, whose ``task_id`` is an id or a list of ids.

        Raises:
            InsightError: a part is missing or has another form; the text names the insight.
        """
        if not isinstance(data, Mapping):
            raise InsightError(f"an insight must be a table of its parts, got {data!r:.60} ({type(data).__name__})")
        number = data.get("insight_id")
        name = f"insight {number}" if number is not None else f"insight {str(data.get('condition', ''))[:50]!r}"
        known = {f.name for f in fields(cls)} | {"task_id"}
        for key in data:
            if key not in known:
                raise InsightError(f"{name} has an unknown part {key!r}{suggest(str(key), known)}")
        for key in ("taxonomy", "condition", "explanation"):
            if data.get(key) is None:
                raise InsightError(f"{name} has no {key}; every insight needs one")
        marks = data.get("distribution", {})
        if not isinstance(marks, Mapping) or set(marks) - set(STATES):
            raise InsightError(
                f"{name}: distribution must be lists of task ids under {', '.join(STATES)}, got {marks!r:.80}"
            )
        given = {key: data[key] for key in known - {"task_id", "distribution"} if key in data}
        given["sources"] = data["sources"] if "sources" in data else data.get("task_id", ())
        found = {state: _ids(name, f"distribution.{state}", ids) for state, ids in marks.items()}
        return cls(**given, distribution=Distribution(**found))


def _ids(name: str, part: str, value: Any) -> tuple[str, ...]:
    """Task ids: one, or a list of them; numbers become texts."""
    items = () if value is None else value if isinstance(value, list | tuple) else (value,)
    if not all(isinstance(item, str | int) and not isinstance(item, bool) for item in items):
        raise InsightError(f"{name}: {part} must be a list of task ids, got {value!r:.80}")
    return tuple(dict.fromkeys(str(item) for item in items))


def _items(name: str, part: str, value: Any, kind: type, what: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple) or not all(type(item) is kind for item in value):
        raise InsightError(f"{name}: {part} must be a list of {what}, got {value!r:.80}")
    return tuple(value)


def _read_taxonomy(name: str, value: Any) -> dict[str, dict[str, tuple[str, ...]]]:
    shape = "{stage: {level1: [level2, ...]}} with one stage, one level 1 and at least one level 2"
    if not isinstance(value, Mapping) or len(value) != 1:
        raise InsightError(f"{name}: taxonomy must be {shape}, got {value!r:.120}")
    stage, inner = next(iter(value.items()))
    stage = str(stage)
    if stage not in STAGES:
        match = [known for known in STAGES if normalised(known) == normalised(stage)]
        if not match:
            raise InsightError(
                f"{name}: stage must be one of {', '.join(STAGES)}, got {stage!r}{suggest(stage, STAGES)}"
            )
        stage = match[0]
    if not isinstance(inner, Mapping) or len(inner) != 1:
        raise InsightError(f"{name}: taxonomy must be {shape}, got {value!r:.120}")
    level1, labels = next(iter(inner.items()))
    labels = (labels,) if isinstance(labels, str) else labels
    if not isinstance(labels, list | tuple) or not labels:
        raise InsightError(f"{name}: taxonomy must be {shape}, got {value!r:.120}")
    if not all(isinstance(label, str) and label.strip() for label in (level1, *labels)):
        raise InsightError(f"{name}: taxonomy must be {shape}, got {value!r:.120}")
    unique = {normalised(label): " ".join(label.split()) for label in reversed(labels)}
    return {stage: {" ".join(level1.split()): tuple(reversed(unique.values()))}}


def _check_rest(name: str, insight: Insight) -> None:
    for part in ("insight_id", "iteration", "version", "occurrence"):
        value, low = getattr(insight, part), int(part == "version")
        if part == "insight_id" and value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise InsightError(f"{name}: {part} must be an integer of at least {low}, got {value!r}")
    if not isinstance(insight.pinned, bool):
        raise InsightError(f"{name}: pinned must be true or false, got {insight.pinned!r}")
    object.__setattr__(insight, "sources", _ids(name, "sources", insight.sources))
    object.__setattr__(insight, "parents", _items(name, "parents", insight.parents, int, "ids of insights"))
    object.__setattr__(insight, "history", _items(name, "history", insight.history, str, "texts"))


def style_faults(insight: Insight) -> list[str]:
    """Which patterns of text an insight departs from; sentences for a person, no errors.

    Example:
        >>> style_faults(Insight({"General Formulation": {"Objective Specification": ["X"]}}, "Always.", "Do it."))[0]
        "the condition does not begin with 'This insight applies when'"
    """
    faults = []
    if not insight.condition.lstrip().lower().startswith("this insight applies when"):
        faults.append("the condition does not begin with 'This insight applies when'")
    if found := _ADVICE.search(insight.condition):
        faults.append(f"the condition gives advice ({found.group(0)!r}), which belongs in the explanation")
    if not insight.explanation.lstrip().lower().startswith("when the problem"):
        faults.append("the explanation does not begin with 'When the problem involves'")
    if insight.example and not ("# wrong" in insight.example.lower() and "# correct" in insight.example.lower()):
        faults.append("the example has no '# Wrong' and '# Correct'")
    return faults


def sources_of(insights: Iterable[Insight]) -> tuple[str, ...]:
    """The source tasks of several insights, each once, in order."""
    return tuple(dict.fromkeys(task for insight in insights for task in insight.sources))
