"""What all reports of a run show: every text redacted, printable and cut at a sensible length."""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from contract.check import Seen, verdicts
from contract.result import Result, ShownExchange, Status
from contract.sse import split_frames
from contract.target import Target
from dify_wire.exchange import EVENT_STREAM, Chunk, Exchange
from dify_wire.redaction.text import TextRedactor
from dify_wire.strict import counted

TEXT_LIMIT = 6_000
_WINDOW = TEXT_LIMIT * 4 + 4_096
"""More than is shown, so that no secret is cut in two before it is redacted."""

_MAX_HEADERS = 100
_MAX_FRAMES = 100
_STREAM_LIMIT = 30_000
_HEX_BYTES = 64
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
    "\ud800-\udfff\ufeff\ufffe\uffff]"
)
_SIGNED = re.compile(r"(?:sign|nonce)=([^&#\s]{16,})")


@dataclass(frozen=True, slots=True)
class Report:
    """A run of the suite. ``images`` is what it cost, ``planned`` what it should cost at most;
    ``basis`` says why it was compared with the version ``compared_with``.

    ``unanswered`` runs may have cost an image each: their responses never came. ``cause`` says why
    the host could not be checked at all, or not to the end. ``strict`` makes differences between
    versions failures.
    """

    host: str
    host_version: str
    began: datetime.datetime
    seconds: float
    planned: int
    images: int
    unanswered: int
    strict: bool
    interrupted: bool
    results: tuple[Result, ...]
    cause: str = ""
    compared_with: str = ""
    basis: str = ""

    @property
    def passed(self) -> bool:
        return not (self.interrupted or self.failures)

    @property
    def exit_code(self) -> int:
        if self.interrupted:
            return 130
        if self.cause and not self.count(Status.FAILED):
            return 2
        return 0 if self.passed else 1

    @property
    def headline(self) -> str:
        """How the run ended, in one sentence."""
        total = len(self.results)
        failed, not_run, follow = map(self.count, (Status.FAILED, Status.NOT_RUN, Status.FOLLOWS))
        were = f"{not_run} {'was' if not_run == 1 else 'were'} not run"
        if self.interrupted:
            return f"Interrupted: {total - not_run} of {total} checks ran."
        if self.cause:
            if total == 1 or not not_run:
                return f"The host could not be checked: {self.cause}."
            counts = f"Of {total} checks {failed} failed and {were}."
            return f"The host could not be checked to the end: {self.cause}. {counts}"
        if not failed:
            return f"No check failed, but {were}." if not_run else "Passed: no check failed."
        parts = [f"{failed} of {total} checks failed"]
        parts += [were] if not_run else []
        parts += [f"{follow} more follow from that"] if follow else []
        return f"Failed: {', '.join(parts)}."

    @property
    def cost(self) -> str:
        """What the run made the host do."""
        images = f"It cost {counted(self.images, 'image')}"
        if not self.unanswered:
            return images
        runs = "a run" if self.unanswered == 1 else "runs"
        return f"{images}, and perhaps {self.unanswered} more: {runs} got no response"

    @property
    def areas(self) -> Mapping[str, Sequence[Result]]:
        """The results by area, in alphabetical order."""
        return dict(sorted(group_by(self.results, lambda result: result.check.area).items()))

    @property
    def failures(self) -> list[Result]:
        """What failed the run: failed checks before those that were not run."""
        return [*self.of(Status.FAILED), *self.of(Status.NOT_RUN)]

    @property
    def exchanges(self) -> list[ShownExchange]:
        shown = {one.shown.number: one.shown for one in self.results if one.shown is not None}
        return [shown[number] for number in sorted(shown)]

    def consequences(self, result: Result) -> list[Result]:
        """What follows from ``result``: failed checks before those that were not run."""
        found = [one for one in self.results if one.follows == result.name]
        return sorted(found, key=lambda one: not one.expected)

    def of(self, status: Status) -> list[Result]:
        return [result for result in self.results if result.status is status]

    def count(self, status: Status, level: str | None = None) -> int:
        """How many checks ended so, at that level or at any."""
        statuses = (one.status for one in self.results if level in (None, one.level_name))
        return Counter(statuses)[status]


