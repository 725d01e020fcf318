"""Failures that a run outlives and those that it does not, graphs that cannot be built, limits, and
runs that wait for human input.
"""

from __future__ import annotations

from typing import Any

from fake_server.runs.events import (
    HumanInputFilled,
    HumanInputRequired,
    NodeFinished,
    NodeRetry,
    NodeStarted,
    RunCrashed,
    RunError,
    WorkflowFinished,
    WorkflowPaused,
    WorkflowStarted,
)
from fake_server.workflow.model import Workflow
from tests.each import each
from tests.graphs import (
    ALL,
    PARALLEL,
    QUEUES,
    code,
    end,
    end_of,
    events,
    graph,
    in_a_row,
    order,
    planned,
)

# Failures that a run outlives


def retried(most: int, **behaviour: Any) -> Workflow:
    config = {"retry_enabled": True, "max_retries": most, "retry_interval": 500}
    data = {"retry_config": config, **behaviour.pop("data", {})}
    return graph(
        "start > a, a > end", code("a", 0.1, data=data, **behaviour), end("end", ("a", "x"))
    )


@each(
    "version, exceptions, status",
    [("0.15.3", 0, "succeeded"), ("1.4.3", 0, "succeeded"),
     *((version, 2, "partial-succeeded") for version in QUEUES)],
)  # fmt: skip
def test_a_retry_that_works_in_the_end(version: str, exceptions: int, status: str) -> None:
    """[C: http_retry_ok_stream]"""
    timeline = planned(retried(3, error="it broke", fails=2), version)
    finish, attempts = end_of(timeline), events(timeline, NodeRetry)
    assert (finish.status, finish.exceptions, finish.total_steps) == (status, exceptions, 5)
    assert [one.retry_index for one in attempts] == [1, 2]
    assert {one.attempt.error for one in attempts} == {"it broke"}
    ids = {one.attempt.started.execution_id for one in attempts}
    node = next(one for one in events(timeline, NodeStarted) if one.node_id == "a")
    if version in QUEUES:
        assert ids == {node.execution_id}
    else:
        assert len(ids - {node.execution_id}) == 2
        assert [one.attempt.started.index for one in attempts] == [3, 4]
    assert 1.3 < finish.elapsed_s < 1.6


@each("version", PARALLEL)
def test_retries_that_all_fail(version: str) -> None:
    """[C: http_retry_stream]"""
    finish = end_of(planned(retried(2, error="it broke"), version))
    assert (finish.status, finish.error, finish.total_steps) == ("failed", "it broke", 4)
    assert finish.exceptions == (3 if version in QUEUES else 0)


@each("version", ALL[:2])
def test_the_first_versions_know_no_retries(version: str) -> None:
    timeline = planned(
        retried(2, error="it broke", data={"error_strategy": "default-value"}), version
    )
    assert (end_of(timeline).status, events(timeline, NodeRetry)) == ("failed", [])


DEFAULTS = {
    "error_strategy": "default-value",
    "default_value": [
        {"key": "x", "type": "string", "value": "instead"},
        {"key": "n", "type": "number", "value": "4"},
        {"key": "o", "type": "object", "value": "{}"},
        {"key": "bad", "type": "object", "value": "{"},
    ],
}


@each("version", PARALLEL)
def test_default_values_stand_in_for_a_node_that_fails(version: str) -> None:
    """[C: http_default_stream]"""
    node = code("a", data=DEFAULTS, error="it broke", error_type="OddError")
    timeline = planned(graph("start > a, a > end", node, end("end", ("a", "x"))), version)
    finish = end_of(timeline)
    assert (finish.status, finish.exceptions) == ("partial-succeeded", 1)
    assert finish.outputs == {"a_x": "instead"}
    (failed,) = [one for one in events(timeline, NodeFinished) if one.status == "exception"]
    assert failed.outputs == {
        "x": "instead", "n": 4, "o": {}, "bad": "{",
        "error_message": "it broke", "error_type": "OddError",
    }  # fmt: skip
    assert failed.execution_metadata == {"error_strategy": "default-value"}
    assert failed.error == ("Unknown error" if version in QUEUES else "it broke")


@each("version", PARALLEL)
def test_a_failure_can_have_a_branch_of_its_own(version: str) -> None:
    """[C: http_failbranch_block]"""
    for error, last in (("it broke", "bad"), (None, "good")):
        node = code("a", data={"error_strategy": "fail-branch"}, error=error)
        graph_of = graph(
            "start > a, a.success-branch > good, a.fail-branch > bad, good > end, bad > end",
            node, code("good"), code("bad"), end("end", ("a", "error_message")),
        )  # fmt: skip
        timeline = planned(graph_of, version)
        assert f"+{last}" in order(timeline)
        assert order(timeline).count("+") == 4
        finish = end_of(timeline)
        assert finish.outputs == {"a_error_message": error}
        assert finish.status == ("partial-succeeded" if error else "succeeded")


