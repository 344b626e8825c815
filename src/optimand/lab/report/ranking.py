"""The ranking table: values with intervals as text and as bars, ties, time to target, costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..statistics import Interval
from ..store import Results
from ..summary import ProblemSummary, Row
from . import formatting, series
from .specs import WIDE

MOST_SEED_MARKS = 12


def ranking(results: Results, p: ProblemSummary, labels: Mapping[str, str], order: Sequence[str]) -> dict[str, Any]:
    """The table of a problem: one row a method, best first, each with a bar that shows its interval and seeds."""
    seeds = {row.method: [o.test for o in results.select(p.problem, row.method) if o.status == "ok"] for row in p.rows}
    ends = [end for row in p.rows for end in (row.test.low, row.test.high)]
    extent = Extent([*ends, *(value for own in seeds.values() for value in own)])
    timed = p.unit == "seconds"  # then seconds per unit would say nothing
    costs = {row.method: series.measured_costs(row, p.budget) for row in p.rows}
    state = next((n for n in ("state_bytes_per_parameter", "state_bytes") if any(n in c for c in costs.values())), None)
    rows = []
    for row in p.rows:
        lost = [f"{count} {word}" for count, word in ((row.diverged, "diverged"), (row.failed, "failed")) if count]
        first = row is p.rows[0]
        own = costs[row.method]
        rows.append(
            {
                "label": labels[row.method],
                "color": order.index(labels[row.method]),
                "rank": row.rank if row.test.n else formatting.DASH,
                "value": formatting.interval(row.test),
                "tied": row.tied and any(other.tied for other in p.rows if other is not row),
                "best": first and row.test.n > 0,
                "difference": "" if first else formatting.signed_interval(row.difference),
                "bar": extent.bar(row.test, seeds[row.method]),
                "target": _target(row, p.unit),
                "time": formatting.seconds(row.seconds if timed else own.get("seconds_per_unit")),
                "state": formatting.cost(state, own.get(state)) if state else "",
                "runs": f"{row.test.n} of {row.n}" if lost else str(row.n),
                "lost": " and ".join(lost),
            }
        )
    titles = {
        "time": "time per run" if timed else formatting.cost_title("seconds_per_unit", p.unit),
        "state": {"state_bytes_per_parameter": "state per parameter", "state_bytes": "optimizer state"}.get(
            state or "", ""
        ),
    }
    several = any(row.test.n > 1 for row in p.rows)
    return {
        "rows": rows,
        "titles": titles,
        "several": several,
        "low": extent.low_text,
        "high": extent.high_text,
        "log": extent.log,
    }


def _target(row: Row, unit: str) -> str:
    if row.target_at is None:
        return f"reached by {row.reached} of {row.n}" if row.reached else "not reached"
    text = f"{formatting.number(row.target_at)} {unit}"
    return f"{text}, {formatting.seconds(row.target_seconds)}" if row.target_seconds is not None else text


class Extent:
    """Places values on the bar of the ranking, in percent from its left end."""

    def __init__(self, values: Sequence[float]) -> None:
        finite = [v for v in values if math.isfinite(v)]
        self.log = bool(finite) and min(finite) > 0 and max(finite) / min(finite) > WIDE
        self.low, self.high = (min(finite), max(finite)) if finite else (0.0, 1.0)
        # The ends only orient the eye; the values stand beside the bars.
        self.low_text, self.high_text = (formatting.number(float(f"{end:.2g}")) for end in (self.low, self.high))

    def place(self, value: float) -> float:
        scale = math.log if self.log else float
        low, high = scale(self.low), scale(self.high)
        # Dividing before subtracting keeps differences of huge values finite.
        span = high / 2 - low / 2
        share = (scale(value) / 2 - low / 2) / span if span > 0 else 0.5
        return round(4 + 92 * min(1.0, max(0.0, share)), 2)

    def bar(self, value: Interval, seeds: Sequence[float]) -> dict[str, Any] | None:
        if not math.isfinite(value.mean) or (self.log and value.mean <= 0):
            return None
        known = math.isfinite(value.low) and math.isfinite(value.high)
        left, right = (self.place(v) for v in ((value.low, value.high) if known else (value.mean, value.mean)))
        marks = [self.place(s) for s in seeds if math.isfinite(s)][:MOST_SEED_MARKS]
        return {"mean": self.place(value.mean), "left": left, "width": round(right - left, 2), "seeds": marks}
