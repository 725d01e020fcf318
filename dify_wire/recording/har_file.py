"""The file of an HTTP Archive (HAR 1.2): written, and read as JSON or from a zip that
holds it, with bodies in files beside it.

What HAR has no place for is in fields that begin with an underscore, as HAR asks: ``_chunks`` lists
which bytes arrived when, ``_recording`` holds the rest, so that an import gives the recording back.
Playwright writes bodies into files of their own (``content: "attach"``), which ``_file`` names.
"""

from __future__ import annotations

import base64
import datetime
import json
import math
import zipfile
import zlib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qsl

from dify_wire.exchange import Headers, Recording, Shortened
from dify_wire.recording.bodies import MOST_BODY_BYTES
from dify_wire.text_file import RecordingError, reason

MOST_ARCHIVE_BYTES = 256 << 20
"""The longest archive that is read, in bytes of its JSON."""

_LONGEST_NUMBER = 300
_ZIP_ERRORS = (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error)
_UNKNOWN_SIZE = -1


# Writing


def to_har(recordings: Iterable[Recording]) -> dict[str, Any]:
    """``recordings`` as the content of an archive."""
    try:
        program = version("fake-dify")
    except PackageNotFoundError:
        program = "0"
    creator = {"name": "fake-dify", "version": program}
    entries = [_entry(recording) for recording in recordings]
    return {"log": {"version": "1.2", "creator": creator, "entries": entries}}


def _entry(recording: Recording) -> dict[str, Any]:
    began = datetime.datetime.fromtimestamp(recording.sent_at, datetime.UTC)
    wait_s = min((chunk.at_s for chunk in recording.chunks), default=recording.seconds)
    wait_ms, receive_ms = wait_s * 1000, max(0.0, recording.seconds - wait_s) * 1000
    request = recording.request
    return {
        "startedDateTime": began.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "time": wait_ms + receive_ms,
        "request": _request(recording),
        "response": _response(recording),
        "cache": {},
        "timings": {"send": 0, "wait": wait_ms, "receive": receive_ms},
        "_recording": {
            "name": recording.name,
            "app": recording.app,
            "note": recording.note,
            "recorded_at": recording.sent_at,
            "host": recording.host,
            "host_version": recording.host_version,
            "target": request.target,
            "chunk_sizes": list(request.chunk_sizes),
            "request_shortened_from": _shortened(request.shortened),
            "shortened_from": _shortened(recording.shortened),
            "seconds": recording.seconds,
            "ended": recording.ended,
            "redacted": list(recording.redacted),
        },
    }


def _shortened(shortened: Shortened | None) -> dict[str, Any] | None:
    return None if shortened is None else {"bytes": shortened.size, "sha256": shortened.sha256}


def _request(recording: Recording) -> dict[str, Any]:
    request = recording.request
    har: dict[str, Any] = {
        "method": request.method,
        "url": recording.host + request.target,
        "httpVersion": f"HTTP/{request.http_version}",
        "cookies": _cookies(request.headers, "cookie"),
        "headers": _pairs(request.headers),
        "queryString": _pairs(parse_qsl(request.query, keep_blank_values=True)),
        "headersSize": _UNKNOWN_SIZE,
        "bodySize": len(request.body),
    }
    if request.body:
        text, is_base64 = _text(request.body)
        media_type = request.header("content-type", "")
        har["postData"] = {"mimeType": media_type, "params": [], "text": text}
        if is_base64:
            har["postData"]["_encoding"] = "base64"
    return har


def _response(recording: Recording) -> dict[str, Any]:
    text, is_base64 = _text(recording.body)
    size = len(recording.body)
    content = {"size": size, "mimeType": recording.header("content-type", ""), "text": text}
    return {
        "status": recording.status,
        "statusText": recording.reason,
        "httpVersion": f"HTTP/{recording.request.http_version}",
        "cookies": _cookies(recording.headers, "set-cookie"),
        "headers": _pairs(recording.headers),
        "content": content | ({"encoding": "base64"} if is_base64 else {}),
        "redirectURL": recording.header("location", ""),
        "headersSize": _UNKNOWN_SIZE,
        "bodySize": size,
        "_chunks": [[chunk.at_s, len(chunk.data)] for chunk in recording.chunks],
    }


