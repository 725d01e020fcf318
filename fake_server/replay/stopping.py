"""A replayed run that is stopped: what was told so far, and the end that the host tells then (FACTS
7).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dify_wire.exchange import Chunk
from fake_server.replay.outcome import Outcome, frames_data, outcome
from fake_server.runs.events import STOPPED


def stopped_stream(
    told: Sequence[Chunk], whole: Sequence[Chunk], end: Outcome, at_s: float
) -> tuple[Chunk, ...] | None:
    """The stream that had told ``told`` of ``whole`` when it was stopped: the frame that has begun,
    and the end.

    None where the end of ``whole`` has begun to be told.
    """
    body = b"".join(chunk.data for chunk in whole)
    size = sum(len(chunk.data) for chunk in told)
    frame_end = (
        size if body[:size].endswith(b"\n\n") or not size else body.find(b"\n\n", size - 1) + 2
    )
    so_far, rest = body[:frame_end], body[size:frame_end]
    if frame_end < size or outcome(so_far, stream=True):
        return None
    frames = list(frames_data(so_far))
    tokens = [
        _tokens(frame.get("data")) for frame in frames if frame.get("event") == "node_finished"
    ]
    steps = sum(frame.get("event") == "node_started" for frame in frames)
    data = _stopped(end.data, at_s) | {"total_tokens": sum(tokens), "total_steps": steps}
    last = b"data: " + _written({**end.said, "data": data}, body) + b"\n\n"
    return (*told, Chunk(at_s, rest + last))


def stopped_answer(
    told: Sequence[Chunk], whole: Sequence[Chunk], end: Outcome, at_s: float
) -> tuple[Chunk, ...] | None:
    """The blocking answer of a run that was stopped; its tokens and steps are those of the whole
    run.

    None where it has begun to be told.
    """
    if told:
        return None
    body = b"".join(chunk.data for chunk in whole)
    return (Chunk(at_s, _written({**end.said, "data": _stopped(end.data, at_s)}, body)),)


def _stopped(data: Mapping[str, Any], at_s: float) -> dict[str, Any]:
    changed: dict[str, Any] = {
        "status": "stopped",
        "outputs": None,
        "error": STOPPED,
        "elapsed_time": at_s,
    }
    if isinstance(data.get("created_at"), int):
        changed["finished_at"] = data["created_at"] + int(at_s)
    if "files" in data:
        changed["files"] = []
    return {**data, **{name: value for name, value in changed.items() if name in data}}


def _tokens(data: Any) -> int:
    usage = data.get("execution_metadata") if isinstance(data, dict) else None
    return int(usage.get("total_tokens") or 0) if isinstance(usage, dict) else 0


def _written(said: Mapping[str, Any], like: bytes) -> bytes:
    """JSON in the style of ``like``: some versions of the host write it without blanks, or without
    escapes.
    """
    separators = (", ", ": ") if b'": ' in like else (",", ":")
    return json.dumps(said, separators=separators, ensure_ascii=like.isascii()).encode()
