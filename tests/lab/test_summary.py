import json
import math

import pytest
from tests.lab.synthetic import make_info

from optimand.core.recorder import Record
from optimand.lab.statistics import Interval, excludes_zero
from optimand.lab.store import Outcome, Store
from optimand.lab.summary import summarize
from optimand.lab.verdicts import format_interval

FACTS = {"name": "p", "family": "toy", "summary": "", "unit": "steps", "budget": 10, "metric": "loss",
         "direction": "min", "target": 0.5}  # fmt: skip


def results(tmp_path, values, *, problems=("p",), tune=None, target=0.5, planned=None):
    """A study's results from final test values: ``{method: [value or None per seed]}``, None for diverged."""
    store = Store(tmp_path / "s").create()
    labels = {m: {"label": m} for m in values}
    facts = {p: {**FACTS, "label": p, "target": target} for p in problems}
    info = {"spec": {}, "problems": facts, "methods": labels}
    if planned is not None:
        info["planned_runs"] = planned
    store.write_info(info)
    for problem in problems:
        for method, tests in values.items():
            for seed, value in enumerate(tests):
                bad = value is None
                run = Outcome(
                    f"{problem}.{method}.{seed}", problem, method, "final", -1, seed, "diverged" if bad else "ok",
                    message="loss is nan" if bad else "", valid=math.nan if bad else value, seconds=1.0 + seed,
                    test=math.nan if bad else value, costs={"state_bytes": 8.0 * (seed + 1)}, hyper={"lr": 0.1},
                )  # fmt: skip
                curve = (
                    [] if bad else [Record(5, 0.5, "valid", "loss", value * 2), Record(10, 1, "valid", "loss", value)]
                )
                store.write_run(run, curve)
            for trial, value in enumerate((tune or {}).get(method, ())):
                status = "failed" if value is None else "ok"
                valid = math.nan if value is None else value
                store.write_run(
                    Outcome(f"{problem}.{method}.t{trial}", problem, method, "tune", trial, 0, status, valid=valid), []
                )
    return store.load()


def test_methods_are_ranked_with_ties_and_differences(tmp_path):
    summary = summarize(results(tmp_path, {"a": [1.0, 1.1, 1.2], "b": [0.2, 0.3, 0.4], "c": [0.21, 0.29, 0.41]}))
    rows = summary.problems[0].rows
    assert [(r.label, r.rank, r.tied) for r in rows] == [("b", 1, True), ("c", 2, True), ("a", 3, False)]
    assert rows[2].difference.mean == pytest.approx(0.8)
    assert excludes_zero(rows[2].difference)
    assert not excludes_zero(rows[1].difference)
    assert summary.verdict == summary.problems[0].verdict
    assert summary.verdict.startswith("b has the best mean (test loss 0.30 ± 0.25), tied with c")


def test_a_clear_winner_is_called_best(tmp_path):
    summary = summarize(results(tmp_path, {"a": [1.0, 1.1, 1.2], "b": [0.2, 0.3, 0.4]}))
    assert summary.verdict.startswith("b is best: test loss 0.30 ± 0.25.")


def test_nothing_but_ties_is_called_a_tie(tmp_path):
    summary = summarize(results(tmp_path, {"a": [0.1, 0.2, 0.3], "b": [0.2, 0.1, 0.4]}))
    assert summary.verdict.startswith("A tie: a and b differ by less than the noise")


def test_a_single_seed_names_no_winner(tmp_path):
    summary = summarize(results(tmp_path, {"a": [0.1], "b": [0.9]}, problems=("p", "q")))
    assert "from a single seed: too few to call a winner" in summary.problems[0].verdict
    assert summary.verdict == "A single seed for each method: too few to call a winner on any problem."


def test_time_to_target_is_a_median_that_counts_late_runs(tmp_path):
    rows = {r.label: r for r in summarize(
        results(tmp_path, {"fast": [0.2, 0.2, 0.9], "slow": [0.4, 0.4, 0.4], "never": [0.9, 0.9, 0.4]})
    ).problems[0].rows}  # fmt: skip
    assert (rows["fast"].reached, rows["fast"].target_at, rows["fast"].target_seconds) == (2, 5, 0.5)
    assert (rows["slow"].target_at, rows["slow"].target_seconds) == (10, 1.0)
    assert (rows["never"].reached, rows["never"].target_at) == (1, None)


