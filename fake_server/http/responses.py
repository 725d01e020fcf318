"""Answers as values, and the headers that the host puts around them (FACTS 1.1 and 1.8)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from starlette.types import Message, Send

from fake_server.http import error_pages
from fake_server.http.errors import HostError
from fake_server.runs.render import json_bytes
from fake_server.spec import HostSpec

RawHeaders = list[tuple[bytes, bytes]]

SCENARIO_HEADER = b"x-fake-scenario"
"""What a request asks to befall it. No page sends it to a real host; one that asks the fake shall
be able to.
"""

HTML = b"text/html; charset=utf-8"
JSON = b"application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer of the app.

    ``shared`` says whether pages of other origins may read it (CORS), ``granted`` what a preflight
    is told beyond that.
    """

    status: int
    content_type: bytes
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    shared: bool = True
    granted: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class ProxyPage:
    """An answer of nginx, gunicorn or another proxy: it carries none of the app's headers."""

    status: int
    body: bytes
    close: bool = False
    content_type: bytes = b"text/html"
    headers: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def reason(self) -> bytes:
        """The words beside the status, as nginx spells them."""
        return error_pages.nginx_reason(self.status).encode()


def json_answer(value: object, status: int = 200) -> Answer:
    """A JSON answer of any operation but a run: it ends with a newline (FACTS 1.7)."""
    return Answer(status, JSON, json_bytes(value) + b"\n")


def refusal(error: HostError) -> Answer:
    return json_answer(dict(error.body), error.status)


class HostHeaders:
    """Completes the headers of an answer: what the app adds to each, and what CORS adds to those
    that are shared.
    """

    def __init__(self, spec: HostSpec) -> None:
        self._always = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in spec.headers
        ]
        self._cors_methods = ", ".join(spec.cors_methods).encode()
        self._allowed_headers = frozenset(
            (*(name.lower().encode() for name in spec.cors_headers), SCENARIO_HEADER)
        )

    def complete(
        self,
        own: Iterable[tuple[bytes, bytes]],
        request: Mapping[bytes, bytes],
        shared: bool,
        granted: Iterable[tuple[bytes, bytes]] = (),
    ) -> RawHeaders:
        """``own`` headers, then those of CORS for the ``request`` headers (names in lower case),
        then the app's.
        """
        return [*own, *(self._cors(request, granted) if shared else ()), *self._always]

    def preflight(self, request: Mapping[bytes, bytes]) -> tuple[tuple[bytes, bytes], ...]:
        """What CORS adds to an OPTIONS answer that a page asked for [C:
        cors_preflight_otherhdr].
        """
        method = request.get(b"access-control-request-method", b"").upper()
        if (
            not method or method not in self._cors_methods
        ):  # Flask-CORS looks for it in the joined text, so "P" will do
            return ()
        asked = (
            name.strip() for name in request.get(b"access-control-request-headers", b"").split(b",")
        )
        granted = b", ".join(
            sorted(name for name in asked if name.lower() in self._allowed_headers)
        )
        headers = ((b"Access-Control-Allow-Headers", granted),) if granted else ()
        return (*headers, (b"Access-Control-Allow-Methods", self._cors_methods))

    @staticmethod
    def _cors(request: Mapping[bytes, bytes], granted: Iterable[tuple[bytes, bytes]]) -> RawHeaders:
        origin = request.get(b"origin")
        if request.get(b"access-control-request-private-network") == b"true":
            granted = [(b"Access-Control-Allow-Private-Network", b"true"), *granted]
        if not origin:
            return [(b"Access-Control-Allow-Origin", b"*"), *granted]
        return [(b"Access-Control-Allow-Origin", origin), *granted, (b"Vary", b"Origin")]


async def send_whole(
    send: Send, status: int, headers: RawHeaders, body: bytes, reason: bytes | None = None
) -> None:
    """Send an answer whose length is known; ``reason`` None is spelled as the app does it."""
    start: Message = {"type": "http.response.start", "status": status, "headers": headers}
    await send({**start, "reason": reason} if reason else start)
    await send({"type": "http.response.body", "body": body})
