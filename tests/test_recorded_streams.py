"""Streams of the recorded hosts of every version: their fields are those of the spec, and their
text_chunk events those that the fake makes of the same run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from dify_wire.exchange import Recording
from dify_wire.profile import HOST_VERSIONS
from dify_wire.recording.folder import read_folder
from dify_wire.text_file import SpecError
from fake_server.host_spec import HostSpec
from fake_server.images import ImageRecord
from fake_server.runs.events import (
    ContainerCompleted,
    Event,
    NodeFinished,
    NodeStarted,
    Place,
    TextChunk,
    Timeline,
    WorkflowStarted,
)
from fake_server.runs.frames import event_name, of_version
from fake_server.runs.render import FileWriter
from fake_server.runs.text_chunks import with_text_chunks
from fake_server.runs.values import FileRef
from fake_server.spec import load_host
from fake_server.workflow.loader import load_workflow
from fake_server.workflow.model import Workflow
from tests.each import each

RECORDINGS = Path(__file__).parent.parent / "recordings"
VERSIONS = [one for one in HOST_VERSIONS if (RECORDINGS / f"dify-{one}").is_dir()]
ANY_IMAGE = ImageRecord("", "", 0)
REBUILT = {
    *("workflow_started", "node_started", "node_finished", "text_chunk"),
    *("iteration_completed", "loop_completed"),
}
"""The events of which a recorded run is made again."""

host = cache(load_host)


@cache
def recordings(version: str) -> list[Recording]:
    folder = read_folder(RECORDINGS / f"dify-{version}")
    return [one for one in folder if one.status == 200 and one.shortened is None]


def is_run(recording: Recording) -> bool:
    return recording.request.method == "POST" and recording.request.path.endswith("/run")


def frames(recording: Recording) -> Iterator[dict[str, Any]]:
    """The frames with data of a run's stream."""
    if "event-stream" in (recording.header("content-type") or "") and is_run(recording):
        for frame in recording.body.decode().split("\n\n"):
            if frame.startswith("data: {"):
                yield json.loads(frame.removeprefix("data: "))


@each("version", VERSIONS)
def test_fields_of_recorded_frames_are_those_of_the_spec(version: str) -> None:
    """In their order, of the frame and of its data."""
    wrong = set()
    for recording in recordings(version):
        for message in frames(recording):
            fields = host(version).events[message["event"]]
            data = tuple(message.get("data", ()))
            if (tuple(message), data) != (fields.frame, fields.data):
                wrong.add((recording.name, message["event"]))
    assert not wrong


@each("version", VERSIONS)
def test_fields_of_recorded_responses_are_those_of_the_spec(version: str) -> None:
    """Of blocking runs, paused ones among them, and of the files in them."""
    fields, found = host(version).fields, 0
    for recording in recordings(version):
        if not is_run(recording) or not recording.body.startswith(b'{"task_id"'):
            continue
        message = json.loads(recording.body)
        paused = message["data"]["status"] == "paused"
        assert tuple(message) == fields["RunResponse"], recording.name
        assert tuple(message["data"]) == fields["PausedRunData" if paused else "RunData"]
        for value in (message["data"]["outputs"] or {}).values():
            for entry in value if isinstance(value, list) else ():
                if isinstance(entry, dict) and "mime_type" in entry:
                    assert tuple(entry) == fields["File"], recording.name
        found += 1
    assert found > 50


# text_chunk
# --------------------------------------------------------------------------------------------------


def files_back(value: Any) -> Any:
    """A recorded value as the engine has it: a file instead of its object."""
    if isinstance(value, dict) and "mime_type" in value:
        return FileRef(value["related_id"] or "", ANY_IMAGE, value["type"], value["extension"])
    if isinstance(value, dict):
        return {name: files_back(entry) for name, entry in value.items()}
    return list(map(files_back, value)) if isinstance(value, list) else value


