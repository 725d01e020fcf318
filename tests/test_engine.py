"""The engine: for any graph a legal timeline, for the document's app the document's numbers."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fake_server.host_spec import HostSpec, Limits, PingRule
from fake_server.runs.engine import plan, with_pings
from fake_server.runs.events import (
    STOPPED,
    NodeFinished,
    NodeStarted,
    Ping,
    Timeline,
    WorkflowFinished,
    WorkflowStarted,
    cut,
)
from fake_server.runs.random_values import RandomSource
from fake_server.runs.values import FileRef
from fake_server.spec import load_host
from fake_server.workflow.behaviour import NodeBehaviour
from fake_server.workflow.model import Node, Workflow

PING = PingRule(b"event: ping\n\n", 10.2, 10.02)
SPEC = load_host("0.6.4")
GAP_S = SPEC.graph.gap_s
LIMITS = Limits(1, 1, 1, 1, 1, 1, 300, 600.7, 30, 255)
INPUTS = {"prompt": "a cat", "model_name": "", "sys.files": []}

# Graphs as data
# --------------------------------------------------------------------------------------------------


def node(
    node_id: str,
    kind: str,
    seconds: float = 1.0,
    *,
    data: Mapping[str, Any] | None = None,
    **options: Any,
) -> Node:
    return Node(
        node_id,
        kind,
        node_id.upper(),
        {**_DATA.get(kind, {}), **(data or {})},
        NodeBehaviour(seconds, 0, **options),
    )


_DATA: dict[str, dict[str, Any]] = {
    "llm": {
        "model": {"mode": "chat"},
        "prompt_template": [{"role": "system", "text": "{{#start.prompt#}}"}],
    },
    "if-else": {
        "conditions": [
            {
                "variable_selector": ["start", "prompt"],
                "comparison_operator": "contains",
                "value": "cat",
            }
        ]
    },
    "tool": {
        "provider_type": "builtin",
        "provider_id": "stablediffusion",
        "tool_name": "stable_diffusion",
        "tool_parameters": {"prompt": {"type": "mixed", "value": "{{#start.prompt#}}"}},
    },
    "end": {"outputs": [{"variable": "files", "value_selector": ["tool", "files"]}]},
}


def workflow(nodes: Sequence[Node], edges: Mapping[tuple[str, str], str]) -> Workflow:
    targets = {way: (target,) for way, target in edges.items()}
    return Workflow("t", "", "id", {}, (), {node.node_id: node for node in nodes}, targets)


def chain(*nodes: Node) -> Workflow:
    """The nodes one after the other, an if-else left by "true"."""
    handle = {"if-else": "true"}
    edges = {(a.node_id, handle.get(a.type, "source")): b.node_id for a, b in pairwise(nodes)}
    return workflow(nodes, edges)


def planned(
    graph: Workflow, prompt: str = "a cat", limits: Limits = LIMITS, seed: int = 1
) -> Timeline:
    return with_pings(
        plan(
            graph,
            {**INPUTS, "prompt": prompt},
            RandomSource(seed).for_request("t"),
            replace(SPEC, limits=limits),
        ),
        PING,
    )


def end_of(timeline: Timeline) -> WorkflowFinished:
    end = timeline[-1][1]
    assert isinstance(end, WorkflowFinished)
    return end


def of_type(timeline: Timeline, kind: type[Any]) -> list[Any]:
    return [event for _, event in timeline if isinstance(event, kind)]


def node_ids(timeline: Timeline) -> list[str]:
    return [event.node_id for event in of_type(timeline, NodeStarted)]


def assert_legal(timeline: Timeline) -> None:
    """The order that the module promises, rising offsets, and an end that says what was before
    it.
    """
    offsets = [offset for offset, _ in timeline]
    assert offsets == sorted(offsets)
    events = [event for _, event in timeline if not isinstance(event, Ping)]
    assert isinstance(events[0], WorkflowStarted)
    assert timeline[0] == (0.0, events[0])
    running: NodeStarted | None = None
    started = tokens = 0
    for event in events[1:-1]:
        if running is None:
            assert isinstance(event, NodeStarted)
            running, started = event, started + 1
            assert event.index == started
        else:
            assert isinstance(event, NodeFinished)
            assert event.started is running
            assert event.finished_s >= event.started.started_s
            tokens += (event.execution_metadata or {}).get("total_tokens", 0)
            running = None
    end = end_of(timeline)
    assert end is events[-1]
    assert running is None or end.status == "stopped"
    assert (end.error is None) == (end.status == "succeeded")
    assert end.outputs is None or end.status == "succeeded"
    assert end.elapsed_s == offsets[-1]
    assert end.total_steps == started
    assert end.total_tokens == tokens


@st.composite
def graphs(draw: st.DrawFn) -> Workflow:
    """Any graph of up to six nodes: branches, loops, dead ends, failing and unknown nodes, with or
    without an end.
    """
    kinds = draw(
        st.lists(st.sampled_from(["llm", "if-else", "tool", "end", "code", "zzz"]), max_size=5)
    )
    nodes = [node("start", "start", draw(st.floats(0, 5)))]
    for number, kind in enumerate(kinds):
        error = (
            draw(st.sampled_from([None, None, None, "it broke"]))
            if kind in ("llm", "tool", "code")
            else None
        )
        options: dict[str, Any] = {
            "error": error,
            "prompt_tokens": draw(st.integers(0, 9)),
            "outputs": {"x": "{{#start.prompt#}}"},
        }
        nodes.append(node(f"n{number}", kind, draw(st.floats(0, 300)), **options))
    targets = st.none() | st.sampled_from([each.node_id for each in nodes])
    edges = {}
    for each in nodes:
        for handle in ("true", "false") if each.type == "if-else" else ("source",):
            if (target := draw(targets)) is not None:
                edges[each.node_id, handle] = target
    return workflow(nodes, edges)


@given(graphs(), st.text(max_size=10), st.integers(0, 3))
def test_any_graph_gives_a_legal_timeline(graph: Workflow, prompt: str, seed: int) -> None:
    """Whatever the graph and the prompt, events come in the host's order and the end counts what
    was told.
    """
    assert_legal(planned(graph, prompt, seed=seed))


@given(graphs(), st.floats(0, 1, exclude_min=True))
def test_a_run_cut_anywhere_is_a_legal_stopped_run(graph: Workflow, share: float) -> None:
    """A cut keeps what was before it, adds no finish for the running node, and stops exactly when
    it is told to.
    """
    whole = planned(graph)
    at_s = max(whole[-1][0] * share, GAP_S / 2)
    stopped = cut(whole, at_s)
    assert_legal(stopped)
    assert stopped[:-1] == tuple(entry for entry in whole[:-1] if entry[0] < at_s)
    end = end_of(stopped)
    assert (end.status, end.outputs, end.error, end.elapsed_s) == ("stopped", None, STOPPED, at_s)


def test_what_is_due_at_the_time_of_a_stop_is_left_out() -> None:
    """The stop comes first, whichever event it meets."""
    whole = planned(chain(node("start", "start"), node("llm", "llm", 12), node("end", "end")))
    for at_s, _ in whole[1:]:
        stopped = cut(whole, at_s)
        assert_legal(stopped)
        assert [offset for offset, _ in stopped[:-1]] == [
            offset for offset, _ in whole if offset < at_s
        ]


# The document's app
# -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["", "chilloutmix_NiPrunedFp32Fix"], ids=["no model", "a model"])
def test_the_default_app_has_the_numbers_of_the_document(
    default_workflow: Workflow, host_spec: HostSpec, model: str
) -> None:
    """By either branch: 5 steps in about 18.6 s for about 536 tokens, one picture by the model that
    was asked for.
    """
    ends = []
    for seed in range(200):
        inputs = {"prompt": "a cat", "model_name": model, "sys.files": []}
        draw = RandomSource(seed).for_request("t")
        ends.append(
            end_of(with_pings(plan(default_workflow, inputs, draw, host_spec), host_spec.ping))
        )
    assert {(end.status, end.error, end.total_steps) for end in ends} == {("succeeded", None, 5)}
    assert statistics.mean(end.elapsed_s for end in ends) == pytest.approx(18.602, rel=0.02)
    assert statistics.mean(end.total_tokens for end in ends) == pytest.approx(536, rel=0.02)
    assert len({end.elapsed_s for end in ends}) == len(ends)
    for end in ends:
        assert end.outputs is not None
        (ref,) = end.outputs["files"]
        assert isinstance(ref, FileRef)
        assert (ref.record.prompt, ref.record.model) == ("a cat", model or "v1-5-pruned-emaonly")


def test_the_default_app_runs_five_kinds_of_nodes_in_order(
    default_workflow: Workflow, host_spec: HostSpec
) -> None:
    """Start, LLM, if-else, tool, end; each names the one before it."""
    draw = RandomSource(1).for_request("t")
    started = of_type(
        with_pings(plan(default_workflow, INPUTS, draw, host_spec), host_spec.ping), NodeStarted
    )
    assert [event.node_type for event in started] == ["start", "llm", "if-else", "tool", "end"]
    assert [event.predecessor_node_id for event in started] == [
        None,
        *(event.node_id for event in started[:-1]),
    ]
    assert len({event.execution_id for event in started}) == 5


# Pings and the run limit
# --------------------------------------------------------------------------------------------


@given(st.floats(0, 700))
@example(PING.first_s)
def test_pings_are_due_at_the_hosts_times_and_never_after_the_end(end_s: float) -> None:
    """The k-th ping is due at 10.2 + k * 10.02 s, and a run that has ended by then has none."""
    end = WorkflowFinished("succeeded", None, None, end_s, 0, 0)
    timeline = with_pings(((0.0, WorkflowStarted({})), (end_s, end)), PING)
    due = [offset for offset, event in timeline if isinstance(event, Ping)]
    assert due == [pytest.approx(10.2 + k * 10.02) for k in range(len(due))]
    assert all(offset < end_s for offset in due)
    assert 10.2 + len(due) * 10.02 >= end_s
    assert timeline[-1] == (end_s, end)


def test_a_run_that_ends_within_ten_seconds_has_no_ping() -> None:
    """FACTS 5.4: none if the run ends before the first is due."""
    assert of_type(planned(chain(node("start", "start"), node("n", "code", 9.0))), Ping) == []
    assert len(of_type(planned(chain(node("start", "start"), node("n", "code", 9.5))), Ping)) == 1


def test_the_host_stops_a_run_after_its_limit() -> None:
    """FACTS 5.9: at 600.7 s, after 59 pings, as stopped, the running node without a finish but
    counted.
    """
    timeline = planned(
        chain(node("start", "start"), node("llm", "llm", 9999, prompt_tokens=7), node("end", "end"))
    )
    assert_legal(timeline)
    end = end_of(timeline)
    assert (end.status, end.error, end.elapsed_s) == ("stopped", STOPPED, 600.7)
    assert (end.total_steps, end.total_tokens, end.outputs) == (2, 0, None)
    assert len(of_type(timeline, Ping)) == 59
    assert [event.started.node_id for event in of_type(timeline, NodeFinished)] == ["start"]


def test_a_stopped_run_keeps_the_tokens_of_what_has_finished() -> None:
    """Tokens of nodes that succeeded before the stop are counted, those of the running one are
    not.
    """
    nodes = [
        node(name, "llm", 2.0, prompt_tokens=30, completion_tokens=0) for name in ("llm", "llm2")
    ]
    stopped = cut(planned(chain(node("start", "start", 0), *nodes)), 3.0)
    assert (end_of(stopped).total_tokens, end_of(stopped).total_steps) == (30, 3)


def test_a_loop_ends_after_thirty_steps() -> None:
    """FACTS 5.9: the engine refuses the 31st node."""
    start, again = node("start", "start", 0), node("again", "code", 0)
    looped = workflow([start, again], {("start", "source"): "again", ("again", "source"): "again"})
    end = end_of(planned(looped))
    assert (end.status, end.error, end.total_steps) == ("failed", "Max steps 30 reached.", 30)


def test_thirty_steps_are_not_too_many() -> None:
    """A run that needs exactly the allowed number of steps succeeds."""
    end = end_of(
        planned(chain(node("start", "start", 0), *(node(f"n{n}", "code", 0) for n in range(29))))
    )
    assert (end.status, end.total_steps) == ("succeeded", 30)


# What fails
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["start", "llm", "if-else", "tool", "end", "code"])
def test_a_failing_node_ends_the_run(kind: str) -> None:
    """Any node that is told to fail finishes as failed, counts as a step, and nothing follows but
    the end.
    """
    broken = node("broken" if kind != "start" else "start", kind, 2.0, error="it broke")
    before = (
        []
        if kind == "start"
        else [node("start", "start"), node("llm", "llm", prompt_tokens=9, completion_tokens=0)]
    )
    timeline = planned(chain(*before, broken, node("after", "end")))
    assert_legal(timeline)
    finished = of_type(timeline, NodeFinished)[-1]
    assert (finished.status, finished.error, finished.outputs) == ("failed", "it broke", None)
    assert finished.execution_metadata is None
    end = end_of(timeline)
    assert (end.status, end.outputs) == ("failed", None)
    assert end.error == f"Node {broken.title} run failed: it broke"
    assert (end.total_steps, end.total_tokens) == (len(before) + 1, 9 if before else 0)


@pytest.mark.parametrize("nodes", [[], [node("end", "end")]], ids=["empty graph", "only an end"])
def test_a_graph_without_a_start_fails_before_its_first_step(nodes: list[Node]) -> None:
    """FACTS 4.1: no node is started at all."""
    timeline = planned(workflow(nodes, {}))
    assert [type(event) for _, event in timeline] == [WorkflowStarted, WorkflowFinished]
    end = end_of(timeline)
    assert (end.status, end.error) == ("failed", "Start node not found in workflow graph.")
    assert (end.total_steps, end.total_tokens, end.outputs) == (0, 0, None)


def test_a_node_of_an_unknown_type_is_never_started() -> None:
    """FACTS 4.1: the run fails with the host's words, the steps before it counted."""
    timeline = planned(chain(node("start", "start"), node("odd", "zzz")))
    assert node_ids(timeline) == ["start"]
    end = end_of(timeline)
    assert (end.status, end.error, end.total_steps) == ("failed", "invalid node type value zzz", 1)


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        (
            "a \ud83d",
            r"'utf-8' codec can't encode character '\ud83d' in position 1: surrogates not allowed",
        ),
        (
            "a\ud83d",
            r"'utf-8' codec can't encode character '\ud83d' in position 0: surrogates not allowed",
        ),
        (
            "(a) -->\udc00 b",
            r"'utf-8' codec can't encode character '\udc00' in position 4: surrogates not allowed",
        ),
        (
            "a  _\udfff",
            r"'utf-8' codec can't encode character '\udfff' in position 2: surrogates not allowed",
        ),
        (
            "\udc00",
            r"'utf-8' codec can't encode character '\udc00' in position 0: surrogates not allowed",
        ),
        (
            "猫\ud800\udbff",
            r"'utf-8' codec can't encode characters in position 0-1: surrogates not allowed",
        ),
    ],
)
def test_a_lone_surrogate_fails_at_the_model(prompt: str, says: str) -> None:
    """FACTS 4.1, 12.10: the run fails in the words of the model's client, which counts tokens piece
    by piece.
    """
    timeline = planned(
        chain(node("start", "start"), node("llm", "llm", prompt_tokens=9), node("end", "end")),
        prompt,
    )
    end = end_of(timeline)
    assert (end.status, end.total_steps, end.total_tokens) == ("failed", 2, 0)
    assert end.error == f"Node LLM run failed: [openai_api_compatible] Error: {says}"


