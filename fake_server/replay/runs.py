"""The run in a recorded response: how it ended, when on the host's clock, and how it is stopped."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from dify_wire.exchange import Chunk, Recording
from fake_server.runs.events import STOPPED

_CREATED = re.compile(rb'"created_at"\s*:\s*(\d{9,11})(?!\d)')

_ROUNDING_S = 0.5
"""The host rounds the start of a run to the nearest second, and truncates its end (FACTS 4)."""


@dataclass(frozen=True, slots=True)
class RunEnd:
    """The end of a run as the host sent it: the whole frame or response, and its ``data``."""

    payload: Mapping[str, Any]
    data: Mapping[str, Any]

    @property
    def is_stopped(self) -> bool:
        return self.data.get("status") == "stopped"


def is_stream(recording: Recording) -> bool:
    return recording.header("content-type", "").lower().startswith("text/event-stream")


def run_end(body: bytes, stream: bool) -> RunEnd | None:
    """The end of the run in ``body``; None if there is none."""
    for text in reversed(_frames(body)) if stream else [body]:
        payload = json_object(text)
        data = payload.get("data")
        is_end = payload.get("event", "workflow_finished") == "workflow_finished"
        if isinstance(data, dict) and is_end:
            return RunEnd(payload, data) if "elapsed_time" in data and "status" in data else None
    return None


def frames_data(body: bytes) -> Iterator[Mapping[str, Any]]:
    """The frames of a stream that are JSON objects, in their order."""
    return filter(None, map(json_object, _frames(body)))


def _frames(body: bytes) -> list[bytes]:
    return [line[5:].strip() for line in body.splitlines() if line.startswith(b"data:")]


def json_object(text: bytes) -> dict[str, Any]:
    """``text`` as a JSON object; an empty one if it is something else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


# When


def shift_s(recording: Recording, now: float, speed: float | None) -> int:
    """How many seconds later everything is than on the host, if the replay begins ``now``.

    Whole seconds, so that all relations among the times stay. As in the fake itself, a run ends
    when its replay ends, and nothing lies more than half a second ahead of that.
    """
    waits_s = recording.chunks[-1].at_s if recording.chunks else recording.seconds
    ends_at = now + (waits_s / speed if speed else 0.0)
    end = run_end(recording.body, is_stream(recording))
    ended_at = _ended_at(end.data, recording.body) if end else None
    if ended_at is None:
        ended_at = _host_time(recording) + waits_s
    return int((ends_at - ended_at) // 1)


def _ended_at(data: Mapping[str, Any], body: bytes) -> float | None:
    """The earliest unix time at which a run with these times can have ended."""
    names = ("created_at", "finished_at", "elapsed_time")
    created, finished, elapsed = (data.get(name) for name in names)
    if not (isinstance(created, int) and isinstance(finished, int)):
        return None
    if not isinstance(elapsed, int | float):
        return None
    last_node_at = max((int(match[1]) for match in _CREATED.finditer(body)), default=created)
    return max(finished, created - _ROUNDING_S + elapsed, last_node_at - _ROUNDING_S)


def _host_time(recording: Recording) -> float:
    """The unix time of the request on the host's clock, which may differ from the recorder's."""
    first_s = recording.chunks[0].at_s if recording.chunks else recording.seconds
    try:
        return parsedate_to_datetime(recording.header("date", "")).timestamp() - first_s
    except ValueError:
        return recording.sent_at


# Stopped


def stopped_stream(
    sent: Sequence[Chunk], whole: Sequence[Chunk], end: RunEnd, at_s: float
) -> tuple[Chunk, ...] | None:
    """A stream stopped after ``sent`` of ``whole``: the rest of the current frame, and the end.

    None if the end of ``whole`` has begun.
    """
    body = b"".join(chunk.data for chunk in whole)
    size = sum(len(chunk.data) for chunk in sent)
    at_border = not size or body[:size].endswith(b"\n\n")
    frame_end = size if at_border else body.find(b"\n\n", size - 1) + 2
    so_far, rest = body[:frame_end], body[size:frame_end]
    if frame_end < size or run_end(so_far, stream=True):
        return None
    frames = list(frames_data(so_far))
    finished = (frame.get("data") for frame in frames if frame.get("event") == "node_finished")
    counts = {
        "total_tokens": sum(map(_tokens, finished)),
        "total_steps": sum(frame.get("event") == "node_started" for frame in frames),
    }
    last = _json_like(body, {**end.payload, "data": _stopped(end.data, at_s) | counts})
    return (*sent, Chunk(at_s, rest + b"data: " + last + b"\n\n"))


def stopped_response(
    sent: Sequence[Chunk], whole: Sequence[Chunk], end: RunEnd, at_s: float
) -> tuple[Chunk, ...] | None:
    """The blocking response of a run that is stopped, with the tokens and steps of the whole run.

    None if it has begun.
    """
    if sent:
        return None
    body = b"".join(chunk.data for chunk in whole)
    return (Chunk(at_s, _json_like(body, {**end.payload, "data": _stopped(end.data, at_s)})),)


def _stopped(data: Mapping[str, Any], at_s: float) -> dict[str, Any]:
    changed: dict[str, Any] = {
        "status": "stopped",
        "outputs": None,
        "error": STOPPED,
        "elapsed_time": at_s,
        "files": [],
    }
    if isinstance(data.get("created_at"), int):
        changed["finished_at"] = data["created_at"] + int(at_s)
    return {**data, **{name: value for name, value in changed.items() if name in data}}


def _tokens(data: Any) -> int:
    usage = data.get("execution_metadata") if isinstance(data, dict) else None
    return int(usage.get("total_tokens") or 0) if isinstance(usage, dict) else 0


def _json_like(body: bytes, value: Mapping[str, Any]) -> bytes:
    """JSON in the style of ``body``: versions of the host differ in spaces and escapes."""
    separators = (", ", ": ") if b'": ' in body else (",", ":")
    return json.dumps(value, separators=separators, ensure_ascii=body.isascii()).encode()
