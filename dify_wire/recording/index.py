"""Recordings that have been read before, remembered beside them: to read YAML takes long.

An index is only trusted for a file that has not changed since, by its size and the times of its
content and of its entry in the folder, and never for one that was written while the index was. What
cannot be trusted, read or written is done without.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from dify_wire.exchange import Chunk, Headers, Recording, Request, Shortened
from dify_wire.recording.bodies import write_file

FOLDER = ".fake-dify"
"""Holds the index; Git ignores it, and so do all readers of recordings."""

_FILE = "recordings.json"
_FORMAT = 1
"""To be raised with each change of what a recording may be, and of this file."""

_WORTH = 100
"""An index is written once so many recordings had to be read."""

_RACY_NS = 2_000_000_000
"""A file that changed so shortly before it was read might change again in the same tick."""


class Index:
    """The index of ``folder``; ``read`` reads a recording that it does not have, and says whether
    all of it is in that file.
    """

    def __init__(self, folder: Path, read: Callable[[Path], tuple[Recording, bool]]) -> None:
        self._folder = folder
        self._read = read
        self._known = _loaded(folder / FOLDER / _FILE)
        self._seen: dict[str, Any] = {}
        self._new = 0

    def recording(self, path: Path) -> Recording:
        """The recording at ``path``. Raises what ``read`` raises."""
        stamp = _stamp(path)
        with suppress(LookupError, TypeError, ValueError):  # not an index as it is written here
            known = self._known[path.name]
            if known[0] == stamp:
                made = _recording(known[1])
                self._seen[path.name] = known
                return made
        made, is_whole = self._read(path)
        is_old = stamp is not None and stamp[1] < time.time_ns() - _RACY_NS
        if is_whole and is_old and stamp == _stamp(path):
            self._seen[path.name] = [stamp, _data(made)]
        self._new += is_whole
        return made

    def save(self) -> None:
        """Write what was read, where that is worth it and the folder lets itself be written."""
        if self._new < _WORTH:
            return
        text = json.dumps([_FORMAT, self._seen], ensure_ascii=False, separators=(",", ":"))
        data = text.encode("utf-8", "surrogatepass")
        folder = self._folder / FOLDER
        with suppress(OSError):
            folder.mkdir(exist_ok=True)
            (folder / ".gitignore").write_text("*\n")
            digest = hashlib.sha256(data).hexdigest().encode()
            write_file(folder, [digest, b"\n", data]).replace(folder / _FILE)


def _loaded(path: Path) -> dict[str, Any]:
    """What an index holds; nothing where it is damaged, or of another format."""
    try:
        digest, _, data = path.read_bytes().partition(b"\n")
        if hashlib.sha256(data).hexdigest().encode() != digest:
            return {}
        found = json.loads(data.decode("utf-8", "surrogatepass"))
    except (OSError, ValueError):
        return {}
    match found:
        case [int(version), dict(recordings)] if version == _FORMAT:
            return recordings
    return {}


# A file's stamp, and a recording as JSON: bytes are text of as many characters.


def _stamp(path: Path) -> list[int] | None:
    """Size, times and number of the file; None where there is none."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _data(made: Recording) -> list[Any]:
    request = made.request
    return [
        made.name,
        made.app,
        made.note,
        made.sent_at,
        made.host,
        made.host_version,
        made.redacted,
        made.number,
        [
            request.method,
            request.target,
            request.headers,
            request.body.decode("latin-1"),
            request.http_version,
            request.chunk_sizes,
            request.shortened,
        ],
        made.status,
        made.reason,
        made.headers,
        [(chunk.at_s, chunk.data.decode("latin-1")) for chunk in made.chunks],
        made.seconds,
        made.ended,
        made.shortened,
    ]


def _recording(data: list[Any]) -> Recording:
    (
        name, app, note, sent_at, host, host_version, redacted, number, request, status, reason,
        headers, chunks, seconds, ended, shortened,
    ) = data  # fmt: skip
    method, target, sent_headers, body, http_version, chunk_sizes, sent_shortened = request
    return Recording(
        name=name,
        app=app,
        note=note,
        sent_at=sent_at,
        host=host,
        host_version=host_version,
        redacted=tuple(redacted),
        number=number,
        request=Request(
            method,
            target,
            _headers(sent_headers),
            body.encode("latin-1"),
            http_version,
            tuple(chunk_sizes),
            sent_shortened and Shortened(*sent_shortened),
        ),
        status=status,
        reason=reason,
        headers=_headers(headers),
        chunks=tuple([Chunk(at_s, text.encode("latin-1")) for at_s, text in chunks]),
        seconds=seconds,
        ended=ended,
        shortened=shortened and Shortened(*shortened),
    )


def _headers(pairs: list[list[str]]) -> Headers:
    return tuple([(name, value) for name, value in pairs])
