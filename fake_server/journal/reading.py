"""Entries as JSON: decoded, timed in milliseconds since the request came, and redacted."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from dify_wire.redaction.text import TextRedactor
from dify_wire.spec import bundled, load_yaml
from fake_server.journal.exchanges import Entry
from fake_server.journal.warnings import DocumentChecker, header_of

if TYPE_CHECKING:
    from fake_server.host_state import HostState
    from fake_server.journal.matching import Difference
    from fake_server.settings import Settings

_DEEPEST = 500
"""JSON nested deeper is shown as text alone: readers of the journal might fail on it."""


class JournalReader:
    """Entries as JSON, without secrets, with the warnings of ``checker``."""

    def __init__(self, redactor: TextRedactor, checker: DocumentChecker) -> None:
        self.redactor = redactor
        self._checker = checker

    def to_json(self, entry: Entry) -> dict[str, Any]:
        scope = entry.scope
        path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
        return {
            "id": entry.number,
            "received_at": entry.received_at,
            "client": (scope.get("client") or (None,))[0],
            "method": scope["method"],
            "path": self.redactor.text(path),
            "query": self.redactor.text(scope["query_string"].decode("latin-1")),
            "operation": entry.operation,
            "headers": self._headers(scope["headers"]),
            **self._body(b"".join(entry.body), max(entry.body_bytes, _content_length(entry))),
            "json": self.redactor.value(json_of(entry)),
            "state": state_of(entry),
            "answer": None if entry.status is None else self._response(entry),
            "first_byte_ms": _ms(entry, entry.first_byte),
            "ended_ms": _ms(entry, entry.ended),
            "scenarios": list(entry.scenarios),
            "notes": list(entry.notes),
            "warnings": self.warnings(entry),
        }

    def warnings(self, entry: Entry) -> list[str]:
        """What the host accepted and the document forbids, a sentence each."""
        found = self._checker.warnings(entry, json_of(entry))
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
        chunks = list(entry.chunks)
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
            text = (data[: _whole_characters(data)] if truncated else data).decode()
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
            frames += [{"ms": _ms(entry, at), "frame": self._frame(frame)} for frame in whole]
        if pending:
            cut = self.redactor.without_cut_secret(self._frame(pending))
            frames.append({"ms": _ms(entry, chunks[-1][0]), "frame": cut, "partial": True})
        return frames

    def _frame(self, data: bytes) -> str:
        return self.redactor.text(data.decode("utf-8", "replace"))


def redactor_of(settings: Settings) -> TextRedactor:
    """Keeps the secrets of ``settings`` out of log and journal."""
    keys = [*settings.api_keys, *(key for key, _ in settings.apps)]
    return TextRedactor([*keys, settings.secret_key, settings.admin_token or ""])


def journal_reader(host: HostState) -> JournalReader:
    settings = host.settings
    document = settings.spec or bundled("openapi.yaml")
    default = host.apps[settings.api_keys[0]]
    checker = DocumentChecker(lambda: load_yaml(document), host.apps, default)
    return JournalReader(redactor_of(settings), checker)


def state_of(entry: Entry) -> str:
    """running, complete, client left or broken."""
    if entry.ended is None:
        return "running"
    if entry.broken_off or not (entry.response_complete or entry.client_left):
        return "broken"
    return "client left" if entry.client_left else "complete"


def json_of(entry: Entry) -> Any:
    """The request's body as JSON; None where it is none, or not stored as a whole."""
    data = b"".join(entry.body)
    if (
        not data
        or entry.body_bytes > len(data)
        or max(data.count(b"["), data.count(b"{")) > _DEEPEST
    ):
        return None
    try:
        return json.loads(data, parse_constant=str, parse_float=_finite)
    except ValueError:
        return None


def body_field(entry: Entry, name: str) -> Any:
    """A value of the request's JSON object; None where there is none."""
    body = json_of(entry)
    return body.get(name) if isinstance(body, dict) else None


def user_of(entry: Entry) -> Any:
    """The user in the request's JSON or its query."""
    body = json_of(entry)
    if isinstance(body, dict) and "user" in body:
        return body["user"]
    query = entry.scope["query_string"].decode("latin-1")
    return dict(parse_qsl(query, keep_blank_values=True)).get("user")


def _content_length(entry: Entry) -> int:
    """The announced size of the request's body, which may never have been read."""
    length = header_of(entry, b"content-length")
    return int(length) if length.isdigit() else 0


def _finite(text: str) -> float | str:
    """What JSON cannot write stays a string, as NaN does."""
    number = float(text)
    return number if math.isfinite(number) else text


def _ms(entry: Entry, at: float | None) -> float | None:
    return None if at is None else round((at - entry.began) * 1000, 2)


def _whole_characters(data: bytes) -> int:
    """The length of ``data`` without a last character of UTF-8 that is cut."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 != 0x80:
            needed = 1 if byte < 0x80 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(data) if needed <= back else len(data) - back
    return len(data)