@dataclass(slots=True)
class RecordedRun:
    """A run as the engine would plan it, made of a recorded stream."""

    workflow: Workflow
    shown: list[TextChunk]
    """What the host sent."""
    events: list[Event]
    """What happened, with what the nodes themselves gave out bit by bit."""

    def add(self, message: dict[str, Any]) -> None:
        data = files_back(message["data"])
        match message["event"]:
            case "workflow_started":
                self.events.append(WorkflowStarted(data["inputs"]))
            case "node_started":
                self.events.append(self._started(data))
            case "node_finished":
                self.events.append(self._finished(data))
            case "iteration_completed" | "loop_completed":
                finished = self._finished(data)
                self.events += [ContainerCompleted(finished, {}, 0, 0), finished]
            case "text_chunk":
                self._add_chunk(TextChunk(data["text"], tuple(data["from_variable_selector"])))

    def _started(self, data: dict[str, Any]) -> NodeStarted:
        place = Place(data.get("iteration_id"), data.get("loop_id"))
        node_id, node_type = data["node_id"], data["node_type"]
        return NodeStarted(data["id"], node_id, node_type, data["title"], 1, None, {}, 0.0, place)

    def _finished(self, data: dict[str, Any]) -> NodeFinished:
        handle = "source"
        if data["node_type"] == "if-else":
            handle = (data["outputs"] or {}).get("selected_case_id") or "false"
        elif self.workflow.nodes[data["node_id"]].data.get("error_strategy") == "fail-branch":
            handle = "fail-branch" if data["status"] == "exception" else "success-branch"
        started, error = self._started(data), data["error"]
        return NodeFinished(
            started, 0.0, data["status"], error, {}, {}, data["outputs"], {}, handle
        )

    def _add_chunk(self, chunk: TextChunk) -> None:
        """One that a node streams is put where it can be held back: behind the node's start."""
        self.shown.append(chunk)
        node_id, *name = chunk.selector
        node = self.workflow.nodes[node_id]
        if node.type == "llm" or (node.type == "tool" and name in (["text"], ["seed"])):
            starts = [
                index
                for index, event in enumerate(self.events)
                if isinstance(event, NodeStarted) and event.node_id == node_id
            ]
            streamed = [
                index
                for index, event in enumerate(self.events)
                if isinstance(event, TextChunk) and event.selector[0] == node_id
            ]
            self.events.insert(max(starts + streamed) + 1, chunk)

    def timeline(self) -> Timeline:
        """The events, the last chunk of each output marked as such."""
        last = {
            event.selector: index
            for index, event in enumerate(self.events)
            if isinstance(event, TextChunk)
        }
        return tuple(
            (
                0.0,
                TextChunk(event.value, event.selector, last[event.selector] == index)
                if isinstance(event, TextChunk)
                else event,
            )
            for index, event in enumerate(self.events)
        )


class NoUrls:
    def tool_file(self, file_id: str, extension: str) -> str:
        return ""

    def uploaded(self, file_id: str) -> str:
        return ""


def wire(chunk: TextChunk, spec: HostSpec) -> tuple[tuple[str, ...], str]:
    """A chunk as a client sees it; of a file only that it is a link."""
    text = FileWriter("", spec.fields["File"], spec.files, NoUrls()).text(chunk.value)
    return tuple(chunk.selector), "a file" if text.startswith(("![", "[")) else text


@pytest.mark.parametrize("version", [one for one in VERSIONS if host(one).events.get("text_chunk")])
def test_text_chunks_are_those_of_the_recorded_host(version: str) -> None:
    """Selector and text of each, in their order, and where they stand between the other events."""
    spec = host(version)
    for recording in recordings(version):
        messages = list(frames(recording))
        app = RECORDINGS / "apps" / f"dify-{version}" / f"{recording.app}.yml"
        if not messages or "data" not in messages[0] or not app.exists():
            continue
        try:
            workflow = load_workflow(app)
        except SpecError:
            continue
        run = RecordedRun(workflow, [], [])
        for message in messages:
            run.add(message)
        timeline = of_version(with_text_chunks(run.timeline(), workflow, spec), spec)
        made = [event for _, event in timeline]
        chunks = [event for event in made if isinstance(event, TextChunk)]
        expected = [wire(chunk, spec) for chunk in run.shown]
        assert [wire(chunk, spec) for chunk in chunks] == expected, recording.name
        names = [message["event"] for message in messages if message["event"] in REBUILT]
        assert [event_name(event) for event in made] == names, recording.name
