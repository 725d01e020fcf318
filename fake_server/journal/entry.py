"""One request and its answer, as they came. Nothing is decoded, redacted or judged here: that can
wait.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from starlette.types import Message, Scope

from fake_server.http.scope import BROKEN_OFF, NOTES, OPERATION, SCENARIOS

if TYPE_CHECKING:
    from fake_server.journal.ring import Journal

KEPT_BYTES = 1 << 16
"""Of the body of a request and of a response so much is kept, and matched; the rest is counted."""

CLIENT_LEFT = 499
"""nginx's own number for a client that left before it was answered."""

_HEAD_BYTES = 2048
"""What an entry weighs beside its bodies and headers, roughly."""

_PIECE_BYTES = 128
"""What a piece of a body weighs beside its bytes: a stream may come in many."""

_SMALL_BYTES = 4096
"""The journal is told of what an entry keeps when it ends, and of more than this at once."""


class Entry:
    """What is known of one exchange so far. Moments are readings of ``time.perf_counter``;
    ``received_at`` is unix.
    """

    body_bytes = 0
    heard = False
    """Whether the host has what it needs of the request: all of its body, or enough to answer."""
    status: int | None = None
    headers: Sequence[tuple[bytes, bytes]] = ()
    is_stream = False
    sent_bytes = 0
    first_byte: float | None = None
    told = False
    """Whether the answer was sent to its end."""
    ended: float | None = None
    left = False
    broken = False
    forgotten = False
    _hash: Any = None
    _new_bytes = 0

    def __init__(self, journal: Journal, number: int, received_at: float, scope: Scope) -> None:
        self._journal = journal
        self.number = number
        self.received_at = received_at
        self.scope = scope
        self.body: list[bytes] = []
        self.chunks: list[tuple[float, bytes]] = []
        self.size = _HEAD_BYTES + sum(map(len, chain.from_iterable(scope["headers"])))
        self.began = time.perf_counter()

    def received(self, message: Message) -> None:
        """Note what came in from the client."""
        if message["type"] != "http.request":
            self.left = self.left or not self.told
            return
        data = message.get("body")
        if data:
            if self.body_bytes < KEPT_BYTES and not self.forgotten:
                kept = data[: KEPT_BYTES - self.body_bytes]
                self.body.append(kept)
                self._keeps(len(kept))
            self.body_bytes += len(data)
        if not message.get("more_body"):
            self.heard = True
            self._journal.changed(self)

    def starts(self, message: Message) -> None:
        """Note the head of the answer."""
        self.status = message["status"]
        self.headers = message["headers"]
        kind = next((value for name, value in self.headers if name == b"Content-Type"), b"")
        if kind.startswith(b"text/event-stream"):
            self.is_stream = True
        elif kind.startswith(b"image/"):
            self._hash = hashlib.sha256()
        self.heard = True
        self._journal.changed(self)

    def tells(self, message: Message) -> None:
        """Note a part of the answer's body."""
        data = message.get("body")
        if data:
            self._tells(data)
        if not message.get("more_body"):
            self.told = True

    def _tells(self, data: bytes) -> None:
        now = time.perf_counter()
        if self.first_byte is None:
            self.first_byte = now
        if self._hash is not None:
            self._hash.update(data)
        elif self.sent_bytes < KEPT_BYTES and not self.forgotten:
            kept = data[: KEPT_BYTES - self.sent_bytes]
            self.chunks.append((now, kept))
            self._keeps(len(kept))
        self.sent_bytes += len(data)

    def _keeps(self, size: int) -> None:
        self._new_bytes += size + _PIECE_BYTES
        if self._new_bytes > _SMALL_BYTES:
            self._tell_size()

    def _tell_size(self) -> None:
        size, self._new_bytes = self._new_bytes, 0
        self._journal.grown(self, size)

    def ends(self, broken: bool) -> None:
        """The exchange is over; ``broken`` where the server itself did not get to the end of it."""
        self.ended = time.perf_counter()
        self.broken = broken or BROKEN_OFF in self.scope
        self.scope.pop("state", None)  # it holds on to the connection
        self.heard = True
        self._tell_size()
        self._journal.changed(self)

    @property
    def digest(self) -> str | None:
        """SHA-256 of a picture's bytes so far; None where the answer is none."""
        return None if self._hash is None else str(self._hash.hexdigest())

    @property
    def operation(self) -> str | None:
        """The operation of the spec that the request found."""
        found: str | None = self.scope.get(OPERATION)
        return found

    @property
    def scenarios(self) -> tuple[str, ...]:
        """The names of the scenarios that befell the request."""
        found: tuple[str, ...] | None = self.scope.get(SCENARIOS)
        return found or ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What scenarios did otherwise than whoever ordered them may expect, a sentence each."""
        found: tuple[str, ...] | None = self.scope.get(NOTES)
        return found or ()

    @property
    def shown_status(self) -> int:
        """The status that was sent, or nginx's number for none."""
        return CLIENT_LEFT if self.status is None else self.status
