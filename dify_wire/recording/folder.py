"""A folder of recordings: one readable file an exchange, ``NNNN-<slug>.yaml``, and ``bodies/`` for
what is no text.

A file is there whole or not at all: it is written under another name, flushed to the disk and
renamed, side files first. A recorder that is killed leaves ``.partial-*`` behind, which no reader
looks at.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from dify_wire.exchange import Chunk, Headers, Recording, slug
from dify_wire.printable import printable
from dify_wire.recording.bodies import (
    FOLDER,
    SideFile,
    check_bodies_folder,
    finish_file,
    keep_body,
    write_unfinished,
)
from dify_wire.recording.document import Streamed, document, recording
from dify_wire.recording.errors import RecordingError
from dify_wire.recording.searchable import Searchable, searchable
from dify_wire.recording.spool import PARTIAL, Spool
from dify_wire.redaction.suspicion import Suspicion, suspicions
from dify_wire.spec_error import SpecError, file_errors, reason
from dify_wire.yaml_file import dump_yaml, load_yaml

log = logging.getLogger("dify_wire")

_FILE = re.compile(r"([0-9]{4,9})-[^/\x00-\x1f\x7f]+\.yaml")
_BESIDE = frozenset({FOLDER, "README.md", "keys.json"})
_NEVER_NAMED = (PARTIAL, ".git")
_OF_THE_SYSTEM = frozenset({".ds_store", "thumbs.db", "desktop.ini", ".directory"})
_FORMAT = re.compile(rb"\s*(?:---\s*)?format:")
_END = (b"\n...\n", b"\n...\r\n")  # as it was written, and as Git checks it out on Windows
_MOST_NAMED = 10


class Redaction(Protocol):
    """What takes the secrets out of one exchange."""

    def head(self, exchange: Recording) -> Recording:
        """``exchange`` without secrets; the chunks that it holds are the whole body, unless that is
        streamed.
        """

    def learn(self, chunks: Iterable[Chunk], headers: Headers) -> None:
        """Learn the secrets of a body with these ``headers`` that is too long for the memory,
        before ``head``.
        """

    def stream(self, chunks: Iterable[Chunk], headers: Headers) -> Iterator[Chunk]:
        """A body with these ``headers`` that is too long for the memory, without secrets."""

    def applied(self) -> tuple[str, ...]:
        """The names of the rules that changed something so far."""


class Redactor(Protocol):
    """What takes secrets out of exchanges before they are written."""

    def redaction(self, exchange: Recording) -> Redaction:
        """The redaction of one exchange, from all of whose parts its secrets are learned."""


# Reading
# ------------------------------------------------------------------------------------------------------------


def read_folder(folder: Path) -> list[Recording]:
    """All exchanges of the folder, in the order of recording.

    What is no recording is passed over, with a warning that names it. Raises ``RecordingError`` for
    a folder without any recording, and for one that cannot be read whole or is named like none.
    """
    folder = Path(folder)
    names = _sorted_names(folder)
    if names.others:
        log.warning(
            "%s: passed over, for they are no recordings: %s", folder, _listed(names.others)
        )
    found = [read_recording(folder / name) for name in names.recordings]
    if not found:
        raise RecordingError(
            folder, "the folder", "there is no recording in it; name a folder that holds some"
        )
    return found


def read_recording(path: Path) -> Recording:
    """The exchange in one file. Raises ``RecordingError`` where it is not whole, or not of this
    format.
    """
    path = Path(path)
    said, named = load_document(path), _FILE.fullmatch(path.name)
    with file_errors(path, "a recording", RecordingError):
        return replace(recording(path, said), number=int(named[1]) if named else 0)


def load_document(path: Path) -> Any:
    """What the file of a recording holds, unchecked. Raises ``RecordingError`` where it is a link,
    cut, or no YAML.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise RecordingError(
            path,
            "the file",
            "it is a link or no file, and nothing may lead out of the folder; copy it",
        )
    try:
        said = load_yaml(path)
    except SpecError as error:
        message = error.message
        raise RecordingError(
            error.path, error.place, f"{message} (a damaged recording has to be made again)"
        ) from None
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(_END[1])))
        if not file.read().endswith(_END):
            raise RecordingError(
                path,
                "the end",
                "the last line, three dots, is missing: the file was cut; record it again",
            )
    return said


