"""A fake of a self-hosted Dify workflow app that makes pictures: the same wire, none of the GPU.

``create_app(Settings(...))`` gives the fake as an ASGI app; ``fake-server serve`` runs it.
"""

from __future__ import annotations

from fake_server.app import create_app
from fake_server.settings import Settings, SettingsError

__all__ = ["Settings", "SettingsError", "create_app"]
