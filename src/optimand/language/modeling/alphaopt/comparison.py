"""Libraries compared, put together and checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from .insights import Insight, style_faults
from .leaks import leaks

if TYPE_CHECKING:
    from .library import ExperienceLibrary


@dataclass(frozen=True)
class LibraryDiff:
    """What another library has otherwise.

    Attributes:
        added: insights that only the other has.
        removed: insights that only this one has.
        changed: for each id in both, the names of the parts that differ.
    """

    added: tuple[Insight, ...]
    removed: tuple[Insight, ...]
    changed: Mapping[int, tuple[str, ...]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


def diff(mine: ExperienceLibrary, other: ExperienceLibrary) -> LibraryDiff:
    """What ``other`` has otherwise than ``mine``."""
    changed = {}
    for insight in mine:
        number = insight.insight_id
        if number is not None and number in other:
            old, new = insight.to_dict(), other[number].to_dict()
            if parts := tuple(key for key in old if old[key] != new[key]):
                changed[number] = parts
    return LibraryDiff(
        tuple(i for i in other if i.insight_id not in mine),
        tuple(i for i in mine if i.insight_id not in other),
        changed,
    )


def merge(mine: ExperienceLibrary, other: ExperienceLibrary) -> list[Insight]:
    """Add what ``mine`` lacks, under ids of its own, and return it."""
    have = {(i.keys, i.condition, i.explanation, i.example) for i in mine}
    added = []
    for insight in other:
        if (insight.keys, insight.condition, insight.explanation, insight.example) in have:
            continue
        definitions = {triple: other.taxonomy.text(triple) for triple in insight.triples}
        # Ids of parents are the other library's and would name strangers here.
        added.append(mine.add(replace(insight, insight_id=None, parents=()), definitions))
    return added


def faults(library: ExperienceLibrary, tasks: Iterable[Any] | None = None) -> list[str]:
    """What is wrong or doubtful in a library, a sentence each."""
    known = None if tasks is None else {task.id: task for task in tasks}
    found = []
    for insight in library:
        found += [f"{insight.name}: no label {' / '.join(t)}" for t in insight.triples if t not in library.taxonomy]
        found += [f"{insight.name}: {fault}" for fault in style_faults(insight)]
        if not insight.sources and not insight.pinned:
            found.append(f"{insight.name}: it was verified on no task")
        if known is None:
            continue
        for source in insight.sources:
            if source not in known:
                found.append(f"{insight.name}: its source {source!r} is not among the tasks")
            else:
                found += [f"{insight.name}: {leak} {source!r}" for leak in leaks(insight, known[source].truths)]
    return found
