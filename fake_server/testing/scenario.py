"""A scenario that a test has added to its host."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, TypeVar

from fake_server.scenarios import RuleBook

T = TypeVar("T")


class Call(Protocol):
    """Runs a function where the server runs, and gives what it gives."""

    def __call__(self, function: Callable[[], T]) -> T: ...


class Scenario:
    """Acts until it is removed; as a context manager, until the end of the block."""

    def __init__(self, call: Call, book: RuleBook, rule: dict[str, Any]) -> None:
        self._call = call
        self._book = book
        self._rule = call(lambda: book.add(rule))[0]

    def __repr__(self) -> str:
        return f"<Scenario {self}>"

    def __str__(self) -> str:
        rule = self._rule
        parts = {"with": rule.parameters, "when": rule.when, "times": rule.times}
        words = [f"{key}={value!r}" for key, value in parts.items() if value]
        return " ".join([rule.behaviour.name, *words])

    @property
    def unwaited(self) -> tuple[str, ...]:
        """What it does not wait for where the host is instant, a sentence each."""
        return self._rule.effects.unwaited

    @property
    def unused(self) -> bool:
        """Whether it should have acted and did not; one with a probability need not act."""
        return self._rule.matched == 0 and self._rule.conditions.probability is None

    @property
    def matched(self) -> int:
        """How many requests it has acted on."""
        return self._rule.matched

    def remove(self) -> None:
        """Remove it; calling this again does nothing."""
        self._call(lambda: self._book.remove(self._rule.rule_id))

    def __enter__(self) -> Scenario:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.remove()
