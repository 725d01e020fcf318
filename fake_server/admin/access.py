"""Who may call the admin API: this machine, or whoever knows the token; never a web page of another
origin.

A page in a browser on this machine can send requests to loopback addresses too, under its own
name's address as well (DNS rebinding): so the ``Host`` header has to name this machine, and a
page's origin has to be this server's own. The answers carry no CORS headers.
"""

from __future__ import annotations

import hmac
import ipaddress
import re

from starlette.requests import Request

from fake_server.admin.fields import RefusedError
from fake_server.settings import Settings

_PORT = re.compile(r":\d*\Z")


def check_access(request: Request, settings: Settings) -> None:
    """Raise ``RefusedError`` (403) where ``request`` may not call the admin API."""
    _check_origin(request)
    hosts = request.headers.getlist("host")
    tokens = request.headers.getlist("x-admin-token")
    if tokens:
        _check_token(tokens, settings.admin_token)
    elif not is_loopback(settings.host):
        raise RefusedError(
            403,
            f"the server listens on {settings.host}, not on a loopback address alone; {_mend(settings)}",
        )
    elif len(hosts) != 1 or not is_loopback(_PORT.sub("", hosts[0])):
        shown = ", ".join(hosts) or "missing"
        raise RefusedError(
            403,
            f"the Host header ({shown}) is no loopback name; call it by localhost or 127.0.0.1, or {_mend(settings)}",
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


def _check_origin(request: Request) -> None:
    site = request.headers.get("sec-fetch-site", "none")
    if site not in ("same-origin", "none"):
        raise RefusedError(
            403, f"a web page of another origin may not call this (Sec-Fetch-Site: {site})"
        )
    own = f"{request.url.scheme}://{request.headers.get('host', '')}".lower()
    for origin in request.headers.getlist("origin"):
        if origin.lower() != own:
            raise RefusedError(
                403,
                f"a web page of another origin may not call this (Origin: {origin}; ours: {own})",
            )


def _check_token(tokens: list[str], right: str | None) -> None:
    if right is None:
        raise RefusedError(
            403,
            "an X-Admin-Token is sent, but the server has none; leave it out, or start with --admin-token",
        )
    if len(tokens) != 1 or not hmac.compare_digest(
        tokens[0].encode("latin-1"), right.encode("ascii")
    ):
        raise RefusedError(403, "the X-Admin-Token is not the one of --admin-token")


def _mend(settings: Settings) -> str:
    start = "" if settings.admin_token else "start the server with --admin-token and "
    return f"{start}send that token as X-Admin-Token"
