"""A fake host for a test: a real server on a free port of this machine, in a thread of this
process.
"""

from __future__ import annotations

import warnings
from types import TracebackType
from typing import Any, Protocol, Unpack

from anyio import to_thread

from fake_server.app import create_app
from fake_server.scenarios import ScenarioError
from fake_server.server.thread import ServerThread
from fake_server.settings import Settings
from fake_server.testing import ScenarioWarning
from fake_server.testing.clock import FakeClock
from fake_server.testing.options import host_settings
from fake_server.testing.requests import FakeRequest, Received
from fake_server.testing.scenario import Scenario
from fake_server.testing.typed import HostOptions, RequestMatch, TypedScenarios, When


class FakeHost(TypedScenarios):
    """A fake that a test starts, talks to over HTTP and looks into; a context manager.

    It waits for nothing unless ``speed`` says so. ``app`` is the app file of the default app; any
    other setting of the server may follow by its name. Raises ``SettingsError`` or
    ``dify_wire.spec.SpecError`` for what cannot be used. Everything here may be called from any
    thread but the server's own; what needs the server raises ``RuntimeError`` where that does not
    run.
    """

    def __init__(self, *, seed: int = 1, **settings: Unpack[HostOptions]) -> None:
        self._seed = seed
        self._settings: Settings = host_settings({**settings, "seed": seed})
        self._app = create_app(self._settings)
        self._thread = ServerThread(self._app, self._settings)
        self.url = self._thread.url
        """Where it listens, without a slash at the end."""
        self.api_key = self._settings.api_keys[0]
        """A key of the default app."""
        self._received = Received(self._app.host)
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
        """What it received since the last reset, oldest first."""
        return self._received.all()

    def _order(
        self, name: str, times: int | None, when: When | None, with_: dict[str, Any]
    ) -> Scenario:
        __tracebackhide__ = True
        said = {"name": name, "with": with_, "when": dict(when or {}), "times": times}
        try:
            scenario = Scenario(self._thread.call, self._app.host.scenarios, said)
        except ScenarioError as error:
            raise ScenarioError(
                error.message, error.place
            ) from None  # the test's mistake, without our inner frames
        self._scenarios.append(scenario)
        if self._settings.speed is None:
            for note in scenario.unwaited:
                warnings.warn(note, ScenarioWarning, stacklevel=3)
        return scenario

    @property
    def unused_scenarios(self) -> list[Scenario]:
        """Those ordered by ``scenario`` since the last reset that acted on no request, taken back
        or not.
        """
        return [scenario for scenario in self._scenarios if scenario.unused]

    def wait_for_request(
        self, *, count: int = 1, timeout_s: float = 5.0, **match: Unpack[RequestMatch]
    ) -> FakeRequest:
        """The first request that matches (the ``count``-th), as soon as the host has heard it.

        ``match`` may have method, path, operation, user, prompt, model, mode, status, header and
        json (a part of the body). Raises ``AssertionError`` with the nearest request after
        ``timeout_s`` of real time.
        """
        __tracebackhide__ = True
        return self._received.wait_for(dict(match), count, timeout_s)

    async def async_wait_for_request(
        self, *, count: int = 1, timeout_s: float = 5.0, **match: Unpack[RequestMatch]
    ) -> FakeRequest:
        """The same without holding up the event loop that the test's own client may need."""
        __tracebackhide__ = True
        return await to_thread.run_sync(self._received.wait_for, dict(match), count, timeout_s)

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
        for odd numbers.
        """
        __tracebackhide__ = True
        if count is not None:
            if at_least is not None or at_most is not None:
                raise ValueError("count is exact; give it, or at_least and at_most")
            return self._received.verify(dict(match), count, count)
        least = at_least if at_least is not None else 0 if at_most is not None else 1
        return self._received.verify(dict(match), least, at_most)


class FakeHostFactory(Protocol):
    """The fixture ``fake_host_factory``: starts another host, with the options of ``FakeHost``, for
    the session.
    """

    def __call__(self, *, seed: int = 1, **settings: Unpack[HostOptions]) -> FakeHost: ...
