"""Decodes compressed bodies, so that secrets can be found in them.

Bodies are decoded piece by piece, bounded in size and in their ratio to the compressed body. One
that cannot be decoded is left out of the recording.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from dify_wire.exchange import Chunk, Headers, Recording, Shortened, announced
from dify_wire.recording.bodies import Spool
from dify_wire.text_file import RecordingError

DECODED = "encoding"
"""The rule named in ``redacted`` where a body was decoded."""

MOST_DECODED_BYTES = 128 << 20
"""The longest decoded body, in bytes."""

MOST_RATIO = 100
"""How many times longer than the compressed body a decoded one of over ``FREE_BYTES`` may be."""

FREE_BYTES = 16 << 20
"""Decoded bytes below which ``MOST_RATIO`` does not apply: repetitive text compresses by 1,000."""

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
    """The content codings of ``headers``, separated by commas; empty if there are none."""
    values = ",".join(value for name, value in headers if name.lower() == "content-encoding")
    names = map(str.strip, values.lower().split(","))
    return ", ".join(name for name in names if name not in ("", "identity"))


def without_coding(headers: Headers) -> Headers:
    return tuple((name, value) for name, value in headers if name.lower() != "content-encoding")


def decoded(chunks: Iterable[Chunk], codings: str, whole: bool = False) -> Iterator[Chunk]:
    """``chunks`` without ``codings``; what is decoded from a chunk has the chunk's time.

    ``whole`` says that the compressed body has its end. Raises ``UndecodableError`` for an unknown
    coding, a body of another coding or without an end, and one that exceeds the bounds.
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
            # Some hosts leave out the wrapper that RFC 9110 asks for (RFC 1950, 2.2).
            wrapped = data[0] & 15 == _ZLIB_METHOD and (data[0] << 8 | data[1]) % 31 == 0
            self._stream = zlib.decompressobj(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)
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


@dataclass(frozen=True, slots=True)
class Searchable:
    """An exchange whose bodies can be searched; ``left_out`` names each missing body with why."""

    exchange: Recording
    response: Spool | None
    request: Spool | None
    left_out: tuple[str, ...]


@dataclass(slots=True)
class _Body:
    """A body as it arrived: in ``spool``, or in ``chunks`` where that is None."""

    headers: Headers
    spool: Spool | None
    chunks: Sequence[Chunk]
    is_whole: bool
    left_out: str = ""
    is_decoded: bool = False

    @property
    def size(self) -> int:
        return self.spool.size if self.spool else sum(len(chunk.data) for chunk in self.chunks)

    def decode(self, new_spool: Callable[[], Spool]) -> None:
        """Decode the body into a new spool, or say why it is ``left_out``."""
        codings = coding(self.headers)
        if self.left_out or not (codings and self.size):
            return
        spool, chunks = new_spool(), self.spool.chunks() if self.spool else self.chunks
        try:
            for chunk in decoded(chunks, codings, self.is_whole):
                spool.add(chunk.at_s, chunk.data)
        except UndecodableError as error:
            self.left_out = error.message
            return
        self.left_out = spool.exceeded
        if not self.left_out:
            self.headers = announced(without_coding(self.headers), self.size, spool.size)
            self.spool, self.is_decoded = spool, True


def searchable(
    exchange: Recording,
    response: Spool | None,
    request: Spool | None,
    new_spool: Callable[[], Spool] | None,
) -> Searchable:
    """``exchange`` with decoded bodies; ``response`` and ``request`` hold bodies that were spooled.

    A body that exceeded the bounds of its spool, or cannot be decoded, is left out. The caller
    discards the spools that ``new_spool`` made; without it bodies are not decoded.
    """
    sent = exchange.request
    chunks = [Chunk(0.0, sent.body)] if sent.body else []
    is_whole = exchange.ended == "complete" and exchange.shortened is None
    ours = _Body(sent.headers, request, chunks, sent.shortened is None)
    theirs = _Body(exchange.headers, response, exchange.chunks, is_whole)
    for body in (ours, theirs):
        body.left_out = body.spool.exceeded if body.spool else ""
        if new_spool:
            body.decode(new_spool)
    left_out = []
    if ours.left_out:
        left_out.append(f"the request's body, because {ours.left_out}")
        cut = Shortened(ours.size)
        sent, request = replace(sent, body=b"", chunk_sizes=(), shortened=cut), None
    elif ours.is_decoded:
        sent, request = replace(sent, headers=ours.headers, chunk_sizes=()), ours.spool
    exchange = replace(exchange, request=sent)
    if theirs.left_out:
        left_out.append(f"the response's body, because {theirs.left_out}")
        exchange, response = replace(exchange, chunks=(), shortened=Shortened(theirs.size)), None
    elif theirs.is_decoded:
        exchange, response = replace(exchange, headers=theirs.headers), theirs.spool
    if ours.is_decoded or theirs.is_decoded:
        redacted = tuple(dict.fromkeys((*exchange.redacted, DECODED)))
        exchange = replace(exchange, redacted=redacted)
    if left_out:
        notes = [exchange.note, *(f"Left out: {why}." for why in left_out)]
        exchange = replace(exchange, note=" ".join(filter(None, notes)))
    return Searchable(exchange, response, request, tuple(left_out))
