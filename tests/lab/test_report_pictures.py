"""Pictures that runs leave: from the recorder through the store to the page."""

import json
import re
from dataclasses import replace

import pytest
from tests.lab.synthetic import make_study

from optimand.core.catalog import Method
from optimand.core.pictures import Values
from optimand.lab.report import write_page
from optimand.lab.runs import RunSpec, execute, fingerprint
from optimand.lab.store import Store


def charts(text):
    return [json.loads(found) for found in re.findall(r'<script type="application/json">(.*?)</script>', text, re.S)]


def dataset(chart, name):
    columns = chart["spec"]["datasets"][name]
    return [dict(zip(columns["keys"], row, strict=True)) for row in columns["rows"]]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    return make_study(folder, problems=("digits-mlp",), methods=("adamw", "lion"), seeds=5, pictures=True)


def test_each_method_shows_its_run_of_median_test_value(study, tmp_path):
    text = write_page(study, tmp_path / "report.html").read_text()
    layout = next(chart for chart in charts(text) if set(chart["spec"]["datasets"]) == {"adamw", "lion"})
    for method in ("adamw", "lion"):
        runs = sorted((run for run in study.outcomes if run.method == method), key=lambda run: run.test)
        assert dataset(layout, method)[0]["name"] == f"{method} {runs[2].seed} 0"
    assert [o["label"] for o in layout["switches"][0]["options"]] == list(
        re.findall(r'<tr data-method="(\w+)"', text)[:2]
    )


def test_all_single_values_of_all_methods_share_one_chart(study, tmp_path):
    text = write_page(study, tmp_path / "report.html").read_text()
    values = next(c for c in charts(text) if "normalized score" in json.dumps(c["spec"].get("encoding", {})))
    rows = dataset(values, "values")
    assert [sum(r["method"] == m and r["kind"] == "one" for r in rows) for m in ("adamw", "lion")] == [20, 20]
    assert sum(r["kind"] == "median" for r in rows) == 2


def test_a_picture_that_cannot_be_read_leaves_the_page_whole(study, tmp_path):
    outcomes = [replace(o, pictures={"memory layout": {"kind": "film"}}) for o in study.outcomes]
    text = write_page(replace(study, outcomes=outcomes), tmp_path / "report.html").read_text()
    assert "Memory layout" not in text
    assert "Learning curves" in text


def test_a_run_keeps_its_picture_in_the_store(tmp_path, monkeypatch):
    class Pictured:
        name, family, summary, unit, budget = "pictured", "toy", "", "steps", 1
        metric, direction, target = "loss", "min", None

        def run(self, method, hyper, *, seed, budget, recorder):
            for split in ("valid", "test"):
                recorder.record(1, split, loss=1.0)
            recorder.picture("scores", Values("scores", "score", [0.5]))

    monkeypatch.setattr("optimand.core.catalog.get_problem", lambda text: Pictured())
    method = Method("m", "toy", lambda: None, {}, {})
    monkeypatch.setattr("optimand.core.catalog.get_method", lambda text, family: (method, {}))
    Store(tmp_path).create()
    spec = RunSpec("p", "m", f"{fingerprint('p')}/{fingerprint('m')}", "final", -1, 0, 0, 1)
    outcome = execute(spec, str(tmp_path))
    assert outcome.status == "ok", outcome.message
    kept, _ = Store(tmp_path).read_run(Store(tmp_path).run_path(spec.run))
    assert kept.pictures["scores"]["values"] == [0.5]
