"""The rows behind the charts: curves averaged over seeds, tuning trials, costs, tuning effort."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..statistics import Interval
from ..store import Results
from ..summary import ProblemSummary, Row
from . import formatting

if TYPE_CHECKING:
    import polars as pl

Rows = list[dict[str, Any]]

MOST_POINTS = 160  # of one curve
MOST_SERIES = 4  # metrics shown of one problem
MOST_AXES = 8  # hyperparameters that the trials can be drawn against
MOST_DETAILS = 300  # trials of one problem that are shown with all their hyperparameters
# A metric NAME may come with NAME:q10 and NAME:q90, quantiles of the repetitions within a run: they are its band.
BAND = (":q10", ":q90")


def learning_curves(
    results: Results, problem: ProblemSummary, labels: Mapping[str, str], points: int = MOST_POINTS
) -> dict[tuple[str, str], Rows]:
    """Curves of the final runs by (split, metric), the problem's own metric on the validation set first.

    Runs that ended well are averaged, with the lowest and highest of them as a band; each run that
    diverged is a curve of its own (``kind`` is ``diverged``, its last point has ``end``). Where runs recorded
    quantiles of their repetitions, their means over the runs are the band instead. A curve has at most
    ``points`` points.
    """
    import polars as pl

    finals = results.curves.filter(
        (pl.col("problem") == problem.problem) & (pl.col("phase") == "final") & pl.col("value").is_finite()
    )
    first = ("valid", problem.metric)
    order = {"valid": 0, "train": 1, "test": 2}
    kinds: list[tuple[str, str]] = list(finals.select("split", "metric").unique().iter_rows())
    kinds = [kind for kind in kinds if not kind[1].endswith(BAND)]
    kinds.sort(key=lambda kind: (kind != first, order.get(kind[0], 3), kind[1] != problem.metric, kind[1]))
    curves: dict[tuple[str, str], Rows] = {}
    for split, metric in kinds:
        frame, *bands = (
            finals.filter((pl.col("split") == split) & (pl.col("metric") == metric + part)) for part in ("", *BAND)
        )
        rows = [
            row
            for name, label in labels.items()
            for row in _with_band(_method_curves(frame, name, label, points), bands, name)
        ]
        # A metric that is only taken once, at the end, makes no curve; nor do numbers that are on the page already, as
        # where a problem has no held-out data.
        if len({row["at"] for row in rows}) > 1 and not any(
            rows == shown for (_, other), shown in curves.items() if other == metric
        ):
            curves[split, metric] = rows
        if len(curves) == MOST_SERIES:
            break
    return curves


def _method_curves(frame: pl.DataFrame, method: str, label: str, points: int) -> Rows:
    import polars as pl

    runs = frame.filter(pl.col("method") == method).sort("run", "spent").partition_by("run", maintain_order=True)
    whole = [run for run in runs if run["status"][0] == "ok"]
    rows = [
        {"method": label, "kind": "mean", "run": "", "seeds": len(whole), **point} for point in _average(whole, points)
    ]
    for run in (run for run in runs if run["status"][0] != "ok"):
        kept = _thin(len(run), points)
        rows += [
            {"method": label, "kind": "diverged", "run": str(run["run"][0]), "seeds": 1, "at": run["spent"][i],
             "seconds": run["seconds"][i], "y": run["value"][i], "end": i == kept[-1]}
            for i in kept
        ]  # fmt: skip
    return rows


def _with_band(rows: Rows, bands: Sequence[pl.DataFrame], method: str) -> Rows:
    """The rows of a method with the quantiles of its repetitions, averaged over the runs, as ends of the band."""
    import polars as pl

    low, high = (
        dict(frame.filter(pl.col("method") == method).group_by("spent").agg(pl.col("value").mean()).iter_rows())
        for frame in bands
    )
    for row in rows:
        if row["kind"] == "mean" and row["at"] in low and row["at"] in high:
            row.update(low=low[row["at"]], high=high[row["at"]], repetitions=True)
    return rows


def _average(runs: Sequence[pl.DataFrame], points: int) -> Rows:
    """Position, mean seconds, and mean, lowest and highest value of several runs."""
    if not runs:
        return []
    positions = [run["spent"].to_numpy() for run in runs]
    grid = positions[0]
    if any(len(p) != len(grid) or not np.array_equal(p, grid) for p in positions):
        start, stop = max(p[0] for p in positions), min(p[-1] for p in positions)
        grid = np.linspace(start, stop, max(len(p) for p in positions))
    grid = grid[_thin(len(grid), points)]
    values = np.array([np.interp(grid, p, run["value"].to_numpy()) for p, run in zip(positions, runs, strict=True)])
    times = np.array([np.interp(grid, p, run["seconds"].to_numpy()) for p, run in zip(positions, runs, strict=True)])
    # Halving first keeps the sum of huge but finite values finite.
    mean = 2 * (values / 2).mean(axis=0)
    columns = [grid, times.mean(axis=0), mean, values.min(axis=0), values.max(axis=0)]
    keys = ("at", "seconds", "y", "low", "high")
    return [dict(zip(keys, point, strict=True)) for point in zip(*(c.tolist() for c in columns), strict=True)]


def _thin(count: int, points: int) -> list[int]:
    """Indices of at most ``points`` of ``count`` items, the ends included."""
    return np.unique(np.linspace(0, count - 1, min(count, points)).round().astype(int)).tolist()


def tuning_effort(problem: ProblemSummary, labels: Mapping[str, str]) -> Rows:
    """Expected best validation value after 1, 2, … trials; the first is that of the defaults."""
    return [
        {"method": labels[row.method], "trials": k, "y": value, "default": k == 1}
        for row in problem.rows
        for k, value in enumerate(row.expected_best, 1)
        if math.isfinite(value)
    ]


def tuning_trials(results: Results, problem: ProblemSummary, labels: Mapping[str, str]) -> tuple[Rows, dict[str, str]]:
    """All tuning trials of a problem.

    Returns:
        One row a trial, and per tuned numeric hyperparameter the key of its value in the rows; the
        hyperparameters that most methods share come first (``lr`` before others of its rank).
    """
    methods = results.info["methods"]
    found = [(row, o) for row in problem.rows for o in results.select(problem.problem, row.method, "tune")]
    tuned: dict[str, dict[str, set[float]]] = {}
    for row, outcome in found:
        for name in methods[row.method].get("space", {}):
            if _is_number(outcome.hyper.get(name)):
                tuned.setdefault(name, {}).setdefault(row.method, set()).add(outcome.hyper[name])
    names = [name for name, values in tuned.items() if len(set().union(*values.values())) > 1]
    names.sort(key=lambda name: (-len(tuned[name]), name not in ("lr", "learning_rate"), name))
    axes = {name: f"x{i}" for i, name in enumerate(names[:MOST_AXES])}
    rows = []
    for row, outcome in found:
        position = {key: outcome.hyper.get(name) for name, key in axes.items() if row.method in tuned[name]}
        rows.append(
            {
                "method": labels[row.method],
                "trial": outcome.trial,
                "y": outcome.valid if outcome.status == "ok" else math.nan,
                "status": outcome.status,
                "chosen": dict(outcome.hyper) == dict(row.hyper),
                "settings": formatting.settings(outcome.hyper) if len(found) <= MOST_DETAILS else "",
                "message": outcome.message,
                **position,
            }
        )
    return rows, axes


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def costs(problem: ProblemSummary, labels: Mapping[str, str]) -> dict[str, Rows]:
    """Per cost the methods with the cost as ``x`` and their test value as ``y`` with its interval."""
    found: dict[str, Rows] = {}
    for row in problem.rows:
        if math.isnan(row.test.mean):
            continue
        for name, value in measured_costs(row, problem.budget).items():
            if not math.isfinite(value):
                continue
            cost = formatting.cost(name, value)
            found.setdefault(name, []).append(_point(labels[row.method], value, cost, row.test))
    # A quantity that is the same for all methods, as the number of parameters, is no trade-off; state has a picture.
    return {
        name: rows
        for name, rows in found.items()
        if name != "parameters" and not name.startswith("state_bytes") and len({r["x"] for r in rows}) > 1
    }


def _point(label: str, x: float, cost: str, value: Interval) -> dict[str, Any]:
    known = math.isfinite(value.low) and math.isfinite(value.high)
    low, high = (value.low, value.high) if known else (value.mean, value.mean)
    return {"method": label, "x": x, "cost": cost, "y": value.mean, "low": low, "high": high}


def memory(problem: ProblemSummary, labels: Mapping[str, str]) -> dict[str, Rows]:
    """Per split the methods with the bytes of their state as ``x`` and their final value as ``y`` with its interval.

    ``front`` marks what no other method beats in both. Empty where the methods' states do not differ.
    """
    found: dict[str, Rows] = {"test": [], "valid": []}
    for row in problem.rows:
        state = row.costs.get("state_bytes", math.nan)
        for split, rows in found.items():
            value = getattr(row, split)
            if not (math.isfinite(value.mean) and math.isfinite(state)):
                continue
            rows.append(_point(labels[row.method], state, formatting.size(state), value))
    for rows in found.values():
        _mark_front(rows, -1.0 if problem.direction == "max" else 1.0)
    return {split: rows for split, rows in found.items() if len({row["x"] for row in rows}) > 1}


def _mark_front(rows: Rows, sign: float) -> None:
    best = math.inf
    for row in sorted(rows, key=lambda r: (r["x"], sign * r["y"])):
        row["front"] = sign * row["y"] < best
        best = min(best, sign * row["y"])


def measured_costs(row: Row, budget: int) -> dict[str, float]:
    """The costs of a method in the order in which they are shown, time and state per parameter derived if need be."""
    shown = {"seconds_per_unit": row.costs.get("seconds_per_unit", row.seconds / budget if budget else math.nan)}
    parameters = row.costs.get("parameters", 0.0)
    if "state_bytes" in row.costs and parameters > 0:
        shown["state_bytes_per_parameter"] = row.costs["state_bytes"] / parameters
    shown.update({name: value for name, value in row.costs.items() if name not in shown})
    if "state_bytes_per_parameter" in shown:
        shown.pop("state_bytes", None)
    return shown
