"""Who asks, as the host finds out."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl

from dify_wire.exchange import Request
from dify_wire.redaction.fields import parts

_MOST_FIELDS = 1000


def user_of(request: Request) -> str | None:
    """The user that ``request`` names, as the host keeps it: as text, whatever it was. None where
    it names none.
    """
    user = _in_body(request) or _in_form(request.query)
    return str(user) if user else None


def _in_body(request: Request) -> object:
    media_type = request.header("content-type", "").partition(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        return next((part.text for part in parts(request.body) if part.name == "user"), None)
    if media_type == "application/x-www-form-urlencoded":
        return _in_form(request.body.decode("latin-1"))
    try:
        said = json.loads(request.body)
    except (ValueError, RecursionError):
        return None
    return said.get("user") if isinstance(said, dict) else None


def _in_form(text: str) -> str | None:
    try:
        return dict(parse_qsl(text, max_num_fields=_MOST_FIELDS)).get("user")
    except ValueError:
        return None