def test_diverged_runs_rank_last_and_are_told(tmp_path):
    summary = summarize(results(tmp_path, {"a": [0.5, 0.5, 0.5], "b": [0.1, None, 0.1], "c": [None] * 3}))
    rows = summary.problems[0].rows
    assert [r.label for r in rows] == ["a", "b", "c"]
    assert [r.diverged for r in rows] == [0, 1, 3]
    assert rows[1].message == "loss is nan"
    assert "b: 1 of 3 runs diverged; c: 3 of 3 runs diverged." in summary.verdict


def test_a_method_that_lost_seeds_ranks_behind_those_that_lost_none(tmp_path):
    summary = summarize(results(tmp_path, {"best": [0.1, 0.1], "shaky": [0.2, None], "slow": [0.9, 0.9]}))
    assert [r.label for r in summary.problems[0].rows] == ["best", "slow", "shaky"]


def test_a_single_method_has_nothing_to_be_better_than(tmp_path):
    summary = summarize(results(tmp_path, {"a": [0.1, 0.2]}, problems=("p", "q")))
    assert "a alone, nothing to compare it with" in summary.problems[0].verdict
    assert "best" not in summary.verdict


def test_nothing_to_rank_is_said(tmp_path):
    summary = summarize(results(tmp_path, {"a": [None], "b": [None]}, problems=("p", "q")))
    assert summary.problems[0].verdict.startswith("Every run diverged or failed")
    assert summary.verdict == "No problem has results that can be ranked yet."


def test_an_empty_study_is_summarized(tmp_path):
    summary = summarize(results(tmp_path, {"a": []}, planned=3))
    assert summary.missing == 3
    assert summary.problems[0].verdict == "No run has finished yet."


def test_tuning_shows_the_default_and_the_expected_best(tmp_path):
    found = results(tmp_path, {"a": [0.1, 0.1]}, tune={"a": [0.8, 0.4, None, 0.2]})
    row = summarize(found).problems[0].rows[0]
    assert row.by_default == 0.8
    assert row.expected_best[0] == 0.8
    assert row.expected_best[-1] == 0.2
    assert len(row.expected_best) == 4
    assert row.trials_diverged == 1


def test_several_problems_have_a_profile_and_an_overall_verdict(tmp_path):
    values = {"a": [0.1, 0.11, 0.12], "b": [0.6, 0.61, 0.62]}
    summary = summarize(results(tmp_path, values, problems=("p", "q")))
    assert summary.verdict == "p: a is best; q: a is best."
    assert summary.profile["a"][0] == 1.0
    assert summary.profile["b"][-1] == 0.0
    tied = summarize(results(tmp_path / "t", {"a": [0.1, 0.2], "b": [0.2, 0.1]}, problems=("p", "q"), target=None))
    assert tied.verdict == "p: a tie of all, a with the best mean; q: a tie of all, a with the best mean."
    assert tied.profile == {}
    many = summarize(results(tmp_path / "m", {**values, "c": [0.1, 0.12, 0.11]}, problems=("p", "q", "r", "s")))
    assert many.verdict == "a and c are each best or tied with the best on 4 of 4 problems."


def test_costs_are_medians(tmp_path):
    row = summarize(results(tmp_path, {"a": [0.1, 0.1, 0.1]})).problems[0].rows[0]
    assert row.costs == {"state_bytes": 16.0}
    assert row.seconds == 2.0


def test_json_has_no_nan(tmp_path):
    content = summarize(results(tmp_path, {"a": [0.1], "b": [None]})).to_dict()
    assert json.loads(json.dumps(content, allow_nan=False))["problems"][0]["rows"][1]["test"]["mean"] is None


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Interval(0.96234, 0.95, 0.974, 3), "0.962 ± 0.012"),
        (Interval(123.4, 100.0, 146.8, 3), "123 ± 23"),
        (Interval(0.5, math.nan, math.nan, 1), "0.5"),
        (Interval(math.nan, math.nan, math.nan, 0), "–"),
        (Interval(0.5, -math.inf, math.inf, 2), "0.5"),
    ],
)
def test_intervals_show_two_digits_of_the_uncertainty(interval, text):
    assert format_interval(interval) == text


