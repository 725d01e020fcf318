"""Entries as JSON: decoded, timed in milliseconds since the request came, and redacted."""

from __future__ import annotations

import base64
import codecs
from collections.abc import Iterable
from typing import Any

from dify_wire.redaction.text import TextRedactor
from dify_wire.text_file import bundled
from dify_wire.yaml_file import load_yaml
from fake_server.host_state import HostState
from fake_server.journal.exchanges import Entry
from fake_server.journal.matching import Difference
from fake_server.journal.warnings import DocumentChecker
from fake_server.settings import Settings


class JournalReader:
    """Entries as JSON, without secrets, with the warnings of ``checker``."""

    def __init__(self, redactor: TextRedactor, checker: DocumentChecker) -> None:
        self.redactor = redactor
        self._checker = checker

    def to_json(self, entry: Entry) -> dict[str, Any]:
        scope = entry.scope
        announced = entry.header(b"content-length")  # of a body that may not have been read
        size = max(entry.body_bytes, int(announced) if announced.isdigit() else 0)
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
            **self._body(b"".join(entry.body), size),
            "json": self.redactor.value(entry.json()),
            "state": entry.state,
            "answer": None if entry.status is None else self._response(entry),
            "first_byte_ms": _ms(entry, entry.first_byte),
            "ended_ms": _ms(entry, entry.ended),
            "scenarios": list(entry.scenarios),
            "notes": list(entry.notes),
            "warnings": self.warnings(entry),
        }

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


def _ms(entry: Entry, at: float | None) -> float | None:
    return None if at is None else round((at - entry.began) * 1000, 2)
