"""The journal of a replica: its own entries and those of the others, numbered across all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from starlette.types import Scope

from fake_server.clock import Clock
from fake_server.journal.entry import Entry
from fake_server.journal.exchanges import Journal


class SharedJournal(Journal):
    """Entries get their numbers when they are written into the log: it is 0 until then."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.wake: Callable[[], None] = lambda: None
        """Called when there is something to be written."""
        self.receive_run: Callable[[Entry, tuple[Any, ...]], None] = lambda entry, packed: None
        """Called with what another replica has packed of the run of an entry."""
        self._unsent: dict[int, Entry] = {}
        self._running: dict[int, Entry] = {}
        """Entries of others that are not over, by their numbers."""

    def new_entry(self, scope: Scope) -> Entry:
        entry = super().new_entry(scope)
        self.last_number -= 1
        entry.number = 0
        return entry

    def add(self, entry: Entry) -> None:
        super().add(entry)
        self._unsent[id(entry)] = entry
        self.wake()

    def over(self, entry: Entry) -> None:
        self._unsent[id(entry)] = entry
        self.wake()

    def entries(self, since: int = 0) -> list[Entry]:
        found = super().entries(since)
        found.sort(key=lambda entry: entry.number)
        return found

    def clear(self) -> None:
        super().clear()
        self._unsent.clear()
        self._running.clear()
        self.last_discarded = self.last_number

    def unsent(self) -> list[Entry]:
        """The entries that are to be written now."""
        found = [entry for entry in self._unsent.values() if not entry.discarded]
        self._unsent = {}
        return found

    def send_again(self, entries: Iterable[Entry]) -> None:
        """They have not been written."""
        self._unsent = {id(one): one for one in entries if not one.discarded} | self._unsent

    def number(self, entries: Iterable[Entry], base: int) -> None:
        """They have been written; the new ones get the numbers after ``base``."""
        for entry in entries:
            if not entry.number:
                base += 1
                entry.number = base
                self.last_number = max(self.last_number, base)
                if entry.request_complete and not entry.discarded:
                    self.tell(entry)

    def receive(self, packed: Sequence[tuple[Any, ...]], base: int) -> None:
        """Have the entries of another replica."""
        for fields in packed:
            number = fields[0]
            known = self._running.pop(number, None) if number else None
            entry = Entry.unpacked(self, fields)
            if not number:
                base += 1
                entry.number = base
                self.last_number = max(self.last_number, base)
                super().add(entry)
            elif known is not None and not known.discarded:
                more = entry.size - known.size
                known.become(entry)
                known.new_bytes = more
                self.count(known)
                self.tell(known)
                entry = known
            else:
                continue
            if fields[-1] is not None:
                self.receive_run(entry, fields[-1])
            if entry.ended is None:
                self._running[entry.number] = entry
