"""Values of parameters: schemas, conversion by JSON, code that keeps its signature."""

from __future__ import annotations

import numpy as np
import pytest

from optimand.core.validation import OptimandError
from optimand.language.llm.schemas import faults_of
from optimand.language.workflows.optimizers.code_values import convert_code, signature_text
from optimand.language.workflows.optimizers.kinds import ValueRejected, convert_like, plain, schema_like
from optimand.language.workflows.optimizers.values import convert, schema_for
from optimand.language.workflows.tracing.nodes import ParameterNode
from optimand.language.workflows.tracing.parameters import CodeParameter

SOURCE = 'def act(x, *, n=2):\n    """Twice."""\n    return x * n'


def parameter(value, **about):
    return ParameterNode(value, name="p", **about)


@pytest.mark.parametrize(
    ("old", "said", "value"),
    [
        (True, "False", False),
        (False, "true", True),
        (True, 0, False),
        ([1], "[3,4]", [3, 4]),
        ([1], [3.0, "4"], [3, 4]),
        ([1, 2.5], [3, 4], [3.0, 4.0]),
        (["a", 1], ["b", None], ["b", None]),
        ((1, 2.0), [3, 4], (3, 4.0)),
        ((1, 2.0), "(3, 4)", (3, 4.0)),
        (1, "7", 7),
        (1, 7.0, 7),
        (1, "7.0", 7),
        (1.0, 7, 7.0),
        (1.0, "7.25", 7.25),
        ("a", 7, "7"),
        ("a", True, "true"),
        ("a", "None", "None"),
        ({"a": 1, "b": "x"}, {"b": "y", "a": "2"}, {"a": 2, "b": "y"}),
        ({}, {"new": [1]}, {"new": [1]}),
        ({1: 0.5}, {"1": 2}, {1: 2.0}),
        (None, {"any": [1]}, {"any": [1]}),
    ],
)
def test_values_are_converted_by_what_json_says(old, said, value):
    found = convert(said, parameter(old))
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("old", "said", "reason"),
    [
        (1, 7.9, "must be an integer, got 7.9"),
        (1, "7.5", "must be an integer, got 7.5"),
        (1, True, "must be an integer, got True"),
        (1, "seven", "must be an integer, got the text 'seven'"),
        (1, None, "must be an integer, got None"),
        (1.0, "nan", "must be a number, got the text 'nan'"),
        (1.0, float("inf"), "must be a finite number"),
        (1.0, "1e999", "must be a finite number"),
        (1.0, True, "must be a number, got True"),
        (True, 2, "must be true or false, got 2"),
        (True, "no way", "must be true or false"),
        ("a", ["b"], "must be a text"),
        ([1], 3, "must be a list, got 3"),
        ([1], ["x"], r"p\d+\[0\] must be an integer"),
        ((1, 2), [1], "must have 2 items, got 1"),
        ({"a": 1}, {"b": 1}, "has no entry 'a' and may not have 'b'"),
        ({"a": 1}, [1], "must be an object"),
    ],
)
def test_what_is_no_value_is_turned_down_with_the_reason(old, said, reason):
    with pytest.raises(ValueRejected, match=reason):
        convert(said, parameter(old))


def test_fractions_are_rounded_only_where_the_policy_says_so_and_then_reported():
    notes: list[str] = []
    assert convert(7.9, parameter(1), policy="round", notes=notes) == 8
    assert convert("7.5", parameter(1), policy="round", notes=notes) == 8
    assert sum("was rounded to 8" in note for note in notes) == 2
    with pytest.raises(ValueError, match="policy must be one of 'reject', 'round'"):
        convert(1, parameter(1), policy="clip")


@pytest.mark.parametrize(
    ("about", "said", "reason"),
    [
        ({"minimum": 0, "maximum": 9}, 10, r"must be in \[0, 9\], got 10"),
        ({"minimum": 0}, -1, r"must be in \[0, inf\], got -1"),
        ({"maximum": 9}, "12", r"must be in \[-inf, 9\], got 12"),
        ({"choices": [1, 2, 4]}, 3, "must be one of 1, 2, 4, got 3"),
        ({"schema": {"type": "integer", "multipleOf": 5}}, 7, "multiple"),
    ],
)
def test_ranges_choices_and_schemas_are_kept(about, said, reason):
    with pytest.raises(ValueRejected, match=reason):
        convert(said, parameter(2 if "schema" not in about else 5, **about))


def test_choices_are_found_by_value_or_spelling_and_come_back_in_their_own_type():
    colour = parameter("red", choices=["red", "Green", None])
    assert convert("green", colour) == "Green"
    assert convert(None, colour) is None
    number = parameter(0.5, choices=[0.5, 1])
    assert type(convert("1", number)) is int
    flag = parameter(True, choices=[True, 3])
    with pytest.raises(ValueRejected):
        convert(1, flag)


