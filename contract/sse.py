"""Server-Sent Events as they arrive: frames of raw bytes with their times, parsed strictly.

Own code on purpose: published readers drop frames without data, split on other line ends or emit
half a frame, and a check must see exactly what was sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dify_wire.exchange import Chunk, loads


@dataclass(frozen=True, slots=True)
class Frame:
    """The bytes between two blank lines, and when the last of them arrived."""

    raw: bytes
    at_s: float

    @property
    def is_ping(self) -> bool:
        """Whether it is a ping in one of the two recorded forms (FACTS 5.4)."""
        return self.raw in (b"event: ping", b"data: ping")

    @property
    def data(self) -> Mapping[str, Any] | None:
        """The JSON object of a data frame, else None."""
        if not self.raw.startswith(b"data: "):
            return None
        try:
            value = loads(self.raw[6:])
        except ValueError:
            return None
        return value if isinstance(value, dict) else None

    @property
    def event(self) -> str | None:
        """The event name in a data frame."""
        return None if self.data is None else self.data.get("event")


def split_frames(chunks: Iterable[Chunk]) -> tuple[list[Frame], bytes]:
    """The frames of a stream, and the bytes after the last blank line (empty in a complete
    stream).
    """
    frames: list[Frame] = []
    pending = b""
    for chunk in chunks:
        pending += chunk.data
        *whole, pending = pending.split(b"\n\n")
        frames += [Frame(raw, chunk.at_s) for raw in whole]
    return frames, pending
