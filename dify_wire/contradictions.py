"""Finds the rules of a merged document that cannot hold: references to nothing, enumerations without their default."""

from __future__ import annotations

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
    }
)
_PARTS = frozenset({"allOf", "anyOf", "oneOf", "if", "then", "else", "not"})  # may speak of what the whole defines
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
    """Raise ``SpecError`` for the first rule of a merged ``document`` that cannot hold; ``path`` is only named."""
    _Checker(path, document).check()


class _Checker:
    """Walks the merged document and raises at the first rule that cannot hold."""

    def __init__(self, path: Path, document: Mapping[str, Any]) -> None:
        self._path = path
        self._document = document

    def check(self) -> None:
        self._walk(self._document, "")
        if "x-host" in self._document:
            check_host_facts(self._path, self._document["x-host"])
        self._operations()

    def _wrong(self, place: str, message: str) -> SpecError:
        return SpecError(self._path, place or "the top", message)

    def _walk(self, value: Any, place: str, *, named: bool = False, part: bool = False) -> None:
        if isinstance(value, dict):
            if not named:
                self._object(value, place, part=part)
            for key, child in value.items():
                if isinstance(child, dict | list) and (named or not (key in _DATA or key.startswith("x-"))):
                    inner = f"{place}.{key}" if place else key
                    self._walk(child, inner, named=not named and key in _NAMED, part=not named and key in _PARTS)
        elif isinstance(value, list):
            for index, child in enumerate(value):
                if isinstance(child, dict | list):
                    self._walk(child, f"{place}[{index}]", part=part)

    def _object(self, value: dict[str, Any], place: str, *, part: bool) -> None:
        if "$ref" in value:
            self._resolved(value["$ref"], place)
        if "discriminator" in value and isinstance(value["discriminator"], dict):
            for reference in value["discriminator"].get("mapping", {}).values():
                self._resolved(reference, f"{place}.discriminator.mapping")
        if "required" in value:
            self._required(value, place, whole=not part and not _PARTS & value.keys() and "$ref" not in value)
        if "enum" in value or "default" in value or "const" in value:
            self._values(value, place)
        for low, high in _RANGES:
            if low in value and high in value and value[low] > value[high]:
                raise self._wrong(place, f"{low} is greater than {high}; no value can satisfy both, change one")

    def _resolved(self, reference: Any, place: str) -> Any:
        target: Any = self._document
        if not isinstance(reference, str) or not reference.startswith("#/"):
            raise self._wrong(place, f"$ref {reference!r} leads out of the document; write #/components/…")
        for name in reference[2:].split("/"):
            key = name.replace("~1", "/").replace("~0", "~")
            if not isinstance(target, dict) or key not in target:
                raise self._wrong(place, f"$ref {reference} leads to nothing; add {key!r} or correct it")
            target = target[key]
        return target

    def _required(self, value: dict[str, Any], place: str, *, whole: bool) -> None:
        required, properties = value["required"], value.get("properties")
        if isinstance(required, bool):  # of a parameter or a request body
            return
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            raise self._wrong(f"{place}.required", "a list of property names is needed here; write one")
        for name in required:
            if whole and isinstance(properties, dict) and name not in properties:
                raise self._wrong(f"{place}.required", f"{name!r} is required and not among properties; add it there")

    def _values(self, value: dict[str, Any], place: str) -> None:
        said = value.get("enum", self._enumeration(value, place))
        if said is not None and (not isinstance(said, list) or not said):
            raise self._wrong(f"{place}.enum", "an enumeration needs a list of at least one value; add one")
        if said is not None and "default" in value and not _among(value["default"], said):
            raise self._wrong(f"{place}.default", f"{value['default']!r} is not in enum; add it or change it")
        kinds = value.get("type")
        for entry in (*value.get("enum", ()), *(value[key] for key in ("default", "const") if key in value)):
            if kinds is not None and not _is(entry, kinds):
                raise self._wrong(place, f"{entry!r} is not of type {kinds!r}; change one of the two")

    def _enumeration(self, value: dict[str, Any], place: str) -> Any:
        target = self._resolved(value["$ref"], place) if "$ref" in value else None
        return target.get("enum") if isinstance(target, dict) else None

    def _operations(self) -> None:
        seen: dict[str, str] = {}
        errors = self._document["x-host"]["errors"] if "x-host" in self._document else None
        for path, item in self._document["paths"].items():
            if not isinstance(item, dict):
                raise self._wrong(f"paths.{path}", "a mapping of methods is needed here; write one")
            for method in _METHODS:
                if method in item:
                    self._operation(item[method], f"paths.{path}.{method}", seen, errors)

    def _operation(self, said: Any, place: str, seen: dict[str, str], errors: Mapping[str, Any] | None) -> None:
        if not isinstance(said, dict):
            raise self._wrong(place, "a mapping is needed here; write the operation")
        name = said.get("operationId")
        if isinstance(name, str):
            if name in seen:
                raise self._wrong(place, f"the operationId {name!r} is that of {seen[name]} too; give it another")
            seen[name] = place
        if said.get("x-user", "none") not in ("query", "json", "form", "none"):
            raise self._wrong(f"{place}.x-user", "the user is in query, json, form or none; write one of them")
        if not isinstance(said.get("x-user-required", False), bool):
            raise self._wrong(f"{place}.x-user-required", "true or false is needed here; write one")
        refusal = [said["x-refusal"]] if "x-refusal" in said else []
        for error in (*said.get("x-errors", ()), *refusal):
            if errors is not None and error not in errors:
                raise self._wrong(place, f"x-host.errors has no {error!r}; add it there or correct the name")


def _among(value: Any, entries: list[Any]) -> bool:
    return any(value == entry and isinstance(value, bool) == isinstance(entry, bool) for entry in entries)


def _is(value: Any, kinds: Any) -> bool:
    if isinstance(kinds, list):
        return any(_is(value, kind) for kind in kinds)
    if isinstance(value, bool):
        return bool(kinds == "boolean")
    if kinds == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(kinds, object))
