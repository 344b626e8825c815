"""What runs looked like: their pictures as charts, one method at a time or all side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from ...core.pictures import Rectangles, Values, from_plain
from ...core.validation import OptimandError
from ..store import Outcome, Results
from ..summary import ProblemSummary
from .series import Rows
from .specs import X_TICKS, Chart, Option, Spec, Switch, base, method_channels, tooltip

_ROW = 34  # height of one method's row of values


def pictures(results: Results, problem: ProblemSummary, labels: Mapping[str, str], order: Sequence[str]) -> list[Chart]:
    """The charts of all pictures that the final runs on a problem left, best method first.

    Each method shows its run of median test value, so that no method is judged by its luckiest seed. Pictures that
    cannot be read are left out.

    Args:
        results: as stored.
        problem: the problem with its ranked methods.
        labels: label of each method as typed.
        order: labels of all methods of the page, for their colors.
    """
    found: dict[str, dict[str, Rectangles | Values]] = {}
    for row in problem.rows:
        runs = [run for run in results.select(problem.problem, row.method) if run.status == "ok" and run.pictures]
        if not runs:
            continue
        for name, plain in _median_run(runs).pictures.items():
            try:
                found.setdefault(name, {})[labels[row.method]] = from_plain(plain)
            except OptimandError:
                continue
    charts = []
    for name, drawn in found.items():
        layouts = {label: p for label, p in drawn.items() if isinstance(p, Rectangles)}
        values = {label: p for label, p in drawn.items() if isinstance(p, Values)}
        if layouts:
            charts.append(_rectangles(name, layouts))
        if values:
            charts.append(_values(name, values, order))
    return charts


def _median_run(runs: Sequence[Outcome]) -> Outcome:
    middle = median(run.test for run in runs)
    return min(runs, key=lambda run: (abs(run.test - middle), run.seed))


def _rectangles(heading: str, layouts: Mapping[str, Rectangles]) -> Chart:
    """Rectangles in a plane; a switch chooses the method."""
    first = next(iter(layouts.values()))
    groups = list(dict.fromkeys(group for p in layouts.values() for *_, group in p.rectangles))
    data: dict[str, Rows] = {}
    for label, picture in layouts.items():
        data[label] = [
            {"x": x0, "x2": x1, "y": y0, "y2": y1, "name": name, "group": group}
            for x0, x1, y0, y1, name, group in picture.rectangles
        ]
    sides = [[side for r in p.rectangles for side in r[:4]] for p in layouts.values()]
    width = max(max(s[1::4]) for s in sides)
    start = min(min(s[0::4]) for s in sides)
    height = max([*(max(s[3::4]) for s in sides), *(p.limit for p in layouts.values() if p.limit is not None)])
    layers: list[Spec] = [
        {
            "mark": {"type": "rect", "stroke": "white", "strokeWidth": 0.6, "fillOpacity": 0.85, "clip": True},
            "encoding": {
                "x": {"field": "x", "type": "quantitative", "title": first.x_title, "axis": X_TICKS,
                      "scale": {"domain": [start, width], "nice": False}},
                "x2": {"field": "x2"},
                "y": {"field": "y", "type": "quantitative", "title": first.y_title, "axis": {"tickCount": 6},
                      "scale": {"domain": [0, height], "nice": False}},
                "y2": {"field": "y2"},
                "color": {"field": "group", "type": "nominal", "title": None, "scale": {"domain": groups},
                          "legend": {"orient": "top"} if len(groups) > 1 else None},
                "tooltip": [
                    {"field": "name", "title": "what"}, {"field": "group", "title": "kind"},
                    *tooltip(("x", f"{first.x_title} from"), ("x2", "to"), ("y", f"{first.y_title} from"), ("y2", "to"),
                             format=",.12~g"),
                ],
            },
        }
    ]  # fmt: skip
    if first.limit is not None:
        layers.append(
            {
                "data": {"values": [{"limit": first.limit}]},
                "mark": {"type": "rule", "strokeDash": [4, 3], "strokeWidth": 1.25, "color": "gray"},
                "encoding": {"y": {"field": "limit", "type": "quantitative"}},
            }
        )
    names = list(layouts)
    titles = {name: {"text": picture.title, "anchor": "start", "fontSize": 12} for name, picture in layouts.items()}
    spec = {**base(340, data, names[0], f"{heading} of one method"), "title": titles[names[0]], "layer": layers}
    options = [Option(name, {"data": {"name": name}, "title": titles[name]}) for name in names]
    caption = "The run of median test value of each method." + (
        " The dashed line is the limit." if first.limit is not None else ""
    )
    switches = [Switch("method", options)] if len(options) > 1 else []
    return Chart(_sentence(heading), caption, spec, switches, wide=True)


def _values(heading: str, found: Mapping[str, Values], order: Sequence[str]) -> Chart:
    """All single values of each method's run as ticks, the median and the best marked."""
    first = next(iter(found.values()))
    rows: Rows = [
        {"method": label, "x": value, "kind": "one", "rank": rank}
        for label, picture in found.items()
        for rank, value in enumerate(picture.values, start=1)
    ]
    rows += [
        {"method": label, "x": median(picture.values), "kind": "median", "rank": None}
        for label, picture in found.items()
    ]
    channel: Spec = {"field": "method", "type": "nominal", "title": None, "sort": list(found),
                     "axis": {"labelLimit": 150, "domain": False, "ticks": False}}  # fmt: skip
    spec = {
        **base(_ROW * len(found) + 50, {"values": rows}, "values", f"{heading} of each method"),
        "encoding": {
            "x": {
                "field": "x", "type": "quantitative", "title": first.value_title, "axis": X_TICKS,
                "scale": {"zero": False, "nice": True},
            },
            "y": channel,
            **method_channels(order),
        },
        "layer": [
            {
                "transform": [{"filter": "datum.kind == 'one'"}],
                "mark": {"type": "tick", "thickness": 1.5, "size": 18},
                "encoding": {"tooltip": tooltip(("method", "method"), ("x", first.value_title), ("rank", "place"))},
            },
            {
                "transform": [{"filter": "datum.kind == 'median'"}],
                "mark": {"type": "point", "shape": "diamond", "size": 120, "filled": True, "stroke": "gray"},
                "encoding": {"tooltip": tooltip(("method", "method"), ("x", "median"))},
            },
        ],
    }  # fmt: skip
    caption = "All values of the run of median test value of each method; diamonds are their medians."
    return Chart(_sentence(heading), caption, spec, wide=True)


def _sentence(title: str) -> str:
    return title[:1].upper() + title[1:]
