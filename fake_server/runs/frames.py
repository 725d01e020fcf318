"""The frames of a run's stream: each event with the fields that the version gives it, in their
order (``HostSpec.events``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import floor
from typing import Any

from fake_server.host_spec import HostSpec
from fake_server.runs.events import (
    TOP,
    AgentLog,
    BranchFinished,
    BranchStarted,
    ContainerCompleted,
    ContainerNext,
    ContainerStarted,
    Event,
    HumanInputFilled,
    HumanInputRequired,
    NodeFinished,
    NodeRetry,
    NodeStarted,
    OtherEvent,
    Ping,
    Place,
    RunError,
    TextChunk,
    Timeline,
    WorkflowFinished,
    WorkflowPaused,
    WorkflowStarted,
)
from fake_server.runs.render import WRITERS, Renderer, picked
from fake_server.workflow.model import CONTAINERS

_UNKNOWN = "Unknown error"
"""In place of a node's error without a text [C of 1.4.3: fail_sd_mode_close_main_stream]."""


@dataclass(slots=True)
class FrameRenderer(Renderer):
    """Renders the events of one run; ``changes`` are applied to each. The data of an event are
    methods, with the fields of every version.
    """

    _last_outputs: tuple[Any, Any] = (None, None)

    def frame(self, event: Event) -> bytes:
        """One frame of a stream, blank line included; none for an event that this version lacks."""
        if isinstance(event, Ping):
            return self.ping_frame
        facts, name = self.facts, event_name(event)
        message: dict[str, Any] = {
            "event": name,
            "workflow_run_id": facts.workflow_run_id,
            "task_id": facts.task_id,
        }
        if isinstance(event, OtherEvent):
            message |= {"event": event.name, **event.fields}
        else:
            fields = self.spec.events.get(name)
            if fields is None:
                return b""
            data = self.of(event)
            message["data"] = picked(data, fields.data)
            if isinstance(event, RunError):
                message |= {**data, "workflow_run_id": None}
            message = picked(message, fields.frame)
        for change in self.changes:
            message = dict(change(message))
        return b"data: " + WRITERS[self.spec.stream.json](message) + b"\n\n"

    def of(self, event: Event) -> dict[str, Any]:
        """The data of ``event``."""
        return _DATA[type(event)](self, event)

    # Of the run
    # ------------------------------------------------------------------------------------------

    def workflow_started(self, event: WorkflowStarted) -> dict[str, Any]:
        return {
            "id": self.facts.workflow_run_id,
            "workflow_id": self.facts.workflow_id,
            "sequence_number": self.facts.sequence_number,
            "inputs": self.files.value(event.inputs),
            "created_at": self.created_at(0.0),
            "reason": "resumption" if event.resumed else "initial",
        }

    def workflow_finished(self, event: WorkflowFinished) -> dict[str, Any]:
        known, rendered = self._last_outputs
        shared = event.outputs is known and self.spec.stream.signed == "run"
        outputs = rendered if shared else self.files.value(event.outputs)
        return {
            **self.ended_run(event, outputs),
            "sequence_number": self.facts.sequence_number,
            "created_by": {"id": self.facts.end_user_id, "user": self.facts.user},
            "exceptions_count": event.exceptions,
            "files": self._files(event.outputs, outputs),
        }

    # Of a node
    # ------------------------------------------------------------------------------------------

    def node_started(self, event: NodeStarted) -> dict[str, Any]:
        data = {
            "id": event.execution_id,
            "node_id": event.node_id,
            "node_type": event.node_type,
            "title": event.title,
            "index": event.index,
            "predecessor_node_id": event.predecessor_node_id,
            "inputs": None,
            "created_at": self.created_at(event.started_s),
            "extras": event.extras,
        }
        if event.place is not TOP:
            data |= {**_around(event.place), "parallel_run_id": event.place.parallel_run_id}
        if event.agent_strategy is not None:
            data["agent_strategy"] = event.agent_strategy
        return data

    def node_finished(self, event: NodeFinished) -> dict[str, Any]:
        started, files, empty = event.started, self.files, self.spec.stream.empty
        inputs, outputs = files.value(event.inputs), files.value(event.outputs)
        self._last_outputs = (event.outputs, outputs)
        process_data, metadata = files.value(event.process_data), event.execution_metadata
        data = {
            "id": started.execution_id,
            "node_id": started.node_id,
            "node_type": started.node_type,
            "title": started.title,
            "index": started.index,
            "predecessor_node_id": started.predecessor_node_id,
            "inputs": inputs or _EMPTY[empty["inputs"]](inputs),
            "process_data": process_data or _EMPTY[empty["process_data"]](process_data),
            "outputs": outputs or _EMPTY[empty["outputs"]](outputs),
            "status": event.status,
            "error": _UNKNOWN if event.error == "" else event.error,
            "elapsed_time": self._seconds(event.finished_s - started.started_s),
            "execution_metadata": metadata or _EMPTY[empty["execution_metadata"]](metadata),
            "created_at": self.created_at(started.started_s),
            "finished_at": floor(self.facts.started_at + event.finished_s),
            "files": self._files(event.outputs, outputs),
        }
        if started.place is not TOP:
            data |= _around(started.place)
        return data

    def node_retry(self, event: NodeRetry) -> dict[str, Any]:
        data = {**self.node_finished(event.attempt), "retry_index": event.retry_index}
        if self.spec.stream.retry_hides_data:
            data |= dict.fromkeys(("inputs", "process_data", "outputs"))
        return data

    def _files(self, outputs: Any, rendered: Any) -> list[Any]:
        each = self.spec.stream.signed == "each"
        return self.files.in_outputs(outputs if each else rendered)

    def text_chunk(self, event: TextChunk) -> dict[str, Any]:
        text, selector = self.files.text(event.value), list(event.selector)
        return {"text": text, "from_variable_selector": selector}

    # Of containers and branches
    # ------------------------------------------------------------------------------------------

    def container_started(self, event: ContainerStarted) -> dict[str, Any]:
        node = event.started
        is_loop = node.node_type == "loop"
        length = "loop_length" if is_loop else self.spec.stream.iteration_length
        return {
            **self._container(node, node.started_s),
            "metadata": {length: event.length},
            "inputs": self.files.value(event.inputs),
        }

    def container_next(self, event: ContainerNext) -> dict[str, Any]:
        output = self.files.value(event.output)
        return {
            **self._container(event.started, event.at_s),
            "index": event.turn,
            "pre_iteration_output": output,
            "pre_loop_output": output,
            "parallel_mode_run_id": event.parallel_run_id,
            "duration": event.seconds,
        }

    def container_completed(self, event: ContainerCompleted) -> dict[str, Any]:
        finished = event.finished
        elapsed_s = finished.finished_s - finished.started.started_s
        return {
            **self._container(finished.started, finished.finished_s),
            "outputs": self.files.value(finished.outputs),
            "inputs": self.files.value(event.inputs),
            "status": finished.status,
            "error": finished.error,
            "elapsed_time": self._seconds(elapsed_s),
            "total_tokens": event.total_tokens,
            "execution_metadata": finished.execution_metadata,
            "finished_at": floor(self.facts.started_at + finished.finished_s),
            "steps": event.steps,
        }

    def _container(self, node: NodeStarted, at_s: float) -> dict[str, Any]:
        """What all events of an iteration or a loop have; the id is the node's [C: loop_stream]."""
        return {
            "id": node.node_id,
            "node_id": node.node_id,
            "node_type": node.node_type,
            "title": node.title,
            "created_at": self.created_at(at_s),
            "extras": {},
            **_around(node.place),
        }

    def parallel_branch(self, event: BranchStarted | BranchFinished) -> dict[str, Any]:
        place = event.place
        data = {
            **_around(place),
            "parallel_branch_id": place.parallel_start_node_id,
            "created_at": self.created_at(event.at_s),
        }
        if isinstance(event, BranchFinished):
            data |= {"status": event.status, "error": event.error}
        return data

    # Of a form
    # ------------------------------------------------------------------------------------------

    def human_input_required(self, event: HumanInputRequired) -> dict[str, Any]:
        node = {"node_id": event.node_id, "node_title": event.node_title}
        return {**self.form(event.form), **node}

    def _seconds(self, seconds: float) -> float:
        """How long a node took."""
        digits = self.spec.stream.node_digits
        return seconds if digits is None else round(seconds, digits)


