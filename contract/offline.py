"""Checks run against recorded exchanges, without a network."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from contract.check import Check, Phase
from contract.recorded import RecordedTransport, load_exchanges
from contract.result import Result, Status
from contract.runner import run_check
from contract.target import Capabilities, Target
from dify_wire.app_kind import OTHER_APP_KINDS
from dify_wire.exchange import MAIN, Exchange, Recording, Request


@dataclass(frozen=True, slots=True)
class OfflineResult:
    """A check's result, and the names of the recorded exchanges behind it."""

    result: Result
    exchanges: tuple[str, ...]


def capabilities_from(keys: Mapping[str, str]) -> Capabilities:
    """The capabilities of a recording whose ``keys`` are these, by the labels of their apps."""
    app_keys = {kind: keys[kind] for kind in OTHER_APP_KINDS if kind in keys}
    return Capabilities(keys[MAIN], app_keys=app_keys, all_models=True, max_runs=None)


def check_recordings(
    path: Path, capabilities: Capabilities, checks: Iterable[Check]
) -> list[OfflineResult]:
    """Run ``checks`` against the folder of recordings at ``path``.

    Each check has a host of its own, so that its evidence is known. A check is skipped if it sends
    a request that was not recorded; one that reads all exchanges gets them all.
    """
    recordings = load_exchanges(path)
    recorded = RecordedTransport(recordings)
    results = []
    for check in checks:
        host = _NotedTransport(recorded.rewound())
        target = Target(host, capabilities)
        if check.phase is Phase.EXCHANGES:
            target.exchanges += recordings
        result = run_check(check, target)
        if result.status is Status.NOT_RUN:  # a recording has no budget and is never down
            result = replace(result, status=Status.SKIPPED)
        names = [one.name for one in recordings] if check.phase is Phase.EXCHANGES else host.names
        results.append(OfflineResult(result, tuple(dict.fromkeys(names))))
    return results


def load_keys(path: Path) -> Mapping[str, str]:
    """The keys of a recording, by the labels of their apps."""
    keys: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return keys


class _NotedTransport:
    """Recorded exchanges, and the names of those that were used."""

    def __init__(self, recorded: RecordedTransport) -> None:
        self._recorded = recorded
        self.names: list[str] = []

    def send(self, request: Request, on_chunk: Callable[[bytes], None] | None = None) -> Exchange:
        exchange = self._recorded.send(request, on_chunk)
        if isinstance(exchange, Recording):
            self.names.append(exchange.name)
        return exchange
