"""What happens in a workflow run, as values: what the engine plans and the renderers render.

Times are seconds of the run's own timeline, from its start. An image is a ``FileRef`` in outputs,
an uploaded one an ``InputFile`` in inputs; only a renderer turns them into the host's file object,
signing the URL then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fake_server.images import ImageRecord

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FileRef:
    """An image made by a tool node."""

    file_id: str
    record: ImageRecord


@dataclass(frozen=True, slots=True)
class InputFile:
    """An image that a user sent along; ``url`` is None where the host signs one for it."""

    transfer_method: str
    url: str | None = None
    file_id: str | None = None
    filename: str | None = None
    extension: str | None = None
    mime_type: str | None = None


@dataclass(frozen=True, slots=True)
class WorkflowStarted:
    inputs: Values


@dataclass(frozen=True, slots=True)
class NodeStarted:
    execution_id: str
    node_id: str
    node_type: str
    title: str
    index: int
    predecessor_node_id: str | None
    extras: Values
    started_s: float


@dataclass(frozen=True, slots=True)
class NodeFinished:
    """A node that ended, in success or failure; ``None`` is the host's null."""

    started: NodeStarted
    finished_s: float
    status: str
    error: str | None
    inputs: Values | None
    process_data: Values | None
    outputs: Values | None
    execution_metadata: Values | None


@dataclass(frozen=True, slots=True)
class WorkflowFinished:
    status: str
    outputs: Values | None
    error: str | None
    elapsed_s: float
    total_tokens: int
    total_steps: int


@dataclass(frozen=True, slots=True)
class Ping:
    """Sign of life of a stream; a blocking response has none."""


Event = WorkflowStarted | NodeStarted | NodeFinished | WorkflowFinished | Ping

Timeline = tuple[tuple[float, Event], ...]

STOPPED = "Workflow stopped."


def cut(timeline: Sequence[tuple[float, Event]], at_s: float) -> Timeline:
    """The timeline of the same run stopped at ``at_s``."""
    before = [
        (offset, event)
        for offset, event in timeline
        if offset < at_s and not isinstance(event, WorkflowFinished)
    ]
    finished = [event for _, event in before if isinstance(event, NodeFinished)]
    tokens = [int((event.execution_metadata or {}).get("total_tokens", 0)) for event in finished]
    end = WorkflowFinished(
        status="stopped",
        outputs=None,
        error=STOPPED,
        elapsed_s=at_s,
        total_tokens=sum(tokens),
        total_steps=sum(isinstance(event, NodeStarted) for _, event in before),
    )
    return (*before, (at_s, end))
