"""Where the files that a request names may come from: uploads, images of runs, and the network.

The fake sends no request anywhere. What it knows of a file at a URL is the URL itself, and what
``remote_files`` of the app's file says.
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Callable, Mapping, Sequence
from posixpath import basename
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit
from zlib import crc32

from fake_server.host_spec import HostError, HostErrors
from fake_server.runs.random_values import uuid4_for
from fake_server.workflow.model import RemoteFile

if TYPE_CHECKING:
    from fake_server.store import StoredImage, Upload

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+-]*):")
_DEAD_PORTS = (0, 1, 9)
"""Ports where no server listens, which tests use for that [C: types_f_20]."""

_SIZES = 1 << 20
"""A file without a declared size gets one below this, which depends on its URL."""

_TYPES = mimetypes.MimeTypes()
"""Python's own table, without that of the machine."""

_NONE: Mapping[str, Any] = {}

Fault = Callable[[str, HostErrors], HostError]


class Owner(NamedTuple):
    """The end user of one app."""

    app_id: str
    end_user_id: str


class FileSources(NamedTuple):
    """What a server has of files. ``faults`` reject an address in the name of a scenario."""

    uploads: Mapping[str, Upload] = _NONE
    images: Mapping[str, StoredImage] = _NONE
    remote: Mapping[str, RemoteFile] = _NONE
    faults: Sequence[Fault] = ()

    def upload(self, file_id: str, owner: Owner, *, shared: bool) -> Upload | None:
        """The upload of that id, if ``owner`` may name it."""
        upload = self.uploads.get(file_id)
        if upload is None or shared:
            return upload
        return upload if (upload.app_id, upload.end_user_id) == owner else None


class RemoteInfo(NamedTuple):
    """What the host learns of a file before it is read; an error page has a size of -1."""

    filename: str
    extension: str
    mime_type: str
    size: int


def remote_info(address: str, sources: FileSources, errors: HostErrors) -> RemoteInfo:
    """The file at ``address``. Raises ``HostError`` where the host cannot connect.

    An error page at the address is no error: the name then gives the type [C: types_f_19].
    """
    declared = sources.remote.get(address, RemoteFile())
    reason = unusable(address) or ("" if _alive(address) else "Connection refused")
    absent = declared.absent
    for fault in sources.faults:
        error = fault(address, errors)
        absent = absent or error.name == "file_remote_absent"
        reason = reason or ("" if absent else str(error))
    if declared.unreachable or (reason and address not in sources.remote):
        raise errors("file_remote_unchecked", reason=reason, address=address)
    name = unquote(basename(urlsplit(address).path))
    if declared.filename and not absent:
        name = declared.filename
    mime_type = _TYPES.guess_type(name)[0] or ""
    if not absent:
        mime_type = mime_type or declared.mime_type or ""
    extension = _TYPES.guess_extension(mime_type) if mime_type else None
    if extension is None:
        extension = f".{name.rpartition('.')[2]}" if "." in name else ".bin"
    name = name or f"{uuid4_for('remote file', address).replace('-', '')}{extension}"
    size = (
        crc32(address.encode("utf-8", "surrogatepass")) % _SIZES
        if declared.size is None
        else declared.size
    )
    return RemoteInfo(name, extension, mime_type, -1 if absent else size)


def unusable(address: str) -> str | None:
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


def _alive(address: str) -> bool:
    """Whether a server may respond at a usable ``address``: not at a dead port, nor under a name
    that RFC 2606 keeps free.
    """
    url = urlsplit(address)
    return url.port not in _DEAD_PORTS and not (url.hostname or "").endswith(".invalid")