def test_lengths_of_texts_and_lists_are_limited():
    with pytest.raises(ValueRejected, match="may have at most 3 characters, got 4"):
        convert("four", parameter("abc", max_length=3))
    with pytest.raises(ValueRejected, match="may have at most 2 items, got 3"):
        convert([1, 2, 3], parameter([1], max_length=2))


def test_arrays_keep_their_form_and_type():
    old = np.zeros((2, 2), dtype=np.float32)
    found = convert("[[1, 2], [3, 4.5]]", parameter(old))
    assert found.dtype == np.float32
    assert found.tolist() == [[1.0, 2.0], [3.0, 4.5]]
    with pytest.raises(ValueRejected, match="must be a list of 2 items"):
        convert([[1, 2, 3], [4, 5, 6]], parameter(old))
    with pytest.raises(ValueRejected, match="holds numbers that int8 cannot"):
        convert([300], parameter(np.zeros(1, dtype=np.int8)))
    assert convert(np.array([1, 2]), parameter(np.zeros(2, dtype=int))).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("value", "about", "schema"),
    [
        (3, {"minimum": 0, "maximum": 9}, {"type": "integer", "minimum": 0, "maximum": 9}),
        (0.5, {"minimum": 0.25}, {"type": "number", "minimum": 0.25}),
        (True, {}, {"type": "boolean"}),
        ("a", {"max_length": 5}, {"type": "string", "maxLength": 5}),
        ("a", {"choices": ["a", "b"]}, {"enum": ["a", "b"]}),
        ([1, 2], {"max_length": 4}, {"type": "array", "items": {"type": "integer"}, "maxItems": 4}),
        ([1], {"maximum": 9}, {"type": "array", "items": {"type": "integer", "maximum": 9}}),
        (None, {}, {}),
        (1, {"schema": {"type": "integer", "multipleOf": 2}, "minimum": None}, {"type": "integer", "multipleOf": 2}),
    ],
)
def test_schema_of_a_parameter(value, about, schema):
    assert schema_for(parameter(value, **about)) == schema


@pytest.mark.parametrize(
    "value", [True, 3, 2.5, "text", [1, 2], (1, "a"), {"a": [1.5], "b": False}, np.arange(6).reshape(2, 3), None]
)
def test_every_value_satisfies_the_schema_made_from_it_and_comes_back_from_json(value):
    assert faults_of(plain(value), schema_like(value), convert=False)[1] == []
    notes: list[str] = []
    back = convert_like(value, plain(value), policy="reject", notes=notes)
    assert plain(back) == plain(value)
    assert type(back) is type(value)
    assert notes == []


def test_code_keeps_its_comments_and_loses_fences_and_indentation():
    notes: list[str] = []
    said = "```python\n    def act(x, *, n=3):\n        # why\n        return n * x\n```"
    found = convert_code(SOURCE, said, notes=notes)
    assert found == "def act(x, *, n=3):\n    # why\n    return n * x"
    assert "fence" in notes[0]


def test_code_on_one_line_with_written_line_ends_is_read():
    assert convert_code(SOURCE, "def act(x, *, n=2):\\n    return x", notes=[]) == "def act(x, *, n=2):\n    return x"
    kept = 'def act(x, *, n=2): return "\\n" * x'
    assert convert_code(SOURCE, kept, notes=[]) == kept


def test_helpers_imports_and_annotations_are_free():
    said = "import math\ndef helper(): return 1\ndef act(x: int, *, n: int = 5) -> int:\n    return helper()"
    assert convert_code(SOURCE, said, notes=[]) == said


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("def act(x, *, n=2) return x", "no valid Python: .*line 1"),
        ("def other(x, *, n=2): return x", "must define 'def act.*which it does not"),
        ("def act(y, *, n=2): return y", "must define 'def act.*, got"),
        ("def act(x, n=2): return x", "must define 'def act.*, got"),
        ("def act(x, *, n): return x", "must define 'def act.*, got"),
        ("async def act(x, *, n=2): return x", "must define 'def act.*, got"),
        ("return 10/x", "outside function"),
        ("   ", "got an empty text"),
        (3, "must be source code as a text, got int"),
    ],
)
def test_code_that_breaks_its_callers_is_turned_down(said, reason):
    with pytest.raises(ValueRejected, match=reason):
        convert_code(SOURCE, said, notes=[])


def test_a_code_parameter_is_known_as_such():
    code = CodeParameter(SOURCE, function="act")
    assert schema_for(code) == {"type": "string", "minLength": 1}
    assert convert(SOURCE.replace("2", "3"), code).startswith("def act(x, *, n=3)")
    assert signature_text(SOURCE) == "def act(x, *, n=2):"


def test_a_refusal_is_an_error_the_user_can_mend():
    assert issubclass(ValueRejected, OptimandError)