def solved_study(folder, test: dict[str, float], reached: dict[str, int], solved: float | None):
    """A study of one seed per method whose validation value falls to the target at a position."""
    info = make_info(("hs77",), tuple(test), seeds=1, tune=0)
    info["problems"]["hs77"].update(direction="min", metric="kkt", target=1e-4, solved=solved)
    store = Store(folder).create()
    store.write_info(info)
    for name, value in test.items():
        outcome = Outcome(name, "hs77", name, "final", -1, 0, "ok", valid=value, test=value, seconds=1.0)
        records = [Record(at, 0.1, "valid", "kkt", value if at >= reached[name] else 1.0) for at in (1, 10, 20)]
        store.write_run(outcome, records)
    return summarize(store.load()).problems[0]


def test_what_is_solved_is_level_and_the_first_at_the_target_comes_first(tmp_path):
    test, reached = {"slsqp": 1e-9, "adasketch": 8e-9, "slow": 0.5}, {"slsqp": 20, "adasketch": 10, "slow": 99}
    problem = solved_study(tmp_path / "a", test, reached, solved=1e-4)
    assert [row.method for row in problem.rows] == ["adasketch", "slsqp", "slow"]
    assert [row.tied for row in problem.rows] == [True, True, False]
    assert [row.solved for row in problem.rows] == [True, True, False]
    assert "adasketch and slsqp solve it" in problem.verdict
    assert "adasketch is first at the target (10 of" in problem.verdict
    plain = solved_study(tmp_path / "b", test, reached, solved=None)
    assert [row.method for row in plain.rows] == ["slsqp", "adasketch", "slow"]


def test_a_method_that_is_tied_without_solving_it_is_not_said_to_solve_it(tmp_path):
    info = make_info(("hs77",), ("a", "b", "c"), seeds=3, tune=0)
    info["problems"]["hs77"].update(direction="min", metric="error", target=0.01, solved=0.01)
    store = Store(tmp_path).create()
    store.write_info(info)
    tests = {"a": (0.001, 0.002, 0.003), "b": (0.003, 0.002, 0.001), "c": (0.005, 0.012, 0.01)}
    for name, values in tests.items():
        for seed, value in enumerate(values):
            outcome = Outcome(
                f"{name}{seed}", "hs77", name, "final", -1, seed, "ok", valid=value, test=value, seconds=1.0
            )
            store.write_run(outcome, [Record(1, 0.1, "valid", "error", value)])
    problem = summarize(store.load()).problems[0]
    assert [(row.method, row.solved, row.tied) for row in problem.rows if row.method == "c"] == [("c", False, True)]
    assert "a and b solve it: test error up to 0.01. c differs from that by less than the noise." in problem.verdict


def test_methods_that_reach_the_target_together_are_both_first(tmp_path):
    problem = solved_study(tmp_path, {"a": 1e-6, "b": 1e-5}, {"a": 10, "b": 10}, solved=None)
    assert "a and b are first at the target (10 of" in problem.verdict


def test_reason_why_a_method_stopped_is_its_message(tmp_path):
    store = Store(tmp_path).create()
    store.write_info(make_info(("hs77",), ("a",), seeds=1, tune=0))
    notes = {"stopped": "the Jacobian is singular at iteration 0"}
    store.write_run(Outcome("r", "hs77", "a", "final", -1, 0, "ok", valid=1.0, test=1.0, notes=notes), [])
    (row,) = summarize(store.load()).problems[0].rows
    assert row.message == "stopped: the Jacobian is singular at iteration 0"


def test_seeds_that_repeat_one_number_are_said_to(tmp_path):
    store = Store(tmp_path).create()
    store.write_info(make_info(("hs77",), ("a", "b"), seeds=3, tune=0))
    for name, value in (("a", 1.57e-9), ("b", 8e-9)):
        for seed in range(3):
            nearly = value * (1 + 1e-14 * seed)
            run = f"{name}{seed}"
            store.write_run(Outcome(run, "hs77", name, "final", -1, seed, "ok", valid=nearly, test=nearly), [])
    problem = summarize(store.load()).problems[0]
    assert "The seeds repeat one number" in problem.verdict
    assert "±" not in problem.verdict
