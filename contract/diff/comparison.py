"""A whole comparison: both sides, what differs between them, and what could not be compared."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from contract.check import Check
from contract.client import HttpTransport
from contract.diff import response
from contract.diff.difference import NOTES, Difference, Group, Ignored, grouped, without
from contract.diff.pairing import Folder, Host, NotCompared, Pair, Pairs, pair_recordings, resend
from contract.preflight import CouldNotRunError, cause_of, preflight
from contract.record import Recorder, keys_of
from contract.report.builder import printable
from contract.runner import run_checks
from contract.target import Capabilities, Target
from dify_wire.app_kind import MAIN
from dify_wire.exchange import Recording
from dify_wire.redaction.text import TextRedactor
from dify_wire.strict import counted

Side: TypeAlias = Host | Folder


@dataclass(frozen=True, slots=True)
class DiffOptions:
    """Which differences count: from which ``factor`` on times differ, and whether that is drift.

    With ``partial`` requests that cannot be compared do not matter.
    """

    ignored: Sequence[Ignored] = ()
    factor: float = response.DEFAULT_FACTOR
    strict_timing: bool = False
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """``requests`` were compared; ``differing`` names those with differences that count.

    ``not_compared`` has the names of the others by their reasons; ``cause`` says why no request
    could be sent to a host. ``names`` are what a reader calls the two sides.
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
    partial: bool = False

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
        return 2 if self.not_compared and not self.partial else 0

    @property
    def left_out(self) -> int:
        """How many requests were not compared."""
        return sum(map(len, self.not_compared.values()))

    @property
    def headline(self) -> str:
        """What came of it, in one sentence."""
        if not self.requests:
            return f"Nothing could be compared{f': {self.cause}' if self.cause else ''}."
        found = "No drift"
        if self.drift:
            differences = counted(len(self.drift), "difference")
            found = f"Drift: {differences} in {len(self.differing)} of {self.requests} requests"
        if not self.not_compared:
            return f"{found}."
        if not self.drift:
            found = f"No drift in the {self.requests} requests that were compared"
        reason, *others = self.not_compared
        were = f"{self.left_out} of {self.requests + self.left_out} requests "
        were += "was" if self.left_out == 1 else "were"
        return f"{found}; {were} not compared: {reason}{', and other reasons' if others else ''}."


def compare(
    a: Side,
    b: Side,
    options: DiffOptions,
    checks: Sequence[Check] = (),
    on_pair: Callable[[], None] = lambda: None,
) -> Comparison:
    """Compare two sides. Two hosts are sent the requests of ``checks``; ``on_pair`` is called for
    each request.

    Raises ``CouldNotRunError`` for a host that cannot be compared.
    """
    began, started = datetime.datetime.now(datetime.UTC), time.monotonic()
    found: list[Difference] = []
    not_compared: dict[str, list[str]] = {}
    requests = 0
    for one in _pairs(a, b, checks):
        on_pair()
        if isinstance(one, NotCompared):
            not_compared.setdefault(one.reason, []).append(one.name)
        else:
            requests += 1
            differences = response.differences(one.name, one.a, one.b, options.factor)
            found += without(differences, options.ignored)
    clean = _cleaner(a, b)
    differing = dict.fromkeys(
        one.request for one in found if options.strict_timing or one.kind not in NOTES
    )
    redacted = (
        replace(one, place=clean(one.place), a=clean(one.a), b=clean(one.b)) for one in found
    )
    return Comparison(
        a=str(a),
        b=str(b),
        began=began,
        seconds=time.monotonic() - started,
        requests=requests,
        differing=tuple(differing),
        groups=tuple(grouped(redacted)),
        not_compared={clean(reason): names for reason, names in not_compared.items()},
        strict_timing=options.strict_timing,
        names=names_of(a, b),
        partial=options.partial,
    )


def not_begun(a: Side, b: Side, cause: str) -> Comparison:
    """A comparison without requests, because a host cannot be compared."""
    now = datetime.datetime.now(datetime.UTC)
    cause = _cleaner(a, b)(cause)
    names = names_of(a, b)
    return Comparison(str(a), str(b), now, 0.0, 0, (), (), {}, cause=cause, names=names)


def names_of(a: Side, b: Side) -> tuple[str, str]:
    """What a reader calls the two sides; two of a kind by their URLs or folders."""
    if isinstance(a, Folder) != isinstance(b, Folder):
        return ("recording", "host") if isinstance(a, Folder) else ("host", "recording")
    return ("first", "second") if str(a) == str(b) else (str(a), str(b))


def _pairs(a: Side, b: Side, checks: Sequence[Check]) -> Pairs:
    if isinstance(a, Folder) and isinstance(b, Folder):
        return pair_recordings(a.recordings, b.recordings)
    for host in (b, a):  # both before the first request is sent in vain
        if isinstance(host, Host):
            _expect_usable(host)
    if isinstance(a, Host) and isinstance(b, Folder):
        pairs = resend(b.recordings, a, _probe)
        return (
            one if isinstance(one, NotCompared) else Pair(one.name, one.b, one.a) for one in pairs
        )
    assert isinstance(b, Host)
    return resend(a.recordings if isinstance(a, Folder) else record(a, checks), b, _probe)


def _probe(host: Host) -> str | None:
    """Why ``host`` no longer works, or None."""
    transport = HttpTransport(host.url, host.timeout_s)
    try:
        request = Target(transport, Capabilities(host.keys[MAIN])).get_request("/v1/parameters")
        return cause_of(transport.send(request))
    finally:
        transport.close()


def _expect_usable(host: Host) -> None:
    """Raise ``CouldNotRunError`` unless ``host`` takes our key."""
    transport = HttpTransport(host.url, host.timeout_s)
    try:
        preflight(Target(transport, Capabilities(host.keys[MAIN], max_runs=host.max_runs)))
    except CouldNotRunError as error:
        raise CouldNotRunError(f"{host.url}: {error}", error.exchange) from None
    finally:
        transport.close()


def record(host: Host, checks: Sequence[Check]) -> list[Recording]:
    """The responses of ``host`` to the requests of ``checks``, in memory, with their secrets."""
    recordings: list[Recording] = []
    others = {label: key for label, key in host.keys.items() if label != MAIN}
    capabilities = Capabilities(host.keys[MAIN], host.secret, others, max_runs=host.max_runs)
    transport = HttpTransport(host.url, host.timeout_s)
    try:
        recorder = Recorder(transport, host.url, keys_of(capabilities), recordings.append)
        run_checks(Target(recorder, capabilities), checks)
    finally:
        transport.close()
    return recordings


def _cleaner(a: Side, b: Side) -> Callable[[str], str]:
    """Makes texts printable, without the secrets of both sides."""
    hosts = [side for side in (a, b) if isinstance(side, Host)]
    redactor = TextRedactor(secret for host in hosts for secret in host.secrets)
    return lambda text: printable(redactor.text(text))
