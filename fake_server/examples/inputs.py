"""Inputs with which an app runs, for examples of requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_FILES = {
    "image": "https://example.com/image.png",
    "document": "https://example.com/document.pdf",
    "audio": "https://example.com/sound.mp3",
    "video": "https://example.com/film.mp4",
}
"""The URL of an example for each type of file; the fake looks at the URL alone."""

_OF_TYPE: Mapping[str, Any] = {
    "string": "text",
    "integer": 1,
    "number": 1,
    "boolean": True,
    "array": [],
    "null": None,
}


def example_inputs(
    variables: Iterable[tuple[str, Mapping[str, Any]]], known: Mapping[str, Any]
) -> dict[str, Any]:
    """A value for each required variable, and for each that has one among the ``known`` inputs.

    ``variables`` are types with entries, as ``user_input_form`` of ``GET /v1/parameters`` has them.
    """
    inputs = {}
    for kind, entry in variables:
        name, options = entry["variable"], entry.get("options") or ()
        if name in known and (not options or known[name] in options):
            inputs[name] = known[name]
        elif entry.get("required"):
            inputs[name] = _value(kind, entry)
    return inputs


def _value(kind: str, entry: Mapping[str, Any]) -> Any:
    text = str(entry.get("label") or entry["variable"])
    most = str(entry.get("max_length") or "")
    values: dict[str, Any] = {
        "select": next(iter(entry.get("options") or ()), ""),
        "number": "1",  # every version takes a text; 0.6.4 takes nothing else
        "checkbox": True,
        "file": _file(entry),
        "file-list": [_file(entry)],
        "json_object": _object(entry.get("json_schema")),
    }
    default = entry.get("default")
    if default:
        return str(default) if kind == "number" else default
    return values.get(kind, text[: int(most)] if most.isdecimal() else text)


def _file(entry: Mapping[str, Any]) -> dict[str, str]:
    kinds = [one for one in entry.get("allowed_file_types") or () if one in _FILES]
    kind = kinds[0] if kinds else "image"
    if "remote_url" in (entry.get("allowed_file_upload_methods") or ("remote_url",)):
        return {"type": kind, "transfer_method": "remote_url", "url": _FILES[kind]}
    uploaded = "the id in the response of POST /v1/files/upload"
    return {"type": kind, "transfer_method": "local_file", "upload_file_id": uploaded}


def _object(schema: Any) -> dict[str, Any]:
    """An object with what ``schema`` requires, as far as types and enumerations say it."""
    if not isinstance(schema, Mapping):
        return {}
    properties = schema.get("properties") or {}
    return {name: _of_schema(properties.get(name)) for name in schema.get("required") or ()}


def _of_schema(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return "text"
    if schema.get("enum"):
        return schema["enum"][0]
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0]
    return _object(schema) if kind == "object" else _OF_TYPE.get(str(kind), "text")
