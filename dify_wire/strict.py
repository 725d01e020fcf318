"""Strict reading of what a user wrote: a file, the body of a request, options.

A ``Field`` is a value with its path, so every error says where it stands::

    body = Field(data, error=lambda path, message: WorkflowError(file, path, message))
    body.only("name", "seconds", "mode")
    name = body["name"].text()
    seconds = body["seconds"].number(0, 60) if "seconds" in body else 1.0
    mode = body["mode"].choice(("blocking", "streaming"))
    nodes = [node["id"].text() for node in body["graph"]["nodes"].entries()]
"""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice
from typing import Any, NoReturn

TOP_LEVEL = "the top level"
_COMPARED_CHARACTERS = 80
_COMPARED_WORDS = 500
_SHOWN_CHARACTERS = 100


class Field:
    """A value and its ``path``. ``error(path, message)`` makes the exception that is raised."""

    __slots__ = ("error", "path", "value")

    def __init__(self, value: Any, path: str = "", *, error: Callable[[str, str], Exception]):
        self.value = value
        self.path = path
        self.error = error

    def fail(self, message: str) -> NoReturn:
        raise self.error(self.path or TOP_LEVEL, message)

    # mappings

    def mapping(self) -> dict[str, Any]:
        return self.expect(isinstance(self.value, dict), "a mapping of names to values")

    def only(self, *known: str, what: str = "key") -> Field:
        """Fail for the first key that is not ``known``; returns the field itself.

        ``what`` is what the message calls a key.
        """
        for key in self.mapping():
            if key not in known:
                self._child(str(key), None).fail(unknown(what, key, known))
        return self

    def __contains__(self, key: str) -> bool:
        return key in self.mapping()

    def __getitem__(self, key: str) -> Field:
        """The value under ``key``, which is required."""
        mapping = self.mapping()
        if key not in mapping:
            self._child(key, None).fail("this key is missing; add it")
        return self._child(key, mapping[key])

    def get(self, key: str) -> Field | None:
        """The value under ``key``; None where it is absent or null."""
        value = self.mapping().get(key)
        return None if value is None else self._child(key, value)

    def items(self) -> Iterator[tuple[str, Field]]:
        """The keys of a mapping, which have to be strings, with their values."""
        for key, value in self.mapping().items():
            if not isinstance(key, str):
                self.fail(f"the key {described(key)} is not a string; put it in quotes")
            yield key, self._child(key, value)

    def _child(self, key: str, value: Any) -> Field:
        return Field(value, f"{self.path}.{key}" if self.path else key, error=self.error)

    # lists

    def entries(self, expected: str = "a list") -> Iterator[Field]:
        self.expect(isinstance(self.value, list), expected)
        for index, value in enumerate(self.value):
            yield Field(value, f"{self.path}[{index}]", error=self.error)

    def texts(self) -> tuple[str, ...]:
        return tuple(entry.text() for entry in self.entries())

    # single values

    def text(self, pattern: str | re.Pattern[str] = "", expected: str = "a string") -> str:
        """A string; with a ``pattern``, one that matches it as a whole."""
        matches = isinstance(self.value, str) and (
            not pattern or re.fullmatch(pattern, self.value) is not None
        )
        return self.expect(matches, expected)

    def choice(self, known: Collection[str], what: str = "value") -> str:
        if self.text() not in known:
            self.fail(unknown(what, self.value, known))
        return self.value

    def boolean(self) -> bool:
        return self.expect(isinstance(self.value, bool), "true or false")

    def whole(self, least: float = -math.inf, most: float = math.inf) -> int:
        """A number without a fraction (1.0 is none), from ``least`` to ``most``."""
        return self._number(int, "a whole number", least, most)

    def number(self, least: float = -math.inf, most: float = math.inf) -> float:
        """A number from ``least`` to ``most``, never NaN; a whole one stays an int."""
        return self._number((int, float), "a number", least, most)

    def _number(self, kind: Any, name: str, least: float, most: float) -> Any:
        value = self.value
        fits = isinstance(value, kind) and not isinstance(value, bool) and least <= value <= most
        return self.expect(fits, f"{name}{bounds(least, most)}")

    def expect(self, fits: bool, expected: str) -> Any:
        """The value if it ``fits``; else the error says what was ``expected``."""
        if not fits:
            self.fail(f"expected {expected}, not {described(self.value)}")
        return self.value


def bounds(least: float, most: float) -> str:
    """`` from 0 to 5``, `` of at least 0``, `` of at most 5`` or nothing."""
    if least == -math.inf:
        return "" if most == math.inf else f" of at most {most:.15g}"
    return (
        f" of at least {least:.15g}" if most == math.inf else f" from {least:.15g} to {most:.15g}"
    )


def counted(number: int, noun: str) -> str:
    """``1 check``, ``2 checks``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def described(value: object) -> str:
    """``value`` in a message: shortened, and a collection by its kind alone."""
    if isinstance(value, dict | list | tuple):
        return "a mapping" if isinstance(value, dict) else "a list"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = repr(value[:_SHOWN_CHARACTERS] if isinstance(value, str) else value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def unknown(what: str, word: object, known: Collection[str]) -> str:
    """The message for a ``word`` that should be one of ``known``: the nearest, and all of them."""
    expected = f"known: {', '.join(known)}" if known else "none is allowed here"
    return f"{described(word)} is not a known {what}{did_you_mean(str(word), known)}; {expected}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` where a word of ``known`` is close to ``word``, else nothing.

    difflib takes time that grows with the square of the length, so words over 80 characters and
    all but the first 500 of ``known`` are not compared.
    """
    close = closest(word, known)
    return f" (did you mean {close!r}?)" if close is not None else ""


def closest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The word of ``known`` that is most similar to ``word``, if one is similar at all."""
    if len(word) > _COMPARED_CHARACTERS:
        return None
    import difflib  # only where something is misspelt: a server that starts needs none of it

    words = [one for one in islice(known, _COMPARED_WORDS) if len(one) <= _COMPARED_CHARACTERS]
    return next(iter(difflib.get_close_matches(word, words, n=1, cutoff=cutoff)), None)
