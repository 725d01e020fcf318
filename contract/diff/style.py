"""How JSON is written: its blanks, its escapes, what stands around it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from contract.diff.difference import ABSENT
from contract.diff.tree import Found

_SEPARATORS: Mapping[str, tuple[str, str]] = {
    "a blank after comma and colon": (", ", ": "),
    "no blanks": (",", ":"),
}
_INDENTS = (1, 2, 4)


def style(text: str, value: Any) -> tuple[str, ...]:
    """In words how ``text`` writes ``value``: its blanks, its escapes, what is before and after
    it.
    """
    bare = text.strip("\ufeff \t\r\n")
    before, _, after = text.partition(bare) if bare else (text, "", "")
    around = (f"begins with {before!r}", f"ends with {after!r}")
    for words, written in _written(value):
        if written == bare:
            return (*words, *around)
    return ("a style of its own", "", *around)


def differences(a: tuple[str, ...], b: tuple[str, ...], place: str) -> Iterator[Found]:
    """What differs between two styles, and nothing of what they share."""
    ours, theirs = (", ".join(one[at] for at in range(len(a)) if a[at] != b[at]) for one in (a, b))
    if ours != theirs:
        yield "style", place, ours or ABSENT, theirs or ABSENT


def _written(value: Any) -> Iterator[tuple[tuple[str, str], str]]:
    plain = json.dumps(value, ensure_ascii=False).isascii()
    for escaped in (True, False):
        how = "" if plain else "escapes" if escaped else "no escapes"
        for words, separators in _SEPARATORS.items():
            yield (words, how), json.dumps(value, ensure_ascii=escaped, separators=separators)
        for indent in _INDENTS:
            yield (
                (f"many lines, {indent} deep", how),
                json.dumps(value, ensure_ascii=escaped, indent=indent),
            )
