"""HTTP Archives (HAR 1.2) as recordings: our own, and those of browsers, proxies and test runners.

Chrome keeps the events of a stream with their times (``_eventSourceMessages``). Entries are read
one by one: what is not an exchange, or damaged, is left out with its place and the reason.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlencode, urlsplit

from dify_wire.exchange import (
    ENDS,
    Chunk,
    Headers,
    Recording,
    Request,
    Shortened,
    announced,
    header_of,
)
from dify_wire.recording.decoding import coding, without_coding
from dify_wire.recording.document import (
    LATEST_S,
    LONGEST_S,
    NO_BODY,
    problem_of,
    read_base64,
    read_shortened,
)
from dify_wire.recording.har_file import Archive, AttachmentError
from dify_wire.strict import Field
from dify_wire.text_file import RecordingError

_HTTP_VERSIONS = {"1.0": "1.0", "2": "2", "2.0": "2", "h2": "2", "3": "3", "3.0": "3", "h3": "3"}
_OTHER_SCHEME = re.compile("(?!https?:)[a-z][a-z+-]*:", re.IGNORECASE)
_FORM = "application/x-www-form-urlencoded"
_ENCODABLE = re.compile(r"[^\ud800-\udfff]*")
_TOO_LARGE = 1e15
_GZIP_MAGIC = b"\x1f\x8b"
_FRAME = re.compile(rb".*?(?:\r\n\r\n|\n\n|\r\r|\Z)", re.DOTALL)
_DATA = re.compile(rb"^data(?::|$)", re.MULTILINE)
_MILLISECONDS = 1e11
"""A unix time beyond it is in milliseconds."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What is not taken from an archive: the number of its entry, its place, and why."""

    entry: int
    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Imported:
    """The exchanges of an archive with the numbers of their entries, and what is left out."""

    recordings: tuple[Recording, ...]
    left_out: tuple[LeftOut, ...]
    numbers: tuple[int, ...] = ()


def read_har(path: Path) -> Imported:
    """The exchanges of the archive at ``path``. Raises ``RecordingError`` if it is not one."""
    archive = Archive(Path(path))
    recordings: dict[int, Recording] = {}
    left_out: list[LeftOut] = []
    for number, data in enumerate(archive.entries()):
        place = f"log.entries[{number}]"
        if problem := _why_no_exchange(data):
            left_out.append(LeftOut(number, place, problem))
            continue
        try:
            entry = _Entry(archive, Field(data, place, error=archive.error))
            recordings[number] = entry.recording()
            left_out += [LeftOut(number, part, why) for part, why in entry.missing.items()]
        except RecordingError as error:
            left_out.append(LeftOut(number, error.place, error.message))
        except (ValueError, TypeError, OverflowError) as error:  # the others can still be read
            left_out.append(LeftOut(number, place, f"it cannot be read ({error})"))
    return Imported(tuple(recordings.values()), tuple(left_out), tuple(recordings))


def _why_no_exchange(entry: Any) -> str | None:
    """Why an entry holds no exchange; None if it does."""
    if not isinstance(entry, dict):
        return "it is not an object"
    response, request = entry.get("response"), entry.get("request")
    if not isinstance(response, dict):
        return "it has no response"
    status = response.get("status")
    if status is None or (isinstance(status, int) and status <= 0):
        return f"the request got no response ({_failure(entry) or 'blocked or given up'})"
    if status == 101:
        return "the connection became another protocol's"
    url = request.get("url") if isinstance(request, dict) else None
    if isinstance(url, str) and "_recording" not in entry and _OTHER_SCHEME.match(url):
        return f"nothing was sent to a host ({url.partition(':')[0]}:)"
    return None


def _failure(entry: dict[str, Any]) -> str:
    """How the connection failed, in the words of a browser; empty if it did not."""
    owners = [owner for owner in (entry.get("response"), entry) if isinstance(owner, dict)]
    texts = [owner.get(name) for owner in owners for name in ("_failureText", "_error")]
    return next((text for text in texts if isinstance(text, str) and text), "")


