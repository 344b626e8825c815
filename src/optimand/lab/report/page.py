"""Writes the page: template, style sheet, scripts and charts in one HTML file that needs no network."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import _version
from ...core.recorder import write_atomically
from ...core.validation import OptimandError
from ..store import Results
from ..summary import finite
from . import series
from .specs import Chart
from .view import View, study_view, unique_labels

if TYPE_CHECKING:
    from ...papers import Paper
    from ..reproduce import Reproduced

MOST_ROWS = 24_000  # points of all learning curves of a page: about 1.2 MB


def write_page(results: Results, path: str | Path, *, title: str | None = None) -> Path:
    """Write the page of one study.

    Args:
        results: what is stored.
        path: the file; its folder must exist.
        title: heading of the page; methods and problems by default.

    Returns:
        ``path``.

    Raises:
        OptimandError: the file cannot be written.

    Example:
        >>> from optimand.lab.store import Store
        >>> write_page(Store("runs/digits-mlp-1a2b3c4d").load(), "report.html")  # doctest: +SKIP
    """
    studies = _study_views([("", results)])
    return _write(path, {"title": title or studies[0]["title"], "studies": studies, "paper": None, "claims": None})


SMALL_FORM = "Small form: claims that rest on a study are not judged, the others are checked in full."


def write_claims_page(
    paper: Paper,
    claims: Sequence[Reproduced],
    studies: Sequence[tuple[str, Results]],
    path: str | Path,
    *,
    small: bool = False,
) -> Path:
    """Write the page of a paper: its claims with what was found, then the studies they rest on.

    Args:
        paper: of the catalogue.
        claims: with what was found for each.
        studies: title and results of each study that ``claims`` name, in the order in which they first name it.
        path: the file; its folder must exist.
        small: whether the claims were checked in their small form, which the page then says.

    Returns:
        ``path``.

    Raises:
        OptimandError: the file cannot be written.
    """
    views = _study_views(studies)
    named = dict.fromkeys(claim.study for claim in claims if claim.study)
    anchors = {name: view["id"] for name, view in zip(named, views, strict=False)}
    found = [{**vars(claim), "anchor": anchors.get(claim.study) if claim.study else None} for claim in claims]
    page = {
        "title": f"Claims of “{paper.title}”",
        "studies": views,
        "paper": {"title": paper.title, "arxiv": paper.arxiv},
        "claims": found,
        "claims_verdict": (SMALL_FORM + " " if small else "") + _claims_verdict([claim["verdict"] for claim in found]),
    }
    return _write(path, page)


def _study_views(studies: Sequence[tuple[str, Results]]) -> list[View]:
    # One order of labels for the whole page, so that a method keeps its color from study to study.
    order = list(dict.fromkeys(label for _, results in studies for label in unique_labels(results).values()))
    curves = sum(len(r.info["methods"]) * len(r.info["problems"]) * series.MOST_SERIES for _, r in studies)
    points = max(20, min(series.MOST_POINTS, MOST_ROWS // max(1, curves)))
    views = []
    for i, (name, results) in enumerate(studies):
        view = {**study_view(results, order, name, points), "id": f"study{i}"}
        for k, problem in enumerate(view["problems"]):
            problem["id"] = f"study{i}-problem{k}"
        view["query"] = _query(view["problems"][0]) if view["problems"] else ""
        views.append(view)
    return views


def _write(path: str | Path, page: Mapping[str, Any]) -> Path:
    path = Path(path)
    content = _render(page)
    try:
        write_atomically(path, content.encode())
    except OSError as error:
        raise OptimandError(f"page {str(path)!r} cannot be written: {error.strerror or error}") from error
    return path


def _render(page: Mapping[str, Any]) -> str:
    import jinja2
    from markupsafe import Markup

    here = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(here), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    environment.filters["chart_json"] = lambda chart: Markup(safe_json(_chart(chart)))
    return environment.get_template("page.html.j2").render(
        **page,
        style=Markup((here / "page.css").read_text()),
        vega=Markup(vega_bundle() if _has_charts(page) else ""),
        script=Markup((here / "page.js").read_text()),
        version=_version.__version__,
    )


def _has_charts(page: Mapping[str, Any]) -> bool:
    return any(s["profile"] or any(p["figures"] for p in s["problems"]) for s in page["studies"])


@functools.cache
def vega_bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script that may stand inside a ``<script>`` element."""
    import vl_convert

    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    # Both sequences would end or derail the element; in string literals, the only place where a
    # minified script holds them, the escaped form means the same.
    return bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _chart(chart: Chart) -> dict[str, Any]:
    spec = {**chart.spec, "datasets": {name: _columns(rows) for name, rows in chart.spec["datasets"].items()}}
    switches = [
        {"name": s.name, "options": [{"label": o.label, "patch": o.patch} for o in s.options]} for s in chart.switches
    ]
    return {"spec": spec, "switches": switches}


def _columns(rows: series.Rows) -> dict[str, Any]:
    """Rows without repeating their keys; the page's script makes them whole again."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    return {"keys": keys, "rows": [[_rounded(row.get(key)) for key in keys] for row in rows]}


def _rounded(value: Any) -> Any:
    return float(f"{value:.7g}") if isinstance(value, float) and math.isfinite(value) else value


def safe_json(value: Any) -> str:
    """JSON that may stand inside a ``<script>`` element; NaN and infinity become null."""
    text = json.dumps(finite(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _query(problem: View) -> str:
    def quoted(text: str) -> str:
        return "'" + text.replace("'", "''") + "'"

    return (
        "select method, count(*) as seeds, avg(last) as mean, stddev(last) as deviation\n"
        "from (\n"
        "  select method, seed, arg_max(value, spent) as last\n"
        "  from 'runs/*.parquet'\n"
        f"  where problem = {quoted(problem['typed'])} and metric = {quoted(problem['metric'])}\n"
        "    and phase = 'final' and split = 'test' and status = 'ok'\n"
        "  group by method, seed\n"
        ")\n"
        "group by method order by mean"
    )


def _claims_verdict(verdicts: Sequence[str]) -> str:
    holds, short = verdicts.count("holds"), verdicts.count("falls short")
    tested = holds + short
    parts = []
    if tested:
        parts.append(f"{holds} of {tested} claims tested here {'holds' if holds == 1 else 'hold'}")
        parts.append(f"{short} {'falls' if short == 1 else 'fall'} short" if short else "none falls short")
    else:
        parts.append("No claim was tested")
    if unjudged := verdicts.count("not judged"):
        parts.append(f"{unjudged} ran in their small form and {'is' if unjudged == 1 else 'are'} not judged")
    if untested := verdicts.count("not testable here"):
        parts.append(f"{untested} cannot be tested at this scale")
    if failed := verdicts.count("not checked"):
        parts.append(f"{failed} could not be checked because of an error")
    return "; ".join(parts) + "."
