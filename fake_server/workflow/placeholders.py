"""Values of a declared type for outputs that only something real could make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_DEEPEST = 8
_MOST_PROPERTIES = 100

_OF_TYPE: Mapping[str, Any] = {
    "number": 1,
    "integer": 1,
    "float": 1.0,
    "boolean": True,
    "bool": True,
    "object": {},
    "file": None,
    "array": [],
    "array[file]": [],
    "null": None,
    "none": None,
}


def sample_of_type(kind: str, name: str, children: Any = None, depth: int = 0) -> Any:
    """A value of the type ``kind`` of a node's output: a string is the ``name`` of the output, an
    array has one entry.
    """
    kind = kind.lower()
    if kind == "object" and isinstance(children, Mapping) and depth < _DEEPEST:
        return {
            str(key): sample_of_type(
                str(child.get("type", "string")), str(key), child.get("children"), depth + 1
            )
            for key, child in list(children.items())[:_MOST_PROPERTIES]
            if isinstance(child, Mapping)
        }
    if kind in _OF_TYPE:
        value = _OF_TYPE[kind]
        return value.copy() if isinstance(value, dict | list) else value
    if kind.startswith("array[") and kind.endswith("]"):
        return [sample_of_type(kind[6:-1], name, children, depth + 1)]
    return name


def sample_of_schema(schema: Mapping[str, Any], name: str = "text", depth: int = 0) -> Any:
    """A value that a JSON schema of a model's structured output allows."""
    if depth > _DEEPEST:
        return None
    if options := schema.get("enum"):
        return options[0]
    if "const" in schema:
        return schema["const"]
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if kind == "object" or (kind is None and "properties" in schema):
        properties = schema.get("properties")
        return {
            str(key): sample_of_schema(one, str(key), depth + 1)
            for key, one in list((properties or {}).items())[:_MOST_PROPERTIES]
            if isinstance(one, Mapping)
        }
    if kind == "array":
        items = schema.get("items")
        return [sample_of_schema(items, name, depth + 1)] if isinstance(items, Mapping) else []
    return sample_of_type(str(kind or "string"), name)
