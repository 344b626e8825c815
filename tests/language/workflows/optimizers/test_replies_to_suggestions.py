"""Suggestions in replies: what models write around and instead of JSON, and what must not be guessed."""

from __future__ import annotations

import json
import random

import pytest

from optimand.language.workflows.optimizers.values import read_suggestion
from optimand.language.workflows.tracing.nodes import ParameterNode
from optimand.language.workflows.tracing.tape import Tape


@pytest.fixture
def five():
    with Tape():
        return [
            ParameterNode(1, name="count", minimum=0, maximum=99),
            ParameterNode(0.5, name="rate"),
            ParameterNode(True, name="loud"),
            ParameterNode("old", name="prompt"),
            ParameterNode([1, 2], name="sizes"),
        ]


def names(parameters):
    return [parameter.py_name for parameter in parameters]


def values_of(rng):
    words = ["Answer in one word", "Say TERMINATE at the end", "a, b: c", "use {braces}", "two\nlines", "it is 5"]
    return [
        rng.randint(0, 99),
        rng.randint(-800, 800) / 8,
        rng.random() < 0.5,
        rng.choice(words),
        [3, rng.randint(0, 9)],
    ]


def plain_reply(values, reasoning="It is too small."):
    return json.dumps({"reasoning": reasoning, "answer": "", "suggestion": values}, indent=2)


def draft(values):
    return {**values, "count0": (values["count0"] + 1) % 100}


def mutations(rng, values):
    """One reply with up to three things that models do to JSON; each leaves the meaning as it is."""
    reasoning = rng.choice(
        ["It is too small.", "Do not TERMINATE yet.", "See {x} and [y].", "The user's text is short."]
    )
    said = dict(values)
    if rng.random() < 0.3:
        said["count0"] = str(said["count0"])
    if rng.random() < 0.3:
        said["loud0"] = str(said["loud0"])
    if rng.random() < 0.3:
        said["sizes0"] = str(said["sizes0"])
    text = plain_reply(said, reasoning)
    form = rng.choice(["json", "trailing", "python", "naive quotes", "no comma", "comment", "one line", "raw lines"])
    if form == "trailing":
        text = text.replace("\n  }\n}", ",\n  },\n}")
    elif form == "python":
        text = repr({"reasoning": reasoning, "answer": "", "suggestion": said})
    elif form == "naive quotes":
        text = text.replace('"', "'")
    elif form == "raw lines":
        text = text.replace("\\n", "\n")
    elif form == "no comma":
        text = text.replace(',\n    "loud0"', '\n    "loud0"').replace(',\n    "prompt0"', '\n    "prompt0"')
    elif form == "comment":
        text = text.replace('\n    "loud0"', '\n    // a flag\n    "loud0"')
    elif form == "one line":
        text = json.dumps(json.loads(text))
    around = rng.choice(["bare", "fence", "plain fence", "prose", "two objects", "brace"])
    if around == "fence":
        text = f"Here it is:\n```json\n{text}\n```\nGood luck!"
    elif around == "plain fence":
        text = f"```\n{text}\n```"
    elif around == "prose":
        text = f"Sure, I will TERMINATE the search soon.\n\n{text}\n\nThis should be better."
    elif around == "two objects":
        text = f"First I thought of\n{plain_reply(draft(values))}\nbut better is\n{text}"
    elif around == "brace":
        text = f"The set {{a, b}} of variables matters.\n{text}"
    if rng.random() < 0.4:
        thought = rng.choice([json.dumps({"suggestion": draft(values)}), "Maybe {count0: 3}? TERMINATE?", "Hm."])
        tag = rng.choice(["think", "thinking", "reasoning"])
        text = f"<{tag}>\n{thought}\n</{tag}>\n{text}"
    return text


