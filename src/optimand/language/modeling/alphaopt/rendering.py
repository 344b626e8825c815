"""A library as a page for people: Markdown or HTML."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

from .insights import STAGES, STATES, Insight

if TYPE_CHECKING:
    from .library import ExperienceLibrary

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}"
    "article{border:1px solid #ddd;border-radius:6px;padding:.5em 1em;margin:1em 0}h3{margin:.3em 0}"
    "pre{background:#f6f6f6;padding:.6em;overflow:auto;white-space:pre-wrap}small{color:#666}"
    "@media(prefers-color-scheme:dark)"
    "{body{background:#161616;color:#ddd}pre{background:#222}article{border-color:#444}}"
)


def _facts(insight: Insight) -> Iterator[str]:
    yield f"version {insight.version}"
    yield f"verified on {', '.join(insight.sources)}" if insight.sources else "verified on no task"
    if insight.parents:
        yield f"merged from {', '.join(map(str, insight.parents))}"
    for state in STATES:
        if tasks := getattr(insight.distribution, state):
            yield f"{state} on {len(tasks)}"
    if insight.occurrence:
        yield f"retrieved {insight.occurrence} times"
    if insight.pinned:
        yield "pinned"


def _summary(library: ExperienceLibrary) -> str:
    counts = ", ".join(f"{count} {stage}" for stage, count in library.counts().items())
    return f"{len(library)} insights ({counts}) under {len(library.triples)} labels."


def _fence(text: str) -> str:
    longest = max((len(run) for run in text.split("\n") if set(run) == {"`"}), default=2)
    return "`" * max(3, longest + 1)


def to_markdown(library: ExperienceLibrary) -> str:
    """The library in Markdown, by stage and id."""
    lines = ["# Library of experience", "", _summary(library)]
    for stage in STAGES:
        found = [insight for insight in library if insight.stage == stage]
        lines += ["", f"## {stage}"] if found else []
        for insight in found:
            lines += ["", f"### {insight.insight_id}: {insight.level1} / {', '.join(insight.level2)}", ""]
            lines += [f"*{'; '.join(_facts(insight))}*", "", f"**When.** {insight.condition}", ""]
            lines += [f"**Why.** {insight.explanation}"]
            if insight.example:
                fence = _fence(insight.example)
                lines += ["", fence, insight.example, fence]
    return "\n".join(lines) + "\n"


def to_html(library: ExperienceLibrary) -> str:
    """The library as one HTML page."""
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>",
        f"<title>Library of experience</title><style>{_STYLE}</style><h1>Library of experience</h1>",
        f"<p>{escape(_summary(library))}</p>",
    ]
    for stage in STAGES:
        found = [insight for insight in library if insight.stage == stage]
        parts += [f"<h2>{escape(stage)}</h2>"] if found else []
        for insight in found:
            title = f"{insight.insight_id}: {insight.level1} / {', '.join(insight.level2)}"
            parts.append(f"<article id='insight-{insight.insight_id}'><h3>{escape(title)}</h3>")
            parts.append(f"<small>{escape('; '.join(_facts(insight)))}</small>")
            parts.append(f"<p><b>When.</b> {_paragraphs(insight.condition)}</p>")
            parts.append(f"<p><b>Why.</b> {_paragraphs(insight.explanation)}</p>")
            parts.append(f"<pre>{escape(insight.example)}</pre>" if insight.example else "")
            if insight.history:
                old = "".join(f"<p>{_paragraphs(text)}</p>" for text in insight.history)
                parts.append(f"<details><summary>conditions before</summary>{old}</details>")
            parts.append("</article>")
    return "\n".join(part for part in parts if part) + "\n"


def _paragraphs(text: str) -> str:
    return escape(text).replace("\n", "<br>")
