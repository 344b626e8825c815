"""What the charts show: averaged curves, scales, costs; and how numbers are written."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from tests.lab.synthetic import make_info, make_study

from optimand.core.recorder import Record
from optimand.lab.report import charts, formatting, ranking, series, specs
from optimand.lab.statistics import Interval
from optimand.lab.store import Outcome, Store
from optimand.lab.summary import summarize


def curve_study(folder, curves: dict[int, list[tuple[float, float]]], statuses: dict[int, str] | None = None):
    """A study of one method with the given validation curves, by seed."""
    store = Store(folder).create()
    store.write_info(make_info(("digits-mlp",), ("adamw",), seeds=len(curves), tune=0))
    for seed, points in curves.items():
        status = (statuses or {}).get(seed, "ok")
        end = points[-1][1] if status == "ok" else math.nan
        outcome = Outcome(
            f"run{seed}", "digits-mlp", "adamw", "final", -1, seed, status, valid=end, test=end, seconds=1.0
        )
        store.write_run(outcome, [Record(at, at / 10, "valid", "accuracy", value) for at, value in points])
    return store.load()


def valid_curve(results, **options):
    problem = summarize(results).problems[0]
    return series.learning_curves(results, problem, {"adamw": "AdamW"}, **options)["valid", "accuracy"]


def test_curve_is_mean_lowest_and_highest_over_seeds(tmp_path):
    rows = valid_curve(curve_study(tmp_path, {0: [(0, 0.0), (10, 1.0)], 1: [(0, 0.2), (10, 0.5)]}))
    assert [(r["at"], r["y"], r["low"], r["high"], r["seeds"]) for r in rows] == [
        (0, pytest.approx(0.1), 0.0, 0.2, 2),
        (10, pytest.approx(0.75), 0.5, 1.0, 2),
    ]


def test_curves_at_unequal_positions_meet_on_their_common_range(tmp_path):
    rows = valid_curve(curve_study(tmp_path, {0: [(0, 0.0), (10, 1.0)], 1: [(2, 0.2), (5, 0.5), (12, 1.2)]}))
    assert rows[0]["at"] == 2
    assert rows[-1]["at"] == 10
    for row in rows:
        assert row["y"] == pytest.approx(row["at"] / 10)


def test_diverged_run_is_its_own_curve_and_leaves_the_mean_alone(tmp_path):
    points = {0: [(0, 0.1), (10, 0.9)], 1: [(0, 0.1), (5, math.nan), (6, -3.0)]}
    rows = valid_curve(curve_study(tmp_path, points, {1: "diverged"}))
    means = [r for r in rows if r["kind"] == "mean"]
    lost = [r for r in rows if r["kind"] == "diverged"]
    assert [r["y"] for r in means] == [0.1, 0.9]
    assert [(r["at"], r["y"], r["end"]) for r in lost] == [(0, 0.1, False), (6, -3.0, True)]


def test_long_curve_is_thinned_and_keeps_its_ends(tmp_path):
    rows = valid_curve(curve_study(tmp_path, {0: [(i, i / 1000) for i in range(1000)]}), points=50)
    assert len(rows) == 50
    assert (rows[0]["at"], rows[-1]["at"]) == (0, 999)


def test_metric_taken_only_once_makes_no_curve(tmp_path):
    results = curve_study(tmp_path, {0: [(10, 0.5)]})
    problem = summarize(results).problems[0]
    assert series.learning_curves(results, problem, {"adamw": "AdamW"}) == {}
    assert charts.learning_curves({}, "steps", 10, ["AdamW"], None) is None


def test_chosen_trial_is_the_one_of_the_final_runs(tmp_path):
    results = make_study(tmp_path, problems=("digits-mlp",), methods=("adamw", "sgd"), tune=6)
    problem = summarize(results).problems[0]
    rows, axes = series.tuning_trials(results, problem, {"adamw": "adamw", "sgd": "sgd"})
    assert list(axes) == ["lr", "weight_decay"]
    for row in problem.rows:
        chosen = [t for t in rows if t["method"] == row.method and t["chosen"]]
        assert [t[axes["lr"]] for t in chosen] == [row.hyper["lr"]]
        best = max(t["y"] for t in rows if t["method"] == row.method and t["status"] == "ok")
        assert chosen[0]["y"] == best


def test_cost_that_is_the_same_for_all_is_no_trade_off(tmp_path):
    results = make_study(tmp_path, problems=("digits-mlp",), methods=("adamw", "exadam"))
    found = series.costs(summarize(results).problems[0], {"adamw": "adamw", "exadam": "exadam"})
    assert set(found) == {"seconds_per_unit", "peak_bytes"}  # both keep 8 bytes a parameter


def test_state_per_parameter_is_derived_from_bytes_and_parameters(tmp_path):
    results = make_study(tmp_path, problems=("digits-mlp",), methods=("adamw", "lion"))
    rows = {row.method: row for row in summarize(results).problems[0].rows}
    assert series.measured_costs(rows["lion"], 600)["state_bytes_per_parameter"] == 4.0
    assert series.measured_costs(rows["adamw"], 600)["state_bytes_per_parameter"] == 8.0


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0.1, 0.9], "linear"),
        ([1e-6, 1.0], "log"),
        ([0.0, 1.0, 2.0], "linear"),
        ([-1.0, 1.0, 2.0, 1e9], "symlog"),
        ([], "linear"),
        ([math.nan, math.inf, 1.0], "linear"),
    ],
)
def test_scale_fits_the_values(values, kind):
    assert specs.scale_for(values)["type"] == kind


def test_bar_positions_grow_with_the_value_and_stay_inside():
    for values in ([0.1, 0.5, 0.9], [1e-8, 1.0, 1e8], [-1e308, 0.0, 1e308], [2.0]):
        extent = ranking.Extent(values)
        places = [extent.place(v) for v in values]
        assert places == sorted(places)
        assert all(0 <= place <= 100 for place in places)


def test_bar_of_a_single_seed_has_no_width():
    extent = ranking.Extent([1.0, 2.0])
    bar = extent.bar(Interval(1.5, math.nan, math.nan, 1), [1.5])
    assert (bar["width"], bar["left"]) == (0, bar["mean"])
    assert extent.bar(Interval(math.nan, math.nan, math.nan, 0), []) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Interval(0.9617, 0.95, 0.972, 3), "0.962 ± 0.011"),
        (Interval(math.nan, math.nan, math.nan, 0), "–"),
        (Interval(2.5e12, 2.4e12, 2.6e12, 3), "2.5e12 ± 1e11"),
        (Interval(1.25e-9, 1.0e-9, 1.5e-9, 3), "1.25e−9 ± 2.5e−10"),
        (Interval(1e200, -math.inf, math.inf, 3), "1e200 ± ∞"),
        (Interval(-3.0, -3.5, -2.5, 3), "−3.00 ± 0.50"),
    ],
)
def test_interval_is_readable_at_any_size(value, text):
    assert formatting.interval(value).replace("\N{NO-BREAK SPACE}", " ") == text


@pytest.mark.parametrize(
    ("function", "value", "text"),
    [
        (formatting.number, 1234567, "1\u202f234\u202f567"),
        (formatting.number, 0.00012, "1.2e−4"),
        (formatting.number, True, "True"),
        (formatting.number, [0.9, 0.99], "[0.9, 0.99]"),
        (formatting.number, None, "–"),
        (formatting.number, math.inf, "∞"),
        (formatting.number, -0.5, "−0.5"),
        (formatting.seconds, 0.0012, "1.2 ms"),
        (formatting.seconds, 3e-5, "30 µs"),
        (formatting.seconds, 125.0, "2 min 5 s"),
        (formatting.seconds, 7300.0, "2 h 1 min"),
        (formatting.seconds, None, "–"),
        (formatting.size, 4.0, "4 B"),
        (formatting.size, 12_300_000, "12.3 MB"),
        (formatting.moment, "2025-01-31T12:00:00+0000", "2025-01-31 12:00"),
        (formatting.moment, "some day", "some day"),
    ],
)
def test_numbers_are_written_for_people(function, value, text):
    assert function(value) == text


def test_profile_of_coinciding_methods_keeps_the_true_shares():
    chart = charts.performance_profile([1.0, 10.0], {"a": [0.5, 1.0], "b": [0.5, 1.0]}, ["a", "b"])
    rows = chart.spec["datasets"]["profile"]
    assert [r["share"] for r in rows] == [0.5, 1.0, 0.5, 1.0]
    assert len({r["shown"] for r in rows}) == 4


def test_switch_leaves_nothing_of_the_other_scale_behind():
    plain = specs.quantity("y", "accuracy", [0.1, 0.9])
    channel = specs.replacement(specs.quantity("y", "loss", [1e-6, 1.0]))
    assert channel["scale"] == {"constant": None, "zero": None, "type": "log", "nice": False}
    assert set(plain["axis"]) <= set(channel["axis"]) | {"tickCount"}
    assert specs.replacement(plain)["axis"]["values"] is None


@pytest.mark.parametrize(("low", "high"), [(0.05, 2.3), (1e-5, 1e-1), (1e-30, 1e30), (3.0, 95.0)])
def test_log_ticks_are_few_round_and_cover_the_range(low, high):
    ticks = specs.log_ticks(low, high)
    assert ticks == sorted(ticks)
    assert ticks[0] <= low
    inside = [tick for tick in ticks if low <= tick <= high]
    assert 3 <= len(inside) <= 12
    assert all(float(f"{tick:.0e}") == tick for tick in ticks)


def states_of(problem, **state_bytes):
    for row in problem.rows:
        row.costs["state_bytes"] = state_bytes[row.method]
    return {row.method: row.method for row in problem.rows}


def test_memory_rows_mark_what_nothing_beats_in_both(tmp_path):
    results = make_study(tmp_path, problems=("byte-lm",), methods=("adamw", "sgd", "lion"))
    problem = summarize(results).problems[0]
    best, middle, worst = (row.method for row in problem.rows)  # ranked by the test loss
    found = series.memory(problem, states_of(problem, **{best: 8e5, middle: 9e5, worst: 4e5}))
    assert {row["method"]: row["front"] for row in found["test"]} == {best: True, middle: False, worst: True}
    assert found["test"][0]["cost"] == "800 kB"
    # where higher is better, the order of values turns
    turned = replace(problem, direction="max")
    found = series.memory(turned, states_of(turned, **{best: 8e5, middle: 9e5, worst: 4e5}))
    assert {row["method"]: row["front"] for row in found["test"]} == {best: False, middle: False, worst: True}


def test_memory_of_methods_with_the_same_state_is_no_picture(tmp_path):
    problem = summarize(make_study(tmp_path, methods=("adamw", "exadam"))).problems[0]
    assert series.memory(problem, {"adamw": "adamw", "exadam": "exadam"}) == {}
    assert charts.quality_against_memory({}, "loss", ["adamw"]) is None


def test_memory_chart_switches_from_test_to_validation(tmp_path):
    problem = summarize(make_study(tmp_path)).problems[0]
    labels = {row.method: row.method for row in problem.rows}
    chart = charts.quality_against_memory(series.memory(problem, labels), problem.metric, list(labels))
    assert chart.spec["encoding"]["x"]["title"] == "optimizer state (kB)"
    assert [option.label for option in chart.switches[0].options] == ["test", "validation"]
    assert set(chart.spec["datasets"]) == {"test", "validation"}
    assert {row["x"] for row in chart.spec["datasets"]["test"]} == {800.0, 400.0}


def test_both_splits_of_the_memory_chart_have_one_axis():
    rows = [{"method": m, "x": x, "cost": "", "y": 1.0, "low": 1.0, "high": 1.0, "front": True}
            for m, x in (("a", 4e5), ("b", 8e5), ("c", 3e6))]  # fmt: skip
    found = {"test": rows, "valid": rows[:2]}  # c has no finite validation loss
    chart = charts.quality_against_memory(found, "loss", ["a", "b", "c"])
    assert chart.spec["encoding"]["x"]["title"] == "optimizer state (MB)"
    assert [row["x"] for row in chart.spec["datasets"]["validation"]] == [0.4, 0.8]
    assert [row["x"] for row in chart.spec["datasets"]["test"]] == [0.4, 0.8, 3.0]


def test_methods_without_state_have_their_place_in_the_picture(tmp_path):
    problem = summarize(make_study(tmp_path, methods=("adamw", "sgd"))).problems[0]
    found = series.memory(problem, states_of(problem, adamw=8e5, sgd=0.0))
    chart = charts.quality_against_memory(found, problem.metric, ["adamw", "sgd"])
    assert chart.spec["encoding"]["x"]["scale"]["type"] == "linear"


def repeated_study(folder, points: list[tuple[int, float, float, float]]):
    """A study of one run that recorded mean and quantiles of its repetitions at positions."""
    store = Store(folder).create()
    store.write_info(make_info(("digits-mlp",), ("adamw",), seeds=1, tune=0))
    outcome = Outcome("run", "digits-mlp", "adamw", "final", -1, 0, "ok", valid=points[-1][1], test=0.0, seconds=1.0)
    records = [
        Record(at, at / 10, "valid", name, value)
        for at, *values in points
        for name, value in zip(("accuracy", "accuracy:q10", "accuracy:q90"), values, strict=True)
    ]
    store.write_run(outcome, records)
    return store.load()


def test_quantiles_of_repetitions_are_the_band_and_no_curves_of_their_own(tmp_path):
    results = repeated_study(tmp_path, [(1, 0.5, 0.4, 0.7), (10, 0.6, 0.5, 0.8)])
    problem = summarize(results).problems[0]
    curves = series.learning_curves(results, problem, {"adamw": "AdamW"})
    assert list(curves) == [("valid", "accuracy")]
    rows = curves["valid", "accuracy"]
    assert [(r["y"], r["low"], r["high"]) for r in rows] == [(0.5, 0.4, 0.7), (0.6, 0.5, 0.8)]
    chart = charts.learning_curves(curves, "pulls", 10, ["AdamW"], None)
    assert "four of five single repetitions" in chart.caption


def test_positions_spaced_by_ratios_get_a_logarithmic_axis_and_a_linear_one_on_demand(tmp_path):
    rows = valid_curve(curve_study(tmp_path, {0: [(at, 1.0 / (at + 1)) for at in (0, 1, 3, 10, 30, 100, 300, 1000)]}))
    chart = charts.learning_curves({("valid", "accuracy"): rows}, "pulls", 1000, ["AdamW"], None)
    assert chart.spec["encoding"]["x"]["scale"]["type"] == "log"
    assert min(row["at"] for row in chart.spec["datasets"]["validation accuracy"]) == 1
    (switch,) = (s for s in chart.switches if s.name == "horizontal axis")
    assert [option.label for option in switch.options] == ["pulls", "pulls, linear", "seconds"]
    even = valid_curve(curve_study(tmp_path / "even", {0: [(at, 1.0) for at in range(0, 1000, 100)]}))
    chart = charts.learning_curves({("valid", "accuracy"): even}, "pulls", 1000, ["AdamW"], None)
    assert "type" not in chart.spec["encoding"]["x"]["scale"]
