"""The newest exchanges of a server, bounded in number and in bytes.

Serving adds entries in the server's thread; anybody may read or forget them from any other, as a
test does.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from starlette.types import Scope

from fake_server.clock import Clock
from fake_server.journal.entry import Entry

ENTRIES = 1_000
"""Of more requests the oldest make room."""

BYTES = 16 << 20
"""What entries keep in all, roughly; beyond it the oldest make room."""


class Journal:
    """A ring: the oldest entry makes room. ``clock`` says when a request was received."""

    def __init__(self, clock: Clock, entries: int = ENTRIES, size: int = BYTES) -> None:
        self._clock = clock
        self._entries: deque[Entry] = deque()
        self._most_entries = entries
        self._most_bytes = size
        self._lock = threading.Lock()
        self._watchers: dict[object, Callable[[Entry | None], None]] = {}
        self.bytes = 0
        """What the entries hold, roughly."""
        self.last_number = 0
        """The number of the newest entry; numbers count from 1 and are never given twice."""
        self.forgotten = 0
        """How many entries had to make room since the journal was last cleared."""
        self.closed = False
        """Whether the server is going down: there is nothing more to wait for."""

    def __len__(self) -> int:
        return len(self._entries)

    def begin(self, scope: Scope) -> Entry:
        """Note that a request has come; its entry is told the rest as it happens."""
        with self._lock:
            self.last_number += 1
            entry = Entry(self, self.last_number, self._clock.now(), scope)
            self._entries.append(entry)
            self.bytes += entry.size
            if len(self._entries) > self._most_entries or self.bytes > self._most_bytes:
                self._make_room()
        return entry

    def entries(self, since: int = 0) -> list[Entry]:
        """The entries with a number above ``since``, oldest first."""
        with self._lock:
            return [entry for entry in self._entries if entry.number > since]

    def clear(self) -> None:
        """Forget all entries; requests that are still being answered do not come back."""
        with self._lock:
            for entry in self._entries:
                entry.forgotten = True
            self._entries.clear()
            self.bytes = self.forgotten = 0

    def grown(self, entry: Entry, size: int) -> None:
        """``entry`` keeps ``size`` more bytes."""
        with self._lock:
            if entry.forgotten:
                return
            entry.size += size
            self.bytes += size
            if self.bytes > self._most_bytes:
                self._make_room()

    def _make_room(self) -> None:
        while self._entries and (
            len(self._entries) > self._most_entries or self.bytes > self._most_bytes
        ):
            oldest = self._entries.popleft()
            oldest.forgotten = True
            self.bytes -= oldest.size
            self.forgotten += 1

    def watch(self, watcher: object, callback: Callable[[Entry | None], None]) -> None:
        """Call ``callback`` with each entry that says more, in the server's thread, until
        ``unwatch(watcher)``.

        It is called with None when the journal closes.
        """
        self._watchers[watcher] = callback

    def unwatch(self, watcher: object) -> None:
        self._watchers.pop(watcher, None)

    def changed(self, entry: Entry | None) -> None:
        """Tell whoever watches that ``entry`` says more than before; None: that the journal is
        closed.
        """
        if self._watchers:
            for callback in list(self._watchers.values()):
                callback(entry)

    def close(self) -> None:
        """Nothing more will come: whoever waits is told."""
        self.closed = True
        self.changed(None)
