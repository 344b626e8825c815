"""What texts of feedback are read as."""

import pytest

from optimand.language.workflows.heuristic.feedback_parsing import ParsedFeedback, parse_feedback


@pytest.mark.parametrize(
    ("text", "direction"),
    [
        ("The output should be larger.", 1),
        ("The output should be smaller.", -1),
        ("too low", 1),
        ("The value is far too high!", -1),
        ("not high enough", 1),
        ("The output is larger than the target.", -1),
        ("It is still lower than wanted", 1),
        ("The number needs to be larger than 3", 1),
        ("should not be larger", -1),
        ("please increase it", 1),
        ("larger; smaller", 0),
        ("ID [0]: larger\nID [1]: larger\nID [2]: smaller", 1),
        ("Nothing of the kind", 0),
        ("a high tower", 0),
    ],
)
def test_words_of_direction(text, direction):
    parsed = parse_feedback(text)
    assert parsed.direction == direction
    assert parsed.score is None
    assert not parsed.failed


@pytest.mark.parametrize(
    ("feedback", "score"),
    [
        (3, 3.0),
        (-2.5, -2.5),
        (float("nan"), float("-inf")),
        (True, 1.0),
        (False, 0.0),
        ("1e-3", 1e-3),
        ("score: 0.25, well", 0.25),
        ("score: -31.2500. green_a: mean wait 3.1 s", -31.25),
        ("accuracy: 95%", 0.95),
        ("the loss is 4", -4.0),
        ("ID [0]: score 1\nID [1]: score 2", 1.5),
        ({"score": 0.5, "feedback": "fine"}, 0.5),
    ],
)
def test_scores(feedback, score):
    assert parse_feedback(feedback).score == score


def test_names_of_parameters_make_hints():
    parsed = parse_feedback("Increase green_a; green_b is too long, but the output is fine", ["green_a", "green_b"])
    assert parsed == ParsedFeedback(0, {"green_a": 1, "green_b": -1})
    # a name inside another word is none
    assert parse_feedback("increase evergreen_a", ["green_a"]).direction == 1


@pytest.mark.parametrize(
    ("text", "done"),
    [("The output is right.", True), ("All cases are correct.", True), ("incorrect", False), ("not right", False),
     ("is not solved", False), ("right, but should be larger", False)],
)  # fmt: skip
def test_words_of_approval(text, done):
    assert parse_feedback(text).done is done


def test_texts_of_exceptions_are_failures():
    assert parse_feedback("return 10/x <--- (ZeroDivisionError) division by zero.\nlarger") == ParsedFeedback(
        failed=True
    )
    assert parse_feedback(None) == ParsedFeedback()


@pytest.mark.parametrize(
    ("text", "done", "score"),
    [
        ("ID [0]: correct\nscore: 1\nID [1]: wrong: 'human' was expected, not 'bot'\nscore: 0", False, 0.5),
        ("ID [0]: correct\nscore: 1\nID [1]: correct: all tests passed\nscore: 1", True, 1.0),
        ("ID [0]: correct\nscore: 1\nID [1]: correct\nscore: 0.5", False, 0.75),
        ("ID [0]: correct\nscore: 1\nID [1]: no comment\nscore: 0.5", False, 0.75),
        ("ID [0]: correct\nID [1]: wrong", False, 0.5),
        ("ID [0]: correct\nID [1]: correct", True, 1.0),
        ("correct\nscore: 0.5", False, 0.5),
        ("the right lane was full", False, None),
        ("Right lane: full", False, None),
        ("The answer is right.", True, None),
        ("Well done!", True, None),
        ("The sign is correct, the rest is wrong", False, None),
        ({"score": 0.5, "feedback": "correct"}, False, 0.5),
    ],
)
def test_right_is_a_verdict_on_all_parts(text, done, score):
    parsed = parse_feedback(text)
    assert (parsed.done, parsed.score, parsed.direction) == (done, score, 0)
