"""Two responses to one request, compared part by part; beneath different statuses nothing is."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Any

from contract.diff.difference import ABSENT, Difference
from contract.diff.values import (
    DiffContext,
    Found,
    cut,
    style_differences,
    text_differences,
    volatile,
)
from contract.diff.values import differences as value_differences
from dify_wire.exchange import EVENT_STREAM, Exchange, loads
from dify_wire.redaction.fields import user_of

DEFAULT_FACTOR = 3.0
_MIN_SLOW_S = 0.5
"""Below this a network says more than a host."""

_UNCOMPARED = frozenset(
    {
        "date",
        "connection",
        "keep-alive",
        "server",
        "content-length",
        "transfer-encoding",
        "content-type",
    }
)
"""Headers of the server's own making; type and framing are compared on their own."""

_IDENTITIES = frozenset({"etag", "last-modified", "expires", "age", "x-request-id", "x-trace-id"})
_SETS = frozenset({"allow", "access-control-allow-headers", "access-control-allow-methods", "vary"})
"""Headers whose words come in any order, on a real host in another from process to process."""

_ID_IN_PATH = re.compile(r"(?<=/files/tools/)[^/]+|(?<=/files/)(?!tools/)[^/]+|(?<=/tasks/)[^/]+")
_COOKIE = re.compile(r"(?<==)[^;]*")
_MIN_USER_CHARACTERS = 4
"""A shorter user is part of many words."""

_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"%PDF": "PDF",
    b"PK\x03\x04": "ZIP",
}
_PNG_END = b"IEND\xaeB`\x82"


def differences(
    name: str, a: Exchange, b: Exchange, factor: float = DEFAULT_FACTOR
) -> list[Difference]:
    """Every difference between two responses to the request ``name``."""
    found = [Difference(name, *one) for one in _differences(a, b)]
    if not any(one.kind in ("status", "end") for one in found):
        found += _timing(name, a, b, factor)
    return found


def _differences(a: Exchange, b: Exchange) -> Iterator[Found]:
    if a.status != b.status:
        path = _ID_IN_PATH.sub("<id>", a.request.path)
        yield "status", f"{a.request.method} {path}", _status(a), _status(b)
        return
    if (a.failure is None) != (b.failure is None):
        yield "end", "response", a.failure or "whole", b.failure or "whole"
        return
    context = DiffContext(_own_texts(a), _own_texts(b))
    yield from _headers(a, b, context)
    if _framing(a) != _framing(b):
        yield "framing", a.media_type or "no body", _framing(a), _framing(b)
    yield from _bodies(a, b, context)


def _timing(name: str, a: Exchange, b: Exchange, factor: float) -> Iterator[Difference]:
    for place, ours, theirs in zip(_TIMES, _times(a), _times(b), strict=True):
        slow, quick = max(ours, theirs), min(ours, theirs)
        if slow >= _MIN_SLOW_S and slow > quick * factor:
            # Times differ for every request; which side is slower is what they have in common.
            form = "slower" if theirs > ours else "faster"
            yield Difference(name, "timing", place, f"{ours:.2f} s", f"{theirs:.2f} s", form)


_TIMES = ("first byte", "whole response", "longest gap")


def _times(exchange: Exchange) -> tuple[float, float, float]:
    times = [chunk.at_s for chunk in exchange.chunks] or [exchange.seconds]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    return times[0], exchange.seconds, max(gaps, default=0.0)


def _status(exchange: Exchange) -> str:
    if exchange.status is None:
        return exchange.failure or "no response"
    code = exchange.json_object().get("code")
    return f"{exchange.status} {code}" if isinstance(code, str) else str(exchange.status)


def _own_texts(exchange: Exchange) -> dict[str, str]:
    """What only this response has: its caller's user, and the host it was sent to."""
    host = exchange.request.header("host", "")
    own = {name: "<host>" for name in (host, host.partition(":")[0]) if name}
    user = user_of(exchange.request) or ""
    return own | ({user: "<user>"} if len(user) >= _MIN_USER_CHARACTERS else {})


def _headers(a: Exchange, b: Exchange, context: DiffContext) -> Iterator[Found]:
    ours, theirs = _compared_headers(a), _compared_headers(b)
    for name in dict.fromkeys([*ours, *theirs]):
        values, others = ours.get(name, []), theirs.get(name, [])
        if not (values and others):
            yield "header", name, " | ".join(values) or ABSENT, " | ".join(others) or ABSENT
            continue
        one, other = _normal(name, values, context.a), _normal(name, others, context.b)
        if one != other and name not in _IDENTITIES:
            yield "header", name, cut(one), cut(other)
    shared, order = (
        [name for name in ours if name in theirs],
        [one for one in theirs if one in ours],
    )
    if shared != order:
        yield "header order", "headers", cut(", ".join(shared)), cut(", ".join(order))
    types = [exchange.header("content-type") for exchange in (a, b)]
    if types[0] != types[1]:
        yield "header", "content-type", types[0] or ABSENT, types[1] or ABSENT


