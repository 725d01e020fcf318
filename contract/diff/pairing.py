"""The two sides of a comparison, and their responses in pairs.

Two folders are paired by their requests. A host is sent the recorded requests, in the order of
recording, but for refused runs, which come first, and calls that stopped a run, which are made
while that run goes on.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from contract.client import HttpTransport
from contract.diff.translation import NotComparableError, Translation
from contract.diff.values import volatile
from contract.evidence import STOP_NOTICED_S, TASK_NAMED_WITHIN_BYTES, task_id_in
from contract.result import NotRun
from contract.target import DEFAULT_TIMEOUT_S, Capabilities, Target, is_doubtful, may_run
from dify_wire.app_kind import MAIN
from dify_wire.exchange import EVENT_STREAM, Exchange, Recording, Request
from dify_wire.recording.matching import MATCHERS, Matcher, RequestKey
from dify_wire.redaction.replacement import KEY, USER

_USER = re.compile(USER.pattern.encode())
_UNUSUAL = re.compile(
    r"(?<=sign=)(?![A-Za-z0-9_-]{43}=(?:&|$))[^&]+"
    r"|(?<=/files/tools/)(?![0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}[./?])[^./?]{30,}"
)
"""Signatures and ids that no response has: another alphabet, another case, too short."""

_COMPARED_HEADERS = (
    "origin",
    "access-control-request-method",
    "access-control-request-headers",
    "range",
    "if-modified-since",
    "if-none-match",
    "expect",
    "transfer-encoding",
)


_STOP = re.compile(r"/v1/workflows/tasks/([^/]+)/stop")
_STOPPED = re.compile(rb'"status": ?"stopped"')
_EVENT = b'{"event":'
_TOO_LATE = "the run was over before it could be stopped"


@dataclass(frozen=True, slots=True)
class Host:
    """A host to send requests to. ``keys`` maps the labels of apps to their keys, ``main`` among
    them.
    """

    url: str
    keys: Mapping[str, str]
    secret: str | None = None
    max_runs: int | None = None
    timeout_s: float = DEFAULT_TIMEOUT_S

    @property
    def secrets(self) -> list[str]:
        return [*self.keys.values(), *([self.secret] if self.secret else [])]

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class Folder:
    """Recorded responses, in the order of recording."""

    path: Path
    recordings: Sequence[Recording] = field(repr=False)

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two responses to the request ``name``."""

    name: str
    a: Exchange
    b: Exchange


@dataclass(frozen=True, slots=True)
class NotCompared:
    """A request to which only one side has a response, and why."""

    name: str
    reason: str


Pairs = Iterator[Pair | NotCompared]


# Two folders


def pair_recordings(a: Sequence[Recording], b: Sequence[Recording]) -> Pairs:
    """Recordings of the same requests; of several the one of the same name, else the next one."""
    translation = _Renaming()
    matchers = _matchers(_issued_by(b))

    def key(request: Request, app: str | None) -> Hashable:
        # A request whose user is anybody, also where its body cannot be parsed.
        request = replace(request, body=_USER.sub(b"user", request.body))
        return tuple(matcher.part(RequestKey(request, app)) for matcher in matchers)

    unpaired: dict[Hashable, list[Recording]] = {}
    for recording in b:
        unpaired.setdefault(key(recording.request, recording.app), []).append(recording)
    names = frozenset(recording.name for recording in a)
    for recording in sorted(a, key=lambda one: one.sent_at):  # a run before what names it
        same = unpaired.get(key(translation.request(recording), recording.app))
        if not same:
            yield NotCompared(recording.label, "only the first has recorded it")
            continue
        other = min(same, key=lambda one: (one.name != recording.name, one.name in names))
        same.remove(other)
        translation.learn(recording, other)
        yield Pair(recording.label, recording, other)
    for rest in unpaired.values():
        for recording in rest:
            yield NotCompared(recording.label, "only the second has recorded it")


class _Renaming(Translation):
    """Renames tasks and files, and leaves keys alone: two folders have their labels in common."""

    def __init__(self) -> None:
        super().__init__({})

    def _expect_whole(self, request: Request) -> None:
        """Both have been sent already."""

    def _key(self, label: str) -> str:
        return f"{{{{key:{label}}}}}"

    def _unknown_file(self) -> None:
        """It is another one there, and any may be it."""

    def _aged(self, recording: Recording, value: str) -> str:
        return value

    def _expect_same_age(self, *_: object) -> None:
        """Both have been sent already."""

    def _signed(
        self, file_id: str, parts: list[tuple[str, str, str]]
    ) -> list[tuple[str, str, str]]:
        return parts


