"""What the page says in words and tables: plain dictionaries for the template."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...core.validation import OptimandError
from ..store import Results
from ..summary import ProblemSummary, Row, StudySummary, summarize
from . import charts, formatting, series
from .pictures import pictures
from .ranking import ranking
from .rules import rules

View = dict[str, Any]


def unique_labels(results: Results) -> dict[str, str]:
    """Label of each method in the order asked for; the method as typed follows where two have the same label."""
    facts = results.info["methods"]
    names = dict.fromkeys([name for name in results.info["spec"]["methods"] if name in facts] + list(facts))
    labels = {name: str(facts[name]["label"]) for name in names}
    taken = list(labels.values())
    return {n: label if taken.count(label) == 1 else f"{label} [{n}]" for n, label in labels.items()}


def study_view(results: Results, order: Sequence[str], name: str = "", points: int = series.MOST_POINTS) -> View:
    """Everything the template shows of one study.

    Args:
        results: as stored.
        order: labels of all methods of the page; a method's place in it is its color.
        name: heading of the study; empty where the page is about this study alone.
        points: the most points of a learning curve.
    """
    info = results.info
    summary = summarize(results)
    labels = unique_labels(results)
    spec = info["spec"]
    asked = {text: i for i, text in enumerate(spec["problems"])}
    problems = sorted(summary.problems, key=lambda p: asked.get(p.problem, len(asked)))
    summary = replace(summary, problems=problems)
    views = [_problem_view(results, p, labels, order, points) for p in problems]
    # The summary's profile knows labels as given, which may coincide; then the chart cannot tell them apart.
    profile = charts.performance_profile(summary.profile_tau, summary.profile, order)
    return {
        "name": name,
        "title": _names(list(labels.values()), "method") + " on " + _names([p.label for p in problems], "problem"),
        "verdict": formatting.unbroken(summary.verdict),
        "facts": _facts(info, results),
        "warnings": _warnings(results, summary, labels),
        "overview": _overview(summary, labels, order) if len(problems) > 1 else None,
        "profile": profile,
        "problems": views,
        "methods": [_method_view(results, summary, method, labels, order) for method in labels],
        "rules": rules(spec, len(problems) > 1, any(p.target is not None for p in summary.problems)),
        "environment": dict(info.get("environment", {})),
        "command": info.get("command", ""),
        "created": formatting.moment(str(info.get("created", ""))),
        "labels": [{"label": label, "color": order.index(label)} for label in labels.values()],
    }


def _facts(info: Mapping[str, Any], results: Results) -> list[str]:
    spec = info["spec"]
    tuning = f"{formatting.plural(spec['tune'], 'tuning trial')} each" if spec["tune"] else "defaults only, no tuning"
    return [
        formatting.plural(len(info["methods"]), "method"),
        formatting.plural(len(info["problems"]), "problem"),
        formatting.plural(spec["seeds"], "seed"),
        tuning,
        formatting.plural(len(results.outcomes), "run"),
    ]


def _warnings(results: Results, summary: StudySummary, labels: Mapping[str, str]) -> list[str]:
    spec = results.info["spec"]
    found = []
    if summary.missing:
        planned = results.info.get("planned_runs", 0)
        found.append(
            f"{summary.missing} of {planned} planned runs are not in the store yet. The same command makes them and "
            "keeps those that are there."
        )
    if summary.damaged:
        names = ", ".join(summary.damaged)
        files = formatting.plural(len(summary.damaged), "run file")
        found.append(f"{files} could not be read and count for nothing: {names}.")
    shown = {p.problem: p.label for p in summary.problems}
    failed: dict[str, list[str]] = {}
    for outcome in results.outcomes:
        if outcome.status == "failed":
            where = f"{labels[outcome.method]} on {shown.get(outcome.problem, outcome.problem)}"
            failed.setdefault(where, []).append(outcome.message)
    for where, messages in failed.items():
        runs = formatting.plural(len(messages), "run")
        found.append(f"{where}: {runs} failed with an error. The first: {messages[0]}")
    if spec["seeds"] == 1:
        found.append("One seed for each method: there are no intervals, and no difference can be told from noise.")
    if not spec["tune"]:
        found.append(
            "Without --tune every method runs with its defaults only. A method whose defaults suit these problems has "
            "an advantage that tuning may undo."
        )
    return found


def _overview(summary: StudySummary, labels: Mapping[str, str], order: Sequence[str]) -> View:
    found = {(row.method, p.problem): row for p in summary.problems for row in p.rows}
    rows: list[View] = []
    for name, label in labels.items():
        own = [found.get((name, p.problem)) for p in summary.problems]
        cells = [
            {"text": formatting.DASH, "best": False}
            if row is None
            else {"text": formatting.interval(row.test), "best": row.tied and row.test.n > 0}
            for row in own
        ]
        ranks = [row.rank for row in own if row is not None]
        rows.append({"label": label, "color": order.index(label), "cells": cells, "ranks": ranks})
    rows.sort(key=lambda row: (-len(row["ranks"]), sum(row["ranks"])))
    heads = [{"name": p.label, "metric": p.metric, "better": _better(p.direction)} for p in summary.problems]
    return {"problems": heads, "rows": rows}


def _problem_view(
    results: Results, p: ProblemSummary, labels: Mapping[str, str], order: Sequence[str], points: int
) -> View:
    space: dict[str, str] = {}
    for facts in results.info["methods"].values():
        space = {**facts.get("space", {}), **space}
    trials, axes = series.tuning_trials(results, p, labels)
    found = [
        charts.learning_curves(series.learning_curves(results, p, labels, points), p.unit, p.budget, order, p.target),
        *pictures(results, p, labels, order),
        charts.trade_off(series.costs(p, labels), p.unit, p.metric, order),
        charts.quality_against_memory(series.memory(p, labels), p.metric, order),
        charts.tuning_effort(series.tuning_effort(p, labels), p.metric, order),
        charts.tuning_trials(trials, axes, p.metric, p.direction, space, order),
    ]
    figures = [figure for figure in found if figure is not None]
    if sum(not figure.wide for figure in figures) % 2:
        figures[-1] = replace(figures[-1], wide=True)
    return {
        "name": p.label,
        "typed": p.problem,
        "summary": p.summary,
        "family": p.family,
        "budget": f"{formatting.number(p.budget)} {p.unit}",
        "unit": p.unit,
        "metric": p.metric,
        "better": _better(p.direction),
        "target": None if p.target is None else formatting.number(p.target),
        "verdict": formatting.unbroken(p.verdict),
        "ranking": ranking(results, p, labels, order),
        "figures": figures,
        "trials": [
            {**t, "y": formatting.number(t["y"])} for t in sorted(trials, key=lambda t: (t["method"], t["trial"]))
        ] if len(trials) <= series.MOST_DETAILS else [],
        "tuning": [
            {
                "label": labels[row.method],
                "color": order.index(labels[row.method]),
                "default": _default_value(row),
                "best": formatting.number(row.expected_best[-1]),
                "trials": len(row.expected_best),
                "lost": row.trials_diverged,
            }
            for row in p.rows
            if row.expected_best
        ],
        "runs": [
            {
                "label": labels[row.method],
                "seed": o.seed,
                "status": o.status + (f" at {formatting.number(o.diverged_at)}" if o.status == "diverged" else ""),
                "valid": formatting.number(o.valid),
                "test": formatting.number(o.test),
                "seconds": formatting.seconds(o.seconds),
                "message": o.message,
            }
            for row in p.rows
            for o in results.select(p.problem, row.method)
        ],
    }  # fmt: skip


def _default_value(row: Row) -> str:
    lost = row.by_default is not None and math.isnan(row.by_default)
    return "diverged or failed" if lost else formatting.number(row.by_default)


def _method_view(
    results: Results, summary: StudySummary, method: str, labels: Mapping[str, str], order: Sequence[str]
) -> View:
    facts = results.info["methods"][method]
    used = {p.problem: row.hyper for p in summary.problems for row in p.rows if row.method == method}
    given, space = facts.get("given", {}), facts.get("space", {})
    hyper = []
    fixed: dict[str, Any] = {}
    # What is tuned, the learning rate above all, before what stays fixed.
    rank = {name: (name not in ("lr", "learning_rate"), name not in space) for name in facts.get("defaults", {})}
    for name, default in sorted(facts.get("defaults", {}).items(), key=lambda item: rank[item[0]]):
        values = [used[p.problem].get(name) if p.problem in used else None for p in summary.problems]
        if name not in space and name not in given:
            fixed[name] = default
            continue
        hyper.append(
            {
                "name": name,
                "default": formatting.number(given.get(name, default)),
                "range": "given" if name in given else space[name],
                "used": [
                    {"text": formatting.number(v), "tuned": v is not None and v != given.get(name, default)}
                    for v in values
                ],
            }
        )
    return {
        "label": labels[method],
        "color": order.index(labels[method]),
        "typed": method,
        "summary": facts.get("summary", ""),
        "paper": paper_reference(facts.get("paper")),
        "facts": dict(facts.get("facts", {})),
        "hyper": hyper,
        "fixed": formatting.settings(fixed),
    }


def paper_reference(slug: str | None) -> View | None:
    """Title and arXiv id of a paper of the catalogue; a name that is not in it is shown as it is."""
    from ...papers import get_paper

    if not slug:
        return None
    try:
        paper = get_paper(slug)
    except OptimandError:
        return {"title": slug, "arxiv": None}
    return {"title": paper.title, "arxiv": paper.arxiv}


def _better(direction: str) -> str:
    return "higher is better" if direction == "max" else "lower is better"


def _names(names: Sequence[str], noun: str) -> str:
    if len(names) > 1 and (len(names) > 5 or sum(map(len, names)) > 60):
        return formatting.plural(len(names), noun)
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)