# Graphs that cannot be built, and limits


NO_START = Workflow("t", "", "id", {}, (), {"a": code("a")}, {})
EMPTY = Workflow("t", "", "id", {}, (), {}, {})
NO_NODES = Workflow("t", "", "id", {}, (), {}, {}, complete=False)
ODD = graph("start > a", code("a", kind="zzz"))
NO_ROOT = "[INVALID_ROOT] Root node 'a' must declare execution type 'root'."
NO_TOOL = "Failed to get tool runtime: builtin provider t not found"


@each(
    "workflow, version, message",
    [
        (NO_START, "0.6.9", "Start node not found in workflow graph."),
        (EMPTY, "0.6.9", "Start node not found in workflow graph."),
        (ODD, "0.6.9", "invalid node type value zzz"),
        (ODD, "1.4.3", "'zzz' is not a valid NodeType"),
        (NO_START, "1.4.3", "400 Root node id None not found in the graph"),
        (EMPTY, "1.4.3", "400 Graph must have at least one node"),
        (NO_NODES, "1.4.3", "400 nodes or edges not found in workflow graph"),
        (NO_START, "1.10.1", f"400 {NO_ROOT}"),
        (EMPTY, "1.10.1", "400 Graph must have at least one node"),
        (ODD, "1.10.1", "400 Unknown node type: zzz"),
        (NO_START, "1.13.3", "400 Unable to determine default root node ID from workflow graph"),
        (NO_NODES, "1.13.3", "400 nodes or edges not found in workflow graph"),
        (NO_NODES, "1.14.2", "400 nodes in workflow graph must be a list"),
        (ODD, "1.14.2", "400 No class mapping found for node type: zzz"),
    ],
)  # fmt: skip
def test_a_graph_that_cannot_be_built(workflow: Workflow, version: str, message: str) -> None:
    """[C: g_nostart_*, g_emptynodes_*, g_nonodes_*, g_badtype_*]"""
    timeline = planned(workflow, version)
    last = timeline[-1][1]
    if isinstance(last, RunError):
        assert (len(timeline), last.code) == (1, "invalid_param")
        assert f"{last.status} {last.message}" == message
    else:
        assert isinstance(last, WorkflowFinished)
        assert (last.status, last.error) == ("failed", message)


@each("version, known", [("0.6.4", False), ("1.4.3", True), ("1.10.1", True)])
def test_a_type_of_nodes_is_known_from_its_version_on(version: str, known: bool) -> None:
    round_ = code("round", 0.0, kind="loop", data={"loop_count": 0})
    timeline = planned(graph("start > round", round_), version)
    assert isinstance(timeline[-1][1], WorkflowFinished)
    assert (end_of(timeline).status == "succeeded") is known


MODEL = {
    "model": {"name": "m", "provider": "p", "mode": "chat"},
    "prompt_template": [{"role": "user", "text": "x"}],
    "provider_id": "t",
    "provider_type": "builtin",
    "tool_name": "t",
    "tool_parameters": {},
    "tool_configurations": {},
}


@each(
    "missing, version, report",
    [
        ("model", "0.6.4", "Node A run failed: Model m credentials is not initialized."),
        ("model", "1.10.1", "Model m credentials is not initialized."),
        ("provider", "1.10.1", "Provider p does not exist."),
        ("model", "1.13.3", RunError("invalid_param", 400, "Model m not exist.")),
        ("provider", "1.14.2", RunError("invalid_param", 400, "Provider p does not exist.")),
        ("tool", "0.6.9", f"Node A run failed: {NO_TOOL}"),
        ("tool", "1.4.3", RunCrashed()),
        ("tool", "1.10.1", RunCrashed()),
    ],
)  # fmt: skip
def test_what_is_not_installed(missing: str, version: str, report: object) -> None:
    """[C: g_badmodel_*, g_noprovider_*, g_badtool_*]"""
    kind = "tool" if missing == "tool" else "llm"
    node = code("a", kind=kind, data=MODEL, missing=missing)
    timeline = planned(graph("start > a, a > end", node, end()), version)
    last = timeline[-1][1]
    if isinstance(report, str):
        assert isinstance(last, WorkflowFinished)
        assert (last.status, last.error) == ("failed", report)
    else:
        assert last == report
    if isinstance(report, RunCrashed):
        assert order(timeline) == "+start -start"


