"""A server as it was at its start, without starting it again."""

from __future__ import annotations

from fake_server.endpoints import Host
from fake_server.waiting import end_waits


def reset(host: Host, seed: int | None = None) -> None:
    """Put back clock, scenarios, state, journal and draws, these with ``seed`` (None: the settings'
    own).

    Runs that are being played are ended, and so is whatever else waits for the clock. Counters go
    on: what reads them takes falling ones for a new process.
    """
    seed = host.settings.seed if seed is None else seed
    host.store.reset()
    end_waits(host.clock)
    host.clock.reset()
    host.draws.reset(seed)
    host.scenarios.reset(seed)
    host.journal.clear()
