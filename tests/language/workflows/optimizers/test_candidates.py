"""OptoPrimeMulti: ways to make candidates and to choose among them; clusters of texts."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest

from optimand.core.validation import OptimandError
from optimand.language.llm import Scripted
from optimand.language.workflows.optimizers.clusters import complete_linkage, majority, text_distance
from optimand.language.workflows.optimizers.multi import GENERATIONS, OptoPrimeMulti
from optimand.language.workflows.tracing.nodes import ParameterNode
from optimand.language.workflows.tracing.tape import Tape


@pytest.fixture(autouse=True)
def names_from_zero():
    with Tape():
        yield


def say(value, reasoning=""):
    return json.dumps({"reasoning": reasoning, "answer": "", "suggestion": {"x0": value}})


def run(replies, **options):
    with Tape():
        x = ParameterNode(0, name="x", maximum=99)
    model = Scripted(replies)
    optimizer = OptoPrimeMulti([x], model, **options)
    optimizer.zero_feedback()
    optimizer.backward(x + 1, "larger")
    optimizer.step()
    return x.data, model, optimizer


def roles(model):
    return [call[1]["role"].removeprefix("optoprime.") for call in model.calls]


def test_temperatures_fall_evenly_from_one_to_zero():
    _, model, _ = run([say(1), say(2), say(3)], selection="last_of_n")
    assert [call[1]["temperature"] for call in model.calls] == [1.0, 0.5, 0.0]
    assert len({call[0][1]["content"] for call in model.calls}) == 1
    _, model, _ = run([say(n) for n in range(5)], selection="last_of_n", responses=5, temperatures=(0.8, 0.4))
    assert [round(call[1]["temperature"], 10) for call in model.calls] == [0.8, 0.7, 0.6, 0.5, 0.4]


def test_refinement_shows_the_last_candidate():
    value, model, _ = run([say(1), say(2), say(3)], generation="self_refinement", selection="last_of_n")
    assert value == 3
    assert roles(model) == ["candidate"] * 3
    texts = [call[0][1]["content"] for call in model.calls]
    assert ['"x0": 1' in text for text in texts] == [False, True, False]
    assert ['"x0": 2' in text for text in texts] == [False, False, True]
    assert all(text.endswith("Your reply:") for text in texts)


def test_alternatives_show_all_candidates():
    _, model, _ = run([say(1), say(2), say(3)], generation="iterative_alternatives", selection="last_of_n")
    texts = [call[0][1]["content"] for call in model.calls]
    assert ['"x0": 1' in text for text in texts] == [False, True, True]
    assert '"x0": 2' in texts[2]


def test_experts_are_named_by_one_more_call_or_given():
    named = json.dumps({"experts": ["a cook", "a\n#judge", "a pilot"]})
    _, model, _ = run([named, say(1), say(2), say(3)], generation="multi_experts", selection="last_of_n")
    assert roles(model) == ["experts", "candidate", "candidate", "candidate"]
    assert "expert would: a cook" in model.calls[1][0][1]["content"]
    assert "expert would: a #judge" in model.calls[2][0][1]["content"]
    _, model, _ = run([say(1), say(2)], generation="multi_experts", experts=["me"], responses=2, selection="last_of_n")
    assert roles(model) == ["candidate", "candidate"]
    _, model, _ = run(["hm", say(1), say(2), say(3)], generation="multi_experts", selection="last_of_n")
    assert "someone who knows the subject" in model.calls[1][0][1]["content"]


def test_best_of_n_takes_the_models_choice():
    value, model, _ = run([say(1), say(2), say(3), '{"reasoning": "", "choice": 2}'], selection="best_of_n")
    assert value == 2
    assert roles(model) == ["candidate"] * 3 + ["select"]
    assert '"x0": 3' in model.calls[3][0][1]["content"]


@pytest.mark.parametrize("choice", ["hm", '{"choice": 9}'])
def test_a_choice_that_cannot_be_read_means_the_first_and_is_reported(choice):
    value, _, optimizer = run([say(1), say(2), say(3), choice], selection="best_of_n")
    assert value == 1
    assert any("the first is taken" in note for note in optimizer.report.notes)


def test_moa_joins_the_candidates():
    value, model, _ = run([say(1), say(2), say(3), say(44)], selection="moa")
    assert value == 44
    assert roles(model)[-1] == "merge"
    value, _, optimizer = run([say(1), say(2), say(3), "hm"], selection="moa")
    assert value == 1
    assert any("could not be joined" in note for note in optimizer.report.notes)


@pytest.mark.parametrize("selection", ["best_of_n", "moa"])
def test_candidates_that_agree_need_no_choice(selection):
    value, model, _ = run([say(5, "a"), say(5, "b"), say(5, "c")], selection=selection)
    assert value == 5
    assert len(model.calls) == 3


def test_majority_votes_on_values_without_a_call():
    value, model, _ = run([say(7, "seven"), say(42, "a"), say(42, "quite another")], selection="majority")
    assert value == 42
    assert len(model.calls) == 3


def test_the_best_by_score_is_taken_and_the_earliest_of_equals():
    seen = []

    def score(proposal):
        seen.append({key.py_name: value for key, value in proposal.items()})
        return -abs(next(iter(proposal.values()), 0) - 10)

    value, model, optimizer = run([say(9), say(30), "TERMINATE", say(11)], responses=4, score=score)
    assert value == 9
    assert optimizer.selection == "score"
    assert seen == [{"x0": 9}, {"x0": 30}, {}, {"x0": 11}]
    assert len(model.calls) == 4


def test_candidates_of_no_use_are_passed_over_and_counted():
    value, _, optimizer = run(["hm", say(120), say(3)], selection="majority")
    assert value == 3
    assert "2 of 3 candidates were of no use" in optimizer.report.notes
    value, _, optimizer = run(["hm", "hm", "ho"], selection="best_of_n")
    assert value == 0
    assert optimizer.report.fault
    value, model, optimizer = run(["TERMINATE"] * 3, selection="best_of_n")
    assert optimizer.report.terminated
    assert len(model.calls) == 3


@pytest.mark.parametrize("generation", GENERATIONS)
def test_threads_change_neither_calls_nor_results(generation):
    def reply(messages, **options):
        if options["role"] == "optoprime.experts":
            return json.dumps({"experts": ["a", "b", "c", "d"]})
        return say((len(messages[-1]["content"]) + options["seed"]) % 90 + 1)

    def once(threads):
        with Tape():
            value, model, optimizer = run(
                reply, generation=generation, selection="majority", responses=4, threads=threads, seed=5
            )
        return value, sorted(call[1]["seed"] for call in model.calls), optimizer.report

    assert once(1) == once(4)


def test_retries_of_each_candidate_have_their_own_numbers():
    replies = ["hm", say(1), say(2), "hm", "hm"]
    _, model, optimizer = run(replies, selection="last_of_n", retries=1, seed=1)
    assert len(model.calls) == 5
    assert len({call[1]["seed"] for call in model.calls}) == 5
    assert optimizer.report.replies == tuple(replies)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"responses": 0}, ValueError, "responses must be at least 1"),
        ({"generation": "magic"}, ValueError, "generation must be one of"),
        ({"selection": "first"}, ValueError, "selection must be one of"),
        ({"selection": "score"}, OptimandError, "selection='score' needs score="),
        ({"experts": "me"}, TypeError, "experts must be a list of texts"),
        ({"similarity": 2}, ValueError, "similarity must be in"),
        ({"temperatures": (-1, 0)}, ValueError, "temperatures must be in"),
    ],
)
def test_bad_arguments_are_named(options, error, text):
    with pytest.raises(error, match=text):
        OptoPrimeMulti([ParameterNode(1, name="x")], Scripted([]), **options)


@pytest.mark.parametrize("seed", range(20))
def test_clusters_are_those_of_a_peer(seed):
    from scipy.cluster.hierarchy import fcluster, linkage

    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 1, (rng.integers(2, 12), 2))
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    condensed = distances[np.triu_indices(len(points), 1)]
    labels = fcluster(linkage(condensed, "complete"), 0.2, "distance")
    expected = sorted([index for index in range(len(points)) if labels[index] == label] for label in set(labels))
    assert complete_linkage(distances.tolist(), 0.2) == expected


def test_chained_neighbours_are_not_one_cluster():
    places = [0.0, 0.15, 0.3, 0.45]
    distances = [[abs(a - b) for b in places] for a in places]
    assert complete_linkage(distances, 0.2) == [[0, 1], [2, 3]]
    assert complete_linkage([[0, 0.2], [0.2, 0]], 0.2) == [[0], [1]]


def test_the_medoid_of_the_largest_cluster_wins():
    texts = ["zzzz", "abcdefghij", "abcdefghiX", "abcdefghYX"]
    assert majority(texts, 0.5) == 2
    assert majority(["a", "b"]) == 0


def test_text_distance_is_symmetric():
    rng = random.Random(3)
    for _ in range(30):
        a, b = ("".join(rng.choices("abc ", k=rng.randint(0, 30))) for _ in range(2))
        assert text_distance(a, b) == text_distance(b, a)
        assert 0 <= text_distance(a, b) <= 1
