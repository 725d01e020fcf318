"""Edits of JSON by a dotted path (``data.outputs.files.0.url``), and the common places to apply
one.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tests.mutants.middleware import (
    Frames,
    Request,
    Response,
    ResponseChange,
    StreamChange,
    Wrap,
    change_requests,
    change_responses,
    change_streams,
)

Edit = Callable[[Any], Any]
"""From a JSON value to the edited one; what it is given may be changed in place."""

Event = dict[str, Any]
"""One event of a stream as it is sent: ``event``, ``workflow_run_id``, ``task_id``, ``data``."""


# Edits
# -------------------------------------------------------------------------------------------------


def put(path: str, value: Any) -> Edit:
    """``value`` at ``path``, in the old place or as a new last key."""
    return change(path, lambda _: copy.deepcopy(value))


def change(path: str, fn: Edit) -> Edit:
    """What ``fn`` makes of the value at ``path`` (of None where there is none)."""

    def edit(root: Any) -> Any:
        holder, key = _holder(root, path)
        if holder is not None:
            holder[key] = fn(holder[key] if _has(holder, key) else None)
        return root

    return edit


def drop(path: str) -> Edit:
    """Without the key at ``path``."""

    def edit(root: Any) -> Any:
        holder, key = _holder(root, path)
        if _has(holder, key):
            del holder[key]
        return root

    return edit


def rename(path: str, name: str) -> Edit:
    """The key at ``path`` called ``name``, in the same place."""

    def edit(root: Any) -> Any:
        holder, key = _holder(root, path)
        if _has(holder, key):
            entries = [(name if old == key else old, value) for old, value in holder.items()]
            holder.clear()
            holder.update(entries)
        return root

    return edit


def reverse(path: str) -> Edit:
    """The keys of the object at ``path`` (empty: of the whole) in reverse order."""

    def edit(root: Any) -> Any:
        if not path:
            return dict(reversed(root.items()))
        return change(path, lambda value: dict(reversed(value.items())))(root)

    return edit


def combined(*edits: Edit) -> Edit:
    """One edit after the other."""

    def edit(root: Any) -> Any:
        for one in edits:
            root = one(root)
        return root

    return edit


def of_node(node_type: str, edit: Edit) -> Edit:
    """An edit of the events of one type of node; the event has to be a node's."""
    return lambda event: edit(event) if event["data"]["node_type"] == node_type else event


def other_uuid(value: str) -> str:
    """Another UUID than ``value``."""
    return value[:-4] + ("0000" if value[-4:] != "0000" else "1111")


def _holder(root: Any, path: str) -> tuple[Any, Any]:
    """What holds the last step of ``path``, and that step; None for a way that leads nowhere."""
    *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in way:
        if not _has(root, step):
            return None, last
        root = root[step]
    return root, last


def _has(holder: Any, key: Any) -> bool:
    if isinstance(holder, list):
        return isinstance(key, int) and key < len(holder)
    return isinstance(holder, dict) and key in holder


# Places
# -------------------------------------------------------------------------------------------------


def edit_run_json(edit: Edit) -> Wrap:
    """In the response of each blocking run."""
    return edit_json(lambda request, response: request.is_run and response.status == 200, edit)


def edit_run_bodies(change_body: Callable[[bytes], bytes]) -> Wrap:
    """In the text of each blocking run's response."""

    def change_response(request: Request, response: Response) -> Response:
        return (
            response.with_body(change_body(response.body))
            if request.is_run and response.status == 200
            else response
        )

    return edit_responses(change_response)


def edit_json(where: Callable[[Request, Response], bool], edit: Edit) -> Wrap:
    """In the JSON of the whole answers that ``where`` picks."""

    def change_response(request: Request, response: Response) -> Response:
        return (
            response.with_json(edit(response.json))
            if where(request, response) and response.json is not None
            else response
        )

    return edit_responses(change_response)


def replace_requests(
    when: Callable[[Request], bool], instead: Callable[[Request], Request]
) -> Wrap:
    """The host gets what ``instead`` makes of each request that ``when`` picks."""
    return change_requests(lambda: lambda request: instead(request) if when(request) else request)


def replace_responses(
    when: Callable[[Request, Response], bool], instead: Callable[[Response], Response]
) -> Wrap:
    """The client gets what ``instead`` makes of each whole response that ``when`` picks."""
    return edit_responses(
        lambda request, response: instead(response) if when(request, response) else response
    )


def edit_responses(change_response: ResponseChange) -> Wrap:
    """A change of whole answers that remembers nothing."""
    return change_responses(lambda: change_response)


def edit_events(events: str, edit: Edit) -> Wrap:
    """In each event of the given names (``*``: all), the edit's paths beginning at its envelope."""
    names = events.split()

    def change_one(event: Event) -> Iterable[Event]:
        return [edit(event) if names == ["*"] or event["event"] in names else event]

    return replace_events(lambda: change_one)


def replace_events(make: Callable[[], Callable[[Event], Iterable[Event]]]) -> Wrap:
    """Each event replaced by those that the change makes of it; made once for each stream. Pings
    pass.
    """

    async def change_frames(frames: Frames) -> Frames:
        change_one = make()
        async for frame in frames:
            for piece in _rewritten(frame, change_one):
                yield piece

    return change_streams(lambda: lambda _: change_frames)


def edit_frames(change_frames: StreamChange) -> Wrap:
    """The frames of each stream as ``change_frames`` makes them."""
    return change_streams(lambda: lambda _: change_frames)


def event_of(frame: bytes) -> Event | None:
    """The event of a frame, None for a ping."""
    if not frame.startswith(b"data: {"):
        return None
    response: Event = json.loads(frame[6:])
    return response


def frame_of(event: Event) -> bytes:
    """The frame of an event, in the host's style."""
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def _rewritten(frame: bytes, change_one: Callable[[Event], Iterable[Event]]) -> Sequence[bytes]:
    event = event_of(frame)
    return [frame] if event is None else [frame_of(one) for one in change_one(event)]