def test_200_mutated_replies_are_recovered_without_a_wrong_value(five):
    rng = random.Random(2406)
    recovered = wrong = 0
    for _ in range(200):
        truth = dict(zip(names(five), values_of(rng), strict=True))
        found = read_suggestion(mutations(rng, truth), five)
        recovered += found.values == truth
        wrong += any(truth[name] != value for name, value in found.values.items())
    assert wrong == 0
    assert recovered >= 190


def test_a_reply_cut_off_anywhere_gives_no_wrong_value(five):
    truth = dict(zip(names(five), values_of(random.Random(1)), strict=True))
    whole = plain_reply(truth)
    for end in range(len(whole)):
        found = read_suggestion(whole[:end], five)
        assert all(truth[name] == value for name, value in found.values.items())
        assert found.values == truth or found.fault


@pytest.mark.parametrize("text", ["TERMINATE", " terminate. ", "```\nTERMINATE\n```", "<think>{x}</think>\nTERMINATE"])
def test_terminate_alone_ends(five, text):
    found = read_suggestion(text, five)
    assert found.terminated
    assert not found.values


@pytest.mark.parametrize(
    "whole",
    [
        {"reasoning": "all is well", "answer": "TERMINATE", "suggestion": {}},
        {"reasoning": "all is well", "answer": "TERMINATE"},
        {"reasoning": "all is well", "suggestion": "TERMINATE"},
    ],
)
def test_terminate_as_the_whole_answer_of_an_object_ends(five, whole):
    assert read_suggestion(json.dumps(whole), five).terminated


def test_terminate_within_a_reasoning_or_beside_a_suggestion_does_not(five):
    found = read_suggestion('{"reasoning": "I TERMINATE after this", "suggestion": {"count0": 4}}', five)
    assert found.values == {"count0": 4}
    assert not found.terminated
    beside = read_suggestion('{"answer": "TERMINATE", "suggestion": {"count0": 4}}', five)
    assert beside.values == {"count0": 4}


def test_unknown_names_are_reported_and_the_rest_is_kept(five):
    found = read_suggestion('{"suggestion": {"count0": 4, "speed0": 9, "rate0": "fast"}}', five)
    assert found.values == {"count0": 4}
    assert found.unknown == ("speed0",)
    assert "rate0 must be a number" in found.rejected["rate0"]


def test_names_with_a_colon_or_without_index_are_understood(five):
    assert read_suggestion('{"suggestion": {"count:0": 4, "rate": 2}}', five).values == {"count0": 4, "rate0": 2.0}


def test_a_name_without_index_that_two_parameters_have_is_unknown():
    with Tape():
        two = [ParameterNode(1, name="x"), ParameterNode(2, name="x")]
    assert read_suggestion('{"suggestion": {"x": 4}}', two).unknown == ("x",)


def test_an_object_of_parameter_names_alone_is_a_suggestion(five):
    assert read_suggestion('{"count0": 4}', five).values == {"count0": 4}
    assert read_suggestion('{"count0": 4} or {"count0": 5}', five).fault
    assert read_suggestion('{"count0": 4, "note": 1}', five).fault


def test_a_suggestion_written_as_a_text_of_json_is_read(five):
    assert read_suggestion(json.dumps({"suggestion": '{"count0": 4}'}), five).values == {"count0": 4}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no idea",
        '{"reasoning": "x"}',
        '{"suggestion": 3}',
        '{"suggestion": {"count0": 1, "count0": 2}}',
        '{"suggestion": {"count0": 4',
        '<think>{"suggestion": {"count0": 4}}',
        "[1, 2]",
        "{" * 5000,
    ],
)
def test_what_cannot_be_read_says_so(five, text):
    found = read_suggestion(text, five)
    assert found.values == {}
    assert found.fault
    assert not found.terminated


def test_tags_of_thinking_inside_a_value_stay(five):
    said = "Think in <think></think>, then answer"
    assert read_suggestion(plain_reply({"prompt0": said}), five).values == {"prompt0": said}
