"""What earlier nights found: one result a day, ``YYYY-MM-DD.json``, in the form of ``contract diff
--json``.
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
from contract.diff.difference import Group
from contract.report.diff_json import FORMAT, as_json
from dify_wire.spec_error import SpecError, reason
from dify_wire.text_file import read_text, write_text

_DAY = re.compile(r"(\d{4}-\d{2}-\d{2})\.json")


class HistoryError(SpecError):
    """A history that cannot be read or written."""


Identity = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Night:
    """One day's result: what differed, by identity, each as a line of text."""

    day: datetime.date
    found: Mapping[Identity, str]


@dataclass(frozen=True, slots=True)
class News:
    """What a night has to tell beside its differences: since when each has been there, and what is
    gone.
    """

    since: Mapping[Identity, str]
    gone: Sequence[str]
    new: int


def read_history(folder: Path) -> list[Night]:
    """The nights in ``folder``, the earliest first; none where it is not there yet.

    Raises ``HistoryError`` for a file that is no result: a night that is left out would make a
    difference look new.
    """
    if not folder.exists():
        return []
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise _refused(folder, error) from None
    return [_night(folder / name, match[1]) for name in names if (match := _DAY.fullmatch(name))]


def _night(path: Path, day: str) -> Night:
    try:
        said = json.loads(read_text(path, "JSON"))
        if said["format"] != FORMAT:
            message = f"it is of version {said['format']}, and {FORMAT} is known; move it away, or update fake-dify"
            raise HistoryError(path, "format", message)
        found = {group.identity: line(group) for group in map(_group, said["differences"])}
        return Night(datetime.date.fromisoformat(day), found)
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        message = f"it is no result of a night ({type(error).__name__}: {error}); move it away"
        raise HistoryError(path, "the file", message) from None


def _group(said: Mapping[str, Any]) -> Group:
    values = (said["kind"], said["place"], said["a"], said["b"])
    if not all(isinstance(value, str) for value in values):
        raise TypeError("a difference has a field that is no text")
    return Group(*values, count=int(said["requests"]), examples=(), forms=int(said["forms"]))


def line(group: Group) -> str:
    """A difference in one line."""
    return f"{group.kind} {group.place}: {group.a} → {group.b}"


def news(comparison: Comparison, nights: Sequence[Night], today: datetime.date) -> News:
    """What is new in ``comparison`` after the ``nights`` before ``today``, what is old and since
    when, what is gone.
    """
    earlier = sorted(
        (night for night in nights if night.day < today), key=lambda night: night.day, reverse=True
    )
    now = {group.identity for group in comparison.drift}
    since = {identity: _since(identity, earlier) for identity in now}
    last = earlier[0].found if earlier else {}
    gone = [told for identity, told in last.items() if identity not in now]
    return News(since, gone, sum(told == _NEW for told in since.values()))


_NEW = "new"


def _since(identity: Identity, earlier: Sequence[Night]) -> str:
    """``earlier`` begins with the last night."""
    first, nights = None, 1
    for night in earlier:
        if identity not in night.found:
            break
        first, nights = night.day, nights + 1
    return f"since {first}, seen {nights} nights" if first else _NEW


def check_writable(folder: Path) -> None:
    """Raise ``HistoryError`` unless results can be kept in ``folder``, which is made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise _refused(folder, error) from None


def keep(comparison: Comparison, folder: Path, today: datetime.date) -> Path:
    """Write today's result, whole or not at all, in place of an earlier one of today. Raises
    ``HistoryError``.
    """
    path = folder / f"{today}.json"
    try:
        write_text(path, json.dumps(as_json(comparison), ensure_ascii=False, indent=1) + "\n")
    except OSError as error:
        raise _refused(path, error) from None
    return path


def _refused(path: Path, error: OSError) -> HistoryError:
    return HistoryError(
        path, "the history", f"it cannot be used ({reason(error)}); name another folder (--history)"
    )
