"""What all charts share: the figure with its switches, scales that fit their values, channels for methods."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .series import Rows

Spec = dict[str, Any]

COLORS = 8  # hues in the style sheet; further methods repeat them with other dashes and shapes
DASHES = ([1, 0], [7, 3], [2, 2], [8, 3, 2, 3])
SHAPES = ("circle", "square", "triangle-up", "diamond")
X_TICKS: Spec = {"tickCount": {"expr": "max(2, floor(width / 90))"}, "labelOverlap": "greedy"}
MOST_NAMES = 10  # methods whose names are written beside their points
WIDE = 30.0  # ratio of largest to smallest value from which an axis is logarithmic


@dataclass(frozen=True)
class Option:
    """One position of a switch: what the reader sees and the merge patch that it applies."""

    label: str
    patch: Spec


@dataclass(frozen=True)
class Switch:
    """A choice above a chart; the first option is what the specification shows."""

    name: str
    options: Sequence[Option]


@dataclass(frozen=True)
class Chart:
    """A figure: heading, one sentence on how to read it, the specification and its switches."""

    title: str
    caption: str
    spec: Spec
    switches: Sequence[Switch] = field(default=())
    wide: bool = False


def scale_for(values: Sequence[float], **more: Any) -> Spec:
    """The scale for values: logarithmic where they span more than ``WIDE``, symmetric-log with signs, else linear."""
    finite = [v for v in values if v is not None and math.isfinite(v)]
    if finite and min(finite) > 0 and max(finite) / min(finite) > WIDE:
        return {"type": "log", "nice": False, **more}
    sizes = sorted(abs(v) for v in finite if v != 0)
    if sizes and sizes[-1] / sizes[len(sizes) // 2] > WIDE**2:
        return {"type": "symlog", "constant": sizes[len(sizes) // 2], **more}
    return {"type": "linear", "zero": False, **more}


def axis(scale: Spec, values: Sequence[float]) -> Spec:
    """Ticks and labels of an axis with this scale."""
    positive = [v for v in values if v is not None and math.isfinite(v) and v > 0]
    if scale["type"] != "log" or not positive:
        return {"tickCount": 5, "labelOverlap": True}
    ticks = log_ticks(min(positive), max(positive))
    plain = min(positive) > 1e-4 and max(positive) < 1e5
    return {"values": ticks, "format": "~g" if plain else "~e", "labelOverlap": "greedy"}


def log_ticks(low: float, high: float) -> list[float]:
    """Ticks around ``[low, high]``: round multiples over few decades, sparse powers of ten over many."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    decades = math.log10(high / low)
    steps = (1, 2, 3, 5, 7) if decades < 1.6 else (1, 2, 5) if decades < 3 else (1,)
    stride = max(1, math.ceil((last - first) / 8))
    # Parsing gives the nearest double, where multiplying powers of ten would leave a tail of digits.
    return [float(f"{step}e{power}") for power in range(first, last + 1, stride) for step in steps]


def quantity(field_name: str, title: str, values: Sequence[float], **scale: Any) -> Spec:
    """A quantitative channel with the scale that its values want."""
    chosen = scale_for(values, **scale)
    return {"field": field_name, "type": "quantitative", "title": title, "scale": chosen, "axis": axis(chosen, values)}


def horizontal(channel: Spec) -> Spec:
    """The channel with as many ticks as the width of the chart has room for."""
    return {**channel, "axis": {**channel["axis"], **X_TICKS}}


def replacement(channel: Spec) -> Spec:
    """A merge patch that puts this channel in the place of another one, leaving nothing of its scale and axis."""
    return {
        **channel,
        "scale": {"constant": None, "zero": None, "nice": None, **channel["scale"]},
        "axis": {"format": None, "values": None, **channel["axis"]},
    }


def base(height: int, data: Mapping[str, Rows], first: str, description: str) -> Spec:
    """The frame of every chart: size, data sets (``first`` is shown), the methods picked by the reader."""
    return {
        "description": description,
        "width": "container",
        "height": height,
        "autosize": {"type": "fit", "contains": "padding"},
        "datasets": dict(data),
        "data": {"name": first},
        "params": [{"name": "picked", "value": []}],
    }


def method_channels(labels: Sequence[str]) -> Spec:
    """Color by method in the order of ``labels``, pale where other methods are picked."""
    return {
        "color": {"field": "method", "type": "nominal", "scale": {"domain": list(labels)}, "legend": None},
        "opacity": highlight(1.0, 0.12),
    }


def dash(labels: Sequence[str]) -> Spec:
    """Line dashes that tell apart methods of the same color."""
    dashes = [DASHES[i // COLORS % len(DASHES)] for i in range(len(labels))]
    scale = {"domain": list(labels), "range": dashes}
    return {"field": "method", "type": "nominal", "scale": scale, "legend": None}


def shape(labels: Sequence[str]) -> Spec:
    """Point shapes that tell apart methods of the same color."""
    shapes = [SHAPES[i // COLORS % len(SHAPES)] for i in range(len(labels))]
    return {"field": "method", "type": "nominal", "scale": {"domain": list(labels), "range": shapes}, "legend": None}


def highlight(on: float, off: float) -> Spec:
    """Opacity of picked methods (all, while none is picked) and of the others."""
    test = "length(picked) == 0 || indexof(picked, datum.method) >= 0"
    return {"condition": {"test": test, "value": on}, "value": off}


def invisible_points(hover: list[Spec]) -> Spec:
    """A layer of points that are easy to hit and carry the tooltips."""
    return {
        "mark": {"type": "point", "size": 120, "filled": True, "clip": True},
        "encoding": {"opacity": {"value": 0}, "tooltip": hover},
    }


def with_sides(rows: Rows, channel: Spec) -> Rows:
    """The rows with ``left``: whether a point's name stands to its left, so that none leaves the chart."""
    values = [row["x"] for row in rows]
    middle = (min(values) + max(values)) / 2
    if channel["scale"]["type"] == "log":
        middle = math.sqrt(min(values) * max(values))
    return [{**row, "left": row["x"] > middle} for row in rows]


def named_points(labels: Sequence[str], count: int) -> list[Spec]:
    """Layers of points with intervals (``low``, ``high``) and, for few methods, their names beside them."""
    layers: list[Spec] = [
        {"mark": {"type": "rule", "strokeWidth": 1.5}, "encoding": {"y": {"field": "low"}, "y2": {"field": "high"}}},
        {"mark": {"type": "point", "size": 90, "filled": True}, "encoding": {"shape": shape(labels)}},
    ]
    if count <= MOST_NAMES:
        layers += [
            {
                "transform": [{"filter": f"datum.left == {value}"}],
                "mark": {"type": "text", "align": align, "dx": dx, "dy": -8, "limit": 130},
                "encoding": {"text": {"field": "method"}, "tooltip": None},
            }
            for value, align, dx in (("false", "left", 9), ("true", "right", -9))
        ]
    return layers


def tooltip(*fields: tuple[str, str], format: str = ".4~g") -> list[Spec]:
    """Tooltip channels from pairs of field and title; text fields are shown as they are."""
    texts = {"method", "run", "settings", "status", "cost", "trial", "seeds"}
    return [
        {"field": name, "title": title, **({} if name in texts else {"type": "quantitative", "format": format})}
        for name, title in fields
    ]
