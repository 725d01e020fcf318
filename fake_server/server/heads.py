"""Heads of requests and of responses, and what is remembered of them.

A client sends the same head again and again, and most responses differ in their Content-Length
alone; so both are kept by what they are made of, within bounds, for all connections of a server.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import unquote_to_bytes

from starlette.types import Message, Scope

from fake_server.http.quick import LONGEST_KNOWN, PlayedResponse, QuickResponder, QuickResponse
from fake_server.http.responses import RawHeaders

KNOWN_BYTES = 2 << 20
"""What remembered heads of requests take up in all, roughly; beyond it they are all forgotten."""

_HEADER_BYTES = 200
"""The size of a parsed header, roughly."""

_KNOWN_RESPONSES = 256

_ANY_LENGTH = (b"Content-Length", b"\0")
"""Stands for any Content-Length; no header has this value (nginx refuses it in a request)."""


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """The part of a request before its body, shared by all requests that have the same.

    ``target`` is the path with its query. ``version`` is "0.9", "1.0" or "1.1", which nginx also
    takes for later versions. ``headers`` have their names in lower case; ``names`` has them as they
    came. ``length`` is that of a body which is not ``chunked``. ``scope`` is what an ASGI scope has
    of it.
    """

    method: bytes
    target: bytes
    version: str
    keep_alive: bool
    headers: RawHeaders
    names: list[bytes]
    length: int
    chunked: bool
    waits_for_100: bool
    scope: dict[str, Any]

    @property
    def with_body(self) -> bool:
        return self.chunked or self.length > 0

    @property
    def is_plain(self) -> bool:
        """Whether a request with this head may be responded to at once."""
        special = self.chunked or self.waits_for_100 or self.method == b"HEAD"
        return self.version == "1.1" and not special


def scope_of(method: bytes, target: bytes, version: str, headers: RawHeaders) -> dict[str, Any]:
    """What an ASGI scope has of a head."""
    path, _, query = target.partition(b"#")[0].partition(b"?")
    return {
        "http_version": version,
        "method": method.decode("ascii"),
        "path": (unquote_to_bytes(path) if b"%" in path else path).decode("utf-8", "replace"),
        "raw_path": path,
        "query_string": query,
        "headers": headers,
    }


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """The head of responses that differ in their Content-Length alone, and what it means.

    ``after`` is what follows the Content-Length, None where the head has no place for one.
    ``length`` is that of the body, None where it is the Content-Length (``has_length``) or is not
    known before its end.
    """

    before: bytes
    after: bytes | None
    length: int | None
    has_length: bool
    chunked: bool
    keep_alive: bool


FindResponder = Callable[[Scope], QuickResponder | None]

Render = Callable[[int, bytes | None, RawHeaders, bytes], bytes]
"""Makes the bytes of a head from status, reason, headers and the value of ``Connection``."""


class KnownHeads:
    """The heads that one server knows: those of requests under one set of limits, and those of
    responses for as long as what the server adds to them is the same.
    """

    def __init__(self) -> None:
        self._requests: dict[bytes, Head] = {}
        self._size = 0
        self._responders: dict[bytes, tuple[Head, QuickResponder | None]] = {}
        self._responses: dict[tuple[object, ...], ResponseHead] = {}
        self._quick: dict[tuple[int, bool, bool], tuple[ResponseHead, RawHeaders]] = {}
        self._added: object = None
        self.begun = 0
        """How many requests have taken the ordinary path."""
        self.request = self._requests.get
        """The head of a request that has these bytes, None where it is not known."""

    def remember(self, raw: bytes, head: Head) -> None:
        """Know ``head`` when its bytes come again."""
        size = 2 * len(raw) + _HEADER_BYTES * (len(head.headers) + 1)
        if self._size + size > KNOWN_BYTES:
            self._requests.clear()
            self._responders.clear()
            self._size = 0
        self._requests[raw] = head
        self._size += size

    def responder(
        self, raw: bytes, connection: dict[str, Any], find: FindResponder
    ) -> tuple[Head, QuickResponder | None] | None:
        """The head that has these bytes, and what ``find`` found to respond to it when it came
        again. None where it is not known.
        """
        found = self._responders.get(raw)
        if found is None and (head := self._requests.get(raw)) is not None:
            found = (head, find(connection | head.scope) if head.is_plain else None)
            self._responders[raw] = found
        return found

    def quick_response(
        self,
        response: QuickResponse | PlayedResponse,
        keep_alive: bool,
        render: Render,
        added: object,
    ) -> ResponseHead:
        """The head of a quick response; as ``response``."""
        if added is not self._added:
            self._forget_responses(added)
        headers, chunked = response.headers, response.chunked
        key = (id(headers), chunked, keep_alive)
        known = self._quick.get(key)
        if known is None:
            framed = headers if chunked else [*headers, _ANY_LENGTH]
            head = _response_head("1.1", keep_alive, False, framed, partial(render, 200, None))
            if len(self._quick) >= _KNOWN_RESPONSES:
                self._quick.clear()
            known = self._quick[key] = (head, headers)  # which keeps its id
        return known[0]

    def _forget_responses(self, added: object) -> None:
        self._responses.clear()
        self._quick.clear()
        self._added = added

    def response(
        self, request: Head, keep_alive: bool, message: Message, render: Render, added: object
    ) -> tuple[ResponseHead, bytes]:
        """The head of the response to ``request`` that ``message`` begins, and its Content-Length
        where that varies.

        ``added`` is what ``render`` adds by itself; another object forgets what is known.
        """
        if added is not self._added:
            self._forget_responses(added)
        status, reason, headers = message["status"], message.get("reason"), message["headers"]
        length = b""
        for place, (name, value) in enumerate(headers):
            if name == b"Content-Length" and value.isdigit():
                length = value
                headers = [*headers]
                headers[place] = _ANY_LENGTH
                break
        bodiless = request.method == b"HEAD" or status in (204, 304)
        key = (status, reason, bodiless, request.version, keep_alive, *headers)
        head = self._responses.get(key)
        if head is None:
            head = _response_head(
                request.version, keep_alive, bodiless, headers, partial(render, status, reason)
            )
            if len(self._responses) >= _KNOWN_RESPONSES:
                self._responses.clear()
            if len(head.before) <= LONGEST_KNOWN:
                self._responses[key] = head
        return head, length


def _response_head(
    version: str,
    keep_alive: bool,
    bodiless: bool,
    headers: RawHeaders,
    render: Callable[[RawHeaders, bytes], bytes],
) -> ResponseHead:
    """How a response with these ``headers`` is framed, and its head as ``render`` makes it."""
    length: int | None = None
    has_length = chunked = False
    for name, value in headers:
        lower = name.lower()
        if lower == b"content-length":
            has_length = value == _ANY_LENGTH[1]
            length = None if has_length else int(value)
        elif lower == b"connection" and b"close" in value.lower():
            keep_alive = False
    if bodiless:
        length, has_length = 0, False
    elif length is None and not has_length:
        chunked = version == "1.1"
        keep_alive = keep_alive and chunked
    if version == "0.9":
        return ResponseHead(b"", None, length, has_length, chunked, keep_alive=False)
    framing = [(b"Transfer-Encoding", b"chunked")] if chunked else []
    raw = render([*headers, *framing], b"keep-alive" if keep_alive else b"close")
    before, hole, after = raw.partition(_ANY_LENGTH[1])
    return ResponseHead(before, after if hole else None, length, has_length, chunked, keep_alive)
