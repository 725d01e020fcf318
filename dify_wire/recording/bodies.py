"""Side files: bodies that are no text, or too long to read, each named by its digest so that it can prove itself."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dify_wire.recording.errors import RecordingError
from dify_wire.recording.spool import PARTIAL
from dify_wire.spec_error import reason

FOLDER = "bodies"
_NAME = re.compile(r"bodies/([0-9a-f]{64})\.[a-z0-9]{1,8}")
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
    """A kept body: its name in the folder of recordings, and how many bytes it has."""

    name: str
    size: int


def keep_body(folder: Path, pieces: Iterable[bytes], content_type: str) -> SideFile:
    """Write ``pieces`` as a side file of ``folder``, whole or not at all. Raises ``OSError`` where the disk refuses."""
    bodies = folder / FOLDER
    bodies.mkdir(exist_ok=True)
    digest, size = hashlib.sha256(), 0
    handle, temporary = tempfile.mkstemp(prefix=PARTIAL, dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            for piece in pieces:
                digest.update(piece)
                size += len(piece)
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        name = f"{FOLDER}/{digest.hexdigest()}.{_extension(content_type)}"
        Path(temporary).chmod(0o644)
        Path(temporary).replace(folder / name)
    except BaseException:
        with suppress(OSError):
            Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(bodies)
    return SideFile(name, size)


def read_body(path: Path, place: str, name: str, size: int) -> bytes:
    """The side file ``name`` of the recording at ``path``.

    Raises ``RecordingError`` for a name that leads elsewhere, a file that is missing, and one that is not what it was.
    """
    matched = _NAME.fullmatch(name)
    if matched is None:
        wanted = f"{FOLDER}/<sha256>.<ending>"
        raise RecordingError(path, place, f"{name!r} is no name of a side file ({wanted}); write the one of its digest")
    side = path.parent / name
    if side.is_symlink() or side.parent.is_symlink():
        raise RecordingError(path, place, f"{name} is a link, and a recording must not lead out of its folder; copy it")
    if side.exists() and not side.is_file():
        raise RecordingError(path, place, f"{name} is no file; put it back, or record again")
    try:
        data = side.read_bytes()
    except OSError as error:
        raise RecordingError(
            path, place, f"{name} cannot be read ({reason(error)}); put it back, or record again"
        ) from None
    if len(data) != size or hashlib.sha256(data).hexdigest() != matched[1]:
        raise RecordingError(
            path, place, f"{name} is not what was recorded ({len(data)} of {size} bytes); put it back, or record again"
        )
    return data


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` outlive a crash of the machine."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _extension(content_type: str) -> str:
    return _EXTENSIONS.get(content_type.partition(";")[0].strip().lower(), "bin")
