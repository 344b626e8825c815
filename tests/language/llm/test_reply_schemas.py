"""Values are checked against the part of JSON schema that is used; nothing in a schema goes unchecked."""

from __future__ import annotations

from typing import Any

import pytest

from optimand.language.llm.schemas import faults_of


@pytest.mark.parametrize(
    ("value", "schema", "expected"),
    [
        (7.0, {"type": "integer"}, 7),
        ("7", {"type": "integer"}, 7),
        ("7.0", {"type": "integer"}, 7),
        ("-3.5e2", {"type": "number"}, -350.0),
        ("False", {"type": "boolean"}, False),
        ("[3,4]", {"type": "array"}, [3, 4]),
        ('{"a": 1}', {"type": "object"}, {"a": 1}),
        ("7", {"type": ["integer", "string"]}, "7"),
        ("7", {"anyOf": [{"type": "integer"}, {"type": "string"}]}, "7"),
        (7.0, {"anyOf": [{"type": "null"}, {"type": "integer"}]}, 7),
        ({"a": ["1"]}, {"properties": {"a": {"items": {"type": "integer"}}}}, {"a": [1]}),
        ([1, "2"], {"prefixItems": [{}, {"type": "integer"}], "items": False}, [1, 2]),
        ({"x": {"x": None}}, {"$defs": {"t": {"type": ["object", "null"], "properties": {"x": {"$ref": "#/$defs/t"}}}},
                              "$ref": "#/$defs/t"}, {"x": {"x": None}}),
        (2, {"oneOf": [{"type": "integer"}, {"type": "string"}], "minimum": 1}, 2),
        (0.3, {"multipleOf": 0.1}, 0.3),
        (3, {"const": 3.0}, 3),
    ],
)  # fmt: skip
def test_the_same_value_in_another_writing_is_accepted(value: Any, schema: Any, expected: Any) -> None:
    found, faults = faults_of(value, schema)
    assert faults == []
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "schema", "fault"),
    [
        (7.9, {"type": "integer"}, "must be integer, got 7.9"),
        ("7.9", {"type": "integer"}, "must be integer"),
        ("about 7", {"type": "number"}, "must be number"),
        ("7%", {"type": "number"}, "must be number"),
        (True, {"type": "integer"}, "must be integer, got true"),
        (1, {"type": "boolean"}, "must be boolean, got 1"),
        (7, {"type": "string"}, "must be string, got 7"),
        ("null", {"type": "null"}, "must be null"),
        (float("inf"), {"type": "number"}, "must be number"),
        (float("nan"), {}, "finite"),
        ({}, {"required": ["a"]}, "lacks 'a'"),
        (
            {"b": 1},
            {"properties": {"a": {}}, "additionalProperties": False},
            "has 'b', which is not allowed (allowed: a)",
        ),
        ({"b": 1}, {"additionalProperties": {"type": "string"}}, "$.b: must be string"),
        ([1, 1.0], {"uniqueItems": True}, "twice"),
        ([1], {"minItems": 2}, "fewer than 2"),
        ([1, 2, 3], {"maxItems": 2}, "more than 2"),
        ("", {"minLength": 1}, "0 characters"),
        ("abc", {"pattern": "^x"}, "pattern"),
        (5, {"enum": [1, 2]}, "one of 1, 2, got 5"),
        (True, {"enum": [1]}, "one of 1"),
        (5, {"const": 4}, "must be 4"),
        (5, {"exclusiveMaximum": 5}, "below 5"),
        (5, {"exclusiveMinimum": 5}, "above 5"),
        (5, {"minimum": 6}, "below the minimum 6"),
        (5, {"multipleOf": 2}, "no multiple"),
        (5, {"oneOf": [{"minimum": 1}, {"minimum": 2}]}, "only one"),
        (5, {"allOf": [{"minimum": 1}, {"maximum": 2}]}, "above the maximum 2"),
        ([1, 2], {"prefixItems": [{}], "items": False}, "$[1]: is not allowed"),
        ({"a": {"b": ["x"]}}, {"properties": {"a": {"properties": {"b": {"items": {"type": "null"}}}}}}, "$.a.b[0]"),
    ],
)
def test_every_fault_is_named_with_its_place(value: Any, schema: Any, fault: str) -> None:
    _, faults = faults_of(value, schema)
    assert any(fault in found for found in faults), faults


def test_without_conversion_types_are_strict() -> None:
    assert faults_of("7", {"type": "integer"}, convert=False)[1]
    assert faults_of(7.0, {"type": "integer"}, convert=False) == (7.0, [])


@pytest.mark.parametrize(
    "schema", [{"not": {}}, {"type": "decimal"}, {"$ref": "#/nowhere"}, {"properties": {"a": {"if": {}}}}]
)
def test_a_schema_that_cannot_be_checked_is_an_error(schema: Any) -> None:
    with pytest.raises(ValueError, match="schema"):
        faults_of({"a": 1}, schema)


def test_all_faults_are_listed() -> None:
    _, faults = faults_of({"a": "x", "b": 1}, {"properties": {"a": {"type": "integer"}, "b": {"minimum": 2}},
                                              "required": ["c"]})  # fmt: skip
    assert len(faults) == 3
