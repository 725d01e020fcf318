"""What the host would find at URLs that users send: ``remote_files`` of an app's file.

The fake sends no request, so an app's file can say what is there:
``remote_files: {URL: {mime_type, size, filename}}``, or ``absent`` or ``unreachable`` in place of
the mapping.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from dify_wire.strict import Field
from fake_server.workflow.model import RemoteFile

_ABSENT, _UNREACHABLE = "absent", "unreachable"
_LARGEST = 2**40


def read_remote_files(
    field: Field, collected: Callable[[], AbstractContextManager[None]]
) -> Mapping[str, RemoteFile]:
    """The entries of ``field`` by URL; ``collected`` keeps the error of one that is wrong."""
    files = {}
    for url, entry in field.items():
        with collected():
            files[url] = _remote_file(entry)
    return files


def _remote_file(entry: Field) -> RemoteFile:
    if isinstance(entry.value, str):
        word = entry.choice((_ABSENT, _UNREACHABLE), "word for a file")
        return RemoteFile(absent=word == _ABSENT, unreachable=word == _UNREACHABLE)
    entry.only("mime_type", "size", "filename")
    mime_type, size, filename = (entry.get(name) for name in ("mime_type", "size", "filename"))
    return RemoteFile(
        filename=filename.text() if filename else None,
        mime_type=mime_type.text() if mime_type else None,
        size=size.whole(0, _LARGEST) if size else None,
    )
