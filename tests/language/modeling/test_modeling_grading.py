"""Graders: the rules as published, no dependence on order or spacing, other optima, the reading protocols."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimand.core.validation import OptimandError
from optimand.language.llm import Scripted
from optimand.language.modeling import Formulation, Variable
from optimand.language.modeling.benchmarks.grading import boxed_number, grade, grade_answers, is_close
from optimand.language.modeling.benchmarks.matching import match_values, words
from optimand.language.modeling.benchmarks.reference import bakery
from optimand.language.modeling.execution import Attempt, ModelingProblem


def problem(answers, formulation=None, asks=None):
    return ModelingProblem("p", "How much?", "linear-notable", answers, formulation, asks)


def attempt(values, formulation=None, status="optimal"):
    lines = "\n".join(f"{label}: {number}" for label, number in values.items())
    return Attempt("code", lines, values, status, formulation=formulation)


def test_the_official_rule_is_absolute_and_strict():
    assert is_close(1.00009, 1, "official", whole=True)
    assert not is_close(1.0001001, 1, "official", whole=True)
    assert not is_close(1e6 + 0.001, 1e6, "official", whole=True)
    assert not is_close(0.5, 0.4998084, "official", whole=False)


def test_the_robust_rule_depends_on_whole_truths():
    assert is_close(1e6 + 1, 1e6, "robust", whole=True)  # 1e-4 + 1e-6 * 1e6
    assert not is_close(1e6 + 1.1, 1e6, "robust", whole=True)
    assert not is_close(3.001, 3, "robust", whole=True)
    assert is_close(1000.9, 1000, "robust", whole=False)
    assert not is_close(1001.1, 1000, "robust", whole=False)
    assert is_close(0.00009, 0, "robust", whole=False)  # the floor of 0.1
    assert not is_close(0.00011, 0, "robust", whole=False)
    assert not is_close(float("nan"), 1, "robust", whole=False)


def test_noise_in_the_truth():
    noisy = problem({"x": 0.4998084, "y": 0.2498081, "length": 0.3535523})
    exact = {"x": 0.5, "y": 0.25, "length": 0.125**0.5}
    assert not grade_answers(noisy, exact, "official").correct
    assert grade_answers(noisy, exact, "robust").correct


def test_every_query_must_be_right():
    truth = problem({"a": 1.0, "b": 2.0})
    found = grade_answers(truth, {"a": 1.0, "b": 3.0})
    assert not found.correct
    assert found.right == {"a": True, "b": False}
    assert "'b': 3 instead of 2" in found.reason
    assert "no number for 'b'" in grade_answers(truth, {"a": 1.0}).reason
    with pytest.raises(OptimandError, match="no answers"):
        grade_answers(problem({}), {})
    with pytest.raises(ValueError, match="grading"):
        grade_answers(truth, {}, "strict")


QUERIES = ["The number of red boats", "The number of blue boats", "The total profit", "Hours of Process 1"]


@given(st.permutations(QUERIES), st.permutations(range(4)), st.sampled_from(["", "  ", "\t"]))
def test_order_and_spacing_do_not_matter(order, places, space):
    truth = dict(zip(QUERIES, (3.0, 5.0, 1250.0, 8.0), strict=True))
    labels = {"red_boats": 3.0, "BlueBoats": 5.0, "objective": 1250.0, "process 1 hours": 8.0}
    shuffled = {f"{space}{list(labels)[i]}{space}": list(labels.values())[i] for i in places}
    found = grade(problem({query: truth[query] for query in order}), attempt(shuffled))
    assert found.correct, found


def test_labels_are_assigned_one_to_one_and_only_with_enough_words():
    assert match_values({"x1": 1, "x2": 2}, ["The number of cars"]) == {"The number of cars": None}
    found = match_values({"cars": 4, "car trips per day": 7}, ["The number of car trips per day", "The number of cars"])
    assert found == {"The number of car trips per day": 7, "The number of cars": 4}
    meanings = {"x1": "number of cars", "x2": "number of buses"}
    found = match_values({"x1": 1, "x2": 2}, ["The number of buses", "The number of cars"], meanings=meanings)
    assert found == {"The number of buses": 2, "The number of cars": 1}
    found = match_values({"objective": 9}, ["Number of cars", "Minimized total cost"])
    assert found == {"Number of cars": None, "Minimized total cost": 9}
    assert words("Whether a fire station is in City 1") >= {"fire", "station", "city", "1"}


def test_labels_of_the_query_itself_come_first():
    queries = ["Number of Solar A", "Number of Solar B"]
    assert match_values({"number of solar a:": 1, "NUMBER OF SOLAR B": 2}, queries) == dict(
        zip(queries, (1, 2), strict=True)
    )


def test_other_optima_are_right_where_the_model_is_known():
    f = Formulation(
        (Variable("x", "number of cars", "integer"), Variable("y", "number of buses", "integer")),
        "maximize", "2*x + 2*y", ("x + y <= 4",),
    )  # fmt: skip
    truth = problem({"The number of cars": 4.0, "The number of buses": 0.0, "The total": 8.0}, f,
                    {"The number of cars": "x", "The number of buses": "y", "The total": "objective"})  # fmt: skip
    tie = {"The number of cars": 1.0, "The number of buses": 3.0, "The total": 8.0}
    assert grade_answers(truth, tie).correct
    assert "another optimum" in grade_answers(truth, tie).reason
    assert not grade_answers(truth, tie, "official").correct
    for change, what in (
        ({"The number of buses": 2.0}, "reach 6"), ({"The number of buses": 4.0}, "does not hold"),
        ({"The total": 9.0}, "not the optimum 8"), ({"The number of cars": 1.5, "The number of buses": 2.5}, "whole"),
    ):  # fmt: skip
        found = grade_answers(truth, {**tie, **change})
        assert not found.correct
        assert what in found.reason


def test_variables_nobody_asks_for_are_chosen_by_the_solver():
    f = Formulation((Variable("x", "cars"), Variable("y", "buses")), "maximize", "x + y", ("x + y <= 4", "x <= 3"))
    asks = {"cars": "x"}
    truth = problem({"cars": 3.0}, f, asks)
    assert grade_answers(truth, {"cars": 0.5}).correct  # y = 3.5
    assert not grade_answers(truth, {"cars": 3.5}).correct  # beyond its bound
    unknown = problem({"cars": 3.0, "trains": 1.0}, f)
    assert "does not tell" in grade_answers(unknown, {"cars": 1.0, "trains": 2.0}).reason


def test_only_programs_that_ended_with_values_can_be_right():
    truth = bakery()
    values = {"c": 0.0, "v": 100.0, "objective": 400.0}
    assert grade(truth, attempt(values, truth.formulation)).correct
    for status in ("run_error", "timeout", "not_optimal", "parse_error"):
        found = grade(truth, attempt(values, truth.formulation, status))
        assert not found.correct
        assert found.reason == status


def test_official_reading_asks_once_for_each_query():
    truth = problem({"cars": 3.0, "cost": 1250.5})
    script = Scripted([r"The value is \boxed{3.00000}", r"so \boxed{\$1,250.50000}"])
    found = grade(truth, attempt({"x": 3.0, "y": 1250.5}), "official", chat=script)
    assert found.correct
    assert found.usage.calls == 2
    assert [options["role"] for _, options in script.calls] == ["modeling.read-official"] * 2
    assert "cars" in script.calls[0][0][-1]["content"]
    assert "x: 3.0" in script.calls[0][0][-1]["content"]


def test_robust_reading_asks_once_for_what_labels_leave_open():
    truth = problem({"Number of cars": 3.0, "Cost of all": 7.0})
    script = Scripted([json.dumps({"Number of cars": 3.0, "Cost of all": 7.0})])
    assert grade(truth, attempt({"x": 3.0, "y": 7.0}), chat=script).correct
    assert len(script.calls) == 1
    silent = Scripted([])
    assert grade(truth, attempt({"cars": 3.0, "cost of all": 7.0}), chat=silent).correct
    assert not silent.calls
    garbage = Scripted(["no"], repeat=True)
    assert not grade(truth, attempt({"x": 3.0, "y": 7.0}), chat=garbage).correct


@pytest.mark.parametrize(
    ("reply", "number"),
    [
        (r"\boxed{12}", 12), (r"first \boxed{1}, then \boxed{2.50000}", 2.5), ("the answer is 7 of 9", 9),
        ("3/4", 0.75),
        (r"\boxed{1/0}", 0), ("-1,234.5", -1234.5), ("none", None), (r"\boxed{__import__('os').system('x')}", None),
    ],
)  # fmt: skip
def test_boxed_numbers(reply, number):
    assert boxed_number(reply) == number
