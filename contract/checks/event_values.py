"""The values in a stream's events: inputs, results, times and sums, and what each type of node
reports.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contract.check import Capability, Level
from contract.evidence import DOCUMENT_MODEL
from contract.result import NotRun, Skipped
from contract.shape import (
    LIST,
    OBJECT,
    TEXT,
    UUID,
    WHOLE,
    WORDS,
    among,
    empty_outputs,
    expect_just_now,
    expect_kinds,
    expect_times_agree,
    is_of_0_6,
    no_error,
)
from contract.trace import Node, RunTrace, as_object, seconds, trace_check
from dify_wire.exchange import loads
from dify_wire.profile import Profile

_TOKEN_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")

_ROUNDING_S = 0.01
_NOT_COUNTED = ("iteration_", "loop_", "node_retry")


def _sent(trace: RunTrace) -> Mapping[str, Any]:
    """The body of the run's request."""
    return as_object(loads(trace.exchange.request.body))


def _sent_inputs(trace: RunTrace) -> Mapping[str, Any]:
    return as_object(_sent(trace).get("inputs"))


def _start_nodes(trace: RunTrace) -> list[Node]:
    return [node for node in trace.nodes if node.result.get("node_type") == "start"]


# Inputs
# ---------------------------------------------------------------------------------------------


@trace_check(Level.DOCUMENT, "document lines 30 and 38; FACTS 5.5")
def prompt_comes_back_character_for_character(trace: RunTrace) -> None:
    """workflow_started and the start node have the Chinese prompt exactly as it was sent; of
    another app all texts.
    """
    if not trace.nodes and not trace.has_succeeded:
        raise Skipped("the run failed before its start node", trace.exchange)
    found = [trace.start.get("inputs")]
    found += [
        node.result.get(name) for node in _start_nodes(trace) for name in ("inputs", "outputs")
    ]
    for inputs in found:
        for name, text in _sent_inputs(trace).items():
            if isinstance(text, str) and name != "model_name":
                got = inputs.get(name) if isinstance(inputs, dict) else inputs
                trace.expect_equal(got, text, name)


@trace_check(Level.HOST, "FACTS 5.5, 9.0 and 9.1")
def inputs_name_no_files(trace: RunTrace) -> None:
    """The inputs of a run without files have sys.files, an empty array."""
    inputs = as_object(trace.start.get("inputs"))
    trace.expect_equal(inputs.get("sys.files"), [], "sys.files")


@trace_check(Level.VERSION, "FACTS 5.5, 9.0 and 9.1")
def inputs_name_the_hosts_system_variables(trace: RunTrace) -> None:
    """The inputs of a run have the sys.* variables of the host's version, and no others."""
    names = [name for name in as_object(trace.start.get("inputs")) if name.startswith("sys.")]

    def known(profile: Profile) -> list[str]:
        kept = profile.fact("records.system_inputs")
        return sorted(name for name in kept if name != "sys.timestamp")

    trace.expect_version(sorted(names), known, "system variables")


@trace_check(Level.HOST, "FACTS 5.5")
def start_node_passes_the_inputs_on(trace: RunTrace) -> None:
    """inputs and outputs of the start node are the run's inputs; after 0.6 the sys.* ones may be
    others.
    """
    if not _start_nodes(trace):
        raise NotRun("no start node finished", trace.exchange)
    for node in _start_nodes(trace):
        for name in ("inputs", "outputs"):
            got, expected = (
                one if is_of_0_6(trace.profile) else _variables(one)
                for one in (node.result.get(name), trace.start.get("inputs"))
            )
            trace.expect_equal(got, expected, f"{name} of start")


def _variables(inputs: Any) -> Mapping[str, Any]:
    """``inputs`` without the system's own."""
    inputs = as_object(inputs)
    return {name: value for name, value in inputs.items() if not name.startswith("sys.")}


@trace_check(Level.DOCUMENT, "document lines 21 and 26; FACTS 5.5")
def created_by_is_the_user_of_the_request(trace: RunTrace) -> None:
    """created_by is the user that was sent, with the uuid that the host has given them."""
    created_by = as_object(trace.end.get("created_by"))
    trace.expect_equal(list(created_by), ["id", "user"], "fields of created_by")
    trace.expect_equal(created_by.get("user"), str(_sent(trace).get("user")), "user")
    trace.expect_kind(created_by.get("id"), UUID, "id of the user")