# What succeeds, with little
# -----------------------------------------------------------------------------------------


def tool_outputs(timeline: Timeline) -> Mapping[str, Any]:
    (finished,) = [
        event for event in of_type(timeline, NodeFinished) if event.started.node_type == "tool"
    ]
    assert finished.status == "succeeded"
    outputs: Mapping[str, Any] = finished.outputs
    return outputs


def test_a_tool_without_a_prompt_makes_no_picture_and_succeeds() -> None:
    """FACTS 4.1: the model's empty text gives "Please input prompt" and a succeeded run."""
    silent = node("llm", "llm", reply="")
    tool = node(
        "tool",
        "tool",
        data={"tool_parameters": {"prompt": {"type": "mixed", "value": "{{#llm.text#}}"}}},
    )
    timeline = planned(chain(node("start", "start"), silent, tool, node("end", "end")))
    assert tool_outputs(timeline) == {"text": "Please input prompt\n", "files": []}
    assert (end_of(timeline).status, end_of(timeline).outputs) == ("succeeded", {"files": []})


@pytest.mark.parametrize("side", ["width", "height", "steps"])
@given(
    value=st.none()
    | st.booleans()
    | st.text(max_size=6)
    | st.integers()
    | st.floats()
    | st.just([])
)
def test_a_tool_takes_any_value_from_a_run(side: str, value: object) -> None:
    """A size that comes from a variable may be anything: what Stable Diffusion would refuse fails
    silently.
    """
    parameters = {**_DATA["tool"]["tool_parameters"], side: {"type": "constant", "value": value}}
    timeline = planned(
        chain(node("start", "start"), node("tool", "tool", data={"tool_parameters": parameters}))
    )
    outputs = tool_outputs(timeline)
    if outputs["files"]:
        picture = outputs["files"][0].record
        assert 1 <= picture.width <= 4096
        assert 1 <= picture.height <= 4096
        assert 1 <= picture.steps <= 4096
    else:
        assert outputs == {"text": "Failed to generate image\n", "files": []}


