"""The file of an HTTP Archive: JSON, or a zip that holds it, with bodies in files of their own
beside it.

Playwright writes the last two (``content: "attach"``): ``_file`` names the file of a body.
"""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

from dify_wire.recording.errors import RecordingError
from dify_wire.recording.spool import MOST_BODY_BYTES
from dify_wire.spec_error import reason

MOST_ARCHIVE_BYTES = 256 << 20
"""The longest archive that is read, in bytes of its JSON."""

_LONGEST_NUMBER = 300
_ZIP_ERRORS = (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error)


class AttachmentError(Exception):
    """A body that lies in a file of its own cannot be read; the text says why."""


class HarArchive:
    """The archive at ``path``. Raises ``RecordingError`` for a file that is none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._har_in_zip = _har_in_zip(path)
        self.entries = self._read_entries()

    def attached(self, name: object) -> bytes:
        """The body in the file ``name``, which is in the archive's own folder. Raises
        ``AttachmentError``.
        """
        if (
            not isinstance(name, str)
            or name in ("", ".", "..")
            or any(letter in name for letter in "/\\\0")
        ):
            raise AttachmentError(f"its file {name!r} is no name of a file beside the archive")
        try:
            data = self._file_beside(name)
        except KeyError:
            raise AttachmentError(f"its file {name} is not in the archive") from None
        except _ZIP_ERRORS as error:
            raise AttachmentError(f"its file {name} cannot be read ({_reason(error)})") from None
        if len(data) > MOST_BODY_BYTES:
            raise AttachmentError(f"its file {name} has more than {MOST_BODY_BYTES >> 20} MiB")
        return data

    def _file_beside(self, name: str) -> bytes:
        if self._har_in_zip:
            member = str(PurePosixPath(self._har_in_zip).with_name(name))
            with zipfile.ZipFile(self.path) as archive, archive.open(member) as file:
                return file.read(MOST_BODY_BYTES + 1)
        file_path = self.path.parent / name
        if file_path.is_symlink() or (file_path.exists() and not file_path.is_file()):
            raise AttachmentError(f"its file {name} is a link or no file")
        with file_path.open("rb") as plain:
            return plain.read(MOST_BODY_BYTES + 1)

    def _read_entries(self) -> list[Any]:
        try:
            said = json.loads(self._text(), parse_int=_number)
        except _ZIP_ERRORS as error:
            if isinstance(error, RecursionError):
                raise self._no_json("it is nested too deeply") from None
            message = f"it cannot be read ({_reason(error)}); give the path of a HAR file"
            raise RecordingError(self.path, "the file", message) from None
        except ValueError as error:
            raise self._no_json(str(error)) from None
        log = said.get("log") if isinstance(said, dict) else None
        entries = log.get("entries") if isinstance(log, dict) else None
        if not isinstance(entries, list):
            message = "there is no such list, so this is no HAR; give the path of one"
            raise RecordingError(self.path, "log.entries", message)
        return entries

    def _text(self) -> str:
        if self._har_in_zip:
            with zipfile.ZipFile(self.path) as archive, archive.open(self._har_in_zip) as member:
                return self._bounded(member).decode("utf-8-sig")
        with self.path.open("rb") as file:
            return self._bounded(file).decode("utf-8-sig")

    def _bounded(self, file: Any) -> bytes:
        data: bytes = file.read(MOST_ARCHIVE_BYTES + 1)
        if len(data) > MOST_ARCHIVE_BYTES:
            message = f"it has more than {MOST_ARCHIVE_BYTES >> 20} MiB; export fewer requests, or attach the bodies"
            raise RecordingError(self.path, "the file", message)
        return data

    def _no_json(self, why: str) -> RecordingError:
        return RecordingError(
            self.path, "the file", f"this is no JSON ({why}); export the archive again"
        )


def _har_in_zip(path: Path) -> str:
    """The name of the archive inside a zip; empty where ``path`` is no zip that holds one."""
    try:
        if not path.is_file() or not zipfile.is_zipfile(path):
            return ""
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.lower().endswith(".har")]
    except _ZIP_ERRORS:
        return ""
    if len(names) == 1:
        return names[0]
    message = f"this zip holds {len(names)} files that end in .har, and one is needed; give the path of a HAR file"
    raise RecordingError(path, "the file", message)


def _number(digits: str) -> int | float:
    """An integer; beyond every use it is infinite, which its field refuses, and not the whole
    file.
    """
    return int(digits) if len(digits) <= _LONGEST_NUMBER else math.inf


def _reason(error: BaseException) -> str:
    return reason(error) if isinstance(error, OSError) else str(error) or type(error).__name__
