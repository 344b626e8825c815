"""What the phases of AlphaOPT share: settings, the roles, verification of insights by the solver.

An insight is accepted only if formulation and program, made again with it, reach the task's known value, if its
condition is judged to hold for that task (else it could never be found), and if no text of it gives the answer away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from optimand.core.validation import check_choice, check_int, check_number

from .asking import Asker
from .deviations import read_official
from .extracted_insights import ExtractedInsight, lessons_of
from .indexes import Embed
from .insights import Insight
from .leaks import leaks
from .programmer import Programmer, Trial, add_lessons
from .retriever import Retriever
from .running import Runner
from .tasks import Task

T = TypeVar("T")
R = TypeVar("R")

APPROVALS = ("auto", "ask")


@dataclass(frozen=True)
class Settings:
    """How learning goes; see :class:`~optimand.language.modeling.alphaopt.learner.AlphaOPT` for the meanings."""

    solver: str = "scip"
    tolerance: float = 1e-4
    batch_size: int = 12
    attempts: int = 3
    verify_attempts: int = 3
    variants: int = 5
    iterations: int = 4
    explore_rounds: int = 5
    combinations: int = 8
    replay: int = 4
    repairs: int = 3
    final_repairs: int = 5
    rewrite: bool = False
    malformed: str | None = None
    use_taxonomy: bool = True
    approve: str = "auto"
    official: bool | str | Iterable[str] = False
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("solver", self.solver, ("scip", "highs"))
        check_number("tolerance", self.tolerance, low=0)
        for name in ("batch_size", "attempts", "verify_attempts", "variants", "combinations"):
            check_int(name, getattr(self, name), low=1)
        for name in ("iterations", "explore_rounds", "replay", "repairs", "final_repairs", "seed"):
            check_int(name, getattr(self, name), low=0)
        check_choice("approve", self.approve, APPROVALS)
        object.__setattr__(self, "official", read_official(self.official))
        if self.malformed is None:
            object.__setattr__(self, "malformed", "keep" if self.as_authors("malformed") else "drop")
        check_choice("malformed", self.malformed, ("drop", "keep"))

    def as_authors(self, name: str) -> bool:
        """Whether a choice of :data:`~optimand.language.modeling.alphaopt.deviations.DEVIATIONS` is the authors'."""
        return name in self.official  # type: ignore[operator]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, equal to itself after a way through JSON."""
        return {**self.__dict__, "official": list(self.official)}  # type: ignore[arg-type]


@dataclass
class Record:
    """What is known of a task.

    Attributes:
        statuses: of the last attempts.
        confidence: share of them that were right.
        solved: whether all were.
        retrieved: ids of the insights that were given.
        program: a right program, once one was found.
        tried: how often it was attempted.
    """

    statuses: list[str] = field(default_factory=list)
    confidence: float = 0.0
    solved: bool = False
    retrieved: list[int] = field(default_factory=list)
    program: str | None = None
    tried: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**self.__dict__, "statuses": list(self.statuses), "retrieved": list(self.retrieved)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Record:
        """Read :meth:`to_dict`'s form."""
        return cls(**data)


@dataclass
class TaskOutcome:
    """What studying one task gave; it is made without touching the library.

    Attributes:
        task: its id.
        record: the task's record.
        extracted: verified insights to be taken in.
        marks: (insight id, state), see :class:`~optimand.language.modeling.alphaopt.insights.Distribution`.
        refused: how many extracted insights were refused for which reason.
        notes: facts for the report.
    """

    task: str
    record: Record
    extracted: list[ExtractedInsight] = field(default_factory=list)
    marks: list[tuple[int, str]] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)

    def refuse(self, reason: str) -> None:
        """Count a refusal."""
        self.refused[reason] = self.refused.get(reason, 0) + 1

    def note(self, name: str, by: int = 1) -> None:
        """Count something."""
        self.notes[name] = self.notes.get(name, 0) + by

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "task": self.task,
            "record": self.record.to_dict(),
            "extracted": [new.to_dict() for new in self.extracted],
            "marks": [list(mark) for mark in self.marks],
            "refused": dict(self.refused),
            "notes": dict(self.notes),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TaskOutcome:
        """Read :meth:`to_dict`'s form."""
        return cls(
            data["task"],
            Record.from_dict(data["record"]),
            [ExtractedInsight.from_dict(entry) for entry in data["extracted"]],
            [(number, state) for number, state in data["marks"]],
            dict(data["refused"]),
            dict(data["notes"]),
        )


