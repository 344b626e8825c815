"""Guides: what they say, what is checked of it, and data sets."""

from __future__ import annotations

import asyncio
import math

import numpy as np
import pytest

from optimand.core.validation import OptimandError
from optimand.language.llm import BudgetExceeded, ChatError
from optimand.language.workflows.trainers import (
    Batches,
    GuideError,
    Sample,
    exact_match,
    function_tests,
    numeric_tolerance,
    read_dataset,
    weighted,
)
from optimand.language.workflows.trainers.guides import judge
from optimand.language.workflows.trainers.samples import drawn


def test_exact_match_compares_texts_numbers_and_arrays():
    guide = exact_match()
    assert guide("", " 4 ", "4") == (1.0, "correct")
    assert guide("", 4.0, 4)[0] == 1.0
    assert guide("", "Four", "four")[0] == 0.0
    assert guide("", np.array([1, 2]), [1, 2])[0] == 1.0
    assert guide("", 1, True)[0] == 0.0, "a truth value is no number"
    assert exact_match(key="answer")("", 3, {"answer": 3})[0] == 1.0
    assert exact_match(reveal=False)("", 3, 4) == (0.0, "wrong: got 3")


def test_numeric_tolerance_scores_and_tells_the_direction():
    guide = numeric_tolerance(absolute=0.5, relative=0.1, scale=2.0)
    assert guide("", 11.5, 10) == (1.0, "correct")
    score, told = guide("", 4.0, 10)
    assert score == 1 / (1 + 6 / 2)
    assert told.startswith("The output should be larger.")
    assert numeric_tolerance(direction=False, reveal=False)("", 3, 2) == (0.5, "")
    assert guide("", "many", 10)[0] == 0.0
    assert guide("", math.inf, 10)[0] == 0.0
    assert guide("", math.nan, 10)[0] == 0.0
    with pytest.raises(ValueError, match="scale must be in"):
        numeric_tolerance(scale=0)


def test_function_tests_runs_functions_and_sources():
    tests = [((1, 2), 3), ((0.1, 0.2), 0.3), ((1, "a"), None)]
    score, told = function_tests(tests=tests)("", lambda a, b: a + b, None)
    assert score == pytest.approx(2 / 3)
    assert "(1, 'a') raised TypeError" in told
    info = {"function": "add", "tests": tests[:2]}
    guide = function_tests()
    assert guide("", "def add(a, b):\n    return a + b\n", info) == (1.0, "correct: all tests passed")
    score, told = guide("", "def add(a, b):\n    return a - b\n", info)
    assert score == 0.0
    assert "(1, 2) gave -1, 3 was expected" in told
    assert guide("", 7, info)[0] == 0.0


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        (0.5, r"must return \(score, feedback\), got 0.5 \(float\) on sample 3 \(query 'q'\)"),
        ((1, 2, 3), "must return"),
        (("good", ""), r"score must be a finite number, got 'good' \(str\)"),
        ((math.nan, ""), "finite number, got nan"),
        ((math.inf, ""), "finite number, got inf"),
        (({"a": "b"}, ""), "score of 'a' must be a finite number"),
        (({}, ""), "empty mapping"),
    ],
)
def test_what_a_guide_returns_is_checked(returned, told):
    with pytest.raises(GuideError, match=told):
        judge(lambda query, response, info: returned, Sample(3, "q"), None)


def test_scores_of_numpy_truth_values_and_none_are_scores():
    for given, score in ((np.float32(0.5), 0.5), (True, 1.0), (np.bool_(True), 1.0), (np.array(2), 2.0), (None, None)):
        assert judge(lambda *_, given=given: (given, ""), Sample(0, ""), None).score == score


def test_an_exception_of_a_guide_names_the_sample_and_is_kept():
    def guide(query, response, info):
        raise ZeroDivisionError("no")

    with pytest.raises(GuideError, match=r"raised on sample 7 \(query 'q'\): ZeroDivisionError: no") as caught:
        judge(guide, Sample(7, "q"), None)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_guide_that_is_a_coroutine_function_is_named_as_such():
    async def guide(query, response, info):
        await asyncio.sleep(0)

    with pytest.raises(GuideError, match="must be a plain function"):
        judge(guide, Sample(0, ""), None)


