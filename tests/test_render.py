"""The two tellings of a run: they agree with each other, and with the host to the byte."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_server.host_spec import HostSpec
from fake_server.runs.engine import plan, with_pings
from fake_server.runs.events import NodeFinished, NodeStarted, Ping, Timeline, WorkflowFinished, cut
from fake_server.runs.frames import FrameRenderer
from fake_server.runs.random_values import RandomSource
from fake_server.runs.render import FileWriter, RunFacts
from fake_server.spec import load_host
from fake_server.workflow.loader import load_workflow
from fake_server.workflow.model import Workflow

RECORDED_APPS = Path(__file__).parent.parent / "recordings" / "apps"
FACTS = RunFacts(
    task_id="task",
    workflow_run_id="run",
    workflow_id="workflow",
    sequence_number=3,
    end_user_id="end-user",
    user="alg123",
    started_at=1_713_938_953.7,
)
FILE_KEYS = [
    "__variant",
    "tenant_id",
    "type",
    "transfer_method",
    "url",
    "related_id",
    "filename",
    "extension",
    "mime_type",
]

Planned = Callable[..., Timeline]


@pytest.fixture(scope="module")
def planned(host_spec: HostSpec, default_workflow: Workflow) -> Planned:
    """Plans a run of the default app, or of a recorded one."""

    def plan_run(app: str | None = None, prompt: str = "一只猫 😀", seed: int = 1) -> Timeline:
        workflow = default_workflow if app is None else load_workflow(RECORDED_APPS / f"{app}.yml")
        inputs = {"prompt": prompt, "model_name": "dosmix_", "sys.files": []}
        draw = RandomSource(seed).for_request("t")
        return with_pings(plan(workflow, inputs, draw, host_spec), host_spec.ping)

    return plan_run


class CountedUrls:
    """URLs whose signatures are counted: no two are equal."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def tool_file(self, file_id: str, extension: str) -> str:
        return f"/files/tools/{file_id}{extension}?sign={next(self._numbers)}"

    def uploaded(self, file_id: str) -> str:
        return f"/files/{file_id}/image-preview?sign={next(self._numbers)}"


SPEC = load_host("0.6.4")


def renderer(facts: RunFacts = FACTS, spec: HostSpec = SPEC) -> FrameRenderer:
    files = FileWriter("tenant", spec.fields["File"], spec.files, CountedUrls())
    return FrameRenderer(facts, spec, files, spec.ping.frame)


def frames(timeline: Timeline, facts: RunFacts = FACTS) -> list[bytes]:
    rendered = renderer(facts)
    return [rendered.frame(event) for _, event in timeline]


def decoded(stream: bytes) -> Iterator[dict[str, Any]]:
    """What a client makes of a stream's bytes; pings left out."""
    assert stream.endswith(b"\n\n")
    for frame in stream.removesuffix(b"\n\n").split(b"\n\n"):
        if frame != b"event: ping":
            line = frame.removeprefix(b"data: ")
            assert b"\n" not in line
            yield json.loads(line)


def events(timeline: Timeline, facts: RunFacts = FACTS) -> list[dict[str, Any]]:
    return list(decoded(b"".join(frames(timeline, facts))))


def blocking(timeline: Timeline, facts: RunFacts = FACTS) -> dict[str, Any]:
    end = timeline[-1][1]
    assert isinstance(end, WorkflowFinished)
    message: dict[str, Any] = json.loads(renderer(facts).blocking(end))
    return message


def without_urls(value: Any) -> Any:
    """``value`` with every signature made equal."""
    return json.loads(re.sub(r"\?sign=\d+", "", json.dumps(value)))


def data_of(
    rendered: list[dict[str, Any]], event: str, node_type: str | None = None
) -> dict[str, Any]:
    (found,) = [
        message["data"]
        for message in rendered
        if message["event"] == event
        and (node_type is None or message["data"]["node_type"] == node_type)
    ]
    assert isinstance(found, dict)
    return found


# Agreement
# --------------------------------------------------------------------------------------------------

APPS = [
    None,
    "g_tools2",
    "g_endmissing",
    "g_endnone",
    "g_noend",
    "g_badmodel",
    "g_nostart",
    "llmonly",
    "textmodel",
]


