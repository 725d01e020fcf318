"""The spec and its overlays, loaded, merged and checked: what both sides take their knowledge of
the wire from.

``openapi.yaml`` says what the vendor's document says; an overlay says what a host of one version
does beside it; a user may bring either of his own. Whatever is wrong with one of them is a
``SpecError``, found here and not by the first request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dify_wire.document_check import check
from dify_wire.overlay import OverlayError, apply_overlay, copied, read_overlay
from dify_wire.text_file import SpecError, file_errors
from dify_wire.yaml_file import load_yaml


def resolved(document: Mapping[str, Any], value: Mapping[str, Any]) -> Mapping[str, Any]:
    """``value`` itself, or what it refers to in ``document``, which has passed ``check``."""
    while "$ref" in value:
        target: Any = document
        for key in value["$ref"].removeprefix("#/").split("/"):
            target = target[key.replace("~1", "/").replace("~0", "~")]
        value = target
    return value


class Schemas:
    """The schemas of ``document``; each is compiled once.

    jsonschema-rs does the work: Python's jsonschema takes a hundred times as long.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._components = document.get("components", {})
        self._validators: dict[str, Any] = {}

    def errors(self, schema: Mapping[str, Any], value: Any) -> Iterator[Any]:
        """jsonschema-rs's errors of ``value``: ``message``, ``instance_path``, ``schema_path``."""
        key = repr(schema)
        if key not in self._validators:
            import jsonschema_rs  # a server that warns of nothing never needs it

            rooted = {**schema, "components": self._components}
            self._validators[key] = jsonschema_rs.Draft202012Validator(rooted)
        return iter(self._validators[key].iter_errors(value))


def load(spec: Path, overlays: Sequence[Path]) -> dict[str, Any]:
    """The document of ``spec`` with ``overlays`` applied in order, checked.

    Raises ``SpecError`` for a file that cannot be used, an overlay that does not fit, a ``$ref`` to
    nothing, and for rules that contradict each other; then no socket should open.
    """
    document = load_yaml(spec)
    _check_version(spec, document)
    last = spec
    for path in overlays:
        try:
            apply_overlay(document, read_overlay(path))
        except OverlayError as error:
            raise SpecError(path, error.place, f"{error.message} (applied to {spec})") from None
        last = path
    with file_errors(
        last,
        "an OpenAPI document that an overlay has changed" if overlays else "an OpenAPI document",
    ):
        check(last, document)
    return document


def to_openapi_31(document: Mapping[str, Any]) -> dict[str, Any]:
    """The OpenAPI 3.1 form of ``document``, for tools that do not know 3.2; every other verdict
    stays the same.

    The version is 3.1.1. An ``itemSchema`` becomes ``x-item-schema``, and the schema is a text or
    such an item: a tool that judges the body as a whole sees a text, and one that judges each event
    (as schemathesis does) sees the items.
    """
    made = copied(document)
    made["openapi"] = "3.1.1"
    for holder in _holders_of_item_schema(made):
        item = holder["x-item-schema"] = holder.pop("itemSchema")
        holder.setdefault("schema", {"anyOf": [{"type": "string"}, copied(item)]})
    assert isinstance(made, dict)
    return made


def _holders_of_item_schema(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        content = value.get("content")
        if isinstance(content, dict):
            yield from (
                media
                for media in content.values()
                if isinstance(media, dict) and "itemSchema" in media
            )
        for child in value.values():
            yield from _holders_of_item_schema(child)
    elif isinstance(value, list):
        for child in value:
            yield from _holders_of_item_schema(child)


def _check_version(path: Path, document: Mapping[str, Any]) -> None:
    version = document.get("openapi")
    if not isinstance(version, str) or not re.fullmatch(r"3\.[12]\.\d+", version):
        found = (
            f"this says {version!r}" if "openapi" in document else "this says no OpenAPI version"
        )
        raise SpecError(
            path, "openapi", f"{found}; OpenAPI 3.1 and 3.2 can be read, so write openapi: 3.2.0"
        )
    if not isinstance(document.get("paths"), dict):
        raise SpecError(path, "paths", "a mapping of paths is needed; add it")
