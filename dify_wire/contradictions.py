"""Finds the rules of a merged document that cannot hold: references to nothing, enumerations
without their default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dify_wire.host_facts import check_host_facts
from dify_wire.spec_error import SpecError

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")
_DATA = frozenset({"example", "examples", "default", "const", "enum", "value"})  # values, not rules
_NAMED = frozenset(  # their keys are names
    {
        "properties",
        "patternProperties",
        "$defs",
        "dependentSchemas",
        "schemas",
        "responses",
        "headers",
        "content",
        "paths",
        "parameters",
        "examples",
        "requestBodies",
        "securitySchemes",
        "links",
        "callbacks",
        "encoding",
    }
)
_MAPPING, _LIST, _TEXT, _NUMBER = (dict,), (list,), (str,), (int, float)
_SCHEMA = (dict, bool)
_SHAPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("patternProperties", "$defs", "dependentSchemas", "properties"), _MAPPING),
    **dict.fromkeys(
        ("schemas", "responses", "headers", "content", "paths", "components"), _MAPPING
    ),
    **dict.fromkeys(("requestBody", "requestBodies", "discriminator", "mapping"), _MAPPING),
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems", "x-errors"), _LIST),
    **dict.fromkeys(
        ("parameters", "examples"), (dict, list)
    ),  # a list, or by name among components
    **dict.fromkeys(("schema", "itemSchema", "items", "if", "then", "else", "not"), _SCHEMA),
    **dict.fromkeys(
        ("operationId", "in", "name", "format", "pattern", "x-refusal", "propertyName"), _TEXT
    ),
    **dict.fromkeys(
        ("minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems"), _NUMBER
    ),
    **dict.fromkeys(("minProperties", "maxProperties"), _NUMBER),
    "type": (str, list),
}
"""The kinds that a keyword may have outside of values and names."""

_KINDS = {dict: "a mapping", list: "a list", str: "a text", int: "a number", bool: "true or false"}
_PATH = re.compile(r"/(?:[^{}]|\{[^{}/]+\})*")
DEEPEST = 300
"""The most levels of a merged document; one of more is refused."""
_PARTS = frozenset(
    {"allOf", "anyOf", "oneOf", "if", "then", "else", "not"}
)  # may speak of what the whole defines
_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}
_RANGES = (
    ("minLength", "maxLength"),
    ("minimum", "maximum"),
    ("minItems", "maxItems"),
    ("minProperties", "maxProperties"),
)


def check(path: Path, document: Mapping[str, Any]) -> None:
    """Raise ``SpecError`` for the first rule of a merged ``document`` that cannot hold; ``path`` is
    only named.
    """
    _Checker(path, document).check()


class _Checker:
    """Walks the merged document and raises at the first rule that cannot hold."""

    def __init__(self, path: Path, document: Mapping[str, Any]) -> None:
        self._path = path
        self._document = document

    def check(self) -> None:
        self._depth()
        self._walk(self._document, "")
        if "x-host" in self._document:
            check_host_facts(self._path, self._document["x-host"])
        self._operations()

    def _wrong(self, place: str, message: str) -> SpecError:
        return SpecError(self._path, place or "the top", message)

    def _depth(self) -> None:
        """Hold the whole to a depth that every recursion over it can bear; overlays can add to each
        other's.
        """
        level: list[Any] = [self._document]
        for _ in range(DEEPEST):
            below: list[Any] = []
            for value in level:
                below += value.values() if isinstance(value, dict) else value
            level = [value for value in below if isinstance(value, dict | list)]
            if not level:
                return
        raise self._wrong("", f"it is nested more than {DEEPEST} levels deep; flatten it")

    def _walk(self, value: Any, place: str, *, named: bool = False, part: bool = False) -> None:
        if isinstance(value, dict):
            if not named:
                self._object(value, place, part=part)
            for key, child in value.items():
                inner = f"{place}.{key}" if place else key
                if named and not isinstance(child, _SCHEMA) and not key.startswith("x-"):
                    raise self._wrong(inner, f"a mapping is needed here, not {child!r}; write one")
                if isinstance(child, dict | list) and (named or not _is_data(key, child)):
                    self._walk(
                        child,
                        inner,
                        named=not named and key in _NAMED,
                        part=not named and key in _PARTS,
                    )
        elif isinstance(value, list):
            for index, child in enumerate(value):
                if isinstance(child, dict | list):
                    self._walk(child, f"{place}[{index}]", part=part)

    def _object(self, value: dict[str, Any], place: str, *, part: bool) -> None:
        for keyword, found in value.items():
            kinds = _SHAPES.get(keyword)
            if kinds is not None and not _is_one_of(found, kinds):
                needed = " or ".join(_KINDS[kind] for kind in kinds if kind in _KINDS)
                inner = f"{place}.{keyword}" if place else keyword
                raise self._wrong(inner, f"{needed} is needed here, not {found!r}; correct it")
        if "$ref" in value:
            self._resolved(value["$ref"], place)
        if "discriminator" in value and isinstance(value["discriminator"].get("mapping"), dict):
            for reference in value["discriminator"]["mapping"].values():
                self._resolved(reference, f"{place}.discriminator.mapping")
        if "required" in value:
            self._required(
                value, place, whole=not part and not _PARTS & value.keys() and "$ref" not in value
            )
        if "enum" in value or "default" in value or "const" in value:
            self._values(value, place)
        for low, high in _RANGES:
            if low in value and high in value and value[low] > value[high]:
                raise self._wrong(
                    place, f"{low} is greater than {high}; no value can satisfy both, change one"
                )

    def _resolved(self, reference: Any, place: str) -> Any:
        """What ``reference`` and those that it leads to refer to in the end."""
        seen = set()
        target = self._target(reference, place)
        while isinstance(target, dict) and "$ref" in target:
            seen.add(reference)
            reference = target["$ref"]
            if isinstance(reference, str) and reference in seen:
                raise self._wrong(
                    place, f"$ref {reference} leads back to itself; write the value out"
                )
            target = self._target(reference, place)
        if not isinstance(target, _SCHEMA):
            raise self._wrong(
                place, f"$ref {reference} leads to {target!r}, which is no mapping; correct it"
            )
        return target

    def _target(self, reference: Any, place: str) -> Any:
        target: Any = self._document
        if not isinstance(reference, str) or not reference.startswith("#/"):
            raise self._wrong(
                place, f"$ref {reference!r} leads out of the document; write #/components/…"
            )
        for name in reference[2:].split("/"):
            key = name.replace("~1", "/").replace("~0", "~")
            if not isinstance(target, dict) or key not in target:
                raise self._wrong(
                    place, f"$ref {reference} leads to nothing; add {key!r} or correct it"
                )
            target = target[key]
        return target

    def _required(self, value: dict[str, Any], place: str, *, whole: bool) -> None:
        required, properties = value["required"], value.get("properties")
        if isinstance(required, bool):  # of a parameter or a request body
            return
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            raise self._wrong(
                f"{place}.required", "a list of property names is needed here; write one"
            )
        for name in required:
            if whole and isinstance(properties, dict) and name not in properties:
                raise self._wrong(
                    f"{place}.required",
                    f"{name!r} is required and not among properties; add it there",
                )

    def _values(self, value: dict[str, Any], place: str) -> None:
        said = value["enum"] if "enum" in value else self._enumeration(value, place)
        if said is not None and (not isinstance(said, list) or not said):
            raise self._wrong(
                f"{place}.enum", "an enumeration needs a list of at least one value; add one"
            )
        if said is not None and "default" in value and not _among(value["default"], said):
            raise self._wrong(
                f"{place}.default", f"{value['default']!r} is not in enum; add it or change it"
            )
        kinds = value.get("type")
        if isinstance(kinds, list) and not all(isinstance(kind, str) for kind in kinds):
            raise self._wrong(f"{place}.type", f"{kinds!r} is no list of texts; name types")
        for entry in (
            *value.get("enum", ()),
            *(value[key] for key in ("default", "const") if key in value),
        ):
            if kinds is not None and not _is(entry, kinds):
                raise self._wrong(
                    place, f"{entry!r} is not of type {kinds!r}; change one of the two"
                )

    def _enumeration(self, value: dict[str, Any], place: str) -> Any:
        target = self._resolved(value["$ref"], place) if "$ref" in value else None
        return target.get("enum") if isinstance(target, dict) else None

    def _operations(self) -> None:
        seen: dict[str, str] = {}
        errors = self._document["x-host"]["errors"] if "x-host" in self._document else None
        for path, item in self._document["paths"].items():
            if path.startswith("x-"):
                continue
            names = re.findall(r"\{([^{}]*)\}", path)
            if not _PATH.fullmatch(path) or len(set(names)) < len(names):
                message = "a path begins with /, and its parameters are names in braces, each once; correct it"
                raise self._wrong(f"paths.{path}", message)
            for method in _METHODS:
                if method in item:
                    self._operation(item[method], f"paths.{path}.{method}", seen, errors)

    def _operation(
        self, said: Any, place: str, seen: dict[str, str], errors: Mapping[str, Any] | None
    ) -> None:
        if not isinstance(said, dict):
            raise self._wrong(place, "a mapping is needed here; write the operation")
        if (name := said.get("operationId")) is not None:
            if name in seen:
                raise self._wrong(
                    place, f"the operationId {name!r} is that of {seen[name]} too; give it another"
                )
            seen[name] = place
        self._parameters(said.get("parameters", []), f"{place}.parameters")
        if said.get("x-user", "none") not in ("query", "json", "form", "none"):
            raise self._wrong(
                f"{place}.x-user", "the user is in query, json, form or none; write one of them"
            )
        if not isinstance(said.get("x-user-required", False), bool):
            raise self._wrong(f"{place}.x-user-required", "true or false is needed here; write one")
        refusal = [said["x-refusal"]] if "x-refusal" in said else []
        for error in (*said.get("x-errors", ()), *refusal):
            if errors is not None and not (isinstance(error, str) and error in errors):
                raise self._wrong(
                    place, f"x-host.errors has no {error!r}; add it there or correct the name"
                )

    def _parameters(self, said: Any, place: str) -> None:
        if not isinstance(said, list):
            raise self._wrong(place, "a list of parameters is needed here; begin each with a dash")
        for index, entry in enumerate(said):
            found = (
                self._resolved(entry["$ref"], place)
                if isinstance(entry, dict) and "$ref" in entry
                else entry
            )
            if not isinstance(found, dict) or not {"name", "in"} <= found.keys():
                raise self._wrong(
                    f"{place}[{index}]", "a parameter is a mapping with name and in; write both"
                )


def _is_data(key: str, child: Any) -> bool:
    """Whether ``key`` of an object holds values, which are no part of the rules."""
    if key == "examples":
        return isinstance(child, list)  # of a schema; those of a medium have names
    return key in _DATA or key.startswith("x-")


def _is_one_of(value: Any, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))


def _among(value: Any, entries: list[Any]) -> bool:
    return any(
        value == entry and isinstance(value, bool) == isinstance(entry, bool) for entry in entries
    )


def _is(value: Any, kinds: Any) -> bool:
    if isinstance(kinds, list):
        return any(_is(value, kind) for kind in kinds)
    if isinstance(value, bool):
        return bool(kinds == "boolean")
    if kinds == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(kinds, object))
