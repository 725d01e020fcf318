"""What is wrong with a file that somebody wrote: where it stands, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
    """A spec, an overlay or a host version that cannot be used.

    ``path`` is the file, ``place`` where in it (``line 12, column 3`` or
    ``paths./v1/workflows/run.post``), ``message`` what is wrong and how to mend it. As text it is
    one line of the three, without control characters; the middle of a place over 160 characters and
    of a message over 400 is left out.
    """

    def __init__(self, path: Path | str, place: str, message: str) -> None:
        super().__init__(path, place, message)
        self.path = Path(path)
        self.place = place
        self.message = message

    def __str__(self) -> str:
        place = _shortened(self.place, _LONGEST_PLACE)
        message = _shortened(self.message, _LONGEST_MESSAGE)
        return _on_one_line(f"{self.path}: {place}: {message}")


class RecordingError(SpecError):
    """A recording, or a folder of them, that cannot be read or written."""


@contextmanager
def file_errors(path: Path, kind: str, error: type[SpecError] = SpecError) -> Iterator[None]:
    """Turn what code that reads the file at ``path`` does not foresee into an ``error`` that says
    it is no ``kind``.

    The last net below the checks that name the place: a file of another shape than any of them
    expects.
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
    """``message`` as one line, without control characters, the middle of more than 700 characters
    left out.
    """
    return _on_one_line(_shortened(message, _LONGEST_LINE))


def _on_one_line(text: str) -> str:
    return _UNPRINTABLE.sub(_escaped, " ".join(text.split()))


def _shortened(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    tail = most // 3
    return f"{text[: most - tail - 3]} … {text[-tail:]}"


def _escaped(found: re.Match[str]) -> str:
    return ascii(found[0])[1:-1]
