"""What the requests of one server share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from fake_server.clock import Clock
from fake_server.host_spec import HostSpec
from fake_server.http.responses import HostHeaders, NotFoundHints
from fake_server.journal.exchanges import Counters, Journal
from fake_server.runs.random_values import RandomSource
from fake_server.runs.signing import FileSigners
from fake_server.settings import Settings
from fake_server.store import Store
from fake_server.workflow.model import App


class HostState(NamedTuple):
    """Configuration and state of one fake host."""

    settings: Settings
    spec: HostSpec
    apps: Mapping[str, App]
    clock: Clock
    random: RandomSource
    signers: FileSigners
    store: Store
    headers: HostHeaders
    hints: NotFoundHints
    journal: Journal
    counters: Counters

    def reset(self, seed: int | None) -> None:
        """Put back clock, state, journal and random values.

        Runs that are being played are ended, and so is whatever else waits for the clock. Counters
        go on: what reads them takes falling ones for a new process.
        """
        self.store.reset()
        self.clock.end_waits()
        self.clock.reset()
        self.random.reset(seed)
        self.journal.clear()
