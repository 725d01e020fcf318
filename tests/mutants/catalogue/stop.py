"""Stopping a run, and what the app says of itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace

from starlette.types import ASGIApp

from contract.target import USER
from fake_server.settings import DEFAULT_API_KEY
from tests.mutants.edits import (
    Edit,
    Event,
    edit_events,
    edit_frames,
    edit_responses,
    event_of,
    put,
    replace_events,
    replace_requests,
    replace_responses,
)
from tests.mutants.middleware import Frames, Request, RequestChange, Response, Wrap, change_requests
from tests.mutants.mutant import RHYTHM, Area
from tests.mutants.serving import APP_KEYS

AREA = Area("stop")
_NO_TASK = "/v1/workflows/tasks/00000000-0000-4000-8000-000000000000/stop"


def _in_time(name: str, breaks: str, killers: str, wrap: Wrap) -> None:
    AREA.add(name, breaks, killers, wrap, speed=RHYTHM)


def _is_stop(request: Request) -> bool:
    return request.method == "POST" and request.path.startswith("/v1/workflows/tasks/")


def _response(change_one: Callable[[Response], Response]) -> Wrap:
    """Each success of a stop, changed."""
    return edit_responses(
        lambda request, response: (
            change_one(response) if _is_stop(request) and response.status == 200 else response
        )
    )


def _stopped(edit: Edit) -> Wrap:
    """The end of a run that was stopped, changed."""
    return edit_events(
        "workflow_finished",
        lambda event: edit(event) if event["data"]["status"] == "stopped" else event,
    )


def _any_user() -> RequestChange:
    """The user of the run that came last is taken for the one who stops."""
    users: list[str] = [""]

    def change_one(request: Request) -> Request:
        if request.is_run and isinstance(request.fields.get("user"), str):
            users.append(request.fields["user"])
        return (
            request.with_fields(user=users[-1])
            if _is_stop(request) and request.fields.get("user")
            else request
        )

    return change_one


async def _end_untold(frames: Frames) -> Frames:
    async for frame in frames:
        event = event_of(frame)
        if event is None or event["data"].get("status") != "stopped":
            yield frame


def _node_finishes() -> Callable[[Event], Iterable[Event]]:
    """The node that was running finishes, though the run was stopped."""
    running: list[Event] = []

    def change_one(event: Event) -> Iterable[Event]:
        if event["event"] == "node_started":
            running[:] = [event]
        if event["event"] == "node_finished":
            running.clear()
        if event["event"] == "workflow_finished" and running:
            data = {
                **running[0]["data"],
                "status": "failed",
                "error": "stopped",
                "elapsed_time": 0.1,
                "files": [],
            }
            return [
                {**running[0], "event": "node_finished", "data": {**data, "outputs": None}},
                event,
            ]
        return [event]

    return change_one


def _with_key(request: Request) -> Request:
    return request.with_header("authorization", f"Bearer {DEFAULT_API_KEY}")


_KNOWN_USERS = (USER, "a", 5)
"""Those who ask for runs, and those whose call fails or succeeds by another rule."""


def _call(
    name: str,
    breaks: str,
    killers: str,
    when: Callable[[Request], bool],
    instead: Callable[[Request], Request],
) -> None:
    """The host gets ``instead`` of a stop call that ``when`` picks."""
    AREA.add(
        name,
        breaks,
        killers,
        replace_requests(lambda request: _is_stop(request) and when(request), instead),
    )


async def _end_held_back(frames: Frames) -> Frames:
    async for frame in frames:
        event = event_of(frame)
        if event is not None and event["data"].get("status") == "stopped":
            await asyncio.sleep(3.5)
        yield frame


def _running_task_refused(app: ASGIApp) -> ASGIApp:
    """A stop of a task that a stream has named gets 409."""
    started: set[str] = set()

    async def remember(frames: Frames) -> Frames:
        async for frame in frames:
            started.add((event_of(frame) or {}).get("task_id", ""))
            yield frame

    def change_response(request: Request, response: Response) -> Response:
        return (
            replace(response, status=409)
            if _is_stop(request) and request.path.split("/")[4] in started
            else response
        )

    return edit_responses(change_response)(edit_frames(remember)(app))


# fmt: off
_in_time(
    "stop_ignored",
    "A stop gets a response and has no effect.",
    "run_does_not_outlive_its_stop",
    change_requests(
        lambda: lambda request: replace(request, path=_NO_TASK) if _is_stop(request) else request
    ),
)
_in_time("stop_ends_as_succeeded", "A stopped run ends as succeeded.",
         "stopped_run_ends_as_stopped", _stopped(put("data.status", "succeeded")))
_in_time("stop_ends_as_failed", "A stopped run ends as failed.", "stopped_run_ends_as_stopped",
         _stopped(put("data.status", "failed")))
_in_time("stop_ends_untold", "The stream of a stopped run ends without workflow_finished.",
         "stopped_run_ends_as_stopped", edit_frames(_end_untold))
_in_time("stop_without_error", "A stopped run has no error.", "stopped_run_says_so_in_its_error",
         _stopped(put("data.error", None)))
_in_time("stop_with_outputs", "A stopped run has outputs.", "stopped_run_has_no_outputs",
         _stopped(put("data.outputs", {"files": []})))
_in_time("stop_steps_lost", "A stopped run counts no step.",
         "stopped_run_counts_the_interrupted_node", _stopped(put("data.total_steps", 0)))
_in_time("stop_finishes_node", "The running node of a stopped run finishes.",
         "interrupted_node_never_finishes", replace_events(_node_finishes))
_in_time("stop_by_any_user", "Any user may stop a run.", "stop_by_another_user_acts_as_on_the_host",
         change_requests(_any_user))
AREA.add("stop_is_404", "A stop is not known.", "stop_of_*_succeeds",
         _response(lambda response: replace(response, status=404)))
AREA.add("stop_is_204", "A stop gets a response without a body.", "stop_of_*_succeeds",
         _response(
             lambda response: (
                 replace(response, status=204).with_body(b"").without_header("Content-Length")
             )
         ))
AREA.add("stop_is_202", "A stop gets 202.", "stop_of_*_succeeds",
         _response(lambda response: replace(response, status=202)))
AREA.add("stop_says_ok", "A stop's result is ok.", "stop_of_*_succeeds",
         _response(lambda response: response.with_json({"result": "ok"})))
AREA.add("stop_says_true", "A stop's result is true.", "stop_of_*_succeeds",
         _response(lambda response: response.with_json({"result": True})))
AREA.add("stop_without_newline", "A stop's response ends without the newline.",
         "stop_response_is_written_as_errors_are",
         _response(lambda response: response.with_body(response.body.rstrip())))
AREA.add("stop_unknown_is_404", "Stopping an unknown task is a 404.",
         "stop_of_an_unknown_task_succeeds",
         edit_responses(
             lambda request, response: (
                 replace(response, status=404)
                 if _is_stop(request) and response.status == 200
                 else response
             )
         ))
AREA.add("stop_without_user", "A stop needs no user.", "stop_without_a_user_is_400",
         change_requests(
             lambda: (
                 lambda request: (
                     request.with_fields(user="anonymous")
                     if _is_stop(request)
                     and isinstance(request.json, dict)
                     and not request.fields.get("user")
                     else request
                 )
             )
         ))
AREA.add("stop_without_key", "A stop needs no key.", "stop_needs_the_key",
         change_requests(
             lambda: (
                 lambda request: (
                     _with_key(request)
                     if _is_stop(request) and request.header("authorization") is None
                     else request
                 )
             )
         ))
AREA.add("stop_error_of_later_versions",
         "A stopped run says that it was stopped by its user, as later versions do.",
         "stopped_run_says_so_in_its_error", _stopped(put("data.error", "Stopped by user.")),
         speed=RHYTHM)

# How the call is read
AREA.add("stop_by_another_user_is_403", "A stop by a user who has no run is refused with 403.",
         "stop_by_another_user_gets_the_same_response",
         replace_responses(
             lambda request, response: (
                 _is_stop(request) and request.fields.get("user") not in _KNOWN_USERS
             ),
             lambda response: replace(response, status=403) if response.status == 200 else response,
         ))
AREA.add(
    "stop_of_no_uuid_is_404",
    "A stop of a task whose id is not a UUID is a 404.",
    "stop_of_a_task_without_uuid_succeeds",
    replace_responses(
        lambda request, response: request.path.endswith("/tasks/x/stop") and response.status == 200,
        lambda response: replace(response, status=404),
    ),
)
_call("stop_user_number_refused", "The user of a stop has to be text.",
      "stop_takes_a_number_as_user", lambda request: isinstance(request.fields.get("user"), int),
      lambda request: request.with_json({}))
_call("stop_without_body_accepted", "A stop needs no body.", "stop_without_a_body_is_400",
      lambda request: not request.body and request.header("content-type") is not None,
      lambda request: request.with_json({"user": USER}))
_call("stop_without_content_type_read", "The body of a stop need not be called JSON.",
      "stop_without_a_content_type_is_415", lambda request: request.header("content-type") is None,
      lambda request: request.with_header("content-type", "application/json"))
_call("stop_with_chat_key_accepted", "A chat app's key stops a workflow's run.",
      "stop_with_a_chat_key_is_400",
      lambda request: request.header("authorization") == f"Bearer {APP_KEYS['chat']}", _with_key)
AREA.add(
    "stop_by_get",
    "A stop works with GET.",
    "get_on_the_stop_path_is_405",
    replace_requests(
        lambda request: request.method == "GET" and request.path.startswith("/v1/workflows/tasks/"),
        lambda request: (
            replace(request, method="POST")
            .with_json({"user": USER})
            .with_header("content-type", "application/json")
        ),
    ),
)
_in_time("stop_takes_effect_late", "A stopped run ends 3.5 s after its stop.",
         "stop_takes_effect_within_a_second", edit_frames(_end_held_back))
AREA.add("stop_of_a_run_is_409", "A stop of a run that is under way is refused with 409.",
         "stop_of_a_run_succeeds", _running_task_refused)
# fmt: on
