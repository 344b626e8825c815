"""The commands that show what the catalog holds: list, show, papers."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..core.contracts import Family
from ..core.index import Listed, plain
from ..core.validation import UnknownNameError, suggest

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

USER_ERROR = 1
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")]


class Kind(StrEnum):
    """What can be listed."""

    problems = "problems"
    methods = "methods"
    families = "families"
    claims = "claims"


def known_family(name: str) -> Family:
    """The family of that name; UnknownNameError with the nearest names where there is none."""
    from ..core import catalog

    found = catalog.get_family(name)
    if found is None:
        known = catalog.families()
        raise UnknownNameError(f"unknown family {name!r}{suggest(name, known)}; known: {', '.join(known)}")
    return found


def list_(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    family: Annotated[str | None, typer.Option(help="Only of this family.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List problems, methods, families, or the papers' claims."""
    from ..core import catalog

    if family is not None:
        known_family(family)
    rows: list[dict[str, Any]]
    if kind is Kind.problems:
        rows = [_problem_row(p, as_json) for p in catalog.problems(family).listed().values()]
    elif kind is Kind.methods:
        rows = [
            {"name": m.name, "family": m.family, "paper": m.facts.get("paper", ""), "summary": m.summary.rstrip(".")}
            for m in catalog.methods(family).listed().values()
        ]
    elif kind is Kind.families:
        rows = [{"name": f.name, "summary": f.summary} for f in catalog.families().listed().values()]
    else:
        from ..papers import listed_claims

        rows = [
            {"paper": paper, "claim": name, "checked here": "yes" if checked else "no", "sentence": sentence}
            for paper, found in listed_claims().items()
            for name, sentence, checked in found
        ]
    if as_json or kind not in (Kind.problems, Kind.methods):
        print_rows(rows, as_json)
    else:
        _print_by_family(rows)


