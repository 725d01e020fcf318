"""Who sends a request: the app whose key the ``Authorization`` header carries."""

from __future__ import annotations

from collections.abc import Mapping

from dify_wire.exchange import AppKind
from fake_server.host_spec import HostErrors
from fake_server.workflow.model import App


def authorised_app(header: bytes | None, apps: Mapping[str, App], errors: HostErrors) -> App:
    """The app whose key the ``Authorization`` header carries; ``HostError`` 401, or 404 where it is
    not served (FACTS 3, steps 1 to 3).
    """
    text = (header or b"").decode("latin-1").lstrip(" \t").rstrip(" ")  # as nginx leaves it
    if " " not in text:
        raise errors("auth_header_missing")
    scheme, key = text.split(None, 1)
    if scheme.lower() != "bearer":
        raise errors("auth_scheme_wrong")
    app = apps.get(key)
    if app is None:
        raise errors("token_unknown")
    if app.kind in (AppKind.DISABLED, AppKind.DELETED):
        raise errors("app_not_found")
    return app
