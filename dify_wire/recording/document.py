"""One exchange as the document in its file, and back.

Text is kept in the document as it arrived, chunk by chunk. What is not text, or too long to read,
is a side file, and the document lists which part of it arrived when.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from dify_wire.exchange import ENDS, Chunk, Headers, Recording, Request, Shortened, announced
from dify_wire.recording.bodies import ADVICE, SideFile, read_body
from dify_wire.strict import Field
from dify_wire.text_file import RecordingError

FORMAT = 1
"""The version of the format. A reader rejects a newer one."""

STATUSES = (200, 599)
"""The lowest and the highest status of a response."""

LONGEST_S = 1e9
"""The longest duration in a recording, some 30 years."""

LATEST_S = 253_402_300_799.0
"""The latest time of a recording, the last second of the year 9999."""

NO_BODY = (204, 304)
"""Statuses of responses without a body, whatever their headers announce."""

_LONGEST_TEXT = 256 << 10
_MOST_CHUNKS = 5_000
_INLINE_BYTES = 64
_TOP = ("format", "name", "app", "note", "recorded_at", "host", "host_version", "redacted")
_REQUEST = ("method", "target", "http_version", "headers", "chunk_sizes", "body", "shortened_from")
_RESPONSE = (
    *("status", "reason", "headers", "chunks", "body", "arrivals"),
    *("shortened_from", "seconds", "ended"),
)
_ARRIVAL = re.compile(r"([0-9.e+-]{1,32}) ([0-9]{1,15})")
_LENGTH = re.compile(r"[0-9]{1,15}")
_HTTP_VERSIONS = ("1.0", "1.1", "2", "3")
_NOT_IN_A_HEADER = re.compile("[\r\n\0]|[^\0-\xff]")
_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

WriteBody = Callable[[Iterable[bytes], str], SideFile]
"""Writes a side file of these pieces, for a content type."""


@dataclass(frozen=True, slots=True)
class Streamed:
    """A body that is too long for memory; before redaction it had ``size`` bytes."""

    chunks: Iterable[Chunk]
    size: int


# Writing


def document(
    recording: Recording,
    write_body: WriteBody,
    request_stream: Streamed | None = None,
    response_stream: Streamed | None = None,
) -> dict[str, Any]:
    """``recording`` as plain data. Streams stand in for bodies that are too long for memory."""
    return {
        "format": FORMAT,
        "name": recording.name,
        "app": recording.app,
        "note": recording.note,
        "recorded_at": recording.sent_at,
        "host": recording.host,
        "host_version": recording.host_version,
        "redacted": tuple(recording.redacted),
        "request": _request(recording.request, write_body, request_stream),
        "answer": _response(recording, write_body, response_stream),
    }


def _request(request: Request, write_body: WriteBody, stream: Streamed | None) -> dict[str, Any]:
    body: Any = None if stream else _text(request.body, whole=True)
    headers = request.headers
    if body is None:
        pieces = (chunk.data for chunk in stream.chunks) if stream else iter([request.body])
        side_file = write_body(pieces, request.header("content-type", ""))
        headers = _fitted(headers, stream, side_file)
        body = {"file": side_file.name, "bytes": side_file.size}
    return {
        "method": request.method,
        "target": request.target,
        "http_version": request.http_version,
        "headers": list(headers),
        **({"chunk_sizes": request.chunk_sizes} if request.chunk_sizes else {}),
        "body": body,
        **_shortened_from(request.shortened),
    }


def _response(
    recording: Recording, write_body: WriteBody, stream: Streamed | None
) -> dict[str, Any]:
    headers, body = recording.headers, None if stream else _inline_chunks(recording.chunks)
    if body is None:
        arrivals: list[str] = []

        def pieces() -> Iterator[bytes]:
            for chunk in stream.chunks if stream else recording.chunks:
                arrivals.append(f"{chunk.at_s!r} {len(chunk.data)}\n")
                yield chunk.data

        side_file = write_body(pieces(), recording.header("content-type", ""))
        headers = _fitted(headers, stream, side_file)
        name_and_size = {"file": side_file.name, "bytes": side_file.size}
        body = {"body": name_and_size, "arrivals": "".join(arrivals)}
    return {
        "status": recording.status,
        "reason": recording.reason,
        "headers": list(headers),
        **body,
        **_shortened_from(recording.shortened),
        "seconds": recording.seconds,
        "ended": recording.ended,
    }


def _fitted(headers: Headers, stream: Streamed | None, side_file: SideFile) -> Headers:
    return announced(headers, stream.size, side_file.size) if stream else headers


def _inline_chunks(chunks: Sequence[Chunk]) -> dict[str, Any] | None:
    """The chunks as a part of the document; None if they need a side file."""
    if len(chunks) > _MOST_CHUNKS:
        return None
    body = b"".join(chunk.data for chunk in chunks)
    if len(body) > _INLINE_BYTES and _text(body, whole=False) is None:
        return None
    inline: list[dict[str, Any]] = []
    for chunk in chunks:
        if (text := _text(chunk.data, whole=True)) is not None:
            inline.append({"at_s": chunk.at_s, "text": text})
        else:
            inline.append({"at_s": chunk.at_s, "base64": base64.b64encode(chunk.data).decode()})
    return {"chunks": inline}


def _text(data: bytes, whole: bool) -> str | None:
    """``data`` if it is readable text; unless ``whole``, its last character may be cut."""
    if len(data) > _LONGEST_TEXT or b"\x00" in data:
        return None
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(data, final=whole)
    except UnicodeDecodeError:
        return None


def _shortened_from(shortened: Shortened | None) -> dict[str, Any]:
    if shortened is None:
        return {}
    return {"shortened_from": {"bytes": shortened.size, "sha256": shortened.sha256}}


# Reading


def recording(path: Path, data: object) -> Recording:
    """The exchange in the document ``data`` of the file at ``path``; its side files are read.

    Raises ``RecordingError`` with the place of what is unknown, missing, contradictory or newer.
    """

    def error(place: str, message: str) -> RecordingError:
        return RecordingError(path, place, message)

    top = Field(data, error=error)
    _check_format(top)
    top.only(*_TOP, "request", "answer")
    response = top["answer"].only(*_RESPONSE)
    made = Recording(
        name=top["name"].text(),
        app=None if top["app"].value is None else top["app"].text(),
        note=top["note"].text(),
        sent_at=float(top["recorded_at"].number(0, LATEST_S)),
        host=top["host"].text(),
        host_version=top["host_version"].text(),
        redacted=top["redacted"].texts(),
        request=_read_request(path, top["request"].only(*_REQUEST)),
        status=response["status"].whole(),
        reason=response["reason"].text(),
        headers=_pairs(response["headers"]),
        chunks=_read_chunks(path, response),
        seconds=float(response["seconds"].number(0, LONGEST_S)),
        ended=response["ended"].choice(ENDS, "end of a response"),
        shortened=_shortened(response),
    )
    if problem := problem_of(made):
        raise error(*problem)
    return made


def _check_format(top: Field) -> None:
    version = top.mapping().get("format")
    if version is None:
        message = "it is missing, so this is not a recording; move the file to another folder"
    elif isinstance(version, bool) or not isinstance(version, int) or version < 1:
        message = f"{version!r} is not a version of the format; this program writes {FORMAT}"
    elif version > FORMAT:
        message = f"{version} is newer than {FORMAT}, the newest known; update fake-dify"
    else:
        return
    raise top.error("format", message)


def _read_request(path: Path, request: Field) -> Request:
    body = request["body"]
    data = body.text().encode() if isinstance(body.value, str) else _side_body(path, body)
    sizes: tuple[int, ...] = ()
    if "chunk_sizes" in request:
        sizes = tuple(size.whole(1) for size in request["chunk_sizes"].entries())
        if sizes and sum(sizes) != len(data):
            request["chunk_sizes"].fail(
                f"they add up to {sum(sizes)}, and the body has {len(data)} bytes; {ADVICE}"
            )
    return Request(
        method=request["method"].text(),
        target=request["target"].text(),
        headers=_pairs(request["headers"]),
        body=data,
        http_version=request["http_version"].choice(_HTTP_VERSIONS, "version of HTTP"),
        chunk_sizes=sizes,
        shortened=_shortened(request),
    )


def _side_body(path: Path, side: Field) -> bytes:
    name = side.only("file", "bytes")["file"]
    return read_body(path, name.path, name.text(), side["bytes"].whole(0))


def _read_chunks(path: Path, response: Field) -> tuple[Chunk, ...]:
    _either(response, "chunks", "body")
    if "chunks" in response:
        if "arrivals" in response:
            response["arrivals"].fail("they belong to a body in a side file; take them out")
        times = response["chunks"]
        chunks = tuple(map(_read_chunk, times.entries()))
    else:
        times = response["arrivals"]
        chunks = tuple(_cut(times, _side_body(path, response["body"])))
    if any(later.at_s < earlier.at_s for earlier, later in pairwise(chunks)):
        times.fail("a time is before the one above it; correct it")
    return chunks


def _read_chunk(chunk: Field) -> Chunk:
    at_s = float(chunk.only("at_s", "text", "base64")["at_s"].number(0, LONGEST_S))
    _either(chunk, "text", "base64")
    if "text" in chunk:
        return Chunk(at_s, chunk["text"].text().encode())
    return Chunk(at_s, read_base64(chunk["base64"]))


def read_base64(field: Field) -> bytes:
    try:
        return base64.b64decode(field.text(), validate=True)
    except (binascii.Error, ValueError):
        field.fail("this is not base64; the file is damaged; make it again, or take it out")


def _cut(arrivals: Field, data: bytes) -> Iterator[Chunk]:
    """``data`` cut into chunks by the lines of ``arrivals``."""
    start = 0
    for number, line in enumerate(arrivals.text().splitlines(), 1):
        matched, at_s = _ARRIVAL.fullmatch(line), math.nan
        if matched:
            with suppress(ValueError):
                at_s = float(matched[1])
        if matched is None or not 0 <= at_s <= LONGEST_S:
            arrivals.fail(f"line {number}, {line!r}, is not SECONDS BYTES; correct it")
        yield Chunk(at_s, data[start : start + int(matched[2])])
        start += int(matched[2])
    if start != len(data):
        arrivals.fail(f"their bytes add up to {start}, and the body has {len(data)}; {ADVICE}")


def _either(owner: Field, one: str, other: str) -> None:
    if (one in owner) == (other in owner):
        owner.fail(f"either {one} or {other} is needed; leave one of them out")


def _pairs(headers: Field) -> Headers:
    pairs = []
    for pair in headers.entries():
        if not (isinstance(pair.value, list) and len(pair.value) == 2):
            pair.fail("expected a pair; write [NAME, VALUE] with both in quotes")
        name, value = pair.texts()
        pairs.append((name, value))
    return tuple(pairs)


def _shortened(owner: Field) -> Shortened | None:
    return read_shortened(owner["shortened_from"]) if "shortened_from" in owner else None


def read_shortened(field: Field) -> Shortened:
    digest = field.only("bytes", "sha256")["sha256"]
    if digest.value is not None:
        digest.text(r"[0-9a-f]{64}", "the 64 hexadecimal digits of a SHA-256")
    return Shortened(field["bytes"].whole(0), digest.value)


def problem_of(made: Recording) -> tuple[str, str] | None:
    """What is impossible in HTTP: its place in a document and a message; None if all is well."""
    request, (lowest, highest) = made.request, STATUSES
    if not _METHOD.fullmatch(request.method):
        message = f"{request.method!r} is not a valid method; write a word such as GET"
        return "request.method", message
    if not request.target or min(request.target) <= " " or max(request.target) > "\xff":
        message = "it is empty, or holds a space or no byte; write it as it was on the wire"
        return "request.target", message
    if not lowest <= made.status <= highest:
        return "answer.status", f"{made.status} is not a status from {lowest} to {highest}"
    for part, headers in (("request", request.headers), ("answer", made.headers)):
        for index, (name, value) in enumerate(headers):
            if not name or _NOT_IN_A_HEADER.search(name + value):
                what = "this is not a valid header (an empty name, or a bad character)"
                return f"{part}.headers[{index}]", f"{what}; correct it"
    return _length_problem(made)


def _length_problem(made: Recording) -> tuple[str, str] | None:
    """A body that is shorter or longer than announced has lost a part since."""
    length = made.header("content-length", "")
    bodiless = (
        made.request.method == "HEAD" or made.status in NO_BODY or made.header("transfer-encoding")
    )
    if made.ended != "complete" or made.shortened or bodiless or not _LENGTH.fullmatch(length):
        return None
    size = len(made.body)
    if int(length) == size:
        return None
    found = f"Content-Length is {length}, and {size} bytes are there"
    return "answer.headers", f"{found}; {ADVICE}, or leave Content-Length out"
