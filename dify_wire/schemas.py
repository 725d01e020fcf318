"""Values checked by the schemas of an OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


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
