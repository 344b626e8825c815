"""The page: what it says, that it is safe and self-contained, and that it stands odd studies."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.lab.synthetic import make_info, make_study

from optimand.core.validation import OptimandError
from optimand.lab.report import write_claims_page, write_page
from optimand.lab.reproduce import Reproduced
from optimand.lab.store import Results, Store
from optimand.lab.summary import summarize
from optimand.papers import get_paper

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>'\"&{{ 7*7 }}"


class Page(HTMLParser):
    """Elements of a page with their attributes, and the texts outside of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.lasttag == "script":
            self.scripts.append(data)
        elif self.lasttag != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def charts(text: str) -> list[dict]:
    found = re.findall(r'<script type="application/json">(.*?)</script>', text, re.DOTALL)
    return [json.loads(content) for content in found]


def titles(text: str) -> list[str]:
    figures = re.findall(r'<figure class="chart.*?</figure>', text, re.DOTALL)
    return [unescape(re.search(r"<h4>(.*?)</h4>", figure)[1]) for figure in figures]


def page_of(results: Results, folder: Path) -> str:
    return write_page(results, folder / "report.html").read_text()


@pytest.fixture(scope="module")
def tuned(tmp_path_factory) -> Results:
    folder = tmp_path_factory.mktemp("tuned")
    bad = {("byte-lm", "sgd", 1): "diverged", ("byte-lm", "sgd", 2): "diverged"}
    return make_study(folder, methods=("adamw", "sgd", "lion"), tune=5, bad=bad)


@pytest.fixture(scope="module")
def tuned_page(tuned, tmp_path_factory) -> str:
    return page_of(tuned, tmp_path_factory.mktemp("page"))


def test_page_says_the_verdict_before_any_table(tuned, tuned_page):
    verdict = summarize(tuned).verdict
    assert verdict in unescape(tuned_page)
    assert unescape(tuned_page).index(verdict) < tuned_page.index("<table")


def test_page_shows_every_ranked_value_and_the_difference_to_the_best(tuned, tuned_page):
    text = Page(tuned_page).text.replace("\N{NO-BREAK SPACE}", " ")
    for problem in summarize(tuned).problems:
        for row in problem.rows:
            assert f"{row.test.mean:.2f}"[:3] in text
            if row.test.half_width > 0:
                assert f"± {row.test.half_width:.2g}"[:5] in text
    assert "2 diverged" in text


def test_page_has_the_charts_of_each_problem_in_the_order_asked_for(tuned_page):
    each = ["Learning curves", "What it costs", "Quality against memory", "What tuning buys", "Tuning trials"]
    assert titles(tuned_page) == ["Performance profile", *each, *each]
    headings = [re.sub(r"<.*?>", "", h) for h in re.findall(r"<h3>(.*?)</h3>", tuned_page)]
    assert headings[:2] == ["digits-mlp", "byte-lm"]


def test_page_is_self_contained_and_small(tuned_page):
    loads = [
        (tag, attrs[name])
        for tag, attrs in Page(tuned_page).elements
        for name in ("src", "href", "data", "srcset")
        if attrs.get(name) and tag != "a"
    ]
    assert loads == [("link", "data:,")]
    assert "@import" not in tuned_page
    assert "url(" not in re.search(r"<style>(.*?)</style>", tuned_page, re.DOTALL)[1]
    assert "default-src 'none'" in tuned_page
    assert len(tuned_page) < 3e6


def test_page_links_papers_and_names_command_and_environment(tuned, tuned_page):
    assert 'href="https://arxiv.org/abs/2302.06675"' in tuned_page
    text = Page(tuned_page).text
    assert tuned.info["command"] in text
    for fact in tuned.info["environment"].values():
        assert fact in text


def test_page_states_rules_of_tuning_intervals_and_ties(tuned_page):
    text = Page(tuned_page).text
    for word in ("5 trials", "validation", "Holm", "bootstrap", "paired difference", "Evaluation, recording"):
        assert word in text


def test_page_without_tuning_says_defaults_only(tmp_path):
    text = Page(page_of(make_study(tmp_path, problems=("digits-mlp",)), tmp_path)).text
    assert "Without --tune every method runs with its defaults only" in text
    assert "What tuning buys" not in text


