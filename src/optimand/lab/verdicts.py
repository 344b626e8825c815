"""What a study says, in words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .statistics import Interval
    from .summary import ProblemSummary, Row


def problem_verdict(rows: Sequence[Row], facts: Mapping[str, Any]) -> str:
    if not rows:
        return "No run has finished yet."
    best = rows[0]
    if math.isnan(best.test.mean):
        return "Every run diverged or failed: nothing can be ranked."
    value = f"test {facts['metric']} {format_interval(best.test)}"
    level = [row.label for row in rows[1:] if row.tied]
    worse = [row for row in rows[1:] if not row.tied]
    if best.solved:
        solvers, near = _solvers(rows)
        text = f"{_join(solvers)} {_solve(solvers)} it: test {facts['metric']} up to {facts['solved']:g}."
        if near:
            text += f" {_join(near)} {'differs' if len(near) == 1 else 'differ'} from that by less than the noise."
    elif best.test.n == 1:
        same = [row.label for row in rows if row.test.mean == best.test.mean]
        verb = "has" if len(same) == 1 else "share"
        text = f"{_join(same)} {verb} the best value ({value}), from a single seed: too few to call a winner."
    elif not worse and len(rows) > 1:
        text = f"A tie: {_join([best.label, *level])} differ by less than the noise ({best.label}: {value})."
    elif level:
        text = (
            f"{best.label} has the best mean ({value}), tied with {_join(level)}: they differ by less than the noise."
        )
    elif len(rows) == 1:
        text = f"{best.label} alone, nothing to compare it with: {value}."
    else:
        text = f"{best.label} is best: {value}."
    faster = [r for r in rows if r.target_at is not None]
    if faster:
        at = min(r.target_at for r in faster if r.target_at is not None)
        first = [row.label for row in faster if row.target_at == at]
        verb = "is" if len(first) == 1 else "are"
        text += f" {_join(first)} {verb} first at the target ({at:g} of {facts['budget']} {facts['unit']})."
    if len(rows) > 1 and best.test.n > 1 and not best.solved and all(_repeats(row.test) for row in rows):
        text += " The seeds repeat one number: the order is that of this instance, and says nothing of others."
    bad = [row for row in rows if row.diverged or row.failed]
    if bad:
        text += " " + "; ".join(f"{r.label}: {_bad_runs(r)}" for r in bad) + "."
    return text


def _solvers(rows: Sequence[Row]) -> tuple[list[str], list[str]]:
    """Those that solve it in every run, and those that are tied with them without."""
    tied = [row for row in rows[1:] if row.tied]
    return [rows[0].label, *(row.label for row in tied if row.solved)], [row.label for row in tied if not row.solved]


def _solve(labels: Sequence[str]) -> str:
    return "solves" if len(labels) == 1 else "solve"


def _repeats(interval: Interval) -> bool:
    """Whether all seeds gave the same, up to rounding."""
    return interval.n > 1 and abs(interval.high - interval.low) <= 1e-9 * abs(interval.mean)


def _bad_runs(row: Row) -> str:
    counts = ((row.diverged, "diverged"), (row.failed, "failed"))
    return " and ".join(f"{count} of {row.n} runs {word}" for count, word in counts if count)


MOST_TOLD = 3  # problems that the overall verdict goes through one by one


def overall_verdict(problems: Sequence[ProblemSummary]) -> str:
    if len(problems) == 1:
        return problems[0].verdict
    ranked = [p for p in problems if p.rows and not math.isnan(p.rows[0].test.mean)]
    if not ranked:
        return "No problem has results that can be ranked yet."
    if all(p.rows[0].test.n == 1 for p in ranked):
        return "A single seed for each method: too few to call a winner on any problem."
    if len(ranked) <= MOST_TOLD:
        return "; ".join(f"{p.label}: {_winner(p.rows)}" for p in ranked) + "."
    best = Counter(row.label for p in ranked for row in p.rows if row.tied)
    most = max(best.values())
    leaders = [label for label, count in best.items() if count == most]
    verb = "is" if len(leaders) == 1 else "are each"
    return f"{_join(leaders)} {verb} best or tied with the best on {most} of {len(ranked)} problems."


def _winner(rows: Sequence[Row]) -> str:
    tied = [row.label for row in rows[1:] if row.tied]
    if len(rows) == 1:
        return f"{rows[0].label} alone, nothing to compare it with"
    if rows[0].solved:
        solvers, near = _solvers(rows)
        return f"{_join(solvers)} {_solve(solvers)} it" + (f", tied with {_join(near)}" if near else "")
    if not tied:
        return f"{rows[0].label} is best"
    if len(tied) == len(rows) - 1:
        return f"a tie of all, {rows[0].label} with the best mean"
    return f"{rows[0].label} has the best mean, tied with {_join(tied)}"


def format_interval(interval: Interval) -> str:
    """A mean with half its interval, to two significant digits of the latter.

    Example:
        >>> from optimand.lab.statistics import Interval
        >>> format_interval(Interval(0.9621, 0.951, 0.973, 3)), format_interval(Interval(3e-7, 2.8e-7, 3.2e-7, 3))
        ('0.962 ± 0.011', '(3.00 ± 0.20)e-07')
    """
    if math.isnan(interval.mean):
        return "–"
    if not math.isfinite(interval.half_width) or interval.half_width == 0 or _repeats(interval):
        return f"{interval.mean:.4g}"
    size = math.floor(math.log10(max(abs(interval.mean), interval.half_width)))
    exponent = size if size < -3 or size > 5 else 0
    mean, half = interval.mean / 10.0**exponent, interval.half_width / 10.0**exponent
    decimals = min(max(0, 1 - math.floor(math.log10(half))), 6)
    text = f"{mean:.{decimals}f} ± {half:.{decimals}f}"
    return f"({text})e{exponent:+03d}" if exponent else text


def singular(unit: str) -> str:
    """One of the budget's units.

    Example:
        >>> singular("steps"), singular("oracle calls"), singular("passes"), singular("queries"), singular("progress")
        ('step', 'oracle call', 'pass', 'query', 'progress')
    """
    if unit.endswith("ies") and len(unit) > 4:
        return unit[:-3] + "y"
    if unit.endswith(("sses", "xes", "ches", "shes")):
        return unit[:-2]
    return unit[:-1] if unit.endswith("s") and not unit.endswith("ss") else unit


def _join(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
