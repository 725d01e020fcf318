"""What gunicorn 22 refuses of what the proxy has let pass, before the app sees it
(``gunicorn/http/message.py``).
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from http import HTTPStatus

from starlette.types import Scope

from fake_server.http.responses import ProxyPage, RawHeaders

REQUEST_LINE_BYTES = 4094
"""A longer request line, without its line end, is refused with 400."""

HEADER_LINES = 100
"""More header lines than these, as the proxy sends them on, are refused with 431."""

HEADER_LINE_BYTES = 8190
"""A longer header line, with its line end, is refused with 431."""

_METHOD_CHARACTERS = range(3, 21)

_REPLACED = frozenset(
    (
        b"host",
        b"connection",
        b"content-length",
        b"transfer-encoding",
        b"te",
        b"keep-alive",
        b"expect",
        b"upgrade",
    )
)
"""Headers that the proxy does not pass on from the client. Its own Host and the length of a body
take their place.
"""

_OF_THE_PROXY = 2
"""``Host`` and ``X-Forwarded-For`` are on every request that reaches the app."""


def page(status: HTTPStatus, message: str) -> ProxyPage:
    """gunicorn's page for a request that it refuses, or that the app breaks on (``message`` is ""
    then).
    """
    reason = status.phrase
    body = (
        f"<html>\n  <head>\n    <title>{reason}</title>\n  </head>\n  <body>\n    <h1><p>{reason}</p></h1>\n"
        f"    {html.escape(message)}\n  </body>\n</html>\n"
    )
    return ProxyPage(status, body.encode())


BROKEN = page(HTTPStatus.INTERNAL_SERVER_ERROR, "")
"""What gunicorn says when the app breaks outside its own handling of errors [C:
g_nonodes_stream].
"""


def refusal(scope: Scope, path: bytes) -> ProxyPage | None:
    """The page for a request to ``path``, as it came, that gunicorn does not take; None where it
    takes it.
    """
    method, query = scope["method"], scope["query_string"]
    line_bytes = len(f"{method}  HTTP/1.1") + len(path) + (1 + len(query) if query else 0)
    if line_bytes > REQUEST_LINE_BYTES:
        message = f"Request Line is too large ({line_bytes} > {REQUEST_LINE_BYTES})"
        return page(HTTPStatus.BAD_REQUEST, message)
    if len(method) not in _METHOD_CHARACTERS:
        return page(HTTPStatus.BAD_REQUEST, f"Invalid Method 'Invalid HTTP method: {method!r}'")
    headers: RawHeaders = scope["headers"]
    if any(len(name) + len(b": \r\n") + len(value) > HEADER_LINE_BYTES for name, value in headers):
        return _too_large("limit request headers fields size")
    if (
        len(headers) + _OF_THE_PROXY > HEADER_LINES
        and _sent_on(name for name, _ in headers) > HEADER_LINES
    ):
        return _too_large("limit request headers fields")
    return None


def _too_large(message: str) -> ProxyPage:
    return page(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"Error parsing headers: '{message}'")


def _sent_on(names: Iterable[bytes]) -> int:
    """How many header lines the proxy sends to the app for a request with ``names``; a chunked body
    gets a length.
    """
    known = list(names)
    with_body = b"content-length" in known or b"transfer-encoding" in known
    own = sum(name not in _REPLACED and name != b"x-forwarded-for" for name in known)
    return _OF_THE_PROXY + with_body + own