def test_page_names_missing_damaged_and_failed_runs(tmp_path):
    results = make_study(tmp_path, problems=("digits-mlp",), bad={("digits-mlp", "lion", 0): "failed"})
    results.info["planned_runs"] = len(results.outcomes) + 2
    results.damaged.append("broken.parquet")
    text = Page(page_of(results, tmp_path)).text
    assert "2 of 11 planned runs are not in the store yet" in text
    assert "broken.parquet" in text
    assert "lion on digits-mlp: 1 run failed with an error. The first: ValueError: shapes differ" in text


def test_labels_cannot_break_out_of_the_page(tmp_path):
    results = make_study(tmp_path, problems=("digits-mlp",), methods=("adamw", "sgd"), tune=3, labels={"sgd": EVIL})
    results.info["problems"]["digits-mlp"] |= {"summary": EVIL, "label": EVIL, "metric": "accuracy"}
    results.info["command"] = EVIL
    text = page_of(results, tmp_path)
    page = Page(text)
    tags = [tag for tag, _ in page.elements]
    assert "img" not in tags
    assert tags.count("script") == 2 + len(charts(text))
    assert not any("alert(1)" in script and "\\u003c" not in script for script in page.scripts)
    assert "{{ 7*7 }}" in page.text
    labels = charts(text)[0]["spec"]["encoding"]["color"]["scale"]["domain"]
    assert labels == ["adamw", EVIL]


def test_vega_bundle_cannot_end_its_script_element():
    from optimand.lab.report.page import vega_bundle

    assert "</script" not in vega_bundle().lower()
    assert "<!--" not in vega_bundle()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [float("-inf")]}])
def test_chart_data_without_a_number_become_null(value):
    from optimand.lab.report.page import safe_json

    assert "null" in safe_json(value)
    json.loads(safe_json(value))


def test_one_method_with_one_seed_has_no_interval_and_no_band(tmp_path):
    text = page_of(make_study(tmp_path, problems=("digits-mlp",), methods=("adamw",), seeds=1), tmp_path)
    curves = charts(text)[titles(text).index("Learning curves")]["spec"]
    assert not [layer for layer in curves["layer"] if layer["mark"]["type"] == "area"]
    assert "One seed for each method: there are no intervals" in Page(text).text


def test_all_diverged_study_shows_where_and_ranks_nothing(tmp_path):
    bad = {("digits-mlp", method, seed): "diverged" for method in ("adamw", "sgd") for seed in range(3)}
    text = page_of(make_study(tmp_path, problems=("digits-mlp",), methods=("adamw", "sgd"), bad=bad), tmp_path)
    assert "nothing can be ranked" in Page(text).text
    assert "3 diverged" in Page(text).text
    data = charts(text)[0]["spec"]["datasets"]["validation accuracy"]
    kinds = {row[data["keys"].index("kind")] for row in data["rows"]}
    assert kinds == {"diverged"}


def test_empty_study_still_makes_a_page_without_scripts_of_charts(tmp_path):
    store = Store(tmp_path / "study").create()
    store.write_info(make_info(("digits-mlp",), ("adamw", "sgd"), seeds=3, tune=0))
    text = page_of(store.load(), tmp_path)
    assert "No run has finished yet" in Page(text).text
    assert charts(text) == []
    assert len(text) < 1e5


def test_twenty_methods_are_told_apart_by_color_and_dash(tmp_path):
    methods = tuple(f"method-{i}" for i in range(20))
    text = page_of(make_study(tmp_path, problems=("digits-mlp",), methods=methods, seeds=2), tmp_path)
    spec = charts(text)[0]["spec"]
    domain = spec["encoding"]["color"]["scale"]["domain"]
    dashes = next(
        layer["encoding"]["strokeDash"]["scale"] for layer in spec["layer"] if layer["mark"]["type"] == "line"
    )
    assert len({(i % 8, tuple(dash)) for i, dash in enumerate(dashes["range"])}) == 20
    assert domain == dashes["domain"]


def test_same_label_twice_is_told_apart_by_what_was_typed(tmp_path):
    labels = {"lion:lr=1": "Lion", "lion:lr=2": "Lion"}
    results = make_study(tmp_path, problems=("digits-mlp",), methods=tuple(labels), labels=labels)
    domain = charts(page_of(results, tmp_path))[0]["spec"]["encoding"]["color"]["scale"]["domain"]
    assert domain == ["Lion [lion:lr=1]", "Lion [lion:lr=2]"]


