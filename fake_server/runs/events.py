"""What happens in a workflow run, as values: what the engine plans and the renderers render.

Times are seconds of the run's own timeline, from its start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from fake_server.runs.values import Values


class WorkflowStarted(NamedTuple):
    """``resumed``: the run goes on after a pause."""

    inputs: Values
    resumed: bool = False


class Place(NamedTuple):
    """Where in the graph a node runs: in which turn of which container, in which branch."""

    iteration_id: str | None = None
    loop_id: str | None = None
    turn: int | None = None
    parallel_id: str | None = None
    parallel_start_node_id: str | None = None
    parent_parallel_id: str | None = None
    parent_parallel_start_node_id: str | None = None
    parallel_run_id: str | None = None

    @property
    def container(self) -> str | None:
        """The innermost iteration or loop around the node."""
        return self.iteration_id or self.loop_id


TOP = Place()
"""Of a node that stands in no container and in no parallel branch."""


@dataclass(slots=True)  # not frozen: made for each node of each run, in half the time
class NodeStarted:
    """``index`` is what the wire says, ``step`` the steps of the run so far, this one included."""

    execution_id: str
    node_id: str
    node_type: str
    title: str
    index: int
    predecessor_node_id: str | None
    extras: Values
    started_s: float
    place: Place = TOP
    agent_strategy: Values | None = None
    step: int = 0


@dataclass(slots=True)
class NodeFinished:
    """A node that ended. ``status``: succeeded, failed, or exception where its error strategy took
    the run on; ``None`` is the host's null. ``handle`` names the edges by which the run goes on.
    """

    started: NodeStarted
    finished_s: float
    status: str
    error: str | None
    inputs: Values | None
    process_data: Values | None
    outputs: Values | None
    execution_metadata: Values | None
    handle: str | None = None


class NodeRetry(NamedTuple):
    """An attempt of a node that failed and is made again; ``retry_index`` counts from 1."""

    attempt: NodeFinished
    retry_index: int


class ContainerStarted(NamedTuple):
    """An iteration or a loop begins; ``length`` is how many turns it is to have."""

    started: NodeStarted
    inputs: Values
    length: int


class ContainerNext(NamedTuple):
    """A turn of an iteration begins, or one of a loop has ended; ``output`` is that of the turn
    before, ``seconds`` how long it took.
    """

    started: NodeStarted
    turn: int
    at_s: float
    output: Any = None
    seconds: float | None = None
    parallel_run_id: str | None = None


class ContainerCompleted(NamedTuple):
    """An iteration or a loop has ended. ``finished`` has status, error, outputs and metadata."""

    finished: NodeFinished
    inputs: Values
    total_tokens: int
    steps: int


class BranchStarted(NamedTuple):
    """One of several parallel branches begins."""

    place: Place
    at_s: float


class BranchFinished(NamedTuple):
    place: Place
    at_s: float
    status: str
    error: str | None = None


class TextChunk(NamedTuple):
    """A part of an output. The engine has one for each part that a node sends bit by bit, a stream
    those that belong to an output of an End node (``text_chunks``). ``value`` becomes text when it
    is rendered; nothing of the same output follows a ``final`` one.
    """

    value: Any
    selector: Sequence[str]
    final: bool = False


class AgentLog(NamedTuple):
    """One line of an agent's log; ``data`` are its fields from ``id`` on."""

    started: NodeStarted
    data: Values


class HumanInputRequired(NamedTuple):
    """A node waits for somebody to fill in a form; ``form`` are the fields of the form."""

    node_id: str
    node_title: str
    form: Values


class HumanInputFilled(NamedTuple):
    node_id: str
    node_title: str
    rendered_content: str
    action_id: str
    action_text: str


class WorkflowPaused(NamedTuple):
    """The run waits for human input, and its stream ends. ``resume`` gives the timeline of what
    follows a form that was filled in, its seconds counted from 0 again.
    """

    outputs: Values | None
    paused_nodes: Sequence[str]
    reasons: Sequence[Values]
    elapsed_s: float
    total_tokens: int
    total_steps: int
    resume: Callable[[HumanInputFilled, Values], Timeline]


class WorkflowFinished(NamedTuple):
    """``status``: succeeded, partial-succeeded, failed or stopped."""

    status: str
    outputs: Values | None
    error: str | None
    elapsed_s: float
    total_tokens: int
    total_steps: int
    exceptions: int = 0


class RunError(NamedTuple):
    """A run that could not be built: the only frame of its stream."""

    code: str
    status: int
    message: str


class RunCrashed(NamedTuple):
    """The app fails in the middle of a run: a blocking request gets its page of status 500, and a
    stream breaks off.
    """


class OtherEvent(NamedTuple):
    """A frame that no run makes: a scenario puts it into a stream. ``fields`` follow those that
    every frame begins with.
    """

    name: str
    fields: Values


@dataclass(frozen=True, slots=True)
class Ping:
    """Sign of life of a stream; a blocking response has none."""


Event = (
    WorkflowStarted
    | NodeStarted
    | NodeFinished
    | NodeRetry
    | ContainerStarted
    | ContainerNext
    | ContainerCompleted
    | BranchStarted
    | BranchFinished
    | TextChunk
    | AgentLog
    | HumanInputRequired
    | HumanInputFilled
    | WorkflowPaused
    | WorkflowFinished
    | RunError
    | RunCrashed
    | OtherEvent
    | Ping
)

Timeline = tuple[tuple[float, Event], ...]

STOPPED = "Workflow stopped."

_ENDS = WorkflowFinished | WorkflowPaused | RunError | RunCrashed


def cut(timeline: Sequence[tuple[float, Event]], at_s: float, error: str = STOPPED) -> Timeline:
    """The timeline of the same run stopped at ``at_s``."""
    before = [
        (offset, event)
        for offset, event in timeline
        if offset < at_s and not isinstance(event, _ENDS)
    ]
    steps = tokens = exceptions = 0
    for _, event in before:
        match event:
            case NodeStarted():
                steps = max(steps, event.step)
            case NodeRetry():
                steps = max(steps, event.attempt.started.step)
            case NodeFinished(started=started) if started.place.container is None:
                tokens += int((event.execution_metadata or {}).get("total_tokens", 0))
                exceptions += event.status == "exception"
    end = WorkflowFinished("stopped", None, error, at_s, tokens, steps, exceptions)
    return (*before, (at_s, end))
