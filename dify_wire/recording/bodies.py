"""Side files: bodies that are no text, or too long to read, each named by its digest so that it can
prove itself.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dify_wire.recording.errors import RecordingError
from dify_wire.recording.spool import PARTIAL
from dify_wire.spec_error import reason

FOLDER = "bodies"
_NAME = re.compile(r"bodies/([0-9a-f]{64})\.[a-z0-9]{1,8}")
ADVICE = "if it was edited, run contract recordings fix DIR"
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
    """Write ``pieces`` as a side file of ``folder``, whole or not at all. Raises ``OSError`` where
    the disk refuses.
    """
    bodies = folder / FOLDER
    bodies.mkdir(exist_ok=True)
    digest, sizes = hashlib.sha256(), list[int]()

    def noted() -> Iterator[bytes]:
        for piece in pieces:
            digest.update(piece)
            sizes.append(len(piece))
            yield piece

    temporary = write_unfinished(folder, noted())
    name = f"{FOLDER}/{digest.hexdigest()}.{_extension(content_type)}"
    finish_file(temporary, folder / name)
    return SideFile(name, sum(sizes))


def keep_side_file(folder: Path, old: str, new: str) -> None:
    """Have the side file ``old`` of ``folder`` under the name ``new`` too. Raises ``OSError``."""
    with (folder / old).open("rb") as file:
        temporary = write_unfinished(folder, iter(lambda: file.read(1 << 20), b""))
    finish_file(temporary, folder / new)


def write_unfinished(folder: Path, pieces: Iterable[bytes]) -> Path:
    """Write ``pieces`` to the disk as an unfinished file in ``folder``; where that fails, nothing
    of it is left.
    """
    handle, name = tempfile.mkstemp(prefix=PARTIAL, dir=folder)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
    except BaseException:
        _remove(temporary)
        raise
    return temporary


def finish_file(temporary: Path, path: Path) -> None:
    """Give an unfinished file its name ``path``, in a folder that must not be a link."""
    try:
        folder = os.open(
            path.parent,
            os.O_RDONLY | os.O_DIRECTORY | (os.O_NOFOLLOW if path.parent.name == FOLDER else 0),
        )
        try:
            os.replace(temporary, path.name, dst_dir_fd=folder)
            os.fsync(folder)
        finally:
            os.close(folder)
    except BaseException:
        _remove(temporary)
        raise


def check_bodies_folder(folder: Path) -> None:
    """Raise ``RecordingError`` where side files would leave ``folder``, or have no place in it."""
    bodies = folder / FOLDER
    if bodies.is_symlink() or (bodies.exists() and not bodies.is_dir()):
        message = "it is a link or no folder, and recordings must not lead out of their folder; move it away"
        raise RecordingError(bodies, "the folder", message)


def read_body(path: Path, place: str, name: str, size: int) -> bytes:
    """The side file ``name`` of the recording at ``path``.

    Raises ``RecordingError`` for a name that leads elsewhere, a file that is missing, and one that
    is not what it was.
    """
    matched = _NAME.fullmatch(name)
    if matched is None:
        wanted = f"{FOLDER}/<sha256>.<ending>"
        raise RecordingError(
            path,
            place,
            f"{name!r} is no name of a side file ({wanted}); write the one of its digest",
        )
    side = path.parent / name
    if side.is_symlink() or side.parent.is_symlink():
        raise RecordingError(
            path,
            place,
            f"{name} is a link, and a recording must not lead out of its folder; copy it",
        )
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
            path,
            place,
            f"{name} is not what was recorded ({len(data)} of {size} bytes); put it back, or {ADVICE}",
        )
    return data


def _remove(temporary: Path) -> None:
    with suppress(OSError):
        temporary.unlink(missing_ok=True)


def _extension(content_type: str) -> str:
    return _EXTENSIONS.get(content_type.partition(";")[0].strip().lower(), "bin")
