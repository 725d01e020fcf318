"""Bodies on the disk: side files named by their digest, and a spool for a body that is growing."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from array import array
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from dify_wire.exchange import Chunk
from dify_wire.text_file import RecordingError, reason

FOLDER = "bodies"

PARTIAL = ".partial-"
"""How the names of unfinished files begin, which a killed recorder leaves; nothing reads them."""

IN_MEMORY = 1 << 20
"""Bytes of a growing body that are held in memory; a longer one goes to the disk."""

MOST_BODY_BYTES = 128 << 20
"""The longest body that is recorded, in bytes. A longer one is passed on and left out."""

MOST_CHUNKS = 250_000
"""Chunks of a body that is recorded. One of more is passed on and left out."""

ADVICE = "if it was edited, run contract recordings fix DIR"
_NAME = re.compile(r"bodies/([0-9a-f]{64})\.[a-z0-9]{1,8}")
_READ_BYTES = 1 << 20
_EXTENSIONS = {
    "application/json": "json",
    "image/gif": "gif",
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/svg+xml": "svg",
    "image/webp": "webp",
    "text/event-stream": "sse",
    "text/html": "html",
}


@dataclass(frozen=True, slots=True)
class SideFile:
    """A body in a file of its own: its name in the folder of recordings, and its size."""

    name: str
    size: int


def write_file(folder: Path, pieces: Iterable[bytes]) -> Path:
    """Write ``pieces`` as an unfinished file in ``folder``, flushed to the disk."""
    handle, name = tempfile.mkstemp(prefix=PARTIAL, dir=folder)
    unfinished = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        unfinished.chmod(0o644)
    except BaseException:
        _remove(unfinished)
        raise
    return unfinished


def finish_file(unfinished: Path, path: Path) -> None:
    """Rename an unfinished file to ``path``, whose folder must not be a link."""
    try:
        if not hasattr(os, "O_DIRECTORY"):  # Windows, where a link needs an administrator
            unfinished.replace(path)
            return
        no_link = os.O_NOFOLLOW if path.parent.name == FOLDER else 0
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | no_link)
        try:
            os.replace(unfinished, path.name, dst_dir_fd=folder)
            os.fsync(folder)
        finally:
            os.close(folder)
    except BaseException:
        _remove(unfinished)
        raise


def _remove(unfinished: Path) -> None:
    with suppress(OSError):
        unfinished.unlink(missing_ok=True)


def write_body(folder: Path, pieces: Iterable[bytes], content_type: str) -> SideFile:
    """Write ``pieces`` as a side file of ``folder``, whole or not at all. Raises ``OSError``."""
    (folder / FOLDER).mkdir(exist_ok=True)
    digest, size = hashlib.sha256(), 0

    def hashed() -> Iterator[bytes]:
        nonlocal size
        for piece in pieces:
            digest.update(piece)
            size += len(piece)
            yield piece

    unfinished = write_file(folder, hashed())
    media_type = content_type.partition(";")[0].strip().lower()
    name = f"{FOLDER}/{digest.hexdigest()}.{_EXTENSIONS.get(media_type, 'bin')}"
    finish_file(unfinished, folder / name)
    return SideFile(name, size)


def copy_body(folder: Path, old: str, new: str) -> None:
    """Copy the side file ``old`` of ``folder`` to the name ``new``. Raises ``OSError``."""
    with (folder / old).open("rb") as file:
        unfinished = write_file(folder, iter(lambda: file.read(_READ_BYTES), b""))
    finish_file(unfinished, folder / new)


def check_bodies_folder(folder: Path) -> None:
    """Raise ``RecordingError`` if ``bodies/`` is a link or not a folder."""
    bodies = folder / FOLDER
    if bodies.is_symlink() or (bodies.exists() and not bodies.is_dir()):
        message = "it is a link or no folder, and recordings must not lead out of their folder"
        raise RecordingError(bodies, "the folder", f"{message}; move it away")


def read_body(path: Path, place: str, name: str, size: int) -> bytes:
    """The content of the side file ``name`` of the recording at ``path``.

    Raises ``RecordingError`` for a name outside ``bodies/``, and for a file that is missing, a link
    or changed.
    """

    def fail(message: str) -> RecordingError:
        return RecordingError(path, place, message)

    matched = _NAME.fullmatch(name)
    if matched is None:
        expected = f"{FOLDER}/<sha256>.<ending>"
        raise fail(f"{name!r} is not a valid name of a side file; write {expected}")
    side = path.parent / name
    if side.is_symlink() or side.parent.is_symlink():
        raise fail(f"{name} is a link, and a recording must not lead out of its folder; copy it")
    if side.exists() and not side.is_file():
        raise fail(f"{name} is not a file; put it back, or record again")
    try:
        data = side.read_bytes()
    except OSError as error:
        raise fail(
            f"{name} cannot be read ({reason(error)}); put it back, or record again"
        ) from None
    if len(data) != size or hashlib.sha256(data).hexdigest() != matched[1]:
        sizes = f"{len(data)} of {size} bytes"
        raise fail(f"{name} is not what was recorded ({sizes}); put it back, or {ADVICE}")
    return data


class Spool:
    """A growing body with the times of its chunks: in memory while it is small, then in a file.

    ``add`` raises ``OSError`` if the disk is full. ``exceeded`` says which bound the body exceeds;
    only its ``size`` is known then.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._in_memory: list[bytes] = []
        self._times = array("d")
        self._sizes = array("Q")
        self._file: BinaryIO | None = None
        self._path: Path | None = None
        self.size = 0
        self.exceeded = ""

    @property
    def in_memory(self) -> bool:
        return self._path is None

    def add(self, at_s: float, data: bytes) -> None:
        """Add ``data``, which arrived ``at_s`` seconds after the request was sent."""
        self.size += len(data)
        if self.exceeded:
            return
        if self.size > MOST_BODY_BYTES:
            self._exceed(f"it has more than {MOST_BODY_BYTES >> 20} MiB")
        elif len(self._times) >= MOST_CHUNKS:
            self._exceed(f"it came in more than {MOST_CHUNKS} chunks")
        else:
            self._times.append(at_s)
            self._sizes.append(len(data))
            self._in_memory.append(data)
            if self._path is not None or self.size > IN_MEMORY:
                self._write()

    def chunks(self) -> Iterator[Chunk]:
        """All chunks; each call reads them from the start."""
        if self._path is None:
            yield from map(Chunk, self._times, self._in_memory)
            return
        if self._file is not None:
            self._file.flush()
        with self._path.open("rb") as file:
            for at_s, size in zip(self._times, self._sizes, strict=True):
                yield Chunk(at_s, file.read(size))

    def close(self) -> None:
        """Nothing more is added: another process can read the body."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def discard(self) -> None:
        """Drop the body and remove its file; may be called again."""
        self._in_memory.clear()
        del self._times[:], self._sizes[:]
        try:
            self.close()
        finally:
            path, self._path = self._path, None
            if path is not None:
                path.unlink(missing_ok=True)

    def _exceed(self, why: str) -> None:
        self.discard()
        self.exceeded = why

    def _write(self) -> None:
        """Move what is in memory to the disk."""
        if self._file is None:
            handle, name = tempfile.mkstemp(prefix=PARTIAL, dir=self._folder)
            self._path, self._file = Path(name), os.fdopen(handle, "wb")
        self._file.writelines(self._in_memory)
        self._in_memory.clear()
