"""Decodings of a text, each with the way back to the bytes that it was decoded from.

A secret may be escaped (percent, JSON, Python, HTML, several times over), in base64 or hexadecimal
digits at any offset, or in UTF-16 and UTF-32. A ``View`` is the text with one such layer decoded. A
replacement in a view is lifted, layer by layer, to an edit of the original.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

MOST_LEVELS = 8
"""Escapes of escapes are taken off this many times."""

_NESTED = 2
"""Base64 or digits inside of base64 or digits are read this deep."""

_ESCAPE = re.compile(
    rb"%[0-9A-Fa-f]{2}"
    rb"|\\u[dD][89abAB][0-9A-Fa-f]{2}\\u[dD][c-fC-F][0-9A-Fa-f]{2}"
    rb"|\\u[0-9A-Fa-f]{4}|\\U[0-9A-Fa-f]{8}"
    rb"|\\u\{[0-9A-Fa-f]{1,6}\}|(?:\\[2-3][0-7]{2})+|\\[01][0-7]{2}"
    rb"|(?:\\x[89a-fA-F][0-9A-Fa-f])+|\\x[0-7][0-9A-Fa-f]|\\[\\\"'/bfnrt]"
    rb"|&(?:#[0-9]{1,9};?|#[xX][0-9A-Fa-f]{1,8};?|[A-Za-z][A-Za-z0-9]{1,31};)"
)
_CONTROL = {"b": b"\b", "f": b"\f", "n": b"\n", "r": b"\r", "t": b"\t"}
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{8,}={0,2}")
_STANDARD = bytes.maketrans(b"-_", b"+/")
_HEX = re.compile(rb"[0-9A-Fa-f]{12,}")
_WIDE = [
    re.compile(rb"(?:%b){4,}" % letter)
    for letter in (rb"[^\0]\0", rb"\0[^\0]", rb"[^\0]\0\0\0", rb"\0\0\0[^\0]")
]
"""UTF-16 and UTF-32, of little and of big end; more than one may match where a run begins."""

_READABLE = re.compile(rb"[ -~]{6}|(?:[ -~]\0+){4}|(?:[\xc3-\xf4][\x80-\xbf]{1,3}){2}")
_GAP = b"\n"
_Edit = tuple[int, int, bytes]


class View:
    """A text to be searched; this one is the original."""

    def __init__(self, data: bytes, parent: View | None = None) -> None:
        self.data = data
        self.lowered = data.lower()
        self.parent = parent

    def is_new(self, start: int, end: int) -> bool:
        """Whether what stands there could not be read in the view that this one was made of."""
        return True

    def lift(self, start: int, end: int, replacement: bytes) -> _Edit | None:
        """The edit of the original that replaces ``start`` to ``end``; None where these are not
        adjacent bytes there.
        """
        view: View | None = self
        found: _Edit | None = start, end, replacement
        while view is not None and found is not None:
            found = view.lifted(*found)
            view = view.parent
        return found

    def lifted(self, start: int, end: int, replacement: bytes) -> _Edit | None:
        """The same for the view that this one was made of."""
        return start, end, replacement


class _Unescaped(View):
    """A view without one layer of escapes; between them everything is as it was."""

    def __init__(self, parent: View) -> None:
        pieces, at, size = [], 0, 0
        self._starts, self._ends = array("Q"), array("Q")
        self._sources, self._source_ends = array("Q"), array("Q")
        for match in _ESCAPE.finditer(parent.data):
            plain = _plain(match[0])
            if plain == match[0]:
                continue
            pieces += [parent.data[at : match.start()], plain]
            at = match.end()
            size += len(pieces[-2])
            self._starts.append(size)
            size += len(plain)
            self._ends.append(size)
            self._sources.append(match.start())
            self._source_ends.append(at)
        super().__init__(b"".join([*pieces, parent.data[at:]]) if pieces else parent.data, parent)

    @property
    def changed(self) -> bool:
        return bool(self._starts)

    def is_new(self, start: int, end: int) -> bool:
        return bisect_left(self._starts, end) > bisect_right(self._ends, start)

    def lifted(self, start: int, end: int, replacement: bytes) -> _Edit | None:
        first, last = bisect_right(self._starts, start) - 1, bisect_left(self._starts, end) - 1
        if first >= 0 and start < self._ends[first]:
            start = self._sources[first]
        elif first >= 0:
            start += self._source_ends[first] - self._ends[first]
        if last >= 0:
            end = self._source_ends[last] + max(0, end - self._ends[last])
        return start, end, replacement


_Encode = Callable[[bytes, bytes, int, int, bytes], _Edit]
"""From ``letters``, ``plain`` decoded from them, and an edit of it: the edit of the letters."""


class _Decoded(View):
    """Decoded pieces of another view, each from its start and to its end there, with gaps between
    them.
    """

    def __init__(
        self, parent: View, pieces: Sequence[tuple[int, int, bytes]], encode: _Encode
    ) -> None:
        self._encode = encode
        self._starts, self._sources, self._source_ends = array("Q"), array("Q"), array("Q")
        size = 0
        for start, end, plain in pieces:
            self._starts.append(size)
            self._sources.append(start)
            self._source_ends.append(end)
            size += len(plain) + len(_GAP)
        super().__init__(_GAP.join([*(plain for _, _, plain in pieces), b""]), parent)

    def lifted(self, start: int, end: int, replacement: bytes) -> _Edit | None:
        assert self.parent is not None
        piece = bisect_right(self._starts, start) - 1
        first = self._starts[piece]
        after = self._starts[piece + 1] if piece + 1 < len(self._starts) else len(self.data)
        plain = self.data[first : after - len(_GAP)]
        if end - first > len(plain):
            return None
        source = self._sources[piece]
        letters = self.parent.data[source : self._source_ends[piece]]
        start, end, replacement = self._encode(
            letters, plain, start - first, end - first, replacement
        )
        return source + start, source + end, replacement


def _base64_edit(letters: bytes, plain: bytes, start: int, end: int, replacement: bytes) -> _Edit:
    """In whole groups of four letters, so that the bytes around the secret stay what they were."""
    first, last = start - start % 3, end + -end % 3
    inner = plain[first:start] + replacement + plain[end:last]
    if last < len(plain):
        coded, to = base64.b64encode(inner + b" " * (-len(inner) % 3)), last // 3 * 4
    else:
        coded, to = base64.b64encode(inner), len(letters)
        coded = coded if letters.endswith(b"=") else coded.rstrip(b"=")
    if b"-" in letters or b"_" in letters:
        coded = coded.translate(bytes.maketrans(b"+/", b"-_"))
    return first // 3 * 4, to, coded


def _hex_edit(letters: bytes, plain: bytes, start: int, end: int, replacement: bytes) -> _Edit:
    return 2 * start, 2 * end, replacement.hex().encode()


def _wide_edit(letters: bytes, plain: bytes, start: int, end: int, replacement: bytes) -> _Edit:
    width = len(letters) // len(plain)
    coding = f"utf-{8 * width}-{'le' if letters[0] else 'be'}"
    return width * start, width * end, replacement.decode("utf-8", "replace").encode(coding)


def views(data: bytes) -> Iterator[View]:
    """``data``, and every other way to read it."""
    yield from _readings(View(data), _NESTED)


def levels(data: bytes) -> Iterator[bytes]:
    """``data``, and what is left after each layer of escapes that is taken off."""
    if not _ESCAPE.search(data):  # most have none, and are found so in no time
        yield data
        return
    view = View(data)
    for _ in range(MOST_LEVELS + 1):
        yield view.data
        deeper = _Unescaped(view)
        if not deeper.changed:
            return
        view = deeper


def unescaped(data: bytes) -> bytes:
    """``data`` without any layer of escapes."""
    return list(levels(data))[-1]


def _readings(view: View, depth: int) -> Iterator[View]:
    for _ in range(MOST_LEVELS + 1):
        yield view
        for decoded in _decoded(view) if depth else ():
            yield from _readings(decoded, depth - 1)
        deeper = _Unescaped(view)
        if not deeper.changed:
            return
        view = deeper


def _decoded(view: View) -> Iterator[View]:
    """What in ``view`` is base64 (at each of four offsets), hexadecimal digits (at two) or wide
    characters.
    """
    found: dict[tuple[_Encode, int], list[tuple[int, int, bytes]]] = {}

    def add(encode: _Encode, variant: int, start: int, end: int, plain: bytes) -> None:
        if encode is _wide_edit or _READABLE.search(plain):
            found.setdefault((encode, variant), []).append((start, end, plain))

    for match in _new(view, _BASE64):
        # no text's base64 has hexadecimal digits alone
        for offset in () if _HEX.fullmatch(match[0]) else range(4):
            letters = match[0][offset:].rstrip(b"=").translate(_STANDARD)
            letters = letters[:-1] if len(letters) % 4 == 1 else letters
            plain = binascii.a2b_base64(letters + b"=" * (-len(letters) % 4))
            add(_base64_edit, offset, match.start() + offset, match.end(), plain)
    for match in _new(view, _HEX):
        for offset in range(2):
            start, end = match.start() + offset, match.end() - (len(match[0]) - offset) % 2
            add(_hex_edit, offset, start, end, bytes.fromhex(view.data[start:end].decode()))
    for number, pattern in enumerate(_WIDE) if b"\0" in view.data else ():
        for match in _new(view, pattern):
            add(_wide_edit, number, *match.span(), match[0].replace(b"\0", b""))
    for (encode, _), pieces in found.items():
        yield _Decoded(view, pieces, encode)


def _new(view: View, pattern: re.Pattern[bytes]) -> Iterator[re.Match[bytes]]:
    """The matches that could not be seen in the view that this one was made of."""
    return (match for match in pattern.finditer(view.data) if view.is_new(*match.span()))


@lru_cache(maxsize=4096)
def _plain(escape: bytes) -> bytes:
    """What an escape stands for; itself where that is nothing."""
    text = escape.decode()
    if text[0] == "%":
        return bytes.fromhex(text[1:])
    if text[0] == "&":
        return html.unescape(text).encode("utf-8", "surrogatepass")
    if text[1] == "x" or text[1].isdecimal():
        digits, base = text.replace("x", ""), 16 if text[1] == "x" else 8
        return _bytes_or_latin(bytes(int(one, base) for one in digits.split("\\")[1:]))
    if text[1] not in "uU":
        return _CONTROL.get(text[1], text[1].encode())
    digits = text[2:].replace("\\u", "")
    if text[1] == "u" and text[2] != "{":
        text = bytes.fromhex(digits).decode("utf-16-be", "surrogatepass")
        return text.encode("utf-8", "surrogatepass")
    code = int(digits.strip("{}"), base=16)
    return chr(code).encode("utf-8", "surrogatepass") if code <= sys.maxunicode else escape


def _bytes_or_latin(data: bytes) -> bytes:
    """Python writes bytes as ``\\xc3\\xa9``, and a letter of Latin-1 as ``\\xe9``."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1").encode()
    return data


def as_utf8(data: bytes) -> tuple[bytes, str]:
    """``data`` in UTF-8, and its encoding: UTF-16 or UTF-32 as ``json.loads`` detects them."""
    coding: str = json.detect_encoding(data)
    width = {"utf-16": 2, "utf-32": 4}.get(coding[:6])
    if width is None:
        return data, "utf-8"
    if len(coding) == 6:  # there is a mark, which stays a character like any other
        coding += "-le" if data[0] == 0xFF else "-be"
    whole = data[: len(data) - len(data) % width]
    try:
        text = whole.decode(coding, "surrogatepass")
        if text.encode(coding, "surrogatepass") == whole:
            return text.encode("utf-8", "surrogatepass"), coding
    except UnicodeError:
        pass
    return data, "utf-8"
