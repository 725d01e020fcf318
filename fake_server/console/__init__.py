"""The console: a page at ``/__admin/`` that shows what the admin API knows.

The page is the same for everybody: plain modules in ``static/``, without data and without a secret.
What it shows it gets from the admin API, under the rules of that.
"""

from __future__ import annotations

from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

PREFIX = "/__admin/console/"
STATIC = Path(__file__).parent / "static"

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""No inline script and no inline style; no text can become markup, wherever it comes from."""

REFERENCE = "reference/index.html"
"""The API reference: a page of its own, with Swagger UI."""

REFERENCE_POLICY = POLICY.partition("; require-trusted-types-for")[0].replace("blob:", "data:")
"""Swagger UI makes markup of the document's descriptions, and its style has images in it."""

_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}

_TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".html": "text/html",
    ".svg": "image/svg+xml",
}
"""Whatever the machine's own table says of these."""

_files = StaticFiles(directory=STATIC)


def file_of(request: Request) -> str | None:
    """The file of the console that is requested; None where it is none of it."""
    path = request.url.path
    if request.method not in ("GET", "HEAD"):
        return None
    if path.rstrip("/") == "/__admin" and "text/html" in request.headers.get("accept", ""):
        return "index.html"
    if path == "/__admin/reference":
        return REFERENCE
    return path.removeprefix(PREFIX) if path.startswith(PREFIX) else None


def response(name: str) -> ASGIApp:
    """The response with a file of the console, 304 where the browser has it."""

    async def respond(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            found = await _files.get_response(name, scope)
        except HTTPException as error:
            found = PlainTextResponse(f"{error.detail}\n", error.status_code)
        found.headers.update(_HEADERS)
        if name == REFERENCE:
            found.headers["Content-Security-Policy"] = REFERENCE_POLICY
        media_type = _TYPES.get(Path(name).suffix)
        if media_type and found.status_code == 200:
            found.headers["Content-Type"] = f"{media_type}; charset=utf-8"
        await found(scope, receive, send)

    return respond
