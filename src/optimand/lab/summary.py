"""What a study says: ranking with intervals and ties, verdicts in words, time-to-target, profiles.

Built from stored results alone; the table in the terminal, ``--json`` and the page all show this.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from statistics import median
from typing import Any

from .statistics import (
    Interval,
    expected_best,
    mean_interval,
    paired_difference,
    performance_profile,
    ties_with_best,
    time_to_target,
)
from .store import Outcome, Results
from .verdicts import overall_verdict, problem_verdict


@dataclass(frozen=True)
class Row:
    """One method on one problem.

    Attributes:
        method: as typed; ``label`` is its name in tables and plots.
        rank: 1 for the best; methods whose runs all diverged or failed come last.
        tied: within the noise of the best (the best itself included).
        test, valid: final value of the problem's metric over the seeds.
        difference: test value minus the best method's, paired by seed.
        n, diverged, failed: how many runs, and how many of them ended badly.
        reached: how many runs reached the target.
        target_at, target_seconds: median budget and seconds to the target over the runs, None unless
            more than half of them reached it.
        seconds: median time charged to the method in a run.
        costs: medians of the measured costs.
        hyper: the hyperparameters of the final runs.
        by_default: validation value of the defaults in the tuning phase; None without tuning.
        expected_best: expected best validation value after 1, 2, … trials; empty without tuning.
        trials_diverged: how many tuning trials diverged or failed.
        message: the first thing that went wrong in a final run, or else in a trial, if anything did; or why a method
            stopped early, where its family notes that.
        solved: whether the value counts as solved, for problems that say what does.
    """

    method: str
    label: str
    rank: int
    tied: bool
    test: Interval
    valid: Interval
    difference: Interval
    n: int
    diverged: int
    failed: int
    reached: int
    target_at: float | None
    target_seconds: float | None
    seconds: float
    costs: Mapping[str, float]
    hyper: Mapping[str, Any]
    by_default: float | None = None
    expected_best: Sequence[float] = ()
    trials_diverged: int = 0
    message: str = ""
    solved: bool = False


@dataclass(frozen=True)
class ProblemSummary:
    """All methods on one problem, best first, and the verdict in words; the problem's facts as in ``study.json``."""

    problem: str
    label: str
    family: str
    summary: str
    unit: str
    budget: int
    metric: str
    direction: str
    target: float | None
    rows: Sequence[Row]
    verdict: str