def _compared_headers(exchange: Exchange) -> dict[str, list[str]]:
    headers: dict[str, list[str]] = {}
    for name, value in exchange.headers:
        if name.lower() not in _UNCOMPARED:
            headers.setdefault(name.lower(), []).append(value)
    return headers


def _normal(name: str, values: Sequence[str], own: Mapping[str, str]) -> str:
    if name in _SETS:
        values = [", ".join(sorted(word.strip() for word in value.split(","))) for value in values]
    if name == "set-cookie":
        values = [_COOKIE.sub("<value>", value, count=1) for value in values]
    return volatile(" | ".join(values), own).text


def _framing(exchange: Exchange) -> str:
    if encoding := exchange.header("transfer-encoding"):
        return encoding.lower()
    has_length = exchange.header("content-length") is not None
    return "Content-Length" if has_length else "the end of the connection"


def _bodies(a: Exchange, b: Exchange, context: DiffContext) -> Iterator[Found]:
    ours, theirs = a.body, b.body
    media_type, whole = a.media_type, a.shortened is b.shortened is None
    if media_type != b.media_type:
        return
    if bool(ours) != bool(theirs):
        yield "length", "body", f"{len(ours)} bytes", f"{len(theirs)} bytes"
    elif media_type == EVENT_STREAM:
        yield from _stream_differences(ours, theirs, context)
    elif media_type.startswith(("image/", "audio/", "video/")) or b"\0" in ours[:1024]:
        kinds = file_kind(ours, whole), file_kind(theirs, whole)
        if kinds[0] != kinds[1]:
            yield "image", "body", *kinds
    elif whole:
        yield from _texts(ours, theirs, context)


def _texts(a: bytes, b: bytes, context: DiffContext) -> Iterator[Found]:
    one, other = a.decode("utf-8", "backslashreplace"), b.decode("utf-8", "backslashreplace")
    try:
        values: tuple[Any, Any] = (_parsed(one), _parsed(other))
    except ValueError:
        yield from text_differences(one, other, "body", context, "text")
        return
    yield from value_differences(*values, "body", context)
    yield from style_differences(one, other, values, "body")


def _parsed(text: str) -> Any:
    return loads(text.removeprefix("\ufeff"))


def file_kind(body: bytes, whole: bool = True) -> str:
    """What a file is: its type, and of a whole PNG its size and colours."""
    name = next((name for magic, name in _MAGIC.items() if body.startswith(magic)), None)
    if name is None:
        return f"of unknown type, begins {body[:8].hex(' ')}" if body else "empty"
    if name != "PNG" or not whole:
        return name
    if len(body) < 26 or body[12:16] != b"IHDR":
        return "PNG without its header"
    width, height, depth, colours = struct.unpack(">IIBB", body[16:26])
    end = "" if body.endswith(_PNG_END) else ", its end missing"
    return f"PNG {width}x{height}, {depth} bits, colour type {colours}{end}"


_BLANK_LINE = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_PING = re.compile(rb"(?:event|data): ?ping|:.*")
_PING_DUE_S = 11.0
_MAX_SHOWN = 3
_PROGRESS_FIELDS = frozenset({"total_steps", "total_tokens"})
_TAIL_BYTES = 24
"""Too few to show what two runs cannot have in common."""


# Streams
# -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Event:
    """A frame that is not a ping: its name, and its JSON if it has some."""

    name: str
    form: str
    payload: Any
    text: str

    @property
    def data(self) -> dict[str, Any]:
        data = self.payload.get("data") if isinstance(self.payload, dict) else None
        return data if isinstance(data, dict) else {}


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream's events, its pings as they are written, the bytes after the last blank line.

    ``outer_pings`` says whether the first or the last frame is a ping.
    """

    events: tuple[Event, ...]
    pings: tuple[bytes, ...]
    outer_pings: tuple[str, ...]
    separators: tuple[str, ...]
    tail: bytes

    @classmethod
    def of(cls, body: bytes) -> Stream:
        separators = {repr(found[0])[2:-1] for found in _BLANK_LINE.finditer(body)}
        *frames, tail = _BLANK_LINE.split(body)
        outer = tuple(
            place
            for place, at in (("first", 0), ("last", -1))
            if frames and _PING.fullmatch(frames[at])
        )
        events = tuple(_event(frame) for frame in frames if not _PING.fullmatch(frame))
        pings = tuple(frame for frame in frames if _PING.fullmatch(frame))
        return cls(events, pings, outer, tuple(sorted(separators)), tail)

    @property
    def seconds(self) -> float:
        """How long the run took, by its events."""
        times = [event.data.get("elapsed_time") for event in self.events]
        return max((time for time in times if isinstance(time, float)), default=0.0)

    @property
    def is_stopped(self) -> bool:
        """Whether the run ended because somebody stopped it."""
        return bool(self.events) and self.events[-1].data.get("status") == "stopped"

    @property
    def model_texts(self) -> list[str]:
        """What the app's models wrote, in their order."""
        found = []
        for event in self.events:
            outputs = event.data.get("outputs")
            text = outputs.get("text") if isinstance(outputs, dict) else None
            if event.name.startswith("node_finished (llm") and isinstance(text, str) and text:
                found.append(text)
        return found


