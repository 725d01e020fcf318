"""Whether an exchange is what the spec documents: its status, its content type, its body, each
frame of its stream.

Of ``oneOf`` with a ``discriminator`` the schema that the discriminator names is checked, so that a
failure says what is wrong in it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from contract.sse import Frame
from contract.target import Stream
from dify_wire import profile, spec
from dify_wire.exchange import EVENT_STREAM, Exchange, loads
from dify_wire.spec import Schemas
from dify_wire.text_file import bundled


@functools.cache
def documented() -> Spec:
    """What the vendor's document says, and no more."""
    return Spec(spec.load(bundled("openapi.yaml"), []))


@functools.cache
def observed(host_version: str) -> Spec:
    """What a host of ``host_version`` was seen to do; the version has to be among
    ``dify_wire.profile.HOST_VERSIONS``.
    """
    return Spec(spec.load(bundled("openapi.yaml"), profile.overlay_paths(host_version)))


class Spec:
    """An OpenAPI document that exchanges are compared with. Each method yields what is wrong, and
    nothing where the document is silent.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self._paths = [
            (re.compile(re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(path))), item)
            for path, item in document["paths"].items()
        ]
        self._schemas = Schemas(document)

    def documents(self, exchange: Exchange) -> bool:
        """Whether the spec has the operation, and there is a whole response to compare."""
        return (
            self._operation(exchange) is not None
            and exchange.status is not None
            and exchange.failure is None
        )

    def wrong_status(self, exchange: Exchange) -> Iterator[str]:
        statuses = (self._operation(exchange) or {}).get("responses", {})
        if str(exchange.status) not in statuses:
            yield f"status {exchange.status}; documented: {', '.join(statuses)}"

    def wrong_content_type(self, exchange: Exchange) -> Iterator[str]:
        content = self._content(exchange)
        if content and _documented_type(exchange, content) is None:
            known = ", ".join(content)
            yield f"{exchange.header('content-type')}; documented with {exchange.status}: {known}"

    def wrong_body(self, exchange: Exchange) -> Iterator[str]:
        """What is wrong with a JSON body."""
        schema = self._media(exchange).get("schema")
        if (
            schema is None
            or exchange.media_type != "application/json"
            or exchange.request.method == "HEAD"
        ):
            return
        try:
            yield from self.wrong_value(schema, exchange.json())
        except ValueError as error:
            yield f"not JSON: {error}"

    def wrong_frames(self, exchange: Exchange) -> Iterator[str]:
        """What is wrong with each frame of a stream."""
        schema = self._media(exchange).get("itemSchema")
        if schema is None or exchange.media_type != EVENT_STREAM:
            return
        for number, frame in enumerate(Stream.of(exchange).frames, 1):
            yield from (
                f"frame {number}: {wrong}" for wrong in self._wrong_item(schema, _item(frame))
            )

    def wrong_value(self, schema: Mapping[str, Any], value: Any) -> Iterator[str]:
        """What is wrong with ``value`` by a schema of this document."""
        schema = self._chosen(schema, value)
        for error in self._schemas.errors(schema, value):
            place = "/".join(str(step) for step in error.instance_path)
            yield f"{place or 'the whole'}: {error.message}"

    def _wrong_item(self, schema: Mapping[str, Any], item: Mapping[str, str]) -> list[str]:
        """JSON Schema does not look into a string: the ``contentSchema`` of ``data`` is applied
        here.
        """
        schema = self._resolved(schema)
        wrong: list[str] = []
        for branch in schema.get("anyOf", [schema]):
            form = self._resolved(branch)
            found = list(self.wrong_value(form, item)) or list(self._wrong_content(form, item))
            if not found:
                return []
            wrong = wrong or found
        return wrong

    def _wrong_content(self, form: Mapping[str, Any], item: Mapping[str, str]) -> Iterator[str]:
        content = form.get("properties", {}).get("data", {}).get("contentSchema")
        if content is None:
            return
        try:
            yield from self.wrong_value(content, loads(item["data"]))
        except ValueError as error:
            yield f"not JSON: {error}"

    def _chosen(self, schema: Mapping[str, Any], value: Any) -> Mapping[str, Any]:
        whole = self._resolved(schema)
        choice = whole.get("discriminator")
        if choice and isinstance(value, dict):
            named = choice["mapping"].get(str(value.get(choice["propertyName"])))
            return {"$ref": named} if named else whole
        return schema

    def _operation(self, exchange: Exchange) -> Mapping[str, Any] | None:
        path = exchange.request.path
        for pattern, item in self._paths:
            if pattern.fullmatch(path):
                operation: Mapping[str, Any] | None = item.get(exchange.request.method.lower())
                return operation
        return None

    def _content(self, exchange: Exchange) -> Mapping[str, Any]:
        response = (
            (self._operation(exchange) or {}).get("responses", {}).get(str(exchange.status), {})
        )
        content: Mapping[str, Any] = self._resolved(response).get("content", {})
        return content

    def _media(self, exchange: Exchange) -> Mapping[str, Any]:
        content = self._content(exchange)
        named = _documented_type(exchange, content)
        media: Mapping[str, Any] = content[named] if named else {}
        return media

    def _resolved(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        return spec.resolved(self.document, value)


def _documented_type(exchange: Exchange, content: Mapping[str, Any]) -> str | None:
    kind = exchange.media_type.partition("/")[0]
    return next((name for name in content if name in (exchange.media_type, f"{kind}/*")), None)


def _item(frame: Frame) -> Mapping[str, str]:
    """A frame's fields, as OpenAPI 3.2 has them in an ``itemSchema``."""
    lines = frame.raw.decode("utf-8", "replace").split("\n")
    pairs = (line.partition(":") for line in lines if line and not line.startswith(":"))
    return {name: value.removeprefix(" ") for name, _, value in pairs}
