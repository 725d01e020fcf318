"""A recorded host: the next recorded response to each request, rewritten for its caller.

Checked live, before a recording is looked up: limits of the proxy, routes, keys, kinds of apps,
signatures of images and their age, CORS. Everything else is what the host sent.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from dify_wire.app_kind import MAIN, AppKind
from dify_wire.exchange import UUID, Recording
from dify_wire.exchange import Request as RecordedRequest
from dify_wire.recording.folder import read_folder
from dify_wire.recording.matching import RequestKey, short
from dify_wire.recording.store import NearMiss, NotRecordedError, recording_store
from dify_wire.text_file import printable, readable
from fake_server.apps import app_files
from fake_server.clock import iso
from fake_server.endpoints.files import check_signature
from fake_server.host_spec import HostSpec
from fake_server.http.request import Request
from fake_server.http.responses import JSON, Response
from fake_server.replay.responses import Caller, ReplayedResponses
from fake_server.replay.rewrite import Aliases
from fake_server.settings import Settings

_PROXY_ERRORS = (400, 405, 413, 414)
_IMAGE_PATH = re.compile(rf"/files/tools/((?i:{UUID}))\.[^/]+")


@dataclass(frozen=True, slots=True)
class LoadedRecordings:
    """The recordings that can be responses: those ``labelled`` with an app, and ``others``.

    The others were recorded without a label, or need no key; they serve any app. ``images``
    are the whole images by the ids of their files.
    """

    labelled: Sequence[Recording]
    others: Sequence[Recording]
    images: Mapping[str, Recording]


def load_recordings(folder: Path, without_key: frozenset[str]) -> LoadedRecordings:
    """The recordings in ``folder``; the paths in ``without_key`` are the same for every app.

    Raises ``RecordingError`` for anything in it that cannot be used.
    """
    whole = read_folder(folder)
    labelled: list[Recording] = []
    others: list[Recording] = []
    for one in whole:
        if is_checked_live(one) or one.shortened:
            continue
        if one.app is None or one.request.path in without_key:
            others.append(replace(one, app=None))
        else:
            labelled.append(one)
    return LoadedRecordings(labelled, others, recorded_images(whole))


def is_checked_live(recording: Recording) -> bool:
    """Whether the host rejected the request before it read it: for its key, or a proxy's limits.

    But for its headers such a request may be the same as a good one, which must not get this.
    """
    is_page = recording.header("content-type", "").lower() == "text/html"
    return recording.status == 401 or (is_page and recording.status in _PROXY_ERRORS)


def recorded_images(recordings: Iterable[Recording]) -> dict[str, Recording]:
    """The whole images among ``recordings``, by the ids of their files."""
    found: dict[str, Recording] = {}
    for one in recordings:
        path = _IMAGE_PATH.fullmatch(one.request.path)
        is_whole = one.ended == "complete" and one.shortened is None and bool(one.chunks)
        if path and is_whole and one.request.method == "GET" and one.status == 200:
            found.setdefault(path[1].lower(), one)
    return found


def shortened_bodies(recordings: Iterable[Recording]) -> Callable[[bytes], bytes]:
    """A function that shortens a request's body where only its beginning was recorded."""
    recorded = [
        (one.request.shortened, one.request.body) for one in recordings if one.request.shortened
    ]

    def as_recorded(body: bytes) -> bytes:
        for shortened, beginning in recorded:
            if len(body) == shortened.size and body.startswith(beginning):
                digest = shortened.sha256
                if digest is None or hashlib.sha256(body).hexdigest() == digest:
                    return beginning
        return body

    return as_recorded


def app_labels(settings: Settings) -> dict[str, str]:
    """What recordings call the app of each key: ``main``, a KIND, or the stem of an app file."""
    labels = dict.fromkeys(settings.api_keys, MAIN)
    for key, app in settings.apps:
        if app == AppKind.WORKFLOW:
            labels[key] = MAIN
        else:
            labels[key] = app if app in set(AppKind) else app_files(app)[0].stem
    return labels


log = logging.getLogger("fake_server")

MISS_STATUS = 501
"""No host of this API sends it, so that no client takes a miss for a response of the host."""

_WITHOUT_KEY = "getIndex"
_LIVE = ("getImagePreview",)
_LIVE_REFUSAL = "token_unknown"
_LONG_BODY = 64 << 10
_SHOWN = 200
_KEPT_MISSES = 200


@dataclass(frozen=True, slots=True)
class Miss:
    """A request that was not recorded, at unix time ``at``, and in words the recordings that come
    closest. ``given``: so many responses were recorded, and all returned.
    """

    at: float
    method: str
    path: str
    given: int
    nearest: tuple[str, ...]

    @classmethod
    def of(cls, miss: NotRecordedError, now: float) -> Miss:
        request = miss.key.request
        nearest = tuple(readable(str(near)) for near in miss.nearest)
        return cls(now, printable(request.method), short(request.path), miss.given, nearest)


def load_replay(settings: Settings, spec: HostSpec) -> Replay | None:
    """The replay of ``settings``; None if nothing is replayed.

    Raises ``RecordingError`` for a folder that cannot be used, ``SettingsError`` if misses cannot
    be forwarded or recorded.
    """
    if settings.replay is None:
        return None
    without_key = frozenset(one.path for one in spec.operations if one.operation_id == _WITHOUT_KEY)
    loaded = load_recordings(settings.replay, without_key)
    forwards = None
    if settings.on_miss in ("forward", "record"):
        from fake_server.recorder.proxy import Forwarding  # which loads the recorder

        forwards = Forwarding(settings, app_labels(settings))
    versions = {one.host_version for one in (*loaded.labelled, *loaded.others)} - {""}
    warnings = []
    if versions and spec.version not in versions:
        warnings.append(
            f"{settings.replay}: recorded from Dify {' and '.join(sorted(versions))}, and what a "
            f"replay decides itself is that of Dify {spec.version}; see --host-version"
        )
    return Replay(settings, loaded, forwards, warnings)


