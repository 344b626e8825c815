"""The taxonomy that insights are filed under: stage, area, label, each label with a definition and a condition.

Part of AlphaOPT (arXiv 2510.18428). ``or-default`` has the labels of operations research in the paper's three stages;
its definitions are our own. Labels are compared without regard to case and spacing, in updates and in retrieval alike:
the authors' program ignores case only in updates, so an insight under ``Arc-capacity constraints`` was never found.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from optimand.core.validation import OptimandError, suggest

from .insights import STAGES, Triple, normalised

DEFAULT = "or-default"


class TaxonomyError(OptimandError):
    """A label that is unknown, or that comes without its definition."""


def _table(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TaxonomyError(f"{name} must be a table, got {value!r:.60} ({type(value).__name__})")
    return value


class Taxonomy:
    """Labels in three levels.

    Args:
        labels: ``{stage: {level1: {level2: {"definition": …, "condition": …}}}}``.

    Raises:
        TaxonomyError: an unknown stage, or a label without definition or condition.

    Example:
        >>> taxonomy = Taxonomy.load()
        >>> len(taxonomy), taxonomy.find("domain modeling", "network flow", "flow conservation")
        (42, ('Domain Modeling', 'Network Flow', 'Flow Conservation'))
    """

    def __init__(self, labels: Mapping[str, Mapping[str, Mapping[str, Mapping[str, str]]]] | None = None) -> None:
        self._levels: dict[str, dict[str, dict[str, dict[str, str]]]] = {stage: {} for stage in STAGES}
        self._index: dict[Triple, Triple] = {}
        for stage, areas in _table("the taxonomy", labels if labels is not None else {}).items():
            for level1, entries in _table(f"stage {stage!r}", areas).items():
                self._levels[self._stage(stage)].setdefault(level1, {})
                for level2, text in _table(f"area {stage} / {level1}", entries).items():
                    if (stage, level1, level2) in self:
                        raise TaxonomyError(f"label {stage} / {level1} / {level2} is there twice")
                    self._put(stage, level1, level2, text)

    @classmethod
    def load(cls, name: str | Path = DEFAULT) -> Taxonomy:
        """The taxonomy of that name, or of a TOML or JSON file.

        Raises:
            OptimandError: no such file, or it does not hold a taxonomy.
        """
        if str(name) == DEFAULT:
            text = resources.files(__package__).joinpath("or_default.toml").read_text(encoding="utf-8")
            return cls(tomllib.loads(text))
        import json

        path = Path(name)
        if not path.is_file():
            raise OptimandError(f"taxonomy must be {DEFAULT!r} or a file, got {str(name)!r}, and there is no such file")
        try:
            text = path.read_text(encoding="utf-8")
            data = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
        except ValueError as error:
            raise OptimandError(f"taxonomy {str(path)!r} cannot be read: {error}") from None
        return cls(data)

    def __len__(self) -> int:
        return len(self._index)

    def __iter__(self) -> Iterator[Triple]:
        return (
            (stage, level1, level2)
            for stage, areas in self._levels.items()
            for level1, e in areas.items()
            for level2 in e
        )

    def __contains__(self, triple: object) -> bool:
        return isinstance(triple, tuple) and len(triple) == 3 and self._key(*triple) in self._index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Taxonomy) and self._levels == other._levels

    __hash__ = None  # type: ignore[assignment]

    @staticmethod
    def _key(stage: str, level1: str, level2: str) -> Triple:
        return normalised(stage), normalised(level1), normalised(level2)

    @staticmethod
    def _stage(stage: str) -> str:
        for known in STAGES:
            if normalised(known) == normalised(stage):
                return known
        raise TaxonomyError(f"stage must be one of {', '.join(STAGES)}, got {stage!r}{suggest(stage, STAGES)}")

    def _put(self, stage: str, level1: str, level2: str, text: Mapping[str, str] | None) -> Triple:
        stage = self._stage(stage)
        for part in ("definition", "condition"):
            value = text.get(part) if isinstance(text, Mapping) else None
            if not isinstance(value, str) or not value.strip():
                raise TaxonomyError(f"label {stage} / {level1} / {level2} has no {part}; every label needs one")
        assert text is not None
        same = [known for known in self._levels[stage] if normalised(known) == normalised(level1)]
        area = self._levels[stage].setdefault(same[0] if same else " ".join(level1.split()), {})
        level1, level2 = (same[0] if same else " ".join(level1.split())), " ".join(level2.split())
        area[level2] = {"definition": str(text["definition"]).strip(), "condition": str(text["condition"]).strip()}
        self._index[self._key(stage, level1, level2)] = (stage, level1, level2)
        return stage, level1, level2

    def find(self, stage: str, level1: str, level2: str) -> Triple | None:
        """The label as the taxonomy writes it, or None."""
        return self._index.get(self._key(stage, level1, level2))

    def text(self, triple: Triple) -> dict[str, str]:
        """Definition and condition of a label.

        Raises:
            TaxonomyError: no such label.
        """
        found = self.find(*triple)
        if found is None:
            raise TaxonomyError(f"no label {' / '.join(triple)}{self.hint(triple)}")
        stage, level1, level2 = found
        return dict(self._levels[stage][level1][level2])

    def hint(self, triple: Triple) -> str:
        """A clause with the nearest labels, or nothing."""
        return suggest(" / ".join(triple), [" / ".join(known) for known in self])

    def update(self, proposed: Mapping[Triple, Mapping[str, str] | None]) -> list[Triple]:
        """Add labels.

        Args:
            proposed: for each label its definition and condition, or None for one that is there already. A label that
                is there keeps its texts, whatever comes with it.

        Returns:
            The labels added.

        Raises:
            TaxonomyError: a label that is not there comes without definition or condition; then none is added.

        Example:
            >>> taxonomy = Taxonomy.load()
            >>> taxonomy.update({("Domain Modeling", "ROUTING", "flow conservation"): None})
            []
        """
        fresh = {triple: text for triple, text in proposed.items() if triple not in self}
        for triple, text in fresh.items():
            trial = Taxonomy()
            try:
                trial._put(*triple, text)
            except TaxonomyError as error:
                raise TaxonomyError(f"{error}{self.hint(triple) if text is None else ''}") from None
        return [self._put(*triple, text) for triple, text in fresh.items()]

    def copy(self) -> Taxonomy:
        """Another taxonomy with the same labels."""
        return Taxonomy(self._levels)

    def to_dict(self, stages: Iterable[str] = STAGES) -> dict[str, Any]:
        """Plain data, in the order of the labels."""
        return {
            stage: {a: {label: dict(text) for label, text in e.items()} for a, e in self._levels[stage].items()}
            for stage in stages
        }

    def describe(self, stages: Iterable[str] = STAGES) -> str:
        """The labels of some stages with definitions and conditions, as prompts show them."""
        lines = []
        for stage in stages:
            lines.append(f"# {stage}")
            for level1, entries in self._levels[stage].items():
                lines.append(f"- {level1}")
                for level2, text in entries.items():
                    lines.append(f"  - {level2}: {text['definition']} {text['condition']}")
        return "\n".join(lines)
