"""What is done to a whole fake, beside its requests: scenarios, clock, journal, reset, stop.

Where replicas share a store, every one of them performs each command, all in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fake_server.host_state import HostState
from fake_server.scenarios.rules import RuleBook


class Commands:
    """The commands of one fake."""

    def __init__(
        self, host: HostState, rules: RuleBook, reset: Callable[[int | None], None]
    ) -> None:
        self._host, self._rules = host, rules
        clock, store = host.clock, host.store
        self._commands: Mapping[str, Callable[..., Any]] = {
            "add_scenarios": rules.add,
            "remove_scenario": rules.remove,
            "clear_scenarios": rules.clear,
            "freeze": clock.freeze,
            "set": clock.set,
            "advance": clock.advance,
            "resume": clock.resume,
            "clear_journal": host.journal.clear,
            "reset": reset,
            "stop": store.stop,
            "fill": store.fill,
        }

    async def everywhere(self, name: str, *arguments: Any) -> Any:
        """Perform a command, of JSON's types, in every replica; returns or raises what it does
        here. Raises ``LogError`` where the others cannot be reached.
        """
        replica = self._host.store.replica
        if replica is None:
            return self.perform(name, *arguments)
        return await replica.everywhere(name, *arguments)

    def perform(self, name: str, *arguments: Any) -> Any:
        """Perform a command here."""
        return self._commands[name](*arguments)

    def snapshot(self) -> dict[str, Any]:
        """What commands have changed, in JSON."""
        clock = self._host.clock
        return {
            "frozen_at": clock.now() if clock.frozen else None,
            "shift_s": clock.shift_s,
            "scenarios": self._rules.snapshot(),
            "seed": self._host.random.seed,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Be as in ``snapshot``."""
        clock = self._host.clock
        self._host.random.reset(state["seed"])
        self._rules.restore(state["scenarios"])
        if state["frozen_at"] is not None:
            clock.freeze(state["frozen_at"])
        else:
            clock.resume()
            clock.set(clock.machine_time() + state["shift_s"])
