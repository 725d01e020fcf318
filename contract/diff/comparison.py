"""A whole comparison: both sides, what differs between them, and what could not be compared."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from contract.check import Check
from contract.client import HttpTransport
from contract.diff import responses
from contract.diff.difference import NOTES, Difference, Group, Ignored, grouped, without
from contract.diff.live import asked_again
from contract.diff.recorded import recorded_twice
from contract.diff.sides import Compared, Folder, Host, NotCompared, Pair
from contract.diff.timing import DEFAULT_FACTOR
from contract.preflight import CouldNotRunError, preflight
from contract.record import Recorder, keys_of
from contract.report.builder import counted, printable
from contract.runner import run_checks
from contract.target import Capabilities, Target
from dify_wire.exchange import MAIN, Recording
from dify_wire.redaction.text import TextRedactor

Side: TypeAlias = Host | Folder


@dataclass(frozen=True, slots=True)
class How:
    """What counts: rules for what does not, from which factor on times differ, and whether that is
    drift.

    ``partly`` says that requests which cannot be compared do not matter.
    """

    ignored: Sequence[Ignored] = ()
    factor: float = DEFAULT_FACTOR
    strict_timing: bool = False
    partly: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of it. ``requests`` were compared, ``differing`` names those that differ in what
    counts.

    ``not_compared`` has the names of the others by their reasons; ``cause`` says why a host could
    not be asked at all. ``names`` are what a reader calls the two sides. ``partly`` says that
    nothing has to be compared that cannot be.
    """

    a: str
    b: str
    began: datetime.datetime
    seconds: float
    requests: int
    differing: tuple[str, ...]
    groups: tuple[Group, ...]
    not_compared: dict[str, list[str]]
    strict_timing: bool = False
    cause: str = ""
    names: tuple[str, str] = ("first", "second")
    partly: bool = False

    @property
    def drift(self) -> list[Group]:
        return [group for group in self.groups if self.strict_timing or not group.is_note]

    @property
    def notes(self) -> list[Group]:
        return [group for group in self.groups if group.is_note and not self.strict_timing]

    @property
    def exit_code(self) -> int:
        if not self.requests:
            return 2
        if self.drift:
            return 1
        return 2 if self.not_compared and not self.partly else 0

    @property
    def left_out(self) -> int:
        """How many requests were not compared."""
        return sum(map(len, self.not_compared.values()))

    @property
    def headline(self) -> str:
        """The verdict in one sentence."""
        if not self.requests:
            return (
                f"Nothing could be compared: {self.cause}."
                if self.cause
                else "Nothing could be compared."
            )
        found = "No drift"
        if self.drift:
            found = f"Drift: {counted(len(self.drift), 'difference')} in {len(self.differing)} of {self.requests} requests"
        if not self.not_compared:
            return f"{found}."
        if not self.drift:
            found = f"No drift in the {self.requests} requests that were compared"
        reason = next(iter(self.not_compared)) + (
            ", and other reasons" if len(self.not_compared) > 1 else ""
        )
        were = "was" if self.left_out == 1 else "were"
        return f"{found}; {self.left_out} of {self.requests + self.left_out} requests {were} not compared: {reason}."


def compare(
    a: Side,
    b: Side,
    how: How,
    checks: Sequence[Check] = (),
    on_pair: Callable[[], None] = lambda: None,
) -> Comparison:
    """Compare two sides. Between two hosts the requests of ``checks`` are sent; ``on_pair`` hears
    of each request.

    Raises ``CouldNotRunError`` for a host that cannot be asked.
    """
    began, started = datetime.datetime.now(datetime.UTC), time.monotonic()
    found: list[Difference] = []
    reasons: dict[str, list[str]] = {}
    requests = 0
    for one in _compared(a, b, checks):
        on_pair()
        if isinstance(one, NotCompared):
            reasons.setdefault(one.reason, []).append(one.name)
        else:
            requests += 1
            found += without(responses.differences(one.name, one.a, one.b, how.factor), how.ignored)
    clean = _Cleaner(a, b)
    differing = dict.fromkeys(
        one.request for one in found if how.strict_timing or one.kind not in NOTES
    )
    return Comparison(
        a=str(a),
        b=str(b),
        began=began,
        seconds=time.monotonic() - started,
        requests=requests,
        differing=tuple(differing),
        groups=tuple(grouped(map(clean.difference, found))),
        not_compared={clean.text(reason): names for reason, names in reasons.items()},
        strict_timing=how.strict_timing,
        names=names_of(a, b),
        partly=how.partly,
    )


def not_begun(a: Side, b: Side, cause: str) -> Comparison:
    """A comparison of which nothing came, because a host cannot be asked."""
    clean = _Cleaner(a, b)
    return Comparison(
        str(a),
        str(b),
        datetime.datetime.now(datetime.UTC),
        0.0,
        0,
        (),
        (),
        {},
        cause=clean.text(cause),
        names=names_of(a, b),
    )


def names_of(a: Side, b: Side) -> tuple[str, str]:
    """What a reader calls the two: the recording and the host; two of a kind by address or
    folder.
    """
    if isinstance(a, Folder) != isinstance(b, Folder):
        return ("recording", "host") if isinstance(a, Folder) else ("host", "recording")
    return ("first", "second") if str(a) == str(b) else (str(a), str(b))


def _compared(a: Side, b: Side, checks: Sequence[Check]) -> Compared:
    if isinstance(a, Folder) and isinstance(b, Folder):
        return recorded_twice(a.recordings, b.recordings)
    if isinstance(a, Folder) and isinstance(b, Host):
        return asked_again(a.recordings, _opened(b))
    if isinstance(a, Host) and isinstance(b, Folder):
        return _turned(asked_again(b.recordings, _opened(a)))
    assert isinstance(a, Host)
    assert isinstance(b, Host)
    _opened(b)  # before the first has been asked in vain
    return asked_again(record(_opened(a), checks), b)


def _opened(host: Host) -> Host:
    """``host``, which takes our key. Raises ``CouldNotRunError``."""
    transport = HttpTransport(host.url, host.timeout_s)
    try:
        preflight(Target(transport, Capabilities(host.keys[MAIN], max_runs=host.max_runs)))
    except CouldNotRunError as error:
        raise CouldNotRunError(f"{host.url}: {error}", error.exchange) from None
    finally:
        transport.close()
    return host


def record(host: Host, checks: Sequence[Check]) -> list[Recording]:
    """What ``host`` answers to the requests of ``checks``; kept in memory, secrets and all."""
    recordings: list[Recording] = []
    others = {label: key for label, key in host.keys.items() if label != MAIN}
    capabilities = Capabilities(host.keys[MAIN], host.secret, others, max_runs=host.max_runs)
    transport = HttpTransport(host.url, host.timeout_s)
    try:
        recorder = Recorder(transport, host.url, keys_of(capabilities)).into(recordings.append)
        run_checks(Target(recorder, capabilities), checks)
    finally:
        transport.close()
    return recordings


def _turned(compared: Compared) -> Compared:
    for one in compared:
        yield one if isinstance(one, NotCompared) else Pair(one.name, one.b, one.a)


class _Cleaner:
    """Keeps what both sides lent out of everything that is told."""

    def __init__(self, a: Side, b: Side) -> None:
        self._redactor = TextRedactor(
            secret for side in (a, b) if isinstance(side, Host) for secret in side.secrets
        )

    def text(self, text: str) -> str:
        return printable(self._redactor.text(text))

    def difference(self, one: Difference) -> Difference:
        return replace(one, place=self.text(one.place), a=self.text(one.a), b=self.text(one.b))
