"""Decodes compressed bodies piece by piece: in a compressed body no secret can be found.

A decoded body is bounded in size and in its ratio to the compressed one, and never held in memory
as a whole.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from dify_wire.exchange import Chunk, Headers
from dify_wire.recording.errors import RecordingError

MOST_DECODED_BYTES = 128 << 20
"""The longest decoded body, in bytes."""

MOST_RATIO = 100
"""How many times longer than the compressed body a decoded one may be, once it exceeds
``FREE_BYTES``.
"""

FREE_BYTES = 16 << 20
"""Decoded bytes to which ``MOST_RATIO`` does not apply: short texts of one character compress by
1,000.
"""

MOST_MEMBERS = 10_000
"""Members of one gzip body (RFC 1952, 2.2). Each costs time, however short it is."""

MOST_CODINGS = 3
"""Codings that one body may have on top of each other."""

_PIECE_BYTES = 1 << 20
_READ_BYTES = 16 << 10
_GZIP = ("gzip", "x-gzip")
_ZLIB_METHOD = 8


class UndecodableError(RecordingError):
    """The body cannot be decoded, or not within the bounds; ``message`` says why."""

    def __init__(self, message: str) -> None:
        super().__init__("the exchange", "Content-Encoding", message)


def coding(headers: Headers) -> str:
    """The content codings that ``headers`` announce, separated by commas; empty where there is
    none.
    """
    values = ",".join(
        value for name, value in headers if name.lower() == "content-encoding"
    ).lower()
    return ", ".join(
        name for name in map(str.strip, values.split(",")) if name not in ("", "identity")
    )


def without_coding(headers: Headers) -> Headers:
    return tuple((name, value) for name, value in headers if name.lower() != "content-encoding")


def decoded(chunks: Iterable[Chunk], codings: str, whole: bool = False) -> Iterator[Chunk]:
    """``chunks`` without ``codings``; what is decoded from a chunk has the chunk's time.

    ``whole`` says that the compressed body has its end. Raises ``UndecodableError`` for an unknown
    coding, a body that is not what its header announces, one without an end, and one that exceeds
    the bounds.
    """
    names = codings.split(", ")
    if len(names) > MOST_CODINGS:
        raise UndecodableError(
            f"it has {len(names)} codings, and at most {MOST_CODINGS} are decoded"
        )
    for name in reversed(names):
        chunks = _without(chunks, name, whole)
    return iter(chunks)


def _without(chunks: Iterable[Chunk], name: str, whole: bool) -> Iterator[Chunk]:
    inflater = _Inflater(name)
    for chunk in chunks:
        for piece in inflater.pieces(chunk.data):
            yield Chunk(chunk.at_s, piece)
    if whole and not inflater.ended:
        raise UndecodableError(f"its {name} data has no end")


class _Inflater:
    """Undoes one coding; counts what goes in and comes out."""

    def __init__(self, name: str) -> None:
        if name not in (*_GZIP, "deflate"):
            raise UndecodableError(
                f"its coding {name} cannot be undone; ask the host for Accept-Encoding: identity"
            )
        self._name = name
        self._stream = zlib.decompressobj(16 + zlib.MAX_WBITS) if name in _GZIP else None
        self._head = b""
        self._members = 1
        self._in = self._out = 0

    @property
    def ended(self) -> bool:
        """Whether nothing is missing."""
        return not self._in or (self._stream is not None and self._stream.eof)

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What ``data`` decodes to, in pieces of at most 1 MiB."""
        for start in range(0, len(data), _READ_BYTES):
            part = data[start : start + _READ_BYTES]
            self._in += len(part)
            yield from self._inflated(part)

    def _inflated(self, data: bytes) -> Iterator[bytes]:
        if self._stream is None:
            data = self._head = self._head + data
            if len(data) < 2:
                return
            self._stream = zlib.decompressobj(
                zlib.MAX_WBITS if _has_zlib_head(data) else -zlib.MAX_WBITS
            )
        piece = b""
        while data or len(piece) == _PIECE_BYTES:
            if self._stream.eof and not (data := self._next_member(data)):
                return
            try:
                piece = self._stream.decompress(data, _PIECE_BYTES)
            except zlib.error as error:
                raise UndecodableError(f"it is not {self._name} as announced ({error})") from None
            data = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
            if piece:
                self._count(len(piece))
                yield piece

    def _next_member(self, data: bytes) -> bytes:
        """``data`` from the start of the next gzip member; zeros may pad the end of a body."""
        data = data.lstrip(b"\0")
        if data:
            self._members += 1
            if self._name not in _GZIP:
                raise UndecodableError(f"there are bytes after the end of its {self._name} data")
            if self._members > MOST_MEMBERS:
                raise UndecodableError(f"it has more than {MOST_MEMBERS} gzip members")
            self._stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
        return data

    def _count(self, size: int) -> None:
        self._out += size
        if self._out > MOST_DECODED_BYTES:
            raise UndecodableError(f"decoded it has more than {MOST_DECODED_BYTES >> 20} MiB")
        if self._out > FREE_BYTES and self._out > MOST_RATIO * self._in:
            raise UndecodableError(f"decoded it is more than {MOST_RATIO} times as long")


def _has_zlib_head(data: bytes) -> bool:
    """Whether deflate data has the wrapper that RFC 9110 asks for and some hosts leave out (RFC
    1950, 2.2).
    """
    return data[0] & 15 == _ZLIB_METHOD and (data[0] << 8 | data[1]) % 31 == 0
