"""The two that are compared, each a host or a folder of recordings, and their answers in pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from contract.diff.responses import Answer
from contract.target import DEFAULT_TIMEOUT_S
from dify_wire.exchange import Recording
from dify_wire.redaction.fields import user_of


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to the request ``name``."""

    name: str
    a: Answer
    b: Answer


@dataclass(frozen=True, slots=True)
class NotCompared:
    """A request that only one side has answered, and why."""

    name: str
    reason: str


Compared = Iterator[Pair | NotCompared]


@dataclass(frozen=True, slots=True)
class Host:
    """A host that can be asked. ``keys`` maps the labels of apps to their keys, ``main`` among
    them.
    """

    url: str
    keys: Mapping[str, str]
    secret: str | None = None
    max_runs: int | None = None
    timeout_s: float = DEFAULT_TIMEOUT_S

    @property
    def secrets(self) -> list[str]:
        return [*self.keys.values(), *([self.secret] if self.secret else [])]

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class Folder:
    """Recorded answers, in the order of recording."""

    path: Path
    recordings: Sequence[Recording] = field(repr=False)

    def __str__(self) -> str:
        return str(self.path)


def answer_of(recording: Recording) -> Answer:
    """The answer of ``recording``, to be compared."""
    return Answer(recording, user_of(recording.request) or "", recording.shortened is None)