@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("share", [1.0, 0.6, 0.01], ids=["whole", "stopped", "stopped at once"])
def test_both_tellings_say_the_same(planned: Planned, app: str | None, share: float) -> None:
    """Ids, status, outputs, error, totals and times of one timeline are equal in the answer and in
    the last frame.
    """
    timeline = planned(app)
    if share < 1:
        timeline = cut(timeline, timeline[-1][0] * share)
    message, rendered = blocking(timeline), events(timeline)
    last = rendered[-1]
    assert last["event"] == "workflow_finished"
    assert message["task_id"] == last["task_id"]
    assert message["workflow_run_id"] == last["workflow_run_id"] == message["data"]["id"]
    shared = {key: last["data"][key] for key in message["data"]}
    assert without_urls(message["data"]) == without_urls(shared)
    assert list(last["data"]).index("outputs") < list(last["data"]).index("files")


def test_frames_decode_to_what_was_planned(planned: Planned) -> None:
    """A reader of the stream gets every event back, with its node, in order, and one frame is one
    event.
    """
    timeline = planned()
    kinds = {NodeStarted: "node_started", NodeFinished: "node_finished"}
    expected = [kinds.get(type(event)) for _, event in timeline if not isinstance(event, Ping)]
    rendered = events(timeline)
    assert [message["event"] for message in rendered] == [
        "workflow_started",
        *expected[1:-1],
        "workflow_finished",
    ]
    started = [event for _, event in timeline if isinstance(event, NodeStarted)]
    assert [
        message["data"]["id"] for message in rendered if message["event"] == "node_started"
    ] == [e.execution_id for e in started]
    assert [
        message["data"]["index"] for message in rendered if message["event"] == "node_finished"
    ] == [1, 2, 3, 4, 5]


def test_a_ping_is_its_own_frame_and_carries_nothing(planned: Planned) -> None:
    """FACTS 5.4: an event line and no data, between the frames of a run of more than ten
    seconds.
    """
    rendered = frames(planned())
    assert rendered.count(b"event: ping\n\n") == 1
    assert all(frame.startswith(b"data: {") for frame in rendered if frame != b"event: ping\n\n")


def test_every_frame_carries_the_runs_ids(planned: Planned) -> None:
    """FACTS 5.2: four keys in this order, task and run the same through the stream."""
    for message in events(planned()):
        assert list(message) == ["event", "workflow_run_id", "task_id", "data"]
        assert (message["workflow_run_id"], message["task_id"]) == ("run", "task")


# The wire
# --------------------------------------------------------------------------------------------------


def test_the_blocking_answer_has_the_hosts_keys_in_order(planned: Planned) -> None:
    """FACTS 4: task, run, data, and of data ten keys; nothing that only the stream has."""
    message = blocking(planned())
    assert list(message) == ["task_id", "workflow_run_id", "data"]
    assert list(message["data"]) == [
        "id",
        "workflow_id",
        "status",
        "outputs",
        "error",
        "elapsed_time",
        "total_tokens",
        "total_steps",
        "created_at",
        "finished_at",
    ]
    (file,) = message["data"]["outputs"]["files"]
    assert list(file) == FILE_KEYS
    assert {**file, "url": "", "related_id": ""} == {
        "__variant": "FileVar",
        "tenant_id": "tenant",
        "type": "image",
        "transfer_method": "tool_file",
        "url": "",
        "related_id": "",
        "filename": "image",
        "extension": ".png",
        "mime_type": "image/png",
    }
    assert file["url"].startswith(f"/files/tools/{file['related_id']}.png?")


_NODE = ["id", "node_id", "node_type", "title", "index", "predecessor_node_id", "inputs"]
FRAME_KEYS = {
    "workflow_started": ["id", "workflow_id", "sequence_number", "inputs", "created_at"],
    "node_started": [*_NODE, "created_at", "extras"],
    "node_finished": [
        *_NODE,
        "process_data",
        "outputs",
        "status",
        "error",
        "elapsed_time",
        "execution_metadata",
        "created_at",
        "finished_at",
        "files",
    ],
    "workflow_finished": [
        "id",
        "workflow_id",
        "sequence_number",
        "status",
        "outputs",
        "error",
        "elapsed_time",
        "total_tokens",
        "total_steps",
        "created_by",
        "created_at",
        "finished_at",
        "files",
    ],
}


@pytest.mark.parametrize("app", APPS)
def test_every_frame_has_the_hosts_keys_in_order(planned: Planned, app: str | None) -> None:
    """FACTS 5.5, for runs that succeed and runs that fail."""
    rendered = events(planned(app))
    for message in rendered:
        assert list(message["data"]) == FRAME_KEYS[message["event"]]
    assert rendered[-1]["data"]["created_by"] == {"id": "end-user", "user": "alg123"}
    assert {message["data"]["sequence_number"] for message in (rendered[0], rendered[-1])} == {3}


