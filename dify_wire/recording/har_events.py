"""The events of a stream as Chrome exports them (``_eventSourceMessages``): each with the time at
which it came.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from dify_wire.exchange import Chunk

_FRAME = re.compile(rb".*?(?:\r\n\r\n|\n\n|\r\r|\Z)", re.DOTALL)
_DATA = re.compile(rb"^data(?::|$)", re.MULTILINE)
_MILLISECONDS = 1e11
"""A unix time beyond it is in milliseconds."""


def event_chunks(body: bytes, messages: object, began: float, seconds: float) -> Iterator[Chunk]:
    """``body``, each of its frames at the time of its message; without a body, frames made of the
    messages.

    ``began`` is the unix time of the request, ``seconds`` how long the exchange took.
    """
    events = (
        [one for one in messages if isinstance(one, dict)] if isinstance(messages, list) else []
    )
    times = list(_times(events, began, seconds))
    if not body:
        for at_s, event in zip(times, events, strict=True):
            yield Chunk(at_s, _frame(event))
        return
    frames = [frame for frame in _FRAME.findall(body) if frame]
    told = [bool(_DATA.search(frame)) for frame in frames]
    if sum(told) != len(events):
        yield Chunk(seconds, body)
        return
    left, at_s = iter(times), 0.0
    for frame, is_event in zip(frames, told, strict=True):
        at_s = next(left) if is_event else at_s
        yield Chunk(at_s, frame)


def _times(events: Sequence[dict[str, Any]], began: float, seconds: float) -> Iterator[float]:
    """Seconds after the request, none before the one above it."""
    latest = 0.0
    for event in events:
        time = event.get("time")
        if isinstance(time, int | float) and not isinstance(time, bool):
            at_s = (time / 1000 if time > _MILLISECONDS else time) - began
            latest = max(latest, min(at_s, seconds))  # which a NaN does not move
        yield round(latest, 6)


def _frame(event: dict[str, Any]) -> bytes:
    name, identity, data = (event.get(field) for field in ("eventName", "eventId", "data"))
    lines = [f"event: {name}"] if name and name != "message" else []
    lines += [f"id: {identity}"] if identity else []
    lines += [f"data: {line}" for line in str("" if data is None else data).split("\n")]
    return "\n".join([*lines, "", ""]).encode("utf-8", "surrogatepass")
