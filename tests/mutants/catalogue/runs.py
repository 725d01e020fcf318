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

from tests.mutants.breaking import (
    RUN_PATH,
    Answering,
    Frames,
    Heard,
    Said,
    Telling,
    Wrap,
    answering,
    telling,
)
from tests.mutants.edits import (
    Edit,
    Event,
    both,
    change,
    drop,
    event_of,
    frame_of,
    put,
    run_answers,
    told,
)
from tests.mutants.mutant import RHYTHM, Area

AREA = Area("runs")


def _same_answer() -> Answering:
    """The first blocking answer for every run."""
    first: list[bytes] = []

    def answer(heard: Heard, said: Said) -> Said:
        if not (heard.is_run and said.status == 200):
            return said
        first.append(said.body)
        return said.with_body(first[0])

    return answer


def _same_stream() -> Callable[[Heard], Telling]:
    """The first stream for every run."""
    first: list[bytes] = []

    async def tell(frames: Frames) -> Frames:
        own = [frame async for frame in frames]
        first[:] = first or own
        for frame in first:
            yield frame

    return lambda _: tell


_DOCUMENT_ANSWER = {
    "task_id": "40a1cce0-f8d1-4fa9-8d03-857ed804fe2a",
    "workflow_run_id": "00c81e90-5f5c-4606-8c10-de9195f5d159",
    "data.id": "00c81e90-5f5c-4606-8c10-de9195f5d159",
    "data.elapsed_time": 18.601953488003346,
    "data.created_at": 1713938954,
    "data.finished_at": 1713938972,
}


def _puts(*paths: str) -> Edit:
    return both(*(put(path, _DOCUMENT_ANSWER[path]) for path in paths))


AREA.add(
    "answers_frozen",
    "Every blocking run gets the answer of the first.",
    "each_run_has_ids_of_its_own",
    answering(_same_answer),
)
AREA.add(
    "streams_frozen",
    "Every streaming run gets the frames of the first.",
    "node_frames_lie_apart_by_their_elapsed_time",
    telling(_same_stream),
    speed=RHYTHM,
)
AREA.add(
    "answer_of_the_document",
    "Every blocking run has the document's ids and times.",
    "run_finished_just_now",
    run_answers(_puts(*_DOCUMENT_ANSWER)),
)
AREA.add(
    "answer_times_of_the_document",
    "Every blocking run has the document's times.",
    "run_finished_just_now",
    run_answers(_puts("data.elapsed_time", "data.created_at", "data.finished_at")),
)
AREA.add(
    "task_ids_frozen",
    "Every blocking run has the same task_id.",
    "each_run_has_ids_of_its_own",
    run_answers(_puts("task_id")),
)
AREA.add(
    "run_ids_frozen",
    "Every blocking run has the same run id.",
    "each_run_has_ids_of_its_own",
    run_answers(_puts("workflow_run_id", "data.id")),
)
AREA.add(
    "elapsed_frozen",
    "Every run of both kinds took the same time to the last digit.",
    "each_run_is_timed_for_itself",
    run_answers(_puts("data.elapsed_time")),
)

AREA.add(
    "sequence_number_frozen",
    "Every run of the app has the same sequence_number.",
    "sequence_number_grows_from_run_to_run",
    told("workflow_started workflow_finished", put("data.sequence_number", 7)),
)
AREA.add(
    "end_user_new_each_run",
    "A user is another end user in every run.",
    "user_has_one_id_in_all_runs",
    told("workflow_finished", change("data.created_by.id", lambda _: str(uuid.uuid4()))),
)

# Mixed
# ----------------------------------------------------------------------------------------------------------------


def _mixed(pick: str) -> Wrap:
    """A host that keeps what it last knew of a stream in one place for all, and tells blocking runs
    ``pick`` of it.
    """

    def wrap(app: ASGIApp) -> ASGIApp:
        last: list[Event] = []

        async def remember(frames: Frames) -> Frames:
            async for frame in frames:
                said = event_of(frame)
                if said is not None:
                    last.append(said)
                yield frame

        def answer(heard: Heard, said: Said) -> Said:
            if not (heard.is_run and said.status == 200 and last):
                return said
            return said.with_json(_with_ids(said.json, last[-1], pick))

        return answering(lambda: answer)(telling(lambda: lambda _: remember)(app))

    return wrap


def _with_ids(answer: Any, other: Event, pick: str) -> Any:
    if pick == "run as task":
        return put("task_id", other["workflow_run_id"])(answer)
    if pick == "task":
        return put("task_id", other["task_id"])(answer)
    return both(
        put("workflow_run_id", other["workflow_run_id"]), put("data.id", other["workflow_run_id"])
    )(answer)


