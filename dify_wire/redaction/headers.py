"""Headers that are secrets, and what of them may be shown."""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Iterator

COOKIES = ("cookie", "set-cookie")
SECRET_HEADERS = frozenset(
    (
        *(*COOKIES, "authorization", "proxy-authorization", "api-key", "x-api-key"),
        *("x-access-token", "x-admin-token", "x-auth-token"),
    )
)
"""In lower case."""

_SCHEME = re.compile(r"\s*(?:Basic|Bearer|Token)\s+(?=\S)", re.IGNORECASE)
_ONLY_SCHEME = re.compile(r"\s*(?:Basic|Bearer|Token|)\s*", re.IGNORECASE)
_LEAST_COOKIE = 8  # a shorter part of a cookie, such as "dark" or "modern", is also a word
_LEAST_PART = 16  # a shorter part of a secret, such as "username", is also a word

_HOST_COOKIES = ("session", "remember_token", "access_token", "refresh_token", "csrf_token")

_DAY = r"[A-Z][a-z]{2}, [0-9]{2}[ -][A-Z][a-z]{2}[ -][0-9]{4}"
_ATTRIBUTE = re.compile(
    rf" *(?:Expires={_DAY} [0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}} GMT"
    r"|Max-Age=-?[0-9]{1,10}|Path=/|Secure|HttpOnly"
    r"|Partitioned|SameSite=(?:Strict|Lax|None))",
    re.IGNORECASE,
)
"""The attributes of a cookie that say nothing of anybody."""


def credentials(value: str) -> tuple[str, str]:
    """The scheme of a header such as ``Authorization``, with the spaces after it, and the
    secret.
    """
    if _ONLY_SCHEME.fullmatch(value):
        return "", ""
    scheme = _SCHEME.match(value)
    return (scheme[0], value[scheme.end() :].strip()) if scheme else ("", value.strip())


def credential_parts(value: str) -> Iterator[str]:
    """What a host may repeat of an ``Authorization`` or the like, besides its whole secret."""
    scheme, secret = credentials(value)
    if scheme.strip().lower() == "basic":
        with contextlib.suppress(ValueError):
            pair = base64.b64decode(secret + "==").decode("utf-8", "surrogateescape")
            yield from (pair, pair.partition(":")[2])
    yield secret.partition(" ")[2].strip()
    yield from (part for part in re.split(r"[\s,;=\"]+", secret) if len(part) >= _LEAST_PART)


def without_cookies(name: str, value: str, gone: str) -> str:
    """The header ``name`` with ``gone`` in place of its secrets: of Set-Cookie, Dify's own names
    and harmless attributes stay.
    """
    if not value.strip():
        return value
    if name == "cookie":
        return gone
    pair, *attributes = value.split(";")
    cookie, equals, secret = pair.partition("=")
    if cookie not in _HOST_COOKIES:
        pair = gone
    elif secret.strip():
        pair = f"{cookie}{equals}{gone}"
    harmless = [
        one if not one.strip() or _ATTRIBUTE.fullmatch(one) else f" {gone}" for one in attributes
    ]
    return ";".join([pair, *harmless])


def cookie_secrets(value: str) -> Iterator[str]:
    """All parts of a Cookie or Set-Cookie header that may be found elsewhere too."""
    for part in value.split(";"):
        if _ATTRIBUTE.fullmatch(part):
            continue
        for piece in (part, part.partition("=")[2], *re.split(r"[=,\s]+", part)):
            if len(piece.strip(' "')) >= _LEAST_COOKIE and piece.strip() not in _HOST_COOKIES:
                yield piece.strip(' "')
