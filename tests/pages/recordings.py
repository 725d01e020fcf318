"""The fields of ``docs/recordings.md``, made of the JSON Schema of a recording."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tests.pages.markdown import code, table
from tests.serving import ROOT

SCHEMA = ROOT / "dify_wire/recording/recording.schema.json"

_ONCE = ("side_file", "shortened_from", "headers")
"""Objects that stand at several places and are listed at the first alone."""


def recordings_part() -> str:
    """A row for each field of a recording, optional ones marked."""
    schema = json.loads(SCHEMA.read_text("utf-8"))
    return table(("field", "type", "meaning"), _rows(schema, schema, "", set()))


def _rows(
    root: Mapping[str, Any], of: Mapping[str, Any], path: str, listed: set[str]
) -> Iterator[tuple[str, str, str]]:
    needed = {name for one in (of, *of.get("oneOf", ())) for name in one.get("required", ())}
    for name, field in of["properties"].items():
        place = f"{path}{name}"
        about = field.get("description", "")
        for inner in _alternatives(root, field):
            about = about or inner.get("description", "")
        optional = "" if name in needed else ", optional"
        yield code(place), f"{_type(root, field)}{optional}", about
        for reference, inner, suffix in _objects(root, field):
            if reference not in listed:
                listed |= {reference} & set(_ONCE)
                yield from _rows(root, inner, f"{place}{suffix}.", listed)


def _alternatives(root: Mapping[str, Any], field: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [_resolved(root, one)[1] for one in field.get("oneOf", (field,))]


def _objects(
    root: Mapping[str, Any], field: Mapping[str, Any]
) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """The objects that the field may be or hold, with their names."""
    for one in (*field.get("oneOf", (field,)), field.get("items", {})):
        reference, found = _resolved(root, one)
        if "properties" in found:
            yield reference, found, "[]" if one is field.get("items") else ""


def _resolved(root: Mapping[str, Any], value: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    name = value.get("$ref", "").rpartition("/")[2]
    return name, root["$defs"][name] if name else value


def _type(root: Mapping[str, Any], field: Mapping[str, Any]) -> str:
    """The type of a field in words, with its values where they are fixed."""
    names: list[str] = []
    for one in _alternatives(root, field):
        if "enum" in one or "const" in one:
            names += map(code, one.get("enum", (one.get("const"),)))
        else:
            kind = one["type"]
            names += [kind] if isinstance(kind, str) else kind
    words = {"array": "list", "integer": "whole number"}
    return " or ".join(words.get(name, name) for name in names)
