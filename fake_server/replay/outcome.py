"""What a recorded answer says of the run that it tells: how it ended, and when on the host's own
clock.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from dify_wire.exchange import Recording

_CREATED = re.compile(rb'"created_at"\s*:\s*(\d{9,11})(?!\d)')

_ROUNDING_S = 0.5
"""The host rounds the start of a run to the nearest second, and cuts its end to the second before
(FACTS 4).
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a run as the host told it: the whole frame or answer, parsed, and its ``data``."""

    said: Mapping[str, Any]
    data: Mapping[str, Any]

    @property
    def stopped(self) -> bool:
        return self.data.get("status") == "stopped"


def is_stream(recording: Recording) -> bool:
    return recording.header("content-type", "").lower().startswith("text/event-stream")


def outcome(body: bytes, stream: bool) -> Outcome | None:
    """The end of the run of which ``body`` tells; None where it tells of none."""
    for text in _data_of_frames(body) if stream else [body]:
        said = _parsed(text)
        data = said.get("data")
        if isinstance(data, dict) and said.get("event", "workflow_finished") == "workflow_finished":
            return Outcome(said, data) if "elapsed_time" in data and "status" in data else None
    return None


def frames_data(body: bytes) -> Iterator[Mapping[str, Any]]:
    """The frames of a stream that are JSON objects, in their order."""
    return (said for said in map(_parsed, reversed(list(_data_of_frames(body)))) if said)


def _data_of_frames(body: bytes) -> Iterator[bytes]:
    """What the frames carry, the last one first."""
    for line in reversed(body.splitlines()):
        if line.startswith(b"data:"):
            yield line[5:].strip()


def _parsed(text: bytes) -> Mapping[str, Any]:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def shift_s(recording: Recording, now: float, speed: float | None) -> int:
    """How many seconds later everything is told than the host told it, if the replay begins
    ``now``.

    Whole seconds, so that all relations among the times stay. As in the fake itself, what goes to
    its end ends when the replay ends, and nothing lies more than half a second ahead of that.
    """
    waits_s = recording.chunks[-1].at_s if recording.chunks else recording.seconds
    ends_at = now + (waits_s / speed if speed else 0.0)
    end = outcome(recording.body, is_stream(recording))
    ended_at = _run_ended_at(end.data, recording.body) if end else None
    if ended_at is None:
        ended_at = _host_time(recording) + waits_s
    return int((ends_at - ended_at) // 1)


def _run_ended_at(data: Mapping[str, Any], body: bytes) -> float | None:
    """The earliest unix time at which a run can have ended that tells these times."""
    created, finished, elapsed = (
        data.get(name) for name in ("created_at", "finished_at", "elapsed_time")
    )
    if not (
        isinstance(created, int) and isinstance(finished, int) and isinstance(elapsed, (int, float))
    ):
        return None
    last_node_at = (
        max((int(match[1]) for match in _CREATED.finditer(body)), default=created) - _ROUNDING_S
    )
    return max(finished, created - _ROUNDING_S + elapsed, last_node_at)


def _host_time(recording: Recording) -> float:
    """The unix time of the request on the host's clock, which the recorder's need not be."""
    first_s = recording.chunks[0].at_s if recording.chunks else recording.seconds
    try:
        return parsedate_to_datetime(recording.header("date", "")).timestamp() - first_s
    except ValueError:
        return recording.sent_at
