"""The ids in a stream, and the path through the graph that nodes show by their index and
predecessor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tests.mutants.edits import Edit, Event, change, edit_events, other_uuid, put, replace_events
from tests.mutants.mutant import Area

AREA = Area("ids in a stream")


def _event(name: str, breaks: str, killers: str, events: str, edit: Edit) -> None:
    """An edit of each event of these names."""
    AREA.add(name, breaks, killers, edit_events(events, edit))


_Change = Callable[[Event], Iterable[Event]]


def _order(name: str, breaks: str, killers: str, make: Callable[[], _Change]) -> None:
    AREA.add(name, breaks, killers, replace_events(make))


def _from_the_fourth(path: str, fn: Edit) -> Callable[[], _Change]:
    """``path`` changed from the fourth event on."""

    def make() -> _Change:
        seen: list[Event] = []

        def change_one(event: Event) -> Iterable[Event]:
            seen.append(event)
            return [change(path, fn)(event) if len(seen) > 3 else event]

        return change_one

    return make


def _reversed(value: Any) -> Any:
    """Another text of the same letters."""
    return value[::-1]


_NODES = "node_started node_finished"


# fmt: off
_order("task_id_changes", "task_id changes in the middle of the stream.",
       "task_id_is_constant_in_a_stream", _from_the_fourth("task_id", other_uuid))
_order("run_id_changes", "workflow_run_id changes in the middle of the stream.",
       "workflow_run_id_is_constant_in_a_stream", _from_the_fourth("workflow_run_id", other_uuid))
_event("task_id_no_uuid", "task_id in a stream is not a UUID.",
       "task_id_is_constant_in_a_stream", "*",
       put("task_id", "task-1"))
_event("started_id_of_another", "workflow_started's id is not the run's.",
       "workflow_events_have_the_run_id", "workflow_started", change("data.id", other_uuid))
_event("finished_id_of_another", "workflow_finished's id is not the run's.",
       "workflow_events_have_the_run_id", "workflow_finished", change("data.id", other_uuid))
_event("workflow_id_changes", "workflow_finished names another workflow.",
       "workflow_id_is_the_same_in_both_modes", "workflow_finished",
       change("data.workflow_id", other_uuid))
_event("sequence_number_changes", "workflow_finished has another sequence_number.",
       "sequence_number_is_counted_from_one", "workflow_finished",
       change("data.sequence_number", lambda v: v + 1))
_event("sequence_number_zero", "Runs are counted from 0.", "sequence_number_is_counted_from_one",
       "workflow_started workflow_finished", put("data.sequence_number", 0))
_event("run_elapsed_whole", "The stream's end has a whole number of seconds as elapsed_time.",
       "elapsed_times_of_a_stream_are_written_with_a_point", "workflow_finished",
       change("data.elapsed_time", lambda v: int(v) + 1))
_event("execution_id_changes", "A node finishes under another id.", "nodes_run_one_after_the_other",
       "node_finished", change("data.id", other_uuid))
_event("execution_id_no_uuid", "Node executions are numbered.",
       "execution_ids_are_uuids_of_their_own", "node_started node_finished", put("data.id", "1"))
_event("execution_ids_all_the_same", "All node executions have one id.",
       "execution_ids_are_uuids_of_their_own", "node_started node_finished",
       put("data.id", "00000000-0000-4000-8000-000000000000"))
_event("node_id_changes", "A node finishes under another node_id.",
       "node_finished_repeats_its_node_started", "node_finished", change("data.node_id", _reversed))
_event("node_title_changes", "A node finishes under another title.",
       "node_finished_repeats_its_node_started", "node_finished",
       change("data.title", lambda v: v + "!"))
_event("node_type_changes", "A node finishes as one of another type.",
       "node_finished_repeats_its_node_started", "node_finished", put("data.node_type", "code"))
_event("node_index_changes", "A node finishes with another index.",
       "node_finished_repeats_its_node_started", "node_finished",
       change("data.index", lambda v: v + 1))
_event("stream_ids_all_the_same", "Task and run of a stream have one id.",
       "streamed_task_and_run_have_ids_of_their_own", "*",
       lambda event: {**event, "task_id": event["workflow_run_id"]})

# The path through the graph
_event("index_from_zero", "Nodes are counted from 0.", "nodes_are_numbered_from_one", _NODES,
       change("data.index", lambda v: v - 1))
_event("index_always_one", "Each node has index 1.", "nodes_are_numbered_from_one", _NODES,
       put("data.index", 1))
_event("index_by_tens", "Nodes are counted by tens.", "nodes_are_numbered_from_one", _NODES,
       change("data.index", lambda v: v * 10))
_event("predecessor_always_null", "No node has a predecessor.", "nodes_name_their_predecessor",
       _NODES, put("data.predecessor_node_id", None))
_event("predecessor_is_itself", "Each node is its own predecessor.", "nodes_name_their_predecessor",
       _NODES,
       lambda event: change("data.predecessor_node_id", lambda _: event["data"]["node_id"])(event))
_event("predecessor_unknown", "Predecessors are nodes that are not in the stream.",
       "nodes_name_their_predecessor", _NODES,
       change("data.predecessor_node_id", lambda v: v and "1700000000000"))
_event("first_node_no_start", "The first node is not a start node.", "run_begins_at_its_start_node",
       _NODES,
       lambda event: (
           put("data.node_type", "code")(event) if event["data"]["node_type"] == "start" else event
       ))
_event("node_types_numbered", "Types of nodes are numbers in text.", "run_begins_at_its_start_node",
       _NODES, put("data.node_type", "1"))
# fmt: on
