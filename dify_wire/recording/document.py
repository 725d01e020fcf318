"""One exchange as the document that its file holds, and back.

Text stands in the document as it came, chunk by chunk. What is no text, or too long to be read by
anybody, is a side file, and the document says which part of it came when.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from dify_wire.exchange import ENDS, Chunk, Recording, Request, Shortened, announced
from dify_wire.recording.bodies import ADVICE, SideFile, read_body
from dify_wire.recording.errors import RecordingError
from dify_wire.recording.fields import LAST_MOMENT_S, LONGEST_S, Fields

Keep = Callable[[Iterable[bytes], str], SideFile]
"""Writes a side file of these pieces, for a content type."""


@dataclass(frozen=True, slots=True)
class Streamed:
    """A body that is too long for the memory; before redaction it had ``size`` bytes."""

    chunks: Iterable[Chunk]
    size: int


FORMAT = 1
"""The version of the format. A reader rejects a newer one."""

STATUSES = (200, 599)
"""The lowest and the highest status of a response."""

_LONGEST_TEXT = 256 << 10
_MOST_CHUNKS = 5_000
_INLINE_BYTES = 64
_TOP = (
    "format",
    "name",
    "app",
    "note",
    "recorded_at",
    "host",
    "host_version",
    "redacted",
    "request",
    "answer",
)
_REQUEST = ("method", "target", "http_version", "headers", "chunk_sizes", "body", "shortened_from")
_ANSWER = (
    "status",
    "reason",
    "headers",
    "chunks",
    "body",
    "arrivals",
    "shortened_from",
    "seconds",
    "ended",
)
_CHUNK = ("at_s", "text", "base64")
_SIDE_FILE = ("file", "bytes")
_SHORTENED = ("bytes", "sha256")
_ARRIVAL = re.compile(r"([0-9.e+-]{1,32}) ([0-9]{1,15})")
_LENGTH = re.compile(r"[0-9]{1,15}")
_HTTP_VERSIONS = ("1.0", "1.1", "2", "3")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
NO_BODY = (204, 304)
"""Statuses of answers that have no body, whatever their headers announce."""


# Writing
# ------------------------------------------------------------------------------------------------------------


def document(
    recording: Recording,
    keep: Keep,
    request_stream: Streamed | None = None,
    answer_stream: Streamed | None = None,
) -> dict[str, Any]:
    """``recording`` as plain data; what cannot stand in a document goes to ``keep``.

    Bodies too long for the memory are given as streams, in place of what the recording itself
    holds.
    """
    answer = _answer(recording, keep, answer_stream)
    request = _request(recording.request, keep, request_stream)
    return {
        "format": FORMAT,
        "name": recording.name,
        "app": recording.app,
        "note": recording.note,
        "recorded_at": recording.sent_at,
        "host": recording.host,
        "host_version": recording.host_version,
        "redacted": tuple(recording.redacted),
        "request": request,
        "answer": answer,
    }


def _request(request: Request, keep: Keep, stream: Streamed | None) -> dict[str, Any]:
    said: dict[str, Any] = {
        "method": request.method,
        "target": request.target,
        "http_version": request.http_version,
        "headers": list(request.headers),
    }
    if request.chunk_sizes:
        said["chunk_sizes"] = tuple(request.chunk_sizes)
    text = None if stream is not None else _text(request.body, whole=True)
    if text is None:
        pieces = [request.body] if stream is None else (chunk.data for chunk in stream.chunks)
        said["body"] = _side_file(keep(pieces, request.header("content-type", "")))
    else:
        said["body"] = text
    if stream is not None:
        said["headers"] = list(announced(request.headers, stream.size, said["body"]["bytes"]))
    return said | _shortened_from(request.shortened)


def _answer(recording: Recording, keep: Keep, stream: Streamed | None) -> dict[str, Any]:
    content_type = recording.header("content-type", "")
    headers = recording.headers
    body = _chunks(recording.chunks) if stream is None else None
    if body is None:
        body = _kept(recording.chunks if stream is None else stream.chunks, keep, content_type)
    if stream is not None:
        headers = announced(headers, stream.size, body["body"]["bytes"])
    return {
        "status": recording.status,
        "reason": recording.reason,
        "headers": list(headers),
        **body,
        **_shortened_from(recording.shortened),
        "seconds": recording.seconds,
        "ended": recording.ended,
    }


def _chunks(chunks: Sequence[Chunk]) -> dict[str, Any] | None:
    """The chunks where they can stand in the document; None where they cannot."""
    if len(chunks) > _MOST_CHUNKS:
        return None
    body = b"".join(chunk.data for chunk in chunks)
    if len(body) > _INLINE_BYTES and _text(body, whole=False) is None:
        return None
    return {"chunks": [{"at_s": chunk.at_s} | _inline(chunk.data) for chunk in chunks]}


def _inline(data: bytes) -> dict[str, str]:
    text = _text(data, whole=True)
    return {"base64": base64.b64encode(data).decode()} if text is None else {"text": text}


def _text(data: bytes, whole: bool) -> str | None:
    """``data`` as text where it is one that somebody may read; unless ``whole``, its last character
    may be cut.
    """
    if len(data) > _LONGEST_TEXT or b"\x00" in data:
        return None
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(data, final=whole)
    except UnicodeDecodeError:
        return None


def _kept(chunks: Iterable[Chunk], keep: Keep, content_type: str) -> dict[str, Any]:
    arrivals: list[str] = []

    def pieces() -> Iterator[bytes]:
        for chunk in chunks:
            arrivals.append(f"{chunk.at_s!r} {len(chunk.data)}\n")
            yield chunk.data

    file = keep(pieces(), content_type)
    return {"body": _side_file(file), "arrivals": "".join(arrivals)}


def _side_file(file: SideFile) -> dict[str, Any]:
    return {"file": file.name, "bytes": file.size}


def _shortened_from(shortened: Shortened | None) -> dict[str, Any]:
    return (
        {}
        if shortened is None
        else {"shortened_from": {"bytes": shortened.size, "sha256": shortened.sha256}}
    )


# Reading
# ------------------------------------------------------------------------------------------------------------


def recording(path: Path, said: object) -> Recording:
    """The exchange of the document ``said``, which was read from the file at ``path``; side files
    lie beside it.

    Raises ``RecordingError`` with the place of what is not known, missing, contradictory or from a
    newer version.
    """
    _check_format(path, said)
    top = Fields(path, "", said, _TOP)
    answer = top.fields("answer", _ANSWER)
    shortened = _shortened(answer)
    made = Recording(
        name=top.text("name"),
        app=top.text_or_null("app"),
        note=top.text("note"),
        sent_at=top.seconds("recorded_at", LAST_MOMENT_S),
        host=top.text("host"),
        host_version=top.text("host_version"),
        redacted=top.texts("redacted"),
        request=_read_request(top.fields("request", _REQUEST)),
        status=answer.whole("status"),
        reason=answer.text("reason"),
        headers=answer.pairs("headers"),
        chunks=_read_chunks(answer),
        seconds=answer.seconds("seconds"),
        ended=answer.choice("ended", ENDS),
        shortened=shortened,
    )
    wrong = complaint(made)
    if wrong:
        raise RecordingError(path, *wrong)
    return made


def _check_format(path: Path, said: object) -> None:
    version = said.get("format") if isinstance(said, Mapping) else None
    if version is None:
        raise RecordingError(
            path,
            "format",
            "it is missing, so this is no recording; move the file to another folder",
        )
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise RecordingError(
            path, "format", f"{version!r} is no version of the format; this program writes {FORMAT}"
        )
    if version > FORMAT:
        raise RecordingError(
            path, "format", f"{version} is newer than {FORMAT}, the newest known; update fake-dify"
        )


def _read_request(request: Fields) -> Request:
    body = _read_body(request)
    sizes = request.wholes("chunk_sizes") if "chunk_sizes" in request else ()
    if sizes and sum(sizes) != len(body):
        request.refuse(
            "chunk_sizes",
            f"they add up to {sum(sizes)}, and the body has {len(body)} bytes; {ADVICE}",
        )
    return Request(
        method=request.text("method"),
        target=request.text("target"),
        headers=request.pairs("headers"),
        body=body,
        http_version=request.choice("http_version", _HTTP_VERSIONS),
        chunk_sizes=sizes,
        shortened=_shortened(request),
    )


def complaint(made: Recording) -> tuple[str, str] | None:
    """What cannot have stood on any wire: its place in a document, what is wrong and what to do;
    None for nothing.
    """
    request, (least, most) = made.request, STATUSES
    if not _METHOD.fullmatch(request.method):
        return "request.method", f"{request.method!r} is no method; write a word such as GET"
    if not request.target or min(request.target) <= " " or max(request.target) > "\xff":
        return (
            "request.target",
            "it is empty, or has a blank or no byte in it; write it as it stood on the wire",
        )
    if not least <= made.status <= most:
        return "answer.status", f"{made.status} is no status from {least} to {most}; correct it"
    for part, headers in (("request", request.headers), ("answer", made.headers)):
        for index, (name, value) in enumerate(headers):
            whole = name + value
            if not name or any(character in whole for character in "\r\n\0") or max(whole) > "\xff":
                wrong = "no header can be this, for its name is empty or a character has no place; correct it"
                return f"{part}.headers[{index}]", wrong
    return _length_complaint(made)


def _length_complaint(made: Recording) -> tuple[str, str] | None:
    """What the host announced has to be there, else somebody has lost a part of it since."""
    length = made.header("content-length", "")
    bodiless = (
        made.request.method == "HEAD"
        or made.status in NO_BODY
        or made.header("transfer-encoding", "")
    )
    if made.ended != "complete" or made.shortened or bodiless or not _LENGTH.fullmatch(length):
        return None
    size = len(made.body)
    if int(length) == size:
        return None
    wrong = f"Content-Length is {length}, and {size} bytes are there; {ADVICE}, or leave Content-Length out"
    return "answer.headers", wrong


def _read_body(request: Fields) -> bytes:
    if isinstance(request.value("body"), str):
        return request.text("body").encode()
    side = request.fields("body", _SIDE_FILE)
    return read_body(side.path, side.place("file"), side.text("file"), side.whole("bytes"))


def _read_chunks(answer: Fields) -> tuple[Chunk, ...]:
    if ("chunks" in answer) == ("body" in answer):
        answer.refuse(
            "chunks", "either this or body with arrivals is needed; leave one of them out"
        )
    if "chunks" in answer:
        if "arrivals" in answer:
            answer.refuse("arrivals", "they belong to a body in a side file; take them out")
        chunks = tuple(map(_read_chunk, answer.each("chunks", _CHUNK)))
    else:
        side = answer.fields("body", _SIDE_FILE)
        data = read_body(side.path, side.place("file"), side.text("file"), side.whole("bytes"))
        chunks = tuple(_cut(answer, data))
    if any(later.at_s < earlier.at_s for earlier, later in pairwise(chunks)):
        answer.refuse(
            "chunks" if "chunks" in answer else "arrivals",
            "a time is before the one above it; correct it",
        )
    return chunks


def _read_chunk(chunk: Fields) -> Chunk:
    at_s = chunk.seconds("at_s")
    if ("text" in chunk) == ("base64" in chunk):
        chunk.refuse("text", "either this or base64 is needed; leave one of them out")
    if "text" in chunk:
        return Chunk(at_s, chunk.text("text").encode())
    try:
        return Chunk(at_s, base64.b64decode(chunk.text("base64"), validate=True))
    except (binascii.Error, ValueError):
        chunk.refuse(
            "base64", "this is no base64; the file is damaged; record it again, or take it out"
        )


def _cut(answer: Fields, data: bytes) -> Iterator[Chunk]:
    start = 0
    for number, line in enumerate(answer.text("arrivals").splitlines(), 1):
        matched = _ARRIVAL.fullmatch(line)
        at_s = _float(matched[1]) if matched else math.nan
        if matched is None or not 0 <= at_s <= LONGEST_S:
            answer.refuse("arrivals", f"line {number}, {line!r}, is not SECONDS BYTES; correct it")
        yield Chunk(at_s, data[start : start + int(matched[2])])
        start += int(matched[2])
    if start != len(data):
        answer.refuse(
            "arrivals", f"their bytes add up to {start}, and the body has {len(data)}; {ADVICE}"
        )


def _float(said: str) -> float:
    try:
        return float(said)
    except ValueError:
        return math.nan


def _shortened(fields: Fields) -> Shortened | None:
    if "shortened_from" not in fields:
        return None
    said = fields.fields("shortened_from", _SHORTENED)
    digest = said.text_or_null("sha256")
    if digest is not None and not _SHA256.fullmatch(digest):
        said.refuse("sha256", f"{digest!r} is no SHA-256; write its 64 hexadecimal digits")
    return Shortened(said.whole("bytes"), digest)
