"""Recorded exchanges as a host that can be judged without a network: what was never asked cannot be
answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from contract.exchange import Chunk, Exchange, Request
from contract.result import Skipped
from dify_wire.recording.exchange import RecordedRequest, Recording
from dify_wire.recording.folder import read_folder
from dify_wire.recording.matching import EXACT_MATCHERS, Question
from dify_wire.recording.store import Library, NotRecordedError

_BROKEN = {"cut": "the connection broke off", "client_left": "the client did not hear it out"}


class RecordedTransport:
    """Answers a request with the recorded exchange that has the same method, path, key headers and
    body.

    Raises ``Skipped`` for a request that was not recorded. JSON bodies are compared as JSON.
    Of several equal requests the n-th gets the n-th answer, the last one again and again.
    """

    def __init__(self, exchanges: Iterable[Exchange]) -> None:
        self._library = Library(
            ((_question(exchange.request), exchange) for exchange in exchanges), EXACT_MATCHERS
        )

    def afresh(self) -> RecordedTransport:
        """The same recording, of which nothing has been asked yet."""
        again = RecordedTransport(())
        again._library = self._library.afresh()
        return again

    def send(self, request: Request, on_chunk: Callable[[bytes], None] | None = None) -> Exchange:
        try:
            answer = self._library.answer(_question(request))
        except NotRecordedError as missed:
            raise Skipped(str(missed).partition("\n")[0]) from None
        for chunk in answer.chunks if on_chunk else ():
            on_chunk(chunk.data)  # type: ignore[misc]  # the condition above is the proof
        return answer


def load_exchanges(folder: Path) -> list[tuple[str, Exchange]]:
    """The exchanges of a folder of recordings, each with its name.

    Left out are those that cannot be judged: without the whole request or the whole answer; and
    those that no client asks again: HTTP/1.1 without a Host. Raises
    ``dify_wire.recording.errors.RecordingError``.
    """
    return [
        (recording.name, exchange_of(recording))
        for recording in read_folder(folder)
        if _can_be_judged(recording)
    ]


def _can_be_judged(recording: Recording) -> bool:
    request = recording.request
    hostless = request.http_version == "1.1" and not request.header("host")
    return not (request.shortened or recording.shortened or hostless)


def exchange_of(recording: Recording) -> Exchange:
    """The recorded exchange, to be judged or compared."""
    request = recording.request
    return Exchange(
        request=Request(request.method, request.target, request.headers, request.body),
        status=recording.status,
        headers=recording.headers,
        chunks=tuple(Chunk(chunk.at_s, chunk.data) for chunk in recording.chunks),
        sent_at=recording.recorded_at,
        seconds=recording.seconds,
        broken=None if recording.ended == "complete" else _BROKEN[recording.ended],
        reason=recording.reason,
        given_up=recording.ended == "client_left",
    )


def _question(request: Request) -> Question:
    return Question(RecordedRequest(request.method, request.path, request.headers, request.body))
