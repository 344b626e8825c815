"""The structure and the window as users meet them: errors, states, batches."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from optimand.combinatorial.submodular.dynamic import ENGINES, DynamicSubmodular, SlidingWindow
from optimand.combinatorial.submodular.objectives.coverage import Coverage
from optimand.combinatorial.submodular.objectives.functions import SetFunction
from optimand.core.validation import OptimandError

NAMED = {"a": [1, 2, 3], "b": [3, 4], "c": [4], "d": [5, 6]}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"k": 0}, ValueError, "k must be at least 1, got 0"),
        ({"k": 2.5}, TypeError, "k must be an integer, got 2.5"),
        ({"eps": 0.0}, ValueError, r"eps must be in \(0, 0.5\), got 0.0"),
        ({"eps": 0.5}, ValueError, r"eps must be in \(0, 0.5\), got 0.5"),
        ({"eps": "small"}, TypeError, "eps must be a number"),
        ({"engine": "bucket"}, ValueError, "did you mean 'buckets'"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
        ({"n_hint": 0}, ValueError, "n_hint must be at least 1"),
        ({"trials": 0}, ValueError, "trials must be at least 1"),
        ({"trials": "many"}, ValueError, "trials must be one of 'theory'"),
        ({"trials": "theory"}, OptimandError, "needs n_hint"),
        ({"engine": "buckets", "growth": 1.0}, ValueError, "growth must be in"),
        ({"engine": "buckets", "guesses": 0.0}, ValueError, "guesses must be in"),
        ({"engine": "buckets", "slack": 0.1}, TypeError, "engine 'buckets' has no option 'slack'"),
        ({"engine": "lattanzi", "slack": 1.0}, ValueError, "slack must be in"),
        ({"engine": "permutation", "growth": 2.0}, TypeError, "engine 'permutation' has no option 'growth'"),
        ({"engine": "lattanzi", "growth": 2.0}, TypeError, "engine 'lattanzi' has no option 'growth'"),
        ({"engine": "greedy", "literal": True}, TypeError, "engine 'greedy' has no option 'literal'"),
        ({"slack": -0.1}, ValueError, "slack must be in"),
    ],
)
def test_bad_settings_are_named(options, error, message):
    with pytest.raises(error, match=message):
        DynamicSubmodular(Coverage(NAMED), **{"k": 2, **options})


@pytest.mark.parametrize("engine", ENGINES)
def test_bad_updates_are_named_and_change_nothing(engine):
    d = DynamicSubmodular(Coverage(NAMED), 2, engine=engine)
    d.insert("a")
    with pytest.raises(ValueError, match="'a', which is"):
        d.insert("a")
    with pytest.raises(KeyError, match="'b', which is not"):
        d.delete("b")
    with pytest.raises(KeyError, match="not in the ground set"):
        d.insert("z")
    with pytest.raises(TypeError, match="hash"):
        d.insert(["a"])
    with pytest.raises(TypeError):
        d.delete(["a"])
    for operations, error in (
        ([("+", "b"), ("+", "b")], ValueError),
        ([("+", "b"), ("-", "c")], KeyError),
        ([("+", "b"), ("*", "c")], ValueError),
        ([("+", "b"), None], TypeError),
        ([("+", "b"), ("-", "b"), ("-", "b")], KeyError),
    ):
        with pytest.raises(error):
            d.update(operations)
    assert d.elements == ["a"]
    assert d.value == 3.0
    assert "a" in d
    assert "b" not in d
    assert "z" not in d
    d.update([("+", "b"), ("-", "a"), ("+", "a"), ("-", "b")])
    assert d.elements == ["a"]
    assert d.value == 3.0


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("bad", "message"), [(float("nan"), "nan"), (-5.0, "not monotone"), (float("inf"), "inf")])
def test_a_bad_gain_names_its_element(engine, bad, message):
    f = SetFunction(lambda s: sum(bad if e == "poison" else 1.0 for e in s))
    d = DynamicSubmodular(f, 2, engine=engine)
    d.insert("good")
    with pytest.raises(ValueError, match=f"'poison' is .*{message}|'poison'.*{message}"):
        d.insert("poison")
    assert (d.elements, d.value) == (["good"], 1.0)


@pytest.mark.parametrize("engine", ["incremental", "greedy"])
def test_no_part_of_a_solution_passes_for_one_after_a_bad_gain(engine):
    worth = {"good": 3.0, "poison": 2.0, "x": 1.0, "y": 1.0, "best": 4.0}
    f = SetFunction(lambda s: math.nan if {"poison", "best"} <= set(s) else float(sum(worth[e] for e in s)), worth)
    d = DynamicSubmodular(f, 3, engine=engine)
    d.update([("+", "x"), ("+", "good"), ("+", "poison")])
    assert d.value == 6.0
    d.insert("best")
    for _ in range(2):
        with pytest.raises(ValueError, match="'poison' is nan"):
            _ = d.solution
    d.delete("poison")
    d.insert("y")
    assert d.value == 8.0
    assert {"best", "good"} < set(d.solution)


def test_a_function_that_is_not_monotone_gets_a_warning():
    with pytest.warns(UserWarning, match="not monotone"):
        DynamicSubmodular(SetFunction(len, "ab", monotone=False), 1)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_function_of_sets_gives_what_coverage_gives(small, engine):
    f = small.coverage(np.random.default_rng(8), n=30, items=40)
    rows = [frozenset(f.data.indices[f.data.indptr[i] : f.data.indptr[i + 1]].tolist()) for i in range(30)]
    g = SetFunction(lambda s: float(len(frozenset().union(*(rows[i] for i in s)))), range(30))
    one, two = (DynamicSubmodular(h, 4, 0.3, engine, seed=2) for h in (f, g))
    for comes, i in small.random_stream(np.random.default_rng(9), 30, 150):
        for d in (one, two):
            (d.insert if comes else d.delete)(i)
        assert one.value == two.value
        assert engine == "incremental" or one.solution == two.solution


@pytest.mark.parametrize("engine", ENGINES)
def test_the_empty_set_may_be_worth_something(engine):
    f = SetFunction(lambda s: 10.0 + len({c for word in s for c in word}))
    d = DynamicSubmodular(f, 2, engine=engine)
    assert d.value == 10.0
    d.update([("+", "abc"), ("+", "cd"), ("+", "c")])
    assert d.value == 14.0
    for word in ("abc", "cd", "c"):
        d.delete(word)
    assert d.value == 10.0


@pytest.mark.parametrize("options", [{"engine": e} for e in ENGINES] + [
    {"engine": "buckets", "literal": True}, {"engine": "lattanzi", "n_hint": 64, "slack": 0.2},
    {"engine": "incremental", "slack": 0.1}, {"engine": "permutation", "guesses": 7.0}])  # fmt: skip
def test_a_state_in_mid_stream_goes_on_alike(small, options):
    f = small.coverage(np.random.default_rng(1), n=60, items=90)
    stream = list(small.random_stream(np.random.default_rng(2), 60, 120))

    def follow(d, part):
        found = []
        for comes, i in part:
            (d.insert if comes else d.delete)(i)
            found.append((d.value, d.solution, d.oracle_calls))
        return found

    first = DynamicSubmodular(f, 5, 0.3, seed=7, **options)
    again = DynamicSubmodular(f, 5, 0.3, seed=7, **options)
    begun = follow(first, stream[:60])
    assert begun == follow(again, stream[:60])
    for comes, i in stream[60:63]:  # a state that is taken before anyone asked
        (first.insert if comes else first.delete)(i)
    saved = json.loads(json.dumps(first.state_dict()))
    other = DynamicSubmodular(f, 5, 0.3, seed=99, **options)
    other.load_state_dict(saved)
    assert other.elements == first.elements
    assert other.stats()["calls"] == first.stats()["calls"]
    assert follow(first, stream[63:]) == follow(other, stream[63:])


def test_a_state_fits_only_where_it_came_from():
    d = DynamicSubmodular(Coverage(NAMED), 2)
    d.insert("b")
    saved = d.state_dict()
    with pytest.raises(OptimandError, match="k=2, this has k=3"):
        DynamicSubmodular(Coverage(NAMED), 3).load_state_dict(saved)
    with pytest.raises(OptimandError, match="engine='incremental', this has engine='greedy'"):
        DynamicSubmodular(Coverage(NAMED), 2, engine="greedy").load_state_dict(saved)
    with pytest.raises(OptimandError, match="another objective"):
        DynamicSubmodular(Coverage({"b": [1], "a": [2]}), 2).load_state_dict(saved)


def test_an_open_ground_set_survives_a_round_trip():
    def letters(s):
        return float(len({c for word in s for c in word[0]}))

    words = [(w, i) for i, w in enumerate(["tree", "stone", "air", "house", "sea", "moss", "rain"])]
    for engine in ENGINES:
        d = DynamicSubmodular(SetFunction(letters), 3, engine=engine)
        for w in words[:5]:
            d.insert(w)
        d.delete(words[1])
        other = DynamicSubmodular(SetFunction(letters), 3, engine=engine)
        other.load_state_dict(json.loads(json.dumps(d.state_dict())))
        for each in (d, other):
            each.insert(words[5])
            each.insert(words[1])
            each.delete(words[0])
        assert (d.value, d.solution) == (other.value, other.solution)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_window_holds_its_last_elements(engine):
    rng = np.random.default_rng(0)
    stream = rng.choice(list("abcd"), size=60).tolist()
    d = DynamicSubmodular(Coverage(NAMED), 2, engine=engine)
    window = SlidingWindow(d, 4)
    for t, e in enumerate(stream):
        window.push(e)
        assert set(d.elements) == set(stream[max(0, t - 3) : t + 1])
        assert len(window) == min(t + 1, 4)
    copy = SlidingWindow(DynamicSubmodular(Coverage(NAMED), 2, engine=engine), 4)
    copy.load_state_dict(json.loads(json.dumps(window.state_dict())))
    for w in (window, copy):
        w.extend("ddab")
    assert window.d.solution == copy.d.solution
    assert window.d.elements == copy.d.elements


def test_a_window_over_tuples_survives_a_round_trip():
    rows = {("a", 1): [1, 2], ("b", 2): [2, 3], ("c", 3): [4]}
    window = SlidingWindow(DynamicSubmodular(Coverage(rows), 2), 2)
    window.extend(rows)
    copy = SlidingWindow(DynamicSubmodular(Coverage(rows), 2), 2)
    copy.load_state_dict(json.loads(json.dumps(window.state_dict())))
    copy.push(("a", 1))
    assert set(copy.d.elements) == {("c", 3), ("a", 1)}


def test_windows_say_what_is_wrong():
    d = DynamicSubmodular(Coverage(NAMED), 2)
    with pytest.raises(ValueError, match="width must be at least 1"):
        SlidingWindow(d, 0)
    window = SlidingWindow(d, 2)
    window.extend("ab")
    with pytest.raises(KeyError):
        window.push("z")
    assert (len(window), d.elements) == (2, ["a", "b"])
    with pytest.raises(ValueError, match="d must be empty"):
        SlidingWindow(d, 2)
    with pytest.raises(TypeError, match=r"d must be a DynamicSubmodular, got .*Coverage"):
        SlidingWindow(Coverage(NAMED), 2)
    assert repr(window).startswith("SlidingWindow(DynamicSubmodular(")
    assert "width=2" in repr(window)
    with pytest.raises(OptimandError, match="window of 2, this is one of 3"):
        SlidingWindow(DynamicSubmodular(Coverage(NAMED), 2), 3).load_state_dict(window.state_dict())


def test_an_operation_is_no_text_of_two_letters():
    d = DynamicSubmodular(Coverage(NAMED), 2)
    with pytest.raises(TypeError, match=r"must be a pair such as \('\+', element\), got '\+a'"):
        d.update(["+a"])
    assert len(d) == 0


def test_an_unknown_option_brings_the_arguments_of_all_engines_to_mind():
    with pytest.raises(TypeError, match=r"it has slack .*did you mean 'eps'"):
        DynamicSubmodular(Coverage(NAMED), 2, epsilon=0.1)
