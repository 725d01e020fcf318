"""The two tellings of one timeline: a blocking answer in one JSON object, a stream in frames of
bytes.

Wire text is the host's to the byte: key order, ``", "`` and ``": "``, non-ASCII as ``\\uXXXX``
(FACTS 1.7, 4, 5). A picture becomes a file object at the moment it is serialised, and its URL is
signed anew each time (FACTS 5.6).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fake_server.runs.events import (
    Event,
    FileRef,
    InputFile,
    NodeFinished,
    NodeStarted,
    Ping,
    Values,
    WorkflowFinished,
    WorkflowStarted,
)

_FILE_VARIANT = "FileVar"


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What both tellings say of the run as a whole. ``started_at`` is the unix time of the
    timeline's second 0.
    """

    task_id: str
    workflow_run_id: str
    workflow_id: str
    tenant_id: str
    sequence_number: int
    end_user_id: str
    user: str
    started_at: float


class FileUrls(Protocol):
    """Makes the URL of a file id, signed anew at each call (FACTS 5.6)."""

    def tool_file(self, file_id: str) -> str | None: ...

    def uploaded_image(self, file_id: str) -> str | None: ...


Change = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Changes what is about to be told, as JSON data."""


def json_bytes(value: Any) -> bytes:
    """JSON in the host's style, ASCII only."""
    return json.dumps(value).encode("ascii")


