"""Reading a document strictly: every field is known, there, and of its kind, or the file is refused
with the place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NoReturn

from dify_wire.recording.errors import RecordingError
from dify_wire.strict import did_you_mean

LONGEST_S = 1e9
"""The longest duration in a recording, some 30 years; a longer one is refused."""

LAST_MOMENT_S = 253_402_300_799.0
"""The last moment of the year 9999; a recording of later is refused."""

_MISSING = object()


class Fields:
    """The fields of one mapping of the file at ``path``; ``place`` is where it stands, ``known``
    what it may hold.
    """

    def __init__(self, path: Path, place: str, said: object, known: Iterable[str]) -> None:
        self.path = path
        self._place = place
        if not isinstance(said, dict):
            raise RecordingError(
                path, place or "the top", "a mapping is needed here; write names with values"
            )
        self._said = said
        names = list(known)
        for name in said:
            if name not in names:
                hint = did_you_mean(name, names) or f"; known are {', '.join(names)}"
                raise RecordingError(
                    path, self.place(name), f"the field {name!r} is not known{hint}"
                )

    def __contains__(self, name: str) -> bool:
        return name in self._said

    def place(self, name: str) -> str:
        return f"{self._place}.{name}" if self._place else name

    def refuse(self, name: str, message: str) -> NoReturn:
        raise RecordingError(self.path, self.place(name), message)

    def fields(self, name: str, known: Iterable[str]) -> Fields:
        """The mapping ``name``."""
        return Fields(self.path, self.place(name), self._value(name), known)

    def text(self, name: str, default: str | None = None) -> str:
        said = self._value(name, _MISSING if default is None else default)
        if not isinstance(said, str):
            self.refuse(name, f"{said!r} is no text; put it in quotes")
        return said

    def text_or_null(self, name: str) -> str | None:
        return None if self._value(name) is None else self.text(name)

    def choice(self, name: str, allowed: Iterable[str]) -> str:
        said, options = self.text(name), list(allowed)
        if said not in options:
            self.refuse(name, f"{said!r} is not known; write one of {', '.join(options)}")
        return said

    def whole(self, name: str, least: int = 0) -> int:
        said = self._value(name)
        if isinstance(said, bool) or not isinstance(said, int) or said < least:
            self.refuse(name, f"{said!r} is no whole number of at least {least}; correct it")
        return said

    def seconds(self, name: str, most: float = LONGEST_S) -> float:
        said = self._value(name)
        if isinstance(said, bool) or not isinstance(said, int | float) or not 0 <= said <= most:
            self.refuse(name, f"{said!r} is no number of seconds from 0 to {most:.15g}; correct it")
        return float(said)

    def texts(self, name: str) -> tuple[str, ...]:
        said = self._list(name)
        if not all(isinstance(one, str) for one in said):
            self.refuse(name, "a list of texts is needed; put each in quotes")
        return tuple(map(str, said))

    def wholes(self, name: str) -> tuple[int, ...]:
        said = self._list(name)
        if not all(isinstance(one, int) and not isinstance(one, bool) and one > 0 for one in said):
            self.refuse(name, "a list of whole numbers above 0 is needed; correct it")
        return tuple(one for one in said if isinstance(one, int))

    def pairs(self, name: str) -> tuple[tuple[str, str], ...]:
        """A list of pairs of texts, as headers are."""
        pairs = []
        for index, pair in enumerate(self._list(name)):
            if not (
                isinstance(pair, list)
                and len(pair) == 2
                and all(isinstance(part, str) for part in pair)
            ):
                self.refuse(
                    f"{name}[{index}]",
                    f"{pair!r} is no pair of texts; write [NAME, VALUE] with both in quotes",
                )
            pairs.append((pair[0], pair[1]))
        return tuple(pairs)

    def each(self, name: str, known: Iterable[str]) -> Iterator[Fields]:
        """The mappings in the list ``name``."""
        names = list(known)
        for index, one in enumerate(self._list(name)):
            yield Fields(self.path, f"{self.place(name)}[{index}]", one, names)

    def value(self, name: str) -> object:
        """Whatever ``name`` holds."""
        return self._value(name)

    def _list(self, name: str) -> list[object]:
        said = self._value(name)
        if not isinstance(said, list):
            self.refuse(name, "a list is needed here; begin each line of it with a dash")
        return said

    def _value(self, name: str, default: object = _MISSING) -> object:
        said = self._said.get(name, default)
        if said is _MISSING:
            self.refuse(
                name,
                "it is missing; the file is damaged or no recording; record it again, or take it out",
            )
        return said
