"""pytest: ``fake_host``, a fake of the test's own on a free port, as it was at the start for each
test.

One server for each session, worker and set of settings; ``@pytest.mark.fake_host(speed=10,
app="cats.yml")`` names settings. Its seed comes from the test's id, so that neither order nor
neighbours change what a test sees. pytest imports this at every start: what the fixture needs is
imported when a test uses it.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
import zlib
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from fake_server.testing.host import FakeHost, FakeHostFactory

    _Hosts = dict[tuple[tuple[str, str], ...], FakeHost]

_MARKER = (
    "fake_host(**settings): settings of the test's fake host, such as speed=10 or app='cats.yml'"
)
_SECTION = "fake host: requests"
_MOST_SHOWN = 30
_in_use: pytest.StashKey[FakeHost] = pytest.StashKey()
_passed: pytest.StashKey[bool] = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture(scope="session")
def _fake_hosts() -> Iterator[_Hosts]:
    """The servers that run, by their settings."""
    hosts: _Hosts = {}
    yield hosts
    for host in hosts.values():
        host.stop()


@pytest.fixture
def fake_host(request: pytest.FixtureRequest, _fake_hosts: _Hosts) -> Iterator[FakeHost]:
    """A fake Dify host, fresh for this test: ``.url``, ``.api_key``, ``.requests``,
    ``.scenario()``, ``.clock``.
    """
    settings: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers("fake_host"))):  # the nearest wins
        if marker.args:
            pytest.fail(
                f"@pytest.mark.fake_host{marker.args}: settings have names, as in speed=10",
                pytrace=False,
            )
        settings |= marker.kwargs
    seed = settings.pop("seed", zlib.crc32(request.node.nodeid.encode()))
    key = tuple(sorted((name, repr(value)) for name, value in settings.items()))
    if key not in _fake_hosts:
        _fake_hosts[key] = _started(settings, "@pytest.mark.fake_host")
    host = _fake_hosts[key]
    host.reset(seed)
    request.node.stash[_in_use] = host
    yield host
    del request.node.stash[_in_use]
    unused = host.unused_scenarios if request.node.stash.get(_passed, False) else []
    host.reset(seed)
    if unused:
        from fake_server.testing import UnusedScenarioWarning

        message = f"scenarios that never acted on a request: {'; '.join(map(str, unused))}"
        warnings.warn(message, UnusedScenarioWarning, stacklevel=1)


@pytest.fixture(scope="session")
def fake_host_factory() -> Iterator[FakeHostFactory]:
    """Start further hosts: ``fake_host_factory(speed=10)`` gives a ``FakeHost`` that runs to the
    end of the session.

    Each call makes another host. Nothing resets it between tests: a test or a fixture calls
    ``reset()``. With pytest-xdist every worker is a session and has its own.
    """
    with contextlib.ExitStack() as running:

        def start(**options: Any) -> FakeHost:
            host = _started(options, "fake_host_factory")
            running.callback(host.stop)
            return host

        yield start


def _started(options: Mapping[str, Any], place: str) -> FakeHost:
    try:
        from dify_wire.text_file import SpecError
        from fake_server.settings import SettingsError
        from fake_server.testing.host import FakeHost
    except ImportError as error:
        pytest.fail(_hidden(error), pytrace=False)
    try:
        return FakeHost(**options).start()
    except (SettingsError, SpecError) as error:
        message = f"{place}: {error}"
    pytest.fail(message, pytrace=False)


def _hidden(error: ImportError) -> str:
    """Why our packages cannot be imported: usually the project has one of the same name."""
    ours = Path(__file__).parent.parent
    for name in ("fake_server", "dify_wire"):
        found = getattr(sys.modules.get(name), "__file__", None)
        if found and Path(found).parent.parent != ours:
            return (
                f"fake_host: {Path(found).parent} hides the package {name} of fake-dify; rename it"
            )
    return f"fake_host: fake-dify is not completely installed: {error}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what the host received."""
    report = yield
    host = item.stash.get(_in_use, None)
    if report.when == "call":
        item.stash[_passed] = report.passed
    if report.failed and host is not None:
        requests = host.requests
        lines = [str(request) for request in requests[-_MOST_SHOWN:]]
        if len(requests) > _MOST_SHOWN:
            lines.insert(0, f"({len(requests) - _MOST_SHOWN} before these)")
        unused = [f"never acted: scenario {scenario}" for scenario in host.unused_scenarios]
        report.sections.append((_SECTION, "\n".join([*(lines or ["none"]), *unused])))
    return report
