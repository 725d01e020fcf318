"""Signed URLs (FACTS 6.1): parsing one, and making one where the secret is known.

Own code on purpose: a bug of the fake's signing must not hide itself.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass, replace

from dify_wire.exchange import Request

PARAMETERS = ("timestamp", "nonce", "sign")
URL_FORM = "/files/tools/<uuid>.<extension>?timestamp=…&nonce=…&sign=…"

_URL = re.compile(
    r"(?P<base>(?:https?://[^/?#]+)?)/files/tools/"
    r"(?P<file_id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.(?P<extension>[^?/]+)"
    r"\?timestamp=(?P<timestamp>\d{10})&nonce=(?P<nonce>[0-9a-f]{32})"
    r"&sign=(?P<sign>[A-Za-z0-9_-]{43}=)"
)


@dataclass(frozen=True, slots=True)
class SignedUrl:
    """The parts of an image's URL; ``base`` is empty where it is relative."""

    base: str
    file_id: str
    extension: str
    timestamp: str
    nonce: str
    sign: str

    @property
    def path(self) -> str:
        """The request target: path and query."""
        return f"/files/tools/{self.file_id}.{self.extension}?{self.query()}"

    def query(self, *names: str) -> str:
        """The parameters of those names, in that order; all of them without names."""
        return "&".join(f"{name}={getattr(self, name)}" for name in names or PARAMETERS)

    def but(self, **parts: str) -> SignedUrl:
        """The same URL with some parts changed, its signature left as it is."""
        return replace(self, **parts)

    def signed(self, secret: str, **parts: str) -> SignedUrl:
        """The same URL with some parts changed and signed again with ``secret``."""
        url = replace(self, **parts)
        return replace(url, sign=signature(secret, url.file_id, url.timestamp, url.nonce))


def signature(secret: str, file_id: str, timestamp: str, nonce: str) -> str:
    """The ``sign`` that a host with ``secret`` makes."""
    message = f"file-preview|{file_id}|{timestamp}|{nonce}"
    mac = hmac.new(secret.encode(), message.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(mac).decode()


def parse_url(url: str) -> SignedUrl | None:
    """The parts of ``url``; None unless it has exactly the host's form."""
    match = _URL.fullmatch(url)
    return SignedUrl(**match.groupdict()) if match else None


def file_request(url: SignedUrl, query: str | None = None, extension: str = "") -> Request:
    """A GET of ``url`` without a key, with another query or extension where they are given."""
    path = f"/files/tools/{url.file_id}.{extension or url.extension}"
    query = url.query() if query is None else query
    return Request("GET", f"{path}?{query}" if query else path)


def other_digit(text: str) -> str:
    """``text`` with another first character of the same alphabet."""
    return ("1" if text[0] != "1" else "2") + text[1:]
