"""The ``files`` of a run, where an app has image upload switched on (FACTS 3, step 10)."""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from fake_server.host_state import HostState
from fake_server.http.errors import HostErrors
from fake_server.http.request import Request
from fake_server.runs.events import InputFile
from fake_server.runs.random_values import end_user_id
from fake_server.runs.request import check_storable
from fake_server.scenarios.effects import Effects
from fake_server.workflow.model import App

_IMAGE = "image"
_REMOTE = "remote_url"
_LOCAL = "local_file"
_ID_NOT_STRING = (
    "1 validation error for FileVar\nrelated_id\n  str type expected (type=type_error.str)"
)
_DATABASE_UUID = re.compile(r"(?i)(\{)?(?:[0-9a-f]{4}-?){7}[0-9a-f]{4}(?(1)\})")
"""What PostgreSQL accepts as a UUID."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+-]*):")
_METHODS = (_REMOTE, _LOCAL, "tool_file")


def input_files(
    request: Request, app: App, user: str, files: Sequence[Any], image: Mapping[str, Any]
) -> list[InputFile]:
    """``sys.files`` of a run. Raises ``HostError`` for the first file that is wrong."""
    errors = request.spec.errors
    for file in files:
        _check_form(file, errors)
    for file in files:
        if file["transfer_method"] == _LOCAL and isinstance(file["upload_file_id"], list | dict):
            raise errors("value_error", message=_ID_NOT_STRING)
    limit = image["number_limits"]
    if len(files) > limit:
        raise errors("files_too_many", limit=limit)
    found = []
    for file in files:
        method = file["transfer_method"]
        if method not in image["transfer_methods"]:
            raise errors("file_method_refused", method=method)
        if method == _REMOTE:
            found.append(_remote(file["url"], request.effects, errors))
        else:
            found.append(_local(file, request.host, app, end_user_id(app.app_id, user)))
    return found


def _remote(address: str, effects: Effects, errors: HostErrors) -> InputFile:
    """The host requests the URL. The fake sends no request anywhere: it goes by the URL alone."""
    if reason := _unusable(address):
        raise errors("file_remote_unchecked", reason=reason)
    for refuse in effects.remote_file:
        raise refuse(address, errors)
    if _only_reachable_from_here(urlsplit(address).hostname or "localhost"):
        raise errors("file_remote_absent")
    return InputFile(_REMOTE, url=address)


def _local(file: Mapping[str, Any], host: HostState, app: App, owner: str) -> InputFile:
    errors = host.spec.errors
    file_id = str(file["upload_file_id"])
    check_storable(file_id, errors)
    if not _DATABASE_UUID.fullmatch(file_id):
        raise errors("internal_server_error")
    upload = host.store.uploads.get(str(uuid.UUID(file_id)))
    if (
        not upload
        or (upload.app_id, upload.end_user_id) != (app.app_id, owner)
        or upload.extension.lower() not in host.spec.image_extensions
    ):
        raise errors("file_upload_invalid")
    return InputFile(
        _LOCAL,
        file_id=upload.file_id,
        filename=upload.name,
        extension=f".{upload.extension}",
        mime_type=upload.mime_type,
    )


def _check_form(file: Any, errors: HostErrors) -> None:
    if not isinstance(file, dict):
        raise errors("file_not_dict")
    if not file.get("type"):
        raise errors("file_type_missing")
    if file["type"] != _IMAGE:
        raise errors("file_type_unknown", value=file["type"])
    method = file.get("transfer_method")
    if not method:
        raise errors("file_method_missing")
    if method not in _METHODS:
        raise errors("file_type_unknown", value=method)
    if method == _REMOTE:
        _check_url(file.get("url"), errors)
    if method == _LOCAL and not file.get("upload_file_id"):
        raise errors("file_upload_id_missing")


def _unusable(address: str) -> str | None:
    """Why the host's client, requests, cannot ask for ``address`` at all; None where it can."""
    scheme = _SCHEME.match(address)
    if not scheme:
        return f"Invalid URL {address!r}: No scheme supplied. Perhaps you meant https://{address}?"
    try:
        url = urlsplit(address)
        host, _ = url.hostname, url.port
    except ValueError:
        return f"Failed to parse: {address}"
    if not host:
        return f"Invalid URL {address!r}: No host supplied"
    if host.startswith(("*", ".")):
        return "URL has an invalid label."
    if scheme[1].lower() not in ("http", "https"):
        return f"No connection adapters were found for {address!r}"
    return None


def _only_reachable_from_here(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _check_url(url: Any, errors: HostErrors) -> None:
    if not url:
        raise errors("file_url_missing")
    if not isinstance(url, str):
        raise errors("internal_server_error")
    if not url.startswith("http"):
        raise errors("file_url_invalid")
