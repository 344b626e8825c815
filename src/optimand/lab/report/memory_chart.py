"""The picture of quality against memory: what a method's state buys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from . import formatting
from .series import Rows
from .specs import (
    Chart,
    Option,
    Spec,
    Switch,
    base,
    horizontal,
    method_channels,
    named_points,
    quantity,
    replacement,
    tooltip,
    with_sides,
)

_SPLITS = {"test": "test", "valid": "validation"}


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
        data[_SPLITS[split]] = with_sides([{**row, "x": row["x"] / factor} for row in rows], across)
        extremes = [row[key] for row in rows for key in ("y", "low", "high")]
        vertical[split] = quantity("y", f"{_SPLITS[split]} {metric}", extremes, padding=10)
    hover = tooltip(("method", "method"), ("cost", "state"), ("y", metric), ("low", "from"), ("high", "to"))
    front = {
        "transform": [{"filter": "datum.front"}],
        "mark": {"type": "line", "interpolate": "step-after", "strokeDash": [2, 3], "strokeWidth": 1.25},
        "encoding": {"color": {"value": "gray"}, "opacity": {"value": 0.9}, "tooltip": None},
    }
    spec = {
        **base(280, data, _SPLITS[first], f"{metric} against the optimizer's state, one point for each method"),
        "encoding": {"x": across, "y": vertical[first], **method_channels(labels), "tooltip": hover},
        "layer": [*([front] if sum(row["front"] for row in found[first]) > 1 else []),
                  *named_points(labels, len(found[first]))],
    }  # fmt: skip
    options = [
        Option(_SPLITS[split], {"data": {"name": _SPLITS[split]}, "encoding": {"y": replacement(vertical[split])}})
        for split in found
    ]
    caption = (
        "Memory of the optimizer's state at the end of a run; bars are intervals. The dotted line joins the methods "
        "that no other beats in both."
    )
    return Chart("Quality against memory", caption, spec, [Switch("split", options)] if len(options) > 1 else [])