class Renderer:
    """Renders the events of one run; ``urls`` are asked at the moment when a file is told.

    ``changes`` are applied to what each event, or the whole answer, is about to say.
    """

    def __init__(
        self, facts: RunFacts, ping_frame: bytes, urls: FileUrls, changes: Sequence[Change] = ()
    ) -> None:
        self._facts = facts
        self._ping_frame = ping_frame
        self._urls = urls
        self._changes = changes
        self._last_outputs: tuple[Values | None, Any] = (None, None)

    def blocking(self, end: WorkflowFinished) -> bytes:
        """The whole answer of a blocking call, without a newline at its end."""
        facts = self._facts
        said = {
            "task_id": facts.task_id,
            "workflow_run_id": facts.workflow_run_id,
            "data": {
                "id": facts.workflow_run_id,
                "workflow_id": facts.workflow_id,
                "status": end.status,
                "outputs": self._wire(end.outputs),
                "error": end.error,
                "elapsed_time": end.elapsed_s,
                "total_tokens": end.total_tokens,
                "total_steps": end.total_steps,
                "created_at": self._created_at(0.0),
                "finished_at": self._finished_at(end.elapsed_s),
            },
        }
        return self._json(said)

    def frame(self, event: Event) -> bytes:
        """One frame of a stream, blank line included."""
        if isinstance(event, Ping):
            return self._ping_frame
        name, data = self._told(event)
        said = {
            "event": name,
            "workflow_run_id": self._facts.workflow_run_id,
            "task_id": self._facts.task_id,
            "data": data,
        }
        return b"data: " + self._json(said) + b"\n\n"

    def _json(self, said: Mapping[str, Any]) -> bytes:
        for change in self._changes:
            said = change(said)
        return json_bytes(said)

    def _told(self, event: Event) -> tuple[str, Mapping[str, Any]]:
        match event:
            case WorkflowStarted():
                return "workflow_started", self._workflow_started(event)
            case NodeStarted():
                return "node_started", self._node_started(event)
            case NodeFinished():
                return "node_finished", self._node_finished(event)
            case WorkflowFinished():
                return "workflow_finished", self._workflow_finished(event)
        raise TypeError(f"no frame tells {event!r}")

    def _workflow_started(self, event: WorkflowStarted) -> Mapping[str, Any]:
        return {
            "id": self._facts.workflow_run_id,
            "workflow_id": self._facts.workflow_id,
            "sequence_number": self._facts.sequence_number,
            "inputs": self._wire(event.inputs),
            "created_at": self._created_at(0.0),
        }

    def _node_started(self, event: NodeStarted) -> Mapping[str, Any]:
        return {
            **_node(event),
            "inputs": None,
            "created_at": self._created_at(event.started_s),
            "extras": event.extras,
        }

    def _node_finished(self, event: NodeFinished) -> Mapping[str, Any]:
        inputs, outputs = self._wire(event.inputs), self._wire(event.outputs)
        self._last_outputs = (event.outputs, outputs)
        return {
            **_node(event.started),
            "inputs": inputs,
            "process_data": event.process_data,
            "outputs": outputs,
            "status": event.status,
            "error": event.error,
            "elapsed_time": event.finished_s - event.started.started_s,
            "execution_metadata": event.execution_metadata,
            "created_at": self._created_at(event.started.started_s),
            "finished_at": self._finished_at(event.finished_s),
            "files": _files(outputs),
        }

    def _workflow_finished(self, event: WorkflowFinished) -> Mapping[str, Any]:
        known, told = self._last_outputs
        outputs = told if event.outputs is known else self._wire(event.outputs)
        return {
            "id": self._facts.workflow_run_id,
            "workflow_id": self._facts.workflow_id,
            "sequence_number": self._facts.sequence_number,
            "status": event.status,
            "outputs": outputs,
            "error": event.error,
            "elapsed_time": event.elapsed_s,
            "total_tokens": event.total_tokens,
            "total_steps": event.total_steps,
            "created_by": {"id": self._facts.end_user_id, "user": self._facts.user},
            "created_at": self._created_at(0.0),
            "finished_at": self._finished_at(event.elapsed_s),
            "files": _files(outputs),
        }

    def _created_at(self, offset_s: float) -> int:
        """The database of the host rounds to the nearest second, so this may lie 0.5 s ahead (FACTS
        4).
        """
        return int(self._facts.started_at + offset_s + 0.5)

    def _finished_at(self, offset_s: float) -> int:
        return int(self._facts.started_at + offset_s)

    def _wire(self, value: Any) -> Any:
        """``value`` with its pictures as file objects."""
        match value:
            case FileRef():
                return self._made(value)
            case InputFile():
                return self._sent(value)
            case Mapping():
                return {key: self._wire(entry) for key, entry in value.items()}
            case list():
                return [self._wire(entry) for entry in value]
        return value

    def _made(self, ref: FileRef) -> Mapping[str, Any]:
        url = self._urls.tool_file(ref.file_id)
        return self._file("tool_file", url, ref.file_id, "image", ".png", "image/png")

    def _sent(self, file: InputFile) -> Mapping[str, Any]:
        url = self._urls.uploaded_image(file.file_id) if file.file_id else file.url
        return self._file(
            file.transfer_method, url, file.file_id, file.filename, file.extension, file.mime_type
        )

    def _file(
        self, method: str, url: str | None, related_id: str | None, *known: str | None
    ) -> Mapping[str, Any]:
        """The host's file object, its keys in wire order (FACTS 4)."""
        filename, extension, mime_type = known
        return {
            "__variant": _FILE_VARIANT,
            "tenant_id": self._facts.tenant_id,
            "type": "image",
            "transfer_method": method,
            "url": url,
            "related_id": related_id,
            "filename": filename,
            "extension": extension,
            "mime_type": mime_type,
        }


def _node(event: NodeStarted) -> dict[str, Any]:
    return {
        "id": event.execution_id,
        "node_id": event.node_id,
        "node_type": event.node_type,
        "title": event.title,
        "index": event.index,
        "predecessor_node_id": event.predecessor_node_id,
    }


def _files(outputs: Any) -> list[Any]:
    """The file objects among the outputs, each output a file or a list of them."""
    found: list[Any] = []
    for value in (outputs or {}).values():
        entries = value if isinstance(value, list) else [value]
        found += [
            entry
            for entry in entries
            if isinstance(entry, dict) and entry.get("__variant") == _FILE_VARIANT
        ]
    return found