def _issued_by(recordings: Sequence[Recording]) -> frozenset[str]:
    """Every id, nonce and signature in the responses."""
    texts = (recording.body.decode("utf-8", "replace") for recording in recordings)
    return frozenset(
        value for text in texts for kind, value in volatile(text, {}).values if kind != "address"
    )


def _matchers(known: frozenset[str]) -> tuple[Matcher, ...]:
    """Those of a replay, and what else a response may depend on; unknown ids match any ids."""

    def target(key: RequestKey) -> Hashable:
        found = volatile(_UNUSUAL.sub("<another>", unquote(key.request.target)), {})
        return found.text, tuple(value if value in known else kind for kind, value in found.values)

    def authorization(key: RequestKey) -> Hashable:
        value = KEY.sub(
            lambda match: "*" if match[1].startswith("unknown-") else match[0],
            key.request.header("authorization", ""),
        )
        return value if key.app is None else value.partition(" ")[0]

    def headers(key: RequestKey) -> Hashable:
        return tuple(key.request.header(name, "") for name in _COMPARED_HEADERS)

    common = [matcher for matcher in MATCHERS if matcher.name not in ("path", "query")]
    own = {"target": target, "authorization": authorization, "headers": headers}
    return (*common, *(Matcher(name, part) for name, part in own.items()))


# A folder and a host


def resend(
    recordings: Sequence[Recording], host: Host, probe: Callable[[Host], str | None]
) -> Pairs:
    """The recorded responses with those of ``host``, one request after the other.

    Responses that differ and could come from a host that is down are held back until another one
    shows that it is not. ``probe`` says why the host no longer works, or None.
    """
    sender = _Sender(host, probe)
    stops = _stops(recordings)
    within_a_run = {id(stop) for calls in stops.values() for stop in calls}
    doubtful: list[Pair | NotCompared] = []
    for recording in _refused_runs_first(recordings):
        if id(recording) in within_a_run:
            continue
        for one in sender.pairs(recording, stops.get(id(recording), ())):
            if isinstance(one, Pair) and one.a.status != one.b.status and is_doubtful(one.b):
                doubtful.append(one)
                continue
            if not (isinstance(one, NotCompared) and sender.gone):
                yield from doubtful
                doubtful.clear()
            yield one
    yield from (NotCompared(one.name, sender.gone) if sender.gone else one for one in doubtful)


def _refused_runs_first(recordings: Sequence[Recording]) -> list[Recording]:
    """Refused runs before the first accepted one: they cost nothing, and must not wait for a
    budget.
    """
    runs = {
        id(one) for one in recordings if may_run(Request(one.request.method, one.request.target))
    }
    accepted = (at for at, one in enumerate(recordings) if id(one) in runs and one.status < 400)
    first = next(accepted, 0)
    rest = recordings[first:]
    refused = [one for one in rest if id(one) in runs and one.status >= 400]
    others = [one for one in rest if id(one) not in runs or one.status < 400]
    return [*recordings[:first], *refused, *others]


def _stops(recordings: Sequence[Recording]) -> dict[int, list[Recording]]:
    """For the id of each recorded stream that was stopped, the calls made while it ran."""
    streams = [
        one for one in recordings if one.media_type == EVENT_STREAM and _STOPPED.search(one.body)
    ]
    calls = [(one, match[1]) for one in recordings if (match := _STOP.fullmatch(one.request.path))]
    return {
        id(run): [
            call
            for call, task_id in calls
            if task_id.encode() in run.body
            and run.sent_at <= call.sent_at <= run.sent_at + run.seconds
        ]
        for run in streams
    }


