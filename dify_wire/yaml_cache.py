"""The project's own YAML files as JSON in the user's cache: parsing them takes longer than a start
may.

An entry is taken only if it was made of the very same bytes by the very same code of ours. It is a
help and nothing else: where the cache cannot be read or written, files are parsed. Of files
elsewhere, such as a user's own, nothing is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dify_wire.text_file import write_text

_OURS = Path(__file__).parent.parent


def cached(path: Path, text: str, parser: Path, parse: Callable[[], Any]) -> Any:
    """The JSON data that ``parse`` makes of ``text``, the content of ``path``, with the code in the
    file ``parser``.
    """
    folder = _folder()
    digest = _digest(text, parser) if path.is_relative_to(_OURS) else None
    if folder is None or digest is None:
        return parse()
    entry = folder / ("-".join(path.relative_to(_OURS).parts) + ".json")
    with contextlib.suppress(OSError, ValueError):
        made_of, _, value = entry.read_text("utf-8").partition("\n")
        if made_of == digest:
            return json.loads(value)
    made = parse()
    _keep(entry, f"{digest}\n{json.dumps(made)}")
    return made


def _folder() -> Path | None:
    """Where XDG wants caches; None where there is no such place."""
    said = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        root = said if said.is_absolute() else Path.home() / ".cache"
    except RuntimeError:  # nobody's process
        return None
    return root / "fake-dify"


def _digest(text: str, parser: Path) -> str | None:
    """What an entry has to be made of; None where the code cannot be read, as in a program without
    its sources.
    """
    try:
        code = parser.read_bytes() + Path(__file__).read_bytes()
    except OSError:
        return None
    return hashlib.sha256(b"%b\0%b\0%b" % (sys.version.encode(), code, text.encode())).hexdigest()


def _keep(entry: Path, content: str) -> None:
    with contextlib.suppress(OSError):
        entry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_text(entry, content)
