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
from fake_server.journal.entry import Entry
from fake_server.journal.warnings import Judge

if TYPE_CHECKING:
    from fake_server.endpoints import Host
    from fake_server.journal.matching import Difference
    from fake_server.settings import Settings

_DEEPEST = 500
"""JSON nested deeper is shown as text alone: no reader of the journal would get through it."""


class Reading:
    """Shows entries without secrets, with what ``judge`` warns of."""

    def __init__(self, redactor: TextRedactor, judge: Judge) -> None:
        self.redactor = redactor
        self._judge = judge

    def shown(self, entry: Entry) -> dict[str, Any]:
        """Everything that the journal says of an exchange."""
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
            "state": state(entry),
            "answer": None if entry.status is None else self._answer(entry),
            "first_byte_ms": _ms(entry, entry.first_byte),
            "ended_ms": _ms(entry, entry.ended),
            "scenarios": list(entry.scenarios),
            "notes": list(entry.notes),
            "warnings": self.warnings(entry),
        }

    def warnings(self, entry: Entry) -> list[str]:
        """What the host let pass and the document forbids, a sentence each."""
        return [
            self.redactor.text(warning) for warning in self._judge.warnings(entry, json_of(entry))
        ]

    def differences(self, differences: Iterable[Difference]) -> list[dict[str, Any]]:
        """What tells an entry from a description."""
        return [
            {
                "field": one.field,
                "wanted": self._said(one.field, one.wanted),
                "got": self._said(one.field, one.got),
            }
            for one in differences
        ]

    def _said(self, field: str, value: Any) -> Any:
        header = field.removeprefix("header.")
        return (
            self.redactor.header(header, value)
            if header != field and value
            else self.redactor.value(value)
        )

    def _answer(self, entry: Entry) -> dict[str, Any]:
        said = {
            "status": entry.status,
            "headers": self._headers(entry.headers),
            "bytes": entry.sent_bytes,
        }
        if entry.digest is not None:
            return {**said, "sha256": entry.digest}
        chunks = list(entry.chunks)
        body = b"".join(data for _, data in chunks)
        if entry.is_stream:
            return {
                **said,
                "frames": self._frames(entry, chunks),
                "truncated": entry.sent_bytes > len(body),
            }
        return {**said, **self._body(body, entry.sent_bytes)}

    def _headers(self, pairs: Iterable[tuple[bytes, bytes]]) -> list[list[str]]:
        """As pairs, for a header may be there twice."""
        shown = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs)
        return [[name, self.redactor.header(name, value)] for name, value in shown]

    def _body(self, data: bytes, whole: int) -> dict[str, Any]:
        """A body as text, or in base64 where it is none; ``truncated`` where less of it is kept
        than there was.
        """
        truncated = whole > len(data)
        try:
            text = (data[: _whole_characters(data)] if truncated else data).decode()
        except UnicodeDecodeError:
            kept = self.redactor.data(data)
            return {
                "body": base64.b64encode(kept).decode(),
                "encoding": "base64",
                "truncated": truncated,
            }
        text = self.redactor.text(text)
        shown = self.redactor.without_cut_secret(text) if truncated else text
        return {"body": shown, "encoding": "text", "truncated": truncated}

    def _frames(self, entry: Entry, chunks: list[tuple[float, bytes]]) -> list[dict[str, Any]]:
        """The frames of a stream, each with the moment at which its last byte was sent."""
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


def reading_of(host: Host) -> Reading:
    """How the journal of ``host`` is read: by its document, without its keys."""
    settings = host.settings
    document = settings.spec or bundled("openapi.yaml")
    judge = Judge(lambda: load_yaml(document), host.apps, host.apps[settings.api_keys[0]])
    return Reading(redactor_of(settings), judge)


def state(entry: Entry) -> str:
    """How far an exchange has got: running, complete, client left, broken."""
    if entry.ended is None:
        return "running"
    if entry.broken or not (entry.told or entry.left):
        return "broken"
    return "client left" if entry.left else "complete"


def json_of(entry: Entry) -> Any:
    """The request's body as JSON; None where it is none, or not wholly kept."""
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


def user_of(entry: Entry) -> Any:
    """The user that the request speaks for, in its JSON or its query."""
    body = json_of(entry)
    if isinstance(body, dict) and "user" in body:
        return body["user"]
    return dict(
        parse_qsl(entry.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    ).get("user")


def _content_length(entry: Entry) -> int:
    """What the request says of its body, which may never have been read."""
    said = next((value for name, value in entry.scope["headers"] if name == b"content-length"), b"")
    return int(said) if said.isdigit() else 0


def _finite(text: str) -> float | str:
    """What JSON cannot say again stays a text, as NaN does."""
    number = float(text)
    return number if math.isfinite(number) else text


def _ms(entry: Entry, at: float | None) -> float | None:
    return None if at is None else round((at - entry.began) * 1000, 2)


def _whole_characters(data: bytes) -> int:
    """How many bytes of UTF-8 are whole characters, where the last may have been cut."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 != 0x80:
            needed = 1 if byte < 0x80 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(data) if needed <= back else len(data) - back
    return len(data)
