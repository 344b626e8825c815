"""The charts of the page, declared as Vega-Lite specifications.

A chart's rows lie in named data sets; its switches (axes, metrics, zoom) are JSON merge patches
(RFC 7396) on the specification, so that the page needs no logic of its own. Methods are highlighted
through the parameter ``picked``, colors come from the page's style sheet in the order of the methods.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from . import formatting
from .series import Rows
from .specs import (
    X_TICKS,
    Chart,
    Option,
    Spec,
    Switch,
    axis,
    base,
    dash,
    highlight,
    horizontal,
    invisible_points,
    method_channels,
    named_points,
    quantity,
    replacement,
    shape,
    tooltip,
    with_sides,
)


def learning_curves(
    curves: Mapping[tuple[str, str], Rows], unit: str, budget: int, labels: Sequence[str], target: float | None
) -> Chart | None:
    """Metrics over the budget or over time; the first of ``curves`` is the one that ranks the methods."""
    if not curves:
        return None
    names = {kind: f"{_split(kind[0])} {kind[1]}" for kind in curves}
    first = next(iter(curves))
    logarithmic = _early(curves[first], budget)
    data = {names[kind]: [r for r in rows if r["at"] > 0 or not logarithmic] for kind, rows in curves.items()}

    def axis_y(kind: tuple[str, str]) -> Spec:
        values = [row[key] for row in curves[kind] for key in ("y", "low", "high") if key in row]
        return quantity("y", names[kind], values)

    averaged = any(row["kind"] == "mean" for row in curves[first])
    several = any(row["kind"] == "mean" and row["seeds"] > 1 for row in curves[first])
    lost = any(row["kind"] == "diverged" for row in curves[first])
    repeated = any(row.get("repetitions") for row in curves[first])
    # Layers without any data are left out: their scales would complain in the browser's console.
    layers = [_target_line(target)] if target is not None else []
    layers += [_band()] if several or repeated else []
    layers += [_mean_line(labels)] if averaged else []
    layers += _diverged_lines() if lost else []
    hover = tooltip(("method", "method"), ("at", unit), ("seconds", "seconds"), ("y", "value"), ("seeds", "seeds"))
    layers.append(invisible_points(hover))
    spec = {
        **base(340, data, names[first], f"{names[first]} over {unit}, one line for each method"),
        "encoding": {
            "x": _position(data[names[first]], unit, logarithmic),
            "y": axis_y(first),
            **method_channels(labels),
        },
        "layer": layers,
    }
    # The target is a value of the first metric alone, so the other metrics leave it out.
    without = {"layer": layers[1:]} if target is not None else {}
    metrics = [
        Option(name, {"data": {"name": name}, "encoding": {"y": replacement(axis_y(kind))}, **(without if i else {})})
        for i, (kind, name) in enumerate(names.items())
    ]
    linear = _position(data[names[first]], unit, False)
    axes = [
        Option(unit, {}),
        Option("seconds", {"encoding": {"x": replacement({**linear, "field": "seconds", "title": _SECONDS})}}),
    ]
    if logarithmic:
        axes.insert(1, Option(f"{unit}, linear", {"encoding": {"x": replacement(linear)}}))
    zoom = [
        Option("whole run", {}),
        Option("last half", {"transform": [{"filter": f"datum.at >= {budget / 2!r}"}]}),
    ]
    sentences = [
        "Lines are means over the seeds and their repetitions, bands hold four of five single repetitions." if repeated
        else "Lines are means over the seeds, bands run from the lowest to the highest seed." if several
        else "One seed for each method." if averaged else "",
        "The dotted line is the target." if target is not None else "",
        "Runs that diverged or failed are thin dashed lines that end in a cross." if lost else "",
    ]  # fmt: skip
    caption = " ".join(sentence for sentence in sentences if sentence)
    switches = [Switch("metric", metrics), Switch("horizontal axis", axes), Switch("range", zoom)]
    return Chart("Learning curves", caption, spec, [s for s in switches if len(s.options) > 1], wide=True)


_SECONDS = "seconds charged to the method"


def _early(rows: Rows, budget: int) -> bool:
    """Whether most positions lie in the first twentieth of the budget, as where they are spaced by ratios."""
    positions = {row["at"] for row in rows if row["at"] > 0}
    return sum(at <= budget / 20 for at in positions) > len(positions) / 2


def _position(rows: Rows, unit: str, logarithmic: bool) -> Spec:
    """The channel of the position in the budget."""
    channel: Spec = {"field": "at", "type": "quantitative", "title": unit, "axis": X_TICKS, "scale": {"nice": False}}
    if logarithmic:
        scale = {"type": "log", "nice": False}
        channel.update(scale=scale, axis=axis(scale, [row["at"] for row in rows]))
    return channel


def _target_line(target: float) -> Spec:
    return {
        # One row is enough, whatever the data; a filter that leaves none takes the line away.
        "transform": [{"aggregate": [{"op": "count", "as": "n"}]}, {"calculate": repr(float(target)), "as": "y"}],
        "mark": {"type": "rule", "strokeDash": [2, 3], "strokeWidth": 1.25, "tooltip": f"target {target:g}"},
        "encoding": {
            "x": {"value": 0},
            "x2": {"value": "width"},
            "color": {"value": "gray"},
            "opacity": {"value": 0.9},
        },
    }


def _band() -> Spec:
    return {
        "transform": [{"filter": "datum.kind == 'mean' && datum.seeds > 1"}],
        "mark": {"type": "area", "clip": True},
        "encoding": {"y": {"field": "low"}, "y2": {"field": "high"}, "opacity": highlight(0.16, 0.02)},
    }


def _mean_line(labels: Sequence[str]) -> Spec:
    return {
        "transform": [{"filter": "datum.kind == 'mean'"}],
        "mark": {"type": "line", "strokeWidth": 2, "clip": True},
        "encoding": {"strokeDash": dash(labels)},
    }


def _diverged_lines() -> list[Spec]:
    return [
        {
            "transform": [{"filter": "datum.kind == 'diverged'"}],
            "mark": {"type": "line", "strokeWidth": 1, "clip": True},
            "encoding": {"detail": {"field": "run"}, "strokeDash": {"value": [3, 3]}},
        },
        {
            "transform": [{"filter": "datum.end === true"}],
            "mark": {"type": "point", "shape": "cross", "angle": 45, "size": 70, "filled": True},
        },
    ]


def trade_off(costs: Mapping[str, Rows], unit: str, metric: str, labels: Sequence[str]) -> Chart | None:
    """Final test metric against a measured cost, with its interval."""
    if not costs:
        return None
    titles = {name: formatting.cost_title(name, unit) for name in costs}
    first = next(iter(costs))
    data: dict[str, Rows] = {}
    axes: dict[str, Spec] = {}
    for name, rows in costs.items():
        factor, symbol = formatting.axis_unit(name, max(row["x"] for row in rows))
        values = [row["x"] / factor for row in rows]
        title = f"{titles[name]} ({symbol})" if symbol else titles[name]
        axes[name] = horizontal(quantity("x", title, values, padding=24))
        data[name] = with_sides([{**row, "x": x} for row, x in zip(rows, values, strict=True)], axes[name])
    hover = tooltip(("method", "method"), ("cost", "cost"), ("y", f"test {metric}"), ("low", "from"), ("high", "to"))
    layers = named_points(labels, len(costs[first]))
    extremes = [row[key] for row in costs[first] for key in ("y", "low", "high")]
    spec = {
        **base(280, data, first, f"test {metric} against {titles[first]}, one point for each method"),
        "encoding": {
            "x": axes[first],
            "y": quantity("y", f"test {metric}", extremes, padding=10),
            **method_channels(labels),
            "tooltip": hover,
        },
        "layer": layers,
    }
    options = [
        Option(titles[name], {"data": {"name": name}, "encoding": {"x": replacement(axes[name])}}) for name in costs
    ]
    caption = "Medians over the seeds; bars are the intervals of the test value."
    return Chart("What it costs", caption, spec, [Switch("cost", options)] if len(options) > 1 else [])


def quality_against_memory(found: Mapping[str, Rows], metric: str, labels: Sequence[str]) -> Chart | None:
    """Final value of the metric against the optimizer's state in bytes, one point for each method.

    Args:
        found: rows by split, as :func:`optimand.lab.report.series.memory` gives them; empty for no picture.
        metric: the problem's metric.
        labels: labels of all methods of the page.
    """
    if not found:
        return None
    first = next(iter(found))
    data: dict[str, Rows] = {}
    vertical: dict[str, Spec] = {}
    # One axis for all splits: of some methods the value in one of them is not a number.
    states = [row["x"] for rows in found.values() for row in rows]
    factor, unit = formatting.axis_unit("state_bytes", max(states))
    title = f"optimizer state ({unit})"
    across = horizontal(quantity("x", title, [x / factor for x in states], padding=24))
    for split, rows in found.items():
        data[_split(split)] = with_sides([{**row, "x": row["x"] / factor} for row in rows], across)
        extremes = [row[key] for row in rows for key in ("y", "low", "high")]
        vertical[split] = quantity("y", f"{_split(split)} {metric}", extremes, padding=10)
    hover = tooltip(("method", "method"), ("cost", "state"), ("y", metric), ("low", "from"), ("high", "to"))
    front = {
        "transform": [{"filter": "datum.front"}],
        "mark": {"type": "line", "interpolate": "step-after", "strokeDash": [2, 3], "strokeWidth": 1.25},
        "encoding": {"color": {"value": "gray"}, "opacity": {"value": 0.9}, "tooltip": None},
    }
    spec = {
        **base(280, data, _split(first), f"{metric} against the optimizer's state, one point for each method"),
        "encoding": {"x": across, "y": vertical[first], **method_channels(labels), "tooltip": hover},
        "layer": [*([front] if sum(row["front"] for row in found[first]) > 1 else []),
                  *named_points(labels, len(found[first]))],
    }  # fmt: skip
    options = [
        Option(_split(split), {"data": {"name": _split(split)}, "encoding": {"y": replacement(vertical[split])}})
        for split in found
    ]
    caption = (
        "Memory of the optimizer's state at the end of a run; bars are intervals. The dotted line joins the methods "
        "that no other beats in both."
    )
    return Chart("Quality against memory", caption, spec, [Switch("split", options)] if len(options) > 1 else [])


def tuning_effort(rows: Rows, metric: str, labels: Sequence[str]) -> Chart | None:
    """Expected best validation value over the number of tuning trials, the defaults marked."""
    if not rows:
        return None
    most = max(row["trials"] for row in rows)
    spec = {
        **base(280, {"trials": rows}, "trials", f"expected best validation {metric} after 1, 2, … tuning trials"),
        "encoding": {
            "x": {
                "field": "trials",
                "type": "quantitative",
                "title": "tuning trials",
                "axis": {"values": list(range(1, most + 1, -(-most // 10))), "format": "d"},
                "scale": {"nice": False, "zero": False, "padding": 12},
            },
            "y": quantity("y", f"best validation {metric}", [row["y"] for row in rows], padding=10),
            **method_channels(labels),
        },
        "layer": [
            {"mark": {"type": "line", "strokeWidth": 2}, "encoding": {"strokeDash": dash(labels)}},
            {
                "transform": [{"filter": "datum.default"}],
                "mark": {"type": "point", "shape": "diamond", "size": 110, "filled": True},
            },
            invisible_points(tooltip(("method", "method"), ("trials", "trials"), ("y", "expected best"))),
        ],
    }
    caption = (
        "The best validation value to expect from so many trials. Diamonds are the defaults, the first trial. "
        "A flat line belongs to a method whose defaults no other trial beat, a line that starts late to one whose "
        "defaults diverged."
    )
    return Chart("What tuning buys", caption, spec)


def tuning_trials(
    rows: Rows, axes: Mapping[str, str], metric: str, direction: str, space: Mapping[str, str], labels: Sequence[str]
) -> Chart | None:
    """Validation metric of every tuning trial against one hyperparameter; diverged trials lie on the bad edge."""
    if not axes:
        return None

    def axis_x(name: str) -> Spec:
        values = [row[axes[name]] for row in rows if axes[name] in row]
        channel = quantity(axes[name], name, values, padding=12)
        if "(log)" in space.get(name, "") and min(values) > 0:
            channel["scale"] = {"type": "log", "nice": False, "padding": 12}
            channel["axis"] = axis(channel["scale"], values)
        return horizontal(channel)

    hover = [("method", "method"), ("y", f"validation {metric}"), ("trial", "trial"), ("status", "ended")]
    if any(row["settings"] for row in rows):
        hover.append(("settings", "with"))
    first = next(iter(axes))
    vertical = {"y": quantity("y", f"validation {metric}", [row["y"] for row in rows], padding=14)}
    lost = [math.isnan(row["y"]) for row in rows]
    layers: list[tuple[bool, Spec]] = [
        (
            any(not row["chosen"] and not gone for row, gone in zip(rows, lost, strict=True)),
            {
                "transform": [{"filter": "isValid(datum.y) && !datum.chosen"}],
                "mark": {"type": "point", "size": 45, "filled": True, "fillOpacity": 0.75},
                "encoding": {**vertical, "shape": shape(labels)},
            },
        ),
        (
            any(row["chosen"] and not gone for row, gone in zip(rows, lost, strict=True)),
            {
                "transform": [{"filter": "isValid(datum.y) && datum.chosen"}],
                "mark": {"type": "point", "shape": "diamond", "size": 170, "filled": True, "stroke": "gray"},
                "encoding": vertical,
            },
        ),
        (
            any(lost),
            {
                "transform": [{"filter": "!isValid(datum.y)"}],
                "mark": {"type": "point", "shape": "cross", "angle": 45, "size": 60, "filled": True},
                "encoding": {"y": {"value": "height" if direction == "max" else 0}},
            },
        ),
    ]
    spec = {
        **base(280, {"trials": rows}, "trials", f"validation {metric} of all tuning trials against {first}"),
        "encoding": {"x": axis_x(first), **method_channels(labels), "tooltip": tooltip(*hover)},
        "layer": [layer for found, layer in layers if found],
    }
    options = [Option(name, {"encoding": {"x": replacement(axis_x(name))}}) for name in axes]
    edge = "lower" if direction == "max" else "upper"
    caption = "Every trial of every method. Large diamonds were chosen for the final runs." + (
        f" Crosses at the {edge} edge diverged or failed." if any(lost) else ""
    )
    return Chart("Tuning trials", caption, spec, [Switch("against", options)] if len(options) > 1 else [])


def performance_profile(
    tau: Sequence[float], shares: Mapping[str, Sequence[float]], labels: Sequence[str]
) -> Chart | None:
    """Share of the problems whose target is reached within tau times the budget of the fastest method."""
    if not len(tau) or not shares:
        return None
    # Lines that coincide lie side by side instead of hiding each other.
    shift = min(0.01, 0.06 / len(shares))
    rows = [
        {"method": label, "tau": t, "share": s, "shown": s + (i - (len(shares) - 1) / 2) * shift}
        for i, (label, values) in enumerate(shares.items())
        for t, s in zip(tau, values, strict=True)
    ]
    spec = {
        **base(280, {"profile": rows}, "profile", "performance profile of budget to target over the problems"),
        "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 2},
        "encoding": {
            "x": {
                "field": "tau",
                "type": "quantitative",
                "title": "times the budget of the fastest method",
                "scale": {"type": "log", "nice": False},
                "axis": {"values": [1, 1.5, 2, 3, 5, 7, 10], "format": "~g"},
            },
            "y": {
                "field": "shown",
                "type": "quantitative",
                "title": "problems at their target",
                "scale": {"domain": [-0.04, 1.04], "nice": False},
                "axis": {"format": ".0%", "values": [0, 0.25, 0.5, 0.75, 1]},
            },
            **method_channels(labels),
            "strokeDash": dash(labels),
            "tooltip": tooltip(("method", "method"), ("tau", "times the fastest"), ("share", "share of problems")),
        },
    }
    caption = (
        "Share of the problems whose target a method reaches within so many times the budget of the fastest one. "
        "Higher is better."
    )
    return Chart("Performance profile", caption, spec)


def _split(split: str) -> str:
    return {"valid": "validation", "train": "training"}.get(split, split)
