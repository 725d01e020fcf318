"""HTTP Archives (HAR 1.2) as recordings: our own (``har_export``), and those of browsers.

An archive of another program has none of our fields: what it says is taken, one chunk an answer, and what it left out
is told.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlencode, urlsplit

from dify_wire.recording.decoding import coding, without_coding
from dify_wire.recording.document import complaint
from dify_wire.recording.errors import RecordingError
from dify_wire.recording.exchange import ENDS, Chunk, Headers, RecordedRequest, Recording, Shortened, announced
from dify_wire.spec_error import reason

_HTTP_VERSIONS = {"1.0": "1.0", "1.1": "1.1", "2": "2", "2.0": "2", "h2": "2", "3": "3", "3.0": "3", "h3": "3"}
_NEEDED = object()
_OTHER_SCHEME = re.compile("(?!https?:)[a-z][a-z+-]*:", re.IGNORECASE)
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Imported:
    """What an archive held: its exchanges, and of each entry that is none, the place and the reason."""

    recordings: tuple[Recording, ...]
    left_out: tuple[str, ...]


def read_har(path: Path) -> Imported:
    """The exchanges of the archive at ``path``.

    Raises ``RecordingError`` for what is no archive, or is damaged; names what it had to leave out.
    """
    path = Path(path)
    entries = _entries(path)
    recordings, left_out = [], []
    for index, said in enumerate(entries):
        place = f"log.entries[{index}]"
        why_not = _no_exchange(said)
        if why_not:
            left_out.append(f"{place}: {why_not}")
        else:
            recordings.append(_Entry(path, place, said).recording())
    return Imported(tuple(recordings), tuple(left_out))


def _entries(path: Path) -> list[Any]:
    try:
        said = json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise RecordingError(
            path, "the file", f"it cannot be read ({reason(error)}); give the path of a HAR file"
        ) from None
    except (ValueError, RecursionError) as error:
        raise RecordingError(path, "the file", f"this is no JSON ({error}); export the archive again") from None
    log = said.get("log") if isinstance(said, dict) else None
    entries = log.get("entries") if isinstance(log, dict) else None
    if not isinstance(entries, list):
        raise RecordingError(path, "log.entries", "there is no such list, so this is no HAR; give the path of one")
    return entries


def _no_exchange(said: Any) -> str | None:
    """Why an entry holds no exchange; None where it does."""
    response = said.get("response") if isinstance(said, dict) else None
    if not isinstance(response, dict):
        return None  # told with its place by whoever reads it
    if response.get("status") in (0, None):
        return f"the request got no answer ({response.get('_error') or said.get('_error') or 'blocked or given up'})"
    if response.get("status") == 101:
        return "the connection became another protocol's"
    request = said.get("request")
    url = request.get("url") if isinstance(request, dict) else None
    if isinstance(url, str) and "_recording" not in said and _OTHER_SCHEME.match(url):
        return f"nothing was asked of a host ({url.partition(':')[0]}:)"
    return None


class _Entry:
    """One entry of an archive, read field by field; unknown fields are other programs' business."""

    def __init__(self, path: Path, place: str, said: object) -> None:
        self._path = path
        self._place = place
        self._said = self._mapping(said, "")
        self._request = self._mapping(self._said.get("request"), "request")
        self._response = self._mapping(self._said.get("response"), "response")
        self._ours = self._mapping(self._said.get("_recording", {}), "_recording")

    def recording(self) -> Recording:
        request = self._read_request()
        headers = self._headers(self._response, "response")
        chunks, shortened, seconds = self._answer(headers)
        made = Recording(
            name=self._own("name", str, ""),
            app=self._own("app", str, None),
            note=self._own("note", str, ""),
            recorded_at=float(self._own("recorded_at", (int, float), self._began())),
            host=self._own("host", str, self._host()),
            host_version=self._own("host_version", str, _header(headers, "x-version")),
            request=request,
            status=self._value(self._response, "response.status", int),
            reason=self._value(self._response, "response.statusText", str, ""),
            headers=headers,
            chunks=chunks,
            seconds=seconds,
            ended=self._own("ended", str, "complete"),
            redacted=tuple(self._own("redacted", list, [])),
            shortened=shortened,
        )
        if made.ended not in ENDS:
            self._refuse("_recording.ended", f"{made.ended!r} is not known; write one of {', '.join(ENDS)}")
        wrong = complaint(made)
        if wrong:
            self._refuse(wrong[0].replace("answer.", "response."), wrong[1])
        return made if self._ours else _as_decoded(made)

    def _read_request(self) -> RecordedRequest:
        body, shortened = self._request_body()
        said = self._value(self._request, "request.httpVersion", str, "HTTP/1.1").lower().removeprefix("http/")
        parts = urlsplit(self._url())
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = self._headers(self._request, "request")
        if not _header(headers, "host") and not self._ours:
            headers = (("Host", parts.netloc), *headers)
        return RecordedRequest(
            method=self._value(self._request, "request.method", str),
            target=self._own("target", str, target),
            headers=headers,
            body=body,
            http_version=_HTTP_VERSIONS.get(said, "1.1"),
            chunk_sizes=tuple(self._own("chunk_sizes", list, [])),
            shortened=self._shortened("request_shortened_from") or shortened,
        )

    def _request_body(self) -> tuple[bytes, Shortened | None]:
        said = self._mapping(self._request.get("postData") or {}, "request.postData")
        text, params = said.get("text"), said.get("params")
        if isinstance(text, str) and (text or not params):
            return self._bytes(text, said.get("_encoding"), "request.postData.text"), None
        if params and str(said.get("mimeType", "")).partition(";")[0].strip().lower() == _FORM:
            pairs = [
                (str(pair.get("name", "")), str(pair.get("value", ""))) for pair in params if isinstance(pair, dict)
            ]
            return urlencode(pairs).encode(), None
        size = self._request.get("bodySize")
        return b"", Shortened(size) if isinstance(size, int) and size > 0 else None

    def _answer(self, headers: Headers) -> tuple[tuple[Chunk, ...], Shortened | None, float]:
        seconds = self._own("seconds", (int, float), None)
        if seconds is None:
            seconds = max(0.0, float(self._value(self._said, "time", (int, float), 0))) / 1000
        content = self._mapping(self._response.get("content", {}), "response.content")
        text = content.get("text")
        shortened = self._shortened("shortened_from")
        if not isinstance(text, str):
            size = content.get("size")
            lost = isinstance(size, int) and size > 0 and self._request.get("method") != "HEAD"
            return (), Shortened(size) if lost and isinstance(size, int) else shortened, float(seconds)
        body = self._bytes(text, content.get("encoding"), "response.content.text")
        return tuple(self._chunks(body, float(seconds))), shortened, float(seconds)

    def _chunks(self, body: bytes, seconds: float) -> Iterator[Chunk]:
        said = self._response.get("_chunks")
        if said is None:
            yield from [Chunk(seconds, body)] if body else []
            return
        if not (isinstance(said, list) and all(map(_is_arrival, said)) and sum(size for _, size in said) == len(body)):
            self._refuse("response._chunks", f"these are not [SECONDS, BYTES] of {len(body)} bytes; export it again")
        ends = list(accumulate(size for _, size in said))
        for (at_s, size), end in zip(said, ends, strict=True):
            yield Chunk(float(at_s), body[end - size : end])

    def _bytes(self, text: str, encoding: object, place: str) -> bytes:
        if encoding != "base64":
            return text.encode("utf-8", "surrogatepass")
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            self._refuse(place, "this is no base64; the archive is damaged; export it again")

    def _shortened(self, name: str) -> Shortened | None:
        said = self._ours.get(name)
        if said is None:
            return None
        fields = self._mapping(said, f"_recording.{name}")
        size = self._value(fields, f"_recording.{name}.bytes", int)
        return Shortened(size, self._value(fields, f"_recording.{name}.sha256", (str, type(None)), None))

    def _headers(self, owner: Mapping[str, Any], name: str) -> Headers:
        """The headers, without the pseudo headers of HTTP/2, which say again what the request line says."""
        pairs = []
        for index, pair in enumerate(self._value(owner, f"{name}.headers", list)):
            said = self._mapping(pair, f"{name}.headers[{index}]")
            key = self._value(said, f"{name}.headers[{index}].name", str)
            value = self._value(said, f"{name}.headers[{index}].value", str)
            if not key.startswith(":"):
                pairs += [
                    (key, _on_the_wire(part)) for part in value.split("\n")
                ]  # so do browsers join headers of a name
        return tuple(pairs)

    def _url(self) -> str:
        url: str = self._value(self._request, "request.url", str)
        try:
            urlsplit(url)
        except ValueError as error:
            self._refuse("request.url", f"this is no URL ({error}); correct it")
        return url

    def _host(self) -> str:
        parts = urlsplit(self._url())
        return f"{parts.scheme}://{parts.netloc}"

    def _began(self) -> float:
        said = self._value(self._said, "startedDateTime", str)
        try:
            return max(0.0, datetime.datetime.fromisoformat(said).timestamp())
        except (ValueError, OverflowError):
            self._refuse("startedDateTime", f"{said!r} is no time such as 2024-04-24T06:09:32.000Z; correct it")

    def _own(self, name: str, kind: Any, default: Any) -> Any:
        if self._ours.get(name) is None:
            return default
        return self._value(self._ours, f"_recording.{name}", kind)

    def _value(self, owner: Mapping[str, Any], place: str, kind: Any, default: Any = _NEEDED) -> Any:
        """The field of ``owner`` that the last word of ``place`` names; without a default it is needed."""
        value = owner.get(place.rpartition(".")[2], default)
        if value is _NEEDED or (value is not default and (not isinstance(value, kind) or isinstance(value, bool))):
            self._refuse(place, f"{'it is missing' if value is _NEEDED else repr(value)}, and HAR wants another value")
        return value

    def _mapping(self, said: object, place: str) -> Mapping[str, Any]:
        if not isinstance(said, dict):
            self._refuse(place, "an object is needed here; the archive is damaged; export it again")
        return said

    def _refuse(self, place: str, message: str) -> NoReturn:
        raise RecordingError(self._path, f"{self._place}.{place}".rstrip("."), message)


def _is_arrival(said: object) -> bool:
    return (
        isinstance(said, list)
        and len(said) == 2
        and all(isinstance(one, int | float) and not isinstance(one, bool) for one in said)
        and isinstance(said[1], int)
        and min(said) >= 0
    )


def _on_the_wire(value: str) -> str:
    """A header's value as its bytes are told in a recording; some programs decode them as UTF-8."""
    return value.encode("utf-8", "replace").decode("latin-1") if any(letter > "\xff" for letter in value) else value


def _as_decoded(made: Recording) -> Recording:
    """Browsers keep a body unpacked beside the headers of the packed one; here the headers follow the body."""
    if not made.chunks:
        return made
    headers = without_coding(made.headers) if coding(made.headers) else made.headers
    length, size = _header(headers, "content-length"), len(made.body)
    headers = announced(headers, int(length), size) if length.isdecimal() and len(length) < 16 else headers
    return replace(made, headers=headers)


def _header(headers: Sequence[tuple[str, str]], name: str) -> str:
    return next((value for key, value in headers if key.lower() == name), "")
