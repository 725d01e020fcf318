"""A folder of recordings: one readable file an exchange, ``NNNN-<slug>.yaml``, and ``bodies/``.

A file is there whole or not at all: it is written under another name, flushed to the disk and
renamed, side files first.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from dify_wire.exchange import Headers, Recording, slug
from dify_wire.recording.bodies import (
    FOLDER,
    PARTIAL,
    Spool,
    check_bodies_folder,
    finish_file,
    write_body,
    write_file,
)
from dify_wire.recording.decoding import Searchable, searchable
from dify_wire.recording.document import Streamed, document, recording
from dify_wire.recording.index import FOLDER as INDEX
from dify_wire.recording.index import Index
from dify_wire.redaction.exchange import ExchangeRedaction, RecordingRedactor
from dify_wire.redaction.suspicion import Suspicion, suspicions
from dify_wire.text_file import RecordingError, SpecError, file_errors, printable, reason
from dify_wire.yaml_file import dump_yaml, load_yaml

log = logging.getLogger("dify_wire")

_FILE = re.compile(r"([0-9]{4,9})-[^/\x00-\x1f\x7f]+\.yaml")
_BESIDE = frozenset({FOLDER, "README.md", "keys.json"})
_HIDDEN = (PARTIAL, ".git", INDEX)
_OF_THE_SYSTEM = frozenset({".ds_store", "thumbs.db", "desktop.ini", ".directory"})
_FORMAT = re.compile(rb"\s*(?:---\s*)?format:")
_END = (b"\n...\n", b"\n...\r\n")  # as it is written, and as Git checks it out on Windows
_MOST_NAMED = 10


# Reading


def read_folder(folder: Path) -> list[Recording]:
    """All exchanges of the folder, in the order of recording.

    Other files are skipped, with a warning that names them. Raises ``RecordingError`` if there is
    no recording, if one cannot be read, or if one has another file name.
    """
    folder = Path(folder)
    names = _sorted_names(folder)
    if names.others:
        log.warning("%s: skipped, not recordings: %s", folder, _listed(names.others))
    index = Index(folder, _read)
    found = [index.recording(folder / name) for name in names.recordings]
    index.save()
    if not found:
        message = "there is no recording in it; name a folder that holds some"
        raise RecordingError(folder, "the folder", message)
    return found


def read_recording(path: Path) -> Recording:
    """The exchange in one file. Raises ``RecordingError`` if it is cut or not of this format."""
    return _read(Path(path))[0]


def _read(path: Path) -> tuple[Recording, bool]:
    """The exchange in one file, and whether no body of it is another file."""
    data, named = load_document(path), _FILE.fullmatch(path.name)
    with file_errors(path, "a recording", RecordingError):
        made = replace(recording(path, data), number=int(named[1]) if named else 0)
    return made, isinstance(data["request"]["body"], str) and "chunks" in data["answer"]


def load_document(path: Path) -> Any:
    """The unchecked content of a recording's file. Raises ``RecordingError``."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        message = "it is a link, or not a file, and nothing may lead out of the folder; copy it"
        raise RecordingError(path, "the file", message)
    try:
        data = load_yaml(path)
    except SpecError as error:
        message = f"{error.message} (a damaged recording has to be made again)"
        raise RecordingError(error.path, error.place, message) from None
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(_END[1])))
        if not file.read().endswith(_END):
            message = "the last line, three dots, is missing: the file was cut; record it again"
            raise RecordingError(path, "the end", message)
    return data


def is_recordings_folder(folder: Path) -> bool:
    """Whether ``folder`` holds recordings, or nothing that a user has put there."""
    try:
        return _sorted_names(Path(folder)).is_for_recordings
    except RecordingError:
        return False


def is_recording_file(path: Path) -> bool:
    """Whether ``path`` has the name of a recording, or begins as one."""
    return bool(_FILE.fullmatch(path.name)) or _is_misnamed(path)


def recording_files(folder: Path) -> list[Path]:
    """The files of the recordings, in the order of recording. Raises ``RecordingError``."""
    return [folder / name for name in _sorted_names(folder).recordings]


@dataclass(frozen=True, slots=True)
class _Names:
    """The names in a folder: those of recordings in their order, and others."""

    recordings: tuple[str, ...]
    others: tuple[str, ...]

    @property
    def is_for_recordings(self) -> bool:
        return bool(self.recordings) or all(name.lower() in _OF_THE_SYSTEM for name in self.others)


def _sorted_names(folder: Path) -> _Names:
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        message = f"it cannot be read ({reason(error)}); name a folder of recordings"
        raise RecordingError(folder, "the folder", message) from None
    recordings = sorted(filter(_FILE.fullmatch, names), key=lambda name: (_number(name), name))
    known = {*recordings, *_BESIDE}
    others = [name for name in names if name not in known and not name.startswith(_HIDDEN)]
    for name in others:
        if _is_misnamed(folder / name):
            message = "it is a recording, but its name is not NNNN-NAME.yaml"
            advice = "rename it, or move it to another folder"
            raise RecordingError(folder / name, "its name", f"{message}; {advice}")
    return _Names(tuple(recordings), tuple(others))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(map(printable, names[:_MOST_NAMED])) + more


def _is_misnamed(path: Path) -> bool:
    """Whether a file with another name is a recording, which must not be lost for its name."""
    is_yaml = path.suffix.lower() in (".yaml", ".yml") and not path.name.startswith(".")
    if not is_yaml or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return _FORMAT.match(file.read(100)) is not None
    except OSError:
        return False


def _number(name: str) -> int:
    return int(name.partition("-")[0])


