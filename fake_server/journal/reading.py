"""Entries as JSON: decoded, timed in milliseconds since the request came, redacted, with warnings.

Warnings are what the host accepts and the document forbids, by the document's own schemas without
the overlay of any host. The document describes the default app; of another app, its own start
variables define the inputs.
"""

from __future__ import annotations

import base64
import codecs
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

from dify_wire.spec import Schemas, resolved
from dify_wire.text_file import bundled
from dify_wire.yaml_file import load_yaml
from fake_server.host_state import HostState
from fake_server.journal.entry import Entry, parsed
from fake_server.journal.exchanges import redactor_of
from fake_server.journal.matching import Difference
from fake_server.workflow.model import App

_LONGEST = 200
_REFUSED = 400


class JournalReader:
    """Entries of ``host`` as JSON, without its secrets, with warnings."""

    def __init__(self, host: HostState) -> None:
        settings = host.settings
        document = settings.spec or bundled("openapi.yaml")
        default = host.apps[settings.api_keys[0]]
        self.redactor = redactor_of(settings)
        self._checker = DocumentChecker(lambda: load_yaml(document), host.apps, default)

    def brief(self, entry: Entry) -> dict[str, Any]:
        """What a list shows of an entry: no headers and no bodies."""
        scope = entry.scope
        path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
        return {
            "id": entry.number,
            "received_at": entry.received_at,
            "method": scope["method"],
            "path": self.redactor.text(path),
            "query": self.redactor.text(scope["query_string"].decode("latin-1")),
            "operation": entry.operation,
            "state": entry.state,
            "status": entry.status,
            "stream": entry.is_stream,
            "bytes": entry.sent_bytes,
            "ended_ms": _ms(entry, entry.ended),
            "scenarios": list(entry.scenarios),
            "warnings": len(self.warnings(entry)),
        }

    def to_json(self, entry: Entry) -> dict[str, Any]:
        scope = entry.scope
        announced = entry.header(b"content-length")  # of a body that may not have been read
        size = max(entry.body_bytes, int(announced) if announced.isdigit() else 0)
        body = self._body(entry.body, size)
        path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
        return {
            "id": entry.number,
            "received_at": entry.received_at,
            "client": entry.client,
            "method": scope["method"],
            "path": self.redactor.text(path),
            "query": self.redactor.text(scope["query_string"].decode("latin-1")),
            "operation": entry.operation,
            "headers": self._headers(scope["headers"]),
            **body,
            "json": self._json(entry.json(), body),
            "state": entry.state,
            "answer": None if entry.status is None else self._response(entry),
            "first_byte_ms": _ms(entry, entry.first_byte),
            "ended_ms": _ms(entry, entry.ended),
            "scenarios": list(entry.scenarios),
            "notes": list(entry.notes),
            "warnings": self.warnings(entry),
        }

    def _json(self, value: Any, body: Mapping[str, Any]) -> Any:
        """The JSON of a body, from its text where that is JSON without its secrets, too."""
        if value is None or body["encoding"] != "text":
            return self.redactor.value(value)
        return parsed(body["body"].encode()) or self.redactor.value(value)

    def warnings(self, entry: Entry) -> list[str]:
        """What the host accepted and the document forbids, a sentence each."""
        found = self._checker.warnings(entry, entry.json())
        return [self.redactor.text(warning) for warning in found]

    def differences(self, differences: Iterable[Difference]) -> list[dict[str, Any]]:
        return [
            {
                "field": one.field,
                "wanted": self._redacted(one.field, one.wanted),
                "got": self._redacted(one.field, one.got),
            }
            for one in differences
        ]

    def _redacted(self, field: str, value: Any) -> Any:
        header = field.removeprefix("header.")
        if header != field and value:
            return self.redactor.header(header, value)
        return self.redactor.value(value)

    def _response(self, entry: Entry) -> dict[str, Any]:
        response = {
            "status": entry.status,
            "headers": self._headers(entry.headers),
            "bytes": entry.sent_bytes,
        }
        if entry.digest is not None:
            return {**response, "sha256": entry.digest}
        chunks = entry.chunks
        body = b"".join(data for _, data in chunks)
        if not entry.is_stream:
            return {**response, **self._body(body, entry.sent_bytes)}
        frames = self._frames(entry, chunks)
        return {**response, "frames": frames, "truncated": entry.sent_bytes > len(body)}

    def _headers(self, pairs: Iterable[tuple[bytes, bytes]]) -> list[list[str]]:
        """As pairs, since a header may occur twice."""
        decoded = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs)
        return [[name, self.redactor.header(name, value)] for name, value in decoded]

    def _body(self, data: bytes, size: int) -> dict[str, Any]:
        """A body as text, or in base64 where it is none; ``data`` is what is stored of ``size``."""
        truncated = size > len(data)
        try:
            text = codecs.getincrementaldecoder("utf-8")().decode(data, final=not truncated)
        except UnicodeDecodeError:
            body = base64.b64encode(self.redactor.data(data)).decode()
            return {"body": body, "encoding": "base64", "truncated": truncated}
        text = self.redactor.text(text)
        body = self.redactor.without_cut_secret(text) if truncated else text
        return {"body": body, "encoding": "text", "truncated": truncated}

    def _frames(self, entry: Entry, chunks: list[tuple[float, bytes]]) -> list[dict[str, Any]]:
        """The frames of a stream, each with the time at which its last byte was sent."""
        frames: list[dict[str, Any]] = []
        pending = b""
        for at, data in chunks:
            *whole, pending = (pending + data).split(b"\n\n")
            for frame in whole:
                text = self.redactor.text(frame.decode("utf-8", "replace"))
                frames.append({"ms": _ms(entry, at), "frame": text})
        if pending:
            text = self.redactor.text(pending.decode("utf-8", "replace"))
            cut = self.redactor.without_cut_secret(text)
            frames.append({"ms": _ms(entry, chunks[-1][0]), "frame": cut, "partial": True})
        return frames


def _ms(entry: Entry, at: float | None) -> float | None:
    return None if at is None else round((at - entry.began) * 1000, 2)


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
