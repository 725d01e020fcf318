"""A request that a fake host received."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.datastructures import Headers

from fake_server.journal import Entry
from fake_server.journal.reading import JournalReader, body_field, json_of, state_of, user_of


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
        return b"".join(self._entry.body)

    @property
    def json(self) -> Any:
        """The body as JSON; None where it is none."""
        return json_of(self._entry)

    @property
    def operation(self) -> str | None:
        """The operation of the spec, such as ``runWorkflow``; None where the host knows none."""
        return self._entry.operation

    @property
    def user(self) -> Any:
        """The user in body or query, whatever its type."""
        return user_of(self._entry)

    @property
    def inputs(self) -> Mapping[str, Any]:
        """The inputs of a run; empty where there are none."""
        found = body_field(self._entry, "inputs")
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
        return body_field(self._entry, "response_mode")

    @property
    def status(self) -> int | None:
        """Of the response; None before there is one."""
        return self._entry.status

    @property
    def state(self) -> str:
        """running, complete, client left or broken."""
        return state_of(self._entry)

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
