"""Who may control the fake and see its keys: this machine, or whoever has the admin token, and no
web page of another origin that ``--admin-origin`` does not name.

A page in a browser on this machine can send requests to loopback addresses too, under its own
name's address as well (DNS rebinding): so the ``Host`` header has to name this machine, and a
page's origin has to be this server's own or a named one.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fake_server.settings import Settings

if TYPE_CHECKING:
    from starlette.requests import Request


class AccessDeniedError(Exception):
    """The message says why, and what would do."""


def check_access(request: Request, settings: Settings) -> None:
    """Raise ``AccessDeniedError`` where ``request`` may not see or control the server."""
    _check_origin(request, settings.admin_origins)
    tokens = request.headers.getlist("x-admin-token")
    if tokens:
        _check_token(tokens, settings.admin_token)
        return
    hosts = request.headers.getlist("host")
    hint = "send the admin token as X-Admin-Token"
    if not settings.admin_token:
        hint = "start the server with --admin-token and send that token as X-Admin-Token"
    if not is_loopback(settings.host):
        raise AccessDeniedError(f"the server listens on {settings.host}, not only loopback; {hint}")
    if len(hosts) != 1 or not is_loopback(re.sub(r":\d*\Z", "", hosts[0])):
        raise AccessDeniedError(
            f"the Host header ({', '.join(hosts) or 'missing'}) is not a loopback name; "
            f"use localhost or 127.0.0.1, or {hint}"
        )


def is_loopback(name: str) -> bool:
    """Whether ``name`` (an address or a host's name, without a port) can only mean this machine."""
    name = name.lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


def _check_origin(request: Request, allowed: Sequence[str]) -> None:
    origins = request.headers.getlist("origin")
    if len(origins) == 1 and origins[0] in allowed:
        return
    own = f"{request.url.scheme}://{request.headers.get('host', '')}".lower()
    found = [f"Origin: {one}; ours: {own}" for one in origins if one.lower() != own]
    site = request.headers.get("sec-fetch-site", "none")
    if site not in ("same-origin", "none"):
        found.append(f"Sec-Fetch-Site: {site}")
    if found:
        raise AccessDeniedError(
            f"a web page of another origin may not call this ({found[0]}); "
            "if the page is yours, start the server with --admin-origin and its origin"
        )


def _check_token(tokens: list[str], expected: str | None) -> None:
    if expected is None:
        raise AccessDeniedError(
            "an X-Admin-Token is sent, but the server has none; "
            "leave it out, or start with --admin-token"
        )
    token = tokens[0].encode("latin-1")
    if len(tokens) != 1 or not hmac.compare_digest(token, expected.encode("ascii")):
        raise AccessDeniedError("the X-Admin-Token is not the one of --admin-token")
