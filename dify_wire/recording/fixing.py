"""Makes recordings that were edited by hand consistent again: lengths, sizes of chunks, digests of
side files.

What was edited stays as it is; what only counts it follows. Nothing is written unless the whole
recording can be read afterwards.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dify_wire.recording.bodies import FOLDER, check_bodies_folder, keep_side_file
from dify_wire.recording.document import NO_BODY, recording
from dify_wire.recording.errors import RecordingError
from dify_wire.recording.folder import RecordingWriter, load_document, recording_files
from dify_wire.spec_error import SpecError

_READ_BYTES = 1 << 20
_LENGTH = re.compile(r"[0-9]{1,15}")


Write = Callable[[Path, dict[str, Any]], None]


@dataclass(slots=True)
class Fixed:
    """What was fixed, or would be: for each file its changes. ``failed`` are recordings that cannot
    be fixed.
    """

    changes: dict[Path, list[str]] = field(default_factory=dict)
    failed: list[SpecError] = field(default_factory=list)


def fix_folder(folder: Path, check: bool = False) -> Fixed:
    """Fix the recordings in ``folder``; with ``check`` say what would be done, and write nothing.

    Raises ``RecordingError`` where the folder cannot be read or written, ``OSError`` where the disk
    refuses.
    """
    check_bodies_folder(folder)
    files = recording_files(folder)
    if not files:
        raise RecordingError(
            folder, "the folder", "there is no recording in it; name a folder that holds some"
        )
    side_files = _SideFiles(folder)
    if check:
        return _fix_all(files, side_files, None)
    with RecordingWriter(folder) as writer:
        fixed = _fix_all(files, side_files, writer.replace)
        if not fixed.failed:  # else one of them may still need a file under its old name
            side_files.remove_old_names()
    return fixed


def _fix_all(files: Sequence[Path], side_files: _SideFiles, write: Write | None) -> Fixed:
    fixed = Fixed()
    for path in files:
        try:
            changes = _fix(path, side_files, write)
        except SpecError as error:
            fixed.failed.append(error)
        else:
            if changes:
                fixed.changes[path] = changes
    return fixed


def _fix(path: Path, side_files: _SideFiles, write: Write | None) -> list[str]:
    """Fix the recording at ``path``, and say what has changed. Raises ``SpecError`` where it cannot
    be fixed.
    """
    said = load_document(path)
    fix = _Fix(deepcopy(said), side_files)
    try:
        fix.request()
        fix.answer()
    except (KeyError, TypeError, ValueError, AttributeError):
        recording(path, said)  # which names what is wrong
        raise
    if write is not None:
        for old in fix.renamed:
            side_files.keep(old)
    if (
        write is not None or not fix.renamed
    ):  # a file that has not got its new name yet cannot be read
        recording(path, fix.said)
    if write is not None and fix.changes:
        write(path, _in_our_form(fix.said))
    return fix.changes


class _Fix:
    """The document ``said`` of one recording, being fixed; ``renamed`` are side files that need
    another name.
    """

    def __init__(self, said: dict[str, Any], side_files: _SideFiles) -> None:
        self.said = said
        self.changes: list[str] = []
        self.renamed: list[str] = []
        self._side_files = side_files

    def request(self) -> None:
        request = self.said["request"]
        size = self._body_size("request.body", request["body"])
        if "chunk_sizes" in request and sum(request["chunk_sizes"]) != size:
            request["chunk_sizes"] = list(_refitted(request["chunk_sizes"], size))
            self.changes.append(f"request.chunk_sizes: they add up to {size}")
        if "shortened_from" not in request:
            self._fix_length("request", request["headers"], size)

    def answer(self) -> None:
        answer = self.said["answer"]
        if "chunks" in answer:
            size = sum(map(_chunk_size, answer["chunks"]))
        else:
            size = self._body_size("answer.body", answer["body"])
            self._fix_arrivals(answer, size)
        whole = answer["ended"] == "complete" and "shortened_from" not in answer
        if whole and self.said["request"]["method"] != "HEAD" and answer["status"] not in NO_BODY:
            self._fix_length("answer", answer["headers"], size)

    def _body_size(self, place: str, body: Any) -> int:
        if isinstance(body, str):
            return len(body.encode())
        right = self._side_files.right(body["file"])
        if right is None:
            return int(body["bytes"])  # and the reader says what is wrong with the file
        name, size = right
        if name != body["file"]:
            self.renamed.append(body["file"])
            self.changes.append(f"{place}.file: {name}")
        if size != body["bytes"]:
            self.changes.append(f"{place}.bytes: {size}")
        body.update(file=name, bytes=size)
        return size

    def _fix_arrivals(self, answer: dict[str, Any], size: int) -> None:
        lines = [line.split() for line in answer["arrivals"].splitlines()]
        sizes = [int(number) for _, number in lines]
        if sum(sizes) == size:
            return
        times = [at_s for at_s, _ in lines] or ["0.0"]
        refitted = _refitted(sizes or [0], size)
        answer["arrivals"] = "".join(
            f"{at_s} {number}\n" for at_s, number in zip(times, refitted, strict=False)
        )
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
    """``sizes`` that add up to ``total``: all stay but those at the end, which lose or take what is
    different.
    """
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


def _chunk_size(chunk: dict[str, str]) -> int:
    if "text" in chunk:
        return len(chunk["text"].encode())
    return len(base64.b64decode(chunk["base64"], validate=True))


def _in_our_form(said: dict[str, Any]) -> dict[str, Any]:
    """With pairs and lists on one line each, as a recorder writes them."""
    for part in (said["request"], said["answer"]):
        part["headers"] = [tuple(pair) for pair in part["headers"]]
    if "chunk_sizes" in said["request"]:
        said["request"]["chunk_sizes"] = tuple(said["request"]["chunk_sizes"])
    return {**said, "redacted": tuple(said["redacted"])}


class _SideFiles:
    """The side files of a folder, and those of them whose content is no longer what their name
    says.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._right: dict[str, tuple[str, int] | None] = {}

    def right(self, name: object) -> tuple[str, int] | None:
        """Name and size that fit the content of the file ``name``; None where there is no such
        file.
        """
        if not isinstance(name, str) or Path(name).parent != Path(FOLDER):
            return None
        if name not in self._right:
            self._right[name] = self._look(self._folder / name)
        return self._right[name]

    def keep(self, name: str) -> None:
        """Have the file ``name`` under its right name too."""
        right = self.right(name)
        if right is not None and right[0] != name:
            keep_side_file(self._folder, name, right[0])

    def remove_old_names(self) -> None:
        for name, right in self._right.items():
            if right is not None and right[0] != name:
                with suppress(OSError):
                    (self._folder / name).unlink()

    def _look(self, path: Path) -> tuple[str, int] | None:
        if path.is_symlink() or not path.is_file():
            return None
        digest, size = hashlib.sha256(), 0
        with path.open("rb") as file:
            while piece := file.read(_READ_BYTES):
                digest.update(piece)
                size += len(piece)
        return f"{FOLDER}/{digest.hexdigest()}{path.suffix}", size
