"""The signed URLs of images in bodies, and the requests for them."""

from __future__ import annotations

import re

_PATH = rb"/files/tools/[0-9A-Fa-f-]{36}\.[A-Za-z0-9]{1,8}"
_URL = re.compile(
    rb"(https?://[^/\s\"'<>]{1,255})?("
    + _PATH
    + rb"\?[A-Za-z0-9_=&%.~+-]{1,1000})(?![A-Za-z0-9_=&%.~+-])"
)
_LONGEST_BYTES = 1400
_ESCAPES = ((rb"\/", b"/"), (rb"\u0026", b"&"), (rb"\u003d", b"="), (b"&amp;", b"&"))
_LONGEST_ESCAPE = max(len(escaped) for escaped, _ in _ESCAPES)
_TEXTS = ("application/json", "text/")


class UrlFinder:
    """Finds signed URLs in a body that arrives in chunks, wherever it is cut."""

    def __init__(self) -> None:
        self._tail = b""

    def add(self, data: bytes) -> list[str]:
        """The URLs that are complete with ``data``."""
        text = self._tail + data
        if b"files" not in text:
            self._tail = text[-_LONGEST_BYTES:]
            return []
        for escaped, plain in _ESCAPES:
            text = text.replace(escaped, plain)
        # A URL at the end of the text may continue.
        whole = [one for one in _URL.finditer(text) if one.end() + _LONGEST_ESCAPE <= len(text)]
        self._tail = text[max([len(text) - _LONGEST_BYTES, *(one.end() for one in whole)]) :]
        return [match[0].decode("latin-1") for match in whole]

    def end(self) -> list[str]:
        """The URL at the end of the body, if any."""
        return self.add(b"\n" * _LONGEST_ESCAPE)


def is_text(content_type: str) -> bool:
    """Whether a body of that type may hold URLs."""
    return content_type.lower().startswith(_TEXTS) or "+json" in content_type.lower()


def image_path(target: str) -> str | None:
    """The path of the image that a request is for; None for any other request."""
    path = target.partition("?")[0]
    return path if re.fullmatch(_PATH, path.encode("latin-1")) else None
