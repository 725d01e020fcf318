"""HTTP Archives (HAR 1.2) as recordings: our own (``har_export``), and those of browsers, proxies
and test runners.

Entries are taken one by one. What is no exchange, or is damaged, is left out with its place and the
reason; an exchange whose body the archive does not have is taken as one of which the body was not
kept.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlencode, urlsplit

from dify_wire.exchange import ENDS, Chunk, Headers, Recording, Request, Shortened, announced
from dify_wire.recording.decoding import coding, without_coding
from dify_wire.recording.document import complaint
from dify_wire.recording.errors import RecordingError
from dify_wire.recording.fields import LAST_MOMENT_S, LONGEST_S
from dify_wire.recording.har_archive import AttachmentError, HarArchive
from dify_wire.recording.har_events import event_chunks

_HTTP_VERSIONS = {
    "1.0": "1.0",
    "1.1": "1.1",
    "2": "2",
    "2.0": "2",
    "h2": "2",
    "3": "3",
    "3.0": "3",
    "h3": "3",
}
_NEEDED = object()
_OTHER_SCHEME = re.compile("(?!https?:)[a-z][a-z+-]*:", re.IGNORECASE)
_FORM = "application/x-www-form-urlencoded"
_BODILESS = (204, 304)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TOO_LARGE = 1e15
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What is not taken from an archive: where it stands, and why. ``entry`` is its number in the
    archive.
    """

    entry: int
    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Imported:
    """What an archive holds: its exchanges with the number of their entries, and what is left out
    of it.
    """

    recordings: tuple[Recording, ...]
    left_out: tuple[LeftOut, ...]
    numbers: tuple[int, ...] = ()


def read_har(path: Path) -> Imported:
    """The exchanges of the archive at ``path``, which may be a zip. Raises ``RecordingError`` where
    it is none.
    """
    archive = HarArchive(Path(path))
    recordings: dict[int, Recording] = {}
    left_out: list[LeftOut] = []
    for number, said in enumerate(archive.entries):
        place = f"log.entries[{number}]"
        why_not = _no_exchange(said)
        if why_not:
            left_out.append(LeftOut(number, place, why_not))
            continue
        try:
            entry = _Entry(archive, place, said)
            recordings[number] = entry.recording()
            left_out += [
                LeftOut(number, f"{place}.{part}", why) for part, why in entry.missing.items()
            ]
        except RecordingError as error:
            left_out.append(LeftOut(number, error.place, error.message))
        except (
            ValueError,
            TypeError,
            OverflowError,
        ) as error:  # whatever it holds, the others can be taken
            left_out.append(LeftOut(number, place, f"it cannot be read ({error})"))
    return Imported(tuple(recordings.values()), tuple(left_out), tuple(recordings))


def _no_exchange(said: Any) -> str | None:
    """Why an entry holds no exchange; None where it does."""
    if not isinstance(said, dict):
        return "it is no object"
    response, request = said.get("response"), said.get("request")
    if not isinstance(response, dict):
        return "it has no response"
    status = response.get("status")
    if status is None or (isinstance(status, int) and status <= 0):
        return f"the request got no answer ({_failure(said) or 'blocked or given up'})"
    if status == 101:
        return "the connection became another protocol's"
    url = request.get("url") if isinstance(request, dict) else None
    if isinstance(url, str) and "_recording" not in said and _OTHER_SCHEME.match(url):
        return f"nothing was asked of a host ({url.partition(':')[0]}:)"
    return None


def _failure(said: Mapping[str, Any]) -> str:
    """How the connection failed, in the words of a browser; empty where it did not."""
    owners = [owner for owner in (said.get("response"), said) if isinstance(owner, dict)]
    texts = [owner.get(name) for owner in owners for name in ("_failureText", "_error")]
    return next((text for text in texts if isinstance(text, str) and text), "")