def _pairs(pairs: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in pairs]


def _cookies(headers: Headers, name: str) -> list[dict[str, str]]:
    cookies: list[tuple[str, str]] = []
    for value in (value for key, value in headers if key.lower() == name):
        pairs = value.split(";")[:1] if name == "set-cookie" else value.split(";")
        for cookie, equals, text in (pair.partition("=") for pair in pairs):
            if equals:
                cookies.append((cookie.strip(), text.strip()))
    return _pairs(cookies)


def _text(data: bytes) -> tuple[str, bool]:
    """``data`` as text, or in base64."""
    try:
        return data.decode(), False
    except UnicodeDecodeError:
        return base64.b64encode(data).decode(), True


# Reading


class AttachmentError(Exception):
    """A body in a file of its own cannot be read; the text says why."""


class Archive:
    """The file of an archive and those beside it. Raises ``RecordingError``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._in_zip = self._name_in_zip()

    def error(self, place: str, message: str) -> RecordingError:
        return RecordingError(self.path, place, message)

    def entries(self) -> list[Any]:
        try:
            data = json.loads(self._text(), parse_int=_integer)
        except RecursionError:
            raise self._not_json("it is nested too deeply") from None
        except _ZIP_ERRORS as error:
            message = f"it cannot be read ({_reason(error)}); give the path of a HAR file"
            raise self.error("the file", message) from None
        except ValueError as error:
            raise self._not_json(str(error)) from None
        log = data.get("log") if isinstance(data, dict) else None
        entries = log.get("entries") if isinstance(log, dict) else None
        if not isinstance(entries, list):
            message = "there is no such list, so this is not a HAR file; give the path of one"
            raise self.error("log.entries", message)
        return entries

    def attached(self, name: object) -> bytes:
        """The body in the file ``name`` beside the archive. Raises ``AttachmentError``."""
        is_name = isinstance(name, str) and name not in ("", ".", "..")
        if not isinstance(name, str) or not is_name or any(one in name for one in "/\\\0"):
            raise AttachmentError(f"its file {name!r} is not a file name beside the archive")
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
        if self._in_zip:
            return self._from_zip(str(PurePosixPath(self._in_zip).with_name(name)), MOST_BODY_BYTES)
        path = self.path.parent / name
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise AttachmentError(f"its file {name} is a link, or not a file")
        with path.open("rb") as file:
            return file.read(MOST_BODY_BYTES + 1)

    def _from_zip(self, name: str, most: int) -> bytes:
        with zipfile.ZipFile(self.path) as archive, archive.open(name) as file:
            return file.read(most + 1)

    def _text(self) -> str:
        if self._in_zip:
            data = self._from_zip(self._in_zip, MOST_ARCHIVE_BYTES)
        else:
            with self.path.open("rb") as file:
                data = file.read(MOST_ARCHIVE_BYTES + 1)
        if len(data) > MOST_ARCHIVE_BYTES:
            size = MOST_ARCHIVE_BYTES >> 20
            message = f"it has more than {size} MiB; export fewer requests, or attach the bodies"
            raise self.error("the file", message)
        return data.decode("utf-8-sig")

    def _not_json(self, why: str) -> RecordingError:
        return self.error("the file", f"this is not JSON ({why}); export the archive again")

    def _name_in_zip(self) -> str:
        """The name of the archive inside a zip; empty if ``path`` is not a zip."""
        try:
            if not self.path.is_file() or not zipfile.is_zipfile(self.path):
                return ""
            with zipfile.ZipFile(self.path) as archive:
                names = [name for name in archive.namelist() if name.lower().endswith(".har")]
        except _ZIP_ERRORS:
            return ""
        if len(names) == 1:
            return names[0]
        message = f"this zip holds {len(names)} files that end in .har, and one is needed"
        raise self.error("the file", f"{message}; give the path of a HAR file")


def _integer(digits: str) -> int | float:
    """Beyond any use it is infinite, which its own field rejects, and not the whole file."""
    return int(digits) if len(digits) <= _LONGEST_NUMBER else math.inf


def _reason(error: BaseException) -> str:
    return reason(error) if isinstance(error, OSError) else str(error) or type(error).__name__
