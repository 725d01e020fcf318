"""The stream that tells a console when to look again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

from sse_starlette import EventSourceResponse, ServerSentEvent

from fake_server.admin.call import clock_as_json
from fake_server.host_state import HostState
from fake_server.scenarios.rules import RuleBook

MOST_CONSOLES = 20
"""The most streams at a time; a further one is refused with 503."""

_EVERY_S = 0.25
"""A change is seen at most so many real seconds later, together with others. To look costs a few
microseconds, whatever the load; runs and requests do nothing for it.
"""

_PING_S = 15


class Changes:
    """What changes in one fake, for all consoles."""

    def __init__(self, host: HostState, rules: RuleBook) -> None:
        self._host, self._rules = host, rules
        self._open = 0

    def response(self) -> EventSourceResponse | None:
        """A stream of changes; None where there are too many already."""
        if self._open >= MOST_CONSOLES:
            return None
        return EventSourceResponse(self._events(), ping=_PING_S, sep="\n")

    async def _events(self) -> AsyncGenerator[ServerSentEvent]:
        self._open += 1
        try:
            sent = None
            while True:
                state = self._state()
                if state != sent:
                    sent = state
                    shown = {**state, "clock": clock_as_json(self._host.clock)}
                    yield ServerSentEvent(json.dumps(shown), event="change", sep="\n")
                if self._host.journal.closed:
                    return
                await asyncio.sleep(_EVERY_S)
        finally:
            self._open -= 1

    def _state(self) -> dict[str, Any]:
        """Numbers that move on whenever something changes; of the clock what moving it changes."""
        store, journal, counters = self._host.store, self._host.journal, self._host.counters
        ended, responses = sum(store.runs_ended.values()), sum(counters.requests.values())
        clock = self._host.clock
        return {
            "runs": store.recent.last_number + ended + clock.moves,
            "running": store.runs_running,
            "requests": journal.last_number + journal.last_discarded + responses,
            "scenarios": self._rules.changes + sum(counters.scenarios.values()),
            "clock": clock.moves,
        }
