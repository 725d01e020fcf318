"""The fields of a stream's events and the kinds of their values: one table of each."""

from __future__ import annotations

from collections.abc import Mapping

from contract.check import Level
from contract.shape import (
    COUNT,
    LIST,
    NULL,
    OBJECT,
    SECONDS,
    TEXT,
    UNIX_S,
    UUID,
    WHOLE,
    WORDS,
    Kind,
    among,
    expect_kinds,
    or_null,
    statuses,
)
from contract.trace import RunTrace, trace_check
from dify_wire.profile import Profile, data_schema

EVENTS = ("workflow_started", "node_started", "node_finished", "workflow_finished")

KINDS = {
    "workflow_started": {
        "id": UUID,
        "workflow_id": UUID,
        "sequence_number": COUNT,
        "inputs": OBJECT,
        "created_at": UNIX_S,
    },
    "node_started": {
        "id": UUID,
        "node_id": WORDS,
        "node_type": WORDS,
        "title": TEXT,
        "index": COUNT,
        "predecessor_node_id": or_null(WORDS),
        "inputs": NULL,
        "created_at": UNIX_S,
        "extras": OBJECT,
    },
    "node_finished": {
        "inputs": or_null(OBJECT),
        "process_data": or_null(OBJECT),
        "outputs": or_null(OBJECT),
        "status": among("succeeded", "failed"),
        "error": or_null(TEXT),
        "elapsed_time": SECONDS,
        "execution_metadata": or_null(OBJECT),
        "created_at": UNIX_S,
        "finished_at": UNIX_S,
        "files": LIST,
    },
    "workflow_finished": {
        "id": UUID,
        "workflow_id": UUID,
        "status": among("succeeded", "failed", "stopped"),
        "outputs": or_null(OBJECT),
        "error": or_null(TEXT),
        "elapsed_time": SECONDS,
        "total_tokens": WHOLE,
        "total_steps": WHOLE,
        "created_by": OBJECT,
        "created_at": UNIX_S,
        "finished_at": UNIX_S,
        "files": LIST,
        "exceptions_count": WHOLE,
    },
}


def _kinds(event: str, profile: Profile) -> Mapping[str, Kind]:
    """The kinds of an event's values; which status there is depends on the version."""
    kinds = KINDS[event]
    if "status" not in kinds:
        return kinds
    return {**kinds, "status": statuses(profile, data_schema(event))}


def _fields_check(event: str) -> None:
    def claim(trace: RunTrace) -> None:
        for data in trace.data_of(event):
            trace.expect_fields(data, data_schema(event), event)

    claim.__name__ = f"{event}_has_the_hosts_fields"
    claim.__doc__ = f"data of {event} has the host's fields in its order, and no other."
    trace_check(Level.HOST, "FACTS 5.5, 9.1 and 9.2")(claim)


def _kinds_check(event: str) -> None:
    def claim(trace: RunTrace) -> None:
        for data in trace.data_of(event):
            expect_kinds(data, _kinds(event, trace.profile), event, trace.exchange)

    claim.__name__ = f"{event}_is_of_the_hosts_kinds"
    claim.__doc__ = f"The values of {event} are of the host's kinds."
    trace_check(Level.HOST, "FACTS 5.5")(claim)


for _event in EVENTS:
    _fields_check(_event)
for _event in EVENTS:
    _kinds_check(_event)


@trace_check(Level.HOST, "FACTS 5.5")
def extras_hold_at_most_an_icon(trace: RunTrace) -> None:
    """extras is empty but for a tool's icon, which is a string and stands in each tool's."""
    for data in trace.data_of("node_started"):
        names = ["icon"] if data.get("node_type") == "tool" else []
        extras = data.get("extras")
        is_known = isinstance(extras, dict) and list(extras) == names
        trace.expect(is_known, f"extras with {names}", extras)
        icons = dict(extras or {}).values()
        trace.expect(all(isinstance(icon, str) for icon in icons), "a string", extras)


@trace_check(Level.HOST, "FACTS 5.5")
def elapsed_times_of_a_stream_are_written_with_a_point(trace: RunTrace) -> None:
    """elapsed_time of the run and of its nodes is a float, never a whole number."""
    for event in (*trace.named("node_finished"), *trace.named("workflow_finished")):
        elapsed = event.data.get("elapsed_time")
        trace.expect(isinstance(elapsed, float), "a float as elapsed_time", repr(elapsed))
