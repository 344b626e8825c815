"""The table in the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from .verdicts import format_interval, singular

if TYPE_CHECKING:
    from .reproduce import Reproduced
    from .summary import ProblemSummary, Row, StudySummary


def study_table(summary: StudySummary) -> RenderableType:
    """All problems of a study, each with its ranking and its verdict, and what is wrong with the store."""
    parts: list[RenderableType] = []
    for problem in summary.problems:
        parts += [Text(_title(problem), style="bold"), problem_table(problem), Text(problem.verdict)]
        parts += [Text(f"{row.label}: {row.message}", style="yellow") for row in problem.rows if row.message]
        parts.append(Text(""))
    if not summary.tuned:
        parts.append(Text("Defaults only: a method whose defaults do not fit a problem does better with --tune N."))
    if summary.untuned:
        parts.append(Text(f"Nothing to tune, so run with defaults only: {', '.join(summary.untuned)}."))
    if len(summary.problems) > 1:
        parts.append(Text(summary.verdict, style="bold"))
    for name in summary.damaged:
        parts.append(Text(f"damaged run file, left out: {name}", style="yellow"))
    if summary.missing:
        parts.append(Text(f"{summary.missing} planned runs are missing: the same command makes them", style="yellow"))
    return Group(*parts)


def _title(problem: ProblemSummary) -> str:
    better = "lower" if problem.direction == "min" else "higher"
    return f"{problem.label}: test {problem.metric} after {problem.budget} {problem.unit} ({better} is better)"


def numbers_table(first: str, *others: str) -> Table:
    """A column of names, which may fold, and columns of numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(Text(first), overflow="fold")
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def problem_table(problem: ProblemSummary) -> Table:
    """The ranking on one problem; fits 80 columns."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    costs = {
        f"ms/{singular(problem.unit).split()[-1]}": ("seconds_per_unit", format_milliseconds),
        "state": ("state_bytes", format_bytes),
        "peak": ("peak_memory_bytes", format_bytes),
        **({} if problem.unit == "oracle calls" else {"calls": ("oracle_calls", format_count)}),
        "arms": ("peak_arms", format_count),
        "explored": ("explored_share", format_share),
    }
    costs = {head: (name, _) for head, (name, _) in costs.items() if any(name in row.costs for row in problem.rows)}
    table.add_column("method", overflow="fold")
    table.add_column("test", justify="right", no_wrap=True)
    table.add_column("to best", no_wrap=True)
    if problem.target is not None:
        table.add_column(f"to {problem.target:g}", justify="right", no_wrap=True)
    for head in costs:
        table.add_column(head, justify="right", no_wrap=True)
    for row in problem.rows:
        cells = [row.label, format_interval(row.test), _standing(row, problem.rows)]
        if problem.target is not None:
            cells.append("–" if row.target_at is None else f"{row.target_at:g}")
        cells += [write(row.costs.get(name, math.nan)) for name, write in costs.values()]
        table.add_row(*map(Text, cells), style="bold" if row.rank == 1 else "")
    return table


def _standing(row: Row, rows: Sequence[Row]) -> str:
    """How a row stands to the best: ``best``, ``+0.3``, ``+0.01 tie``, ``2/3 diverged``."""
    parts = []
    if row.solved:
        parts.append("solved")
    elif row.rank == 1 and row.test.n > 1 and not any(r.tied for r in rows[1:]):
        parts.append("best")
    elif row.rank > 1 and not math.isnan(row.difference.mean):
        parts.append(f"{row.difference.mean:+.2g}" + (" tie" if row.tied else ""))
    for count, word in ((row.diverged, "diverged"), (row.failed, "failed")):
        if count:
            parts.append(f"{count}/{row.n} {word}")
    return ", ".join(parts)


def format_milliseconds(seconds: float) -> str:
    """Seconds as milliseconds with three significant digits."""
    return "–" if math.isnan(seconds) else f"{seconds * 1e3:.3g}"


def format_count(count: float) -> str:
    """A count with a decimal prefix: ``1.5M``."""
    return _prefixed(count, "k", 1000)


def format_share(share: float) -> str:
    """A share in percent."""
    return "–" if math.isnan(share) else f"{100 * share:.3g} %"


def format_bytes(count: float) -> str:
    """Bytes with a binary prefix: ``1.5M``."""
    return _prefixed(count, "K", 1024)


def _prefixed(count: float, kilo: str, step: float) -> str:
    if math.isnan(count):
        return "–"
    for unit in ("", kilo, "M", "G"):
        if abs(count) < 1000:
            return f"{count:.3g}{unit}"
        count /= step
    return f"{count:.3g}T"


VERDICT_STYLES = {
    "holds": "green",
    "falls short": "red",
    "not testable here": "dim",
    "not checked": "yellow",
    "not judged": "dim",
}


def claims_table(claims: Sequence[Reproduced]) -> Table:
    """Verdict beside each claim, with the paper's number, ours, and how it was measured."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column()
    for claim in claims:
        words = Text(f"{claim.sentence} ({claim.name})\n", style="bold")
        words.append(f"paper: {claim.paper_value}\n", style="not bold")
        if claim.reference:
            words.append(f"reference: {claim.reference}\n", style="not bold")
        if claim.value != "–":
            words.append(f"here:  {claim.value}\n", style="not bold")
        if claim.detail:
            words.append(f"{claim.detail}\n", style="not bold dim")
        table.add_row(Text(claim.verdict, style=VERDICT_STYLES[claim.verdict]), words)
    return table


def print_study(summary: StudySummary, console: Console) -> None:
    """Print the study's table."""
    console.print(study_table(summary))