def is_recordings_folder(folder: Path) -> bool:
    """Whether ``folder`` holds recordings, or nothing that anybody has put there."""
    try:
        return _sorted_names(Path(folder)).is_for_recordings
    except RecordingError:
        return False


def is_recording_file(path: Path) -> bool:
    """Whether ``path`` is named as a recording is, or begins as one."""
    return bool(_FILE.fullmatch(path.name)) or _is_misnamed(path)


def recording_files(folder: Path) -> list[Path]:
    """The files of the recordings in ``folder``, in the order of recording. Raises
    ``RecordingError``.
    """
    return [folder / name for name in _sorted_names(folder).recordings]


@dataclass(frozen=True, slots=True)
class _Names:
    """The names in a folder: those of recordings in their order, and those of what does not belong
    to them.
    """

    recordings: tuple[str, ...]
    others: tuple[str, ...]

    @property
    def is_for_recordings(self) -> bool:
        return bool(self.recordings) or all(name.lower() in _OF_THE_SYSTEM for name in self.others)


def _sorted_names(folder: Path) -> _Names:
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        raise RecordingError(
            folder,
            "the folder",
            f"it cannot be read ({reason(error)}); name a folder of recordings",
        ) from None
    recordings = sorted(filter(_FILE.fullmatch, names), key=lambda name: (_number(name), name))
    known = {*recordings, *_BESIDE}
    others = [name for name in names if name not in known and not name.startswith(_NEVER_NAMED)]
    for name in others:
        if _is_misnamed(folder / name):
            message = "it is a recording, but its name is not NNNN-NAME.yaml; rename it, or move it to another folder"
            raise RecordingError(folder / name, "its name", message)
    return _Names(tuple(recordings), tuple(others))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(map(printable, names[:_MOST_NAMED])) + more


def _is_misnamed(path: Path) -> bool:
    """Whether a file that ends as a recording is one: it must not be lost for its name."""
    if (
        path.suffix.lower() not in (".yaml", ".yml")
        or path.name.startswith(".")
        or not path.is_file()
    ):
        return False
    try:
        with path.open("rb") as file:
            return _FORMAT.match(file.read(100)) is not None
    except OSError:
        return False


def _number(name: str) -> int:
    return int(name.partition("-")[0])


# Writing
# ------------------------------------------------------------------------------------------------------------


