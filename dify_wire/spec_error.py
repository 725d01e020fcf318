"""What is wrong with a file that somebody wrote: where it stands, and what to do about it."""

from __future__ import annotations

from pathlib import Path


def reason(error: OSError) -> str:
    """Why the system refused, as part of a sentence."""
    return (error.strerror or str(error)).lower()


class SpecError(Exception):
    """A spec, an overlay or a host version that cannot be used.

    ``path`` is the file, ``place`` where in it (``line 12, column 3`` or ``paths./v1/workflows/run.post``), ``message``
    what is wrong and how to mend it. As text it is one line of the three.
    """

    def __init__(self, path: Path | str, place: str, message: str) -> None:
        super().__init__(path, place, message)
        self.path = Path(path)
        self.place = place
        self.message = message

    def __str__(self) -> str:
        return " ".join(f"{self.path}: {self.place}: {self.message}".split())
