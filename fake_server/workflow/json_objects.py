"""JSON objects as inputs: what the host says of one that breaks its schema.

The host validates with Python's jsonschema; jsonschema-rs finds the same errors here, and this
module has the words.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

_COUNTED: Mapping[str, tuple[int, str, str]] = {
    "minItems": (1, "should be non-empty", "is too short"),
    "minLength": (1, "should be non-empty", "is too short"),
    "minProperties": (1, "should be non-empty", "does not have enough properties"),
    "maxItems": (0, "is expected to be empty", "is too long"),
    "maxLength": (0, "is expected to be empty", "is too long"),
    "maxProperties": (0, "is expected to be empty", "has too many properties"),
}
"""The words for a limit of that number, and for any other."""

_TEXTS: Mapping[str, Callable[[Any, Any], str]] = {
    "type": lambda value, kinds: f"{value!r} is not of type {_listed(kinds)}",
    "required": lambda value, name: f"{name!r} is a required property",
    "enum": lambda value, options: f"{value!r} is not one of {options!r}",
    "const": lambda value, expected: f"{expected!r} was expected",
    "minimum": lambda value, limit: f"{value!r} is less than the minimum of {limit!r}",
    "maximum": lambda value, limit: f"{value!r} is greater than the maximum of {limit!r}",
    "exclusiveMinimum": lambda value, limit: (
        f"{value!r} is less than or equal to the minimum of {limit!r}"
    ),
    "exclusiveMaximum": lambda value, limit: (
        f"{value!r} is greater than or equal to the maximum of {limit!r}"
    ),
    "multipleOf": lambda value, factor: f"{value!r} is not a multiple of {factor!r}",
    "pattern": lambda value, pattern: f"{value!r} does not match {pattern!r}",
    "uniqueItems": lambda value, _: f"{value!r} has non-unique elements",
    "additionalProperties": lambda value, names: (
        f"Additional properties are not allowed ({_listed(names)} "
        f"{'was' if len(names) == 1 else 'were'} unexpected)"
    ),
    "anyOf": lambda value, _: f"{value!r} is not valid under any of the given schemas",
    "oneOf": lambda value, _: f"{value!r} is not valid under any of the given schemas",
    "not": lambda value, schema: f"{value!r} should not be valid under {schema!r}",
    "contains": lambda value, _: f"None of {value!r} are valid under the given schema",
    "falseSchema": lambda value, _: f"False schema does not allow {value!r}",
}


def schema_error(schema: Mapping[str, Any], value: Any) -> str | None:
    """What is wrong with ``value``, in the host's words; None where it fits.

    Of several errors the host names the first in the order of the schema. An invalid schema
    allows everything.
    """
    validator = _validator(json.dumps(schema, default=str))
    errors = [] if validator is None else list(validator.iter_errors(value))
    if not errors:
        return None
    return _text(schema, value, min(errors, key=lambda error: _order(schema, error)))


@lru_cache(maxsize=64)
def _validator(schema: str) -> Any:
    import jsonschema_rs  # a server without such an input never needs it

    try:
        return jsonschema_rs.Draft7Validator(
            schema, validate_formats=False, retriever=_nothing_outside
        )
    except (ValueError, jsonschema_rs.ValidationError):
        return None


def _nothing_outside(uri: str) -> Any:
    """A schema of a file may name others by URL; none is ever fetched."""
    raise ValueError(f"{uri} is not fetched")


def _order(schema: Any, error: Any) -> list[int]:
    """Where the broken rule stands in ``schema``, as positions from the top."""
    order = []
    for key in error.schema_path:
        if isinstance(schema, Mapping) and key in schema:
            order.append(list(schema).index(key))
            schema = schema[key]
        elif isinstance(schema, list) and isinstance(key, int) and key < len(schema):
            order.append(key)
            schema = schema[key]
        else:
            break
    return order


def _text(schema: Mapping[str, Any], whole: Any, error: Any) -> str:
    keyword, value, rule = error.kind.name, error.instance, error.kind.value
    path = error.schema_path
    if keyword == "propertyNames":
        return _text(_at(schema, path[:1]), whole, rule)
    if keyword in _COUNTED:
        number, special, usual = _COUNTED[keyword]
        return f"{value!r} {special if rule == number else usual}"
    if keyword == "falseSchema" and path[-1:] == ["additionalProperties"]:
        keyword, rule = "additionalProperties", list(_at(whole, error.instance_path))
    elif keyword == "required" and path[-1:] == ["dependencies"]:
        needed = _at(schema, path).items()
        name = next(name for name, others in needed if name in value and rule in others)
        return f"{rule!r} is a dependency of {name!r}"
    elif keyword == "type":
        rule = _at(schema, path)
        rule = rule if isinstance(rule, list) else [rule]
    return _TEXTS[keyword](value, rule) if keyword in _TEXTS else str(error.message)


def _at(value: Any, path: Iterable[Any]) -> Any:
    for key in path:
        value = value[key]
    return value


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
