"""What is said of a JSON object that breaks its schema: Python's jsonschema, which the host uses,
says the same.
"""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft7Validator, ValidationError  # type: ignore[import-untyped]

from fake_server.workflow.json_objects import schema_error
from tests.each import each

CASES: list[tuple[dict[str, Any], Any]] = [
    ({"type": "integer"}, "x"),
    ({"type": ["integer", "null"]}, "x"),
    ({"type": "object", "required": ["a", "b"]}, {}),
    ({"enum": [1, "a"]}, "b"),
    ({"const": 1}, 2),
    ({"minimum": 3}, 2),
    ({"maximum": 3}, 4.5),
    ({"exclusiveMinimum": 3}, 3),
    ({"exclusiveMaximum": 3}, 4),
    ({"multipleOf": 3}, 4),
    ({"minLength": 1}, ""),
    ({"minLength": 3}, "a"),
    ({"maxLength": 0}, "a"),
    ({"maxLength": 1}, "é猫"),
    ({"pattern": "^a"}, "it's"),
    ({"minItems": 1}, []),
    ({"minItems": 2}, [1]),
    ({"maxItems": 1}, [1, None]),
    ({"maxItems": 0}, [True]),
    ({"minProperties": 1}, {}),
    ({"maxProperties": 1}, {"a": 1, "b": {}}),
    ({"uniqueItems": True}, [1, 1]),
    ({"properties": {"x": {}}, "additionalProperties": False}, {"a": 1, "x": 2, "b": 2}),
    ({"additionalProperties": False}, {"b": 1}),
    ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, []),
    ({"oneOf": [{"type": "string"}, {"type": "integer"}]}, []),
    ({"not": {"type": "string"}}, "a"),
    ({"contains": {"type": "integer"}}, ["a"]),
    ({"properties": {"a": False}}, {"a": 1}),
    ({"propertyNames": {"maxLength": 1}}, {"ab": 1}),
    ({"dependencies": {"a": ["b"]}}, {"a": 1}),
    ({"allOf": [{"type": "string"}]}, 1),
    ({"if": {"type": "integer"}, "then": {"minimum": 5}}, 3),
    ({"$ref": "#/definitions/x", "definitions": {"x": {"type": "string"}}}, 1),
    ({"properties": {"l": {"items": {"type": "integer"}}}}, {"l": [1, "a", "b"]}),
    ({"properties": {"b": {"type": "integer"}}, "required": ["c"]}, {"b": "x"}),
    ({"required": ["c"], "properties": {"b": {"type": "integer"}}}, {"b": "x"}),
    ({"properties": {"b": {"type": "integer"}, "a": {"type": "string"}}}, {"a": 1, "b": "x"}),
    ({"additionalProperties": False, "required": ["q"]}, {"b": 1}),
    ({"format": "date"}, "not a date"),
    ({}, {"anything": [1]}),
]


@each(("schema", "value"), CASES)
def test_the_words_are_those_of_jsonschema(schema: dict[str, Any], value: Any) -> None:
    """The first error in the order of the schema [C: types_j_02, types_j_03]."""
    expected = None
    try:
        Draft7Validator(schema).validate(value)
    except ValidationError as error:
        expected = error.message
    assert schema_error(schema, value) == expected


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "foo"},
        {"pattern": "("},
        {"$ref": "#/nowhere"},
        {"$ref": "#"},
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"$ref": "file:///etc/hostname"},
    ],
    ids=str,
)
def test_a_schema_that_cannot_be_used_forbids_nothing(schema: dict[str, Any]) -> None:
    """Nothing is fetched for it, and none makes the check endless."""
    assert schema_error(schema, "x") is None
