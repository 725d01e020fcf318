"""The ``files`` of a run, where an app has image upload switched on (FACTS 3, step 10)."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from fake_server.apps import App
from fake_server.errors import HostErrors
from fake_server.operations.call import Host
from fake_server.render import FILE_VARIANT
from fake_server.signing import UPLOADED_IMAGE, FileSigner

_IMAGE = "image"
_REMOTE = "remote_url"
_LOCAL = "local_file"
_METHODS = (_REMOTE, _LOCAL, "tool_file")


class InputFiles:
    """Checks the files that a user of an app sends along."""

    def __init__(self, host: Host, app: App, user: str) -> None:
        self._host = host
        self._app = app
        self._end_user_id = host.end_user_id(app, user)

    def check(self, files: Sequence[Any], image: Mapping[str, Any]) -> list[dict[str, Any]]:
        """``sys.files`` of the run. Raises ``HostError`` for the first file that is wrong."""
        errors = self._host.spec.errors
        for file in files:
            _check_form(file, errors)
        limit = image["number_limits"]
        if len(files) > limit:
            raise errors("files_too_many", limit=limit)
        return [self._transformed(file, image) for file in files]

    def _transformed(self, file: Mapping[str, Any], image: Mapping[str, Any]) -> dict[str, Any]:
        method = file["transfer_method"]
        if method not in image["transfer_methods"]:
            raise self._host.spec.errors("value_error", message=f"Invalid transfer method: {method}")
        return self._remote(file) if method == _REMOTE else self._local(file)

    def _remote(self, file: Mapping[str, Any]) -> dict[str, Any]:
        """The host asks for the URL. A fake sends no request anywhere: it goes by what the URL says of itself."""
        url = urlsplit(file["url"])
        if _only_reachable_from_here(url.hostname or "localhost"):
            raise self._host.spec.errors("file_remote_absent")
        extension = url.path.rpartition(".")[2].lower()
        if extension not in self._host.spec.image_extensions:
            raise self._host.spec.errors("value_error", message="URL exists but is not an image.")
        return self._shown(_REMOTE, url=file["url"])

    def _local(self, file: Mapping[str, Any]) -> dict[str, Any]:
        upload = self._host.store.uploads.get(str(file["upload_file_id"]))
        known = upload and (upload.app_id, upload.end_user_id) == (self._app.app_id, self._end_user_id)
        if not upload or not known or upload.extension.lower() not in self._host.spec.image_extensions:
            raise self._host.spec.errors("file_upload_invalid")
        return self._shown(
            _LOCAL,
            url=self._preview_url(upload.file_id),
            related_id=upload.file_id,
            filename=upload.name,
            extension=f".{upload.extension}",
            mime_type=upload.mime_type,
        )

    def _preview_url(self, file_id: str) -> str:
        settings = self._host.settings
        signer = FileSigner(settings.secret_key, self._host.spec.limits.url_lifetime_s, UPLOADED_IMAGE)
        nonce = self._host.draws.for_request(f"preview|{file_id}").nonce()
        query = signer.query(file_id, int(self._host.clock.now()), nonce)
        return f"{settings.files_url}/files/{file_id}/image-preview?{query}"

    def _shown(self, method: str, url: str, **known: str) -> dict[str, Any]:
        """The host's file object of an input; what is not known of it is null."""
        return {
            "__variant": FILE_VARIANT,
            "tenant_id": self._host.tenant_id,
            "type": _IMAGE,
            "transfer_method": method,
            "url": url,
            **{key: known.get(key) for key in ("related_id", "filename", "extension", "mime_type")},
        }


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
