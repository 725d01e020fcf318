"""Tells recordings anew: each once with its own ids, and with fresh ones whenever it is told
again.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from starlette.types import Message

from dify_wire.exchange import Chunk, Recording, Request
from dify_wire.redaction.fields import user_of
from fake_server.bounded import BoundedDict
from fake_server.http.request import Request as LiveRequest
from fake_server.replay.aliases import Aliases
from fake_server.replay.heads import own_headers
from fake_server.replay.images import placeholder
from fake_server.replay.outcome import Outcome, is_stream, outcome, shift_s
from fake_server.replay.playing import Playing, ReplayedAnswer
from fake_server.replay.rewrite import Changes, file_ids, own_ids, retold
from fake_server.replay.stopping import stopped_answer, stopped_stream
from fake_server.runs.random_values import RandomValues
from fake_server.store import StoredImage

_MOST_TASKS = 20_000


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: ``label`` of the app, and ``request`` with the ids that the recorded host knew.

    ``called`` are the names that the caller has for some of them.
    """

    label: str | None
    request: Request
    called: Mapping[str, str]


class Answers:
    """All answers from recordings that a server is giving. ``with_picture`` are the files that need
    no placeholder.
    """

    def __init__(self, aliases: Aliases, with_picture: frozenset[str]) -> None:
        self._aliases = aliases
        self._with_picture = with_picture
        self._times: Counter[int] = Counter()
        self._playing: set[Playing] = set()
        self._runs: dict[str, _Run] = {}
        self._tasks: BoundedDict[str, bool] = BoundedDict(_MOST_TASKS)
        self._ending = False

    def told(self, recording: Recording, caller: Caller, call: LiveRequest) -> ReplayedAnswer:
        """``recording`` as the answer to ``call``."""
        draw = call.host.random.for_request("replay", recording.name, recording.sent_at)
        ids = {**self._ids(recording, draw), **caller.called}
        chunks = retold(recording.chunks, _changes(recording, caller, ids, draw, call))
        self._keep_placeholders(recording, ids, call)
        playing = Playing(chunks, recording.seconds, call.host.clock, call.host.settings.speed)
        run = _run(recording, caller, playing, chunks)
        return self._answer(recording, call, playing, lambda: playing.size, run)

    def picture(self, recording: Recording, call: LiveRequest) -> ReplayedAnswer:
        """A recorded picture, to the byte."""
        chunks = recording.chunks if call.scope["method"] != "HEAD" else ()
        playing = Playing(
            chunks, chunks[-1].at_s if chunks else 0.0, call.host.clock, call.host.settings.speed
        )
        return self._answer(recording, call, playing, lambda: len(recording.body), None)

    def stop(self, task_id: str, caller: Caller) -> None:
        """Stop the run of that id, if it is being told, to this very caller."""
        run = self._runs.get(task_id)
        if run is not None and (run.label, run.user) == (caller.label, user_of(caller.request)):
            run.stop()

    def has_told(self, task_id: str) -> bool:
        """Whether a run of that id was begun here."""
        return self._tasks.get(task_id) is not None

    def end(self) -> None:
        """Stop telling, now and whatever still begins: the server is going down."""
        self._ending = True
        for playing in list(self._playing):
            playing.end()

    def _answer(
        self,
        recording: Recording,
        call: LiveRequest,
        playing: Playing,
        size: Callable[[], int],
        run: _Run | None,
    ) -> ReplayedAnswer:
        completed = call.complete_headers()

        def head() -> Message:
            start = {
                "status": recording.status,
                "reason": recording.reason.encode("latin-1", "replace"),
            }
            return {
                "type": "http.response.start",
                **start,
                "headers": own_headers(recording, size(), completed),
            }

        is_whole = recording.ended == "complete"
        return ReplayedAnswer(head, playing, is_whole, self._known(playing, run), call.break_off)

    def _ids(self, recording: Recording, draw: RandomValues) -> dict[str, str]:
        """Fresh ids, unless it is told for the first time: two clients never share a task."""
        self._times[id(recording)] += 1
        if self._times[id(recording)] == 1:
            return {}
        fresh = {recorded: draw.uuid() for recorded in own_ids(recording.body, recording.request)}
        self._aliases.add(fresh)
        return fresh

    def _keep_placeholders(
        self, recording: Recording, ids: Mapping[str, str], call: LiveRequest
    ) -> None:
        for file_id in file_ids(recording.body):
            if file_id not in self._with_picture:
                picture = placeholder(recording, file_id)
                call.host.store.images[ids.get(file_id, file_id)] = StoredImage(picture)

    @contextlib.contextmanager
    def _known(self, playing: Playing, run: _Run | None) -> Iterator[None]:
        self._playing.add(playing)
        if self._ending:
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
    """A recorded run being told: only the app and the user that started it can stop it (FACTS
    7).
    """

    task_id: str
    label: str | None
    user: str | None
    playing: Playing
    chunks: Sequence[Chunk]
    end: Outcome
    streaming: bool

    def stop(self) -> None:
        """End it as stopped at the host's next look, unless it ends before, or was stopped when it
        was recorded.
        """
        at_s = None if self.end.stopped else self.playing.stops_at_s
        if at_s is None:
            return
        stopped = stopped_stream if self.streaming else stopped_answer
        chunks = stopped(self.playing.told(at_s), self.chunks, self.end, at_s)
        if chunks is not None:
            self.playing.play_instead(chunks)


def _run(
    recording: Recording, caller: Caller, playing: Playing, chunks: Sequence[Chunk]
) -> _Run | None:
    """The run that is told, if it is one that has an end."""
    streaming = is_stream(recording)
    end = outcome(b"".join(chunk.data for chunk in chunks), streaming)
    task_id = end.said.get("task_id") if end else None
    if end is None or not isinstance(task_id, str):
        return None
    return _Run(task_id, caller.label, user_of(caller.request), playing, chunks, end, streaming)


def _changes(
    recording: Recording,
    caller: Caller,
    ids: Mapping[str, str],
    draw: RandomValues,
    call: LiveRequest,
) -> Changes:
    host = call.host
    recorded_user, user = user_of(recording.request), user_of(caller.request)
    asked_host = call.headers.get(b"host", b"").decode("latin-1")
    return Changes(
        shift_s=shift_s(recording, host.clock.now(), host.settings.speed),
        ids=ids,
        nonce=draw.nonce,
        signers=host.signers,
        user=(recorded_user, user) if recorded_user and user else None,
        origin=host.settings.files_url,
        own_origin=host.settings.files_url
        or (f"{call.scope['scheme']}://{asked_host}" if asked_host else ""),
    )