def test_each_kind_of_node_tells_its_own(planned: Planned) -> None:
    """FACTS 5.5: what start, LLM, if-else, tool and end show as inputs, process data, outputs and
    metadata.
    """
    rendered = events(planned())
    variables = {"prompt": "一只猫 😀", "model_name": "dosmix_", "sys.files": []}
    start = data_of(rendered, "node_finished", "start")
    assert start["inputs"] == start["outputs"] == rendered[0]["data"]["inputs"] == variables
    assert list(rendered[0]["data"]["inputs"])[-1] == "sys.files"
    llm = data_of(rendered, "node_finished", "llm")
    assert (llm["inputs"], list(llm["process_data"]), list(llm["outputs"])) == (
        None,
        ["model_mode", "prompts"],
        ["text", "usage"],
    )
    assert [list(prompt) for prompt in llm["process_data"]["prompts"]] == [
        ["role", "text", "files"]
    ]
    assert list(llm["outputs"]["usage"]) == [
        "prompt_tokens",
        "prompt_unit_price",
        "prompt_price_unit",
        "prompt_price",
        "completion_tokens",
        "completion_unit_price",
        "completion_price_unit",
        "completion_price",
        "total_tokens",
        "total_price",
        "currency",
        "latency",
    ]
    assert list(llm["execution_metadata"]) == ["total_tokens", "total_price", "currency"]
    assert llm["execution_metadata"]["total_tokens"] == rendered[-1]["data"]["total_tokens"]
    if_else = data_of(rendered, "node_finished", "if-else")
    (condition,) = if_else["inputs"]["conditions"]
    assert list(condition) == ["actual_value", "expected_value", "comparison_operator"]
    assert if_else["process_data"] == {"condition_results": [{**condition, "result": True}]}
    assert (if_else["outputs"], if_else["execution_metadata"]) == ({"result": True}, None)
    tool = data_of(rendered, "node_finished", "tool")
    assert list(tool["inputs"]) == [
        "prompt",
        "model",
        "lora",
        "steps",
        "width",
        "height",
        "negative_prompt",
    ]
    assert list(tool["outputs"]) == ["text", "files"]
    assert tool["execution_metadata"] == {
        "tool_info": {"provider_type": "builtin", "provider_id": "stablediffusion"}
    }
    icon = "/console/api/workspaces/current/tool-provider/builtin/stablediffusion/icon"
    extras = {
        s["data"]["node_type"]: s["data"]["extras"]
        for s in rendered
        if s["event"] == "node_started"
    }
    assert extras == {"start": {}, "llm": {}, "if-else": {}, "tool": {"icon": icon}, "end": {}}


def test_a_node_that_starts_shows_no_inputs(planned: Planned) -> None:
    """FACTS 5.5: null, always, whatever the node will work with."""
    assert {s["data"]["inputs"] for s in events(planned()) if s["event"] == "node_started"} == {
        None
    }


def test_a_failed_node_shows_neither_outputs_nor_files(planned: Planned) -> None:
    """FACTS 5.5: on failure outputs and metadata are null and the list of files is empty."""
    rendered = events(planned("g_badmodel"))
    failed = rendered[-2]["data"]
    assert (failed["status"], failed["outputs"], failed["execution_metadata"], failed["files"]) == (
        "failed",
        None,
        None,
        [],
    )
    assert rendered[-1]["data"]["error"] == f"Node {failed['title']} run failed: {failed['error']}"
    assert (rendered[-1]["data"]["outputs"], rendered[-1]["data"]["files"]) == (None, [])


def test_json_is_written_in_the_hosts_style(planned: Planned) -> None:
    """FACTS 1.7: ", " and ": ", non-ASCII as \\uXXXX in lower case, pairs for emoji, no newline
    anywhere.
    """
    end = planned()[-1][1]
    assert isinstance(end, WorkflowFinished)
    body = renderer().blocking(end)
    assert body.isascii()
    assert b"\n" not in body
    assert body == json.dumps(json.loads(body)).encode()
    first = frames(planned())[0]
    assert (
        rb'"inputs": {"prompt": "\u4e00\u53ea\u732b \ud83d\ude00", "model_name": "dosmix_", '
        rb'"sys.files": []}' in first
    )


ANY_TEXT = st.text(st.characters(), max_size=20)  # surrogates included


