"""The two renderings of one timeline: one JSON object, or the frames of a stream.

Wire text is the host's to the byte: key order, ``", "`` and ``": "``, non-ASCII as ``\\uXXXX``
(FACTS 1.7, 4, 5). An image becomes a file object when it is rendered, and its URL is signed anew
each time (FACTS 5.6).
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
    WorkflowFinished,
    WorkflowStarted,
)

_FILE_VARIANT = "FileVar"


@dataclass(frozen=True, slots=True)
class RunFacts:
    """The run as a whole. ``started_at`` is the unix time of the timeline's second 0."""

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
"""Changes what is about to be rendered, as JSON data."""


@dataclass(slots=True)
class Renderer:
    """Renders one run; ``changes`` are applied to each event, or to the whole response."""

    facts: RunFacts
    ping_frame: bytes
    urls: FileUrls
    changes: Sequence[Change] = ()
    _last_outputs: tuple[Any, Any] = (None, None)

    def blocking(self, end: WorkflowFinished) -> bytes:
        """The whole response of a blocking run, without a newline at its end."""
        facts = self.facts
        return self._json(
            {
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
                    "finished_at": int(facts.started_at + end.elapsed_s),
                },
            }
        )

    def frame(self, event: Event) -> bytes:
        """One frame of a stream, blank line included."""
        match event:
            case Ping():
                return self.ping_frame
            case WorkflowStarted():
                name, data = "workflow_started", self._workflow_started(event)
            case NodeStarted():
                name, data = "node_started", self._node_started(event)
            case NodeFinished():
                name, data = "node_finished", self._node_finished(event)
            case WorkflowFinished():
                name, data = "workflow_finished", self._workflow_finished(event)
            case _:
                return b""
        message = {
            "event": name,
            "workflow_run_id": self.facts.workflow_run_id,
            "task_id": self.facts.task_id,
            "data": data,
        }
        return b"data: " + self._json(message) + b"\n\n"

    def _json(self, message: Mapping[str, Any]) -> bytes:
        for change in self.changes:
            message = change(message)
        return json.dumps(message).encode("ascii")

    def _workflow_started(self, event: WorkflowStarted) -> Mapping[str, Any]:
        return {
            "id": self.facts.workflow_run_id,
            "workflow_id": self.facts.workflow_id,
            "sequence_number": self.facts.sequence_number,
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
            "finished_at": int(self.facts.started_at + event.finished_s),
            "files": _files(outputs),
        }

    def _workflow_finished(self, event: WorkflowFinished) -> Mapping[str, Any]:
        known, rendered = self._last_outputs
        outputs = rendered if event.outputs is known else self._wire(event.outputs)
        return {
            "id": self.facts.workflow_run_id,
            "workflow_id": self.facts.workflow_id,
            "sequence_number": self.facts.sequence_number,
            "status": event.status,
            "outputs": outputs,
            "error": event.error,
            "elapsed_time": event.elapsed_s,
            "total_tokens": event.total_tokens,
            "total_steps": event.total_steps,
            "created_by": {"id": self.facts.end_user_id, "user": self.facts.user},
            "created_at": self._created_at(0.0),
            "finished_at": int(self.facts.started_at + event.elapsed_s),
            "files": _files(outputs),
        }

    def _created_at(self, offset_s: float) -> int:
        """The host's database rounds to the nearest second, so up to 0.5 s ahead (FACTS 4)."""
        return int(self.facts.started_at + offset_s + 0.5)

    def _wire(self, value: Any) -> Any:
        """``value`` with its images as file objects."""
        if isinstance(value, FileRef):
            url = self.urls.tool_file(value.file_id)
            return self._file("tool_file", url, value.file_id, "image", ".png", "image/png")
        if isinstance(value, InputFile):
            url = self.urls.uploaded_image(value.file_id) if value.file_id else value.url
            known = (value.filename, value.extension, value.mime_type)
            return self._file(value.transfer_method, url, value.file_id, *known)
        if isinstance(value, list):
            return list(map(self._wire, value))
        if isinstance(value, Mapping):
            return dict(zip(value, map(self._wire, value.values()), strict=True))
        return value

    def _file(
        self, method: str, url: str | None, related_id: str | None, *known: str | None
    ) -> Mapping[str, Any]:
        """The host's file object, its keys in wire order (FACTS 4)."""
        filename, extension, mime_type = known
        return {
            "__variant": _FILE_VARIANT,
            "tenant_id": self.facts.tenant_id,
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
