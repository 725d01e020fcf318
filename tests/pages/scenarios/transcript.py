"""A capture as text: head, chunks and end, each with its second, shortened to what is special about
it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.pages.scenarios.capture import Capture

_SHOWN_FIELDS = ("content-type", "content-length", "transfer-encoding", "retry-after")
_FRAME = re.compile(r'data: \{"event": "\w+"')
_MARKS = (_FRAME, re.compile(r"event: ping"))
_WHOLE = 90
"""A text up to this long is shown whole."""

_SILENCE_S = 2.0

_ENDS = {
    "closed": "the connection is closed, and the body has no end",
    "reset": "the connection is reset",
    "left": "nothing else comes until the client leaves",
}
_SECRETS = re.compile(r"(nonce|sign)=[^\"&]+")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a transcript; ``bound`` is one that is not left out."""

    at_s: float
    text: str
    bound: bool = False

    def __str__(self) -> str:
        return f"{self.at_s:7.2f} s  {self.text}"


def transcript(capture: Capture, shows: Sequence[str], first: int = 4, last: int = 3) -> str:
    """``capture`` as text. What ``shows`` matches, regular expressions, is not shortened away.

    Of many chunks only the ``first`` and the ``last`` are there, and those in which something is
    shown.
    """
    lines = [*_body(capture, [re.compile(show, re.DOTALL) for show in shows])]
    if "image/png" in _head_of(capture) and len(lines) > 2:
        lines = _without_compressed(lines)
    kept = [
        number < first
        or number >= len(lines) - last
        or line.bound
        or number in _around_silence(lines)
        for number, line in enumerate(lines)
    ]
    text = [*_head(capture), *_thinned(lines, kept)]
    if capture.end in _ENDS:
        text.append(f"{'':11}{_ENDS[capture.end]}")
    return "\n".join(text)


def _without_compressed(lines: Sequence[Line]) -> list[Line]:
    """An image without what a compressor made of its pixels: not every machine's makes the
    same.
    """
    begins, ends = lines[0], lines[-1]
    return [
        Line(begins.at_s, begins.text.partition(" … ")[0] + " …"),
        Line(ends.at_s, "… the rest of the image"),
        ends,
    ]


def _around_silence(lines: Sequence[Line]) -> tuple[int, ...]:
    """The lines before and after the longest silence in the answer, if it has a long one."""
    gaps = [later.at_s - earlier.at_s for earlier, later in pairwise(lines)]
    longest = max(gaps, default=0.0)
    return (gaps.index(longest), gaps.index(longest) + 1) if longest > _SILENCE_S else ()


def _thinned(lines: Sequence[Line], kept: Sequence[bool]) -> Iterator[str]:
    """The lines that are kept; where more than one is left out, how many."""
    left_out: list[Line] = []
    for line, keep in [*zip(lines, kept, strict=True), (None, True)]:
        if line is not None and not keep:
            left_out.append(line)
            continue
        if len(left_out) == 1:
            yield str(left_out[0])
        elif left_out:
            yield f"{'':11}… {len(left_out)} more, until {left_out[-1].at_s:.2f} s"
        left_out = []
        if line is not None:
            yield str(line)


def _head_of(capture: Capture) -> str:
    return _whole(capture).partition(b"\r\n\r\n")[0].decode("latin-1")


def _head(capture: Capture) -> Iterator[str]:
    head = _head_of(capture)
    if not head:
        return
    status, *fields = head.split("\r\n")
    yield str(Line(capture.pieces[0][0], status))
    for field in fields:
        if field.partition(":")[0].lower() in _SHOWN_FIELDS:
            yield f"{'':11}{field}"


def _body(capture: Capture, shows: Sequence[re.Pattern[str]]) -> Iterator[Line]:
    head = len(_whole(capture).partition(b"\r\n\r\n")[0]) + 4
    if b"transfer-encoding: chunked" not in _whole(capture)[:head].lower():
        position = 0
        for at_s, piece in capture.pieces:
            data = piece[max(0, head - position) :]
            position += len(piece)
            if data:
                yield _line(at_s, f"{len(data)} bytes", data, shows)
        return
    body = _whole(capture)[head:]
    position = 0
    while position < len(body):
        mark, _, rest = body[position:].partition(b"\r\n")
        size = int(mark, 16)
        position += len(mark) + 2
        at_s = _time_of(capture, head + position + min(size, len(rest)))
        if size == 0:
            yield Line(at_s, "the body ends")
            return
        if len(rest) < size:
            yield _line(at_s, f"chunk of {size}, {len(rest)} of it", rest, shows)
            return
        yield _line(at_s, f"chunk of {size}", rest[:size], shows)
        position += size + 2


def _whole(capture: Capture) -> bytes:
    return b"".join(data for _, data in capture.pieces)


def _time_of(capture: Capture, position: int) -> float:
    """When the byte before ``position`` was read."""
    seen = 0
    for at_s, data in capture.pieces:
        seen += len(data)
        if seen >= position:
            return at_s
    return capture.pieces[-1][0]


def _line(at_s: float, what: str, data: bytes, shows: Sequence[re.Pattern[str]]) -> Line:
    text = _printable(data)
    return Line(
        at_s, f"[{what}] {_shortened(text, shows)}", any(show.search(text) for show in shows)
    )


def _printable(data: bytes) -> str:
    """``data`` as text: line ends as \\n, bytes that are no text as \\xNN."""
    text = data.decode("utf-8", "backslashreplace")
    shown = "".join(_escape(char) for char in text)
    return _SECRETS.sub(r"\1=…", shown)


def _escape(char: str) -> str:
    known = {"\n": "\\n", "\r": "\\r"}
    return known.get(char) or (char if char.isprintable() else f"\\x{ord(char):02x}")


def _shortened(text: str, shows: Sequence[re.Pattern[str]]) -> str:
    """Beginning, end and what is to be shown of ``text``, with … for the rest."""
    if len(text) <= _WHOLE:
        return text
    spans = [(0, _beginning(text)), (len(text) - 8, len(text))]
    found = sorted(match.span() for mark in _MARKS for match in mark.finditer(text))
    found = found if len(found) <= 4 else [*found[:2], *found[-1:]]
    spans += found + [match.span() for show in shows for match in [*show.finditer(text)][:2]]
    shortened, position = "", 0
    for start, end in sorted(spans):
        if end <= position:
            continue
        shortened += (" … " if start > position else "") + text[max(start, position) : end]
        position = end
    return shortened


def _beginning(text: str) -> int:
    """How much of the beginning is shown: a frame says what it is by its event, other texts by
    their first words.
    """
    frame = _FRAME.match(text)
    return 48 if frame is None else frame.end()
