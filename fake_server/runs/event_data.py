"""What the events of a run hold, with the fields of every version that has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fake_server.host_spec import HostSpec
from fake_server.runs.events import (
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
    Place,
    RunError,
    TextChunk,
    Values,
    WorkflowFinished,
    WorkflowPaused,
    WorkflowStarted,
)
from fake_server.runs.file_objects import FileWriter

EXPIRES_S = "expires_s"
"""A form's own name for its expiration_time, in seconds of the run."""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """The run as a whole. ``started_at`` is the unix time of the timeline's second 0."""

    task_id: str
    workflow_run_id: str
    workflow_id: str
    sequence_number: int
    end_user_id: str
    user: str
    started_at: float


@dataclass(slots=True)
class EventData:
    """The data of one run's events."""

    facts: RunFacts
    spec: HostSpec
    files: FileWriter
    _last_outputs: tuple[Any, Any] = (None, None)
    _more: bool = field(init=False)
    """Whether frames of nodes have more than they had at first."""

    def __post_init__(self) -> None:
        self._more = "iteration_id" in self.spec.fields["NodeStartedData"]

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
            "created_at": self._created_at(0.0),
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

    def ended_run(self, event: WorkflowFinished, outputs: Any) -> dict[str, Any]:
        """What both forms of a run's end have, with the rendered ``outputs``."""
        rules = self.spec.run
        return {
            "id": self.facts.workflow_run_id,
            "workflow_id": self.facts.workflow_id,
            "status": event.status,
            "outputs": self._outputs(outputs),
            "error": rules.no_error if event.error is None else event.error,
            "elapsed_time": _rounded(event.elapsed_s, rules.elapsed_digits),
            "total_tokens": event.total_tokens,
            "total_steps": event.total_steps,
            "created_at": self._created_at(0.0),
            "finished_at": self._second(event.elapsed_s),
        }

    def workflow_paused(self, event: WorkflowPaused) -> dict[str, Any]:
        reason_fields = self.spec.fields.get("PauseReason", ())
        reasons = [
            {"TYPE": "human_input_required", **self._form(reason)} for reason in event.reasons
        ]
        return {
            "id": self.facts.workflow_run_id,
            "workflow_run_id": self.facts.workflow_run_id,
            "workflow_id": self.facts.workflow_id,
            "paused_nodes": list(event.paused_nodes),
            "outputs": self._outputs(self.files.value(event.outputs)),
            "reasons": [picked(reason, reason_fields) for reason in reasons],
            "status": "paused",
            "error": self.spec.run.no_error,
            "created_at": self._created_at(0.0),
            "finished_at": None,
            "elapsed_time": _rounded(event.elapsed_s, self.spec.run.elapsed_digits),
            "total_tokens": event.total_tokens,
            "total_steps": event.total_steps,
        }

    def _outputs(self, outputs: Any) -> Any:
        return outputs or ({} if self.spec.run.empty_outputs == "object" else None)

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
            "created_at": self._created_at(event.started_s),
            "extras": event.extras,
        }
        if self._more:
            data |= {
                **_around(event.place),
                "inputs_truncated": False,
                "parallel_run_id": event.place.parallel_run_id,
                "agent_strategy": event.agent_strategy,
            }
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
            "error": event.error,
            "elapsed_time": self._seconds(event.finished_s - started.started_s),
            "execution_metadata": metadata or _EMPTY[empty["execution_metadata"]](metadata),
            "created_at": self._created_at(started.started_s),
            "finished_at": self._second(event.finished_s),
            "files": self._files(event.outputs, outputs),
        }
        if self._more:
            data |= {
                **_around(started.place),
                "inputs_truncated": False,
                "process_data_truncated": False,
                "outputs_truncated": False,
            }
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
            "inputs_truncated": False,
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
            "outputs_truncated": False,
            "inputs": self.files.value(event.inputs),
            "inputs_truncated": False,
            "status": finished.status,
            "error": finished.error,
            "elapsed_time": self._seconds(elapsed_s),
            "total_tokens": event.total_tokens,
            "execution_metadata": finished.execution_metadata,
            "finished_at": self._second(finished.finished_s),
            "steps": event.steps,
        }

    def _container(self, node: NodeStarted, at_s: float) -> dict[str, Any]:
        """What all events of an iteration or a loop have; the id is the node's [C: loop_stream]."""
        return {
            "id": node.node_id,
            "node_id": node.node_id,
            "node_type": node.node_type,
            "title": node.title,
            "created_at": self._created_at(at_s),
            "extras": {},
            **_around(node.place),
        }

    def parallel_branch(self, event: BranchStarted | BranchFinished) -> dict[str, Any]:
        place = event.place
        data = {
            **_around(place),
            "parallel_branch_id": place.parallel_start_node_id,
            "created_at": self._created_at(event.at_s),
        }
        if isinstance(event, BranchFinished):
            data |= {"status": event.status, "error": event.error}
        return data

    # Of a form
    # ------------------------------------------------------------------------------------------

    def human_input_required(self, event: HumanInputRequired) -> dict[str, Any]:
        node = {"node_id": event.node_id, "node_title": event.node_title}
        return {**self._form(event.form), **node}

    def _form(self, form: Values) -> dict[str, Any]:
        """``form`` with the time at which it expires."""
        known = dict(form)
        if EXPIRES_S in known:
            known["expiration_time"] = self._second(known[EXPIRES_S])
        return known

    # Time
    # ------------------------------------------------------------------------------------------

    def _created_at(self, offset_s: float) -> int:
        """The database of early versions rounds, so up to 0.5 s ahead (FACTS 4)."""
        return self._second(offset_s + (0.5 if self.spec.stream.created_at_rounded else 0.0))

    def _seconds(self, seconds: float) -> float:
        """How long a node took."""
        return _rounded(seconds, self.spec.stream.node_digits)

    def _second(self, offset_s: float) -> int:
        return int(self.facts.started_at + offset_s)


