"""Reset a server to its state at the start."""

from __future__ import annotations

from fake_server.endpoints import Host
from fake_server.waiting import end_waits


def reset(host: Host, seed: int | None = None) -> None:
    """Reset clock, scenarios, state, journal and random values, these with ``seed`` (None: the
    settings' own).

    Runs in progress end, and so does whatever else waits for the clock. Counters go on: what reads
    them takes falling ones for a new process.
    """
    seed = host.settings.seed if seed is None else seed
    host.store.reset()
    end_waits(host.clock)
    host.clock.reset()
    host.draws.reset(seed)
    host.scenarios.reset(seed)
    host.journal.clear()
