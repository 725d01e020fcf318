"""JSON Schema as TypeScript, as far as the events of a stream need it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Schemas = Mapping[str, Any]

_WORDS = {"integer": "number", "number": "number", "string": "string", "boolean": "boolean"}
_IDENTIFIER = re.compile(r"[A-Za-z_$][\w$]*")
_LINE = 96
_OWN_PARTS = ("anyOf", "oneOf")
"""Conditions (allOf, if) relate fields to each other, which these types do not."""


def reachable(schemas: Schemas, name: str) -> list[str]:
    """The names of what ``name`` refers to, itself first, each once."""
    found, pending = dict.fromkeys([name]), [name]
    while pending:
        for one in _references(schemas[pending.pop(0)]):
            if one not in found:
                found[one] = None
                pending.append(one)
    return list(found)


def _references(schema: Any) -> Iterator[str]:
    if not isinstance(schema, Mapping):
        return
    if "$ref" in schema:
        yield schema["$ref"].rpartition("/")[2]
        return
    below = [*schema.get("properties", {}).values(), schema.get("items")]
    for one in (*below, *(part for key in _OWN_PARTS for part in schema.get(key, ()))):
        yield from _references(one)


def declaration(name: str, schema: Mapping[str, Any]) -> str:
    """The schema ``name`` as an interface or a type."""
    comment = _comment(schema, "")
    if schema.get("type") == "object" and not any(key in schema for key in _OWN_PARTS):
        return f"{comment}export interface {name} {_fields(schema, '')}"
    text = f"export type {name} = {written(schema)};"
    if len(text) > _LINE and " | " in text:
        text = f"export type {name} =\n{_wrapped(_alternatives(schema))};"
    return comment + text


def fields(schema: Mapping[str, Any]) -> dict[str, str]:
    """The fields of an object by name, each as a line of its interface has it."""
    required = schema.get("required", ())
    lines = {}
    for name, field in schema.get("properties", {}).items():
        shown = name if _IDENTIFIER.fullmatch(name) else json.dumps(name)
        lines[name] = f"{shown}{'' if name in required else '?'}: {written(field, '  ')}"
    return lines


def written(schema: Any, indent: str = "") -> str:
    """The type of a value; what is unknown of it is ``unknown``."""
    alternatives = _alternatives(schema, indent)
    return " | ".join(alternatives)


def _alternatives(schema: Any, indent: str = "") -> list[str]:
    if not isinstance(schema, Mapping):
        return ["unknown"]
    if "$ref" in schema:
        return [schema["$ref"].rpartition("/")[2]]
    if "const" in schema:
        return [json.dumps(schema["const"])]
    if "enum" in schema:
        return [json.dumps(one) for one in schema["enum"]]
    for key in _OWN_PARTS:
        if key in schema:
            below = (_alternatives(one, indent) for one in schema[key])
            return list(dict.fromkeys(text for texts in below for text in texts))
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    return [_of_kind(kind, schema, indent) for kind in kinds] or ["unknown"]


def _of_kind(kind: str, schema: Mapping[str, Any], indent: str) -> str:
    if kind == "array":
        items = written(schema.get("items"), indent)
        return f"({items})[]" if " | " in items else f"{items}[]"
    if kind == "object":
        return _fields(schema, indent) if "properties" in schema else "Record<string, unknown>"
    return _WORDS.get(kind, kind)


def _fields(schema: Mapping[str, Any], indent: str) -> str:
    inner = f"{indent}  "
    lines = []
    for name, line in fields(schema).items():
        lines.append(_comment(schema["properties"][name], inner))
        lines.append(f"{inner}{line};\n")
    if schema.get("additionalProperties") is not False:
        lines.append(f"{inner}[name: string]: unknown;\n")
    return f"{{\n{''.join(lines)}{indent}}}"


def _comment(schema: Any, indent: str) -> str:
    text = schema.get("description", "").strip() if isinstance(schema, Mapping) else ""
    if not text or not text.isascii() or "\n" in text:
        return ""
    return f"{indent}/** {text.replace('*/', '* /')} */\n"


def _wrapped(alternatives: Iterable[str]) -> str:
    lines = [" "]
    for one in alternatives:
        if len(lines[-1]) + len(one) + 3 > _LINE:
            lines.append(" ")
        lines[-1] += f" | {one}"
    return "\n".join(lines)
