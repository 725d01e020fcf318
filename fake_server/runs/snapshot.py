"""What has happened in a run so far, as frames: for a client that begins to watch it later.

The host makes these frames from its database, so they hold less than those of the stream, and their
fields have an order of their own [C: human_events_paused_snapshot].
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fake_server.host_spec import HostSpec
from fake_server.runs.events import (
    Event,
    HumanInputRequired,
    NodeFinished,
    NodeStarted,
    WorkflowPaused,
)
from fake_server.runs.frames import FrameRenderer
from fake_server.runs.records import RunRecord
from fake_server.runs.render import WRITERS, picked, spaced
from fake_server.runs.values import Values
from fake_server.workflow.model import Workflow

Part = tuple[FrameRenderer, Sequence[Event]]
"""What a run did up to a pause, or from one on."""


def snapshot(
    record: RunRecord, parts: Sequence[Part], workflow: Workflow, spec: HostSpec
) -> Iterator[bytes]:
    """The frames of the run of ``record``: its start, its nodes, and the form that it waits for."""
    started = {
        "id": record.run_id,
        "workflow_id": record.workflow_id,
        "inputs": json.loads(record.inputs),
        "created_at": int(record.started_at),
        "reason": "initial",
    }
    yield _frame("workflow_started", started, record, spec)
    renderer, events = parts[-1]
    paused = next((event for event in events if isinstance(event, WorkflowPaused)), None)
    waiting = set(paused.paused_nodes) if paused else set()
    for index, (begun, ended) in enumerate(_nodes(parts), start=1):
        known = {**begun, "index": index, "predecessor_node_id": None, "extras": {}}
        fields = spec.fields["SnapshotNodeStartedData"]
        yield _frame("node_started", picked(known, fields), record, spec)
        if ended is None and begun["node_id"] not in waiting:
            continue
        hidden = dict.fromkeys(("inputs", "process_data", "outputs", "execution_metadata", "error"))
        how = ended or {"status": "paused", "elapsed_time": 0.0, "finished_at": begun["created_at"]}
        known = {**how, **known, **hidden, "files": []}
        fields = spec.fields["SnapshotNodeFinishedData"]
        yield _frame("node_finished", picked(known, fields), record, spec)
    if paused is None:
        return
    for event in events:
        if isinstance(event, HumanInputRequired):
            form = {**event.form, **_template(workflow, event.node_id)}
            shown = renderer.of(HumanInputRequired(event.node_id, event.node_title, form))
            fields = spec.events["human_input_required"].data
            yield _frame("human_input_required", picked(shown, fields), record, spec)
    shown = {**renderer.of(paused), "elapsed_time": 0.0}
    shown["reasons"] = [
        {**reason, **_template(workflow, reason["node_id"])} for reason in shown["reasons"]
    ]
    fields = spec.events["workflow_paused"].data
    yield _frame("workflow_paused", picked(shown, fields), record, spec)


def _nodes(parts: Sequence[Part]) -> Sequence[tuple[dict[str, Any], dict[str, Any] | None]]:
    """The nodes with their ends, in the order in which they began; one that went on counts once."""
    nodes: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {}
    for renderer, events in parts:
        for event in events:
            if isinstance(event, NodeStarted):
                nodes[event.execution_id] = (renderer.of(event), None)
            elif isinstance(event, NodeFinished):
                begun = nodes.get(event.started.execution_id, (renderer.of(event.started), None))[0]
                nodes[event.started.execution_id] = (begun, renderer.of(event))
    return list(nodes.values())


def _template(workflow: Workflow, node_id: str) -> dict[str, Any]:
    """The text of a form as the app has it: the host fills it in for the stream only."""
    node = workflow.nodes.get(node_id)
    return {"form_content": node.data.get("form_content")} if node else {}


def _frame(event: str, data: Values, record: RunRecord, spec: HostSpec) -> bytes:
    message = _message(event, data, record.task_id, record)
    return b"data: " + WRITERS[spec.stream.json](message) + b"\n\n"


def finished_frame(record: RunRecord, spec: HostSpec) -> bytes:
    """The only frame of a run that has ended; its task has the id of the run
    [C: human_events_finished].
    """
    outputs = json.loads(record.outputs) if record.outputs else {}
    entries = [
        entry
        for value in outputs.values()
        for entry in (value if isinstance(value, list) else [value])
    ]
    mark = next(iter(spec.files.mark))
    known = {
        "id": record.run_id,
        "workflow_id": record.workflow_id,
        "status": record.status,
        "outputs": outputs,
        "error": record.error,
        "elapsed_time": record.elapsed_s,
        "total_tokens": record.total_tokens,
        "total_steps": record.total_steps,
        "created_by": {"id": record.end_user_id, "user": record.user},
        "created_at": int(record.started_at),
        "finished_at": int(record.finished_at or 0.0),
        "exceptions_count": record.exceptions,
        "files": [entry for entry in entries if isinstance(entry, Mapping) and mark in entry],
    }
    data = picked(known, spec.events["workflow_finished"].data)
    message = _message("workflow_finished", data, record.run_id, record)
    return b"data: " + spaced(message) + b"\n\n"


def _message(event: str, data: Values, task_id: str, record: RunRecord) -> Mapping[str, Any]:
    return {"event": event, "task_id": task_id, "workflow_run_id": record.run_id, "data": data}