@pytest.mark.parametrize("value", [640, "640", 640.0])
def test_a_size_may_come_as_text(value: object) -> None:
    """A number in a text is the number, as Stable Diffusion's own interface takes it."""
    parameters = {**_DATA["tool"]["tool_parameters"], "width": {"type": "constant", "value": value}}
    timeline = planned(
        chain(node("start", "start"), node("tool", "tool", data={"tool_parameters": parameters}))
    )
    assert tool_outputs(timeline)["files"][0].record.width == 640


def test_a_graph_without_an_end_gives_the_outputs_of_its_last_node() -> None:
    """FACTS 4: [C: g_noend_block]."""
    end = end_of(
        planned(
            chain(
                node("start", "start"), node("last", "code", outputs={"x": "a {{#start.prompt#}}"})
            )
        )
    )
    assert (end.status, end.outputs) == ("succeeded", {"x": "a a cat"})


@pytest.mark.parametrize(
    "data", [{"outputs": []}, {"outputs": None}, {}], ids=["none", "null", "no key"]
)
def test_an_end_without_outputs_gives_null(data: Mapping[str, Any]) -> None:
    """FACTS 4: [C: g_endnone_block]; its own inputs and outputs are empty too."""
    bare = node("end", "end")._replace(data=data)
    timeline = planned(chain(node("start", "start"), bare))
    assert (end_of(timeline).status, end_of(timeline).outputs) == ("succeeded", None)
    finished = of_type(timeline, NodeFinished)[-1]
    assert (finished.inputs, finished.outputs) == ({}, {})


