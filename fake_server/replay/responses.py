"""Replays recordings: each once with its own ids, and with fresh ones when it is repeated."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from dify_wire.exchange import Chunk, Recording
from dify_wire.exchange import Request as RecordedRequest
from dify_wire.redaction.fields import user_of
from fake_server.bounded import BoundedDict
from fake_server.clock import Clock, Wait
from fake_server.http.request import Request
from fake_server.http.responses import RawHeaders
from fake_server.images import ImageRecord
from fake_server.replay.rewrite import (
    Aliases,
    Changes,
    RunEnd,
    file_ids,
    frames_data,
    is_stream,
    json_object,
    own_ids,
    rewritten,
    run_end,
    shift_s,
    stopped_response,
    stopped_stream,
)
from fake_server.runs.playback import Pace, next_stop_s
from fake_server.runs.random_values import RandomValues
from fake_server.store import StoredImage


class Playing:
    """Chunks played at ``speed`` (None: without waiting); the response ends after ``seconds``."""

    def __init__(
        self, chunks: Sequence[Chunk], seconds: float, clock: Clock, speed: float | None
    ) -> None:
        self._chunks = tuple(chunks)
        self._seconds = max(seconds, chunks[-1].at_s if chunks else 0.0)
        self._clock = clock
        self._speed = speed
        self._pace = Pace(speed)
        self._started = clock.ticks()
        self._wait = Wait(clock)
        self._sent = 0

    @property
    def abandoned(self) -> bool:
        """Whether the server is going down."""
        return self._wait.over

    @property
    def size(self) -> int:
        """The bytes of the whole body."""
        return sum(len(chunk.data) for chunk in self._chunks)

    @property
    def elapsed_s(self) -> float:
        """Where it is now, in seconds of the recording."""
        return self._pace.timeline_s(self._clock.ticks() - self._started, self._seconds)

    def sent_by(self, at_s: float) -> tuple[Chunk, ...]:
        """The chunks that are sent at second ``at_s``."""
        due = tuple(chunk for chunk in self._chunks[self._sent :] if chunk.at_s < at_s)
        return self._chunks[: self._sent] + due

    @property
    def stops_at_s(self) -> float | None:
        """When a stop that is requested now takes effect; None if it ends before."""
        at_s = next_stop_s(self.elapsed_s, self._speed)
        return at_s if self._chunks and at_s < self._chunks[-1].at_s else None

    def play_instead(self, chunks: Sequence[Chunk]) -> None:
        """Continue with other chunks, of which those that are sent are the first."""
        self._chunks = tuple(chunks)
        self._seconds = chunks[-1].at_s
        self._wait.wake()

    def end(self) -> None:
        """Stop playing: the server is going down. From any thread."""
        self._wait.end()

    async def next(self, receive: Receive) -> bytes | None:
        """The next chunk when it is due; None after the last, or if the client leaves."""
        # While it waits, the next chunk may be replaced.
        if self._sent == len(self._chunks) or not await self._until(
            lambda: self._chunks[self._sent].at_s, receive
        ):
            return None
        self._sent += 1
        return self._chunks[self._sent - 1].data

    async def over(self, receive: Receive) -> bool:
        """Wait until the response is over; False if the client leaves before."""
        all_sent = self._sent == len(self._chunks)
        return all_sent and await self._until(lambda: self._seconds, receive)

    async def _until(self, at_s: Callable[[], float], receive: Receive) -> bool:
        return await self._wait.until(lambda: self._started + self._pace.clock_s(at_s()), receive)


class ReplayedResponse:
    """An ASGI app that sends a recorded response; unless ``is_whole``, it breaks off at the end.

    ``head`` is called before the first chunk is sent: only then the length is certain. ``playing``
    is registered with ``registered`` while it is sent.
    """

    def __init__(
        self,
        head: Callable[[], Message],
        playing: Playing,
        is_whole: bool,
        registered: AbstractContextManager[None],
        break_off: Callable[[], Awaitable[None]],
    ) -> None:
        self._head = head
        self._playing = playing
        self._is_whole = is_whole
        self._registered = registered
        self._break_off = break_off

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._registered:
            is_over = await self._play(receive, send)
        if is_over and self._is_whole:
            await send({"type": "http.response.body", "body": b""})
        elif is_over or self._playing.abandoned:
            await self._break_off()

    async def _play(self, receive: Receive, send: Send) -> bool:
        """Send head and chunks; returns whether the end was reached."""
        has_begun = False
        while (data := await self._playing.next(receive)) is not None:
            if not has_begun:
                await send(self._head())
                has_begun = True
            await send({"type": "http.response.body", "body": data, "more_body": True})
        is_over = await self._playing.over(receive)
        if is_over and not has_begun:
            await send(self._head())
        return is_over


_MOST_TASKS = 20_000
_OF_THE_CONNECTION = frozenset({"server", "date", "connection", "keep-alive", "transfer-encoding"})
_CORS = (b"access-control-", b"vary")


@dataclass(frozen=True, slots=True)
class Caller:
    """The ``label`` of the caller's app, and its ``request`` with the ids of the recorded host.

    ``called`` are the names that the caller has for some of them.
    """

    label: str | None
    request: RecordedRequest
    called: Mapping[str, str]


class ReplayedResponses:
    """All recorded responses that a server is sending.

    ``recorded_images`` are the ids of the files that need no placeholder.
    """

    def __init__(self, aliases: Aliases, recorded_images: frozenset[str]) -> None:
        self._aliases = aliases
        self._recorded_images = recorded_images
        self._times: Counter[int] = Counter()
        self._playing: set[Playing] = set()
        self._runs: dict[str, _Run] = {}
        self._tasks: BoundedDict[str, bool] = BoundedDict(_MOST_TASKS)
        self._is_ending = False

    def start(self, recording: Recording, caller: Caller, request: Request) -> ReplayedResponse:
        """``recording`` as the response to ``request``."""
        host = request.host
        random = host.random.for_request("replay", recording.name, recording.sent_at)
        ids = {**self._fresh_ids(recording, random), **caller.called}
        chunks = rewritten(recording.chunks, _changes(recording, caller, ids, random, request))
        for file_id in file_ids(recording.body):
            if file_id not in self._recorded_images:
                image = StoredImage(placeholder(recording, file_id))
                host.store.images[ids.get(file_id, file_id)] = image
        playing = Playing(chunks, recording.seconds, host.clock, host.settings.speed)
        run = _run_of(recording, caller, playing, chunks)
        return self._response(recording, request, playing, lambda: playing.size, run)

    def image(self, recording: Recording, request: Request) -> ReplayedResponse:
        """A recorded image, byte for byte."""
        self._times[id(recording)] += 1
        chunks = recording.chunks if request.scope["method"] != "HEAD" else ()
        clock, speed = request.host.clock, request.host.settings.speed
        playing = Playing(chunks, chunks[-1].at_s if chunks else 0.0, clock, speed)
        return self._response(recording, request, playing, lambda: len(recording.body), None)

    def stop(self, task_id: str, caller: Caller) -> None:
        """Stop the run of that id if it is being sent, to this caller."""
        run = self._runs.get(task_id)
        if run is not None and (run.label, run.user) == (caller.label, user_of(caller.request)):
            run.stop()

    def times(self, recording: Recording) -> int:
        """How often ``recording`` was the response."""
        return self._times[id(recording)]

    def has_started(self, task_id: str) -> bool:
        """Whether a run of that id was started here."""
        return task_id in self._tasks

    def end(self) -> None:
        """Stop sending, now and whatever still starts: the server is going down."""
        self._is_ending = True
        for playing in list(self._playing):
            playing.end()

    def _response(
        self,
        recording: Recording,
        request: Request,
        playing: Playing,
        size: Callable[[], int],
        run: _Run | None,
    ) -> ReplayedResponse:
        completed = request.complete_headers()

        def head() -> Message:
            return {
                "type": "http.response.start",
                "status": recording.status,
                "reason": recording.reason.encode("latin-1", "replace"),
                "headers": _headers(recording, size(), completed),
            }

        is_whole, registered = recording.ended == "complete", self._registered(playing, run)
        return ReplayedResponse(head, playing, is_whole, registered, request.break_off)

    def _fresh_ids(self, recording: Recording, random: RandomValues) -> dict[str, str]:
        """Fresh ids unless it is the first time: two clients never share a task."""
        self._times[id(recording)] += 1
        if self._times[id(recording)] == 1:
            return {}
        fresh = {recorded: random.uuid() for recorded in own_ids(recording.body, recording.request)}
        self._aliases.add(fresh)
        return fresh

    @contextlib.contextmanager
    def _registered(self, playing: Playing, run: _Run | None) -> Iterator[None]:
        self._playing.add(playing)
        if self._is_ending:
            playing.end()
        if run is not None:
            self._tasks[run.task_id] = True
            self._runs[run.task_id] = run
        try:
            yield
        finally:
            self._playing.discard(playing)
            if run is not None and self._runs.get(run.task_id) is run:
                del self._runs[run.task_id]


@dataclass(frozen=True, slots=True)
class _Run:
    """A recorded run being sent. Only the app and user that started it can stop it (FACTS 7)."""

    task_id: str
    label: str | None
    user: str | None
    playing: Playing
    chunks: Sequence[Chunk]
    end: RunEnd
    streaming: bool

    def stop(self) -> None:
        """Stop it at the host's next check, unless it ends before or was stopped when recorded."""
        at_s = None if self.end.is_stopped else self.playing.stops_at_s
        if at_s is None:
            return
        stopped = stopped_stream if self.streaming else stopped_response
        chunks = stopped(self.playing.sent_by(at_s), self.chunks, self.end, at_s)
        if chunks is not None:
            self.playing.play_instead(chunks)


