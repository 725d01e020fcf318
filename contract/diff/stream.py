"""Two streams: the order of their events, how their frames are written, what each event tells, and
their pings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from contract.diff import style, tree
from contract.diff.difference import ABSENT
from contract.diff.tree import Both, Found
from dify_wire.exchange import loads

EVENT_STREAM = "text/event-stream"
_BLANK_LINE = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_PING = re.compile(rb"(?:event|data): ?ping|:.*")
_PING_DUE_S = 11.0
_MOST_SHOWN = 3
_HOW_FAR = frozenset({"total_steps", "total_tokens"})
_TAIL_BYTES = 24
"""Short of what two runs cannot have in common."""


@dataclass(frozen=True, slots=True)
class Event:
    """A frame that is no ping: what it is called, and its JSON where it has some."""

    name: str
    form: str
    said: Any
    text: str


@dataclass(frozen=True, slots=True)
class Read:
    """A stream taken apart: its events, its pings as they are written, the bytes after the last
    blank line.

    ``around`` says whether the first or the last frame is a ping, before any event or after all.
    """

    events: tuple[Event, ...]
    pings: tuple[bytes, ...]
    around: tuple[str, ...]
    separators: tuple[str, ...]
    tail: bytes

    @classmethod
    def of(cls, body: bytes) -> Read:
        separators = tuple(sorted({repr(found[0])[2:-1] for found in _BLANK_LINE.finditer(body)}))
        *frames, tail = _BLANK_LINE.split(body)
        around = tuple(
            place
            for place, at in (("first", 0), ("last", -1))
            if frames and _PING.fullmatch(frames[at])
        )
        told = [frame for frame in frames if not _PING.fullmatch(frame)]
        pings = tuple(frame for frame in frames if _PING.fullmatch(frame))
        return cls(tuple(map(_event, told)), pings, around, separators, tail)

    @property
    def seconds(self) -> float:
        """How long the run took, by what its events say."""
        data = (event.said.get("data") for event in self.events if isinstance(event.said, dict))
        times = [one.get("elapsed_time") for one in data if isinstance(one, dict)]
        return max((time for time in times if isinstance(time, float)), default=0.0)

    @property
    def is_stopped(self) -> bool:
        """Whether the run ended because somebody stopped it."""
        last = self.events[-1].said if self.events else None
        data = last.get("data") if isinstance(last, dict) else None
        return isinstance(data, dict) and data.get("status") == "stopped"

    @property
    def model_texts(self) -> list[str]:
        """What the app's models wrote, in their order."""
        found = []
        for event in self.events:
            data = event.said.get("data") if isinstance(event.said, dict) else None
            if isinstance(data, dict) and event.name.startswith("node_finished (llm"):
                outputs = data.get("outputs")
                text = outputs.get("text") if isinstance(outputs, dict) else None
                if isinstance(text, str) and text:
                    found.append(text)
        return found


def _event(frame: bytes) -> Event:
    name, colon, rest = frame.partition(b":")
    blank = " " if rest.startswith(b" ") else ""
    text = rest.strip(b" ").decode("utf-8", "backslashreplace")
    try:
        said = loads(text)
    except ValueError:
        return Event(tree.cut(frame.decode("utf-8", "backslashreplace")), "no JSON", None, text)
    form = f"{name.decode('utf-8', 'backslashreplace')}{colon.decode()}{blank}JSON"
    return Event(_name(said), form, said, text)


def _name(said: Any) -> str:
    if not isinstance(said, dict):
        return "a frame without event"
    data, event = said.get("data"), str(said.get("event"))
    if isinstance(data, dict) and event.startswith("node_"):
        return f"{event} ({data.get('node_type')})"
    return event


def differences(a: bytes, b: bytes, both: Both) -> Iterator[Found]:
    """Every difference between two streams; an event that only one has is told, and compared no
    further.
    """
    ours, theirs = Read.of(a), Read.of(b)
    both_stopped = ours.is_stopped and theirs.is_stopped
    ignored = _HOW_FAR if both_stopped else frozenset()
    both = Both(both.a, both.b, both.pairs, (_models(ours, theirs), _models(theirs, ours)), ignored)
    yield from _frames(ours, theirs)
    yield from _pings(ours, theirs)
    names = [event.name for event in ours.events], [event.name for event in theirs.events]
    for tag, a1, a2, b1, b2 in SequenceMatcher(None, *names, autojunk=False).get_opcodes():
        if (
            both_stopped
            and all(name.startswith("node_") for name in names[0][a1:a2] + names[1][b1:b2])
            and tag != "equal"
        ):
            continue  # one came further than the other until it was stopped
        if tag != "equal":
            place = f"after {names[0][a1 - 1]}" if a1 else "at the beginning"
            yield "events", place, _listed(names[0][a1:a2]), _listed(names[1][b1:b2])
            continue
        for event, other in zip(ours.events[a1:a2], theirs.events[b1:b2], strict=True):
            yield from _told(event, other, both)


def _told(a: Event, b: Event, both: Both) -> Iterator[Found]:
    if a.form != b.form:
        yield "frame", "frames", a.form, b.form
    elif a.said is not None:
        yield from tree.differences(a.said, b.said, a.name, both)
        yield from style.differences(
            style.style(a.text, a.said), style.style(b.text, b.said), "frames"
        )


def _models(read: Read, other: Read) -> dict[str, str]:
    """What only this stream's models wrote; the longest first, for one text may be in another."""
    texts = {
        text: f"<model text {number}>"
        for number, (text, theirs) in enumerate(
            zip(read.model_texts, other.model_texts, strict=False), 1
        )
        if text != theirs
    }
    return dict(sorted(texts.items(), key=lambda one: -len(one[0])))


def _frames(a: Read, b: Read) -> Iterator[Found]:
    if a.separators != b.separators and a.separators and b.separators:
        yield "frame", "end of a frame", ", ".join(a.separators), ", ".join(b.separators)
    if bool(a.tail) != bool(b.tail):
        ours, theirs = (repr(one.tail[:_TAIL_BYTES])[1:] for one in (a, b))
        yield "frame", "after the last frame", ours, theirs


def _pings(a: Read, b: Read) -> Iterator[Found]:
    """Pings come every ten seconds: one is missing only where the run took as long."""
    ours, theirs = _forms(a), _forms(b)
    due = a.seconds > _PING_DUE_S and b.seconds > _PING_DUE_S
    early = bool(ours) != bool(theirs) and (a if ours else b).seconds < _PING_DUE_S - 1
    if (ours and theirs and ours != theirs) or (due and bool(ours) != bool(theirs)) or early:
        yield "ping", "stream", ours or ABSENT, theirs or ABSENT
    elif a.around != b.around:
        yield (
            "ping",
            "place",
            ", ".join(a.around) or "between events",
            ", ".join(b.around) or "between events",
        )


def _forms(read: Read) -> str:
    return ", ".join(sorted({ping.decode("utf-8", "backslashreplace") for ping in read.pings}))


def _listed(names: Sequence[str]) -> str:
    more = f", … {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
    return ", ".join(names[:_MOST_SHOWN]) + more if names else ABSENT
