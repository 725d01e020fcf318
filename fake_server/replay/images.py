"""The pictures of recorded runs: their own bytes where they were recorded, else what a placeholder
is drawn from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from dify_wire.exchange import Recording
from dify_wire.ids import UUID
from fake_server.images import ImageRecord
from fake_server.replay.outcome import frames_data

_PATH = re.compile(rf"/files/tools/((?i:{UUID}))\.[^/]+")


def recorded_pictures(recordings: Iterable[Recording]) -> Mapping[str, Recording]:
    """The whole pictures among ``recordings``, by the ids of their files."""
    found: dict[str, Recording] = {}
    for recording in recordings:
        path = _PATH.fullmatch(recording.request.path)
        if path and _is_whole_picture(recording):
            found.setdefault(path[1].lower(), recording)
    return found


def _is_whole_picture(recording: Recording) -> bool:
    return (
        recording.request.method == "GET"
        and recording.status == 200
        and recording.ended == "complete"
        and recording.shortened is None
        and bool(recording.chunks)
    )


def placeholder(recording: Recording, file_id: str) -> ImageRecord:
    """What stands in for a picture that was not recorded: drawn from the prompt of the node that
    made it.
    """
    inputs = _inputs_of_node(recording.body, file_id) or _inputs_of_run(recording.request.body)
    texts = [value for value in inputs.values() if isinstance(value, str)]
    prompt = str(inputs.get("prompt") or next(iter(texts), ""))
    model = str(inputs.get("model") or inputs.get("model_name") or "")
    return ImageRecord(prompt, model, int(file_id.replace("-", "")[:8], 16))


def _inputs_of_node(stream: bytes, file_id: str) -> Mapping[str, Any]:
    for frame in frames_data(stream):
        data = frame.get("data")
        if (
            isinstance(data, dict)
            and data.get("node_type") == "tool"
            and file_id in json.dumps(data.get("outputs"))
        ):
            inputs = data.get("inputs")
            return inputs if isinstance(inputs, dict) else {}
    return {}


def _inputs_of_run(body: bytes) -> Mapping[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    inputs = said.get("inputs") if isinstance(said, dict) else None
    return inputs if isinstance(inputs, dict) else {}
