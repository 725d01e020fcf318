"""Two streams compared: the order of their events, their frames, each event's data, their pings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Any

from contract.diff import values
from contract.diff.difference import ABSENT
from contract.diff.values import DiffContext, Found, cut, style_differences
from dify_wire.exchange import loads

EVENT_STREAM = "text/event-stream"
_BLANK_LINE = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_PING = re.compile(rb"(?:event|data): ?ping|:.*")
_PING_DUE_S = 11.0
_MAX_SHOWN = 3
_PROGRESS_FIELDS = frozenset({"total_steps", "total_tokens"})
_TAIL_BYTES = 24
"""Too few to show what two runs cannot have in common."""


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


def differences(a: bytes, b: bytes, context: DiffContext) -> Iterator[Found]:
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
        yield from values.differences(a.payload, b.payload, a.name, context)
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