class _Sender:
    """Sends requests that were recorded with another host."""

    def __init__(self, host: Host, probe: Callable[[Host], str | None]) -> None:
        self._transport = HttpTransport(host.url, host.timeout_s, raw=True)
        capabilities = Capabilities(host.keys[MAIN], max_runs=host.max_runs)
        self._target = Target(self._transport, capabilities)
        self._target.probe = lambda: probe(host)
        self._translation = Translation(host.keys, host.secret)

    @property
    def gone(self) -> str | None:
        return self._target.gone

    def pairs(self, recording: Recording, stops: Sequence[Recording]) -> Pairs:
        if recording.ended == "client_left":
            yield NotCompared(recording.label, "the client left before the end of the response")
            return
        stopper = _Stopper(self, recording, stops) if stops else None
        sent = self.send(recording, stopper.on_chunk if stopper else None)
        if isinstance(sent, NotCompared):
            yield sent
            return
        calls = stopper.calls() if stopper else []
        if stopper and (stopper.too_late or _ended_before_it_was_stopped(sent, calls)):
            yield NotCompared(recording.label, _TOO_LATE)
        else:
            yield self.pair(recording, sent)
        yield from calls

    def send(
        self, recording: Recording, on_chunk: Callable[[bytes], None] | None = None
    ) -> Exchange | NotCompared:
        try:
            translated = self._translation.request(recording)
            recorded_host = ("host", urlsplit(recording.host).netloc)
            headers = tuple(
                (name, self._transport.host if (name.lower(), value) == recorded_host else value)
                for name, value in translated.headers
            )
            target = self._transport.prefixed(translated.target)
            request = replace(translated, target=target, headers=headers)
            return self._target.send(request, on_chunk)
        except NotComparableError as error:
            return NotCompared(recording.label, str(error))
        except NotRun as error:
            return NotCompared(recording.label, error.reason)

    def pair(self, recording: Recording, exchange: Exchange) -> Pair:
        self._translation.learn(recording, exchange)
        return Pair(recording.label, recording, exchange)

    def stop(self, stop: Recording, task_ids: tuple[str, str]) -> Pair | NotCompared:
        """Make a call that names a task before any whole response has named it."""
        self._translation.name(*task_ids)
        sent = self.send(stop)
        return sent if isinstance(sent, NotCompared) else self.pair(stop, sent)


def _ended_before_it_was_stopped(run: Exchange, calls: Sequence[Pair | NotCompared]) -> bool:
    """Whether ``run`` ended by itself before the host had to look for a stop."""
    sent_at = [call.b.sent_at for call in calls if isinstance(call, Pair)]
    if not sent_at or _STOPPED.search(run.body):
        return False
    return run.sent_at + run.seconds - min(sent_at) < STOP_NOTICED_S


class _Stopper:
    """Makes the recorded calls that stop a stream, after as many events as then.

    How fast the host is does not matter: after the last of these events a call waits as long as
    then, but not beyond the next one.
    """

    def __init__(self, sender: _Sender, run: Recording, stops: Sequence[Recording]) -> None:
        self._sender = sender
        self._run = run
        self._stops = stops
        self._head = bytearray()
        self._events = 0
        self._ended = False
        self._changed = threading.Condition()
        self._pool = ThreadPoolExecutor(1)
        self._calls: Future[list[Pair | NotCompared]] | None = None
        self.too_late = False

    def on_chunk(self, data: bytes) -> None:
        with self._changed:
            self._events += data.count(_EVENT)
            self._changed.notify_all()
        if self._calls is not None or len(self._head) > TASK_NAMED_WITHIN_BYTES:
            return
        self._head.extend(data)
        theirs, ours = task_id_in(bytes(self._head)), task_id_in(self._run.body)
        if theirs and ours:
            self._calls = self._pool.submit(self._make_calls, (ours, theirs))

    def calls(self) -> list[Pair | NotCompared]:
        """The calls that were made, once the stream has ended."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._pool.shutdown()
        missed: list[Pair | NotCompared] = [
            NotCompared(one.label, _TOO_LATE) for one in self._stops
        ]
        calls = self._calls.result() if self._calls else missed
        self.too_late = any(isinstance(one, NotCompared) for one in calls)
        return calls

    def _make_calls(self, task_ids: tuple[str, str]) -> list[Pair | NotCompared]:
        return [
            NotCompared(stop.label, _TOO_LATE)
            if self._is_over_when_due(stop)
            else self._sender.stop(stop, task_ids)
            for stop in self._stops
        ]

    def _is_over_when_due(self, stop: Recording) -> bool:
        at_s = stop.sent_at - self._run.sent_at
        before = [chunk for chunk in self._run.chunks if chunk.at_s <= at_s]
        events = sum(chunk.data.count(_EVENT) for chunk in before)
        rest_s = at_s - before[-1].at_s if before else 0.0
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._events >= events)
            self._changed.wait_for(lambda: self._ended or self._events > events, rest_s)
            return self._ended