def _foreign_event() -> Callable[[Heard], Telling]:
    async def tell(frames: Frames) -> Frames:
        told_so_far = 0
        async for frame in frames:
            yield frame
            said = event_of(frame)
            told_so_far += 1
            if said is not None and told_so_far == 3:
                yield frame_of(
                    {
                        **said,
                        "task_id": said["task_id"][::-1],
                        "workflow_run_id": said["workflow_run_id"][::-1],
                    }
                )

    return lambda _: tell


def _inputs_of_the_last() -> Callable[[Heard], Telling]:
    """Each stream tells the inputs of the run that was asked for last; here of one that nobody
    asked for.
    """
    edit = both(put("data.inputs.prompt", "a cat"), put("data.inputs.model_name", "dosmix_"))

    async def tell(frames: Frames) -> Frames:
        async for frame in frames:
            said = event_of(frame)
            yield (
                frame_of(edit(said))
                if said is not None and said["event"] == "workflow_started"
                else frame
            )

    return lambda _: tell


AREA.add(
    "task_ids_mixed",
    "A blocking run tells the task of the stream beside it.",
    "runs_at_once_have_ids_of_their_own",
    _mixed("task"),
    speed=RHYTHM,
)
AREA.add(
    "run_ids_mixed",
    "A blocking run tells the run id of the stream beside it.",
    "runs_at_once_have_ids_of_their_own",
    _mixed("run"),
    speed=RHYTHM,
)
AREA.add(
    "foreign_event",
    "An event of another run is in the stream.",
    "task_id_is_constant_in_a_stream",
    telling(_foreign_event),
)
AREA.add(
    "inputs_mixed",
    "A stream tells the inputs of another run.",
    "prompt_comes_back_character_for_character",
    telling(_inputs_of_the_last),
)
AREA.add(
    "workflow_ids_fresh",
    "Each stream has a workflow_id of its own.",
    "workflow_id_is_the_same_in_both_modes",
    told(
        "*",
        lambda said: (
            put("data.workflow_id", said["workflow_run_id"])(said)
            if "workflow_id" in said["data"]
            else said
        ),
    ),
)

# At once
# --------------------------------------------------------------------------------------------------------------


def _one_at_a_time(refuse: bool) -> Wrap:
    """Runs wait for each other, or are refused with 429 while another runs."""

    def wrap(app: ASGIApp) -> ASGIApp:
        running = asyncio.Lock()

        async def broken(scope: Scope, receive: Receive, send: Send) -> None:
            if (scope["method"], scope["path"]) != ("POST", "/v1/workflows/run"):
                await app(scope, receive, send)
            elif refuse and running.locked():
                await _send_busy(send)
            else:
                async with running:
                    await app(scope, receive, send)

        return broken

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


AREA.add(
    "runs_wait_for_each_other",
    "Two runs at once come one after the other.",
    "runs_at_once_do_not_wait_for_each_other first_frame_comes_at_once",
    _one_at_a_time(refuse=False),
    speed=RHYTHM,
)
_QUEUED_S = 4.0


def _blocking_runs_queued(app: ASGIApp) -> ASGIApp:
    """Each blocking run is answered some seconds after it has ended."""

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        async def late(message: Message) -> None:
            if (
                message["type"] == "http.response.start"
                and message["status"] == 200
                and not _is_stream(message)
            ):
                await asyncio.sleep(_QUEUED_S)
            await send(message)

        await app(scope, receive, late if scope["path"] == RUN_PATH else send)

    return broken


def _is_stream(start: Message) -> bool:
    return any(value.startswith(b"text/event-stream") for _, value in start["headers"])


AREA.add(
    "blocking_runs_queued",
    "Each blocking run is answered seconds after it has ended.",
    "runs_at_once_do_not_wait_for_each_other",
    _blocking_runs_queued,
    speed=RHYTHM,
)
AREA.add(
    "second_run_refused",
    "A second run at once is refused with 429.",
    "streaming_run_is_answered_200 documents_own_request_is_answered_200",
    _one_at_a_time(refuse=True),
    speed=RHYTHM,
)
AREA.add(
    "task_and_run_ids_mixed",
    "A blocking run tells, as its task, the run id of the stream beside it.",
    "each_frame_belongs_to_its_run",
    _mixed("run as task"),
    speed=RHYTHM,
)


def _untitled_nodes_with_a_model() -> Callable[[Heard], Telling]:
    """Nodes have no title in the streams of runs that name their model."""

    async def untitled(frames: Frames) -> Frames:
        async for frame in frames:
            said = event_of(frame)
            yield frame if said is None else frame_of(drop("data.title")(said))

    async def unchanged(frames: Frames) -> Frames:
        async for frame in frames:
            yield frame

    return lambda request: (
        untitled if "model_name" in request.fields.get("inputs", {}) else unchanged
    )


AREA.add(
    "nodes_untitled_with_a_model",
    "Nodes have no title in the streams of runs that name their model.",
    "every_frame_is_as_its_schema",
    telling(_untitled_nodes_with_a_model),
)