class Forwards(Protocol):
    """An ASGI app that passes requests on to a real host."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    def end(self) -> None: ...

    def close(self) -> None: ...


class Replay:
    """Responds to the requests of one server from ``loaded``; misses go to ``forwards``, if any."""

    def __init__(
        self,
        settings: Settings,
        loaded: LoadedRecordings,
        forwards: Forwards | None,
        warnings: Sequence[str] = (),
    ) -> None:
        self.warnings = warnings
        self._misses_are_faked = settings.on_miss == "fake"
        self._labels = app_labels(settings)
        after_last = settings.after_last or "repeat"
        self._labelled = recording_store(loaded.labelled, after_last, self._labels)
        self._others = recording_store(loaded.others, after_last, self._labels)
        self._shortened = shortened_bodies(loaded.labelled)
        self._images = loaded.images
        self._forwards = forwards
        self._aliases = Aliases()
        self._responses = ReplayedResponses(self._aliases, frozenset(self._images))
        self._recordings = (*loaded.labelled, *loaded.others)
        self.misses: deque[Miss] = deque(maxlen=_KEPT_MISSES)
        """The newest misses, oldest first."""

    def recordings(self) -> list[tuple[Recording, int]]:
        """Every recording that can be a response, with how often it was one."""
        used = self._responses.times
        return [(one, used(one)) for one in self._recordings]

    def end(self) -> None:
        """Stop sending, now and whatever still starts: the server is going down."""
        self._responses.end()
        if self._forwards:
            self._forwards.end()

    def close(self) -> None:
        """Write everything that was recorded on the way; the server has ended."""
        if self._forwards:
            self._forwards.close()

    async def response(self, request: Request) -> ASGIApp | None:
        """The response to ``request``; None if the fake's own endpoint is to give it.

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
        recorded = _as_recorded(request.scope, self._shortened(body))
        caller = Caller(self._label(request), *self._aliases.resolved(recorded))
        task_id = request.parameters.get("task_id")
        if task_id:
            self._responses.stop(task_id, caller)
        try:
            recording = await self._find(RequestKey(caller.request, caller.label))
        except NotRecordedError as miss:
            if task_id and self._responses.has_started(task_id):
                return None  # a run of this replay can always be stopped
            log.warning("replay: %s", miss)
            self.misses.append(Miss.of(miss, request.host.clock.now()))
            if self._forwards:
                request.unread(body)
                return self._forwards
            return None if self._misses_are_faked else miss_response(miss, request)
        return self._responses.start(recording, caller, request)

    def _image(self, request: Request) -> ASGIApp | None:
        file_id = request.parameters["file_id"].lower()
        recording = self._images.get(self._aliases.recorded(file_id))
        if recording is not None:
            check_signature(request)
            return self._responses.image(recording, request)
        return None if file_id in request.host.store.images else self._forwards

    def _label(self, request: Request) -> str | None:
        """What recordings call the app of the request's key, which has been checked before."""
        authorization = request.headers.get(b"authorization", b"").decode("latin-1").split(None, 1)
        return self._labels.get(authorization[1].strip()) if len(authorization) == 2 else None

    async def _find(self, key: RequestKey) -> Recording:
        """As ``_next``; in a thread if that takes long, for a long body or a miss."""
        is_long = len(key.request.body) > _LONG_BODY
        of_any_app = replace(key, app=None)
        if is_long or not (self._labelled.knows(key) or self._others.knows(of_any_app)):
            return await run_in_threadpool(self._next, key)
        return self._next(key)

    def _next(self, key: RequestKey) -> Recording:
        """The next recording. Raises ``NotRecordedError``."""
        of_any_app = replace(key, app=None)
        if self._others.knows(of_any_app):
            return self._others.next(of_any_app)
        return self._labelled.next(key)


def _as_recorded(scope: Scope, body: bytes) -> RecordedRequest:
    """The request in the form of the recordings."""
    query = scope["query_string"].decode("latin-1")
    path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
    target = f"{path}?{query}" if query else path
    headers = (
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
    )
    return RecordedRequest(scope["method"], target, tuple(headers), body, scope["http_version"])


# Misses


def miss_response(miss: NotRecordedError, request: Request) -> Response:
    """JSON with the nearest recordings and, for each matcher, what differed."""
    recorded = miss.key.request
    what = f"{recorded.method} {recorded.path}"
    if miss.given:
        message = f"all {miss.given} recorded responses to {what} were returned"
        advice = "use --after-last repeat to get the last one again"
    else:
        message = f"{what} with this content was not recorded"
        advice = "record it, or choose --on-miss fake, forward or record"
    data = {
        "code": "replay_miss",
        "message": f"fake-server serve --replay: {message}; {advice}",
        "status": MISS_STATUS,
        "nearest": [_near_miss(near) for near in miss.nearest],
    }
    # For a person, unlike the host's own JSON.
    body = json.dumps(data, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return request.response(MISS_STATUS, JSON, body + b"\n")


def _near_miss(near: NearMiss[Any]) -> dict[str, Any]:
    recording: Recording = near.value
    return {
        "recording": recording.label,
        "recorded_at": iso(recording.sent_at),
        "request": f"{recording.request.method} {recording.request.path}",
        "app": recording.app,
        "differences": [
            {
                "matcher": one.matcher,
                "field": one.field,
                "recorded": _shortened_text(one.recorded),
                "asked": _shortened_text(one.actual),
            }
            for one in near.differences
        ],
    }


def _shortened_text(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