@pytest.mark.parametrize("error", [ChatError("no server"), BudgetExceeded("spent")])
def test_models_that_cannot_be_asked_are_not_the_guides_fault(error):
    def guide(query, response, info):
        raise error

    with pytest.raises(type(error)) as caught:
        judge(guide, Sample(0, ""), None)
    assert caught.value is error


def test_weighted_needs_the_objectives_it_names():
    guide = weighted(lambda q, r, i: ({"right": 1, "short": 0}, "told"), {"right": 2, "short": 1})
    assert guide("", "", "") == (2.0, "told")
    with pytest.raises(GuideError, match="did you mean 'right'"):
        judge(weighted(lambda q, r, i: ({"right": 1}, ""), {"rigth": 1}), Sample(0, ""), None)


def test_data_sets_come_in_three_forms():
    pairs = read_dataset("dataset", [("a", 1), ["b", 2]])
    assert pairs == read_dataset("dataset", [{"query": "a", "info": 1}, {"query": "b", "info": 2}])
    assert pairs == read_dataset("dataset", {"inputs": ["a", "b"], "infos": [1, 2]})
    with pytest.raises(OptimandError, match="validation is empty"):
        read_dataset("validation", [])
    with pytest.raises(TypeError, match=r"dataset\[1\] must be \(query, info\)"):
        read_dataset("dataset", [("a", 1), "b"])
    with pytest.raises(TypeError, match="dataset must be a sequence"):
        read_dataset("dataset", "ab")
    with pytest.raises(ValueError, match="2 inputs and 1 infos"):
        read_dataset("dataset", {"inputs": [1, 2], "infos": [1]})


def test_every_epoch_has_each_sample_once_in_an_order_of_its_own():
    samples = read_dataset("dataset", [(i, None) for i in range(10)])
    batches = Batches(samples, 3, seed=5)
    epochs = [[s.query for i in range(4) for s in batches.batch(4 * e + i)] for e in range(2)]
    assert [len(batches.batch(i)) for i in range(4)] == [3, 3, 3, 1]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(10))
    assert epochs[0] != epochs[1]
    again = Batches(samples, 3, seed=5)
    assert [s.query for s in again.batch(6)] == [s.query for s in batches.batch(6)], "no state between batches"
    assert [s.query for s in Batches(samples, 99).batch(3)] == list(range(10))


def test_drawn_samples_are_in_the_order_of_the_data():
    from optimand.core.seeds import SeedTree

    samples = read_dataset("dataset", [(i, None) for i in range(10)])
    found = [s.query for s in drawn(samples, 4, SeedTree(0).child("x"))]
    assert len(found) == 4
    assert found == sorted(set(found))
    assert drawn(samples, None, SeedTree(0)) == list(samples)


def test_arrays_are_equal_as_a_whole_and_strange_answers_are_wrong():
    guide = exact_match()
    for answer in (np.array([1, 2, 3]), np.array([]), np.array([[1, 2]]), np.array([1, 1])):
        assert guide("", answer, [1, 2])[0] == 0.0
    assert guide("", np.array([3, 3]), 3)[0] == 0.0
    assert guide("", np.array([]), 5)[0] == 0.0
    assert guide("", [np.array([1, 2]), 3], [np.array([1, 2]), 3])[0] == 1.0
    assert guide("", [np.array([1, 2])], [np.array([1, 3])])[0] == 0.0
    tests = function_tests(tests=[((), np.array([1, 2]))])
    for answer, score in ((np.array([1, 2]), 1.0), (np.array([1, 2, 3]), 0.0), (np.array([]), 0.0)):
        assert tests("", lambda answer=answer: answer, None)[0] == score


def test_a_number_beyond_all_floats_is_a_wrong_answer():
    assert numeric_tolerance()("", 10**400, 2)[0] == 0.0