_EMPTY: Mapping[str, Callable[[Any], Any]] = {
    "null": lambda _: None,
    "object": lambda _: {},
    "kept": lambda value: value,
}
"""How the version writes an empty value of a node (``StreamRules.empty``)."""


def _around(place: Place) -> dict[str, Any]:
    """What is around a node, or a branch."""
    return {
        "parallel_id": place.parallel_id,
        "parallel_start_node_id": place.parallel_start_node_id,
        "parent_parallel_id": place.parent_parallel_id,
        "parent_parallel_start_node_id": place.parent_parallel_start_node_id,
        "iteration_id": place.iteration_id,
        "loop_id": place.loop_id,
    }


_NAMES: Mapping[type[Event], str] = {
    WorkflowStarted: "workflow_started",
    NodeStarted: "node_started",
    NodeFinished: "node_finished",
    NodeRetry: "node_retry",
    ContainerStarted: "{kind}_started",
    ContainerNext: "{kind}_next",
    ContainerCompleted: "{kind}_completed",
    BranchStarted: "parallel_branch_started",
    BranchFinished: "parallel_branch_finished",
    TextChunk: "text_chunk",
    AgentLog: "agent_log",
    HumanInputRequired: "human_input_required",
    HumanInputFilled: "human_input_form_filled",
    WorkflowPaused: "workflow_paused",
    WorkflowFinished: "workflow_finished",
    RunError: "error",
}
"""``{kind}`` is iteration or loop."""


