"""pytest: ``fake_host``, a fake of the test's own on a free port, as it was at the start for each test.

One server for each session, worker and set of settings; ``@pytest.mark.fake_host(speed=10, app="cats.yml")`` names
settings. Its seed comes from the test's id, so that neither order nor neighbours change what a test sees. pytest
imports this at every start: what the fixture needs is imported when it is asked for.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from fake_server.settings import Settings
    from fake_server.testing.host import FakeHost
    from fake_server.testing.requests import FakeRequest

    _Hosts = dict[Settings, FakeHost]

_MARKER = "fake_host(**settings): settings of the test's fake host, such as speed=10 or app='cats.yml'"
_SECTION = "fake host: requests"
_MOST_TOLD = 30
_in_use: pytest.StashKey[FakeHost] = pytest.StashKey()


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
    """A fake Dify host, fresh for this test: ``.url``, ``.api_key``, ``.requests``, ``.scenario()``, ``.clock``."""
    said = _said(request.node)
    seed = said.pop("seed", zlib.crc32(request.node.nodeid.encode()))
    host = _host(said, _fake_hosts)
    host.reset(seed)
    request.node.stash[_in_use] = host
    yield host
    del request.node.stash[_in_use]
    host.reset(seed)


def _said(item: pytest.Item) -> dict[str, Any]:
    """What the markers of the test, its class and its module say; the nearest wins."""
    said: dict[str, Any] = {}
    for marker in reversed(list(item.iter_markers("fake_host"))):
        if marker.args:
            pytest.fail(f"@pytest.mark.fake_host{marker.args}: settings have names, as in speed=10", pytrace=False)
        said |= marker.kwargs
    return said


def _host(said: dict[str, Any], hosts: _Hosts) -> FakeHost:
    try:
        from dify_wire.spec import SpecError
        from fake_server.settings import SettingsError
        from fake_server.testing.host import FakeHost
        from fake_server.testing.options import host_settings
    except ImportError as error:
        pytest.fail(_hidden(error), pytrace=False)
    try:
        settings = host_settings(said)
        if settings not in hosts:
            hosts[settings] = FakeHost(**said).start()
        return hosts[settings]
    except (SettingsError, SpecError) as error:
        mistake = str(error)
    pytest.fail(f"@pytest.mark.fake_host: {mistake}", pytrace=False)


def _hidden(error: ImportError) -> str:
    """Why our own packages cannot be imported: usually because the project has a package of the same name."""
    ours = Path(__file__).parent.parent
    for name in ("fake_server", "dify_wire"):
        found = getattr(sys.modules.get(name), "__file__", None)
        if found and Path(found).parent.parent != ours:
            return f"fake_host: {Path(found).parent} hides the package {name} of fake-dify; rename it"
    return f"fake_host: fake-dify is not wholly installed: {error}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what the host received."""
    report = yield
    host = item.stash.get(_in_use, None)
    if report.failed and host is not None:
        report.sections.append((_SECTION, _told(host.requests)))
    return report


def _told(requests: list[FakeRequest]) -> str:
    """The newest requests, a line each."""
    before = len(requests) - _MOST_TOLD
    lines = [f"({before} before these)"] if before > 0 else []
    return "\n".join([*lines, *map(str, requests[-_MOST_TOLD:])]) or "none"
