"""The answer to what was not recorded: it says that the replay speaks, and what came close."""

from __future__ import annotations

import json
from typing import Any

from dify_wire.exchange import Recording
from dify_wire.recording.store import NearMiss, NotRecordedError
from fake_server.http.request import Request
from fake_server.http.responses import JSON, Response
from fake_server.timestamps import iso

_SHOWN = 200

STATUS = 501
"""No host of this API answers with it, so that no client takes a miss for an answer of the host."""


def miss_response(miss: NotRecordedError, request: Request) -> Response:
    """JSON with the nearest recordings and, for each matcher, what differed."""
    nearest = [_near(near) for near in miss.nearest]
    said = {"code": "replay_miss", "message": _message(miss), "status": STATUS, "nearest": nearest}
    body = json.dumps(said, ensure_ascii=False).encode(
        "utf-8", "backslashreplace"
    )  # for a person, unlike the host's
    return request.response(STATUS, JSON, body + b"\n")


def _message(miss: NotRecordedError) -> str:
    request = miss.key.request
    asked = f"{request.method} {request.path}"
    if miss.given:
        mend = "use --after-last repeat to get the last one again"
        return f"fake-server serve --replay: all {miss.given} recorded answers to {asked} were given; {mend}"
    mend = "record it, or choose --on-miss fake, forward or record"
    return f"fake-server serve --replay: {asked} with this content was not recorded; {mend}"


def _near(near: NearMiss[Any]) -> dict[str, Any]:
    recording: Recording = near.value
    return {
        "recording": recording.label,
        "recorded_at": iso(recording.sent_at),
        "request": f"{recording.request.method} {recording.request.path}",
        "app": recording.app,
        "differences": [
            {
                "matcher": one.matcher,
                "field": one.field,
                "recorded": _short(one.recorded),
                "asked": _short(one.asked),
            }
            for one in near.differences
        ],
    }


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
