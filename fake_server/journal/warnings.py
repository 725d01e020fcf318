"""Warnings: what the host accepts and the document forbids, by the document's own schemas without
the overlay of any host.

The document describes the default app; of another app, its own start variables define the inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

from dify_wire.schemas import Schemas
from dify_wire.spec import resolved
from fake_server.journal.exchanges import Entry
from fake_server.workflow.model import App

_LONGEST = 200
_REFUSED = 400


class DocumentChecker:
    """Checks requests against an OpenAPI document, which is loaded when the first is checked.

    ``apps`` are all apps by key, ``described`` is the one that the document describes.
    """

    def __init__(
        self, document: Callable[[], object], apps: Mapping[str, App], described: App
    ) -> None:
        self._load = document
        self._apps = apps
        self._described = described

    def warnings(self, entry: Entry, body: Any) -> list[str]:
        """A sentence for each thing in an accepted request that the document forbids."""
        if entry.status is None or entry.status >= _REFUSED or entry.operation is None:
            return []
        if entry.operation not in self._operations:
            return []
        place, operation = self._operations[entry.operation]
        return [*self._query(entry, place, operation), *self._body(entry, body, place, operation)]

    @cached_property
    def _document(self) -> Mapping[str, Any]:
        document = self._load()
        assert isinstance(document, Mapping)
        return document

    @cached_property
    def _schemas(self) -> Schemas:
        return Schemas(self._document)

    @cached_property
    def _operations(self) -> dict[str, tuple[str, Mapping[str, Any]]]:
        """Each operation of the document with its pointer, by its id."""
        return {
            operation["operationId"]: (f"#/paths/{_escaped(path)}/{method}", operation)
            for path, item in self._document["paths"].items()
            for method, operation in item.items()
            if isinstance(operation, dict) and "operationId" in operation
        }

    def _query(self, entry: Entry, place: str, operation: Mapping[str, Any]) -> Iterator[str]:
        parameters = map(self._resolved, operation.get("parameters", ()))
        known = [one["name"] for one in parameters if one["in"] == "query"]
        sent = parse_qsl(entry.scope["query_string"].decode("latin-1"), keep_blank_values=True)
        has = f"the document has {', '.join(known) or 'none'} ({place}/parameters)"
        yield from _unknown("query parameter", dict(sent), known, has)

    def _body(
        self, entry: Entry, body: Any, place: str, operation: Mapping[str, Any]
    ) -> Iterator[str]:
        content = self._resolved(operation.get("requestBody", {})).get("content", {})
        content_type = entry.header(b"content-type").decode("latin-1")
        sent = content_type.partition(";")[0].strip().lower()
        if content and sent not in content:
            yield (
                f"the content type is {_cut(sent)!r}; the document has {', '.join(content)} "
                f"({place}/requestBody/content)"
            )
        schema = content.get("application/json", {}).get("schema")
        if schema is None or not isinstance(body, dict):
            return
        authorization = entry.header(b"authorization").decode("latin-1")
        app = self._apps.get(authorization.strip(" \t").partition(" ")[2].strip(), self._described)
        for error in self._schemas.errors(schema, body):
            steps = [str(step) for step in error.instance_path]
            of_described = app is self._described or steps[:1] != ["inputs"]
            if of_described or error.schema_path[-1] == "type":
                pointer = "#/" + "/".join(_escaped(str(step)) for step in error.schema_path)
                where = ".".join(steps) or "the body"
                yield f"{where}: {_cut(error.message)} (the document: {pointer})"
        yield from _unknown("key", body, *self._properties(schema))
        inputs = body.get("inputs")
        if isinstance(inputs, dict) and app is self._described:
            of_inputs = self._resolved(schema).get("properties", {}).get("inputs", {})
            yield from _unknown("input", inputs, *self._properties(of_inputs))
        elif isinstance(inputs, dict) and app.workflow is not None:
            known = [variable.name for variable in app.workflow.variables]
            has = f"the app {app.name!r} has {', '.join(known) or 'none'}"
            yield from _unknown("input", inputs, known, has)

    def _properties(self, schema: Mapping[str, Any]) -> tuple[list[str], str]:
        """The names that a schema lists, and a clause that says so."""
        known = list(self._resolved(schema).get("properties", {}))
        pointer = schema.get("$ref", "#")
        return known, f"the document has {', '.join(known)} ({pointer}/properties)"

    def _resolved(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        return resolved(self._document, value)


def _unknown(what: str, sent: Iterable[str], known: Sequence[str], has: str) -> Iterator[str]:
    for name in sent:
        if name not in known:
            yield f"the {what} {_cut(name)!r} is sent; {has}"


def _escaped(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1")


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
