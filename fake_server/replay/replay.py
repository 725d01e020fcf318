"""A recorded host: the next recorded answer to each request, told anew for its caller.

Judged live, before a recording is looked for: limits of the proxy, routes, keys, kinds of apps,
signatures of pictures and their age, what CORS grants. Everything else is what the host said.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dify_wire.exchange import Recording, Request
from dify_wire.recording.matching import RequestKey
from dify_wire.recording.store import NotRecordedError, recording_store
from fake_server.endpoints.call import Call, Handler
from fake_server.endpoints.files import check_signature
from fake_server.http.request_body import whole
from fake_server.http.responses import Answer, ProxyPage
from fake_server.replay.aliases import Aliases
from fake_server.replay.forwarding import Forwarding, forwarding
from fake_server.replay.images import recorded_pictures
from fake_server.replay.loading import (
    LoadedRecordings,
    app_labels,
    load_recordings,
    shortened_bodies,
)
from fake_server.replay.misses import miss_answer
from fake_server.replay.responses import Answers, Caller
from fake_server.settings import Settings
from fake_server.spec import HostSpec

log = logging.getLogger("fake_server")

_WITHOUT_KEY = "getIndex"
_LIVE = ("getImagePreview",)
_LIVE_REFUSAL = "token_unknown"

_LONG_BODY = 64 << 10

AnyAnswer = Answer | ProxyPage | ASGIApp


def load_replay(settings: Settings, spec: HostSpec) -> Replay | None:
    """The replay of ``settings``; None where nothing is replayed.

    Raises ``dify_wire.spec_error.RecordingError`` for a folder that cannot be used,
    ``SettingsError`` where misses cannot be treated as the settings say.
    """
    if settings.replay is None:
        return None
    without_key = frozenset(one.path for one in spec.operations if one.operation_id == _WITHOUT_KEY)
    loaded = load_recordings(settings.replay, without_key)
    return Replay(settings, loaded, forwarding(settings, app_labels(settings)))


class Replay:
    """Answers the requests of one server from ``loaded``; ``forwards``, if any, takes what was not
    recorded.
    """

    def __init__(
        self, settings: Settings, loaded: LoadedRecordings, forwards: Forwarding | None
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

    async def answer(self, call: Call, handler: Handler) -> AnyAnswer:
        """The answer to ``call``, whose ``handler`` would be the fake's own. Raises
        ``HostError``.
        """
        operation = call.operation
        if operation.operation_id == "getToolFile":
            return await self._picture(call, handler)
        if operation.operation_id in _LIVE or operation.refusal == _LIVE_REFUSAL:
            return await handler(call)
        if operation.operation_id != _WITHOUT_KEY:
            call.app()
        body = await whole(call.receive)
        request, called = self._aliases.resolved(_as_recorded(call.scope, self._as_kept(body)))
        caller = Caller(self._label(call), request, called)
        return await self._recorded(
            caller, replace(call, receive=_once_more(body, call.receive)), handler
        )

    async def _recorded(self, caller: Caller, call: Call, handler: Handler) -> AnyAnswer:
        task_id = call.parameters.get("task_id")
        if task_id:
            self._answers.stop(task_id, caller)
        try:
            recording = await self._found(RequestKey(caller.request, caller.label))
        except NotRecordedError as miss:
            if task_id and self._answers.has_told(task_id):
                return await handler(
                    call
                )  # a run that is told here can be stopped, whether that was recorded or not
            return await self._missed(miss, call, handler)
        return self._answers.told(recording, caller, call)

    async def _picture(self, call: Call, handler: Handler) -> AnyAnswer:
        file_id = call.parameters["file_id"].lower()
        recording = self._pictures.get(self._aliases.recorded(file_id))
        if recording is not None:
            check_signature(call)
            return self._answers.picture(recording, call)
        if self._forwards and call.host.store.pictures.get(file_id) is None:
            return self._forwards
        return await handler(call)

    async def _missed(self, miss: NotRecordedError, call: Call, handler: Handler) -> AnyAnswer:
        log.warning("replay: %s", miss)
        if self._misses_are_faked:
            return await handler(call)
        if self._forwards:
            return _with(call.receive, self._forwards)
        return miss_answer(miss)

    def _label(self, call: Call) -> str | None:
        """What recordings call the app of the request's key, which has been judged before."""
        authorization = (
            call.request_headers.get(b"authorization", b"").decode("latin-1").split(None, 1)
        )
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


def _as_recorded(scope: Scope, body: bytes) -> Request:
    """The request in the form of the recordings."""
    query = scope["query_string"].decode("latin-1")
    path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
    headers = tuple(
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
    )
    return Request(
        scope["method"], f"{path}?{query}" if query else path, headers, body, scope["http_version"]
    )


def _once_more(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that gives a body which has been read already, and then goes on with what still
    comes.
    """
    pending = [body]

    async def receive_again() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return receive_again


def _with(receive: Receive, app: ASGIApp) -> ASGIApp:
    async def asked_again(scope: Scope, _: Receive, send: Send) -> None:
        await app(scope, receive, send)

    return asked_again