class _Entry:
    """One entry of an archive, read field by field; unknown fields are other programs' business.

    ``missing`` says of each body that the archive does not have why.
    """

    def __init__(self, archive: HarArchive, place: str, said: Mapping[str, Any]) -> None:
        self._archive = archive
        self._place = place
        self._said = said
        self._request = self._mapping(self._said.get("request"), "request")
        self._response = self._mapping(self._said.get("response"), "response")
        self._ours = self._mapping(self._said.get("_recording") or {}, "_recording")
        self._note = ""
        self.missing: dict[str, str] = {}

    def recording(self) -> Recording:
        request = self._read_request()
        status = self._value(self._response, "response.status", int)
        headers = self._headers(self._response, "response")
        chunks, shortened, seconds = self._answer(headers, status)
        failed = _failure(self._said)
        if failed and not chunks:
            self._refuse("response", f"the connection failed ({failed}), and there is no body")
        made = Recording(
            name=self._own("name", str, ""),
            app=self._own("app", str, None),
            note=self._own("note", str, self._note),
            sent_at=float(self._own("recorded_at", (int, float), self._began())),
            host=self._own("host", str, self._host()),
            host_version=self._own("host_version", str, _header(headers, "x-version")),
            request=request,
            status=status,
            reason=_on_the_wire(self._value(self._response, "response.statusText", str, "") or ""),
            headers=headers,
            chunks=chunks,
            seconds=seconds,
            ended=self._own("ended", str, "cut" if failed else "complete"),
            redacted=self._own_list("redacted", str),
            shortened=shortened,
        )
        if made.app is not None and not (made.app.isascii() and made.app.isprintable()):
            self._refuse("_recording.app", f"{_shown(made.app)} is no label of an app; correct it")
        if not (0 <= made.sent_at <= LAST_MOMENT_S and 0 <= made.seconds <= LONGEST_S):
            self._refuse("_recording", "a time is negative, or later than any calendar; correct it")
        if made.ended not in ENDS:
            self._refuse(
                "_recording.ended", f"{made.ended!r} is not known; write one of {', '.join(ENDS)}"
            )
        if not self._ours:
            made = _as_decoded(made)
        wrong = complaint(made)
        if wrong:
            self._refuse(wrong[0].replace("answer.", "response."), wrong[1])
        return made

    def _read_request(self) -> Request:
        body, shortened = self._request_body()
        said = (
            self._value(self._request, "request.httpVersion", str, "HTTP/1.1")
            .lower()
            .removeprefix("http/")
        )
        parts = urlsplit(self._url())
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = self._headers(self._request, "request")
        if not _header(headers, "host") and not self._ours:
            headers = (("Host", parts.netloc), *headers)
        sizes = self._own_list("chunk_sizes", int)
        if sizes and (min(sizes) < 1 or sum(sizes) != len(body)):
            self._refuse(
                "_recording.chunk_sizes",
                f"these are no sizes of chunks of {len(body)} bytes; export it again",
            )
        return Request(
            method=self._value(self._request, "request.method", str),
            target=self._own("target", str, target),
            headers=headers,
            body=body,
            http_version=_HTTP_VERSIONS.get(said, "1.1"),
            chunk_sizes=sizes,
            shortened=self._shortened("request_shortened_from") or shortened,
        )

    def _request_body(self) -> tuple[bytes, Shortened | None]:
        said = self._mapping(self._request.get("postData") or {}, "request.postData")
        text, params, size = (
            said.get("text"),
            said.get("params"),
            _size(self._request.get("bodySize")),
        )
        if isinstance(text, str) and (text or not params):
            if text or size <= 0 or "_recording" in self._said:
                return self._bytes(text, said.get("_encoding"), "request.postData.text"), None
        elif "_file" in said:
            return self._attached(said["_file"], "request.postData", size)
        elif params and str(said.get("mimeType", "")).partition(";")[0].strip().lower() == _FORM:
            pairs = [
                (str(pair.get("name", "")), str(pair.get("value", "")))
                for pair in params
                if isinstance(pair, dict)
            ]
            return urlencode(pairs, errors="surrogatepass").encode(), None
        if size <= 0 and not params:
            return b"", None
        self._miss("request.postData", "the archive does not have the request's body")
        return b"", Shortened(max(size, 0))

    def _answer(
        self, headers: Headers, status: int
    ) -> tuple[tuple[Chunk, ...], Shortened | None, float]:
        seconds = self._own("seconds", (int, float), None)
        if seconds is None:
            seconds = max(0.0, float(self._value(self._said, "time", (int, float), 0))) / 1000
        content = self._mapping(self._response.get("content") or {}, "response.content")
        shortened = self._shortened("shortened_from")
        text, messages = content.get("text"), self._said.get("_eventSourceMessages")
        size = max(
            _size(content.get("size")), _size(self._response.get("bodySize")), _length(headers)
        )
        bodiless = (
            self._request.get("method") == "HEAD"
            or status in _BODILESS
            or "_recording" in self._said
        )
        if "_file" in content:
            body, lost = self._attached(content["_file"], "response.content", size)
        elif isinstance(text, str) and (text or size <= 0 or bodiless):
            body, lost = self._bytes(text, content.get("encoding"), "response.content.text"), None
        elif messages or size == 0 or bodiless:
            body, lost = b"", None
        else:
            self._miss("response.content", "the archive does not have the response's body")
            body, lost = b"", Shortened(max(size, 0))
        if messages and not lost and not self._ours:
            self._note = (
                ""
                if body
                else "The body is made of the events in the archive, which does not have the bytes."
            )
            return (
                tuple(event_chunks(body, messages, self._began(), float(seconds))),
                shortened,
                float(seconds),
            )
        return tuple(self._chunks(body, float(seconds))), lost or shortened, float(seconds)

    def _attached(self, name: object, place: str, size: int) -> tuple[bytes, Shortened | None]:
        try:
            return self._archive.attached(name), None
        except AttachmentError as error:
            self._miss(place, str(error))
            return b"", Shortened(max(size, 0))

    def _miss(self, place: str, why: str) -> None:
        self.missing[place] = f"{why}; the exchange is taken without it"

    def _chunks(self, body: bytes, seconds: float) -> Iterator[Chunk]:
        said = self._response.get("_chunks")
        if said is None:
            yield from [Chunk(seconds, body)] if body else []
            return
        fits = (
            isinstance(said, list)
            and all(map(_is_arrival, said))
            and sum(size for _, size in said) == len(body)
        )
        if not fits or any(later < earlier for (earlier, _), (later, _) in pairwise(said)):
            self._refuse(
                "response._chunks",
                f"these are not [SECONDS, BYTES] of {len(body)} bytes; export it again",
            )
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
        digest = self._value(fields, f"_recording.{name}.sha256", str, None)
        if size < 0 or (digest is not None and not _SHA256.fullmatch(digest)):
            self._refuse(f"_recording.{name}", "this is no size with a SHA-256; export it again")
        return Shortened(size, digest)

    def _headers(self, owner: Mapping[str, Any], name: str) -> Headers:
        """The headers, without the pseudo headers of HTTP/2, which say again what the request line
        says.
        """
        pairs = []
        for index, pair in enumerate(self._value(owner, f"{name}.headers", list)):
            said = self._mapping(pair, f"{name}.headers[{index}]")
            key = self._value(said, f"{name}.headers[{index}].name", str)
            values = self._value(said, f"{name}.headers[{index}].value", (str, list, int, float))
            for value in (
                values if isinstance(values, list) else [values]
            ):  # some programs join them in a list
                if not isinstance(value, str | int | float) or isinstance(value, bool):
                    self._refuse(
                        f"{name}.headers[{index}].value",
                        "a header's value has to be a text; correct it",
                    )
                if not key.startswith(":"):  # browsers join the headers of a name by line ends
                    pairs += [(key, _on_the_wire(part)) for part in str(value).split("\n")]
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
            self._refuse(
                "startedDateTime",
                f"{said!r} is no time such as 2024-04-24T06:09:32.000Z; correct it",
            )

    def _own(self, name: str, kind: Any, default: Any) -> Any:
        if self._ours.get(name) is None:
            return default
        return self._value(self._ours, f"_recording.{name}", kind)

    def _own_list(self, name: str, kind: type) -> tuple[Any, ...]:
        values = self._own(name, list, [])
        if not all(isinstance(value, kind) and not isinstance(value, bool) for value in values):
            self._refuse(
                f"_recording.{name}", "it holds something else than it should; export it again"
            )
        return tuple(values)

    def _value(
        self, owner: Mapping[str, Any], place: str, kind: Any, default: Any = _NEEDED
    ) -> Any:
        """The field of ``owner`` that the last word of ``place`` names; without a default it is
        needed.
        """
        value = owner.get(place.rpartition(".")[2], default)
        if value is _NEEDED:
            self._refuse(place, "it is missing, and HAR requires it")
        if value is None and default is not _NEEDED:
            return default
        if value is not default and (not isinstance(value, kind) or isinstance(value, bool)):
            self._refuse(place, f"{_shown(value)} is not what HAR allows here; correct it")
        if isinstance(value, int | float) and not abs(value) < _TOO_LARGE:
            self._refuse(place, f"{_shown(value)} is no number that can be meant; correct it")
        if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
            self._refuse(place, f"{_shown(value)} holds half of a surrogate pair; correct it")
        return value

    def _mapping(self, said: object, place: str) -> Mapping[str, Any]:
        if not isinstance(said, dict):
            self._refuse(place, "an object is needed here; the archive is damaged; export it again")
        return said

    def _refuse(self, place: str, message: str) -> NoReturn:
        raise RecordingError(self._archive.path, f"{self._place}.{place}".rstrip("."), message)