class RecordingWriter:
    """Writes exchanges into ``folder``, which is made where it is missing, after ``redactor`` has
    taken secrets out.

    May be used from several threads. Where there are recordings already, the numbers go on.
    ``leftovers`` are the unfinished files that a killed recorder left; they are removed.
    ``left_out`` is called with one sentence for each body that is not written because it is too
    long, or because the redactor could not search it. ``suspicions`` are what looks personal or
    secret in what was written, by the option that takes it out. Raises ``RecordingError`` for a
    folder that holds other things, cannot be written, or is being written by another recorder.
    """

    def __init__(
        self,
        folder: Path,
        redactor: Redactor | None = None,
        left_out: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.folder = Path(folder)
        self.left_out = left_out
        self.suspicions: dict[str, Suspicion] = {}
        self._redactor = redactor
        self._lock = threading.Lock()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(self.folder, os.O_RDONLY)
        except OSError as error:
            raise self._unwritable(error) from None
        try:
            self._claim()
            names = _sorted_names(self.folder)
            if not names.is_for_recordings:
                message = (
                    f"no recordings are in it, but {_listed(names.others)}; name another folder"
                )
                raise RecordingError(self.folder, "the folder", message)
            check_bodies_folder(self.folder)
            self.leftovers = remove_unfinished(self.folder)
        except BaseException:
            os.close(self._handle)
            raise
        self._next = 1 + (_number(names.recordings[-1]) if names.recordings else 0)

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another recorder write into the folder."""
        with contextlib.suppress(OSError):
            os.close(self._handle)

    def spool(self) -> Spool:
        """A place for a body that is still growing, request's or answer's."""
        return Spool(self.folder)

    def write(
        self, exchange: Recording, answer: Spool | None = None, request: Spool | None = None
    ) -> Path:
        """Write one finished exchange, whole or not at all, and return its file.

        ``answer`` and ``request`` hold bodies that came piece by piece, in place of those in
        ``exchange``; they are left as they are. Raises ``OSError`` where the disk refuses; nothing
        of the exchange is visible then.
        """
        with contextlib.ExitStack() as made:
            spool = partial(self._temporary_spool, made)
            whole = searchable(exchange, answer, request, spool, decode=self._redactor is not None)
            path = self._write(whole)
        for why in whole.left_out:
            self.left_out(f"{path.name} is without {why}")
        return path

    def _write(self, whole: Searchable) -> Path:
        answer, request = whole.answer, whole.request
        exchange = _with_bodies(whole.exchange, answer, request)
        redaction = self._redactor.redaction(exchange) if self._redactor else _Nothing(exchange)
        for spool, headers in ((request, exchange.request.headers), (answer, exchange.headers)):
            if spool is not None and not spool.in_memory:
                redaction.learn(spool.chunks(), headers)
        head = redaction.head(exchange)
        for one in suspicions(head) if self._redactor else ():
            self.suspicions.setdefault(one.option, one)
        name = slug(head.name or f"{head.request.method} {head.request.path}")
        head = replace(
            head, name=head.name or name
        )  # after redaction: a rule may name what stands in a path
        said = document(
            head,
            self._keep,
            _streamed(request, redaction, exchange.request.headers),
            _streamed(answer, redaction, exchange.headers),
        )
        said["redacted"] = redaction.applied()
        return self._place(dump_yaml(said).encode(), name)

    def _temporary_spool(self, until: contextlib.ExitStack) -> Spool:
        spool = self.spool()
        until.callback(spool.discard)
        return spool

    def _keep(self, pieces: Iterable[bytes], content_type: str) -> SideFile:
        return keep_body(self.folder, pieces, content_type)

    def _place(self, data: bytes, name: str) -> Path:
        temporary = write_unfinished(self.folder, [data])
        with self._lock:
            path = self.folder / f"{self._next:04}-{name}.yaml"
            finish_file(temporary, path)
            self._next += 1
        return path

    def replace(self, path: Path, said: Mapping[str, Any]) -> None:
        """Write the document ``said`` in place of the recording at ``path``. Raises ``OSError``."""
        finish_file(write_unfinished(self.folder, [dump_yaml(said).encode()]), path)

    def _claim(self) -> None:
        import fcntl  # not everywhere; reading needs none

        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            handle, temporary = tempfile.mkstemp(prefix=PARTIAL, dir=self.folder)
            os.close(handle)
            Path(temporary).unlink()
        except BlockingIOError:
            message = "another recorder writes into it; end that one, or name another folder"
            raise RecordingError(self.folder, "the folder", message) from None
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> RecordingError:
        return RecordingError(
            self.folder, "the folder", f"it cannot be written ({reason(error)}); name another one"
        )


def remove_unfinished(folder: Path) -> tuple[str, ...]:
    """Remove the files of a recorder that was killed, and return their names."""
    left = sorted(folder.glob(f"{PARTIAL}*"))
    for path in left:
        path.unlink(missing_ok=True)
    return tuple(path.name for path in left)


def _with_bodies(exchange: Recording, answer: Spool | None, request: Spool | None) -> Recording:
    """``exchange`` with those bodies that fit into the memory."""
    if answer is not None:
        exchange = replace(exchange, chunks=tuple(answer.chunks()) if answer.in_memory else ())
    if request is not None:
        body = b"".join(chunk.data for chunk in request.chunks()) if request.in_memory else b""
        exchange = replace(exchange, request=replace(exchange.request, body=body))
    return exchange


def _streamed(spool: Spool | None, redaction: Redaction, headers: Headers) -> Streamed | None:
    if spool is None or spool.in_memory:
        return None
    return Streamed(redaction.stream(spool.chunks(), headers), spool.size)


class _Nothing:
    """The redaction of recordings that hold no secret."""

    def __init__(self, exchange: Recording) -> None:
        self._exchange = exchange

    def head(self, exchange: Recording) -> Recording:
        return exchange

    def learn(self, chunks: Iterable[Chunk], headers: Headers) -> None:
        pass

    def stream(self, chunks: Iterable[Chunk], headers: Headers) -> Iterator[Chunk]:
        return iter(chunks)

    def applied(self) -> tuple[str, ...]:
        return self._exchange.redacted