# An entry


class _Entry:
    """One entry of an archive; unknown fields belong to other programs.

    ``missing`` says of each body that the archive does not have why, by its place.
    """

    def __init__(self, archive: Archive, entry: Field) -> None:
        self._archive = archive
        self._entry = entry
        self._request = entry["request"]
        self._response = entry["response"]
        self._ours = entry.get("_recording")
        self.missing: dict[str, str] = {}

    def recording(self) -> Recording:
        request = self._read_request()
        status = self._response["status"].whole(-_TOO_LARGE, _TOO_LARGE)
        headers = _headers(self._response["headers"])
        seconds = self._seconds()
        body, shortened = self._response_body(headers, status)
        chunks, note = self._chunks(body, seconds, shortened)
        failed = _failure(self._entry.value)
        if failed and not chunks:
            self._response.fail(f"the connection failed ({failed}), and there is no body")
        began, own_shortened = self._own("recorded_at"), self._own("shortened_from")
        app, redacted, ended = self._own("app"), self._own("redacted"), self._own("ended")
        status_text = self._response.get("statusText")
        made = Recording(
            name=self._own_text("name", ""),
            app=app.text(r"[ -~]*", "a label of an app") if app else None,
            note=self._own_text("note", note),
            sent_at=float(began.number(0, LATEST_S)) if began else self._began(),
            host=self._own_text("host", f"{self._url.scheme}://{self._url.netloc}"),
            host_version=self._own_text("host_version", header_of(headers, "x-version") or ""),
            request=request,
            status=status,
            reason=_on_the_wire(_text(status_text)) if status_text else "",
            headers=headers,
            chunks=chunks,
            seconds=seconds,
            ended=ended.choice(ENDS, "end of a response")
            if ended
            else ("cut" if failed else "complete"),
            redacted=redacted.texts() if redacted else (),
            shortened=shortened or (read_shortened(own_shortened) if own_shortened else None),
        )
        if not self._ours:
            made = _as_decoded(made)
        if problem := problem_of(made):
            place = problem[0].replace("answer.", "response.")
            raise self._entry.error(f"{self._entry.path}.{place}", problem[1])
        return made

    def _own(self, name: str) -> Field | None:
        return self._ours.get(name) if self._ours else None

    def _own_text(self, name: str, default: str) -> str:
        field = self._own(name)
        return _text(field) if field else default

    def _read_request(self) -> Request:
        body, shortened = self._request_body()
        version = self._request.get("httpVersion")
        number = version.text().lower().removeprefix("http/") if version else ""
        parts = self._url
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = _headers(self._request["headers"])
        if not header_of(headers, "host") and not self._ours:
            headers = (("Host", parts.netloc), *headers)
        own_sizes, own_shortened = self._own("chunk_sizes"), self._own("request_shortened_from")
        sizes = tuple(one.whole(1) for one in own_sizes.entries()) if own_sizes else ()
        if own_sizes and sizes and sum(sizes) != len(body):
            own_sizes.fail(f"these are not sizes of chunks of {len(body)} bytes; export it again")
        return Request(
            method=_text(self._request["method"]),
            target=self._own_text("target", target),
            headers=headers,
            body=body,
            http_version=_HTTP_VERSIONS.get(number, "1.1"),
            chunk_sizes=sizes,
            shortened=read_shortened(own_shortened) if own_shortened else shortened,
        )

    def _request_body(self) -> tuple[bytes, Shortened | None]:
        post_data = self._request.get("postData")
        data = post_data.mapping() if post_data else {}
        text, params, size = data.get("text"), data.get("params"), self._size(self._request)
        if post_data and isinstance(text, str) and (text or not params):
            if text or size <= 0 or self._ours:
                return _bytes(post_data["text"], data.get("_encoding")), None
        elif post_data and "_file" in data:
            return self._attached(post_data, size)
        elif params and str(data.get("mimeType", "")).partition(";")[0].strip().lower() == _FORM:
            pairs = [
                (str(pair.get("name", "")), str(pair.get("value", "")))
                for pair in params
                if isinstance(pair, dict)
            ]
            return urlencode(pairs, errors="surrogatepass").encode(), None
        if size <= 0 and not params:
            return b"", None
        place = f"{self._request.path}.postData"
        return self._miss(place, "the archive does not have the request's body", size)

    def _response_body(self, headers: Headers, status: int) -> tuple[bytes, Shortened | None]:
        content = self._response.get("content")
        data = content.mapping() if content else {}
        text, announced_size = data.get("text"), _content_length(headers)
        size = max(_whole(data.get("size")), self._size(self._response), announced_size)
        is_head = self._request.mapping().get("method") == "HEAD"
        bodiless = is_head or status in NO_BODY or self._ours is not None
        if content and "_file" in data:
            return self._attached(content, size)
        if content and isinstance(text, str) and (text or size <= 0 or bodiless):
            return _bytes(content["text"], data.get("encoding")), None
        if self._messages or size == 0 or bodiless:
            return b"", None
        place = f"{self._response.path}.content"
        return self._miss(place, "the archive does not have the response's body", size)

    @property
    def _messages(self) -> list[dict[str, Any]]:
        messages = self._entry.mapping().get("_eventSourceMessages")
        messages = messages if isinstance(messages, list) else []
        return [one for one in messages if isinstance(one, dict)]

    def _chunks(
        self, body: bytes, seconds: float, lost: Shortened | None
    ) -> tuple[tuple[Chunk, ...], str]:
        """The body with its times, and a note on it."""
        if self._messages and not lost and not self._ours:
            made = "The body is made of the events in the archive, which does not have the bytes."
            chunks = _event_chunks(body, self._messages, self._began(), seconds)
            return tuple(chunks), "" if body else made
        arrivals = self._response.get("_chunks")
        if arrivals is None:
            return ((Chunk(seconds, body),) if body else ()), ""
        pairs = [tuple(pair.entries()) for pair in arrivals.entries()]
        if not all(len(pair) == 2 for pair in pairs):
            arrivals.fail("expected pairs [SECONDS, BYTES]; export it again")
        times = [float(at_s.number(0, _TOO_LARGE)) for at_s, _ in pairs]
        sizes = [size.whole(0, _TOO_LARGE) for _, size in pairs]
        if sum(sizes) != len(body) or any(later < earlier for earlier, later in pairwise(times)):
            arrivals.fail(f"these are not [SECONDS, BYTES] of {len(body)} bytes; export it again")
        ends = [0, *accumulate(sizes)]
        parts = zip(times, ends, ends[1:], strict=False)
        return tuple(Chunk(at_s, body[start:end]) for at_s, start, end in parts), ""

    def _attached(self, owner: Field, size: int) -> tuple[bytes, Shortened | None]:
        try:
            return self._archive.attached(owner.mapping()["_file"]), None
        except AttachmentError as error:
            return self._miss(owner.path, str(error), size)

    def _miss(self, place: str, why: str, size: int) -> tuple[bytes, Shortened]:
        self.missing[place] = f"{why}; the exchange is taken without it"
        return b"", Shortened(max(size, 0))

    def _size(self, owner: Field) -> int:
        return _whole(owner.mapping().get("bodySize"))

    def _seconds(self) -> float:
        own, time = self._own("seconds"), self._entry.get("time")
        if own:
            return float(own.number(0, LONGEST_S))
        return max(0.0, time.number(-_TOO_LARGE, LONGEST_S * 1000) / 1000) if time else 0.0

    @property
    def _url(self) -> SplitResult:
        url = self._request["url"]
        try:
            return urlsplit(_text(url))
        except ValueError as error:
            url.fail(f"this is not a valid URL ({error}); correct it")

    def _began(self) -> float:
        started = self._entry["startedDateTime"]
        try:
            began = datetime.datetime.fromisoformat(started.text()).timestamp()
        except (ValueError, OverflowError):
            began = math.inf
        if began > LATEST_S:
            expected = "is not a time such as 2024-04-24T06:09:32.000Z; correct it"
            started.fail(f"{started.value!r} {expected}")
        return max(0.0, began)


