"""What a fake host received, for a test to look at, to wait for and to verify."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.datastructures import Headers

from fake_server.endpoints import Host
from fake_server.journal import Entry
from fake_server.journal.matching import Difference, Match, read_match
from fake_server.journal.reading import Reading, json_of, reading_of, state, user_of
from fake_server.journal.searching import matching, nearest, wait_matching


class FakeRequest:
    """One request that the host received. It tells more while it is being answered."""

    __slots__ = ("_entry", "_reading")

    def __init__(self, entry: Entry, reading: Reading) -> None:
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
        """The user as the request says it, whatever its type."""
        return user_of(self._entry)

    @property
    def inputs(self) -> Mapping[str, Any]:
        """The inputs of a run; empty where there are none."""
        found = self._said("inputs")
        return found if isinstance(found, dict) else {}

    @property
    def prompt(self) -> Any:
        return self.inputs.get("prompt")

    @property
    def model(self) -> Any:
        return self.inputs.get("model_name")

    @property
    def mode(self) -> Any:
        """The response mode as the request says it."""
        return self._said("response_mode")

    @property
    def status(self) -> int | None:
        """Of the answer; None before there is one."""
        return self._entry.status

    @property
    def state(self) -> str:
        """How far it has got: running, complete, client left, broken."""
        return state(self._entry)

    @property
    def scenarios(self) -> tuple[str, ...]:
        """The names of the scenarios that befell it."""
        return self._entry.scenarios

    @property
    def notes(self) -> tuple[str, ...]:
        """What its scenarios did otherwise than expected, such as not to wait on a host that is
        instant.
        """
        return self._entry.notes

    @property
    def warnings(self) -> list[str]:
        """What the host let pass and its document forbids, a sentence each."""
        return self._reading.warnings(self._entry)

    def _said(self, name: str) -> Any:
        body = self.json
        return body.get(name) if isinstance(body, dict) else None

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
        said = {"user": self.user, "mode": self.mode, "prompt": self.prompt, "model": self.model}
        told = [f"{name}={_short(value)}" for name, value in said.items() if value is not None]
        if self.scenarios:
            told.append(f"scenarios={','.join(self.scenarios)}")
        return " ".join([self.method, self.path, "→", str(how), *told])


class Received:
    """The requests of one host, newest last."""

    def __init__(self, host: Host) -> None:
        self._journal = host.journal
        self._reading = reading_of(host)

    def all(self) -> list[FakeRequest]:
        return [self._request(entry) for entry in self._journal.entries()]

    def wait_for(self, said: dict[str, Any], count: int, timeout_s: float) -> FakeRequest:
        """The ``count``-th request that matches. Raises ``AssertionError`` where it has not come in
        ``timeout_s``.
        """
        _check_number("count", count, 1)
        if (
            isinstance(timeout_s, bool)
            or not isinstance(timeout_s, int | float)
            or not 0 <= timeout_s <= _LONGEST_S
        ):
            raise ValueError(
                f"timeout_s has to be a number, 0 to {_LONGEST_S}, not {_short(timeout_s)}"
            )
        match = read_match(said)
        found = wait_matching(self._journal, match, count, 0, timeout_s)
        if len(found) < count:
            raise AssertionError(
                self._miss(match, len(found), f"{count} expected within {timeout_s:g} s")
            )
        return self._request(found[count - 1])

    def verify(self, said: dict[str, Any], least: int, most: int | None) -> list[FakeRequest]:
        """The requests that match. Raises ``AssertionError`` for fewer than ``least`` or more than
        ``most``.
        """
        _check_number("the count", least, 0)
        if most is not None:
            _check_number("the count", most, least)
        match = read_match(said)
        found = matching(self._journal, match)
        if len(found) < least or (most is not None and len(found) > most):
            raise AssertionError(
                self._miss(match, len(found), f"{_expected(least, most)} expected")
            )
        return list(map(self._request, found))

    def _request(self, entry: Entry) -> FakeRequest:
        return FakeRequest(entry, self._reading)

    def _miss(self, match: Match, found: int, expected: str) -> str:
        """What was expected, and what all but meets it. In a word with no secrets, for it goes into
        reports.
        """
        said = ", ".join(f"{name}={value!r}" for name, value in match.said.items()) or "anything"
        lines = [f"{found} of {len(self._journal)} received requests match {said}; {expected}"]
        near = nearest(self._journal, match)
        if near is not None and near.differences:
            lines += [
                f"nearest: {self._request(near.entry)!r}",
                *map(_difference, near.differences),
            ]
        return self._reading.redactor.text("\n".join(lines))


def _check_number(name: str, said: Any, least: int) -> None:
    """Raise ``ValueError`` where ``said`` cannot be a number of requests."""
    if isinstance(said, bool) or not isinstance(said, int) or said < least:
        raise ValueError(f"{name} has to be a whole number, {least} or more, not {_short(said)}")


def _expected(least: int, most: int | None) -> str:
    if least == most:
        return f"exactly {least}"
    return f"at least {least}" if most is None else f"{least} to {most}"


def _difference(one: Difference) -> str:
    return f"    {one.field}: expected {one.wanted!r}, got {one.got!r}"


_LONGEST_S = 86_400
_SHOWN = 60


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
