"""A scenario that a test has brought upon its host."""

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
    """Acts from the moment it is made until it is taken back; as a context manager, until the end
    of the block.
    """

    def __init__(self, call: Call, book: RuleBook, said: dict[str, Any]) -> None:
        self._call = call
        self._book = book
        self._rule = call(lambda: book.add(said))[0]

    def __repr__(self) -> str:
        return f"<Scenario {self}>"

    def __str__(self) -> str:
        said = {"with": self._rule.parameters, "when": self._rule.when, "times": self._rule.times}
        return " ".join(
            [
                self._rule.behaviour.name,
                *(f"{key}={value!r}" for key, value in said.items() if value),
            ]
        )

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
        """How many requests it has befallen."""
        return self._rule.matched

    def remove(self) -> None:
        """Take it back; once is enough."""
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
