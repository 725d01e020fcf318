"""A fake of a self-hosted Dify workflow app that generates images: the same wire, no GPU.

``create_app(Settings(...))`` gives the fake as an ASGI app; ``fake-server serve`` runs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fake_server.app import create_app
    from fake_server.settings import Settings, SettingsError

__all__ = ["Settings", "SettingsError", "create_app"]


def __getattr__(name: str) -> Any:
    """Lazy: neither the command line's own errors nor pytest pay for the server."""
    if name == "create_app":
        from fake_server.app import create_app

        return create_app
    if name in ("Settings", "SettingsError"):
        from fake_server import settings

        return getattr(settings, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