@dataclass(frozen=True)
class StudySummary:
    """A study in a nutshell.

    Attributes:
        problems: one a problem, in the order asked for.
        verdict: one or two sentences on the whole.
        profile_tau, profile: performance profile of budget-to-target over the problems, by label; empty
            for a single problem or without targets.
        missing: how many of the planned runs are not in the store.
        damaged: run files that could not be read.
        tuned: whether hyperparameters were searched.
        untuned: labels of methods that have nothing to search, where others were searched.
    """

    problems: Sequence[ProblemSummary]
    verdict: str
    profile_tau: Sequence[float] = ()
    profile: Mapping[str, Sequence[float]] = field(default_factory=dict)
    missing: int = 0
    damaged: Sequence[str] = ()
    tuned: bool = False
    untuned: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``--json``: NaN and infinity become null."""
        return finite(asdict(self))


def summarize(results: Results) -> StudySummary:
    """Everything a study says, from what is stored."""
    info = results.info
    methods: dict[str, dict[str, Any]] = info["methods"]
    summaries = []
    solved_at: dict[str, list[float | None]] = {m: [] for m in methods}
    for problem, facts in info["problems"].items():
        summary = _summarize_problem(results, problem, facts, methods)
        summaries.append(summary)
        if facts["target"] is not None:
            at = {row.method: row.target_at for row in summary.rows}
            for name in methods:
                solved_at[name].append(at.get(name))
    tau: Sequence[float] = ()
    profile: dict[str, Sequence[float]] = {}
    if len(next(iter(solved_at.values()), [])) > 1:
        values, shares = performance_profile(solved_at)
        tau = values.tolist()
        profile = {methods[name]["label"]: share.tolist() for name, share in shares.items()}
    planned = info.get("planned_runs", len(results.outcomes))
    return StudySummary(
        problems=summaries,
        verdict=overall_verdict(summaries),
        profile_tau=tau,
        profile=profile,
        missing=max(0, planned - len(results.outcomes)),
        damaged=results.damaged,
        tuned=bool(info["spec"].get("tune")),
        untuned=[facts["label"] for facts in methods.values() if info["spec"].get("tune") and not facts.get("space")],
    )


def _summarize_problem(
    results: Results, problem: str, facts: Mapping[str, Any], methods: Mapping[str, Mapping[str, Any]]
) -> ProblemSummary:
    finals = {name: runs for name in methods if (runs := results.select(problem, name))}
    seeds = sorted({o.seed for runs in finals.values() for o in runs})
    reach = _reach_targets(results, problem, facts)
    values = {name: _by_seed(runs, seeds) for name, runs in finals.items()}
    test = {name: _level(own, facts) for name, own in values.items()}
    if facts.get("solved") is not None:  # what is solved is level: then the first at the target comes first
        test = dict(sorted(test.items(), key=lambda item: _late(finals[item[0]], reach)))
    rows: list[Row] = []
    if finals:
        best, tied = ties_with_best(test, facts["direction"])
        if len(seeds) == 1:  # no noise was measured, so nothing is known to be within it
            lowest = _nan_last(test[best][0])
            tied = {name: name == best or (test[name][0] == lowest == facts.get("solved")) for name in finals}
        for name, runs in finals.items():
            level = (test[name], test[best])
            label = methods[name]["label"]
            rows.append(_row(results, problem, facts, name, label, runs, values[name], level, tied[name], reach))
        sign = -1.0 if facts["direction"] == "max" else 1.0
        late = {row.method: math.inf if row.target_at is None else row.target_at for row in rows}
        rows.sort(
            key=lambda r: (
                r.method != best, r.test.n < r.n, not r.solved, late[r.method] if r.solved else 0,
                sign * _nan_last(r.test.mean), r.label,
            )
        )  # fmt: skip
        rows = [replace(row, rank=i) for i, row in enumerate(rows, 1)]
    return ProblemSummary(
        problem=problem,
        rows=rows,
        verdict=problem_verdict(rows, facts),
        **{f.name: facts[f.name] for f in fields(ProblemSummary) if f.name not in ("problem", "rows", "verdict")},
    )


def _row(
    results: Results,
    problem: str,
    facts: Mapping[str, Any],
    name: str,
    label: str,
    runs: Sequence[Outcome],
    test: Sequence[float],
    level: tuple[Sequence[float], Sequence[float]],
    tied: bool,
    reach: Mapping[str, tuple[float, float] | None],
) -> Row:
    reached = [reach.get(o.run) for o in runs]
    hits = [r for r in reached if r is not None]
    most = len(hits) * 2 > len(runs)
    # A run that never reaches the target counts as infinitely late, so that the median is over all runs.
    late = [math.inf] * (len(runs) - len(hits))
    trials = results.select(problem, name, "tune")
    ok = {o.trial: o.valid if o.status == "ok" else math.nan for o in trials}
    names = sorted({cost for o in runs for cost in o.costs})
    return Row(
        method=name,
        label=label,
        rank=0,
        tied=tied,
        test=mean_interval(test),
        valid=mean_interval([o.valid for o in runs]),
        difference=paired_difference(*level),
        n=len(runs),
        diverged=sum(o.status == "diverged" for o in runs),
        failed=sum(o.status == "failed" for o in runs),
        reached=len(hits),
        target_at=median([at for at, _ in hits] + late) if most else None,
        target_seconds=median([s for _, s in hits] + late) if most else None,
        seconds=_median([o.seconds for o in runs if o.status == "ok"]),
        costs={cost: _median([o.costs[cost] for o in runs if cost in o.costs]) for cost in names},
        hyper=runs[0].hyper,
        by_default=ok.get(0) if trials else None,
        expected_best=expected_best(ok[0], [v for t, v in ok.items() if t > 0], facts["direction"]) if 0 in ok else (),
        trials_diverged=sum(o.status != "ok" for o in trials),
        message=_message(runs, trials),
        solved=bool(test) and facts.get("solved") is not None and all(v == facts["solved"] for v in level[0]),
    )


def _message(runs: Sequence[Outcome], trials: Sequence[Outcome]) -> str:
    for outcome in runs:
        if outcome.message:
            return outcome.message
    for outcome in runs:
        if outcome.notes.get("stopped"):
            return f"stopped: {outcome.notes['stopped']}"
    for outcome in trials:
        if outcome.message:
            settings = ", ".join(
                f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}" for k, v in outcome.hyper.items()
            )
            return f"tuning trial {outcome.trial} ({settings}): {outcome.message}"
    return ""


def _level(values: Sequence[float], facts: Mapping[str, Any]) -> list[float]:
    """The values, those beyond what counts as solved moved there."""
    solved = facts.get("solved")
    if solved is None:
        return list(values)
    bound = min if facts["direction"] == "max" else max
    return [v if math.isnan(v) else bound(v, solved) for v in values]


def _late(runs: Sequence[Outcome], reach: Mapping[str, tuple[float, float] | None]) -> float:
    """Median position at the target, infinite for runs that do not reach it."""
    found = [reach.get(o.run) for o in runs]
    return median([math.inf if hit is None else hit[0] for hit in found])


def _by_seed(runs: Iterable[Outcome], seeds: Sequence[int]) -> list[float]:
    found = {o.seed: o.test for o in runs if o.status == "ok"}
    return [found.get(seed, math.nan) for seed in seeds]


def _reach_targets(results: Results, problem: str, facts: Mapping[str, Any]) -> dict[str, tuple[float, float] | None]:
    """Per run the position and the seconds at which the validation metric reached the target."""
    import polars as pl

    if facts["target"] is None:
        return {}
    rows = results.curves.filter(
        (pl.col("problem") == problem)
        & (pl.col("phase") == "final")
        & (pl.col("split") == "valid")
        & (pl.col("metric") == facts["metric"])
    ).sort("run", "spent")
    reached: dict[str, tuple[float, float] | None] = {}
    for (run,), group in rows.group_by(["run"], maintain_order=True):
        at = time_to_target(group["spent"].to_list(), group["value"].to_list(), facts["target"], facts["direction"])
        reached[str(run)] = None if at is None else (at, float(group.filter(pl.col("spent") == at)["seconds"][0]))
    return reached


def _median(values: Sequence[float]) -> float:
    return median(values) if values else math.nan


def _nan_last(value: float) -> float:
    return math.inf if math.isnan(value) else value


def finite(value: Any) -> Any:
    """The value as JSON knows it: null for what is not finite."""
    if isinstance(value, Mapping):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
