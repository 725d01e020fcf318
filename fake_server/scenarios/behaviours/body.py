"""Behaviours of a body on its way: how its bytes are cut, held back, slowed down, broken off.

A chunk is a frame of a stream, or a part of another body. What counts events acts before what cuts
or joins them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from fake_server.scenarios.behaviour import Scope, behaviour
from fake_server.scenarios.effects import BodyFilter, Break, Effects, Pause, Segment
from fake_server.scenarios.parameters import Count, Index, Seconds

_TICK_S = 0.1
_SLOW_AT_INSTANT = (
    "slow_body: the host is instant and sends the body at once; give it a speed, such as 1"
)


@behaviour(excludes="chunks")
def buffered_stream() -> Effects:
    """The whole stream arrives at once, when the run has ended: something on the way holds it back.

    Complaint: "the whole stream arrives at the end" (langgenius/dify issue 28083): nginx without
    proxy_buffering off.
    Survive: measure when the first frame arrives and report that streaming is off, instead of a
    frozen progress bar.
    """
    return Effects(chunk_filters=(lambda: _Join(None),))


@behaviour(excludes="chunks")
def coalesced_frames(count: Count = 3) -> Effects:
    """Frames arrive ``count`` at a time in one chunk.

    Complaint: a client that takes each chunk for one event parses the first and loses the others.
    Survive: split by blank lines, not by reads.
    """
    return Effects(chunk_filters=(lambda: _Join(count),))


@behaviour(excludes="chunks")
def split_frames(
    where: Literal["byte", "escape", "utf8"] = "byte", every: Count = 7, pause_s: Seconds = 0.02
) -> Effects:
    """Each frame arrives in several chunks: cut after ``every`` bytes, inside an escape, or inside
    a UTF-8 character.

    For "utf8" the text is sent unescaped, as later versions of Dify send it; their streams have no
    escapes, so "escape" cuts them like "utf8". There are ``pause_s`` between the chunks.

    Complaint: half a JSON text, or half of a Chinese character that decodes to a question mark.
    Survive: collect bytes until the blank line, and decode after that (or decode incrementally).
    """
    return Effects(chunk_filters=(lambda: _Split(where, every, pause_s),))


@behaviour(excludes="break")
def cut_stream(after: Index = 3, mid_frame: bool = False, at_byte: Count | None = None) -> Effects:
    """The connection is closed after the first ``after`` events, or in the middle of the next,
    after ``at_byte`` bytes.

    Nothing ends the body, so that a client can detect it. A blocking response is cut in its middle.

    Complaint: the worker was killed; the client takes what it got for the whole.
    Survive: a stream is whole only with workflow_finished; report the rest as broken off.
    """
    within = mid_frame or at_byte is not None
    return Effects(frame_filters=(lambda: _Cut(after, within, at_byte, reset=False),))


@behaviour(excludes="break", scope=Scope.ANYTHING)
def connection_reset(after: Index = 0) -> Effects:
    """The connection is reset after the first ``after`` events; by default instead of any response.

    Complaint: ECONNRESET in the middle of the night, from a load balancer that was restarted.
    Survive: catch errors of the transport beside those of HTTP. Only a request without any response
    may be repeated, and even then a run may have been made.
    """
    return Effects(frame_filters=(lambda: _Cut(after, False, None, reset=True),))


@behaviour(excludes="pace", scope=Scope.ANYTHING)
def slow_body(bytes_per_second: Count = 1_000) -> Effects:
    """The body trickles at ``bytes_per_second``; at speed ``instant`` it comes at once.

    Complaint: the headers came at once, so the connect timeout is content; the body takes a minute.
    Survive: bound the time of the whole body too.
    """
    return Effects(
        chunk_filters=(lambda: _Trickle(bytes_per_second),), instant_notes=(_SLOW_AT_INSTANT,)
    )


@behaviour(excludes="malformed {after}")
def malformed_event(
    after: Index = 2, how: Literal["truncated", "not_json", "no_data", "invalid_utf8"] = "truncated"
) -> Effects:
    """The event that follows the first ``after`` ones cannot be read; those around it can.

    Complaint: one bad frame, and the whole image is lost to an exception in the reader.
    Survive: log the frame and read on; workflow_finished has everything again.
    """
    return Effects(frame_filters=(lambda: _Malform(after, how),))


def _is_event(chunk: bytes) -> bool:
    """Whether ``chunk`` is an event and not a ping."""
    return chunk.startswith(b"data: {")


@dataclass(slots=True)
class _Join(BodyFilter):
    """Holds ``count`` chunks back until it has them all; None: until the end."""

    count: int | None
    held: list[bytes] = field(default_factory=list)

    def feed(self, chunk: bytes) -> Iterable[Segment]:
        self.held.append(chunk)
        return self.end() if len(self.held) == self.count else ()

    def end(self) -> Iterable[Segment]:
        joined, self.held = b"".join(self.held), []
        return (joined,) if joined else ()


@dataclass(slots=True)
class _Split(BodyFilter):
    where: str
    every: int
    pause_s: float

    def feed(self, chunk: bytes) -> Iterator[Segment]:
        if self.where == "utf8":
            chunk = _unescaped(chunk)
        start = 0
        for end in (*self._cuts(chunk), len(chunk)):
            if start < end:
                yield chunk[start:end]
                if end < len(chunk):
                    yield Pause(self.pause_s)
                start = end

    def _cuts(self, chunk: bytes) -> Iterable[int]:
        if self.where == "byte":
            return range(self.every, len(chunk), self.every)
        if self.where == "escape" and chunk.isascii():
            return (match.start() + 3 for match in re.finditer(rb"\\u[0-9a-f]{4}", chunk))
        return (index + 1 for index, byte in enumerate(chunk) if byte >= 0xC0)


def _unescaped(chunk: bytes) -> bytes:
    """The JSON in ``chunk`` without escapes for what is not ASCII."""
    if b"\\u" not in chunk:
        return chunk
    start = b"data: " if chunk.startswith(b"data: ") else b""
    try:
        value = json.loads(chunk.removeprefix(start))
    except ValueError:
        return chunk
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return start + text + (b"\n\n" if start else b"")


@dataclass(slots=True)
class _Cut(BodyFilter):
    """Ends the connection after ``left`` events, or within the next one after ``at_byte`` bytes."""

    left: int
    within: bool
    at_byte: int | None
    reset: bool
    is_stream: bool | None = None

    def feed(self, chunk: bytes) -> Iterator[Segment]:
        if self.is_stream is None:
            self.is_stream = chunk.startswith((b"event:", b"data:"))
        if self.left == 0:
            if self.within:
                yield chunk[: len(chunk) // 2 if self.at_byte is None else self.at_byte]
            yield Break(self.reset)
        elif not self.is_stream:
            yield chunk[: len(chunk) // 2]
            yield Break(self.reset)
        else:
            yield chunk
            self.left -= _is_event(chunk)
            if self.left == 0 and not self.within:
                yield Break(self.reset)

    def end(self) -> Iterable[Segment]:
        return (Break(self.reset),)


@dataclass(slots=True)
class _Trickle(BodyFilter):
    bytes_per_second: int

    def feed(self, chunk: bytes) -> Iterator[Segment]:
        size = max(1, round(self.bytes_per_second * _TICK_S))
        for start in range(0, len(chunk), size):
            yield chunk[start : start + size]
            yield Pause(size / self.bytes_per_second)


@dataclass(slots=True)
class _Malform(BodyFilter):
    left: int
    how: str

    def feed(self, chunk: bytes) -> Iterable[Segment]:
        if _is_event(chunk):
            self.left -= 1
            if self.left == -1:
                return (self._malformed(chunk),)
        return (chunk,)

    def _malformed(self, chunk: bytes) -> bytes:
        match self.how:
            case "truncated":
                return chunk[: len(chunk) // 2] + b"\n\n"
            case "not_json":
                return b"data: <html>Bad Gateway</html>\n\n"
            case "no_data":
                return b"data:\n\n"
            case _:
                return re.sub(rb'"event": ?"', lambda found: found[0] + b"\xff\xfe", chunk, count=1)