class ReportBuilder:
    """Makes results fit for reports, without ``redactor``'s secrets."""

    def __init__(self, redactor: TextRedactor, verified: Mapping[str, Seen] | None = None) -> None:
        self._redactor = redactor
        self._verified = verified or {}

    @classmethod
    def of(cls, target: Target) -> ReportBuilder:
        """One that redacts the secrets of ``target`` and the signatures in its requests.

        A check may quote a signature or nonce without the name of its parameter.
        """
        capabilities = target.capabilities
        paths = (exchange.request.target for exchange in target.exchanges)
        signed = {part for path in paths for part in _SIGNED.findall(path)}
        keys = [capabilities.api_key, *capabilities.app_keys.values()]
        return cls(TextRedactor([*keys, *capabilities.secrets, *signed]), verdicts())

    def text(self, text: str) -> str:
        return printable(self._redactor.text(text))

    def results(self, results: Iterable[Result], strict: bool = False) -> tuple[Result, ...]:
        """``results`` as they are shown; each exchange behind a failure becomes text once."""
        shown: dict[int, ShownExchange] = {}
        found = []
        for result in results:
            exchange = result.exchange
            show = exchange is not None and result.status is not Status.PASSED
            if exchange is not None and show and id(exchange) not in shown:
                shown[id(exchange)] = self._exchange(len(shown) + 1, exchange)
            is_failure = strict and result.status is Status.DIFFERS
            found.append(
                replace(
                    result,
                    status=Status.FAILED if is_failure else result.status,
                    reason=self.text(result.reason),
                    expected=self.text(result.expected),
                    got=self.text(result.got),
                    why=self.text(result.why),
                    exchange=None,
                    shown=shown[id(exchange)] if show else None,
                    verified=str(self._verified.get(result.name, "")),
                )
            )
        return tuple(found)

    def _exchange(self, number: int, exchange: Exchange) -> ShownExchange:
        request = exchange.request
        line = f"{request.method} {request.target}"
        status = exchange.failure or "no response"
        if exchange.status is not None:
            status = str(exchange.status)
        target = _cut(self.text(request.target), 120)
        title = f"{self.text(request.method)} {target} → {self.text(status)}"
        head = [_cut(self.text(line), TEXT_LIMIT), *self._headers(request.headers)]
        shown_request = _join("\n".join(head), self._body(request.body, ""))
        return ShownExchange(number, title, shown_request, self._response(exchange))

    def _response(self, exchange: Exchange) -> str:
        broken = self.text(exchange.failure or "no response")
        if exchange.status is None:
            return f"{broken}, after {exchange.seconds:.3f} s"
        line = f"{exchange.status}, {len(exchange.body):,} bytes in {exchange.seconds:.3f} s"
        if exchange.media_type == EVENT_STREAM:
            body = self._stream(exchange.chunks)
        else:
            body = self._body(exchange.body, exchange.media_type)
        head = "\n".join([line, *self._headers(exchange.headers)])
        return _join(head, body, f"[{broken}]" if exchange.failure else "")

    def _headers(self, headers: Sequence[tuple[str, str]]) -> list[str]:
        lines = (
            f"{self.text(name)}: {printable(self._redactor.header(name, value))}"
            for name, value in headers[:_MAX_HEADERS]
        )
        return [_cut(line.replace("\n", "\\n"), 1_000) for line in lines]

    def _stream(self, chunks: Sequence[Chunk]) -> str:
        """A stream frame by frame, each with the time at which its end arrived."""
        frames, tail = split_frames(chunks)
        lines = [
            f"{frame.at_s:8.3f} s  {self._body(frame.raw, EVENT_STREAM)}"
            for frame in frames[:_MAX_FRAMES]
        ]
        if len(frames) > _MAX_FRAMES:
            lines.append(f"[… and {len(frames) - _MAX_FRAMES:,} frames more]")
        if tail:
            text = self._body(tail, EVENT_STREAM)
            lines.append(f"{chunks[-1].at_s:8.3f} s  {text}  [no blank line after this]")
        return _cut("\n".join(lines), _STREAM_LIMIT)

    def _body(self, body: bytes, media_type: str) -> str:
        if _is_binary(body, media_type):
            return self._hex(body)
        text = _cut(self.text(body[:_WINDOW].decode("utf-8", "backslashreplace")), TEXT_LIMIT)
        return text if len(body) <= _WINDOW else f"{text.partition('…')[0]}… ({len(body):,} bytes)"

    def _hex(self, body: bytes) -> str:
        head = self._redactor.data(body[:_WINDOW])[:_HEX_BYTES]
        lines = []
        for start in range(0, len(head), 16):
            line = head[start : start + 16]
            text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in line)
            lines.append(f"{line.hex(' '):<47}  {text}")
        return "\n".join([*lines, f"[binary, {len(body):,} bytes]"])


def printable(text: str) -> str:
    """``text`` with escapes for what steers a terminal, breaks XML or cannot be encoded."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def group_by(results: Iterable[Result], key: Callable[[Result], str]) -> dict[str, list[Result]]:
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(key(result), []).append(result)
    return groups


def _is_binary(body: bytes, media_type: str) -> bool:
    head = body[:1024]
    if media_type.startswith(("image/", "audio/", "video/")) and body:
        return True
    return b"\0" in head or head.decode("utf-8", "replace").count("\ufffd") > len(head) // 10 + 3


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters)"


def _join(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)