def test_query_on_the_page_gives_the_ranked_means(tuned_page, tmp_path):
    duckdb = pytest.importorskip("duckdb")
    query = unescape(re.search(r'<pre tabindex="0" class="query"><code>(.*?)</code></pre>', tuned_page, re.DOTALL)[1])
    results = make_study(tmp_path, methods=("adamw", "sgd", "lion"), tune=5)
    answer = duckdb.sql(query.replace("runs/*.parquet", f"{tmp_path}/runs/*.parquet")).fetchall()
    first = next(p for p in summarize(results).problems if p.problem == "digits-mlp")
    means = {row.method: row.test.mean for row in first.rows}
    assert {method: mean for method, _, mean, _ in answer} == pytest.approx(means)


def claim(name: str, verdict: str, **more) -> Reproduced:
    words = {"sentence": f"{name} matters.", "paper_value": "0.5", "value": "–", "detail": "", **more}
    return Reproduced(name=name, verdict=verdict, **words)


CLAIMS = [
    claim("memory", "holds", sentence="Half the state.", value="0.50", detail="Measured.", study="quality-1a2b"),
    claim("quality", "falls short", value="0.91"),
    claim("scale", "not testable here", detail="Private data."),
]


def test_claims_page_lists_claims_before_their_studies(tmp_path):
    study = make_study(tmp_path, problems=("digits-mlp",))
    path = write_claims_page(
        get_paper("symbolic-discovery-lion"), CLAIMS, [("quality", study)], tmp_path / "claims.html"
    )
    text = path.read_text()
    page = Page(text)
    assert "1 of 2 claims tested here holds; 1 falls short; 1 cannot be tested at this scale." in page.text
    assert 'href="https://arxiv.org/abs/2302.06675"' in text
    anchors = [attrs["href"] for tag, attrs in page.elements if tag == "a" and attrs["href"].startswith("#study")]
    assert len(set(anchors)) == 1  # from the contents and from the claim
    assert len(anchors) == 2
    assert text.index("Half the state.") < text.index(f'id="{anchors[0][1:]}"')
    assert len(charts(text)) == 3


def test_claims_page_without_any_study(tmp_path):
    paper = replace(get_paper("exadam"), title="A paper <b>of</b> somebody")
    text = write_claims_page(paper, CLAIMS[2:], [], tmp_path / "claims.html").read_text()
    assert "No claim was tested; 1 cannot be tested at this scale." in Page(text).text
    assert "<b>of</b>" not in text


def test_claim_whose_check_raised_is_not_counted_as_falling_short(tmp_path):
    claims = [CLAIMS[0], claim("broken", "not checked", detail="KeyError")]
    text = write_claims_page(get_paper("exadam"), claims, [], tmp_path / "claims.html").read_text()
    words = Page(text).text
    assert "1 of 1 claims tested here holds; none falls short; 1 could not be checked because of an error." in words
    assert 'class="badge not-checked"' in text
    unjudged = [*claims, claim("studied", "not judged")]
    small = write_claims_page(get_paper("exadam"), unjudged, [], tmp_path / "small.html", small=True).read_text()
    assert "Small form: " in Page(small).text
    assert "1 ran in their small form and is not judged" in Page(small).text
    assert "Small form: " not in words


def test_method_keeps_its_color_from_study_to_study(tmp_path):
    first = make_study(tmp_path / "a", problems=("digits-mlp",), methods=("adamw", "lion"))
    second = make_study(tmp_path / "b", problems=("digits-mlp",), methods=("lion", "sgd"))
    studies = [("a", first), ("b", second)]
    text = write_claims_page(get_paper("exadam"), [], studies, tmp_path / "claims.html").read_text()
    domains = {tuple(chart["spec"]["encoding"]["color"]["scale"]["domain"]) for chart in charts(text)}
    assert domains == {("adamw", "lion", "sgd")}


def test_unwritable_page_names_the_path(tmp_path):
    results = make_study(tmp_path, problems=("digits-mlp",), methods=("adamw",), seeds=1)
    with pytest.raises(OptimandError, match="nowhere"):
        write_page(results, tmp_path / "nowhere" / "report.html")
