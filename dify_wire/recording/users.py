"""Who asks, as the host finds out."""

from __future__ import annotations

import json
import re
from urllib.parse import parse_qsl

from dify_wire.recording.exchange import RecordedRequest

_PART = re.compile(rb'name="user"[^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n(.*?)(?=\r\n--)', re.DOTALL)


def user_of(request: RecordedRequest) -> str | None:
    """The user that ``request`` names, as the host keeps it: as text, whatever it was. None where it names none."""
    user = _in_body(request) or dict(parse_qsl(request.query)).get("user")
    return str(user) if user else None


def _in_body(request: RecordedRequest) -> object:
    media_type = request.header("content-type").partition(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        part = _PART.search(request.body)
        return part[1].decode("utf-8", "replace") if part else None
    if media_type == "application/x-www-form-urlencoded":
        return dict(parse_qsl(request.body.decode("latin-1"))).get("user")
    try:
        said = json.loads(request.body)
    except (ValueError, RecursionError):
        return None
    return said.get("user") if isinstance(said, dict) else None