def _run_of(
    recording: Recording, caller: Caller, playing: Playing, chunks: Sequence[Chunk]
) -> _Run | None:
    """The run in the response, if it has an end."""
    streaming = is_stream(recording)
    end = run_end(b"".join(chunk.data for chunk in chunks), streaming)
    task_id = end.payload.get("task_id") if end else None
    if end is None or not isinstance(task_id, str):
        return None
    return _Run(task_id, caller.label, user_of(caller.request), playing, chunks, end, streaming)


def _changes(
    recording: Recording,
    caller: Caller,
    ids: Mapping[str, str],
    random: RandomValues,
    request: Request,
) -> Changes:
    host = request.host
    recorded_user, user = user_of(recording.request), user_of(caller.request)
    host_header = request.headers.get(b"host", b"").decode("latin-1")
    own_origin = f"{request.scope['scheme']}://{host_header}" if host_header else ""
    return Changes(
        shift_s=shift_s(recording, host.clock.now(), host.settings.speed),
        ids=ids,
        nonce=random.nonce,
        signers=host.signers,
        user=(recorded_user, user) if recorded_user and user else None,
        origin=host.settings.files_url,
        own_origin=host.settings.files_url or own_origin,
    )


def _headers(recording: Recording, size: int, completed: RawHeaders) -> RawHeaders:
    """The recorded headers for a body of ``size`` bytes.

    CORS headers are those in ``completed``, which the fake grants this caller, at the place of the
    recorded ones; a response without any gets none.
    """
    headers: RawHeaders = []
    for name, value in recording.headers:
        lower = name.lower()
        if lower == "access-control-allow-origin":
            headers += [pair for pair in completed if pair[0].lower().startswith(_CORS)]
        elif lower == "content-length":
            length = str(_content_length(recording, value.strip(), size))
            headers.append((name.encode("latin-1"), length.encode()))
        elif lower in _OF_THE_CONNECTION or lower.startswith("access-control-"):
            continue
        elif lower != "vary" or value.strip().lower() != "origin":
            headers.append((name.encode("latin-1"), value.encode("latin-1")))
    return headers


