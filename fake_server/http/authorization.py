"""Who sends a request: the app whose key the ``Authorization`` header carries."""

from __future__ import annotations

from collections.abc import Mapping

from fake_server.host_spec import HostSpec
from fake_server.workflow.model import App


def authorised_app(header: bytes | None, apps: Mapping[str, App], spec: HostSpec) -> App:
    """The app whose key the ``Authorization`` header carries. Raises ``HostError``: 401, or the
    version's error of an app that is not served (FACTS 3, steps 1 to 3).
    """
    errors = spec.errors
    text = (header or b"").decode("latin-1").lstrip(" \t").rstrip(" ")  # as nginx leaves it
    if " " not in text:
        raise errors("auth_header_missing")
    scheme, key = text.split(None, 1)
    if scheme.lower() != "bearer":
        raise errors("auth_scheme_wrong")
    app = apps.get(key)
    if app is None:
        raise errors("token_unknown")
    if app.kind.value in spec.request.app_errors:
        raise errors(spec.request.app_errors[app.kind.value])
    return app
