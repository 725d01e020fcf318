"""A recorded host: the next recorded answer to each request, told anew for its caller.

Judged live, before a recording is looked for: limits of the proxy, routes, keys, kinds of apps,
signatures of pictures and their age, what CORS grants. Everything else is what the host said.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Protocol

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from dify_wire.exchange import Recording
from dify_wire.exchange import Request as RecordedRequest
from dify_wire.recording.matching import RequestKey
from dify_wire.recording.store import NotRecordedError, recording_store
from fake_server.endpoints.files import check_signature
from fake_server.host_spec import HostSpec
from fake_server.http.request import Request
from fake_server.replay.aliases import Aliases
from fake_server.replay.images import recorded_pictures
from fake_server.replay.loading import (
    LoadedRecordings,
    app_labels,
    load_recordings,
    shortened_bodies,
)
from fake_server.replay.misses import miss_response
from fake_server.replay.responses import Answers, Caller
from fake_server.settings import Settings

log = logging.getLogger("fake_server")

_WITHOUT_KEY = "getIndex"
_LIVE = ("getImagePreview",)
_LIVE_REFUSAL = "token_unknown"

_LONG_BODY = 64 << 10


def load_replay(settings: Settings, spec: HostSpec) -> Replay | None:
    """The replay of ``settings``; None where nothing is replayed.

    Raises ``dify_wire.text_file.RecordingError`` for a folder that cannot be used,
    ``SettingsError`` where misses cannot be treated as the settings say.
    """
    if settings.replay is None:
        return None
    without_key = frozenset(one.path for one in spec.operations if one.operation_id == _WITHOUT_KEY)
    loaded = load_recordings(settings.replay, without_key)
    forwards = None
    if settings.on_miss in ("forward", "record"):
        from fake_server.replay.forwarding import Forwarding  # which loads the recorder

        forwards = Forwarding(settings, app_labels(settings))
    return Replay(settings, loaded, forwards)


class Forwards(Protocol):
    """An ASGI app that passes requests on to a real host."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    def end(self) -> None: ...

    def close(self) -> None: ...


class Replay:
    """Answers the requests of one server from ``loaded``; ``forwards``, if any, takes what was not
    recorded.
    """

    def __init__(
        self, settings: Settings, loaded: LoadedRecordings, forwards: Forwards | None
    ) -> None:
        self._misses_are_faked = settings.on_miss == "fake"
        self._labels = app_labels(settings)
        after_last = settings.after_last or "repeat"
        self._labelled = recording_store(loaded.labelled, after_last, self._labels)
        self._others = recording_store(loaded.others, after_last, self._labels)
        self._as_kept = shortened_bodies(loaded.labelled)
        self._pictures = recorded_pictures(loaded.whole)
        self._forwards = forwards
        self._aliases = Aliases()
        self._answers = Answers(self._aliases, frozenset(self._pictures))

    def end(self) -> None:
        """Stop playing, now and whatever still begins: the server is going down."""
        self._answers.end()
        if self._forwards:
            self._forwards.end()

    def close(self) -> None:
        """Have everything written that was recorded on the way; the server has ended."""
        if self._forwards:
            self._forwards.close()

    async def response(self, request: Request) -> ASGIApp | None:
        """The response to ``request``; None where the fake's own endpoint is to give it.
        Raises ``HostError``.
        """
        operation = request.operation
        if operation.operation_id == "getToolFile":
            return self._image(request)
        if operation.operation_id in _LIVE or operation.refusal == _LIVE_REFUSAL:
            return None
        if operation.operation_id != _WITHOUT_KEY:
            request.app()
        body = await request.body()
        as_recorded = _as_recorded(request.scope, self._as_kept(body))
        caller = Caller(self._label(request), *self._aliases.resolved(as_recorded))
        task_id = request.parameters.get("task_id")
        if task_id:
            self._answers.stop(task_id, caller)
        try:
            recording = await self._found(RequestKey(caller.request, caller.label))
        except NotRecordedError as miss:
            if task_id and self._answers.has_told(task_id):
                return None  # a run of this replay can always be stopped
            log.warning("replay: %s", miss)
            if self._forwards:
                request.unread(body)
                return self._forwards
            return None if self._misses_are_faked else miss_response(miss, request)
        return self._answers.told(recording, caller, request)

    def _image(self, request: Request) -> ASGIApp | None:
        file_id = request.parameters["file_id"].lower()
        recording = self._pictures.get(self._aliases.recorded(file_id))
        if recording is not None:
            check_signature(request)
            return self._answers.picture(recording, request)
        return None if file_id in request.host.store.images else self._forwards

    def _label(self, request: Request) -> str | None:
        """What recordings call the app of the request's key, which has been judged before."""
        authorization = request.headers.get(b"authorization", b"").decode("latin-1").split(None, 1)
        return self._labels.get(authorization[1].strip()) if len(authorization) == 2 else None

    async def _found(self, question: RequestKey) -> Recording:
        """As ``_next``; a long body is read, and what comes close to a miss is found, while streams
        go on.
        """
        if len(question.request.body) > _LONG_BODY or not self._knows(question):
            return await run_in_threadpool(self._next, question)
        return self._next(question)

    def _knows(self, question: RequestKey) -> bool:
        return self._labelled.knows(question) or self._others.knows(replace(question, app=None))

    def _next(self, question: RequestKey) -> Recording:
        """The recording whose turn it is. Raises ``NotRecordedError``."""
        of_any_app = replace(question, app=None)
        if self._others.knows(of_any_app):
            return self._others.next(of_any_app)
        return self._labelled.next(question)


def _as_recorded(scope: Scope, body: bytes) -> RecordedRequest:
    """The request in the form of the recordings."""
    query = scope["query_string"].decode("latin-1")
    path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
    headers = tuple(
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
    )
    return RecordedRequest(
        scope["method"], f"{path}?{query}" if query else path, headers, body, scope["http_version"]
    )