def _content_length(recording: Recording, recorded: str, size: int) -> int:
    """The recorded length of a body that has another size now; what never arrived is missing."""
    if not recorded.isdigit():
        return size
    if recording.request.method == "HEAD":
        return int(recorded)
    return int(recorded) + size - len(recording.body)


def placeholder(recording: Recording, file_id: str) -> ImageRecord:
    """What replaces an image that was not recorded: drawn from the prompt of its node."""
    inputs = _inputs_of_node(recording.body, file_id) or _inputs(
        json_object(recording.request.body)
    )
    texts = [value for value in inputs.values() if isinstance(value, str)]
    prompt = str(inputs.get("prompt") or next(iter(texts), ""))
    model = str(inputs.get("model") or inputs.get("model_name") or "")
    return ImageRecord(prompt, model, int(file_id.replace("-", "")[:8], 16))


def _inputs_of_node(stream: bytes, file_id: str) -> Mapping[str, Any]:
    for frame in frames_data(stream):
        data = frame.get("data")
        is_tool = isinstance(data, dict) and data.get("node_type") == "tool"
        if isinstance(data, dict) and is_tool and file_id in str(data.get("outputs")):
            return _inputs(data)
    return {}


def _inputs(owner: Mapping[str, Any]) -> Mapping[str, Any]:
    inputs = owner.get("inputs")
    return inputs if isinstance(inputs, dict) else {}