def picked(known: dict[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    """The values of ``fields``; null where the fake does not know the field."""
    if tuple(known) == fields:
        return known
    return {name: known.get(name) for name in fields}


_EMPTY: Mapping[str, Callable[[Any], Any]] = {
    "null": lambda _: None,
    "object": lambda _: {},
    "kept": lambda value: value,
}
"""The version's form of what a node has not (``StreamRules.empty``)."""


def _rounded(seconds: float, digits: int | None) -> float:
    return seconds if digits is None else round(seconds, digits)


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


def _agent_log(_: EventData, event: AgentLog) -> dict[str, Any]:
    node_id = event.started.node_id
    return {**event.data, "node_execution_id": node_id, "node_id": node_id}


def _form_filled(_: EventData, event: HumanInputFilled) -> dict[str, Any]:
    return {
        "node_id": event.node_id,
        "node_title": event.node_title,
        "rendered_content": event.rendered_content,
        "action_id": event.action_id,
        "action_text": event.action_text,
    }


def _error(_: EventData, event: RunError) -> dict[str, Any]:
    return {"code": event.code, "status": event.status, "message": event.message}


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
    match event:
        case ContainerStarted(started) | ContainerNext(started):
            return name.format(kind=started.node_type)
        case ContainerCompleted(finished):
            return name.format(kind=finished.started.node_type)
    return name


_DATA: Mapping[type[Event], Callable[[EventData, Any], dict[str, Any]]] = {
    WorkflowStarted: EventData.workflow_started,
    NodeStarted: EventData.node_started,
    NodeFinished: EventData.node_finished,
    NodeRetry: EventData.node_retry,
    ContainerStarted: EventData.container_started,
    ContainerNext: EventData.container_next,
    ContainerCompleted: EventData.container_completed,
    BranchStarted: EventData.parallel_branch,
    BranchFinished: EventData.parallel_branch,
    TextChunk: EventData.text_chunk,
    AgentLog: _agent_log,
    HumanInputRequired: EventData.human_input_required,
    HumanInputFilled: _form_filled,
    WorkflowPaused: EventData.workflow_paused,
    WorkflowFinished: EventData.workflow_finished,
    RunError: _error,
}
