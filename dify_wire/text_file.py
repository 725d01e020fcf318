"""Text files: one that a user names is read within bounds, one of ours is written whole or not at
all.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from dify_wire.spec_error import SpecError, reason

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
    """Write ``content`` as UTF-8 so that nobody ever reads half of it. Raises ``OSError``."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(content, "utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
