"""The fake inside tests: ``FakeHost`` for any test runner, and ``fake_host``, the same as a fixture
of pytest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fake_server.testing.host import FakeHost, FakeHostFactory

__all__ = ["FakeHost", "FakeHostFactory", "ScenarioWarning", "UnusedScenarioWarning"]


ALIASES = {
    "app": "workflow",
    "api_key": "api_keys",
    "overlay": "overlays",
    "admin_origin": "admin_origins",
}
"""Options of a host that have another name than their setting."""

NO_OPTIONS = ("host", "port", "log_format", "ready_file")
"""Settings that are no options: a host in a test listens on any free port of this machine."""


class ScenarioWarning(UserWarning):
    """A scenario does not do what it seems to do, such as to wait on a host that is instant."""


class UnusedScenarioWarning(UserWarning):
    """A test passed, and a scenario that it had added never acted on a request."""


def __getattr__(name: str) -> Any:
    """Lazy, since pytest may import this package at its start."""
    if name in ("FakeHost", "FakeHostFactory"):
        from fake_server.testing import host

        return getattr(host, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
