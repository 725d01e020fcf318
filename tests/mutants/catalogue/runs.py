"""Runs that are not runs of their own: frozen answers, answers of another request, runs that wait
for each other.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.mutants.edits import (
    Edit,
    Event,
    change,
    combined,
    drop,
    edit_events,
    edit_run_json,
    event_of,
    frame_of,
    put,
)
from tests.mutants.middleware import (
    RUN_PATH,
    Frames,
    Request,
    Response,
    ResponseChange,
    StreamChange,
    Wrap,
    change_responses,
    change_streams,
)
from tests.mutants.mutant import RHYTHM, Area

AREA = Area("runs")


def _same_answer() -> ResponseChange:
    """The first blocking response for every run."""
    first: list[bytes] = []

    def change_response(request: Request, response: Response) -> Response:
        if not (request.is_run and response.status == 200):
            return response
        first.append(response.body)
        return response.with_body(first[0])

    return change_response


def _same_stream() -> Callable[[Request], StreamChange]:
    """The first stream for every run."""
    first: list[bytes] = []

    async def change_frames(frames: Frames) -> Frames:
        own = [frame async for frame in frames]
        first[:] = first or own
        for frame in first:
            yield frame

    return lambda _: change_frames


_DOCUMENT_ANSWER = {
    "task_id": "40a1cce0-f8d1-4fa9-8d03-857ed804fe2a",
    "workflow_run_id": "00c81e90-5f5c-4606-8c10-de9195f5d159",
    "data.id": "00c81e90-5f5c-4606-8c10-de9195f5d159",
    "data.elapsed_time": 18.601953488003346,
    "data.created_at": 1713938954,
    "data.finished_at": 1713938972,
}


def _puts(*paths: str) -> Edit:
    return combined(*(put(path, _DOCUMENT_ANSWER[path]) for path in paths))


def _mixed(pick: str) -> Wrap:
    """A host that keeps what it last knew of a stream in one place for all, and gives blocking runs
    ``pick`` of it.
    """

    def wrap(app: ASGIApp) -> ASGIApp:
        last: list[Event] = []

        async def remember(frames: Frames) -> Frames:
            async for frame in frames:
                event = event_of(frame)
                if event is not None:
                    last.append(event)
                yield frame

        def change_response(request: Request, response: Response) -> Response:
            if not (request.is_run and response.status == 200 and last):
                return response
            return response.with_json(_with_ids(response.json, last[-1], pick))

        return change_responses(lambda: change_response)(
            change_streams(lambda: lambda _: remember)(app)
        )

    return wrap


def _with_ids(change_response: Any, other: Event, pick: str) -> Any:
    if pick == "run as task":
        return put("task_id", other["workflow_run_id"])(change_response)
    if pick == "task":
        return put("task_id", other["task_id"])(change_response)
    return combined(
        put("workflow_run_id", other["workflow_run_id"]), put("data.id", other["workflow_run_id"])
    )(change_response)


def _foreign_event() -> Callable[[Request], StreamChange]:
    async def change_frames(frames: Frames) -> Frames:
        seen = 0
        async for frame in frames:
            yield frame
            event = event_of(frame)
            seen += 1
            if event is not None and seen == 3:
                yield frame_of(
                    {
                        **event,
                        "task_id": event["task_id"][::-1],
                        "workflow_run_id": event["workflow_run_id"][::-1],
                    }
                )

    return lambda _: change_frames


def _inputs_of_the_last() -> Callable[[Request], StreamChange]:
    """Each stream has the inputs of the run that was sent last; here of one that nobody
    sent.
    """
    edit = combined(put("data.inputs.prompt", "a cat"), put("data.inputs.model_name", "dosmix_"))

    async def change_frames(frames: Frames) -> Frames:
        async for frame in frames:
            event = event_of(frame)
            yield (
                frame_of(edit(event))
                if event is not None and event["event"] == "workflow_started"
                else frame
            )

    return lambda _: change_frames


def _one_at_a_time(refuse: bool) -> Wrap:
    """Runs wait for each other, or are refused with 429 while another runs."""

    def wrap(app: ASGIApp) -> ASGIApp:
        running = asyncio.Lock()

        async def mutant_app(scope: Scope, receive: Receive, send: Send) -> None:
            if (scope["method"], scope["path"]) != ("POST", "/v1/workflows/run"):
                await app(scope, receive, send)
            elif refuse and running.locked():
                await _send_busy(send)
            else:
                async with running:
                    await app(scope, receive, send)

        return mutant_app

    return wrap


async def _send_busy(send: Send) -> None:
    body = (
        json.dumps(
            {"code": "too_many_requests", "message": "Too many requests.", "status": 429}
        ).encode()
        + b"\n"
    )
    headers = [(b"Content-Type", b"application/json"), (b"Content-Length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 429, "headers": headers})
    await send({"type": "http.response.body", "body": body})


_QUEUED_S = 4.0


def _blocking_runs_queued(app: ASGIApp) -> ASGIApp:
    """Each blocking run is answered some seconds after it has ended."""

    async def mutant_app(scope: Scope, receive: Receive, send: Send) -> None:
        async def late(message: Message) -> None:
            if (
                message["type"] == "http.response.start"
                and message["status"] == 200
                and not _is_stream(message)
            ):
                await asyncio.sleep(_QUEUED_S)
            await send(message)

        await app(scope, receive, late if scope["path"] == RUN_PATH else send)

    return mutant_app


def _is_stream(start: Message) -> bool:
    return any(value.startswith(b"text/event-stream") for _, value in start["headers"])


def _untitled_nodes_with_a_model() -> Callable[[Request], StreamChange]:
    """Nodes have no title in the streams of runs that name their model."""

    async def untitled(frames: Frames) -> Frames:
        async for frame in frames:
            event = event_of(frame)
            yield frame if event is None else frame_of(drop("data.title")(event))

    async def unchanged(frames: Frames) -> Frames:
        async for frame in frames:
            yield frame

    return lambda request: (
        untitled if "model_name" in request.fields.get("inputs", {}) else unchanged
    )


# fmt: off
AREA.add("answers_frozen", "Every blocking run gets the response of the first.",
         "each_run_has_ids_of_its_own", change_responses(_same_answer))
AREA.add("streams_frozen", "Every streaming run gets the frames of the first.",
         "node_frames_lie_apart_by_their_elapsed_time", change_streams(_same_stream), speed=RHYTHM)
AREA.add("answer_of_the_document", "Every blocking run has the document's ids and times.",
         "run_finished_just_now", edit_run_json(_puts(*_DOCUMENT_ANSWER)))
AREA.add("answer_times_of_the_document", "Every blocking run has the document's times.",
         "run_finished_just_now",
         edit_run_json(_puts("data.elapsed_time", "data.created_at", "data.finished_at")))
AREA.add("task_ids_frozen", "Every blocking run has the same task_id.",
         "each_run_has_ids_of_its_own", edit_run_json(_puts("task_id")))
AREA.add("run_ids_frozen", "Every blocking run has the same run id.", "each_run_has_ids_of_its_own",
         edit_run_json(_puts("workflow_run_id", "data.id")))
AREA.add("elapsed_frozen", "Every run of both kinds took the same time to the last digit.",
         "each_run_is_timed_for_itself", edit_run_json(_puts("data.elapsed_time")))
AREA.add("sequence_number_frozen", "Every run of the app has the same sequence_number.",
         "sequence_number_grows_from_run_to_run",
         edit_events("workflow_started workflow_finished", put("data.sequence_number", 7)))
AREA.add(
    "end_user_new_each_run", "A user is another end user in every run.",
    "user_has_one_id_in_all_runs",
    edit_events("workflow_finished", change("data.created_by.id", lambda _: str(uuid.uuid4()))))

# Mixed
AREA.add("task_ids_mixed", "A blocking run has the task of the stream beside it.",
         "runs_at_once_have_ids_of_their_own", _mixed("task"), speed=RHYTHM)
AREA.add("run_ids_mixed", "A blocking run has the run id of the stream beside it.",
         "runs_at_once_have_ids_of_their_own", _mixed("run"), speed=RHYTHM)
AREA.add("foreign_event", "An event of another run is in the stream.",
         "task_id_is_constant_in_a_stream", change_streams(_foreign_event))
AREA.add("inputs_mixed", "A stream has the inputs of another run.",
         "prompt_comes_back_character_for_character", change_streams(_inputs_of_the_last))
AREA.add("workflow_ids_fresh", "Each stream has a workflow_id of its own.",
         "workflow_id_is_the_same_in_both_modes",
         edit_events(
             "*",
             lambda event: (
                 put("data.workflow_id", event["workflow_run_id"])(event)
                 if "workflow_id" in event["data"]
                 else event
             ),
         ))

# At once
AREA.add("runs_wait_for_each_other", "Two runs at once come one after the other.",
         "runs_at_once_do_not_wait_for_each_other first_frame_comes_at_once",
         _one_at_a_time(refuse=False), speed=RHYTHM)
AREA.add("blocking_runs_queued", "Each blocking run gets its response seconds after it has ended.",
         "runs_at_once_do_not_wait_for_each_other", _blocking_runs_queued, speed=RHYTHM)
AREA.add("second_run_refused", "A second run at once is refused with 429.",
         "streaming_run_is_200 documents_own_request_gets_200", _one_at_a_time(refuse=True),
         speed=RHYTHM)
AREA.add("task_and_run_ids_mixed",
         "A blocking run has, as its task, the run id of the stream beside it.",
         "each_frame_belongs_to_its_run", _mixed("run as task"), speed=RHYTHM)
AREA.add("nodes_untitled_with_a_model",
         "Nodes have no title in the streams of runs that name their model.",
         "every_frame_is_as_its_schema", change_streams(_untitled_nodes_with_a_model))
# fmt: on
