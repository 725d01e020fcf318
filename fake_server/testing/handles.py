"""What a fake host gives a test: its clock, the requests it received, scenarios."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from copy import deepcopy
from datetime import timedelta
from types import TracebackType
from typing import Any, Protocol, TypeVar

from starlette.datastructures import Headers

from fake_server.clock import Clock, Timestamp, iso, unix_seconds
from fake_server.journal import Entry
from fake_server.journal.reading import JournalReader
from fake_server.scenarios.rules import RuleBook

T = TypeVar("T")


class FakeClock:
    """The clock of a host: URLs expire by it, and runs at a finite speed wait for it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __repr__(self) -> str:
        state = "frozen" if self.frozen else "running"
        return f"<FakeClock {state} at {iso(self.now())}>"

    @property
    def frozen(self) -> bool:
        return self._clock.frozen

    def now(self) -> float:
        """Unix seconds."""
        return self._clock.now()

    def freeze(self, at: Timestamp | None = None) -> None:
        """Stop at ``at`` or at the present time."""
        self._clock.freeze(None if at is None else unix_seconds(at))

    def set(self, at: Timestamp) -> None:
        """Show ``at``; runs that wait are not released by it."""
        self._clock.set(unix_seconds(at))

    def advance(self, seconds: float | timedelta) -> None:
        """Move on by ``seconds`` and release what waits for that time.

        Raises ``ValueError`` if negative or too far, ``TypeError`` for what is neither a number nor
        a ``timedelta``.
        """
        if isinstance(seconds, timedelta):
            seconds = seconds.total_seconds()
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise TypeError(
                f"advance takes seconds as a number or a timedelta, not {seconds!r}; "
                "5 minutes are 300"
            )
        try:
            self._clock.advance(seconds)
        except OverflowError:
            raise ValueError("the years of a clock are 1970 to 9998; that is too far") from None

    def resume(self) -> None:
        """Run on from the time shown."""
        self._clock.resume()

    def wait_until_blocked(self, count: int = 1, timeout_s: float = 5.0) -> None:
        """Return once ``count`` responses wait for this clock, so that an ``advance`` releases all.

        ``timeout_s`` is real time; raises ``TimeoutError`` after it.
        """
        enough = threading.Event()

        def check() -> None:
            if self._clock.waiting >= count:
                enough.set()

        self._clock.on_wait = check
        try:
            check()
            if not enough.wait(timeout_s):
                raise TimeoutError(
                    f"{self._clock.waiting} of {count} responses wait for the clock after "
                    f"{timeout_s:g} s; a host that is instant never waits: give it a speed"
                )
        finally:
            self._clock.on_wait = None

    wait_for_waiting = wait_until_blocked
    """An earlier name."""


class FakeRequest:
    """One request that the host received; it shows more while the response is being sent."""

    __slots__ = ("_entry", "_reading")

    def __init__(self, entry: Entry, reading: JournalReader) -> None:
        self._entry = entry
        self._reading = reading

    @property
    def method(self) -> str:
        return str(self._entry.scope["method"])

    @property
    def path(self) -> str:
        """Without the query."""
        return str(self._entry.scope["path"])

    @property
    def query(self) -> str:
        return bytes(self._entry.scope["query_string"]).decode("latin-1")

    @property
    def headers(self) -> Headers:
        """As they came, the key included; names in any case."""
        return Headers(raw=self._entry.scope["headers"])

    @property
    def body(self) -> bytes:
        """Its first 64 KiB."""
        return self._entry.body

    @property
    def json(self) -> Any:
        """The body as JSON; None where it is none."""
        return deepcopy(self._entry.json())

    @property
    def operation(self) -> str | None:
        """The operation of the spec, such as ``runWorkflow``; None where the host knows none."""
        return self._entry.operation

    @property
    def user(self) -> Any:
        """The user in body or query, whatever its type."""
        return deepcopy(self._entry.user())

    @property
    def inputs(self) -> Mapping[str, Any]:
        """The inputs of a run; empty where there are none."""
        found = deepcopy(self._entry.json_field("inputs"))
        return found if isinstance(found, dict) else {}

    @property
    def prompt(self) -> Any:
        return self.inputs.get("prompt")

    @property
    def model(self) -> Any:
        return self.inputs.get("model_name")

    @property
    def mode(self) -> Any:
        """The response mode, whatever its type."""
        return deepcopy(self._entry.json_field("response_mode"))

    @property
    def status(self) -> int | None:
        """Of the response; None before there is one."""
        return self._entry.status

    @property
    def state(self) -> str:
        """running, complete, client left or broken."""
        return self._entry.state

    @property
    def scenarios(self) -> tuple[str, ...]:
        """The names of the scenarios that acted on it."""
        return self._entry.scenarios

    @property
    def notes(self) -> tuple[str, ...]:
        """What its scenarios did not do, such as to wait on a host that is instant."""
        return self._entry.notes

    @property
    def warnings(self) -> list[str]:
        """What the host let pass and its document forbids, a sentence each."""
        return self._reading.warnings(self._entry)

    def __repr__(self) -> str:
        return f"<{self._line()}>"

    def __str__(self) -> str:
        """One line, and one more for each note and warning. No key, no signature."""
        notes = [f"    note: {note}" for note in self.notes]
        return "\n".join(
            [self._line(), *notes, *(f"    warning: {warning}" for warning in self.warnings)]
        )

    def _line(self) -> str:
        how = self.status if self.status is not None and self.state != "running" else self.state
        fields = {"user": self.user, "mode": self.mode, "prompt": self.prompt, "model": self.model}
        words = [
            f"{name}={shortened(value)}" for name, value in fields.items() if value is not None
        ]
        if self.scenarios:
            words.append(f"scenarios={','.join(self.scenarios)}")
        return " ".join([self.method, self.path, "→", str(how), *words])


def shortened(value: Any) -> str:
    """At most 60 characters of ``value`` as Python writes it."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


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
    def instant_notes(self) -> tuple[str, ...]:
        """What it does not wait for where the host is instant, a sentence each."""
        return self._rule.effects.instant_notes

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
