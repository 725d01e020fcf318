"""Checks run against recorded exchanges, without a network."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from contract.check import Check, Phase
from contract.evidence import shared_requests
from contract.result import Result, Skipped, Status
from contract.runner import run_check
from contract.target import Capabilities, Target, is_accepted_run
from dify_wire.app_kind import MAIN, OTHER_APP_KINDS
from dify_wire.exchange import EVENT_STREAM, Exchange, Recording, Request
from dify_wire.profile import nearest_recorded
from dify_wire.recording.folder import read_folder
from dify_wire.recording.matching import EXACT_MATCHERS, RequestKey
from dify_wire.recording.store import NotRecordedError, RecordingStore

_SUCCEEDED = b"/files/tools/"
"""In the body of a run that made an image."""


class RecordedTransport:
    """Responds with the recorded exchange of the same method, path, key headers and body.

    Raises ``Skipped`` for a request that was not recorded; ``names`` has the recordings that were
    used. JSON bodies are compared as JSON.
    Of several equal requests the n-th gets the n-th exchange, later ones the last again.
    ``stand_ins`` are exchanges of other requests, to be used for these.
    """

    def __init__(
        self, exchanges: Iterable[Exchange], stand_ins: Iterable[tuple[Request, Exchange]] = ()
    ) -> None:
        pairs = [(exchange.request, exchange) for exchange in exchanges]
        self._store = RecordingStore(
            ((RequestKey(request), exchange) for request, exchange in [*pairs, *stand_ins]),
            EXACT_MATCHERS,
        )
        self.names: list[str] = []

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
        if isinstance(exchange, Recording):
            self.names.append(exchange.name)
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
        if not (recording.request.shortened or recording.shortened)
        and (recording.request.http_version != "1.1" or recording.request.header("host"))
    ]


@dataclass(frozen=True, slots=True)
class OfflineResult:
    """A check's result, and the names of the recorded exchanges behind it."""

    result: Result
    exchanges: tuple[str, ...]


def capabilities_from(keys: Mapping[str, str], host_version: str | None = None) -> Capabilities:
    """The capabilities of a recording whose ``keys`` are these, by the labels of their apps;
    ``host_version`` is the one to compare it with, if not the recorded one.
    """
    app_keys = {kind: keys[kind] for kind in OTHER_APP_KINDS if kind in keys}
    return Capabilities(
        keys[MAIN], app_keys=app_keys, all_models=True, max_runs=None, host_version=host_version
    )


def check_recordings(
    path: Path, capabilities: Capabilities, checks: Iterable[Check]
) -> list[OfflineResult]:
    """Run ``checks`` against the folder of recordings at ``path``.

    Each check has a host of its own, so that its evidence is known. A check is skipped if it sends
    a request that was not recorded; one that reads all exchanges gets them all.
    """
    recordings = load_exchanges(path)
    recorded = RecordedTransport(recordings)
    if capabilities.host_version is None:
        version = nearest_recorded(next((one.host_version for one in recordings), ""))
        capabilities = replace(capabilities, host_version=version)
    results = []
    stand_ins = list(_stand_ins(recordings, capabilities))
    recorded = RecordedTransport(recordings, stand_ins)
    for check in checks:
        host = recorded.rewound()
        target = Target(host, capabilities)
        if check.phase is Phase.EXCHANGES:
            target.exchanges += recordings
        result = run_check(check, target)
        if result.status is Status.NOT_RUN:  # a recording has no budget and is never down
            result = replace(result, status=Status.SKIPPED)
        names = [one.name for one in recordings] if check.phase is Phase.EXCHANGES else host.names
        results.append(OfflineResult(result, tuple(dict.fromkeys(names))))
    return results


def _stand_ins(
    recordings: Sequence[Recording], capabilities: Capabilities
) -> Iterator[tuple[Request, Recording]]:
    """For each of the suite's shared runs that was not recorded another run of the app, of the same
    mode, that made an image.
    """
    host = RecordedTransport(recordings)
    runs = [one for one in recordings if one.app == MAIN and is_accepted_run(one)]
    for request, kind in zip(
        shared_requests(Target(host, capabilities)), ("application/json", EVENT_STREAM), strict=True
    ):
        try:
            host.send(request)
        except Skipped:
            made = (one for one in runs if one.media_type == kind and _SUCCEEDED in one.body)
            yield from ((request, one) for one in islice(made, 1))


def load_keys(path: Path) -> Mapping[str, str]:
    """The keys of a recording, by the labels of their apps."""
    keys: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return keys