@each("version, allowed, error", [
    ("0.6.9", 30, "Max steps 30 reached."),
    ("1.4.3", 501, "Max steps 500 reached."),
    ("1.14.2", 501, "Maximum execution steps exceeded: 501 > 500"),
])  # fmt: skip
def test_a_run_has_a_most_of_steps(version: str, allowed: int, error: str) -> None:
    for count in (allowed, allowed + 1):
        names = ["start", *(f"n{number}" for number in range(count - 1))]
        graph_of = graph(in_a_row(names), *(code(name, 0.0) for name in names[1:]))
        finish = end_of(planned(graph_of, version))
        assert finish.total_steps == allowed
        assert finish.error == (None if count == allowed else error)


@each("version, run_s, error", [
    ("0.6.9", 600.7, "Workflow stopped."), ("1.14.2", 1200.96, "Stopped by user."),
])  # fmt: skip
def test_the_host_stops_a_run_that_takes_too_long(version: str, run_s: float, error: str) -> None:
    """[C: timeout1200_block]"""
    timeline = planned(graph("start > a, a > end", code("a", 1e6), end()), version)
    finish = end_of(timeline)
    assert (finish.status, finish.error, finish.elapsed_s) == ("stopped", error, run_s)
    assert order(timeline) == "+start -start +a"


# Human input


FORM = {
    "form_content": "Check {{#start.prompt#}} {{#$output.note#}}",
    "inputs": [{"type": "paragraph", "output_variable_name": "note",
                "default": {"type": "constant", "selector": [], "value": "nothing"}}],
    "user_actions": [{"id": "yes", "title": "Yes", "button_style": "primary"}],
    "timeout": 1,
    "timeout_unit": "hour",
}  # fmt: skip


def filled(node_id: str = "form", action: str = "yes") -> HumanInputFilled:
    return HumanInputFilled(node_id, "FORM", "Check a cat fine", action, "Yes")


ASKING = graph(
    "start > form, start > slow, form.yes > after, form.no > end2, after > end, "
    "slow > slower, slower > end",
    code("form", 0.0, kind="human-input", data=FORM), code("slow"), code("slower"), code("after"),
    end("end", ("form", "note")), end("end2"),
)  # fmt: skip


@each("version", ["1.13.3", "1.14.2"])
def test_a_run_waits_for_its_form_and_goes_on_after_it(version: str) -> None:
    """What runs when it stops ends first; what follows that waits too [C: human_stream,
    human_events_resume].
    """
    timeline = planned(ASKING, version)
    paused = timeline[-1][1]
    assert isinstance(paused, WorkflowPaused)
    assert order(timeline) == "+start -start +form +slow -slow"
    (required,) = events(timeline, HumanInputRequired)
    assert (required.node_id, len(required.form["form_token"])) == ("form", 22)
    assert (list(paused.paused_nodes), paused.total_steps) == (["form"], 3)
    rest = paused.resume(filled(), {"note": "fine"})
    assert isinstance(rest[0][1], WorkflowStarted)
    assert rest[0][1].resumed
    assert order(rest) == "+form +slower -form +after -slower -after +end -end"
    first = next(one for one in events(timeline, NodeStarted) if one.node_id == "form")
    again = next(one for one in events(rest, NodeStarted) if one.node_id == "form")
    assert again.execution_id == first.execution_id
    finish = end_of(rest)
    assert (finish.status, finish.outputs) == ("succeeded", {"form_note": "fine"})
    assert finish.total_steps == 7
    assert finish.elapsed_s < 3


def test_the_action_of_a_form_chooses_the_branch() -> None:
    paused = planned(ASKING)[-1][1]
    assert isinstance(paused, WorkflowPaused)
    assert "+end2" in order(paused.resume(filled(action="no"), {"note": "x"}))


def test_two_forms_are_filled_in_one_after_the_other() -> None:
    graph_of = graph(
        "start > form, start > form2, form.yes > end, form2.yes > end",
        code("form", 0.0, kind="human-input", data=FORM),
        code("form2", 0.0, kind="human-input", data=FORM),
        end("end", ("form", "note"), ("form2", "note")),
    )
    paused = planned(graph_of)[-1][1]
    assert isinstance(paused, WorkflowPaused)
    assert list(paused.paused_nodes) == ["form", "form2"]
    again = paused.resume(filled("form2"), {"note": "two"})[-1][1]
    assert isinstance(again, WorkflowPaused)
    assert list(again.paused_nodes) == ["form"]
    assert again.reasons[0]["form_token"] == paused.reasons[0]["form_token"]
    finish = end_of(again.resume(filled("form"), {"note": "one"}))
    assert finish.outputs == {"form_note": "one", "form2_note": "two"}