@given(
    st.recursive(
        st.none() | st.integers() | ANY_TEXT, lambda e: st.dictionaries(ANY_TEXT, e), max_leaves=5
    )
)
def test_any_value_is_one_line_of_ascii(value: Any) -> None:
    """Whatever a user sends and gets back, a frame stays one line: lone surrogates and line
    separators are escaped.
    """
    end = WorkflowFinished("succeeded", {"value": value}, None, 1.0, 0, 1)
    text = renderer().blocking(end)
    assert text.isascii()
    assert b"\n" not in text
    assert b"\r" not in text
    assert json.loads(text)["data"]["outputs"]["value"] == value


# Pictures
# --------------------------------------------------------------------------------------------------


def test_a_picture_is_shared_as_on_the_host(planned: Planned) -> None:
    """FACTS 5.6: each serialisation signs anew, and the end's outputs are its files and those of
    the whole run.
    """
    rendered = events(planned())
    tool, end = (
        data_of(rendered, "node_finished", "tool"),
        data_of(rendered, "node_finished", "end"),
    )
    run = rendered[-1]["data"]
    assert tool["outputs"]["files"] == tool["files"]
    assert end["outputs"]["files"] == end["files"] == run["outputs"]["files"] == run["files"]
    signed = [tool["files"], end["inputs"]["files"], end["outputs"]["files"]]
    assert len({files[0]["url"] for files in signed}) == 3
    assert len({files[0]["related_id"] for files in signed}) == 1


def test_files_of_several_outputs_are_listed_together(planned: Planned) -> None:
    """FACTS 5.5: flattened from the outputs in their order, texts left out [C: g_tools2_stream]."""
    run = events(planned("g_tools2"))[-1]["data"]
    assert list(run["outputs"]) == ["files", "files2", "text"]
    assert run["files"] == [*run["outputs"]["files"], *run["outputs"]["files2"]]
    assert len({file["related_id"] for file in run["files"]}) == 2


def test_a_text_that_looks_like_a_picture_is_none(planned: Planned) -> None:
    """A prompt that spells out a file object stays a text."""
    prompt = json.dumps({"__variant": "FileVar"})
    start = data_of(events(planned("llmonly", prompt=prompt)), "node_finished", "start")
    assert (start["outputs"]["prompt"], start["files"]) == (prompt, [])


# Times
# --------------------------------------------------------------------------------------------------

START_TIMES = st.floats(1_700_000_000, 1_900_000_000)


@given(started_at=START_TIMES, elapsed_s=st.floats(0, 601))
def test_the_times_of_an_answer_keep_the_hosts_relation(
    started_at: float, elapsed_s: float
) -> None:
    """FACTS 4: created_at rounds to the nearest second and finished_at down, so the difference lies
    in (-1.5, 0.5).
    """
    facts = RunFacts("task", "run", "workflow", 1, "end-user", "u", started_at)
    message = blocking(
        ((elapsed_s, WorkflowFinished("succeeded", None, None, elapsed_s, 0, 0)),), facts
    )["data"]
    assert -1.5 < message["finished_at"] - message["created_at"] - message["elapsed_time"] < 0.5
    assert -0.5 <= message["created_at"] - started_at <= 0.5
    assert 0 <= started_at + elapsed_s - message["finished_at"] < 1


@given(started_at=START_TIMES)
def test_the_times_of_every_frame_keep_the_hosts_relation(
    planned: Planned, started_at: float
) -> None:
    """What holds for the run holds for each node; created_at is never more than half a second ahead
    of its frame.
    """
    timeline = planned("g_tools2")
    facts = RunFacts("task", "run", "workflow", 1, "end-user", "u", started_at)
    rendered = zip(
        timeline, map(json.loads, (frame[6:] for frame in frames(timeline, facts))), strict=True
    )
    for (offset_s, _), message in rendered:
        data = message["data"]
        assert data["created_at"] - (started_at + offset_s) <= 0.5
        if "finished_at" in data:
            assert -1.5 < data["finished_at"] - data["created_at"] - data["elapsed_time"] < 0.5


def test_a_run_of_no_time_may_end_before_it_was_created() -> None:
    """FACTS 4: created_at > finished_at happens on the host, and is a truth here."""
    facts = RunFacts("task", "run", "workflow", 1, "end-user", "u", 1000.6)
    message = blocking(((0.1, WorkflowFinished("failed", None, "x", 0.1, 0, 0)),), facts)["data"]
    assert (message["created_at"], message["finished_at"]) == (1001, 1000)
