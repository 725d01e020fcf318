"""The headers of a replayed answer: the recorded ones, but for what is decided anew for each
connection and caller.
"""

from __future__ import annotations

from collections.abc import Iterable

from dify_wire.exchange import Recording
from fake_server.http.responses import RawHeaders

_OF_THE_CONNECTION = frozenset({"server", "date", "connection", "keep-alive", "transfer-encoding"})
_ORIGIN = "access-control-allow-origin"
_CORS = (b"access-control-", b"vary")


def own_headers(recording: Recording, size: int, completed: RawHeaders) -> RawHeaders:
    """The headers for a body of ``size`` bytes.

    Of CORS there is what ``completed``, the headers of the fake's own answer, says to this caller,
    in the place where the recorded answer had it; an answer that had none gets none.
    """
    headers: RawHeaders = []
    for name, value in recording.headers:
        lower = name.lower()
        if lower == _ORIGIN:
            headers += _cors(completed)
        elif lower == "content-length":
            headers.append((name.encode("latin-1"), str(_length(recording, value, size)).encode()))
        elif lower not in _OF_THE_CONNECTION and not _is_cors(lower, value):
            headers.append((name.encode("latin-1"), value.encode("latin-1")))
    return headers


def _cors(completed: Iterable[tuple[bytes, bytes]]) -> RawHeaders:
    return [(name, value) for name, value in completed if name.lower().startswith(_CORS)]


def _is_cors(lower: str, value: str) -> bool:
    return lower.startswith("access-control-") or (
        lower == "vary" and value.strip().lower() == "origin"
    )


def _length(recording: Recording, announced: str, size: int) -> int:
    """What is announced of a body that has another size now; one that never came stays away."""
    if recording.request.method == "HEAD" or not announced.strip().isdigit():
        return int(announced) if announced.strip().isdigit() else size
    return int(announced) + size - sum(len(chunk.data) for chunk in recording.chunks)