@trace_check(Level.HOST, "document line 31; FACTS 3, row 11", Capability.DOCUMENT_APP)
def model_left_out_is_not_another_runs_model(trace: RunTrace) -> None:
    """A run without a model does not run with the model of the run that was started at the same
    time.
    """
    if _sent_inputs(trace).get("model_name"):
        raise Skipped("this run was given a model", trace.exchange)
    model = as_object(trace.start.get("inputs")).get("model_name")
    trace.expect(model != DOCUMENT_MODEL, "no model, or the app's default", model)


# Results
# ---------------------------------------------------------------------------------------------


@trace_check(Level.DOCUMENT, "document lines 19 and 51")
def streaming_run_succeeds(trace: RunTrace) -> None:
    """The streaming run ends as succeeded."""
    got = trace.end.get("status")
    trace.expect_equal(got, "succeeded", "status", f"error: {trace.end.get('error')}")


@trace_check(Level.HOST, "FACTS 4 and 5.5")
def streamed_error_and_outputs_fit_the_status(trace: RunTrace) -> None:
    """A succeeded run has no error (null, in 1.4 an empty text); any other gives a reason, and has
    no outputs and no files.
    """
    end = trace.end
    if trace.has_succeeded:
        trace.expect_version(end.get("error", LIST), no_error, "error")
    else:
        trace.expect_kind(end.get("error"), WORDS, "error")
        trace.expect_version(end.get("outputs", LIST), empty_outputs, "outputs")
        trace.expect_equal(end.get("files"), [], "files")


@trace_check(Level.HOST, "FACTS 5.3 and 5.5")
def node_results_fit_their_status(trace: RunTrace) -> None:
    """A succeeded node has the error null; a failed one gives a reason, has no results, and is the
    last of a failed run.
    """
    for node in trace.nodes:
        error = node.result.get("error")
        if node.result.get("status") == "succeeded":
            trace.expect(error in (None, trace.profile.fact("run.no_error")), "error null", error)
        elif node.finished:
            trace.expect_kind(error, WORDS, "error of a failed node")
            if not is_of_0_6(trace.profile):
                continue  # a strategy for errors may give it outputs, and let the run go on
            got = [node.result.get(name) for name in ("outputs", "execution_metadata", "files")]
            ends = node is trace.nodes[-1] and not trace.has_succeeded
            expected = "no results, and the end of a failed run"
            trace.expect(got == [None, None, []] and ends, expected, got)


@trace_check(Level.HOST, "FACTS 4")
def node_tokens_add_up(trace: RunTrace) -> None:
    """total_tokens is the sum of what the succeeded nodes report."""
    metadata = [node.object("execution_metadata") for node in trace.nodes]
    tokens = sum(int(seconds(one.get("total_tokens"))) for one in metadata)
    trace.expect_equal(trace.end.get("total_tokens"), tokens, "total_tokens")


@trace_check(Level.HOST, "FACTS 4")
def steps_are_the_nodes_started(trace: RunTrace) -> None:
    """total_steps is the number of nodes that started."""
    if any(event.name.startswith(_NOT_COUNTED) for event in trace.events):
        raise Skipped("nodes ran inside of nodes, or several times", trace.exchange)
    got, count = trace.end.get("total_steps"), len(trace.nodes)
    trace.expect(got == count, f"total_steps {count}", got)


# Times
# ---------------------------------------------------------------------------------------------


@trace_check(Level.HOST, "FACTS 4 and 5.7")
def nodes_take_no_longer_than_the_run(trace: RunTrace) -> None:
    """The nodes' elapsed times add up to no more than the run's; after 0.6 they may overlap."""
    if trace.may_branch:
        raise Skipped("nodes of this version may run at the same time", trace.exchange)
    total_s = sum(node.elapsed_s for node in trace.nodes)
    expected = f"no more than {trace.elapsed_s:.3f} s"
    is_less = total_s <= trace.elapsed_s + _ROUNDING_S
    trace.expect(is_less, expected, f"{total_s:.3f} s")


@trace_check(Level.HOST, "FACTS 4 and 5.7")
def times_of_each_node_agree(trace: RunTrace) -> None:
    """finished_at - created_at of a node is its elapsed_time, within the host's rounding."""
    for node in trace.nodes:
        if node.finished:
            what = f"node {node.result.get('index')}"
            expect_times_agree(node.result, what, trace.basis, trace.exchange)


@trace_check(Level.HOST, "FACTS 4 and 5.5")
def times_of_a_streamed_run_agree(trace: RunTrace) -> None:
    """The run's times agree, and created_at is the same at the end as at the beginning."""
    trace.expect_equal(trace.end.get("created_at"), trace.start.get("created_at"), "created_at")
    expect_times_agree(trace.end, "the run", trace.basis, trace.exchange)


