"""How far a fit is, kept after every minibatch, so that it goes on where it ended and comes to the same library."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from optimand.core.validation import OptimandError
from optimand.language.llm.base import Usage

from .context import Record, Settings, TaskOutcome
from .library import ExperienceLibrary
from .library_files import library_from_dict, library_to_dict, write_whole
from .tasks import Task

SCHEMA = "optimand.alphaopt"
VERSION = 1
STATE, LIBRARY = "state.json", "library.json"


@dataclass
class Round:
    """What one iteration did.

    Attributes:
        iteration: 0 for learning, then the round of evolution.
        tasks: number attempted.
        solved: number solved with the library as it was before their minibatch.
        accepted: verified insights.
        refused: extracted insights by reason.
        added, deleted, merges, failed_merges: what taking them in did.
        refined: conditions that were rewritten.
        notes: counts from the studies of tasks.
        size: insights at the end.
    """

    iteration: int
    tasks: int = 0
    solved: int = 0
    accepted: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    added: int = 0
    deleted: int = 0
    merges: int = 0
    failed_merges: int = 0
    refined: int = 0
    notes: dict[str, int] = field(default_factory=dict)
    size: int = 0

    def count(self, outcomes: Iterable[TaskOutcome]) -> None:
        """Add the studies of tasks."""
        for outcome in outcomes:
            self.tasks += 1
            self.solved += outcome.record.solved
            self.accepted += len(outcome.extracted)
            for mine, theirs in ((self.refused, outcome.refused), (self.notes, outcome.notes)):
                for name, number in theirs.items():
                    mine[name] = mine.get(name, 0) + number

    def __str__(self) -> str:
        what = f"round {self.iteration} of evolution" if self.iteration else "learning"
        refused = sum(self.refused.values())
        return (
            f"{what}: {self.solved} of {self.tasks} solved, {self.accepted} insights verified, {refused} refused, "
            f"{self.merges} merges, {self.refined} conditions rewritten, {self.size} in the library"
        )


@dataclass
class Progress:
    """Where a fit stands.

    Attributes:
        iteration: the one under way.
        last: the last one of this fit.
        batch: minibatches done in it.
        partial: studies of the minibatch under way that are done.
        done: whether the fit is over.
        round: counts of the iteration under way.
        rounds: the iterations done.
    """

    iteration: int = 0
    last: int = 0
    batch: int = 0
    partial: list[TaskOutcome] = field(default_factory=list)
    done: bool = False
    round: Round = field(default_factory=lambda: Round(0))
    rounds: list[Round] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "iteration": self.iteration,
            "last": self.last,
            "batch": self.batch,
            "done": self.done,
            "partial": [outcome.to_dict() for outcome in self.partial],
            "round": asdict(self.round),
            "rounds": [asdict(entry) for entry in self.rounds],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Progress:
        """Read :meth:`to_dict`'s form."""
        return cls(
            data["iteration"],
            data["last"],
            data["batch"],
            [TaskOutcome.from_dict(entry) for entry in data["partial"]],
            data["done"],
            Round(**data["round"]),
            [Round(**entry) for entry in data["rounds"]],
        )


def digest_of(tasks: Iterable[Task]) -> str:
    """A digest of tasks with their answers."""
    text = json.dumps([[t.id, t.description, dict(t.answers)] for t in sorted(tasks, key=lambda t: t.id)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def state_of(
    settings: Settings,
    models: list[str],
    library: ExperienceLibrary,
    records: Mapping[str, Record],
    progress: Progress,
    usage: Mapping[str, Usage],
    tasks: Iterable[Task],
) -> dict[str, Any]:
    """All that a fit needs to go on, as plain data; models by name only."""
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "settings": settings.to_dict(),
        "models": models,
        "tasks": digest_of(tasks),
        "progress": progress.to_dict(),
        "records": {name: record.to_dict() for name, record in sorted(records.items())},
        "usage": {role: asdict(spent) for role, spent in sorted(usage.items())},
        "library": library_to_dict(library),
    }


def check_state(data: Mapping[str, Any], settings: Settings, tasks: Iterable[Task] | None) -> None:
    """Refuse a state of another form, of other settings or of other tasks.

    Raises:
        OptimandError: what differs.
    """
    if data.get("schema") != SCHEMA or data.get("version") != VERSION:
        raise OptimandError(f"the state is none of version {VERSION} of {SCHEMA!r}")
    mine = settings.to_dict()
    for name, value in data["settings"].items():
        if mine.get(name) != value:
            raise OptimandError(f"the state was made with {name}={value!r}, this learner has {name}={mine.get(name)!r}")
    if tasks is not None and data["tasks"] != digest_of(tasks):
        raise OptimandError("the state was made with other tasks; resume with the same ones")


def write_state(folder: Path, state: Mapping[str, Any], library: ExperienceLibrary) -> None:
    """Write ``state.json`` and, for people, ``library.json``."""
    write_whole(folder / STATE, json.dumps(state, indent=1, ensure_ascii=False) + "\n")
    library.save(folder / LIBRARY)


def read_state(folder: Path) -> dict[str, Any] | None:
    """The state in a folder, or None where there is none.

    Raises:
        OptimandError: the file is damaged.
    """
    path = folder / STATE
    if not path.is_file():
        return None
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise OptimandError(f"the state in {path.name!r} cannot be read: {error}") from None
    return data


def restored(data: Mapping[str, Any]) -> tuple[ExperienceLibrary, dict[str, Record], Progress, dict[str, Usage]]:
    """Library, records, progress and usage of a state."""
    library = library_from_dict(data["library"], "the state's library")
    records = {name: Record.from_dict(entry) for name, entry in data["records"].items()}
    usage = {role: Usage(**spent) for role, spent in data["usage"].items()}
    return library, records, Progress.from_dict(data["progress"]), usage