def _text(field: Field) -> str:
    return field.text(_ENCODABLE, "a string without halves of surrogate pairs")


def _bytes(text: Field, encoding: object) -> bytes:
    if encoding == "base64":
        return read_base64(text)
    return text.text().encode("utf-8", "surrogatepass")


def _headers(headers: Field) -> Headers:
    """The headers without the pseudo headers of HTTP/2, which repeat the request line."""
    pairs = []
    for header in headers.entries():
        key, value = _text(header["name"]), header["value"]
        for one in value.entries() if isinstance(value.value, list) else [value]:
            number = isinstance(one.value, int | float) and not isinstance(one.value, bool)
            text = str(one.value) if number else _text(one)
            if not key.startswith(":"):  # browsers join the headers of a name by line ends
                pairs += [(key, _on_the_wire(part)) for part in text.split("\n")]
    return tuple(pairs)


def _on_the_wire(value: str) -> str:
    """A header's value byte for byte; some programs decode it as UTF-8."""
    is_decoded = any(letter > "\xff" for letter in value)
    return value.encode("utf-8", "replace").decode("latin-1") if is_decoded else value


def _as_decoded(made: Recording) -> Recording:
    """With headers that fit the bodies, which browsers and proxies keep decoded."""
    request = made.request
    if request.body:
        headers = _for_decoded(request.headers, request.body)
        made = replace(made, request=replace(request, headers=headers))
    return replace(made, headers=_for_decoded(made.headers, made.body)) if made.chunks else made