# Writing


class RecordingWriter:
    """Writes exchanges into ``folder``, after ``redactor`` has taken secrets out.

    May be used from several threads. Numbers continue after those of recordings that are there.
    ``leftovers`` are the unfinished files of a recorder that was killed, which are removed.
    ``left_out`` is called with a sentence for each body that is not written: it is too long, or
    cannot be searched for secrets. ``suspicions`` are what looks personal or secret in what was
    written, by the option that takes it out. Raises ``RecordingError`` for a folder that holds
    other things, cannot be written, or is being written by another recorder.
    """

    def __init__(
        self,
        folder: Path,
        redactor: RecordingRedactor | None = None,
        left_out: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.folder = Path(folder)
        self.left_out = left_out
        self.suspicions: dict[str, Suspicion] = {}
        self._redactor = redactor
        self._lock = threading.Lock()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # Windows opens no folder, and so locks none.
            self._handle = os.open(self.folder, os.O_RDONLY) if hasattr(os, "O_DIRECTORY") else None
        except OSError as error:
            raise self._unwritable(error) from None
        try:
            self._claim()
            names = _sorted_names(self.folder)
            if not names.is_for_recordings:
                found = _listed(names.others)
                raise self._error(f"it holds no recordings, but {found}; name another folder")
            check_bodies_folder(self.folder)
            self.leftovers = remove_unfinished(self.folder)
        except BaseException:
            self.close()
            raise
        self._next = 1 + (_number(names.recordings[-1]) if names.recordings else 0)

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another recorder write into the folder."""
        with suppress(OSError):
            if self._handle is not None:
                os.close(self._handle)

    def spool(self) -> Spool:
        """A place for a body that is still growing, of a request or a response."""
        return Spool(self.folder)

    def write(
        self, exchange: Recording, response: Spool | None = None, request: Spool | None = None
    ) -> Path:
        """Write one finished exchange, whole or not at all, and return its file.

        ``response`` and ``request`` hold bodies in place of those in ``exchange``; the caller
        discards them. Raises ``OSError`` from the disk; nothing of the exchange is visible then.
        """
        with ExitStack() as spools:

            def new_spool() -> Spool:
                spool = self.spool()
                spools.callback(spool.discard)
                return spool

            decode = new_spool if self._redactor else None
            whole = searchable(exchange, response, request, decode)
            path = self._write(whole)
        for why in whole.left_out:
            self.left_out(f"{path.name} is without {why}")
        return path

    def _write(self, whole: Searchable) -> Path:
        exchange = _with_bodies(whole)
        head, redaction, redacted = exchange, None, exchange.redacted
        if self._redactor:
            redaction = self._redactor.redaction(exchange)
            bodies = (whole.request, exchange.request.headers), (whole.response, exchange.headers)
            for spool, headers in bodies:
                if spool is not None and not spool.in_memory:
                    redaction.learn(spool.chunks(), headers)
            head = redaction.head(exchange)
            for one in suspicions(head):
                self.suspicions.setdefault(one.option, one)
        # After redaction: a rule may apply to a name in a path.
        name = slug(head.name or f"{head.request.method} {head.request.path}")
        data = document(
            replace(head, name=head.name or name),
            partial(write_body, self.folder),
            _streamed(whole.request, redaction, exchange.request.headers),
            _streamed(whole.response, redaction, exchange.headers),
        )
        data["redacted"] = redaction.applied() if redaction else redacted
        unfinished = write_file(self.folder, [dump_yaml(data).encode()])
        with self._lock:
            path = self.folder / f"{self._next:04}-{name}.yaml"
            finish_file(unfinished, path)
            self._next += 1
        return path

    def replace(self, path: Path, data: Mapping[str, Any]) -> None:
        """Write the document ``data`` in place of the recording at ``path``. Raises ``OSError``."""
        finish_file(write_file(self.folder, [dump_yaml(data).encode()]), path)

    def _claim(self) -> None:
        try:
            if self._handle is not None:
                import fcntl

                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            handle, temporary = tempfile.mkstemp(prefix=PARTIAL, dir=self.folder)
            os.close(handle)
            Path(temporary).unlink()
        except BlockingIOError:
            message = "another recorder writes into it; end that one, or name another folder"
            raise self._error(message) from None
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> RecordingError:
        return self._error(f"it cannot be written ({reason(error)}); name another one")

    def _error(self, message: str) -> RecordingError:
        return RecordingError(self.folder, "the folder", message)


def remove_unfinished(folder: Path) -> tuple[str, ...]:
    """Remove the files of a recorder that was killed, and return their names."""
    left = sorted(folder.glob(f"{PARTIAL}*"))
    for path in left:
        path.unlink(missing_ok=True)
    return tuple(path.name for path in left)


def _with_bodies(whole: Searchable) -> Recording:
    """The exchange with those spooled bodies that fit into memory."""
    exchange = whole.exchange
    if (response := whole.response) is not None:
        chunks = tuple(response.chunks()) if response.in_memory else ()
        exchange = replace(exchange, chunks=chunks)
    if (request := whole.request) is not None:
        body = b"".join(chunk.data for chunk in request.chunks()) if request.in_memory else b""
        exchange = replace(exchange, request=replace(exchange.request, body=body))
    return exchange


def _streamed(
    spool: Spool | None, redaction: ExchangeRedaction | None, headers: Headers
) -> Streamed | None:
    """A body that is too long for memory."""
    if spool is None or spool.in_memory:
        return None
    chunks = redaction.stream(spool.chunks(), headers) if redaction else spool.chunks()
    return Streamed(chunks, spool.size)