def show(
    method: Annotated[str, typer.Argument(help="A method or a problem: a name, name:key=value,… or file.py:NAME.")],
    family: Annotated[
        str | None,
        typer.Option(help="The family of problems it is for.", show_default="the method's own; training for a file's"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a method (hyperparameters, ranges, paper, measured cost) or a problem (parameters, budget, target)."""
    from ..core import catalog
    from ..core.userfiles import split_spec
    from ..papers import get_paper
    from .study import describe_method

    if family is None and split_spec(method)[0] in catalog.problems():
        _show_problem(method, as_json)
        return
    if family is None:
        name, attr, _ = split_spec(method)
        registered = catalog.methods().listed().get(name)
        if registered is None and attr is None:
            known = [*catalog.methods(), *catalog.problems()]
            what = f"{name!r} is a family" if name in catalog.families() else f"unknown method {name!r}"
            raise UnknownNameError(
                f"{what}{suggest(name, known)}; 'optimand list methods' and 'optimand list problems' show all"
            )
        family = "training" if registered is None else registered.family
    else:
        known_family(family)
    entry, given = catalog.get_method(method, family=family)
    facts = describe_method(method, entry, given)
    paper = get_paper(entry.paper) if entry.paper else None
    if as_json:
        content = {
            "name": entry.name, "family": entry.family, "summary": entry.summary, "origin": entry.origin,
            "paper": paper.to_dict() if paper else None, "facts": facts,
            "hyperparameters": {
                k: {"default": plain(v), "given": plain(given.get(k)), "range": str(entry.space.get(k, "")) or None}
                for k, v in entry.defaults.items()
            },
        }  # fmt: skip
        print_json(content)
        return
    out.print(f"[bold]{entry.name}[/] ({entry.family})  {entry.origin}", soft_wrap=True)
    told = {"paper": f"{paper.title} ({paper.year}), arXiv {paper.arxiv}"} if paper else {}
    rows = [
        {"hyperparameter": k, "default": v, "tuned over": entry.space.get(k, ""), **_given(given, k)}
        for k, v in entry.defaults.items()
    ]
    _print_entry(entry.summary, {**told, **facts}, rows)


def _show_problem(text: str, as_json: bool) -> None:
    from ..core import catalog
    from ..core.userfiles import split_spec

    name, _, given = split_spec(text)
    factory = catalog.problems()[name]
    built = catalog.get_problem(text)
    better = "lower" if built.direction == "min" else "higher"
    facts = {
        "ranked by": f"{built.metric} ({better} is better)",
        "budget": f"{built.budget} {built.unit}",
        "target": "none" if built.target is None else f"{built.metric} {built.target:g}",
        "needs": factory.needs or "nothing",
    }
    described = _described_arguments(inspect.getdoc(factory.build) or "")
    if as_json:
        parameters = {
            k: {"default": plain(v), "given": plain(given.get(k)), "what": described.get(k, "")}
            for k, v in factory.params.items()
        }
        head = {"name": name, "family": factory.family, "summary": built.summary}
        print_json({**head, **facts, "parameters": parameters})
        return
    out.print(f"[bold]{name}[/] (problem of family {factory.family})", soft_wrap=True)
    rows = [
        {"parameter": k, "default": v, "what": described.get(k, ""), **_given(given, k)}
        for k, v in factory.params.items()
    ]
    _print_entry(built.summary, facts, rows)


def _given(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {"given": given[name]} if name in given else {}


def _print_entry(summary: str, facts: Mapping[str, str], rows: Sequence[dict[str, Any]]) -> None:
    out.print(summary, markup=False)
    for key, value in facts.items():
        out.print(f"{key}: {value}", markup=False)
    if rows:
        print_rows(rows, False)


def _described_arguments(docstring: str) -> dict[str, str]:
    """What the section ``Args:`` of a docstring says of each argument."""
    _, _, section = docstring.partition("Args:\n")
    found: dict[str, str] = {}
    names: list[str] = []
    for line in section.split("\n"):
        if not line.startswith("    "):
            break
        head, colon, text = line.strip().partition(":")
        if colon and not line.startswith("     ") and all(part.strip().isidentifier() for part in head.split(",")):
            names = [part.strip() for part in head.split(",")]
            found.update(dict.fromkeys(names, text.strip()))
        else:
            found.update({name: f"{found[name]} {line.strip()}" for name in names})
    return {name: text.replace("`", "") for name, text in found.items()}


def papers(
    query: Annotated[list[str] | None, typer.Argument(help="Words to look for; none lists all papers.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at the most.")] = 10,
    as_json: JsonOption = False,
) -> None:
    """Search the catalogue of papers by meaning.

    Example: optimand papers "low memory optimizer state"
    """
    from ..papers import load_papers, search_papers

    found = [(p, None) for p in load_papers()] if not query else list(search_papers(" ".join(query), limit=limit))
    if as_json:
        print_json([{**p.to_dict(), "score": score} for p, score in found])
        return
    if not found:
        err.print("no paper matches; 'optimand papers' lists all")
        raise typer.Exit(USER_ERROR)
    for paper, _ in found:
        status = {"implemented": "green", "partial": "yellow"}.get(paper.status, "dim")
        facts = f"{paper.year}  arXiv {paper.arxiv}  [{status}]{_status(paper)}[/]"
        out.print(f"[bold]{paper.slug}[/]  {facts}", soft_wrap=True)
        out.print(f"  {paper.title} · {paper.room}", markup=False, soft_wrap=True)
        if query:
            out.print(f"  {paper.summary}", markup=False)


def split_commas(texts: Sequence[str]) -> tuple[str, ...]:
    """Split at commas, but keep ``lion:lr=1e-4,weight_decay=0.1`` together: a pair belongs to what stands before."""
    parts: list[str] = []
    for text in texts:
        fresh = True
        for piece in text.split(","):
            belongs = not fresh and (_is_pair(piece) or _open_bracket(parts[-1]))
            if belongs:
                parts[-1] += "," + piece
            elif piece.strip():
                parts.append(piece.strip())
                fresh = False
    return tuple(parts)


def _is_pair(piece: str) -> bool:
    return "=" in piece and ":" not in piece.split("=", 1)[0]


def _open_bracket(text: str) -> bool:
    return sum(text.count(c) for c in "([{") > sum(text.count(c) for c in ")]}")


def _problem_row(problem: Listed, as_json: bool) -> dict[str, Any]:
    facts = problem.facts
    better = "lower" if facts["direction"] == "min" else "higher"
    row: dict[str, Any] = {
        "name": problem.name,
        "ranked by": f"{facts['metric']} ({better})",
        "budget": f"{facts['budget']} {facts['unit']}",
        "family": problem.family,
        "summary": problem.summary.replace("`", "").split(". ")[0].rstrip("."),
    }
    if as_json:
        row |= {"needs": facts["needs"] or "nothing", "parameters": facts["params"]}
    elif facts["needs"]:
        row["summary"] += f" (needs {facts['needs']})"
    return row


def _print_by_family(rows: Sequence[dict[str, Any]]) -> None:
    """A table for each family, the families in the catalog's order."""
    from ..core import catalog

    for family in dict.fromkeys([*catalog.families(), *(row["family"] for row in rows)]):
        own = [{k: v for k, v in row.items() if k != "family"} for row in rows if row["family"] == family]
        if own:
            out.print(f"[bold]{family}[/]")
            print_rows(own, False)


def _status(paper: Any) -> str:
    methods = ", ".join(paper.methods)
    return {"implemented": f"implemented: {methods}", "partial": f"partly implemented: {methods}"}.get(
        paper.status, "not implemented yet"
    )


def print_json(content: Any) -> None:
    print(json.dumps(content, indent=2, default=str))


def print_rows(rows: Sequence[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(list(rows))
        return
    table = Table(box=box.SIMPLE_HEAD)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    for name in columns:
        table.add_column(name, no_wrap=name in ("name", "hyperparameter"))
    for row in rows:
        table.add_row(*[Text(str(row.get(name, ""))) for name in columns])
    out.print(table)
