"""What was made of the project's own files, kept as JSON in the user's cache, because making it
takes longer than a start may.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from dify_wire.text_file import write_text

_HERE = Path(__file__)
_OURS = _HERE.parent.parent


def is_own(path: Path) -> bool:
    """Whether the file at ``path`` belongs to the project."""
    return path.is_relative_to(_OURS)


def cache_folder() -> Path | None:
    """Where it is kept; None for a user without a home."""
    home = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        return (home if home.is_absolute() else Path.home() / ".cache") / "fake-dify"
    except RuntimeError:
        return None


def kept(
    path: Path, texts: Iterable[str], code: Iterable[Path], make: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """What ``make`` returns, or returned before, of ``texts``; ``path`` only names the entry.

    An entry is used only if it was made of the same texts by the same ``code``. Where the cache
    cannot be read or written, it is made anew.
    """
    folder = cache_folder()
    if folder is None:
        return make()
    try:
        sources = [one.read_bytes() for one in (_HERE, *code)]
    except OSError:  # a program without its sources
        return make()
    digest = hashlib.sha256(sys.version.encode())
    for part in (*sources, *(text.encode() for text in texts)):
        digest.update(b"%d\0%b" % (len(part), part))
    entry = folder / ("-".join(path.relative_to(_OURS).parts) + ".json")
    with contextlib.suppress(OSError, ValueError):
        found, _, value = entry.read_text("utf-8").partition("\n")
        if found == digest.hexdigest():
            cached: dict[str, Any] = json.loads(value)
            return cached
    made = make()
    with contextlib.suppress(OSError):
        entry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_text(entry, f"{digest.hexdigest()}\n{json.dumps(made)}")
    return made
