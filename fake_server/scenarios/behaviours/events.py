"""Behaviours of a stream's events: which are sent, in what order, with which pings between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fake_server.runs.events import OtherEvent, Ping, Timeline, WorkflowFinished, WorkflowPaused
from fake_server.scenarios.behaviour import behaviour
from fake_server.scenarios.effects import Effects
from fake_server.scenarios.parameters import Count, Seconds, Status

_MIN_GAP_S = 0.001


@behaviour(excludes="end")
def no_terminal_event() -> Effects:
    """The stream ends as it should, but without workflow_finished.

    Complaint: a worker was restarted in the middle of a run; the client waits for an event that
    cannot come.
    Survive: the end of the stream without workflow_finished is a failure; report it at once.
    """
    return Effects(stream=(_without_end,))


@behaviour(excludes="end")
def double_terminal_event() -> Effects:
    """workflow_finished comes twice.

    Complaint: the image is added to the gallery twice, or the second event finds its handler gone.
    Survive: make the end of a run idempotent, by its workflow_run_id.
    """
    return Effects(stream=(lambda timeline: (*timeline, timeline[-1]),))


@behaviour(excludes="end")
def endless_stream() -> Effects:
    """Pings go on and on; neither workflow_finished nor the end of the stream ever comes. A
    blocking call hangs.

    At speed "instant" the stream falls silent instead, and stays open until the client leaves.

    Complaint: "the stream gives only pings" (langgenius/dify issue 21161).
    Survive: bound the whole run with a deadline as well; pings prove that the host lives, not that
    the run does.
    """
    return Effects(stream=(_without_end,), endless=True)


@behaviour(excludes="order")
def reordered_events(after: Count = 1) -> Effects:
    """The two events that follow the first ``after`` ones change places: by default a node finishes
    before it starts.

    Complaint: node_finished for a node that the client does not know, and then a node that never
    ends.
    Survive: key what you know of nodes by their id, and create an entry on whichever event comes
    first.
    """

    def reorder(timeline: Timeline) -> Timeline:
        places = [index for index, (_, event) in enumerate(timeline) if not isinstance(event, Ping)]
        if len(places) < after + 2:
            return timeline
        changed = list(timeline)
        first, second = places[after : after + 2]
        changed[first] = (timeline[first][0], timeline[second][1])
        changed[second] = (timeline[second][0], timeline[first][1])
        return tuple(changed)

    return Effects(stream=(reorder,))


@behaviour(excludes="order")
def unknown_event(event: str = "text_chunk", after: Count = 1) -> Effects:
    """An ``event`` of a kind that this version of the host does not send comes after the first
    ``after`` ones.

    Complaint: on the day the host is upgraded, a client that knows four events gets text_chunk,
    iteration_started or agent_log, and its switch has no branch for them.
    Survive: skip events of an unknown name; never take the last event that came for the end.
    """
    fields = {"data": {"text": "a later version says more", "from_variable_selector": []}}
    return Effects(stream=(lambda timeline: _with(timeline, after, OtherEvent(event, fields)),))


@behaviour(excludes="end")
def error_event(
    code: str = "completion_request_error",
    message: str = "The host has a problem with this run.",
    status: Status = 400,
    after: Count = 3,
) -> Effects:
    """An event of the name error comes after the first ``after`` ones, and the stream then ends as
    it should, but without workflow_finished.

    Complaint: the client waits for workflow_finished, because status 200 has come long ago.
    Survive: an error event ends the run as failed, at any place of the stream; show its message.
    """
    fields = {"code": code, "status": status, "message": message}

    def fail(timeline: Timeline) -> Timeline:
        changed = _with(timeline, after, OtherEvent("error", fields))
        ends = next(i for i, (_, one) in enumerate(changed) if isinstance(one, OtherEvent))
        return changed[: ends + 1]

    return Effects(stream=(fail,))


@behaviour(excludes="ping")
def ping_storm(every_s: Seconds = 0.1) -> Effects:
    """A ping every ``every_s`` seconds instead of every ten.

    Complaint: a handler that redraws on every event makes the page unusable.
    Survive: drop pings before anything else happens.
    """
    gap_s = max(every_s, _MIN_GAP_S)
    return Effects(ping=(lambda ping: ping._replace(first_s=gap_s, every_s=gap_s),))


@behaviour(excludes="ping")
def no_ping() -> Effects:
    """No ping is ever sent, however long the run takes.

    Complaint: a proxy that closes idle connections after 60 s ends every longer run.
    Survive: expect silence of minutes; reconnecting does not help, for a run cannot be resumed.
    """
    return Effects(ping=(lambda ping: ping._replace(first_s=float("inf"), at_once=False),))


@behaviour(excludes="ping")
def data_ping(frame: str = "data: ping", every_s: Seconds = 2.0) -> Effects:
    """Pings come as data that is not JSON: as Dify up to 0.6.3 sends them, but more often.

    ``frame`` is sent as it is, with the blank line that ends it.

    Complaint: JSON.parse("ping") throws, and takes the stream with it.
    Survive: skip data that is exactly ping; never let one frame that cannot be read end the stream.
    """
    data, gap_s = frame.rstrip("\n").encode() + b"\n\n", max(every_s, _MIN_GAP_S)
    return Effects(ping=(lambda ping: ping._replace(frame=data, first_s=gap_s, every_s=gap_s),))


@behaviour()
def extra_fields(name: str = "x_added_later") -> Effects:
    """Every JSON object of the response and of each event has one more field, which the document
    does not know.

    Complaint: a strict parser rejects the response on the day the host is upgraded.
    Survive: ignore what you do not know.
    """

    def add(value: Any) -> Any:
        if isinstance(value, Mapping):
            fields = {key: add(entry) for key, entry in value.items()}
            return {**fields, name: "a later version says more"}
        return [add(entry) for entry in value] if isinstance(value, list) else value

    return Effects(payload=(add,))


def _with(timeline: Timeline, after: int, event: OtherEvent) -> Timeline:
    """The timeline with ``event`` behind the first ``after`` events, or before the last one."""
    places = [index for index, (_, one) in enumerate(timeline) if not isinstance(one, Ping)]
    place = places[min(after, len(places)) - 1] + 1 if after < len(places) else places[-1]
    at_s = timeline[place - 1][0] if place else timeline[0][0]
    return (*timeline[:place], (at_s, event), *timeline[place:])


def _without_end(timeline: Timeline) -> Timeline:
    ends = WorkflowFinished | WorkflowPaused
    return tuple(one for one in timeline if not isinstance(one[1], ends))
