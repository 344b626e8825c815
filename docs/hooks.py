"""What is made when the documentation is built, so that nobody keeps it by hand.

The pictures of the gallery are drawn by the scripts in examples/, navigation follows the pages' front matter, and the
lists of families and papers come from the catalog.

A page says its place in its front matter: ``order`` among all pages, ``group`` where it stands in one, ``title``
where the navigation says something else than the heading. A group stands where its first page stands.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.utils.meta import get_data

from optimand.core import catalog
from optimand.core.caching import cache_folder
from optimand.core.recorder import write_atomically
from optimand.papers import listed_claims, load_papers

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


@dataclass(frozen=True)
class Place:
    """Where a page stands in the navigation."""

    file: str
    title: str
    order: int
    group: str = ""


GALLERY = Place("gallery.md", "Gallery", 110)
CATALOGUE = Place("papers.md", "The papers", 125)


def on_config(config: Any) -> Any:
    """Build the navigation."""
    config.nav = navigation()
    return config


def places() -> list[Place]:
    """The pages, in the order of the navigation; ValueError for one that does not say where it stands."""
    found = [GALLERY, CATALOGUE]
    for path in DOCS.rglob("*.md"):
        text, said = get_data(path.read_text(encoding="utf-8"))
        file = path.relative_to(DOCS).as_posix()
        if "order" not in said:
            raise ValueError(f"{file} must say its place: front matter with order, and group where it stands in one")
        heading = re.search(r"^# (.+)$", text, re.MULTILINE)
        found.append(
            Place(file, said.get("title") or (heading[1] if heading else file), said["order"], said.get("group", ""))
        )
    return sorted(found, key=lambda place: (place.order, place.file))


def navigation() -> list[dict[str, Any]]:
    """What mkdocs calls ``nav``."""
    nav: list[dict[str, Any]] = []
    groups: dict[str, list[dict[str, str]]] = {}
    for place in places():
        entry = {place.title: place.file}
        if not place.group:
            nav.append(entry)
        elif place.group in groups:
            groups[place.group].append(entry)
        else:
            groups[place.group] = [entry]
            nav.append({place.group: groups[place.group]})
    return nav


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the lists where a page has their markers."""
    for marker, make in MARKERS.items():
        if (line := f"<!-- {marker} -->") in markdown:
            markdown = markdown.replace(line, make())
    return markdown


def family_table() -> str:
    """What a method is in each family that takes a user's own, in the order of the guides."""
    guides = {place.file: place for place in places()}
    rows = []
    for family in catalog.families().listed().values():
        if family.facts["takes"]:
            guide = guides.get(family.facts["guide"])
            more = f"[{guide.title}]({guide.file})" if guide else ""
            rows.append((guide.order if guide else 0, f"| `{family.name}` | {family.facts['takes']} | {more} |"))
    return "\n".join(["| family | a method is | more |", "|---|---|---|", *(row for _, row in sorted(rows))])


def commands() -> str:
    """The command that checks each paper's claims."""
    lines = {
        f"$ optimand reproduce {paper.short_name}": paper.title
        for paper in load_papers()
        if paper.slug in listed_claims()
    }
    width = max(map(len, lines), default=0)
    return "\n".join(["```console", *(f"{line:<{width}}  # {title}" for line, title in lines.items()), "```"])


def guide_list() -> str:
    """The grouped pages, a line for each group."""
    groups: dict[str, list[str]] = {}
    for place in places():
        if place.group:
            groups.setdefault(place.group, []).append(f"[{place.title}]({place.file})")
    return "\n".join(f"- {group}: {', '.join(links)}." for group, links in groups.items())


def paper_page() -> str:
    """The catalogue of papers as a page."""
    titles = {place.file: place.title for place in places()}
    parts = [f"# {CATALOGUE.title}", "", "`optimand papers` searches them by meaning.", ""]
    for paper in load_papers():
        facts = {
            "room": paper.room,
            "status": paper.status,
            "methods": ", ".join(f"`{name}`" for name in paper.methods),
            "claims": f"`optimand reproduce {paper.short_name}`" if paper.slug in listed_claims() else "",
            "guide": f"[{titles[paper.guide]}]({paper.guide})" if paper.guide in titles else "",
        }
        parts += [f"## {paper.title}", "", f"{paper.byline}, {paper.venue}, [arXiv {paper.arxiv}]({paper.url})", ""]
        parts += [*(f"- {name}: {value}" for name, value in facts.items() if value), "", paper.summary.strip(), ""]
    return "\n".join(parts)


MARKERS = {"families": family_table, "commands": commands, "guides": guide_list}


def pictures() -> dict[str, Path]:
    """The scripts in examples/ whose docstring says that they draw one, by their names."""
    scripts = sorted((ROOT / "examples").glob("*.py"))
    return {path.stem: path for path in scripts if ".png" in docstring(path)}


def docstring(script: Path) -> str:
    """What a script says of itself."""
    return ast.get_docstring(ast.parse(script.read_text())) or ""


def on_files(files: Files, config: Any) -> Files:
    """Add the catalogue of papers, ``gallery/NAME.png`` for each script, and a page of what the scripts say."""
    files.append(File.generated(config, CATALOGUE.file, content=paper_page()))
    parts = [f"# {GALLERY.title}", "", "Each picture is made by a short script, when these pages are built."]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        drawn = list(threads.map(draw, pictures().values()))
    for (name, script), picture in zip(pictures().items(), drawn, strict=True):
        files.append(File.generated(config, f"gallery/{name}.png", content=picture))
        title, _, text = docstring(script).partition("\n")
        parts += ["", f"## {title.rstrip('.')}", "", f"![{title}](gallery/{name}.png)", *prose(text)]
        parts += ["", f"`examples/{name}.py`"]
    files.append(File.generated(config, GALLERY.file, content="\n".join(parts) + "\n"))
    return files


def prose(text: str) -> list[str]:
    """A docstring's text without its indented lines, which say how the script is called."""
    return ["", *(line for line in text.strip().split("\n") if not line.startswith("    "))]


def draw(script: Path) -> bytes:
    """The picture that a script draws; RuntimeError with its output where it fails.

    It is kept until the script, the package or an installed library is another one.
    """
    kept = (
        cache_folder("gallery")
        / f"{script.stem}-{hashlib.sha256(script.read_bytes() + surroundings()).hexdigest()}.png"
    )
    if kept.exists():
        return kept.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "picture.png"
        environment = {**os.environ, "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}
        done = subprocess.run([sys.executable, script, target], env=environment, capture_output=True, text=True)
        if done.returncode != 0 or not target.exists():
            raise RuntimeError(f"{script.name} drew no picture: {done.stderr[-2000:]}")
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(kept, target.read_bytes())
        return target.read_bytes()


@functools.cache
def surroundings() -> bytes:
    """A digest of the package's files and of the versions of Python and of what is installed."""
    versions = sys.version, sorted((d.name, d.version) for d in importlib.metadata.distributions())
    digest = hashlib.sha256(repr(versions).encode())
    for path in sorted((ROOT / "src" / "optimand").rglob("*")):
        if path.is_file() and path.parent.name != "__pycache__":
            digest.update(path.read_bytes())
    return digest.digest()
