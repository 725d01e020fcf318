"""Values of the nodes and the run of a stream: inputs, outcomes, times, sums, and what each type of
node adds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tests.mutants.edits import (
    Edit,
    Event,
    change,
    combined,
    drop,
    edit_events,
    of_node,
    put,
    replace_events,
)
from tests.mutants.mutant import Area

AREA = Area("values in a stream")
_START = "workflow_started"
_END = "workflow_finished"


def _event(name: str, breaks: str, killers: str, events: str, edit: Edit) -> None:
    """An edit of each event of these names."""
    AREA.add(name, breaks, killers, edit_events(events, edit))


def _mojibake(text: str) -> str:
    return text.encode().decode("latin-1")


def _a_day_early(event: Event) -> Event:
    early = {
        name: event["data"][name] - 86400
        for name in ("created_at", "finished_at")
        if name in event["data"]
    }
    return {**event, "data": {**event["data"], **early}}


def _node(name: str, breaks: str, killers: str, node_type: str, edit: Edit) -> None:
    """An edit of the node_finished of one type of node."""
    _event(name, breaks, killers, "node_finished", of_node(node_type, edit))


_FAILED = combined(
    put("data.status", "failed"),
    put("data.error", "CUDA out of memory"),
    put("data.outputs", None),
    put("data.files", []),
)


def _fails_in_its_last_node() -> Callable[[Event], Iterable[Event]]:
    def change_one(event: Event) -> Iterable[Event]:
        if event["event"] == _END:
            return [_FAILED(event)]
        lost = event["event"] == "node_finished" and event["data"]["node_type"] == "end"
        return [] if lost else [event]

    return change_one


# fmt: off

# What nodes and run say of themselves
_event("inputs_lost", "workflow_started has no inputs in its inputs.",
       "prompt_comes_back_character_for_character", _START, put("data.inputs", {}))
_event("inputs_prompt_lost", "workflow_started does not have the prompt.",
       "prompt_comes_back_character_for_character", _START, drop("data.inputs.prompt"))
_event("inputs_mojibake", "The prompt comes back as UTF-8 read as Latin-1.",
       "prompt_comes_back_character_for_character", _START, change("data.inputs.prompt", _mojibake))
_event("inputs_question_marks", "The prompt comes back as question marks.",
       "prompt_comes_back_character_for_character", _START,
       change("data.inputs.prompt", lambda v: "?" * len(v)))
_event("inputs_stripped", "The last character of the prompt is lost.",
       "prompt_comes_back_character_for_character", _START,
       change("data.inputs.prompt", lambda v: v[:-1]))
_event("inputs_without_model", "An input that was left out is missing.",
       "start_node_passes_the_inputs_on", _START, drop("data.inputs.model_name"))
_event("inputs_model_lost", "No run has the model that was sent.",
       "model_comes_back_as_it_was_sent", _START, put("data.inputs.model_name", ""))
_event("inputs_without_sys_files", "workflow_started's inputs have no sys.files.",
       "inputs_name_no_files", _START,
       lambda event: {
           **event,
           "data": {
               **event["data"],
               "inputs": {k: v for k, v in event["data"]["inputs"].items() if k != "sys.files"},
           },
       })
_event("inputs_with_another_variable", "workflow_started's inputs have a sys.* of no version.",
       "inputs_name_the_hosts_system_variables", _START,
       lambda event: {
           **event,
           "data": {**event["data"], "inputs": {**event["data"]["inputs"], "sys.mood": "good"}},
       })
_event("start_node_inputs_differ", "The start node's inputs are not the run's.",
       "start_node_passes_the_inputs_on", "node_finished",
       of_node("start", put("data.inputs.prompt", "a cat")))
_event("start_node_outputs_differ", "The start node's outputs are not its inputs.",
       "start_node_passes_the_inputs_on", "node_finished",
       of_node("start", put("data.outputs.prompt", "a cat")))
_event("node_inputs_told_early", "node_started has inputs.", "node_started_is_of_the_hosts_kinds",
       "node_started", put("data.inputs", {"prompt": "a cat"}))
_event("node_running", "Nodes finish as running.",
       "node_results_fit_their_status node_finished_is_of_the_hosts_kinds", "node_finished",
       put("data.status", "running"))
_event("node_failed_run_succeeded", "A node fails, and the run succeeds all the same.",
       "node_results_fit_their_status", "node_finished",
       of_node("llm", combined(put("data.status", "failed"), put("data.error", "no"))))
_event("node_succeeded_with_error", "A node that succeeds has an error.",
       "node_results_fit_their_status", "node_finished", put("data.error", "no"))
_event("stream_status_unknown", "The run ends with a status that the host does not have.",
       "streaming_run_succeeds workflow_finished_is_of_the_hosts_kinds", _END,
       put("data.status", "success"))
_event("stream_failed_with_outputs", "The run fails and has outputs.",
       "streamed_error_and_outputs_fit_the_status", _END, put("data.status", "failed"))
_event("stream_succeeded_with_error", "The run succeeds with an error.",
       "streamed_error_and_outputs_fit_the_status", _END, put("data.error", "no"))
_event("stream_succeeded_without_outputs", "The run succeeds without outputs.",
       "streaming_run_has_an_image", _END,
       combined(put("data.outputs", None), put("data.files", [])))
_event("created_by_another_user", "created_by names another user.",
       "created_by_is_the_user_of_the_request", _END, put("data.created_by.user", "somebody"))
_event("created_by_no_uuid", "created_by's id is the user's name.",
       "created_by_is_the_user_of_the_request", _END, put("data.created_by.id", "alg123"))
_event("model_of_another_run", "A run without a model has the model of the run beside it.",
       "model_left_out_is_not_another_runs_model", _START,
       put("data.inputs.model_name", "chilloutmix_NiPrunedFp32Fix"))

# Time and sums
_event("stream_created_at_off", "workflow_started's created_at is an hour early.",
       "times_of_a_streamed_run_agree", _START, change("data.created_at", lambda v: v - 3600))
_event("stream_created_at_milliseconds", "created_at is in milliseconds all through the stream.",
       "times_of_a_streamed_run_agree *_is_of_the_hosts_kinds", "*",
       change("data.created_at", lambda v: v * 1000))
_event("stream_created_at_changes", "workflow_finished has another created_at.",
       "times_of_a_streamed_run_agree", _END, change("data.created_at", lambda v: v - 60))
_event("stream_finished_at_off", "workflow_finished's finished_at is a minute late.",
       "times_of_a_streamed_run_agree", _END, change("data.finished_at", lambda v: v + 60))
_event("node_created_at_off", "Nodes start a minute before their run.",
       "nodes_start_within_the_run", "node_started node_finished",
       change("data.created_at", lambda v: v - 60))
_event("node_created_at_changes", "A node's created_at changes when it finishes.",
       "node_finished_repeats_its_node_started", "node_finished",
       change("data.created_at", lambda v: v - 3))
_event("node_finished_at_off", "Nodes finish a minute after their run.", "times_of_each_node_agree",
       "node_finished", change("data.finished_at", lambda v: v + 60))
_event("node_elapsed_negative", "elapsed_time of nodes is negative.",
       "times_of_each_node_agree node_finished_is_of_the_hosts_kinds", "node_finished",
       change("data.elapsed_time", lambda v: -v))
_event("node_elapsed_milliseconds", "elapsed_time of nodes is in milliseconds.",
       "nodes_take_no_longer_than_the_run", "node_finished",
       change("data.elapsed_time", lambda v: v * 1000))
_event("node_elapsed_zero", "elapsed_time of nodes is always 0.0.", "times_of_each_node_agree",
       "node_finished", put("data.elapsed_time", 0.0))
_event("run_elapsed_less_than_nodes", "The run takes less time than its nodes.",
       "nodes_take_no_longer_than_the_run", _END, change("data.elapsed_time", lambda v: v / 3))
_event("run_elapsed_milliseconds", "elapsed_time of the run is in milliseconds.",
       "times_of_a_streamed_run_agree", _END, change("data.elapsed_time", lambda v: v * 1000))
_event("steps_not_counted", "total_steps is not the number of nodes.",
       "steps_are_the_nodes_started", _END, change("data.total_steps", lambda v: v + 1))
_event("tokens_not_summed", "total_tokens is not the sum of the nodes'.", "node_tokens_add_up",
       _END, change("data.total_tokens", lambda v: v + 1))
_event("tokens_zero", "total_tokens is 0 though a node used some.", "node_tokens_add_up", _END,
       put("data.total_tokens", 0))
_event("node_tokens_contradict", "A node's metadata and usage disagree on its tokens.",
       "language_model_counts_its_tokens", "node_finished",
       of_node("llm", change("data.execution_metadata.total_tokens", lambda v: v + 7)))
_event("stream_a_day_early", "All times of a stream are a day early.",
       "streamed_run_finished_just_now", "*", _a_day_early)

# What each type of node adds
_event("tool_without_icon", "A tool's node starts without its icon.", "extras_hold_at_most_an_icon",
       "node_started", of_node("tool", put("data.extras", {})))
_node("model_without_prompts", "A language model's node does not have its prompts.",
      "language_model_reports_text_and_usage", "llm", drop("data.process_data.prompts"))
_node("condition_result_in_text", "The result of an if-else node is text.",
      "condition_reports_its_result", "if-else",
      change("data.outputs.result", lambda result: str(result).lower()))
_node("tool_unnamed", "A tool's node does not name its tool.",
      "image_tool_reports_text_and_files", "tool", drop("data.execution_metadata.tool_info"))

# Runs that fail
_event("stream_fails", "Every streaming run fails at its end, and says so as the host does.",
       "streaming_run_succeeds", _END, _FAILED)
AREA.add("failed_node_never_finishes",
         "A run fails in its last node, which has no node_finished.",
         "every_started_node_finishes", replace_events(_fails_in_its_last_node))
# fmt: on
