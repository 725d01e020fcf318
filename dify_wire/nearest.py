"""The right word for a wrong one."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

_LONGEST = 80
_MOST = 500


def nearest(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` when something in ``known`` is close to ``word``, else nothing.

    Words over 80 characters and all but the first 500 of ``known`` are not compared: difflib takes
    time that grows with the square of their length.
    """
    if len(word) > _LONGEST:
        return ""
    import difflib

    words = [one for one in islice(known, _MOST) if len(one) <= _LONGEST]
    close = difflib.get_close_matches(word, words, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