def _event(frame: bytes) -> Event:
    name, colon, rest = frame.partition(b":")
    space = " " if rest.startswith(b" ") else ""
    text = rest.strip(b" ").decode("utf-8", "backslashreplace")
    try:
        payload = loads(text)
    except ValueError:
        return Event(cut(frame.decode("utf-8", "backslashreplace")), "no JSON", None, text)
    form = f"{name.decode('utf-8', 'backslashreplace')}{colon.decode()}{space}JSON"
    event = Event("", form, payload, text)
    if not isinstance(payload, dict):
        return replace(event, name="a frame without event")
    kind = str(payload.get("event"))
    if kind.startswith("node_") and isinstance(payload.get("data"), dict):
        return replace(event, name=f"{kind} ({event.data.get('node_type')})")
    return replace(event, name=kind)


def _stream_differences(a: bytes, b: bytes, context: DiffContext) -> Iterator[Found]:
    """Every difference between two streams; an event that only one has is not compared further."""
    ours, theirs = Stream.of(a), Stream.of(b)
    both_stopped = ours.is_stopped and theirs.is_stopped
    context = replace(
        context,
        models=(_own_model_texts(ours, theirs), _own_model_texts(theirs, ours)),
        ignored=_PROGRESS_FIELDS if both_stopped else frozenset(),
    )
    yield from _frames(ours, theirs)
    yield from _pings(ours, theirs)
    names = [event.name for event in ours.events], [event.name for event in theirs.events]
    for tag, a1, a2, b1, b2 in SequenceMatcher(None, *names, autojunk=False).get_opcodes():
        only_a, only_b = names[0][a1:a2], names[1][b1:b2]
        if tag == "equal":
            for event, other in zip(ours.events[a1:a2], theirs.events[b1:b2], strict=True):
                yield from _events(event, other, context)
        elif not (both_stopped and all(one.startswith("node_") for one in only_a + only_b)):
            # Of two stopped runs one may have come further than the other.
            place = f"after {names[0][a1 - 1]}" if a1 else "at the beginning"
            yield "events", place, _listed(only_a), _listed(only_b)


def _events(a: Event, b: Event, context: DiffContext) -> Iterator[Found]:
    if a.form != b.form:
        yield "frame", "frames", a.form, b.form
    elif a.payload is not None:
        yield from value_differences(a.payload, b.payload, a.name, context)
        yield from style_differences(a.text, b.text, (a.payload, b.payload), "frames")


def _own_model_texts(stream: Stream, other: Stream) -> dict[str, str]:
    """What only this stream's models wrote; the longest first, for one text may be in another."""
    pairs = enumerate(zip(stream.model_texts, other.model_texts, strict=False), 1)
    texts = {text: f"<model text {number}>" for number, (text, one) in pairs if text != one}
    return dict(sorted(texts.items(), key=lambda item: -len(item[0])))


def _frames(a: Stream, b: Stream) -> Iterator[Found]:
    if a.separators != b.separators and a.separators and b.separators:
        yield "frame", "end of a frame", ", ".join(a.separators), ", ".join(b.separators)
    if bool(a.tail) != bool(b.tail):
        ours, theirs = (repr(one.tail[:_TAIL_BYTES])[1:] for one in (a, b))
        yield "frame", "after the last frame", ours, theirs


def _pings(a: Stream, b: Stream) -> Iterator[Found]:
    """Pings come every ten seconds: one is missing only if the run took as long."""
    ours, theirs = _ping_forms(a), _ping_forms(b)
    due = a.seconds > _PING_DUE_S and b.seconds > _PING_DUE_S
    early = bool(ours) != bool(theirs) and (a if ours else b).seconds < _PING_DUE_S - 1
    if (ours and theirs and ours != theirs) or (due and bool(ours) != bool(theirs)) or early:
        yield "ping", "stream", ours or ABSENT, theirs or ABSENT
    elif a.outer_pings != b.outer_pings:
        ours, theirs = (", ".join(one.outer_pings) or "between events" for one in (a, b))
        yield "ping", "place", ours, theirs


def _ping_forms(stream: Stream) -> str:
    return ", ".join(sorted({ping.decode("utf-8", "backslashreplace") for ping in stream.pings}))


def _listed(names: Sequence[str]) -> str:
    more = f", … {len(names) - _MAX_SHOWN} more" if len(names) > _MAX_SHOWN else ""
    return ", ".join(names[:_MAX_SHOWN]) + more if names else ABSENT