def event_name(event: Event) -> str:
    """The name of ``event`` on the wire; empty where it is no frame with data."""
    name = _NAMES.get(type(event), "")
    if "{" not in name:
        return name
    assert isinstance(event, ContainerStarted | ContainerNext | ContainerCompleted)
    container = event.finished if isinstance(event, ContainerCompleted) else event
    return name.format(kind=container.started.node_type)


_DATA: Mapping[type[Event], Callable[[FrameRenderer, Any], dict[str, Any]]] = {
    WorkflowStarted: FrameRenderer.workflow_started,
    NodeStarted: FrameRenderer.node_started,
    NodeFinished: FrameRenderer.node_finished,
    NodeRetry: FrameRenderer.node_retry,
    ContainerStarted: FrameRenderer.container_started,
    ContainerNext: FrameRenderer.container_next,
    ContainerCompleted: FrameRenderer.container_completed,
    BranchStarted: FrameRenderer.parallel_branch,
    BranchFinished: FrameRenderer.parallel_branch,
    TextChunk: FrameRenderer.text_chunk,
    AgentLog: lambda _, event: {
        **event.data,
        "node_execution_id": event.started.node_id,
        "node_id": event.started.node_id,
    },
    HumanInputRequired: FrameRenderer.human_input_required,
    HumanInputFilled: lambda _, event: event._asdict(),
    WorkflowPaused: Renderer.paused_run,
    WorkflowFinished: FrameRenderer.workflow_finished,
    RunError: lambda _, event: event._asdict(),
}


def of_version(timeline: Timeline, spec: HostSpec) -> Timeline:
    """``timeline`` without the events that the streams of this version lack."""
    return tuple(entry for entry in timeline if _is_sent(entry[1], spec))


def _is_sent(event: Event, spec: HostSpec) -> bool:
    """Iterations and loops have events of their own instead of a node's [C: loop_stream]."""
    if isinstance(event, NodeStarted | NodeFinished):
        node = event.started if isinstance(event, NodeFinished) else event
        return node.node_type not in CONTAINERS
    name = event_name(event)
    return name in spec.events or name in ("", "error")
