"""Makes the bodies of an exchange fit for redaction: decoded, or left out with the reason in the
recording's note.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from dify_wire.exchange import Chunk, Headers, Recording, Shortened, announced
from dify_wire.recording.decoding import UndecodableError, coding, decoded, without_coding
from dify_wire.recording.spool import Spool

DECODED = "encoding"
"""Named in ``redacted`` where a body was decoded."""


@dataclass(slots=True)
class Searchable:
    """An exchange whose bodies can be searched. ``left_out`` says of each body that is not kept
    why.
    """

    exchange: Recording
    answer: Spool | None
    request: Spool | None
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Body:
    """A body as it came: in ``spool``, or in ``chunks`` where that is None."""

    headers: Headers
    spool: Spool | None
    chunks: Sequence[Chunk]
    whole: bool
    decode: bool

    @property
    def size(self) -> int:
        return self.spool.size if self.spool else sum(len(chunk.data) for chunk in self.chunks)

    @property
    def is_coded(self) -> bool:
        return bool(self.decode and self.size and coding(self.headers))

    def decoded_into(self, spool: Spool) -> Headers:
        """Decode it into ``spool``; the headers that then fit. Raises ``UndecodableError``."""
        chunks = self.spool.chunks() if self.spool else self.chunks
        for chunk in decoded(chunks, coding(self.headers), self.whole):
            spool.add(chunk.at_s, chunk.data)
        return announced(without_coding(self.headers), self.size, spool.size)


def searchable(
    exchange: Recording,
    answer: Spool | None,
    request: Spool | None,
    new_spool: Callable[[], Spool],
    decode: bool = True,
) -> Searchable:
    """``exchange`` with decoded bodies; ``answer`` and ``request`` hold bodies that came piece by
    piece.

    A body that cannot be decoded within the bounds, or that exceeded those of its spool, is left
    out. Whoever gives ``new_spool`` discards what it made. Unless ``decode``, bodies stay as they
    came.
    """
    made = Searchable(exchange, answer, request)
    asked = exchange.request
    sent = [Chunk(0.0, asked.body)] if asked.body else []
    _settle_request(
        made, _Body(asked.headers, request, sent, asked.shortened is None, decode), new_spool
    )
    whole = exchange.ended == "complete" and exchange.shortened is None
    _settle_answer(made, _Body(exchange.headers, answer, exchange.chunks, whole, decode), new_spool)
    if made.left_out:
        note = " ".join(
            filter(None, (exchange.note, *(f"Left out: {why}." for why in made.left_out)))
        )
        made.exchange = replace(made.exchange, note=note)
    return made


def _settle_request(made: Searchable, body: _Body, new_spool: Callable[[], Spool]) -> None:
    asked = made.exchange.request
    headers, spool, why = _settled(body, new_spool)
    if why:
        left = replace(asked, body=b"", chunk_sizes=(), shortened=Shortened(body.size))
        made.exchange, made.request = replace(made.exchange, request=left), None
        made.left_out += (f"the request's body, because {why}",)
    elif spool is not body.spool:
        left = replace(asked, headers=headers, chunk_sizes=())
        made.exchange, made.request = replace(_with_rule(made.exchange), request=left), spool


def _settle_answer(made: Searchable, body: _Body, new_spool: Callable[[], Spool]) -> None:
    headers, spool, why = _settled(body, new_spool)
    if why:
        made.exchange = replace(made.exchange, chunks=(), shortened=Shortened(body.size))
        made.answer = None
        made.left_out += (f"the response's body, because {why}",)
    elif spool is not body.spool:
        made.exchange, made.answer = replace(_with_rule(made.exchange), headers=headers), spool


def _settled(body: _Body, new_spool: Callable[[], Spool]) -> tuple[Headers, Spool | None, str]:
    """Headers and spool to go on with, or why the body is left out."""
    if body.spool is not None and body.spool.exceeded:
        return body.headers, None, body.spool.exceeded
    if not body.is_coded:
        return body.headers, body.spool, ""
    spool = new_spool()
    try:
        return body.decoded_into(spool), spool, spool.exceeded
    except UndecodableError as error:
        return body.headers, None, error.message


def _with_rule(exchange: Recording) -> Recording:
    return replace(exchange, redacted=tuple(dict.fromkeys((*exchange.redacted, DECODED))))