@trace_check(Level.HOST, "FACTS 4 and 5.5")
def nodes_start_within_the_run(trace: RunTrace) -> None:
    """Nodes start one after the other, none before its run or after its end (a second for the
    host's rounding).
    """
    times = [
        trace.start.get("created_at"),
        *(node.started.data.get("created_at") for node in trace.nodes),
        trace.end.get("finished_at"),
    ]
    *starts, finished_at = [at for at in times if type(at) is int] or [0]
    if len(starts) + 1 < len(times):
        raise NotRun("the run has no times to compare", trace.exchange)
    in_order = starts == sorted(starts) and starts[-1] <= finished_at + 1
    trace.expect(in_order, "times in order", times)


@trace_check(Level.HOST, "FACTS 4")
def streamed_run_finished_just_now(trace: RunTrace) -> None:
    """finished_at is the time at which the stream ended, by the host's own clock or by ours."""
    expect_just_now(trace.end.get("finished_at"), trace.exchange)


# Nodes of each type
# ---------------------------------------------------------------------------------------------


@trace_check(Level.HOST, "FACTS 5.5 and 9.1")
def language_model_reports_text_and_usage(trace: RunTrace) -> None:
    """A language model's node has its text and usage, and the prompts it was given."""
    exchange = trace.exchange
    modes = among("chat", "completion")
    for node in trace.of_type("llm"):
        outputs, process_data = node.object("outputs"), node.object("process_data")
        trace.expect_fields(outputs, "LlmOutputs", "outputs of llm")
        trace.expect_fields(process_data, "LlmProcessData", "process_data of llm")
        expect_kinds(outputs, {"text": TEXT, "usage": OBJECT}, "llm", exchange)
        expect_kinds(process_data, {"model_mode": modes, "prompts": LIST}, "llm", exchange)


@trace_check(Level.HOST, "FACTS 5.5")
def language_model_counts_its_tokens(trace: RunTrace) -> None:
    """Tokens of the prompt and of the completion are the total, which execution_metadata
    repeats.
    """
    for node in trace.of_type("llm"):
        usage = as_object(node.object("outputs").get("usage"))
        for name in _TOKEN_COUNTS:
            trace.expect_kind(usage.get(name), WHOLE, name)
        prompt, completion, total = (usage[name] for name in _TOKEN_COUNTS)
        trace.expect_equal(total, prompt + completion, "total_tokens of usage")
        got = node.object("execution_metadata").get("total_tokens")
        trace.expect_equal(got, total, "total_tokens of execution_metadata")


@trace_check(Level.HOST, "FACTS 5.5 and 9.1")
def condition_reports_its_result(trace: RunTrace) -> None:
    """An if-else node has a result that is true or false, and one for each of its conditions."""
    for node in trace.of_type("if-else"):
        result = node.object("outputs").get("result")
        trace.expect(isinstance(result, bool), "a result true or false", result)
        got = node.object("process_data").get("condition_results")
        is_listed = isinstance(got, list) and all(
            isinstance(as_object(one).get("result", as_object(one).get("final_result")), bool)
            for one in got
        )
        trace.expect(is_listed, "condition_results with a result each", got)


@trace_check(Level.HOST, "FACTS 5.5 and 9.1")
def image_tool_reports_text_and_files(trace: RunTrace) -> None:
    """A tool's node has a text and an array of files, and names its tool."""
    for node in trace.of_type("tool"):
        outputs = node.object("outputs")
        trace.expect_fields(outputs, "ToolOutputs", "outputs of tool")
        expect_kinds(outputs, {"text": TEXT, "files": LIST}, "tool", trace.exchange)
        info = as_object(node.object("execution_metadata").get("tool_info"))
        for name in ("provider_type", "provider_id"):
            trace.expect_kind(info.get(name), WORDS, f"{name} of tool_info")


@trace_check(Level.HOST, "FACTS 5.5")
def end_node_selects_the_runs_outputs(trace: RunTrace) -> None:
    """inputs and outputs of the end node have the names of the run's outputs, in the same order;
    several end nodes have them together.
    """
    expected = list(as_object(trace.end.get("outputs")))
    ends = trace.of_type("end")
    for name in ("inputs", "outputs"):
        names = [key for node in ends for key in node.object(name)]
        if len(ends) > 1:
            names = [key for key in expected if key in names]
        trace.expect_equal(names, expected, f"names in {name} of end")
