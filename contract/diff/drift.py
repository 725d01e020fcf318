"""Earlier comparisons of a host with its recordings, and since when each difference is there.

A folder keeps one result a day, ``YYYY-MM-DD.json``, in the form of ``contract diff --json``.
"""

from __future__ import annotations

import datetime
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.diff.comparison import Comparison
from contract.diff.difference import DIFF_FORMAT, OLD_KINDS, Group
from dify_wire.text_file import SpecError, read_text, reason, write_text

_DAY = re.compile(r"(\d{4}-\d{2}-\d{2})\.json")
_MALFORMED = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)
Identity = tuple[str, ...]


class HistoryError(SpecError):
    """A history that cannot be read or written."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One day's result: a line of text for each difference."""

    day: datetime.date
    differences: Mapping[Identity, str]


@dataclass(frozen=True, slots=True)
class DriftDelta:
    """Since when each difference has been there, and which are gone since the last snapshot."""

    since: Mapping[Identity, str]
    gone: Sequence[str]


class History:
    """The snapshots in ``folder``, which is created. Raises ``HistoryError``."""

    def __init__(self, folder: Path, today: datetime.date) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / f".probe-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise _unusable(folder, error) from None
        self.snapshots = read_history(folder)
        self._folder = folder
        self._today = today

    def delta(self, comparison: Comparison) -> DriftDelta:
        return drift_delta(comparison, self.snapshots, self._today)

    def keep(self, text: str) -> Path:
        """Write today's result, whole or not at all, in place of an earlier one of today."""
        path = self._folder / f"{self._today}.json"
        try:
            write_text(path, text)
        except OSError as error:
            raise _unusable(path, error) from None
        return path


def drift_delta(
    comparison: Comparison, snapshots: Sequence[Snapshot], today: datetime.date
) -> DriftDelta:
    """What ``comparison`` changes, compared with the ``snapshots`` before ``today``."""
    earlier = [one for one in snapshots if one.day < today]
    earlier.sort(key=lambda one: one.day, reverse=True)
    now = {group.identity for group in comparison.drift}
    last = earlier[0].differences if earlier else {}
    gone = [line for identity, line in last.items() if identity not in now]
    return DriftDelta({identity: _since(identity, earlier) for identity in now}, gone)


def read_history(folder: Path) -> list[Snapshot]:
    """The snapshots in ``folder``, the earliest first; none if it does not exist.

    Raises ``HistoryError`` for a file that is not a result: leaving it out would make a difference
    look new.
    """
    if not folder.exists():
        return []
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise _unusable(folder, error) from None
    return [_snapshot(folder / name, day[1]) for name in names if (day := _DAY.fullmatch(name))]


def _snapshot(path: Path, day: str) -> Snapshot:
    try:
        result = json.loads(read_text(path, "JSON"))
        if result["format"] != DIFF_FORMAT:
            found = f"it is {result['format']}, and {DIFF_FORMAT} is known"
            raise HistoryError(path, "format", f"{found}; move it away, or update fake-dify")
        groups = map(_group, result["differences"])
        lines = {
            group.identity: f"{group.kind} {group.place}: {group.a} → {group.b}" for group in groups
        }
        return Snapshot(datetime.date.fromisoformat(day), lines)
    except _MALFORMED as error:
        cause = f"{type(error).__name__}: {error}"
        message = f"it is not a result of contract drift ({cause}); move it away"
        raise HistoryError(path, "the file", message) from None


def _group(fields: Mapping[str, Any]) -> Group:
    texts = (fields["kind"], fields["place"], fields["a"], fields["b"])
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("a difference has a field that is not a string")
    kind, *rest = texts
    texts = (OLD_KINDS.get(kind, kind), *rest)
    return Group(*texts, count=int(fields["requests"]), examples=(), forms=int(fields["forms"]))


def _since(identity: Identity, earlier: Sequence[Snapshot]) -> str:
    """``earlier`` begins with the last snapshot."""
    first, days = None, 1
    for snapshot in earlier:
        if identity not in snapshot.differences:
            break
        first, days = snapshot.day, days + 1
    return f"since {first}, seen on {days} days" if first else "new"


def _unusable(path: Path, error: OSError) -> HistoryError:
    message = f"it cannot be used ({reason(error)}); name another folder (--history)"
    return HistoryError(path, "the history", message)
