"""The distribution ``fake-dify`` by its own name: ``from fake_dify import FakeHost``.

pytest and the commands enter here and not by ``fake_server`` or ``contract``, because a project may
have packages of those names that hide ours. Importing this imports nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fake_server.app import create_app
    from fake_server.settings import Settings
    from fake_server.testing import FakeHost

__all__ = ["FakeHost", "Settings", "create_app"]


def __getattr__(name: str) -> Any:
    if name == "FakeHost":
        from fake_server.testing import FakeHost

        return FakeHost
    if name in __all__:
        import fake_server

        return getattr(fake_server, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