class LearningContext:
    """Roles and settings, made ready; holds no state of learning.

    Args:
        asker: the models.
        runner: runs programs.
        settings: see :class:`Settings`.
        embed: see :class:`~optimand.language.modeling.alphaopt.retriever.Retriever`.
    """

    def __init__(self, asker: Asker, runner: Runner, settings: Settings, embed: Embed | None = None) -> None:
        self.asker, self.runner, self.settings = asker, runner, settings
        self.programmer = Programmer(
            asker, runner, solver=settings.solver, rewrite=settings.rewrite, repairs=settings.repairs
        )
        assert settings.malformed is not None
        self.retriever = Retriever(asker, malformed=settings.malformed, use_taxonomy=settings.use_taxonomy, embed=embed)
        self.pool: Executor | None = None

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Results in the order of the items, made by the workers where there are some."""
        return list(self.pool.map(function, items)) if self.pool else [function(item) for item in items]

    def verified(self, task: Task, lessons: Sequence[Insight], key: Sequence[Any]) -> bool:
        """Whether formulation and program, made again with the lessons, reach the known value."""
        return self.programmer.attempt(task, lessons, (*key, "verify")).right

    def admissible(
        self, task: Task, extracted: Iterable[ExtractedInsight], outcome: TaskOutcome, key: Sequence[Any]
    ) -> list[ExtractedInsight]:
        """Those that give no answer away and whose condition holds for the task; the others are counted as refused."""
        kept = []
        for number, new in enumerate(extracted):
            if not self.settings.as_authors("leaks") and leaks(new.insight, task.truths):
                outcome.refuse("gives the answer away")
            elif not self.own_condition_holds(task, new.insight, (*key, "own", number)):
                outcome.refuse("condition does not hold for its own task")
            else:
                kept.append(new)
        return kept

    def own_condition_holds(self, task: Task, insight: Insight, key: Sequence[Any]) -> bool:
        """Whether an insight's condition holds for a task it comes from; always by the authors' rules."""
        return self.settings.as_authors("conditions") or self.retriever.applies(task, insight, key)

    def accepted(
        self,
        task: Task,
        extracted: list[ExtractedInsight],
        lessons: Sequence[Insight],
        outcome: TaskOutcome,
        key: Sequence[Any],
    ) -> list[ExtractedInsight]:
        """All if they make the task come out right, without those that are not needed for it; else none."""
        extracted = self.admissible(task, extracted, outcome, key)
        if not extracted:
            return []
        if not self.verified(task, add_lessons(lessons, lessons_of(extracted)), key):
            for _ in extracted:
                outcome.refuse("did not make its task come out right")
            return []
        if not self.settings.as_authors("freeloaders"):
            for new in list(extracted):
                rest = [other for other in extracted if other is not new]
                # The last one too: an attempt at another temperature may come out right with no lesson at all.
                if self.verified(task, add_lessons(lessons, lessons_of(rest)), (*key, "without")):
                    extracted = rest
                    outcome.refuse("not needed")
        return extracted


def trial_fails_alike(first: Trial, second: Trial) -> bool:
    """Whether two failures are the same: same status and numbers, and for errors the same last line."""
    same = (first.outcome.status, dict(first.outcome.values)) == (second.outcome.status, dict(second.outcome.values))
    lines = [trial.outcome.detail.strip().splitlines()[-1:] for trial in (first, second)]
    return same and (bool(first.outcome.values) or lines[0] == lines[1])
