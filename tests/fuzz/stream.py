"""The checker of a stream: its framing to the byte, every event against its schema, and
the order of events.

    workflow_started (node_started node_finished)* [node_started] workflow_finished

with pings anywhere between; a node without its end only where the run was stopped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jsonschema_rs

PING = "event: ping"
_DATA = "data: "


def frames(body: bytes) -> tuple[list[str], str]:
    """The frames of a whole stream, and what is wrong with its framing ("" if nothing)."""
    try:
        text = body.decode("ascii")
    except UnicodeDecodeError as error:
        return [], f"a stream is ASCII, this has {body[error.start : error.end]!r}"
    *whole, rest = text.split("\n\n")
    if rest:
        return whole, f"the stream ends inside a frame: {rest[:80]!r}"
    wrong = next(
        (
            frame
            for frame in whole
            if "\n" in frame or not (frame == PING or frame.startswith(_DATA))
        ),
        None,
    )
    return (
        whole,
        f"not a frame of one data line or a ping: {wrong[:80]!r}" if wrong is not None else "",
    )


def problems(body: bytes, schema: jsonschema_rs.Validator) -> Iterator[tuple[str, str]]:
    """(rule, what is wrong) of the stream ``body``; ``schema`` is that of one event."""
    whole, unframed = frames(body)
    if unframed:
        yield "stream framing", unframed
        return
    events = []
    for frame in whole:
        if frame == PING:
            continue
        event, wrong = _event(frame.removeprefix(_DATA))
        if wrong:
            yield "stream json", wrong
            return
        yield from (
            ("stream event", f"{event.get('event')}: {error.message}")
            for error in schema.iter_errors(event)
        )
        events.append(event)
    wrong = disorder(events)
    if wrong:
        yield "stream order", wrong


def _event(text: str) -> tuple[Any, str]:
    try:
        event = json.loads(text)
    except ValueError:
        return None, f"no JSON: {text[:80]!r}"
    if not isinstance(event, dict) or json.dumps(event) != text:
        return None, f"not an object in the host's JSON style: {text[:80]!r}"
    return event, ""


def disorder(events: Sequence[Mapping[str, Any]]) -> str:
    """What is wrong with the order of ``events``, or ""."""
    names = [event["event"] for event in events]
    if len(names) < 2 or names[0] != "workflow_started" or names[-1] != "workflow_finished":
        return f"a run starts with workflow_started and ends with workflow_finished, not {names}"
    ids = {(event["task_id"], event["workflow_run_id"]) for event in events}
    ends = {events[0]["data"]["id"], events[-1]["data"]["id"], events[0]["workflow_run_id"]}
    if len(ids) != 1 or len(ends) != 1:
        return f"a run has one task and one id, here are {sorted(ids)} and {sorted(ends)}"
    started = [event["data"] for event in events if event["event"] == "node_started"]
    finished = [event["data"] for event in events if event["event"] == "node_finished"]
    return _nodes(names, started, finished, events[-1]["data"])


def _nodes(
    names: list[str], started: list[Any], finished: list[Any], end: Mapping[str, Any]
) -> str:
    lone = end["status"] == "stopped" and len(started) == len(finished) + 1
    alternating = ["node_started", "node_finished"] * len(finished) + ["node_started"] * lone
    if names[1:-1] != alternating:
        return f"each node starts and finishes before the next, not {names[1:-1]}"
    if [node["index"] for node in started] != list(range(1, len(started) + 1)):
        return f"nodes count from 1: {[node['index'] for node in started]}"
    before = [None, *(node["node_id"] for node in started)][: len(started)]
    if [node["predecessor_node_id"] for node in started] != before:
        return (
            f"the predecessors {[node['predecessor_node_id'] for node in started]} are not {before}"
        )
    same = ("id", "node_id", "node_type", "title", "index", "predecessor_node_id", "created_at")
    for one, other in zip(started, finished, strict=False):
        if any(one[key] != other[key] for key in same):
            return f"node {one['node_id']} started and finished differently"
    return _end(started, finished, end)


def _end(started: list[Any], finished: list[Any], end: Mapping[str, Any]) -> str:
    if end["total_steps"] != len(started):
        return f"total_steps is {end['total_steps']} after {len(started)} nodes"
    tokens = sum((node["execution_metadata"] or {}).get("total_tokens", 0) for node in finished)
    if end["total_tokens"] != tokens:
        return f"total_tokens is {end['total_tokens']}, the nodes say {tokens}"
    failed = any(node["status"] == "failed" for node in finished)
    if failed and end["status"] != "failed":
        return f"a node failed, and the run is {end['status']}"
    if end["status"] == "succeeded" and finished and finished[-1]["outputs"] != end["outputs"]:
        return "the run's outputs are not those of its last node"
    return ""
