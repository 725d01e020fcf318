"""What a log of replicas can do; SQLite and Redis have one each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

LOG_BYTES = 1 << 27
"""The log keeps so much, roughly; the oldest segments go first. A replica that starts reads it."""

COUNTS = 100_000
"""So many different things are counted; beyond it the ones counted longest ago begin again."""

ALIVE_S = 3.0
"""A replica that has not been heard of for so long is gone."""


class LogError(Exception):
    """The log cannot be reached."""


class Segment(NamedTuple):
    """What one replica has appended at once. Positions count from 1, without gaps; ``base`` is how
    many journal entries all segments before have.
    """

    position: int
    base: int
    sender: str
    data: bytes


class Snapshot(NamedTuple):
    """The scenarios, clock and seed after the segment at ``position``."""

    position: int
    data: bytes


class Log(Protocol):
    """A log that replicas share. Every method but ``close`` raises ``LogError``."""

    async def connect(self, replica: str) -> None:
        """Be known as ``replica``, before anything else."""
        ...

    async def follow(self, callback: Callable[[Sequence[Segment]], None]) -> None:
        """Call ``callback`` in this loop with all segments, those that are kept first."""
        ...

    async def append(self, data: bytes, entries: int) -> Segment:
        """Append a segment with so many journal entries; it comes back without its data."""
        ...

    async def end(self) -> int:
        """The position of the newest segment."""
        ...

    async def count(self, name: bytes) -> int:
        """How often ``name`` has been counted, this time among them."""
        ...

    async def load(self) -> Snapshot | None:
        """The newest snapshot."""
        ...

    async def save(self, snapshot: Snapshot) -> None:
        """Keep ``snapshot``, unless there is a newer one."""
        ...

    async def forget(self, position: int) -> None:
        """Drop the segments before ``position``, and what was counted."""
        ...

    async def seen(self, position: int) -> None:
        """This replica is alive and has applied everything up to ``position``."""
        ...

    async def behind(self, position: int) -> int:
        """How many replicas that are alive have not yet applied ``position``."""
        ...

    async def others(self) -> int:
        """How many other replicas are alive."""
        ...

    async def close(self) -> None:
        """This replica is gone."""
        ...
