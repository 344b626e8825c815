"""The commands ``optimand library …``: what a library of insights holds, its faults, proposals that wait."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.validation import OptimandError
from .cli_catalog import out

if TYPE_CHECKING:
    from ..language.modeling.alphaopt import ExperienceLibrary

DOUBTFUL = 3

library = typer.Typer(help="Read, check and edit a library of insights (AlphaOPT).", no_args_is_help=True)

LibraryArgument = Annotated[Path, typer.Argument(help="A .json or .toml file, or the published list.")]
OtherArgument = Annotated[Path, typer.Argument(help="The second file.")]


def _load(path: Path) -> ExperienceLibrary:
    from ..language.modeling.alphaopt import ExperienceLibrary

    return ExperienceLibrary.load(path)


def _print(text: str) -> None:
    out.print(text, markup=False, soft_wrap=True)


@library.command()
def show(
    path: LibraryArgument,
    numbers: Annotated[list[int] | None, typer.Option("--id", help="Only this insight; may be repeated.")] = None,
    words: Annotated[str | None, typer.Option(help="Only the insights nearest to this text.")] = None,
    most: Annotated[int, typer.Option(help="How many of these.")] = 5,
    html: Annotated[Path | None, typer.Option(help="Write a page instead of printing.")] = None,
) -> None:
    """Print a library, or the part that is asked for, in Markdown."""
    whole = _load(path)
    chosen = [whole[number] for number in numbers] if numbers else list(whole)
    if words:
        near = whole.retrieve(text=words, k=most)
        chosen = [insight for insight in near if insight in chosen]
    part = type(whole)(whole.taxonomy, chosen)
    if html:
        html.write_text(part.to_html(), encoding="utf-8")
        _print(str(html))
    else:
        _print(part.to_markdown().removesuffix("\n"))


@library.command()
def check(path: LibraryArgument) -> None:
    """Print what is wrong or doubtful; the exit code is 3 where something is."""
    whole = _load(path)
    faults = whole.validate()
    _print("\n".join(faults) if faults else f"{len(whole)} insights, nothing doubtful")
    if faults:
        raise typer.Exit(DOUBTFUL)


@library.command()
def diff(path: LibraryArgument, other: OtherArgument) -> None:
    """Print what the second library has otherwise; the exit code is 3 where they differ."""
    found = _load(path).diff(_load(other))
    lines = [f"+ {insight.insight_id}: {insight.condition}" for insight in found.added]
    lines += [f"- {insight.insight_id}: {insight.condition}" for insight in found.removed]
    lines += [f"~ {number}: {', '.join(parts)}" for number, parts in sorted(found.changed.items())]
    _print("\n".join(lines) or "no difference")
    if found:
        raise typer.Exit(DOUBTFUL)


@library.command()
def convert(path: LibraryArgument, other: OtherArgument) -> None:
    """Write a library in the form that the second name says, .json or .toml."""
    _load(path).save(other)
    _print(str(other))


@library.command()
def review(
    path: LibraryArgument,
    accept: Annotated[int | None, typer.Option(metavar="N", help="Make this change and save.")] = None,
    reject: Annotated[int | None, typer.Option(metavar="N", help="Drop it and save.")] = None,
) -> None:
    """Number the proposals, or accept or reject one."""
    if accept is not None and reject is not None:
        raise OptimandError("give --accept or --reject, not both")
    whole = _load(path)
    proposals = list(whole.review())
    number = reject if accept is None else accept
    if number is None:
        for place, proposal in enumerate(proposals, 1):
            what = "" if proposal.insights or proposal.kind == "remove" else " (a hint: edit the file)"
            _print(f"{place}. {proposal.kind} {', '.join(map(str, proposal.ids))}: {proposal.reason}{what}")
            for insight in proposal.insights:
                _print("   " + insight.condition.replace("\n", "\n   "))
        return
    if not 1 <= number <= len(proposals):
        raise OptimandError(f"there is no proposal {number}; the library has {len(proposals)}")
    proposal = proposals[number - 1]
    if accept is None and proposal not in whole.pending:
        raise OptimandError(f"proposal {number} comes from the library's statistics: edit or pin the insight")
    (whole.reject if accept is None else whole.accept)(proposal)
    whole.save(path)
    done = "rejected" if accept is None else "accepted"
    _print(f"{done}: {proposal.kind} {', '.join(map(str, proposal.ids))}")
