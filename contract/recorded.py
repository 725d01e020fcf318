"""Recordings as a host that checks run against without a network."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from contract.result import Skipped
from dify_wire.exchange import Exchange, Recording, Request
from dify_wire.recording.folder import read_folder
from dify_wire.recording.matching import EXACT_MATCHERS, RequestKey
from dify_wire.recording.store import NotRecordedError, RecordingStore


class RecordedTransport:
    """Answers a request with the recorded exchange of the same method, path, key headers and body.

    Raises ``Skipped`` for a request that was not recorded. JSON bodies are compared as JSON.
    Of several equal requests the n-th gets the n-th exchange, later ones the last again.
    """

    def __init__(self, exchanges: Iterable[Exchange]) -> None:
        self._store = RecordingStore(
            ((RequestKey(exchange.request), exchange) for exchange in exchanges), EXACT_MATCHERS
        )

    def rewound(self) -> RecordedTransport:
        """The same recordings from the start."""
        rewound = RecordedTransport(())
        rewound._store = self._store.rewound()
        return rewound

    def send(self, request: Request, on_chunk: Callable[[bytes], None] | None = None) -> Exchange:
        try:
            exchange = self._store.next(RequestKey(request))
        except NotRecordedError as miss:
            raise Skipped(str(miss).partition("\n")[0]) from None
        if on_chunk is not None:
            for chunk in exchange.chunks:
                on_chunk(chunk.data)
        return exchange


def load_exchanges(folder: Path) -> list[Recording]:
    """The exchanges of a folder of recordings that checks can use.

    Left out are those without the whole request or response, and HTTP/1.1 requests without a Host,
    which no client repeats. Raises ``dify_wire.text_file.RecordingError``.
    """
    return [
        recording
        for recording in read_folder(folder)
        if not (recording.request.shortened or recording.shortened or _is_hostless(recording))
    ]


def _is_hostless(recording: Recording) -> bool:
    return recording.request.http_version == "1.1" and not recording.request.header("host")
