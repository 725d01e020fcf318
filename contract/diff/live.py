"""A folder and a host: the recorded requests are sent again, in the order of recording but for runs
that were refused.

What cannot be repeated is told with its reason; the calls that stopped a run are made while that
runs.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import urlsplit

from contract.client import HttpTransport
from contract.diff.raw import RawTransport
from contract.diff.responses import Answer
from contract.diff.sides import Compared, Host, NotCompared, Pair, answer_of
from contract.diff.translation import NotComparableError, Translation
from contract.evidence import task_id_in
from contract.preflight import cause_of
from contract.result import NotRun
from contract.target import Capabilities, Target, is_doubtful, may_run
from dify_wire.exchange import MAIN, Exchange, Recording, Request

_STOP = re.compile(r"/v1/workflows/tasks/([^/]+)/stop")
_WAS_STOPPED = b'"status": "stopped"'
_EVENT = b'{"event": '
_NAMED_WITHIN_BYTES = 64 << 10
STOP_NOTICED_S = 1.2
"""A host looks for a stop once a second (FACTS 7)."""


def asked_again(recordings: Sequence[Recording], host: Host) -> Compared:
    """What ``host`` answers to the recorded requests; one after the other, but for the calls that
    stop a run.
    """
    again = _Again(host)
    stops = _stops(recordings)
    with_their_run = {id(stop) for calls in stops.values() for stop in calls}
    doubtful: list[Pair | NotCompared] = []
    for recording in _refusals_first(recordings):
        for one in (
            again.compared(recording, stops.get(id(recording), ()))
            if id(recording) not in with_their_run
            else ()
        ):
            if (
                isinstance(one, Pair)
                and is_doubtful(one.b.exchange)
                and one.a.exchange.status != one.b.exchange.status
            ):
                doubtful.append(one)
                continue
            if not (isinstance(one, NotCompared) and again.gone):
                yield from doubtful
                doubtful.clear()
            yield one
    yield from (NotCompared(one.name, again.gone) if again.gone else one for one in doubtful)


def _refusals_first(recordings: Sequence[Recording]) -> list[Recording]:
    """The runs that were refused before the first that was not: they cost nothing, and must not
    wait for a budget.
    """
    first = next(
        (index for index, one in enumerate(recordings) if _is_run(one) and one.status < 400), 0
    )
    refused = [one for one in recordings[first:] if _is_run(one) and one.status >= 400]
    moved = {id(one) for one in refused}
    return [
        *recordings[:first],
        *refused,
        *(one for one in recordings[first:] if id(one) not in moved),
    ]


def _is_run(recording: Recording) -> bool:
    return may_run(Request(recording.request.method, recording.request.target))


def _stops(recordings: Sequence[Recording]) -> dict[int, list[Recording]]:
    """The calls that were made while the streams ran that they stopped, by the identity of the
    stream's recording.
    """
    streams = [
        one for one in recordings if _WAS_STOPPED in one.body and one.body.startswith(b"data:")
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


def _why_gone(host: Host) -> str | None:
    transport = HttpTransport(host.url, host.timeout_s)
    try:
        request = Target(transport, Capabilities(host.keys[MAIN])).get_request("/v1/parameters")
        return cause_of(transport.send(request))
    finally:
        transport.close()


class _Again:
    """Asks a host what another one was asked."""

    def __init__(self, host: Host) -> None:
        self._transport = RawTransport(host.url, host.timeout_s)
        self._target = Target(
            self._transport, Capabilities(host.keys[MAIN], max_runs=host.max_runs)
        )
        self._target.still_there = lambda: _why_gone(host)
        self._translation = Translation(host.keys, host.secret)

    @property
    def gone(self) -> str | None:
        """Why the host is not asked any more."""
        return self._target.gone

    def compared(self, recording: Recording, stops: Sequence[Recording]) -> Compared:
        if recording.ended == "client_left":
            yield NotCompared(recording.label, "the client left before the end of the answer")
            return
        stopping = _Stopping(self, recording, stops) if stops else None
        try:
            exchange = self._send(recording, stopping.on_chunk if stopping else None)
        except NotComparableError as error:
            yield NotCompared(recording.label, str(error))
        except NotRun as verdict:
            yield NotCompared(recording.label, verdict.reason)
        else:
            called = stopping.calls() if stopping else []
            if stopping and (stopping.too_late or _ended_before_it_was_stopped(exchange, called)):
                yield NotCompared(recording.label, _TOO_LATE)
            else:
                yield self._pair(recording, exchange)
            yield from called

    def call(self, stop: Recording, task_ids: tuple[str, str]) -> Pair | NotCompared:
        """Make a call that names a task of which no whole answer has told yet."""
        self._translation.name(*task_ids)
        try:
            return self._pair(stop, self._send(stop, None))
        except NotComparableError as error:
            return NotCompared(stop.label, str(error))
        except NotRun as verdict:
            return NotCompared(stop.label, verdict.reason)

    def _send(self, recording: Recording, on_chunk: Callable[[bytes], None] | None) -> Exchange:
        translated = self._translation.request(recording)
        was = urlsplit(recording.host).netloc
        headers = tuple(
            (name, self._transport.host if (name.lower(), value) == ("host", was) else value)
            for name, value in translated.headers
        )
        request = replace(
            translated, target=self._transport.prefixed(translated.target), headers=headers
        )
        return self._target.send(request, on_chunk)

    def _pair(self, recording: Recording, exchange: Exchange) -> Pair:
        ours = answer_of(recording)
        self._translation.learn(ours.exchange, exchange)
        return Pair(recording.label, ours, Answer(exchange, ours.user))


def _ended_before_it_was_stopped(run: Exchange, called: Sequence[Pair | NotCompared]) -> bool:
    """Whether ``run`` came to its own end before the host had to look for a stop."""
    calls = [one.b.exchange for one in called if isinstance(one, Pair)]
    if not calls or _WAS_STOPPED in run.body:
        return False
    return run.sent_at + run.seconds - min(call.sent_at for call in calls) < STOP_NOTICED_S


_TOO_LATE = "the run was over before it could be stopped"


class _Stopping:
    """Makes the recorded calls that stop a stream, when it has told as many events as then.

    How fast the host is does not matter: after the last of these events a call waits as long as
    then, but not beyond the next one.
    """

    def __init__(self, again: _Again, run: Recording, stops: Sequence[Recording]) -> None:
        self._again = again
        self._run = run
        self._stops = stops
        self._seen = bytearray()
        self._events = 0
        self._ended = False
        self._changed = threading.Condition()
        self._pool = ThreadPoolExecutor(1)
        self._made: Future[list[Pair | NotCompared]] | None = None
        self.too_late = False

    def on_chunk(self, data: bytes) -> None:
        with self._changed:
            self._events += data.count(_EVENT)
            self._changed.notify_all()
        if self._made is not None or len(self._seen) > _NAMED_WITHIN_BYTES:
            return
        self._seen.extend(data)
        theirs, ours = task_id_in(bytes(self._seen)), task_id_in(self._run.body)
        if theirs and ours:
            self._made = self._pool.submit(self._make, (ours, theirs))

    def calls(self) -> list[Pair | NotCompared]:
        """What came of the calls; to be asked once the stream has ended."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._pool.shutdown()
        made = self._made.result() if self._made else [*map(_never_made, self._stops)]
        self.too_late = any(isinstance(one, NotCompared) for one in made)
        return made

    def _make(self, task_ids: tuple[str, str]) -> list[Pair | NotCompared]:
        return [
            NotCompared(stop.label, _TOO_LATE)
            if self._over(stop)
            else self._again.call(stop, task_ids)
            for stop in self._stops
        ]

    def _over(self, stop: Recording) -> bool:
        """Wait until ``stop`` is due; whether the run is over then."""
        at_s = stop.sent_at - self._run.sent_at
        before = [chunk for chunk in self._run.chunks if chunk.at_s <= at_s]
        events = sum(chunk.data.count(_EVENT) for chunk in before)
        rest_s = at_s - before[-1].at_s if before else 0.0
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._events >= events)
            self._changed.wait_for(lambda: self._ended or self._events > events, rest_s)
            return self._ended


def _never_made(stop: Recording) -> Pair | NotCompared:
    return NotCompared(stop.label, _TOO_LATE)
