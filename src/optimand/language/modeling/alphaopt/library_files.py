"""Libraries as files: JSON, TOML for editing by hand, the authors' released list."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optimand.core.validation import OptimandError
from optimand.language.llm.secrets import redact

from .insights import Insight, Triple
from .library import ExperienceLibrary
from .taxonomy import DEFAULT, Taxonomy
from .toml_text import to_toml

SCHEMA = "optimand.experience-library"
VERSION = 1
RELEASED_TAXONOMY = "latest_taxonomy.json"


def library_to_dict(library: ExperienceLibrary) -> dict[str, Any]:
    """Plain data in a fixed order."""
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "next_id": library.next_id,
        "retired": [{"id": number, "into": list(into)} for number, into in sorted(library.retired.items())],
        "taxonomy": library.taxonomy.to_dict(),
        "pending": [proposal.to_dict() for proposal in library.pending],
        "insights": [insight.to_dict() for insight in library],
    }


def library_from_dict(data: Mapping[str, Any], name: str = "library") -> ExperienceLibrary:
    """Read :func:`library_to_dict`'s form.

    Raises:
        OptimandError: another schema or version, or an error in an insight, which the text names.
    """
    from .review import Proposal

    if not isinstance(data, Mapping) or data.get("schema") != SCHEMA:
        raise OptimandError(f"{name} is no library: its schema must be {SCHEMA!r}")
    if data.get("version") != VERSION:
        raise OptimandError(f"{name} has version {data.get('version')!r} of the form; this package reads {VERSION}")
    try:
        library = ExperienceLibrary(Taxonomy(data.get("taxonomy", {})))
        insights = [Insight.from_dict(entry) for entry in _list(data, "insights")]
        library.retired = dict(_retired(entry) for entry in _list(data, "retired"))
        library.pending = [Proposal.from_dict(entry) for entry in _list(data, "pending")]
        first = data.get("next_id", 1)
        if type(first) is not int:
            raise OptimandError(f"next_id must be an integer, got {first!r:.60}")
        taken = [insight.insight_id for insight in insights if insight.insight_id is not None]
        # Insights that a person wrote without an id get theirs after all that were ever given.
        library.next_id = max(first, 1, *(number + 1 for number in (*taken, *library.retired)))
        for insight in insights:
            library.add(insight)
    except OptimandError as error:
        raise type(error)(f"{name}: {error}") from None
    return library


def _list(data: Mapping[str, Any], part: str) -> list[Any]:
    value = data.get(part, [])
    if not isinstance(value, list):
        raise OptimandError(f"{part} must be a list, got {value!r:.60} ({type(value).__name__})")
    return value


def _retired(entry: Any) -> tuple[int, tuple[int, ...]]:
    """An id that is gone, and the ids of what replaced it."""
    number, into = (entry.get("id"), entry.get("into")) if isinstance(entry, Mapping) else (None, None)
    if type(number) is not int or not isinstance(into, list) or any(type(other) is not int for other in into):
        raise OptimandError(f"retired must hold tables with an id and the ids it went into, got {entry!r:.80}")
    return number, tuple(into)


def to_json(library: ExperienceLibrary) -> str:
    """The text of a JSON file."""
    return json.dumps(library_to_dict(library), indent=1, ensure_ascii=False) + "\n"


def write_whole(path: Path, text: str) -> None:
    """Write through a temporary file, so that a kill leaves the old file or the new one; keys are redacted."""
    text = redact(text)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8", newline="\n")
    part.replace(path)


def save(library: ExperienceLibrary, path: Path) -> None:
    """Write ``.json`` or ``.toml``."""
    if path.suffix == ".toml":
        write_whole(path, to_toml(library_to_dict(library)))
    elif path.suffix == ".json":
        write_whole(path, to_json(library))
    else:
        raise OptimandError(f"path must end in .json or .toml, got {path.name!r}")


def load(path: Path, taxonomy: str | Path | Taxonomy | None = None) -> ExperienceLibrary:
    """Read ``.json`` or ``.toml``, or the released list."""
    if not path.is_file():
        raise OptimandError(f"path must be a library's file, got {str(path)!r}, and there is no such file")
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except ValueError as error:
        raise OptimandError(f"library {path.name!r} cannot be read: {error}") from None
    if isinstance(data, list):
        beside = path.with_name(RELEASED_TAXONOMY)
        if taxonomy is None:
            taxonomy = beside if beside.is_file() else DEFAULT
        return from_released(data, taxonomy if isinstance(taxonomy, Taxonomy) else Taxonomy.load(taxonomy))
    return library_from_dict(data, f"library {path.name!r}")


def from_released(entries: list[Any], taxonomy: Taxonomy) -> ExperienceLibrary:
    """A library of the authors' list of insights.

    Insights there carry labels that the released taxonomy lacks. They are taken in with a definition made of the first
    such insight, so that retrieval by label can reach them.

    Args:
        entries: the list in their file.
        taxonomy: to file them under; it is not changed.
    """
    library = ExperienceLibrary(taxonomy.copy())
    for entry in entries:
        insight = Insight.from_dict(entry)
        library.add(insight, {triple: _own_words(insight) for triple in insight.triples})
    return library


def unfiled(entries: list[Any], taxonomy: Taxonomy) -> list[Triple]:
    """Labels in a list of insights that a taxonomy lacks, in order."""
    found = (triple for entry in entries for triple in Insight.from_dict(entry).triples)
    return list(dict.fromkeys(triple for triple in found if triple not in taxonomy))


def _own_words(insight: Insight) -> dict[str, str]:
    return {"definition": insight.explanation.partition(". ")[0], "condition": insight.condition.partition("\n")[0]}
