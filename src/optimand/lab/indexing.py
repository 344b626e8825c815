"""Writes the index of what this package holds: ``python -m optimand.lab.indexing``, or ``make index``.

Every module that registers something is imported; which those are is read from their sources, so nothing is listed by
hand. The README beside the sources gets its table of papers too, between ``<!-- papers -->`` and ``<!-- /papers -->``.
A test fails when either is stale.
"""

from __future__ import annotations

import importlib
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optimand

from ..core import catalog, index
from ..papers import claims, load_papers

REGISTERS = re.compile(
    r"\bcatalog import (?:\([^)]*|.*)\b(?:method|problem|add_family)\b"
    r"|\bcatalog\.(?:method|problem|add_family)\(|\bimport .*\btraining_problem\b"
)
README = Path(optimand.__file__).parents[2] / "README.md"
SECTION = re.compile(r"(?<=<!-- papers -->\n).*(?=<!-- /papers -->)", re.DOTALL)


def registering_modules() -> list[str]:
    """The modules whose sources import a function that registers, by name."""
    root = Path(optimand.__file__).parent
    files = [p for p in sorted(root.rglob("*.py")) if p.relative_to(root).parts[0] not in ("core", "lab", "papers")]
    found = [path for path in files if REGISTERS.search(path.read_text(encoding="utf-8"))]
    names = (".".join(("optimand", *path.relative_to(root).with_suffix("").parts)) for path in found)
    return [name.removesuffix(".__init__") for name in names]


def build() -> dict[str, Any]:
    """The index's content, from importing everything that registers."""
    for module in registering_modules():
        importlib.import_module(module)
    kinds: dict[str, dict[str, Any]] = {
        "families": catalog._families,
        "problems": catalog._problems,
        "methods": catalog._methods,
    }
    content: dict[str, Any] = {}
    for kind, entries in kinds.items():
        content[kind] = {}
        for name in sorted(entries):
            module = catalog._registered_by[kind, name]
            if module.startswith("optimand."):
                row = asdict(index.listed(entries[name], module))
                content[kind][name] = {key: value for key, value in row.items() if key != "name"}
    content["claims"] = {
        paper.slug: [[claim.name, claim.sentence, claim.check is not None] for claim in found]
        for paper in load_papers(plugins=False)
        if (found := claims(paper.slug))
    }
    return content


def text(content: dict[str, Any]) -> str:
    """The file's text: an entry a line, so that changes can be read."""
    kinds = []
    for kind, entries in content.items():
        rows = ",\n".join(f"  {json.dumps(n)}: {json.dumps(e, ensure_ascii=False)}" for n, e in entries.items())
        kinds.append(f" {json.dumps(kind)}: {{\n{rows}\n }}")
    return "{\n" + ",\n".join(kinds) + "\n}\n"


def readme(old: str, content: dict[str, Any]) -> str:
    """A README's text with the table of implemented papers between its markers, if it has them."""
    rows = ["", "| paper | room | its claims, checked here |", "|---|---|---|"]
    for paper in load_papers(plugins=False):
        if paper.slug in content["claims"]:
            command = f"`optimand reproduce {paper.short_name}`"
            rows.append(f"| [{paper.title}]({paper.url}) (`{paper.slug}`) | `{paper.room}` | {command} |")
    return SECTION.sub(lambda _: "\n".join([*rows, "", ""]), old)


if __name__ == "__main__":
    found = build()
    index.FILE.write_text(text(found), encoding="utf-8")
    print(f"wrote {index.FILE.name}")
    if README.exists() and (new := readme(README.read_text(encoding="utf-8"), found)) != README.read_text("utf-8"):
        README.write_text(new, encoding="utf-8")
        print(f"wrote {README.name}")