def _is_arrival(said: object) -> bool:
    return (
        isinstance(said, list)
        and len(said) == 2
        and all(isinstance(one, int | float) and not isinstance(one, bool) for one in said)
        and isinstance(said[1], int)
        and min(said) >= 0
        and max(said) < _TOO_LARGE
    )


def _on_the_wire(value: str) -> str:
    """A header's value as its bytes are told in a recording; some programs decode them as UTF-8."""
    return (
        value.encode("utf-8", "replace").decode("latin-1")
        if any(letter > "\xff" for letter in value)
        else value
    )


def _as_decoded(made: Recording) -> Recording:
    """Browsers and proxies keep a body decoded beside the headers of the encoded one; here headers
    follow the body.
    """
    asked = made.request
    if asked.body:
        made = replace(
            made, request=replace(asked, headers=_for_decoded(asked.headers, asked.body))
        )
    return replace(made, headers=_for_decoded(made.headers, made.body)) if made.chunks else made


def _for_decoded(headers: Headers, body: bytes) -> Headers:
    if coding(headers) and body.startswith(_GZIP_MAGIC):
        return headers
    length = _length(headers)
    headers = without_coding(headers) if coding(headers) else headers
    return announced(headers, length, len(body)) if length >= 0 else headers


def _size(said: object) -> int:
    """A size as HAR tells it; -1 where it is not known."""
    return said if isinstance(said, int) and not isinstance(said, bool) else -1


def _length(headers: Headers) -> int:
    length = _header(headers, "content-length").strip()
    return int(length) if length.isascii() and length.isdecimal() and len(length) < 16 else -1


def _shown(value: object) -> str:
    return f"{value!a:.60}"


def _header(headers: Sequence[tuple[str, str]], name: str) -> str:
    return next((value for key, value in headers if key.lower() == name), "")
