"""Recorded exchanges judged without a network: what a host once answered is held against the same
checks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from contract.check import Check, Phase
from contract.exchange import Exchange, Request
from contract.recorded import RecordedTransport, load_exchanges
from contract.runner import Outcome, Result, run_check
from contract.target import Capabilities, Target
from dify_wire.app_kind import OTHER_APP_KINDS


@dataclass(frozen=True, slots=True)
class OfflineResult:
    """A check's result, and the names of the recorded exchanges that it was judged by."""

    result: Result
    exchanges: tuple[str, ...]


def capabilities_from(keys: Mapping[str, str]) -> Capabilities:
    """What a recording's keys lend: ``keys`` has them by the labels of their apps, the workflow
    app's as ``main``.
    """
    app_keys = {kind: keys[kind] for kind in OTHER_APP_KINDS if kind in keys}
    return Capabilities(keys["main"], app_keys=app_keys, all_models=True, max_runs=None)


def judge_recordings(
    path: Path, capabilities: Capabilities, checks: Iterable[Check]
) -> list[OfflineResult]:
    """Judge the folder of recordings at ``path``.

    Asking costs nothing here, so that each check has a host of its own and its evidence is known. A
    check that asks for what was not recorded is not applicable; one that judges the exchanges there
    are gets them all.
    """
    recorded = load_exchanges(path)
    names = {id(exchange): name for name, exchange in recorded}
    recording = RecordedTransport(exchange for _, exchange in recorded)
    results = []
    for check in checks:
        host = _NamedTransport(recording.afresh(), names)
        target = Target(host, capabilities)
        if check.phase is Phase.EXCHANGES:
            target.exchanges += [exchange for _, exchange in recorded]
        result = _unrecorded(run_check(check, target))
        given = [name for name, _ in recorded] if check.phase is Phase.EXCHANGES else host.asked
        results.append(OfflineResult(result, tuple(dict.fromkeys(given))))
    return results


def _unrecorded(result: Result) -> Result:
    """Nothing to judge means here that nothing was recorded: a recording has no budget and does not
    fall silent.
    """
    return replace(result, outcome=Outcome.SKIPPED) if result.outcome is Outcome.NOT_RUN else result


def load_keys(path: Path) -> Mapping[str, str]:
    """The keys of a recording, by the labels of their apps."""
    keys: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return keys


class _NamedTransport:
    """Recorded exchanges, and the names of those that were asked for."""

    def __init__(self, recorded: RecordedTransport, names: Mapping[int, str]) -> None:
        self._recorded = recorded
        self._names = names
        self.asked: list[str] = []

    def send(self, request: Request, on_chunk: Callable[[bytes], None] | None = None) -> Exchange:
        answer = self._recorded.send(request, on_chunk)
        self.asked.append(self._names[id(answer)])
        return answer
