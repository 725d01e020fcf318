"""Makes recordings that were edited by hand consistent: lengths, sizes of chunks, digests.

What was edited stays; what counts it follows. Nothing is written unless the whole recording can be
read afterwards.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dify_wire.recording.bodies import FOLDER, check_bodies_folder, copy_body
from dify_wire.recording.document import NO_BODY, recording
from dify_wire.recording.folder import RecordingWriter, load_document, recording_files
from dify_wire.text_file import RecordingError, SpecError

_READ_BYTES = 1 << 20
_LENGTH = re.compile(r"[0-9]{1,15}")


@dataclass(slots=True)
class Fixed:
    """What was or would be fixed, by file; ``failed`` are recordings that cannot be fixed."""

    changes: dict[Path, list[str]] = field(default_factory=dict)
    failed: list[SpecError] = field(default_factory=list)


def fix_folder(folder: Path, check: bool = False) -> Fixed:
    """Fix the recordings in ``folder``; with ``check`` nothing is written.

    Raises ``RecordingError`` if the folder cannot be read or written, ``OSError`` from the disk.
    """
    check_bodies_folder(folder)
    files = recording_files(folder)
    if not files:
        message = "there is no recording in it; name a folder that holds some"
        raise RecordingError(folder, "the folder", message)
    side_files = _SideFiles(folder)
    if check:
        return _fix_all(files, side_files, None)
    with RecordingWriter(folder) as writer:
        fixed = _fix_all(files, side_files, writer.replace)
        if not fixed.failed:  # else one of them may still need a file under its old name
            side_files.remove_old_names()
    return fixed


def _fix_all(
    files: Iterable[Path],
    side_files: _SideFiles,
    write: Callable[[Path, dict[str, Any]], None] | None,
) -> Fixed:
    fixed = Fixed()
    for path in files:
        try:
            fix = _fix(path, side_files)
            if write is not None:
                for old in fix.renamed:
                    side_files.copy(old)
            if write is not None or not fix.renamed:  # else a side file has its old name still
                recording(path, fix.data)
            if write is not None and fix.changes:
                write(path, _as_written(fix.data))
        except SpecError as error:
            fixed.failed.append(error)
        else:
            if fix.changes:
                fixed.changes[path] = fix.changes
    return fixed


def _fix(path: Path, side_files: _SideFiles) -> _Fix:
    data = load_document(path)
    fix = _Fix(deepcopy(data), side_files)
    try:
        fix.request()
        fix.response()
    except (KeyError, TypeError, ValueError, AttributeError):
        recording(path, data)  # which names what is wrong
        raise
    return fix


class _Fix:
    """The document of one recording being fixed; ``renamed`` are side files with a new name."""

    def __init__(self, data: dict[str, Any], side_files: _SideFiles) -> None:
        self.data = data
        self.changes: list[str] = []
        self.renamed: list[str] = []
        self._side_files = side_files

    def request(self) -> None:
        request = self.data["request"]
        size = self._body_size("request.body", request["body"])
        if "chunk_sizes" in request and sum(request["chunk_sizes"]) != size:
            request["chunk_sizes"] = list(_refitted(request["chunk_sizes"], size))
            self.changes.append(f"request.chunk_sizes: they add up to {size}")
        if "shortened_from" not in request:
            self._fix_length("request", request["headers"], size)

    def response(self) -> None:
        response = self.data["answer"]
        if "chunks" in response:
            size = 0
            for chunk in response["chunks"]:
                text, coded = chunk.get("text"), chunk.get("base64")
                size += len(b64decode(coded, validate=True) if text is None else text.encode())
        else:
            size = self._body_size("answer.body", response["body"])
            self._fix_arrivals(response, size)
        whole = response["ended"] == "complete" and "shortened_from" not in response
        method, status = self.data["request"]["method"], response["status"]
        if whole and method != "HEAD" and status not in NO_BODY:
            self._fix_length("answer", response["headers"], size)

    def _body_size(self, place: str, body: Any) -> int:
        if isinstance(body, str):
            return len(body.encode())
        current = self._side_files.current(body["file"])
        if current is None:
            return int(body["bytes"])  # and the reader says what is wrong with the file
        name, size = current
        if name != body["file"]:
            self.renamed.append(body["file"])
            self.changes.append(f"{place}.file: {name}")
        if size != body["bytes"]:
            self.changes.append(f"{place}.bytes: {size}")
        body.update(file=name, bytes=size)
        return size

    def _fix_arrivals(self, response: dict[str, Any], size: int) -> None:
        lines = [line.split() for line in response["arrivals"].splitlines()]
        sizes = [int(number) for _, number in lines]
        if sum(sizes) == size:
            return
        times = [at_s for at_s, _ in lines] or ["0.0"]
        pairs = zip(times, _refitted(sizes or [0], size), strict=False)
        response["arrivals"] = "".join(f"{at_s} {number}\n" for at_s, number in pairs)
        self.changes.append(f"answer.arrivals: they add up to {size}")

    def _fix_length(self, part: str, headers: list[list[str]], size: int) -> None:
        if any(name.lower() == "transfer-encoding" for name, _ in headers):
            return
        for header in headers:
            name, value = header
            if name.lower() == "content-length" and _LENGTH.fullmatch(value) and int(value) != size:
                header[1] = str(size)
                self.changes.append(f"{part}.headers: Content-Length {value} is {size}")


def _refitted(sizes: Iterable[int], total: int) -> Iterator[int]:
    """``sizes`` changed at the end so that they add up to ``total``."""
    left, last = total, 0
    for size in sizes:
        if last:
            yield last
        last = min(size, left)
        left -= last
        if not last:
            break
    if last + left:
        yield last + left


def _as_written(data: dict[str, Any]) -> dict[str, Any]:
    """With pairs and lists on one line each, as a recorder writes them."""
    for part in (data["request"], data["answer"]):
        part["headers"] = [tuple(pair) for pair in part["headers"]]
    if "chunk_sizes" in data["request"]:
        data["request"]["chunk_sizes"] = tuple(data["request"]["chunk_sizes"])
    return {**data, "redacted": tuple(data["redacted"])}


class _SideFiles:
    """The side files of a folder with the names that fit their content."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._current: dict[str, tuple[str, int] | None] = {}

    def current(self, name: object) -> tuple[str, int] | None:
        """Name and size that fit the content of the file ``name``; None if there is no file."""
        if not isinstance(name, str) or Path(name).parent != Path(FOLDER):
            return None
        if name not in self._current:
            path = self._folder / name
            is_file = path.is_file() and not path.is_symlink()
            self._current[name] = _name_and_size(path) if is_file else None
        return self._current[name]

    def copy(self, name: str) -> None:
        current = self.current(name)
        if current is not None and current[0] != name:
            copy_body(self._folder, name, current[0])

    def remove_old_names(self) -> None:
        for name, current in self._current.items():
            if current is not None and current[0] != name:
                with suppress(OSError):
                    (self._folder / name).unlink()


def _name_and_size(path: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            digest.update(piece)
            size += len(piece)
    return f"{FOLDER}/{digest.hexdigest()}{path.suffix}", size
