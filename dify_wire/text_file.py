"""Files that users name: reading them within bounds, and what is wrong with them in one line."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_LONGEST_PLACE = 160
_LONGEST_MESSAGE = 400
_LONGEST_LINE = 700
_UNPRINTABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)


def reason(error: OSError) -> str:
    """Why the system refused, as part of a sentence."""
    return (error.strerror or str(error)).lower()


class SpecError(Exception):
    """A file that cannot be used: ``place`` in it (``line 12, column 3``, or a path of keys) and
    ``message``, what is wrong and how to correct it. As text one printable line of bounded length.

    ``others`` are further errors that were found with it.
    """

    others: tuple[SpecError, ...] = ()

    def __init__(self, path: Path | str, place: str, message: str) -> None:
        super().__init__(path, place, message)
        self.path = Path(path)
        self.place = place
        self.message = message

    def __str__(self) -> str:
        place = _shortened(self.place, _LONGEST_PLACE)
        message = _shortened(self.message, _LONGEST_MESSAGE)
        return _on_one_line(f"{self.path}: {place}: {message}")

    @property
    def all(self) -> tuple[SpecError, ...]:
        """This error and those that were found with it."""
        return (self, *self.others)


class RecordingError(SpecError):
    """A recording, or a folder of them, that cannot be read or written."""


@contextmanager
def file_errors(path: Path, kind: str, error: type[SpecError] = SpecError) -> Iterator[None]:
    """Turn what the code that reads the file at ``path`` does not expect into an ``error``: the
    last net, below the checks that name the place.
    """
    try:
        yield
    except (
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
        OverflowError,
        RecursionError,
    ) as unforeseen:
        found = f"{type(unforeseen).__name__}: {unforeseen}"
        message = f"it does not have the form of {kind} ({found}); compare it with a working one"
        raise error(path, "the file", message) from unforeseen


def readable(message: str) -> str:
    """``message`` as one printable line; of a long one the middle is left out."""
    return _on_one_line(_shortened(message, _LONGEST_LINE))


def _on_one_line(text: str) -> str:
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], " ".join(text.split()))


def _shortened(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    tail = most // 3
    return f"{text[: most - tail - 3]} … {text[-tail:]}"


def printable(text: str) -> str:
    """``text`` on one line, with escapes for what would act in a terminal instead of being
    displayed.
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


FILE_BYTES = 16 << 20
"""The largest file that is read as YAML, JSON, TOML or an environment file."""


def read_text(path: Path, kind: str) -> str:
    """The text of the UTF-8 file at ``path``, a byte order mark at its start left out.

    ``kind`` names what is expected, such as ``YAML``. Raises ``SpecError`` where it cannot be read;
    a pipe or a device is never waited for.
    """
    try:
        if stat.S_ISFIFO(Path(path).stat().st_mode):
            raise SpecError(path, "the file", f"it is a pipe; save its content as a {kind} file")
        with Path(path).open("rb") as file:
            data = file.read(FILE_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL byte
        why = reason(error) if isinstance(error, OSError) else str(error)
        message = f"it cannot be read ({why}); give the path of a {kind} file"
        raise SpecError(path, "the file", message) from None
    if len(data) > FILE_BYTES:
        message = f"it is larger than {FILE_BYTES >> 20} MiB; give a smaller {kind} file"
        raise SpecError(path, "the file", message)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = "this is not UTF-8 text; save the file as UTF-8"
        raise SpecError(path, f"byte {error.start}", message) from None


def write_text(path: Path, content: str) -> None:
    """Write ``content`` as UTF-8 so that half of it is never read. Raises ``OSError``."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(content, "utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def bundled(name: str) -> Path:
    """The path of what comes with the project: ``openapi.yaml``, ``overlays/…`` or
    ``recordings/…``. Raises ``SpecError``.

    In a wheel the build has put it into ``dify_wire/data``, the recordings packed: what is asked of
    them is unpacked until the process ends. In a checkout it lies at the root.
    """
    for root in (_HERE / "data", _HERE.parent):
        if (root / name).exists():
            return root / name
    folder, _, rest = name.removeprefix("recordings/").partition("/")
    archive = _HERE / "data/recordings" / f"{folder}.tar.xz"
    if archive.exists() and (path := _unpacked(archive) / folder / rest).exists():
        return path
    raise SpecError(
        _HERE / "data" / name,
        "the file",
        "it should have come with the installation; install it again",
    )


@cache
def _unpacked(archive: Path) -> Path:
    """A folder of this process with what is in ``archive``. Raises ``RecordingError``."""
    import atexit
    import tarfile
    import tempfile

    try:
        folder = tempfile.TemporaryDirectory(prefix="fake-dify-")
        atexit.register(folder.cleanup)
        with tarfile.open(archive) as packed:
            packed.extraction_filter = getattr(tarfile, "data_filter", None)  # not in 3.11.3
            packed.extractall(folder.name)  # noqa: S202  # our own archive
    except (OSError, EOFError, tarfile.TarError) as error:
        why = reason(error) if isinstance(error, OSError) else str(error)
        message = f"it cannot be unpacked ({why}); set TMPDIR to a folder with 20 MB of room"
        raise RecordingError(archive, "the archive", message) from None
    return Path(folder.name)
