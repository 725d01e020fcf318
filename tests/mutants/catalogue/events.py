"""What a stream tells: order and pairing of events, ids, fields, numbers that contradict each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tests.mutants.edits import Edit, Event, both, change, drop, put, rename, told, told_by
from tests.mutants.mutant import Area

AREA = Area("stream events")

_FIELDS = {
    "workflow_started": "id workflow_id sequence_number inputs created_at",
    "node_started": "id node_id node_type title index predecessor_node_id inputs created_at extras",
    "node_finished": (
        "id node_id node_type title index predecessor_node_id inputs process_data outputs status error elapsed_time "
        "execution_metadata created_at finished_at files"
    ),
    "workflow_finished": (
        "id workflow_id sequence_number status outputs error elapsed_time total_tokens total_steps created_by "
        "created_at finished_at files"
    ),
}
_WRONG_TYPE: dict[str, Edit] = {
    "workflow_started sequence_number": str,
    "workflow_started inputs": lambda value: list(value.items()),
    "node_started index": str,
    "node_started extras": lambda _: None,
    "node_started title": lambda _: 5,
    "node_finished elapsed_time": str,
    "node_finished files": lambda _: None,
    "node_finished status": lambda _: 1,
    "node_finished outputs": str,
    "workflow_finished total_tokens": str,
    "workflow_finished total_steps": float,
    "workflow_finished created_by": lambda value: value["user"],
    "workflow_finished files": lambda _: None,
    "workflow_finished elapsed_time": str,
}


def _event(name: str, breaks: str, killers: str, events: str, edit: Edit) -> None:
    """An edit of each event of these names."""
    AREA.add(name, breaks, killers, told(events, edit))


for _name, _fields in _FIELDS.items():
    for _field in _fields.split():
        _event(
            f"{_name}_{_field}_dropped",
            f"{_name} has no {_field}.",
            f"{_name}_has_the_hosts_fields",
            _name,
            drop(f"data.{_field}"),
        )
for _place, _retyped in _WRONG_TYPE.items():
    _name, _field = _place.split()
    _event(
        f"{_name}_{_field}_retyped",
        f"{_field} of {_name} is of another type.",
        f"{_name}_is_of_the_hosts_kinds",
        _name,
        change(f"data.{_field}", _retyped),
    )

# The envelope ---------------------------------------------------------------------------------------------------------

_event("event_without_event", "Events have no name.", "events_have_their_four_fields", "*", drop("event"))
_event("event_without_task_id", "Events have no task_id.", "events_have_their_four_fields", "*", drop("task_id"))
_event(
    "event_without_run_id",
    "Events have no workflow_run_id.",
    "events_have_their_four_fields",
    "*",
    drop("workflow_run_id"),
)
_event("event_without_data", "Events have no data.", "events_have_their_four_fields", "*", drop("data"))
_event(
    "event_with_extra_field",
    "Events have a created_at beside data.",
    "events_have_their_four_fields",
    "*",
    put("created_at", 1713938954),
)
_event(
    "event_keys_reordered",
    "Events have task_id before workflow_run_id.",
    "events_have_their_four_fields",
    "*",
    lambda said: {**dict(reversed(said.items()))},
)
_event(
    "event_flat",
    "The fields of data stand beside event.",
    "events_have_their_four_fields",
    "*",
    lambda said: {**{k: v for k, v in said.items() if k != "data"}, **said["data"]},
)
_event(
    "event_type_for_event",
    "The events' names stand under type.",
    "events_have_their_four_fields",
    "*",
    rename("event", "type"),
)
_event(
    "workflow_finished_renamed",
    "workflow_finished is called workflow_completed.",
    "stream_ends_with_one_workflow_finished",
    "workflow_finished",
    put("event", "workflow_completed"),
)
_event(
    "workflow_started_renamed",
    "workflow_started is called run_started.",
    "stream_begins_with_workflow_started",
    "workflow_started",
    put("event", "run_started"),
)
_event(
    "node_finished_renamed",
    "node_finished is called node_completed.",
    "events_are_known_by_name",
    "node_finished",
    put("event", "node_completed"),
)
_event(
    "event_names_camel_case",
    "Events are named in camel case.",
    "events_are_known_by_name",
    "*",
    change("event", lambda name: name.title().replace("_", "")),
)
_event(
    "event_ids_swapped",
    "task_id and workflow_run_id are swapped.",
    "workflow_events_have_the_run_id",
    "*",
    lambda said: {**said, "task_id": said["workflow_run_id"], "workflow_run_id": said["task_id"]},
)

# Order and pairing ----------------------------------------------------------------------------------------------------

_Change = Callable[[Event], Iterable[Event]]


def _order(name: str, breaks: str, killers: str, make: Callable[[], _Change]) -> None:
    AREA.add(name, breaks, killers, told_by(make))


def _without(events: str, node_type: str = "") -> Callable[[], _Change]:
    """Without the events of that name, of one type of node where it is given."""

    def change_one(said: Event) -> Iterable[Event]:
        lost = said["event"] == events and node_type in ("", said["data"].get("node_type"))
        return [] if lost else [said]

    return lambda: change_one


def _times(count: int, events: str, node_type: str = "") -> Callable[[], _Change]:
    """The events of that name ``count`` times each."""

    def change_one(said: Event) -> Iterable[Event]:
        picked = events in ("*", said["event"]) and node_type in ("", said["data"].get("node_type"))
        return [said] * (count if picked else 1)

    return lambda: change_one


def _late(events: str, node_type: str, by: int) -> Callable[[], _Change]:
    """The event of that name and type of node ``by`` events later than it should come."""

    def make() -> _Change:
        held: list[tuple[int, Event]] = []

        def change_one(said: Event) -> Iterable[Event]:
            if said["event"] == events and said["data"].get("node_type", "") == node_type:
                held.append((by, said))
                return []
            due = [one for left, one in held if left == 1]
            held[:] = [(left - 1, one) for left, one in held if left > 1]
            return [said, *due]

        return change_one

    return make


_order(
    "workflow_started_missing",
    "There is no workflow_started.",
    "stream_begins_with_workflow_started",
    _without("workflow_started"),
)
_order(
    "workflow_finished_missing",
    "There is no workflow_finished.",
    "stream_ends_with_one_workflow_finished",
    _without("workflow_finished"),
)
_order(
    "workflow_finished_doubled",
    "workflow_finished is there twice.",
    "stream_ends_with_one_workflow_finished",
    _times(2, "workflow_finished"),
)
_order(
    "workflow_started_doubled",
    "workflow_started is there twice.",
    "events_come_in_the_order_of_the_table",
    _times(2, "workflow_started"),
)
_order("events_doubled", "Each event is there twice.", "events_come_in_the_order_of_the_table", _times(2, "*"))
_order(
    "node_never_finishes",
    "The model's node never finishes.",
    "events_come_in_the_order_of_the_table every_started_node_finishes",
    _without("node_finished", "llm"),
)
_order(
    "node_never_starts",
    "The model's node finishes and never started.",
    "events_come_in_the_order_of_the_table",
    _without("node_started", "llm"),
)
_order(
    "node_finishes_twice",
    "The tool's node finishes twice.",
    "events_come_in_the_order_of_the_table",
    _times(2, "node_finished", "tool"),
)
_order(
    "node_starts_twice",
    "The tool's node starts twice.",
    "events_come_in_the_order_of_the_table",
    _times(2, "node_started", "tool"),
)
_order(
    "no_node_events",
    "Nodes are not told of at all.",
    "steps_are_the_nodes_started",
    lambda: lambda said: [] if said["event"].startswith("node") else [said],
)
_order(
    "end_node_missing",
    "The end node is not told of.",
    "steps_are_the_nodes_started",
    lambda: lambda said: [] if said["data"].get("node_type") == "end" else [said],
)
_order(
    "node_starts_after_its_end",
    "The model's node starts after it has finished.",
    "events_come_in_the_order_of_the_table",
    _late("node_started", "llm", 1),
)
_order(
    "node_finishes_late",
    "The model's node finishes after the next has started.",
    "events_come_in_the_order_of_the_table",
    _late("node_finished", "llm", 1),
)
_order(
    "workflow_started_late",
    "workflow_started comes second.",
    "stream_begins_with_workflow_started",
    _late("workflow_started", "", 1),
)
_order(
    "nodes_after_the_end",
    "The end node's last event comes after workflow_finished.",
    "stream_ends_with_one_workflow_finished",
    _late("node_finished", "end", 1),
)
_order(
    "start_node_last",
    "The start node finishes last of all nodes.",
    "events_come_in_the_order_of_the_table",
    _late("node_finished", "start", 7),
)


def _with_progress() -> _Change:
    def change_one(said: Event) -> Iterable[Event]:
        return (
            [said, {**said, "event": "progress", "data": {"percent": 50}}]
            if said["event"] == "node_started"
            else [said]
        )

    return change_one


def _error_at_the_end() -> _Change:
    def change_one(said: Event) -> Iterable[Event]:
        return [{"event": "error", "status": 500, "message": "no"}] if said["event"] == "workflow_finished" else [said]

    return change_one


_order("unknown_event", "There are events that no version of the host has.", "events_are_known_by_name", _with_progress)
_order(
    "error_for_the_end",
    "The stream ends with an error event.",
    "stream_ends_with_one_workflow_finished",
    _error_at_the_end,
)

# Ids ------------------------------------------------------------------------------------------------------------------


def _from_the_fourth(path: str, fn: Edit) -> Callable[[], _Change]:
    """``path`` changed from the fourth event on."""

    def make() -> _Change:
        told_so_far: list[Event] = []

        def change_one(said: Event) -> Iterable[Event]:
            told_so_far.append(said)
            return [change(path, fn)(said) if len(told_so_far) > 3 else said]

        return change_one

    return make


def _reversed(value: Any) -> Any:
    """Another text of the same letters."""
    return value[::-1]


def _other_uuid(value: str) -> str:
    return value[:-4] + ("0000" if value[-4:] != "0000" else "1111")


_order(
    "task_id_changes",
    "task_id changes in the middle of the stream.",
    "task_id_is_constant_in_a_stream",
    _from_the_fourth("task_id", _other_uuid),
)
_order(
    "run_id_changes",
    "workflow_run_id changes in the middle of the stream.",
    "workflow_run_id_is_constant_in_a_stream",
    _from_the_fourth("workflow_run_id", _other_uuid),
)
_event(
    "task_id_no_uuid",
    "task_id in a stream is no UUID.",
    "task_id_is_constant_in_a_stream",
    "*",
    put("task_id", "task-1"),
)
_event(
    "started_id_of_another",
    "workflow_started's id is not the run's.",
    "workflow_events_have_the_run_id",
    "workflow_started",
    change("data.id", _other_uuid),
)
_event(
    "finished_id_of_another",
    "workflow_finished's id is not the run's.",
    "workflow_events_have_the_run_id",
    "workflow_finished",
    change("data.id", _other_uuid),
)
_event(
    "workflow_id_changes",
    "workflow_finished names another workflow.",
    "workflow_id_is_the_same_in_both_modes",
    "workflow_finished",
    change("data.workflow_id", _other_uuid),
)
_event(
    "sequence_number_changes",
    "workflow_finished has another sequence_number.",
    "sequence_number_is_counted_from_one",
    "workflow_finished",
    change("data.sequence_number", lambda v: v + 1),
)
_event(
    "sequence_number_zero",
    "Runs are counted from 0.",
    "sequence_number_is_counted_from_one",
    "workflow_started workflow_finished",
    put("data.sequence_number", 0),
)
_event(
    "run_elapsed_whole",
    "The stream's end has a whole number of seconds as elapsed_time.",
    "elapsed_times_of_a_stream_are_written_with_a_point",
    "workflow_finished",
    change("data.elapsed_time", lambda v: int(v) + 1),
)
_event(
    "execution_id_changes",
    "A node finishes under another id.",
    "nodes_run_one_after_the_other",
    "node_finished",
    change("data.id", _other_uuid),
)
_event(
    "execution_id_no_uuid",
    "Node executions are numbered.",
    "execution_ids_are_uuids_of_their_own",
    "node_started node_finished",
    put("data.id", "1"),
)
_event(
    "execution_ids_all_the_same",
    "All node executions have one id.",
    "execution_ids_are_uuids_of_their_own",
    "node_started node_finished",
    put("data.id", "00000000-0000-4000-8000-000000000000"),
)
_event(
    "node_id_changes",
    "A node finishes under another node_id.",
    "node_finished_repeats_its_node_started",
    "node_finished",
    change("data.node_id", _reversed),
)
_event(
    "node_title_changes",
    "A node finishes under another title.",
    "node_finished_repeats_its_node_started",
    "node_finished",
    change("data.title", lambda v: v + "!"),
)
_event(
    "node_type_changes",
    "A node finishes as one of another type.",
    "node_finished_repeats_its_node_started",
    "node_finished",
    put("data.node_type", "code"),
)
_event(
    "node_index_changes",
    "A node finishes with another index.",
    "node_finished_repeats_its_node_started",
    "node_finished",
    change("data.index", lambda v: v + 1),
)

# The path through the graph -------------------------------------------------------------------------------------------

_NODES = "node_started node_finished"

_event(
    "index_from_zero",
    "Nodes are counted from 0.",
    "nodes_are_numbered_from_one",
    _NODES,
    change("data.index", lambda v: v - 1),
)
_event("index_always_one", "Each node has index 1.", "nodes_are_numbered_from_one", _NODES, put("data.index", 1))
_event(
    "index_by_tens",
    "Nodes are counted by tens.",
    "nodes_are_numbered_from_one",
    _NODES,
    change("data.index", lambda v: v * 10),
)
_event(
    "predecessor_always_null",
    "No node has a predecessor.",
    "nodes_name_their_predecessor",
    _NODES,
    put("data.predecessor_node_id", None),
)
_event(
    "predecessor_is_itself",
    "Each node is its own predecessor.",
    "nodes_name_their_predecessor",
    _NODES,
    lambda said: change("data.predecessor_node_id", lambda _: said["data"]["node_id"])(said),
)
_event(
    "predecessor_unknown",
    "Predecessors are nodes that the stream never told of.",
    "nodes_name_their_predecessor",
    _NODES,
    change("data.predecessor_node_id", lambda v: v and "1700000000000"),
)
_event(
    "first_node_no_start",
    "The first node is no start node.",
    "run_begins_at_its_start_node",
    _NODES,
    lambda said: put("data.node_type", "code")(said) if said["data"]["node_type"] == "start" else said,
)
_event(
    "node_types_numbered",
    "Types of nodes are numbers in text.",
    "run_begins_at_its_start_node",
    _NODES,
    put("data.node_type", "1"),
)

# What nodes and run say of themselves ---------------------------------------------------------------------------------

_START = "workflow_started"
_END = "workflow_finished"


def _of_node(node_type: str, edit: Edit) -> Edit:
    return lambda said: edit(said) if said["data"]["node_type"] == node_type else said


def _mojibake(text: str) -> str:
    return text.encode().decode("latin-1")


_event(
    "inputs_lost",
    "workflow_started has no inputs in its inputs.",
    "prompt_comes_back_character_for_character",
    _START,
    put("data.inputs", {}),
)
_event(
    "inputs_prompt_lost",
    "workflow_started does not tell the prompt.",
    "prompt_comes_back_character_for_character",
    _START,
    drop("data.inputs.prompt"),
)
_event(
    "inputs_mojibake",
    "The prompt comes back as UTF-8 read as Latin-1.",
    "prompt_comes_back_character_for_character chinese_prompt_comes_back_whole",
    _START,
    change("data.inputs.prompt", _mojibake),
)
_event(
    "inputs_question_marks",
    "The prompt comes back as question marks.",
    "prompt_comes_back_character_for_character",
    _START,
    change("data.inputs.prompt", lambda v: "?" * len(v)),
)
_event(
    "inputs_stripped",
    "The last character of the prompt is lost.",
    "prompt_comes_back_character_for_character",
    _START,
    change("data.inputs.prompt", lambda v: v[:-1]),
)
_event(
    "inputs_without_model",
    "An input that was left out is not told of.",
    "start_node_passes_the_inputs_on",
    _START,
    drop("data.inputs.model_name"),
)
_event(
    "inputs_model_lost",
    "No run tells the model that it was asked for.",
    "model_comes_back_as_it_was_asked_for",
    _START,
    put("data.inputs.model_name", ""),
)
_event(
    "inputs_without_sys_files",
    "workflow_started's inputs have no sys.files.",
    "inputs_tell_of_no_files",
    _START,
    lambda said: {
        **said,
        "data": {**said["data"], "inputs": {k: v for k, v in said["data"]["inputs"].items() if k != "sys.files"}},
    },
)
_event(
    "start_node_inputs_differ",
    "The start node's inputs are not the run's.",
    "start_node_passes_the_inputs_on",
    "node_finished",
    _of_node("start", put("data.inputs.prompt", "a cat")),
)
_event(
    "start_node_outputs_differ",
    "The start node's outputs are not its inputs.",
    "start_node_passes_the_inputs_on",
    "node_finished",
    _of_node("start", put("data.outputs.prompt", "a cat")),
)
_event(
    "node_inputs_told_early",
    "node_started tells inputs.",
    "node_started_is_of_the_hosts_kinds",
    "node_started",
    put("data.inputs", {"prompt": "a cat"}),
)
_event(
    "node_running",
    "Nodes finish as running.",
    "node_results_fit_their_status node_finished_is_of_the_hosts_kinds",
    "node_finished",
    put("data.status", "running"),
)
_event(
    "node_failed_run_succeeded",
    "A node fails, and the run succeeds all the same.",
    "node_results_fit_their_status",
    "node_finished",
    _of_node("llm", both(put("data.status", "failed"), put("data.error", "no"))),
)
_event(
    "node_succeeded_with_error",
    "A node that succeeds tells an error.",
    "node_results_fit_their_status",
    "node_finished",
    put("data.error", "no"),
)
_event(
    "stream_status_unknown",
    "The run ends with a status that the host does not have.",
    "streaming_run_succeeds workflow_finished_is_of_the_hosts_kinds",
    _END,
    put("data.status", "success"),
)
_event(
    "stream_failed_with_outputs",
    "The run fails and has outputs.",
    "streamed_error_and_outputs_fit_the_status",
    _END,
    put("data.status", "failed"),
)
_event(
    "stream_succeeded_with_error",
    "The run succeeds with an error.",
    "streamed_error_and_outputs_fit_the_status",
    _END,
    put("data.error", "no"),
)
_event(
    "stream_succeeded_without_outputs",
    "The run succeeds without outputs.",
    "streaming_run_has_a_picture",
    _END,
    both(put("data.outputs", None), put("data.files", [])),
)
_event(
    "created_by_another_user",
    "created_by names another user.",
    "created_by_is_the_user_of_the_request",
    _END,
    put("data.created_by.user", "somebody"),
)
_event(
    "created_by_no_uuid",
    "created_by's id is the user's name.",
    "created_by_is_the_user_of_the_request",
    _END,
    put("data.created_by.id", "alg123"),
)

# Time and sums --------------------------------------------------------------------------------------------------------

_event(
    "stream_created_at_off",
    "workflow_started's created_at is an hour early.",
    "times_of_a_streamed_run_agree",
    _START,
    change("data.created_at", lambda v: v - 3600),
)
_event(
    "stream_created_at_milliseconds",
    "created_at is in milliseconds all through the stream.",
    "times_of_a_streamed_run_agree *_is_of_the_hosts_kinds",
    "*",
    change("data.created_at", lambda v: v * 1000),
)
_event(
    "stream_created_at_changes",
    "workflow_finished has another created_at.",
    "times_of_a_streamed_run_agree",
    _END,
    change("data.created_at", lambda v: v - 60),
)
_event(
    "stream_finished_at_off",
    "workflow_finished's finished_at is a minute late.",
    "times_of_a_streamed_run_agree",
    _END,
    change("data.finished_at", lambda v: v + 60),
)
_event(
    "node_created_at_off",
    "Nodes start a minute before their run.",
    "nodes_start_within_the_run",
    "node_started node_finished",
    change("data.created_at", lambda v: v - 60),
)
_event(
    "node_created_at_changes",
    "A node's created_at changes when it finishes.",
    "node_finished_repeats_its_node_started",
    "node_finished",
    change("data.created_at", lambda v: v - 3),
)
_event(
    "node_finished_at_off",
    "Nodes finish a minute after their run.",
    "times_of_each_node_agree",
    "node_finished",
    change("data.finished_at", lambda v: v + 60),
)
_event(
    "node_elapsed_negative",
    "elapsed_time of nodes is negative.",
    "times_of_each_node_agree node_finished_is_of_the_hosts_kinds",
    "node_finished",
    change("data.elapsed_time", lambda v: -v),
)
_event(
    "node_elapsed_milliseconds",
    "elapsed_time of nodes is in milliseconds.",
    "nodes_take_no_longer_than_the_run",
    "node_finished",
    change("data.elapsed_time", lambda v: v * 1000),
)
_event(
    "node_elapsed_zero",
    "elapsed_time of nodes is always 0.0.",
    "times_of_each_node_agree",
    "node_finished",
    put("data.elapsed_time", 0.0),
)
_event(
    "run_elapsed_less_than_nodes",
    "The run takes less time than its nodes.",
    "nodes_take_no_longer_than_the_run",
    _END,
    change("data.elapsed_time", lambda v: v / 3),
)
_event(
    "run_elapsed_milliseconds",
    "elapsed_time of the run is in milliseconds.",
    "times_of_a_streamed_run_agree",
    _END,
    change("data.elapsed_time", lambda v: v * 1000),
)
_event(
    "steps_not_counted",
    "total_steps is not the number of nodes.",
    "steps_are_the_nodes_started",
    _END,
    change("data.total_steps", lambda v: v + 1),
)
_event(
    "tokens_not_summed",
    "total_tokens is not the sum of the nodes'.",
    "node_tokens_add_up",
    _END,
    change("data.total_tokens", lambda v: v + 1),
)
_event(
    "tokens_zero", "total_tokens is 0 though a node used some.", "node_tokens_add_up", _END, put("data.total_tokens", 0)
)
_event(
    "node_tokens_contradict",
    "A node's metadata and usage disagree on its tokens.",
    "language_model_counts_its_tokens",
    "node_finished",
    _of_node("llm", change("data.execution_metadata.total_tokens", lambda v: v + 7)),
)

# Files in the stream --------------------------------------------------------------------------------------------------

_SIGN = "&sign=" + "A" * 43 + "="


def _with_url(fn: Callable[[str], str]) -> Edit:
    """Each URL of a file, wherever it stands, as ``fn`` makes it."""

    def edit(value: Any) -> Any:
        if isinstance(value, list):
            return [edit(one) for one in value]
        if isinstance(value, dict):
            return {key: fn(one) if key == "url" else edit(one) for key, one in value.items()}
        return value

    return edit


def _same_signature() -> _Change:
    """Every URL is the first one told."""
    first: list[str] = []

    def keep(url: str) -> str:
        first.append(url)
        return first[0]

    return lambda said: [_with_url(keep)(said)]


_event(
    "stream_files_lost",
    "workflow_finished's files are empty, its outputs not.",
    "files_are_those_of_the_outputs",
    _END,
    put("data.files", []),
)
_event(
    "stream_node_files_lost",
    "Files of nodes are empty, their outputs not.",
    "files_are_those_of_the_outputs",
    "node_finished",
    put("data.files", []),
)
_event(
    "stream_files_differ",
    "workflow_finished's files are not those of its outputs.",
    "files_repeat_the_outputs_byte_for_byte",
    _END,
    change("data.files", _with_url(lambda url: url.partition("&sign")[0] + _SIGN)),
)
_event(
    "stream_outputs_differ_from_end",
    "workflow_finished's outputs are not the end node's.",
    "end_repeats_the_run_byte_for_byte",
    _END,
    change("data.outputs", lambda value: {**value, "text": "done"}),
)
_event(
    "stream_file_of_another",
    "workflow_finished's file is not the tool's.",
    "end_repeats_the_run_byte_for_byte end_takes_its_file_from_the_tool",
    _END,
    _with_url(lambda url: url[:13] + "0" * 8 + url[21:]),
)
_event(
    "stream_urls_unsigned",
    "URLs in streams are not signed.",
    "streamed_urls_have_the_documents_form",
    "*",
    _with_url(lambda url: url.partition("?")[0]),
)
_event(
    "stream_file_variant_lost",
    "File objects in streams have no __variant.",
    "streamed_files_have_the_hosts_fields",
    "*",
    lambda said: _without_key(said, "__variant"),
)
_event(
    "stream_file_related_id_lost",
    "File objects in streams have no related_id.",
    "streamed_files_have_the_hosts_fields streaming_run_has_a_picture",
    "*",
    lambda said: _without_key(said, "related_id"),
)
_order(
    "stream_urls_not_signed_anew",
    "The tool's and the end's URL are one and the same.",
    "each_serialisation_signs_anew",
    _same_signature,
)
_event(
    "end_node_outputs_lost",
    "The end node has no outputs.",
    "end_node_selects_the_runs_outputs",
    "node_finished",
    _of_node("end", both(put("data.outputs", None), put("data.files", []))),
)


def _without_key(value: Any, key: str) -> Any:
    if isinstance(value, list):
        return [_without_key(one, key) for one in value]
    if isinstance(value, dict):
        return {name: _without_key(one, key) for name, one in value.items() if name != key}
    return value


def _other_file(value: Any) -> Any:
    """Every file another one, in its id and in its URL alike."""
    if isinstance(value, list):
        return [_other_file(one) for one in value]
    if isinstance(value, dict) and "related_id" in value:
        other = _other_uuid(value["related_id"])
        return {**value, "related_id": other, "url": value["url"].replace(value["related_id"], other)}
    return {key: _other_file(one) for key, one in value.items()} if isinstance(value, dict) else value


def _at_the_end(edit: Edit) -> Edit:
    """An edit of what the end node and the run tell."""
    return lambda said: edit(said) if said["event"] == _END or said["data"].get("node_type") == "end" else said


_event(
    "stream_ids_all_the_same",
    "Task and run of a stream have one id.",
    "streamed_task_and_run_have_ids_of_their_own",
    "*",
    lambda said: {**said, "task_id": said["workflow_run_id"]},
)
_event(
    "model_of_another_run",
    "A run without a model tells the model of the run beside it.",
    "model_left_out_is_not_another_runs_model",
    _START,
    put("data.inputs.model_name", "chilloutmix_NiPrunedFp32Fix"),
)
_event(
    "end_has_another_file",
    "The file at the end is not the one that the tool has made.",
    "end_takes_its_file_from_the_tool",
    "node_finished workflow_finished",
    _at_the_end(_other_file),
)


def _a_day_early(said: Event) -> Event:
    early = {name: said["data"][name] - 86400 for name in ("created_at", "finished_at") if name in said["data"]}
    return {**said, "data": {**said["data"], **early}}


_event(
    "stream_a_day_early", "All times of a stream are a day early.", "streamed_run_finished_just_now", "*", _a_day_early
)
