"""The files of a request on the older versions: images alone, and only for an app that takes them.

FACTS 3, step 10.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from fake_server.host_spec import HostErrors, HostSpec
from fake_server.runs.file_sources import FileSources, Owner, unusable
from fake_server.runs.run_body import check_storable, database_uuid
from fake_server.runs.values import InputFile

_IMAGE = "image"
_REMOTE = "remote_url"
_LOCAL = "local_file"
_ID_NOT_STRING = (
    "1 validation error for FileVar\nrelated_id\n  str type expected (type=type_error.str)"
)


def input_images(
    files: Sequence[Any],
    image: Mapping[str, Any],
    owner: Owner,
    sources: FileSources,
    spec: HostSpec,
) -> list[InputFile]:
    """``sys.files`` of a run, given the image part of the app's upload feature.

    Raises ``HostError`` for the first file that is wrong.
    """
    errors = spec.errors
    for file in files:
        _check_form(file, spec)
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
            found.append(_remote(file["url"], sources, errors))
        else:
            found.append(_local(file, owner, sources, spec))
    return found


def _remote(address: str, sources: FileSources, errors: HostErrors) -> InputFile:
    """The host requests the URL. The fake sends no request, and looks at the URL alone."""
    if reason := unusable(address):
        raise errors("file_remote_unchecked", reason=reason, address=address)
    for refuse in sources.faults:
        raise refuse(address, errors)
    declared = sources.remote.get(address)
    if declared.absent if declared else _only_reachable_from_here(address):
        raise errors("file_remote_absent")
    return InputFile(_REMOTE, url=address)


def _local(
    file: Mapping[str, Any], owner: Owner, sources: FileSources, spec: HostSpec
) -> InputFile:
    errors = spec.errors
    file_id = str(file["upload_file_id"])
    check_storable(file_id, errors)
    upload_id = database_uuid(file_id)
    if upload_id is None:
        raise errors("internal_server_error")
    upload = sources.upload(upload_id, owner, shared=False)
    if not upload or upload.extension.lower() not in spec.image_extensions:
        raise errors("file_upload_invalid")
    return InputFile(
        _LOCAL,
        file_id=upload.file_id,
        filename=upload.name,
        extension=f".{upload.extension}",
        mime_type=upload.mime_type,
    )


def _check_form(file: Any, spec: HostSpec) -> None:
    errors = spec.errors
    if not isinstance(file, dict):
        raise errors("file_not_dict")
    if not file.get("type"):
        raise errors("file_type_missing")
    if file["type"] != _IMAGE:
        raise errors("file_type_unknown", value=file["type"])
    method = file.get("transfer_method")
    if not method:
        raise errors("file_method_missing")
    if method not in spec.input_files.methods:
        raise errors("file_type_unknown", value=method)
    if method == _REMOTE:
        _check_url(file.get("url"), errors)
    if method == _LOCAL and not file.get("upload_file_id"):
        raise errors("file_upload_id_missing")


def _check_url(url: Any, errors: HostErrors) -> None:
    if not url:
        raise errors("file_url_missing")
    if not isinstance(url, str):
        raise errors("internal_server_error")
    if not url.startswith("http"):
        raise errors("file_url_invalid")


def _only_reachable_from_here(address: str) -> bool:
    host = urlsplit(address).hostname or "localhost"
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
