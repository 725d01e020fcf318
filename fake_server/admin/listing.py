"""Which entries of the journal a query asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fake_server.admin.fields import number, wrong
from fake_server.journal import Entry, Journal
from fake_server.journal.matching import Match, read_match
from fake_server.journal.reading import Reading
from fake_server.timestamps import LATEST

_MATCHED = ("path", "method", "operation")
FIELDS = (*_MATCHED, "status", "since", "scenario", "warnings", "limit")

_OLDEST_UNIX = 1_000_000_000
"""``since`` below this is the number of an entry, else unix seconds."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A checked query; None where it does not ask."""

    match: Match
    status: int | None
    since: float
    scenario: str | None
    warnings: bool
    limit: int | None

    def of(self, journal: Journal, reading: Reading) -> list[Entry]:
        """The entries, oldest first; of too many the newest."""
        of_time = self.since >= _OLDEST_UNIX
        entries = journal.entries(0 if of_time else int(self.since))
        found = [
            entry
            for entry in entries
            if (not of_time or entry.received_at >= self.since) and self._asks_for(entry, reading)
        ]
        return found if self.limit is None else found[max(len(found) - self.limit, 0) :]

    def _asks_for(self, entry: Entry, reading: Reading) -> bool:
        return (
            not self.match.differences(entry)
            and self.status in (None, entry.status)
            and (self.scenario is None or self.scenario in entry.scenarios)
            and (not self.warnings or bool(reading.warnings(entry)))
        )


def read_listing(asked: Mapping[str, str]) -> Listing:
    """The listing that a query asks for. Raises ``RefusedError``."""
    warnings = asked.get("warnings", "false")
    if warnings not in ("true", "false"):
        raise wrong("warnings", f"true or false is needed, not {warnings!r}")
    return Listing(
        match=read_match({name: asked[name] for name in _MATCHED if name in asked}),
        status=_whole(asked, "status"),
        since=_number(asked, "since") or 0.0,
        scenario=asked.get("scenario"),
        warnings=warnings == "true",
        limit=_whole(asked, "limit"),
    )


def _whole(asked: Mapping[str, str], name: str) -> int | None:
    found = _number(asked, name)
    if found is not None and found != int(found):
        raise wrong(name, f"a whole number is needed, not {asked[name]!r}")
    return None if found is None else int(found)


def _number(asked: Mapping[str, str], name: str) -> float | None:
    if name not in asked:
        return None
    try:
        value = float(asked[name])
    except ValueError:
        raise wrong(name, f"a number is needed, not {asked[name]!r}") from None
    return number(value, name, 0, LATEST)
