"""What the journal has of one request with its response, as it came: decoded when it is read."""

from __future__ import annotations

import hashlib
import json
import math
import time
from array import array
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Protocol
from urllib.parse import parse_qsl

from starlette.types import Message, Scope

RawHeaders = Sequence[tuple[bytes, bytes]]

KEPT_BYTES = 1 << 16
"""So much of the body of a request and of a response is kept and matched; the rest is counted."""

CLIENT_LEFT = 499
"""nginx's own number for a client that left before it got a response."""

_DEEPEST_JSON = 500
"""JSON nested deeper is shown as text alone: readers of the journal might fail on it."""

_HEAD_BYTES = 2048
"""The size of an entry without its bodies and headers, roughly."""

_PIECE_BYTES = 128
"""The size of a piece of a body beside its bytes: a stream may come in many."""

_SMALL_BYTES = 4096
"""What an entry keeps is counted when it ends, and at once when it is more than this."""


class Keeper(Protocol):
    """What has the entries."""

    def count(self, entry: Entry) -> None:
        """Count the ``new_bytes`` of ``entry``."""

    def tell(self, entry: Entry) -> None:
        """Tell whoever waits that ``entry`` may match other descriptions than before."""


class Entry:
    """What is known of one exchange so far; times are of ``time.perf_counter``.

    Thousands are made a second, and thousands may wait for the rest of a stream: what most never
    have is a default of the class.
    """

    operation: str | None = None
    """The operation of the spec that the request found."""
    scenarios: tuple[str, ...] = ()
    """The names of the scenarios that apply to the request."""
    notes: tuple[str, ...] = ()
    """What scenarios did otherwise than their author may expect, a sentence each."""
    hint = ""
    """What the log says beside a request whose key is refused."""
    body_bytes = 0
    request_complete = False
    """Whether the host has what it needs of the request: its whole body, or enough to respond."""
    status: int | None = None
    headers: RawHeaders = ()
    is_stream = False
    sent_bytes = 0
    first_byte: float | None = None
    response_complete = False
    ended: float | None = None
    client_left = False
    broken_off = False
    """Whether the server ended the response before its end."""
    packed_run: Callable[[], tuple[Any, ...]] | None = None
    """Packs the run of the request for other replicas, where there are some."""
    discarded = False
    """Whether the journal no longer has the entry."""
    new_bytes = 0
    """What the journal has not yet counted."""
    _received: bytes | bytearray = b""
    _sent = b""
    """The first chunk of the response's body."""
    _more: list[bytes] | None = None
    _times: array[float] | None = None
    """Further chunks, and the time of each."""
    _hash: Any = None

    def __init__(
        self, keeper: Keeper, number: int, received_at: float, scope: Scope, headers_bytes: int
    ) -> None:
        self._keeper = keeper
        self.number = number
        self.received_at = received_at
        self.scope = scope
        self.size = _HEAD_BYTES + headers_bytes
        self.began = time.perf_counter()

    # What happens
    # ------------------------------------------------------------------------------------------

    def request_chunk(self, message: Message) -> None:
        """Note what the client sent, or that it left."""
        if message["type"] != "http.request":
            self.client_left = self.client_left or not self.response_complete
            return
        data = message.get("body")
        if data:
            if self.body_bytes < KEPT_BYTES and not self.discarded:
                kept = data[: KEPT_BYTES - self.body_bytes]
                if not self._received:
                    self._received = kept
                elif isinstance(self._received, bytes):
                    self._received = bytearray(self._received + kept)
                else:
                    self._received += kept
                self.new_bytes += len(kept) + _PIECE_BYTES
                if self.new_bytes > _SMALL_BYTES:
                    self._keeper.count(self)
            self.body_bytes += len(data)
        if not message.get("more_body"):
            self.request_complete = True
        if self.request_complete:
            self._keeper.tell(self)

    def response_head(self, message: Message) -> None:
        """Note the head of the response."""
        self.request_complete = True
        self.status = message["status"]
        self.headers = message["headers"]
        for name, value in self.headers:
            if name == b"Content-Type":
                self.is_stream = value.startswith(b"text/event-stream")
                if value.startswith(b"image/"):
                    self._hash = hashlib.sha256()
        self._keeper.tell(self)

    def response_chunk(self, message: Message, at: float | None = None) -> None:
        """Note a part of the response's body, which was sent ``at`` that time or now."""
        self.response_complete = not message.get("more_body")
        data = message.get("body")
        if not data:
            return
        if at is None:
            at = time.perf_counter()
        if self.first_byte is None:
            self.first_byte = at
        if self._hash is not None:
            self._hash.update(data)
        elif self.sent_bytes < KEPT_BYTES and not self.discarded:
            kept = data[: KEPT_BYTES - self.sent_bytes]
            if not self._sent:
                self._sent = kept
            elif self._more is None or self._times is None:
                self._more, self._times = [kept], array("d", (at,))
            else:
                self._times.append(at)
                self._more.append(kept)
            self.new_bytes += len(kept) + _PIECE_BYTES
            if self.new_bytes > _SMALL_BYTES:
                self._keeper.count(self)
        self.sent_bytes += len(data)

    def end(self, crashed: bool) -> None:
        """The exchange is over; ``crashed`` where the server failed."""
        self.ended = time.perf_counter()
        self.broken_off = self.broken_off or crashed
        self.scope.pop("extensions", None)  # they hold on to the connection
        if self.new_bytes:
            self._keeper.count(self)
        if not self.request_complete:
            self.request_complete = True
            self._keeper.tell(self)

    def exchange(
        self, body: bytes, status: int, headers: RawHeaders, sent: bytes, began: float
    ) -> None:
        """Note at once what the methods above note one by one, where each body came in one piece.

        The journal gets the entry afterwards.
        """
        self.began = began
        self.ended = now = time.perf_counter()
        self.status, self.headers = status, headers
        self.request_complete = self.response_complete = True
        if body:
            self.body_bytes = len(body)
            self._received = body[:KEPT_BYTES]
            self.size += len(self._received) + _PIECE_BYTES
        if sent:
            self.first_byte = now
            self.sent_bytes = len(sent)
            self._sent = sent[:KEPT_BYTES]
            self.size += len(self._sent) + _PIECE_BYTES

    # For another replica
    # ------------------------------------------------------------------------------------------

    def packed(self) -> tuple[Any, ...]:
        """The entry as values of ``marshal``'s types, its number first."""
        scope = self.scope
        return (
            self.number,
            self.received_at,
            tuple([scope.get(name) for name in _OF_SCOPE]),
            self.began,
            self.size,
            bytes(self._received),
            self.headers,
            self.chunks,
            self.digest,
            tuple([getattr(self, name) for name in _PACKED]),
            None if self.packed_run is None else self.packed_run(),
        )

    @classmethod
    def unpacked(cls, keeper: Keeper, fields: tuple[Any, ...]) -> Entry:
        """The entry that another replica has packed."""
        number, received_at, of_scope, began, size, received, headers, chunks, digest, more, _ = (
            fields
        )
        scope = {"type": "http", **dict(zip(_OF_SCOPE, of_scope, strict=True))}
        entry = cls(keeper, number, received_at, scope, 0)
        entry.began, entry.size, entry.headers = began, size, headers
        entry._received = received
        if chunks:
            (_, entry._sent), *later = chunks
            entry._times = array("d", (at for at, _ in later))
            entry._more = [data for _, data in later]
        if digest is not None:
            entry._hash = _Hashed(digest)
        for name, value in zip(_PACKED, more, strict=True):
            setattr(entry, name, value)
        return entry

    def become(self, later: Entry) -> None:
        """Know what the other replica knows ``later`` of the same exchange."""
        size = self.size
        self.__dict__.update(later.__dict__)
        self.size = size

    def discard(self) -> None:
        """The journal no longer has the entry, which keeps no more of what it gets."""
        self.discarded = True
        if self.ended is None:
            self._sent, self._more, self._times = b"", None, None

    # What is known
    # ------------------------------------------------------------------------------------------

    @property
    def body(self) -> bytes:
        """What is kept of the request's body."""
        return bytes(self._received)

    @property
    def chunks(self) -> list[tuple[float, bytes]]:
        """What is kept of the response's body, each chunk with the time at which it was sent."""
        if not self._sent or self.first_byte is None:
            return []
        more = zip(
            self._times or (), self._more or (), strict=False
        )  # the server may just add to them
        return [(self.first_byte, self._sent), *more]

    @property
    def digest(self) -> str | None:
        """SHA-256 of an image's bytes so far; None where the response is not an image."""
        return None if self._hash is None else str(self._hash.hexdigest())

    @property
    def tenths_of_ms(self) -> int:
        """How long the exchange took, once it is over, as the log shows it."""
        assert self.ended is not None
        return round((self.ended - self.began) * 10_000)

    @property
    def client(self) -> str | None:
        """The address of the client, where it is known."""
        client = self.scope.get("client")
        return client[0] if client else None

    @property
    def logged_status(self) -> int:
        """The status that was sent, or nginx's number for none."""
        return CLIENT_LEFT if self.status is None else self.status

    @property
    def state(self) -> str:
        """running, complete, client left or broken."""
        if self.ended is None:
            return "running"
        if self.broken_off or not (self.response_complete or self.client_left):
            return "broken"
        return "client left" if self.client_left else "complete"

    def header(self, name: bytes) -> bytes:
        """The first header of that name in the request, empty where there is none."""
        return next((value for key, value in self.scope["headers"] if key == name), b"")

    def json(self) -> Any:
        """The request's body as JSON, to be read and not changed; None where it is none, or not
        stored as a whole.
        """
        data = self.body
        return parsed(data) if self.body_bytes == len(data) else None

    def json_field(self, name: str) -> Any:
        """A value of the request's JSON object; None where there is none."""
        body = self.json()
        return body.get(name) if isinstance(body, dict) else None

    def user(self) -> Any:
        """The user in the request's JSON or its query."""
        body = self.json()
        if isinstance(body, dict) and "user" in body:
            return body["user"]
        query = self.scope["query_string"].decode("latin-1")
        return dict(parse_qsl(query, keep_blank_values=True)).get("user")


_OF_SCOPE = ("method", "path", "raw_path", "query_string", "headers", "client")
_PACKED = (
    *("operation", "scenarios", "notes", "body_bytes", "request_complete", "status", "is_stream"),
    *("sent_bytes", "first_byte", "response_complete", "ended", "client_left", "broken_off"),
)


class _Hashed:
    """A digest that another replica has made."""

    def __init__(self, digest: str) -> None:
        self._digest = digest

    def hexdigest(self) -> str:
        return self._digest


@lru_cache(maxsize=1)  # all who wait for a request look at each that comes
def parsed(data: bytes) -> Any:
    """The value of JSON; None where it is none, or nested too deep."""
    if not data or max(data.count(b"["), data.count(b"{")) > _DEEPEST_JSON:
        return None
    try:
        return _DECODER.decode(data.decode(json.detect_encoding(data), "surrogatepass"))
    except ValueError:
        return None


def _finite(text: str) -> float | str:
    """What JSON cannot write stays a string, as NaN does."""
    number = float(text)
    return number if math.isfinite(number) else text


_DECODER = json.JSONDecoder(parse_constant=str, parse_float=_finite)