def test_an_output_that_no_node_made_is_null() -> None:
    """FACTS 4: [C: g_endmissing_block]; the order is the End node's."""
    outputs = [
        {"variable": "z", "value_selector": ["nowhere", "files"]},
        {"variable": "a", "value_selector": ["start", "prompt"]},
    ]
    end = end_of(
        planned(chain(node("start", "start"), node("end", "end", data={"outputs": outputs})))
    )
    assert end.outputs is not None
    assert list(end.outputs.items()) == [("z", None), ("a", "a cat")]


@pytest.mark.parametrize(("prompt", "taken"), [("a cat", "yes"), ("a dog", "no")])
def test_only_the_taken_branch_runs(prompt: str, taken: str) -> None:
    """Nodes of the other branch are neither told nor counted."""
    edges = {("start", "source"): "which", ("which", "true"): "yes", ("which", "false"): "no"}
    nodes = [
        node("start", "start"),
        node("which", "if-else"),
        node("yes", "code"),
        node("no", "code"),
    ]
    assert node_ids(planned(workflow(nodes, edges), prompt)) == ["start", "which", taken]


def test_a_branch_without_an_edge_ends_the_run() -> None:
    """An if-else that leads nowhere is the last node, its result the outputs."""
    end = end_of(
        planned(
            chain(node("start", "start"), node("which", "if-else"), node("yes", "code")), "a dog"
        )
    )
    assert (end.status, end.outputs) == ("succeeded", {"result": False})


def test_a_run_stays_within_the_spread_of_its_nodes() -> None:
    """Durations differ from run to run, by no more than the file allows."""
    spread = node("n", "code")._replace(behaviour=NodeBehaviour(10.0, 0.2))
    seconds = set()
    for seed in range(50):
        finished = of_type(planned(chain(node("start", "start"), spread), seed=seed), NodeFinished)[
            -1
        ]
        seconds.add(finished.finished_s - finished.started.started_s)
    assert 8 <= min(seconds) < 9
    assert 11 < max(seconds) <= 12


def test_planning_asks_no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same draw gives the same timeline whatever the time is."""

    def forbidden(*_: object) -> None:
        raise AssertionError("the engine asked for the time or for chance")

    expected = planned(
        chain(node("start", "start"), node("llm", "llm"), node("tool", "tool"), node("end", "end"))
    )
    for name in ("time.time", "time.monotonic", "time.sleep", "os.urandom"):
        monkeypatch.setattr(name, forbidden)
    again = planned(
        chain(node("start", "start"), node("llm", "llm"), node("tool", "tool"), node("end", "end"))
    )
    assert again == expected
