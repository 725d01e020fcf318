"""The ``files`` of a run, where an app has image upload switched on (FACTS 3, step 10)."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from fake_server.apps import App
from fake_server.errors import HostErrors
from fake_server.events import InputFile
from fake_server.operations.call import Host

_IMAGE = "image"
_REMOTE = "remote_url"
_LOCAL = "local_file"
_METHODS = (_REMOTE, _LOCAL, "tool_file")


class InputFiles:
    """Checks the files that a user of an app sends along."""

    def __init__(self, host: Host, app: App) -> None:
        self._host = host
        self._app = app

    def check(self, user: str, files: Sequence[Any], image: Mapping[str, Any]) -> list[InputFile]:
        """``sys.files`` of the run. Raises ``HostError`` for the first file that is wrong."""
        errors = self._host.spec.errors
        for file in files:
            _check_form(file, errors)
        limit = image["number_limits"]
        if len(files) > limit:
            raise errors("files_too_many", limit=limit)
        end_user_id = self._host.end_user_id(self._app, user)
        return [self._transformed(file, end_user_id, image) for file in files]

    def _transformed(self, file: Mapping[str, Any], end_user_id: str, image: Mapping[str, Any]) -> InputFile:
        method = file["transfer_method"]
        if method not in image["transfer_methods"]:
            raise self._host.spec.errors("file_method_refused", method=method)
        return self._remote(file) if method == _REMOTE else self._local(file, end_user_id)

    def _remote(self, file: Mapping[str, Any]) -> InputFile:
        """The host asks for the URL. A fake sends no request anywhere: it goes by what the URL says of itself."""
        url = urlsplit(file["url"])
        if _only_reachable_from_here(url.hostname or "localhost"):
            raise self._host.spec.errors("file_remote_absent")
        extension = url.path.rpartition(".")[2].lower()
        if extension not in self._host.spec.image_extensions:
            raise self._host.spec.errors("file_remote_no_image")
        return InputFile(_REMOTE, url=file["url"])

    def _local(self, file: Mapping[str, Any], end_user_id: str) -> InputFile:
        upload = self._host.store.uploads.get(str(file["upload_file_id"]))
        known = upload and (upload.app_id, upload.end_user_id) == (self._app.app_id, end_user_id)
        if not upload or not known or upload.extension.lower() not in self._host.spec.image_extensions:
            raise self._host.spec.errors("file_upload_invalid")
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


def _only_reachable_from_here(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _check_url(url: Any, errors: HostErrors) -> None:
    if not url:
        raise errors("file_url_missing")
    if not isinstance(url, str):
        raise errors("internal_error")
    if not url.startswith("http"):
        raise errors("file_url_invalid")
