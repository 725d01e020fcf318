"""The events of a stream: their fields, their envelope, their order and pairing."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from dify_wire.profile import REFERENCE_VERSION, data_schema, profiles
from tests.mutants.edits import Edit, Event, change, drop, edit_events, put, rename, replace_events
from tests.mutants.mutant import Area

AREA = Area("stream events")
_NAMES = ("workflow_started", "node_started", "node_finished", "workflow_finished")
_FIELDS = {name: profiles()[REFERENCE_VERSION].fields(data_schema(name)) for name in _NAMES}
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
    AREA.add(name, breaks, killers, edit_events(events, edit))


_Change = Callable[[Event], Iterable[Event]]


def _order(name: str, breaks: str, killers: str, make: Callable[[], _Change]) -> None:
    AREA.add(name, breaks, killers, replace_events(make))


def _without(events: str, node_type: str = "") -> Callable[[], _Change]:
    """Without the events of that name, of one type of node where it is given."""

    def change_one(event: Event) -> Iterable[Event]:
        lost = event["event"] == events and node_type in ("", event["data"].get("node_type"))
        return [] if lost else [event]

    return lambda: change_one


def _times(count: int, events: str, node_type: str = "") -> Callable[[], _Change]:
    """The events of that name ``count`` times each."""

    def change_one(event: Event) -> Iterable[Event]:
        picked = events in ("*", event["event"]) and node_type in (
            "",
            event["data"].get("node_type"),
        )
        return [event] * (count if picked else 1)

    return lambda: change_one


def _late(events: str, node_type: str, by: int) -> Callable[[], _Change]:
    """The event of that name and type of node ``by`` events later than it should come."""

    def make() -> _Change:
        held: list[tuple[int, Event]] = []

        def change_one(event: Event) -> Iterable[Event]:
            if event["event"] == events and event["data"].get("node_type", "") == node_type:
                held.append((by, event))
                return []
            due = [one for left, one in held if left == 1]
            held[:] = [(left - 1, one) for left, one in held if left > 1]
            return [event, *due]

        return change_one

    return make


def _with_progress() -> _Change:
    def change_one(event: Event) -> Iterable[Event]:
        return (
            [event, {**event, "event": "progress", "data": {"percent": 50}}]
            if event["event"] == "node_started"
            else [event]
        )

    return change_one


def _error_at_the_end() -> _Change:
    def change_one(event: Event) -> Iterable[Event]:
        return (
            [{"event": "error", "status": 500, "message": "no"}]
            if event["event"] == "workflow_finished"
            else [event]
        )

    return change_one


# fmt: off
for _name, _fields in _FIELDS.items():
    for _field in _fields:
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

# The envelope
_event("event_without_event", "Events have no name.", "events_have_their_four_fields", "*",
       drop("event"))
_event("event_without_task_id", "Events have no task_id.", "events_have_their_four_fields", "*",
       drop("task_id"))
_event("event_without_run_id", "Events have no workflow_run_id.", "events_have_their_four_fields",
       "*", drop("workflow_run_id"))
_event("event_without_data", "Events have no data.", "events_have_their_four_fields", "*",
       drop("data"))
_event("event_with_extra_field", "Events have a created_at beside data.",
       "events_have_their_four_fields", "*", put("created_at", 1713938954))
_event("event_keys_reordered", "Events have task_id before workflow_run_id.",
       "events_have_their_four_fields", "*", lambda response: {**dict(reversed(response.items()))})
_event("event_flat", "The fields of data stand beside event.", "events_have_their_four_fields", "*",
       lambda event: {**{k: v for k, v in event.items() if k != "data"}, **event["data"]})
_event("event_type_for_event", "The events' names stand under type.",
       "events_have_their_four_fields", "*", rename("event", "type"))
_event("workflow_finished_renamed", "workflow_finished is called workflow_completed.",
       "stream_ends_with_one_workflow_finished", "workflow_finished",
       put("event", "workflow_completed"))
_event("workflow_started_renamed", "workflow_started is called run_started.",
       "stream_begins_with_workflow_started", "workflow_started", put("event", "run_started"))
_event("node_finished_renamed", "node_finished is called node_completed.",
       "events_are_known_by_name", "node_finished", put("event", "node_completed"))
_event("event_names_camel_case", "Events are named in camel case.", "events_are_known_by_name", "*",
       change("event", lambda name: name.title().replace("_", "")))
_event("event_ids_swapped", "task_id and workflow_run_id are swapped.",
       "workflow_events_have_the_run_id", "*",
       lambda event: {
           **event,
           "task_id": event["workflow_run_id"],
           "workflow_run_id": event["task_id"],
       })

# Order and pairing
_order("workflow_started_missing", "There is no workflow_started.",
       "stream_begins_with_workflow_started", _without("workflow_started"))
_order("workflow_finished_missing", "There is no workflow_finished.",
       "stream_ends_with_one_workflow_finished", _without("workflow_finished"))
_order("workflow_finished_doubled", "workflow_finished is there twice.",
       "stream_ends_with_one_workflow_finished", _times(2, "workflow_finished"))
_order("workflow_started_doubled", "workflow_started is there twice.",
       "events_come_in_the_order_of_the_table", _times(2, "workflow_started"))
_order("events_doubled", "Each event is there twice.", "events_come_in_the_order_of_the_table",
       _times(2, "*"))
_order("node_never_finishes", "The model's node never finishes.",
       "events_come_in_the_order_of_the_table every_started_node_finishes",
       _without("node_finished", "llm"))
_order("node_never_starts", "The model's node finishes and never started.",
       "events_come_in_the_order_of_the_table", _without("node_started", "llm"))
_order("node_finishes_twice", "The tool's node finishes twice.",
       "events_come_in_the_order_of_the_table", _times(2, "node_finished", "tool"))
_order("node_starts_twice", "The tool's node starts twice.",
       "events_come_in_the_order_of_the_table", _times(2, "node_started", "tool"))
_order("no_node_events", "There are no events of nodes.", "steps_are_the_nodes_started",
       lambda: lambda event: [] if event["event"].startswith("node") else [event])
_order("end_node_missing", "The end node is missing.", "steps_are_the_nodes_started",
       lambda: lambda event: [] if event["data"].get("node_type") == "end" else [event])
_order("node_starts_after_its_end", "The model's node starts after it has finished.",
       "events_come_in_the_order_of_the_table", _late("node_started", "llm", 1))
_order("node_finishes_late", "The model's node finishes after the next has started.",
       "events_come_in_the_order_of_the_table", _late("node_finished", "llm", 1))
_order("workflow_started_late", "workflow_started comes second.",
       "stream_begins_with_workflow_started", _late("workflow_started", "", 1))
_order("nodes_after_the_end", "The end node's last event comes after workflow_finished.",
       "stream_ends_with_one_workflow_finished", _late("node_finished", "end", 1))
_order("start_node_last", "The start node finishes last of all nodes.",
       "events_come_in_the_order_of_the_table", _late("node_finished", "start", 7))
_order("unknown_event", "There are events that no version of the host has.",
       "events_are_known_by_name", _with_progress)
_order("error_for_the_end", "The stream ends with an error event.",
       "stream_ends_with_one_workflow_finished", _error_at_the_end)
# fmt: on
