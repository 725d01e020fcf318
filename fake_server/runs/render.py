"""The two renderings of one timeline: one JSON object, or the frames of a stream.

What each object holds, and in which order, is the version's: its fields are those that the spec
requires of it (``HostSpec.fields`` and ``events``), with the values of ``event_data``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fake_server.host_spec import EventFields, HostSpec
from fake_server.runs.event_data import EventData, RunFacts, event_name, picked
from fake_server.runs.events import (
    Event,
    NodeFinished,
    NodeStarted,
    OtherEvent,
    Ping,
    RunCrashed,
    RunError,
    Timeline,
    WorkflowFinished,
    WorkflowPaused,
)
from fake_server.runs.file_objects import FileWriter
from fake_server.runs.json_text import WRITERS, spaced

Change = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Changes what is about to be rendered, as JSON data."""


@dataclass(slots=True)
class Renderer:
    """Renders one run; ``changes`` are applied to each event, or to the whole response."""

    facts: RunFacts
    spec: HostSpec
    files: FileWriter
    ping_frame: bytes
    changes: Sequence[Change] = ()
    data: EventData = field(init=False)
    _json: Callable[[Mapping[str, Any]], bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.data = EventData(self.facts, self.spec, self.files)
        self._json = WRITERS[self.spec.stream.json]

    def blocking(self, end: WorkflowFinished | WorkflowPaused) -> bytes:
        """The whole response of a blocking run, without a newline at its end."""
        if isinstance(end, WorkflowPaused):
            data = picked(self.data.of(end), self.spec.fields["PausedRunData"])
        else:
            known = self.data.ended_run(end, self.files.value(end.outputs))
            data = picked(known, self.spec.fields["RunData"])
        known = {
            "task_id": self.facts.task_id,
            "workflow_run_id": self.facts.workflow_run_id,
            "data": data,
        }
        return spaced(self._changed(picked(known, self.spec.fields["RunResponse"])))

    def frame(self, event: Event) -> bytes:
        """One frame of a stream, blank line included; none for an event that this version lacks."""
        if isinstance(event, Ping):
            return self.ping_frame
        if isinstance(event, OtherEvent):
            ids = {"workflow_run_id": self.facts.workflow_run_id, "task_id": self.facts.task_id}
            return self._frame({"event": event.name, **ids, **event.fields})
        fields = self.spec.events.get(event_name(event))
        return b"" if fields is None else self.frame_of(event, fields)

    def frame_of(self, event: Event, fields: EventFields) -> bytes:
        """The frame of ``event`` with those ``fields``."""
        data = self.data.of(event)
        known: dict[str, Any] = {
            "event": event_name(event),
            "workflow_run_id": self.facts.workflow_run_id,
            "task_id": self.facts.task_id,
            "data": picked(data, fields.data),
        }
        if isinstance(event, RunError):
            known |= {**data, "workflow_run_id": None}
        return self._frame(picked(known, fields.frame))

    def _frame(self, message: Mapping[str, Any]) -> bytes:
        return b"data: " + self._json(self._changed(message)) + b"\n\n"

    def _changed(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        for change in self.changes:
            message = change(message)
        return message


def of_version(timeline: Timeline, spec: HostSpec) -> Timeline:
    """``timeline`` without the events that the streams of this version lack."""
    return tuple((at_s, event) for at_s, event in timeline if _is_sent(event, spec))


def _is_sent(event: Event, spec: HostSpec) -> bool:
    """Iterations and loops have events of their own instead of a node's [C: loop_stream]."""
    match event:
        case Ping() | RunCrashed() | RunError() | OtherEvent():
            return True
        case NodeStarted(node_type=kind) | NodeFinished(started=NodeStarted(node_type=kind)):
            return kind not in ("iteration", "loop")
    return event_name(event) in spec.events
