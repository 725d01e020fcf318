"""Which app a request speaks for, in the host's order of checks (FACTS 3, steps 1 to 3)."""

from __future__ import annotations

from collections.abc import Mapping

from fake_server.apps import App
from fake_server.http.errors import HostErrors


def authorised_app(header: bytes | None, apps: Mapping[str, App], errors: HostErrors) -> App:
    """The app whose key the ``Authorization`` header carries; ``HostError`` 401, or 404 where it is
    not served.
    """
    text = (
        (header or b"").decode("latin-1").lstrip(" \t").rstrip(" ")
    )  # as nginx and gunicorn leave it
    if " " not in text:
        raise errors("auth_header_missing")
    scheme, key = text.split(None, 1)
    if scheme.lower() != "bearer":
        raise errors("auth_scheme_wrong")
    app = apps.get(key)
    if app is None:
        raise errors("token_unknown")
    if not app.reachable:
        raise errors("app_not_found")
    return app