def _for_decoded(headers: Headers, body: bytes) -> Headers:
    if coding(headers) and body.startswith(_GZIP_MAGIC):
        return headers
    length = _content_length(headers)
    headers = without_coding(headers) if coding(headers) else headers
    return announced(headers, length, len(body)) if length >= 0 else headers


def _whole(value: object) -> int:
    """A size in an archive; -1 if it is not known."""
    return value if isinstance(value, int) and not isinstance(value, bool) else -1


def _content_length(headers: Headers) -> int:
    length = (header_of(headers, "content-length") or "").strip()
    return int(length) if length.isascii() and length.isdecimal() and len(length) < 16 else -1


# The events of a stream


def _event_chunks(
    body: bytes, events: Sequence[dict[str, Any]], began: float, seconds: float
) -> Iterator[Chunk]:
    """``body``, each frame at the time of its event; without a body, frames made of the events."""
    times = list(_times(events, began, seconds))
    if not body:
        for at_s, event in zip(times, events, strict=True):
            yield Chunk(at_s, _frame(event))
        return
    frames = [frame for frame in _FRAME.findall(body) if frame]
    has_event = [bool(_DATA.search(frame)) for frame in frames]
    if sum(has_event) != len(events):
        yield Chunk(seconds, body)
        return
    left, at_s = iter(times), 0.0
    for frame, is_event in zip(frames, has_event, strict=True):
        at_s = next(left) if is_event else at_s
        yield Chunk(at_s, frame)


def _times(events: Sequence[dict[str, Any]], began: float, seconds: float) -> Iterator[float]:
    """Seconds after the request, never decreasing."""
    latest = 0.0
    for event in events:
        time = event.get("time")
        if isinstance(time, int | float) and not isinstance(time, bool):
            at_s = (time / 1000 if time > _MILLISECONDS else time) - began
            latest = max(latest, min(at_s, seconds))  # a NaN changes nothing
        yield round(latest, 6)


def _frame(event: dict[str, Any]) -> bytes:
    name, identity, data = (event.get(field) for field in ("eventName", "eventId", "data"))
    lines = [f"event: {name}"] if name and name != "message" else []
    lines += [f"id: {identity}"] if identity else []
    lines += [f"data: {line}" for line in str("" if data is None else data).split("\n")]
    return "\n".join([*lines, "", ""]).encode("utf-8", "surrogatepass")
