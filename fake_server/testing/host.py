"""A fake host for a test: a real server on a free port of this machine, in a thread of this
process.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import fields
from types import TracebackType
from typing import Any, Protocol, Unpack

from anyio import to_thread

from dify_wire.strict import unknown
from fake_server.app import create_app
from fake_server.journal.matching import Match, matching, nearest_entry, read_match, wait_matching
from fake_server.journal.reading import JournalReader
from fake_server.scenarios.parameters import ScenarioError
from fake_server.server.server import ServerThread
from fake_server.settings import Settings, SettingsError, read_settings
from fake_server.testing import ALIASES, NO_OPTIONS, ScenarioWarning
from fake_server.testing.handles import FakeClock, FakeRequest, Scenario, shortened
from fake_server.testing.typed import HostOptions, RequestMatch, TypedScenarios, When

_LONGEST_WAIT_S = 86_400


class FakeHost(TypedScenarios):
    """A fake that a test starts, sends requests to over HTTP and inspects; a context manager.

    It waits for nothing unless ``speed`` is given. ``app`` is the app file of the default app; any
    other setting of the server may follow by its name. Raises ``SettingsError`` or
    ``dify_wire.spec.SpecError`` for what cannot be used. Everything here may be called from any
    thread but the server's own; what needs the server raises ``RuntimeError`` where that does not
    run.
    """

    def __init__(self, *, seed: int = 1, **settings: Unpack[HostOptions]) -> None:
        self._seed = seed
        self._settings = host_settings({**settings, "seed": seed})
        self._app = create_app(self._settings)
        self._thread = ServerThread(self._app, self._settings)
        self.url = self._thread.url
        """Where it listens, without a slash at the end."""
        self.api_key = self._settings.api_keys[0]
        """A key of the default app."""
        self._journal = self._app.host.journal
        self._reading = JournalReader(self._app.host)
        self._scenarios: list[Scenario] = []
        self.clock = FakeClock(self._app.host.clock)

    def __repr__(self) -> str:
        return f"<FakeHost {self.url}>"

    def start(self) -> FakeHost:
        """Return this host once it listens."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End open streams, and return once the port is free."""
        self._thread.stop()

    def __enter__(self) -> FakeHost:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def reset(self, seed: int | None = None) -> None:
        """Be as at the start, with ``seed`` or the first one: open streams end, scenarios and
        requests are gone.
        """
        self._scenarios.clear()
        self._thread.call(lambda: self._app.reset(self._seed if seed is None else seed))

    @property
    def requests(self) -> list[FakeRequest]:
        """The requests received since the last reset, oldest first."""
        return [FakeRequest(entry, self._reading) for entry in self._journal.entries()]

    def _add_scenario(
        self, name: str, times: int | None, when: When | None, with_: dict[str, Any]
    ) -> Scenario:
        __tracebackhide__ = True
        rule = {"name": name, "with": with_, "when": dict(when or {}), "times": times}
        try:
            scenario = Scenario(self._thread.call, self._app.scenarios, rule)
        except ScenarioError as error:  # the test's mistake, without our inner frames
            raise ScenarioError(error.message, error.path) from None
        self._scenarios.append(scenario)
        if self._settings.speed is None:
            for note in scenario.instant_notes:
                warnings.warn(note, ScenarioWarning, stacklevel=3)
        return scenario

    @property
    def unused_scenarios(self) -> list[Scenario]:
        """Those added by ``scenario`` since the last reset that acted on no request, removed or
        not.
        """
        return [scenario for scenario in self._scenarios if scenario.unused]

    def wait_for_request(
        self, *, count: int = 1, timeout_s: float = 5.0, **match: Unpack[RequestMatch]
    ) -> FakeRequest:
        """The first request that matches (the ``count``-th), as soon as it is received.

        ``match`` may have method, path, operation, user, prompt, model, mode, status, header and
        json (a part of the body). Raises ``AssertionError`` with the nearest request after
        ``timeout_s`` of real time.
        """
        __tracebackhide__ = True
        return self._wait_for(dict(match), count, timeout_s)

    async def async_wait_for_request(
        self, *, count: int = 1, timeout_s: float = 5.0, **match: Unpack[RequestMatch]
    ) -> FakeRequest:
        """The same without holding up the event loop that the test's own client may need."""
        __tracebackhide__ = True
        return await to_thread.run_sync(self._wait_for, dict(match), count, timeout_s)

    def _wait_for(self, fields: dict[str, Any], count: int, timeout_s: float) -> FakeRequest:
        __tracebackhide__ = True
        _check_count("count", count, 1)
        if (
            isinstance(timeout_s, bool)
            or not isinstance(timeout_s, int | float)
            or not 0 <= timeout_s <= _LONGEST_WAIT_S
        ):
            raise ValueError(
                f"timeout_s has to be a number, 0 to {_LONGEST_WAIT_S}, not {shortened(timeout_s)}"
            )
        match = read_match(fields)
        found = wait_matching(self._journal, match, count, 0, timeout_s)
        if len(found) < count:
            raise self._unmatched(match, len(found), f"{count} expected within {timeout_s:g} s")
        return FakeRequest(found[count - 1], self._reading)

    def verify(
        self,
        *,
        count: int | None = None,
        at_least: int | None = None,
        at_most: int | None = None,
        **match: Unpack[RequestMatch],
    ) -> list[FakeRequest]:
        """The requests that match: exactly ``count``, or from ``at_least`` to ``at_most``, or any
        number above 0.

        Raises ``AssertionError`` with the nearest request where there are others, ``ValueError``
        for counts that contradict each other.
        """
        __tracebackhide__ = True
        least, most = at_least, at_most
        if count is not None:
            if least is not None or most is not None:
                raise ValueError("count is exact; give it, or at_least and at_most")
            least = most = count
        elif least is None:
            least = 1 if most is None else 0
        _check_count("the count", least, 0)
        if most is not None:
            _check_count("the count", most, least)
        checked = read_match(dict(match))
        found = matching(self._journal, checked)
        if len(found) < least or (most is not None and len(found) > most):
            expected = f"at least {least}" if most is None else f"{least} to {most}"
            if least == most:
                expected = f"exactly {least}"
            raise self._unmatched(checked, len(found), f"{expected} expected")
        return [FakeRequest(entry, self._reading) for entry in found]

    def _unmatched(self, match: Match, found: int, expected: str) -> AssertionError:
        """What was expected, and the request that differs the least; without secrets, since it goes
        into reports.
        """
        fields = ", ".join(f"{name}={value!r}" for name, value in match.fields.items())
        count = f"{found} of {len(self._journal)} received requests"
        lines = [f"{count} match {fields or 'anything'}; {expected}"]
        near = nearest_entry(self._journal, match)
        if near is not None:
            lines.append(f"nearest: {FakeRequest(near.entry, self._reading)!r}")
            lines += [
                f"    {one.field}: expected {one.wanted!r}, got {one.got!r}"
                for one in near.differences
            ]
        return AssertionError(self._reading.redactor.text("\n".join(lines)))


class FakeHostFactory(Protocol):
    """The fixture ``fake_host_factory``: starts another host, with the options of ``FakeHost``, for
    the session.
    """

    def __call__(self, *, seed: int = 1, **settings: Unpack[HostOptions]) -> FakeHost: ...


def host_settings(options: Mapping[str, Any]) -> Settings:
    """The settings of a host on any free port, instant unless ``options`` has a speed.

    Raises ``SettingsError``.
    """
    known = {one.name for one in fields(Settings)}.difference(NO_OPTIONS)
    settings: dict[str, Any] = {"speed": None}
    given: dict[str, str] = {}
    for name, value in options.items():
        setting = ALIASES.get(name, name)
        if setting not in known:
            raise SettingsError(name, unknown("setting", name, sorted({*known, *ALIASES})))
        if setting in given:
            raise SettingsError(name, f"this is the same setting as {given[setting]}; remove one")
        given[setting] = name
        settings[setting] = value
    return read_settings({**settings, "port": 0})


def _check_count(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(
            f"{name} has to be a whole number, {least} or more, not {shortened(value)}"
        )
