"""What was sent and what came back, raw: the evidence that every check judges and every failure
shows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


def loads(text: bytes | str) -> Any:
    """``text`` as JSON. Raises ``ValueError`` for whatever is none, absurd nesting included."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply to be read as JSON") from None


@dataclass(frozen=True, slots=True)
class Request:
    """A request as a check wants it sent; header names in their usual spelling, ``path`` with its
    query.
    """

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def with_header(self, name: str, value: str) -> Request:
        """The same request with one header more."""
        return Request(self.method, self.path, (*self.headers, (name, value)), self.body)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes that arrived together, ``at_s`` seconds after the request was sent."""

    at_s: float
    data: bytes


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and all that came back. ``broken`` says how the answer broke off; ``status`` is
    None without any.

    ``sent_at`` is in unix seconds; ``seconds`` is how long the whole exchange took. ``timed_out``
    and ``connected`` tell a host that keeps us waiting from one that breaks off, and from one that
    is not there. ``reason`` is the phrase beside the status; ``given_up`` says that we did not hear
    the answer out.
    """

    request: Request
    status: int | None
    headers: tuple[tuple[str, str], ...] = ()
    chunks: tuple[Chunk, ...] = ()
    broken: str | None = None
    sent_at: float = 0.0
    seconds: float = 0.0
    timed_out: bool = False
    connected: bool = True
    reason: str = ""
    given_up: bool = False
    _cache: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def body(self) -> bytes:
        if "body" not in self._cache:
            self._cache["body"] = b"".join(chunk.data for chunk in self.chunks)
        whole: bytes = self._cache["body"]
        return whole

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def header(self, name: str) -> str | None:
        """The first header of that name, whatever its case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def media_type(self) -> str:
        return (self.header("content-type") or "").partition(";")[0].strip().lower()

    def json(self) -> Any:
        """The body as JSON. Raises ``ValueError`` where it is none."""
        return loads(self.body)

    def json_object(self) -> Mapping[str, Any]:
        """The body as a JSON object; an empty one where it is none."""
        try:
            value = self.json()
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}
