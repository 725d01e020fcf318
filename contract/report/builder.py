"""The account of a run that all reports tell: every text in it redacted, printable, and cut at a
sensible length.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from contract.check import Level
from contract.runner import Outcome, Result
from contract.sse import split_frames
from contract.target import Target
from contract.verified import Seen, verdicts
from dify_wire.exchange import Chunk, Exchange, Request
from dify_wire.redaction.text import TextRedactor

EVENT_STREAM = "text/event-stream"
TEXT_LIMIT = 6_000
_WINDOW = TEXT_LIMIT * 4 + 4_096
"""What of a body is looked at: more than is shown, so that no secret is cut in two before it is
redacted.
"""

_FRAMES = 100
_STREAM_LIMIT = 30_000
_HEX_BYTES = 64
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)

_SIGNED = re.compile(r"(?:sign|nonce)=([^&#\s]{16,})")


class Status(StrEnum):
    """What a reader is told of a check: its outcome, apart a version's difference and what follows
    from a failure.
    """

    FAILED = "failed"
    ERROR = "error"
    NOT_RUN = "not run"
    FOLLOWS = "follows"
    DIFFERS = "differs"
    SKIPPED = "skipped"
    PASSED = "passed"


@dataclass(frozen=True, slots=True)
class ShownExchange:
    """A request and what came back, as text. ``number`` is its place in the account."""

    number: int
    title: str
    request: str
    answer: str


@dataclass(frozen=True, slots=True)
class Row:
    """One check and its verdict. ``follows`` names the failure that it follows from: by itself it
    fails no run.
    """

    name: str
    area: str
    claim: str
    level: str
    source: str
    needs: tuple[str, ...]
    status: Status
    fails: bool
    seconds: float
    reason: str
    expected: str
    got: str
    why: str
    seen: str
    exchange: ShownExchange | None
    follows: str = ""

    @property
    def sentence(self) -> str:
        """The claim in words."""
        return self.name.replace("_", " ")


@dataclass(frozen=True, slots=True)
class Report:
    """A run of the suite. ``images`` is what it cost, ``planned`` what was said it would cost at
    most.

    ``unanswered`` runs may have cost an image each: the host's answer never came. ``cause`` says
    why the host could not be judged at all, or not to the end.
    """

    host: str
    host_version: str
    began: datetime.datetime
    seconds: float
    planned: int
    images: int
    unanswered: int
    strict_observed: bool
    interrupted: bool
    rows: tuple[Row, ...]
    exchanges: tuple[ShownExchange, ...]
    cause: str = ""

    @property
    def holds(self) -> bool:
        return not self.interrupted and not any(row.fails for row in self.rows)

    @property
    def exit_code(self) -> int:
        if self.interrupted:
            return 130
        if self.cause and not self.counted(Status.FAILED):
            return 2
        return 0 if self.holds else 1

    @property
    def headline(self) -> str:
        """The verdict in one sentence."""
        failed = sum(row.fails for row in self.rows)
        unjudged = self.counted(Status.NOT_RUN)
        if self.interrupted:
            return f"Interrupted: {len(self.rows) - self.counted(Status.NOT_RUN)} of {len(self.rows)} checks were judged."
        if self.cause:
            broken = self.counted(Status.FAILED)
            counts = (
                f" Of {len(self.rows)} checks {broken} failed and {unjudged} were not run."
                if unjudged
                else ""
            )
            return f"The host could not be judged{' to the end' if unjudged else ''}: {self.cause}.{counts}"
        if failed and failed == unjudged:
            return f"No check failed, but {unjudged} of {len(self.rows)} were not run."
        if failed:
            follow = self.counted(Status.FOLLOWS)
            told = [f"{failed - unjudged} of {len(self.rows)} checks failed"]
            told += [f"{unjudged} were not run"] if unjudged else []
            told += [f"{follow} more follow from that"] if follow else []
            return f"The contract is broken: {', '.join(told)}."
        return "The contract holds."

    @property
    def cost(self) -> str:
        """What the run made the host do, in words."""
        made = f"It cost {counted(self.images, 'image')}"
        if not self.unanswered:
            return made
        one = self.unanswered == 1
        return f"{made}, and perhaps {self.unanswered} more: {'a run was' if one else 'runs were'} never answered"

    @property
    def areas(self) -> Mapping[str, Sequence[Row]]:
        """The rows by area, in their order."""
        areas: dict[str, list[Row]] = {}
        for row in self.rows:
            areas.setdefault(row.area, []).append(row)
        return areas

    @property
    def failures(self) -> list[Row]:
        """What failed the run, broken promises before what could not be judged."""
        return sorted(
            (row for row in self.rows if row.fails), key=lambda row: list(Status).index(row.status)
        )

    def consequences(self, row: Row) -> list[Row]:
        """What follows from ``row``, failures before what could not be run."""
        found = [one for one in self.rows if one.follows == row.name]
        return sorted(found, key=lambda one: not one.expected)

    def of(self, status: Status) -> list[Row]:
        return [row for row in self.rows if row.status is status]

    def counted(self, status: Status, level: str | None = None) -> int:
        """How many checks ended so, on that authority or on any."""
        return Counter(row.status for row in self.rows if level in (None, row.level))[status]


class ReportBuilder:
    """Writes accounts, keeping ``redactor``'s secrets out of them. ``seen`` tells where each check
    held before.
    """

    def __init__(self, redactor: TextRedactor, seen: Mapping[str, Seen] | None = None) -> None:
        self._redactor = redactor
        self._seen = seen or {}

    def text(self, text: str) -> str:
        """``text`` fit to be shown to anybody on anything."""
        return printable(self._redactor.text(text))

    def rows(
        self, results: Iterable[Result], strict_observed: bool
    ) -> tuple[tuple[Row, ...], tuple[ShownExchange, ...]]:
        """The rows of ``results``, and the exchanges behind those that did not hold, each once."""
        shown: dict[int, ShownExchange] = {}
        rows = []
        for result in results:
            exchange = None
            if result.exchange is not None and result.outcome in (
                Outcome.FAILED,
                Outcome.ERROR,
                Outcome.NOT_RUN,
            ):
                key = id(result.exchange)
                if key not in shown:
                    shown[key] = self._exchange(len(shown) + 1, result.exchange)
                exchange = shown[key]
            rows.append(self._row(result, exchange, strict_observed))
        return tuple(rows), tuple(shown.values())

    def _row(self, result: Result, exchange: ShownExchange | None, strict_observed: bool) -> Row:
        check = result.check
        return Row(
            name=check.name,
            area=check.area,
            claim=check.claim,
            level=(result.level or check.level).name.lower(),
            source=check.source,
            needs=tuple(need.name.lower() for need in check.needs),
            status=_status(result, strict_observed),
            fails=result.fails(strict_observed) and not result.follows,
            seconds=result.seconds,
            reason=self.text(result.reason),
            expected=self.text(result.expected),
            got=self.text(result.got),
            why=self.text(result.why),
            seen=str(self._seen.get(check.name, "")),
            exchange=exchange,
            follows=result.follows,
        )

    def _exchange(self, number: int, exchange: Exchange) -> ShownExchange:
        target = self.text(exchange.request.target)
        came = exchange.failure or "no answer" if exchange.status is None else str(exchange.status)
        title = f"{self.text(exchange.request.method)} {_cut(target, 120)} → {self.text(came)}"
        return ShownExchange(number, title, self._request(exchange.request), self._answer(exchange))

    def _request(self, request: Request) -> str:
        head = [f"{request.method} {request.target}", *self._headers(request.headers)]
        return (
            _cut(self.text(head[0]), TEXT_LIMIT)
            + _lines(head[1:])
            + _after_blank(self._body(request.body, ""))
        )

    def _answer(self, exchange: Exchange) -> str:
        if exchange.status is None:
            return f"{self.text(exchange.failure or 'no answer')}, after {exchange.seconds:.3f} s"
        told = f"{exchange.status}, {len(exchange.body):,} bytes in {exchange.seconds:.3f} s"
        broken = f"\n\n[{self.text(exchange.failure)}]" if exchange.failure else ""
        return (
            told
            + _lines(self._headers(exchange.headers))
            + _after_blank(self._answer_body(exchange))
            + broken
        )

    def _headers(self, headers: Iterable[tuple[str, str]]) -> list[str]:
        told = [
            f"{self.text(name)}: {printable(self._redactor.header(name, value))}"
            for name, value in headers
        ]
        return [_cut(line.replace("\n", "\\n"), 1_000) for line in told[:100]]

    def _answer_body(self, exchange: Exchange) -> str:
        if exchange.media_type == EVENT_STREAM:
            return self._timed(exchange.chunks)
        return self._body(exchange.body, exchange.media_type)

    def _timed(self, chunks: Sequence[Chunk]) -> str:
        """A stream frame by frame, each with the time at which its end came."""
        frames, tail = split_frames(chunks)
        told = [
            f"{frame.at_s:8.3f} s  {self._body(frame.raw, EVENT_STREAM)}"
            for frame in frames[:_FRAMES]
        ]
        if len(frames) > _FRAMES:
            told.append(f"[… and {len(frames) - _FRAMES:,} frames more]")
        if tail:
            told.append(
                f"{chunks[-1].at_s:8.3f} s  {self._body(tail, EVENT_STREAM)}  [no blank line after this]"
            )
        return _cut("\n".join(told), _STREAM_LIMIT)

    def _body(self, body: bytes, media_type: str) -> str:
        if _is_binary(body, media_type):
            return self._dumped(body)
        window = body[:_WINDOW].decode("utf-8", "backslashreplace")
        shown = _cut(self.text(window), TEXT_LIMIT)
        return (
            shown if len(body) <= _WINDOW else f"{shown.partition('…')[0]}… ({len(body):,} bytes)"
        )

    def _dumped(self, body: bytes) -> str:
        """The first bytes as hexadecimal numbers, and how many there are."""
        head = self._redactor.data(body[:_WINDOW])[:_HEX_BYTES]
        lines = [head[start : start + 16] for start in range(0, len(head), 16)]
        dump = "\n".join(
            f"{line.hex(' '):<47}  {''.join(chr(byte) if 32 <= byte < 127 else '.' for byte in line)}"
            for line in lines
        )
        return f"{dump}\n[binary, {len(body):,} bytes]"


def report_builder(target: Target) -> ReportBuilder:
    """One that keeps to itself what ``target`` lends, and the signatures it was asked with."""
    capabilities = target.capabilities
    signed = signed_parts(exchange.request.target for exchange in target.exchanges)
    secrets = [
        capabilities.api_key,
        *capabilities.secrets,
        *capabilities.app_keys.values(),
        *signed,
    ]
    return ReportBuilder(TextRedactor(secrets), verdicts())


def signed_parts(paths: Iterable[str]) -> set[str]:
    """The signatures and nonces in ``paths``, which a check may quote without the name of their
    parameter.
    """
    return {part for path in paths for part in _SIGNED.findall(path)}


def level_names() -> list[str]:
    return [level.name.lower() for level in Level]


def counted(number: int, noun: str) -> str:
    """``1 check``, ``2 checks``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def printable(text: str) -> str:
    """``text`` without what steers a terminal, breaks XML or cannot be encoded: each such character
    as its escape.
    """
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _status(result: Result, strict_observed: bool) -> Status:
    if result.follows:
        return Status.FOLLOWS
    if result.outcome is Outcome.FAILED and not result.fails(strict_observed):
        return Status.DIFFERS
    return Status(result.outcome.value)


def _is_binary(body: bytes, media_type: str) -> bool:
    head = body[:1024]
    if media_type.startswith(("image/", "audio/", "video/")) and body:
        return True
    return b"\0" in head or head.decode("utf-8", "replace").count("\ufffd") > len(head) // 10 + 3


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters)"


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"\n{line}" for line in lines)


def _after_blank(body: str) -> str:
    return f"\n\n{body}" if body else ""
