"""Pictures of traces: an SVG, and a page on which a node shows its value, description and feedback.

Parameters, inputs, outputs and exceptions differ in shape and line as well as in color. All texts are escaped, cut to a
stated length, and cleared of what looks like a secret.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from optimand.core.validation import check_choice, check_int
from optimand.language.llm.secrets import redact

from .layout import Layout
from .roles import Roles, value_summary

if TYPE_CHECKING:
    from .base import Node
    from .graph import TraceGraph

WIDTH, HEIGHT, GAP, STEP, MARGIN = 138, 44, 16, 46, 16
KINDS = {"variable": "parameter", "input": "input", "other": "computed", "output": "output", "exception": "exception"}

_STYLE = """
.trace { font: 12px ui-sans-serif, system-ui, sans-serif; }
.trace text { fill: #1d2530; }
.trace .name { font-weight: 600; }
.trace .value { fill: #4b5563; font-family: ui-monospace, monospace; font-size: 11px; }
.trace .edge { fill: none; stroke: #8a94a3; stroke-width: 1.2; }
.trace .hidden-edge { stroke-dasharray: 2 3; }
.trace .tip { fill: #8a94a3; }
.trace rect { fill: #ffffff; stroke: #8a94a3; stroke-width: 1.2; }
.trace .variable rect { fill: #fdf0d5; stroke: #b45309; stroke-width: 2.4; }
.trace .input rect { fill: #eef1f5; stroke: #8a94a3; stroke-dasharray: 5 3; }
.trace .output rect { fill: #dcf3e4; stroke: #15803d; stroke-width: 2; }
.trace .exception rect { fill: #fde4e4; stroke: #b91c1c; stroke-width: 2.4; stroke-dasharray: 9 3; }
.trace g.node:focus rect, .trace g.node:hover rect { stroke-width: 3.2; }
.trace g.node:focus { outline: none; }
"""


def to_svg(graph: TraceGraph, *, direction: str = "down", limit: int = 300) -> str:
    """The graph as an SVG picture.

    Args:
        graph: what to draw.
        direction: ``down`` or ``right``: where levels grow.
        limit: most characters of a value in the text that appears over a node, >= 20.

    Returns:
        An ``<svg>`` element with its style, without references to anything outside.

    Example:
        >>> from optimand.language.workflows.tracing.nodes import node
        >>> from optimand.language.workflows.tracing.graph import trace_of
        >>> to_svg(trace_of(node(1, name="x") + 1)).startswith("<svg ")
        True
    """
    check_choice("direction", direction, ("down", "right"))
    check_int("limit", limit, low=20)
    roles = graph.roles()
    parents: dict[Hashable, list[Hashable]] = {
        id(item): [id(parent) for parent in _drawn_parents(graph, item)] for item in graph.nodes
    }
    right = direction == "right"
    along, across = (HEIGHT, WIDTH) if right else (WIDTH, HEIGHT)
    layout = Layout(_after_parents(graph, parents), parents, along, GAP)
    kinds = dict.fromkeys(roles.of(item) for item in graph.nodes)

    def point(item: Any, layer: int) -> tuple[float, float]:
        a, b = layout.place[item] + MARGIN, layer * (across + STEP) + across / 2 + MARGIN
        return (b, a) if right else (a, b)

    edges, boxes = [], []
    for item in graph.nodes:
        hidden = {id(parameter) for parameter in item.hidden} - {id(parent) for parent in item._inputs.values()}
        for parent in parents[id(item)]:
            way = layout.ways[parent, id(item)]
            start = layout.layer[parent]
            edges.append(_edge([point(bend, start + i) for i, bend in enumerate(way)], right, parent in hidden))
        boxes.append(_box(graph, roles, item, point(id(item), layout.layer[id(item)]), limit))
    span = max((layout.place[id(item)] + along / 2 for item in graph.nodes), default=0.0)
    depth = len(layout.layers) * (across + STEP) - STEP
    width, height = (depth, span) if right else (span, depth)
    legend = _legend(kinds, height + 2 * MARGIN)
    width = max(width + 2 * MARGIN, 14 + 116 * len(kinds))
    height = height + 2 * MARGIN + 30
    return (
        f'<svg class="trace" xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="graph of {len(graph)} nodes">'
        f"<style>{_STYLE}</style>{''.join(edges)}{''.join(boxes)}{legend}</svg>"
    )


def to_html(graph: TraceGraph, *, page: bool = True, direction: str = "down", limit: int = 2000) -> str:
    """The graph as a page: the picture, what a node holds where the pointer or the focus is, and the program.

    Args:
        graph: what to show.
        page: a whole page; else a piece to be put into one, as notebooks do.
        direction, limit: as of :func:`to_svg`.

    Returns:
        HTML that needs nothing from elsewhere.
    """
    roles = graph.roles()
    feedback = "" if graph.feedback is None else _clean(graph.feedback, limit)
    code = "\n".join(roles.code)
    body = (
        f'<div class="trace-view"><style>{_PAGE_STYLE}</style>'
        + (f'<p class="trace-feedback"><b>Feedback</b> {escape(feedback)}</p>' if feedback else "")
        + f'<div class="trace-both"><div class="trace-picture">{to_svg(graph, direction=direction, limit=limit)}</div>'
        '<aside class="trace-details" aria-live="polite">Point at a node, or step to it with the tab key.</aside></div>'
        + (f"<details><summary>Program</summary><pre>{escape(redact(code))}</pre></details>" if code else "")
        + f"<script>{_SCRIPT}</script></div>"
    )
    if not page:
        return body
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Trace</title>'
        '<meta name="viewport" content="width=device-width"></head><body style="margin:16px">'
        + body
        + "</body></html>\n"
    )


def _drawn_parents(graph: TraceGraph, item: Node) -> Iterator[Node]:
    seen = set()
    for parent in (*item._inputs.values(), *item.hidden):
        if parent in graph and id(parent) not in seen:
            seen.add(id(parent))
            yield parent


def _after_parents(graph: TraceGraph, parents: dict[Hashable, list[Hashable]]) -> list[Hashable]:
    """The nodes, each after its parents; hidden parameters may be younger than their level says."""
    roots: list[Hashable] = [id(item) for item in graph.nodes if not parents[id(item)]]
    rest = sorted((item for item in graph.nodes if parents[id(item)]), key=lambda item: item._serial)
    return roots + [id(item) for item in rest]


def _edge(points: list[tuple[float, float]], right: bool, hidden: bool) -> str:
    """A curve from layer to layer, straight between the boxes of the layers that it crosses."""
    half = (WIDTH if right else HEIGHT) / 2
    ends = []
    for i, (x, y) in enumerate(points):
        into = half + 5 if i == len(points) - 1 else half
        a, b = (x, y) if right else (y, x)
        ends.append((a - into, a + half, b))
    path = f"M{_at(ends[0][1], ends[0][2], right)}"
    for i, ((_, leave, b), (enter, beyond, c)) in enumerate(pairwise(ends), start=2):
        middle = (leave + enter) / 2
        path += f"C{_at(middle, b, right)} {_at(middle, c, right)} {_at(enter, c, right)}"
        path += f"L{_at(beyond, c, right)}" if i < len(ends) else ""
    a, b = ends[-1][0], ends[-1][2]
    tip = f"M{_at(a - 1, b - 4, right)}L{_at(a + 6, b, right)}L{_at(a - 1, b + 4, right)}z"
    style = "edge hidden-edge" if hidden else "edge"
    return f'<path class="{style}" d="{path}"/><path class="tip" d="{tip}"/>'


def _at(along: float, across: float, right: bool) -> str:
    return f"{along:.1f},{across:.1f}" if right else f"{across:.1f},{along:.1f}"


def _box(graph: TraceGraph, roles: Roles, item: Node, at: tuple[float, float], limit: int) -> str:
    kind = roles.of(item)
    x, y = at[0] - WIDTH / 2, at[1] - HEIGHT / 2
    name = graph.name(item)
    value = _clean(item._data, limit)
    about = redact(item.description)
    told = _feedback_text(item, limit)
    title = f"{name} ({KINDS[kind]})\n{value}\n{about}" + (f"\n{told}" if told else "")
    radius = {"variable": HEIGHT / 2, "output": 2, "exception": 2}.get(kind, 8)
    box = f'<rect x="{x:.1f}" y="{y:.1f}" width="{WIDTH}" height="{HEIGHT}" rx="{radius:g}"/>'
    if kind == "output":
        box += f'<rect x="{x + 3:.1f}" y="{y + 3:.1f}" width="{WIDTH - 6}" height="{HEIGHT - 6}" rx="2"/>'
    renamed = item._op is not None and kind != "input" and item._op.name not in (item._base, "exception")
    operator = f" = {item._op.name}(…)" if renamed and item._op is not None else ""
    facts = {"name": name, "kind": KINDS[kind], "value": value, "about": about, "feedback": told}
    data = "".join(f' data-{key}="{escape(text)}"' for key, text in facts.items())
    return (
        f'<g class="node {kind}" tabindex="0"{data}><title>{escape(title)}</title>{box}'
        f'<text class="name" text-anchor="middle" x="{at[0]:.1f}" y="{at[1] - 4:.1f}">'
        f"{escape(_cut(name + operator, 19))}</text>"
        f'<text class="value" text-anchor="middle" x="{at[0]:.1f}" y="{at[1] + 12:.1f}">'
        f"{escape(_cut(_short(item._data), 18))}</text></g>"
    )


def _feedback_text(item: Node, limit: int) -> str:
    parts = []
    for child, messages in item.feedback.items():
        for message in messages:
            content = getattr(message, "feedback", message)
            parts.append(f"{child.py_name}: {_clean(content, limit)}")
    return "\n".join(parts)


def _clean(value: Any, limit: int) -> str:
    if isinstance(value, str):
        text = redact(value)
        return text if len(text) <= limit else f"{text[:limit]} … {len(text) - limit} characters more"
    return redact(value_summary(value, limit))


def _short(value: Any) -> str:
    text = redact(value) if isinstance(value, str) else redact(value_summary(value, 400))
    return " ".join(text.split()) or repr(value)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _legend(kinds: dict[str, Any], y: float) -> str:
    parts = []
    for i, kind in enumerate(kind for kind in KINDS if kind in kinds):
        x = 10 + 116 * i
        radius = {"variable": 7, "output": 1, "exception": 1}.get(kind, 4)
        parts.append(
            f'<g class="{kind}"><rect x="{x}" y="{y + 4:.0f}" width="26" height="14" rx="{radius}"/>'
            f'<text x="{x + 32}" y="{y + 15:.0f}">{KINDS[kind]}</text></g>'
        )
    return "".join(parts)


_PAGE_STYLE = """
.trace-view { font: 14px ui-sans-serif, system-ui, sans-serif; color: #1d2530; background: #fff; }
.trace-both { display: flex; gap: 16px; align-items: flex-start; }
.trace-picture { overflow: auto; flex: 1 1 auto; border: 1px solid #d5dae1; border-radius: 6px; }
.trace-details { flex: 0 0 230px; position: sticky; top: 8px; border: 1px solid #d5dae1; border-radius: 6px;
  padding: 10px 12px; overflow-wrap: anywhere; max-height: 90vh; overflow-y: auto; }
.trace-details h3 { margin: 0 0 6px; font-size: 14px; }
.trace-details pre, .trace-view details pre { white-space: pre-wrap; margin: 4px 0;
  font: 12px ui-monospace, monospace; }
.trace-details h4 { margin: 8px 0 0; font-size: 12px; color: #4b5563; }
@media (max-width: 700px) { .trace-both { flex-direction: column; } .trace-details { position: static; } }
"""

# Texts are set as text, never as markup.
_SCRIPT = """
(() => {
  const view = document.currentScript.parentElement;
  const panel = view.querySelector(".trace-details");
  const add = (tag, text) => {
    const made = document.createElement(tag); made.textContent = text; panel.appendChild(made);
  };
  const show = (g) => {
    panel.replaceChildren();
    add("h3", g.dataset.name + " \\u2014 " + g.dataset.kind);
    add("pre", g.dataset.value);
    add("h4", "Description"); add("pre", g.dataset.about);
    if (g.dataset.feedback) { add("h4", "Feedback"); add("pre", g.dataset.feedback); }
  };
  view.querySelectorAll("g.node").forEach((g) => {
    g.addEventListener("pointerenter", () => show(g));
    g.addEventListener("focus", () => show(g));
  });
})();
"""
