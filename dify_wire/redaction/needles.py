"""Looking for many secrets at once, in time that grows with the text and not with their number."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from dify_wire.redaction.views import View, levels

SHORT = 8
"""A secret of fewer characters is looked for as a word of its own and in its own letter case."""

_FEW = 100
"""So many are looked for one by one: ``bytes.find`` is quicker than anything in Python."""

_GRAM = 6
_STRIDE = 8
_SAMPLED = _GRAM + _STRIDE - 1
"""Of what is at least this long, every eighth place of a text shows some six bytes."""

_FIELD_ENDS = re.compile(rb"""[\\]{0,16}["']\s{0,99}:""")
_ONE_FORM = re.compile(r"[A-Za-z0-9_.:@+/=-]+")
_ESCAPES = frozenset("\\%&")
_IN_WORDS = frozenset(b"%c" % code for code in range(128) if chr(code).isalnum() or code == ord("_"))
_IN_NAMES = _IN_WORDS | {b"-"}
_Grams = dict[bytes, set[tuple[int, int]]]


@dataclass(frozen=True, slots=True)
class Secret:
    """What is written in place of a secret, by which rule. ``word``: it is no part of a word, and no field's name."""

    text: str
    replacement: bytes
    rule: str
    word: bool = False


class Hit(NamedTuple):
    start: int
    end: int
    secret: Secret


class Needles:
    """The secrets that are looked for, in every form that a view cannot take off."""

    def __init__(self) -> None:
        self._secrets: dict[str, Secret] = {}
        self._forms: dict[bytes, list[tuple[bytes, Secret]]] = {}
        self._indexed: tuple[list[bytes], _Grams, _Grams] = [], {}, {}
        self._count = 0
        self._sorted: list[bytes] | None = None

    def __contains__(self, text: str) -> bool:
        return text in self._secrets

    def __len__(self) -> int:
        return len(self._secrets)

    def add(self, secret: Secret) -> None:
        """Look for ``secret`` from now on, if it is not looked for already."""
        if not secret.text or secret.text in self._secrets:
            return
        self._secrets[secret.text] = secret
        self._sorted = None
        for form, written in _forms(secret):
            self._forms.setdefault(form.lower(), []).append((form, written))

    def find(self, view: View) -> Iterator[Hit]:
        """Where in ``view`` secrets stand."""
        for start, lowered in self._candidates(view.lowered):
            end = start + len(lowered)
            for form, secret in self._forms[lowered]:
                if _is_meant(view, start, end, form, secret):
                    yield Hit(start, end, secret)
                    break

    def cut(self, data: bytes, end: int, least: int) -> Hit | None:
        """The longest beginning of a secret, of at least ``least`` bytes, that stands before ``end``."""
        if self._sorted is None:
            self._sorted = sorted(form for forms in self._forms.values() for form, _ in forms)
        longest = max(map(len, self._forms), default=0)
        for start in range(max(0, end - longest + 1), end - least + 1):
            piece = data[start:end]
            place = bisect_left(self._sorted, piece)
            if place < len(self._sorted) and self._sorted[place].startswith(piece):
                form = self._sorted[place]
                return Hit(start, end, next(one for known, one in self._forms[form.lower()] if known == form))
        return None

    def _candidates(self, text: bytes) -> Iterator[tuple[int, bytes]]:
        """Where the lower-case form of a secret stands in ``text``."""
        if len(self._forms) <= _FEW:
            yield from _found_singly(self._forms, text)
            return
        tiny, grams, sampled = self._index()
        yield from _found_singly(tiny, text)
        for table, stride in ((grams, 1), (sampled, _STRIDE)):
            places = range(0, len(text) - _GRAM + 1, stride) if table else ()
            for at in [at for at in places if text[at : at + _GRAM] in table]:
                for offset, length in table[text[at : at + _GRAM]]:
                    form = text[at - offset : at - offset + length] if at >= offset else b""
                    if form in self._forms:
                        yield at - offset, form

    def _index(self) -> tuple[list[bytes], _Grams, _Grams]:
        """The forms that are too short for a table, and where in others some six bytes stand: (offset, length)."""
        tiny, grams, sampled = self._indexed
        for form in list(self._forms)[self._count :]:
            if len(form) < _GRAM:
                tiny.append(form)
                continue
            table, offsets = (sampled, _STRIDE) if len(form) >= _SAMPLED else (grams, 1)
            for offset in range(offsets):
                table.setdefault(form[offset : offset + _GRAM], set()).add((offset, len(form)))
        self._count = len(self._forms)
        return self._indexed


def _found_singly(forms: Iterable[bytes], text: bytes) -> Iterator[tuple[int, bytes]]:
    for form in forms:
        at = text.find(form)
        while at >= 0:
            yield at, form
            at = text.find(form, at + 1)


def _is_meant(view: View, start: int, end: int, form: bytes, secret: Secret) -> bool:
    """Whether a short secret stands there in its own letter case, and a word by itself."""
    data = view.data
    short = len(secret.text) < SHORT
    if short and data[start:end] != form:
        return False
    if not (short or secret.word):
        return True
    part = _IN_NAMES if secret.word else _IN_WORDS
    apart = data[max(0, start - 1) : start] not in part and data[end : end + 1] not in part
    return apart and not (secret.word and _FIELD_ENDS.match(data, end))


def encoded(text: str) -> bytes:
    """``text`` as the bytes that it was read from."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _forms(secret: Secret) -> Iterator[tuple[bytes, Secret]]:
    """How a secret is written where no view makes it plain, each with what takes its place there."""
    text, plain = secret.text, encoded(secret.text)
    if _ONE_FORM.fullmatch(text):
        yield plain, secret
        return
    cases = [text]
    if not plain.isascii() or _ESCAPES.intersection(text):  # else the lower-case form is that of all
        cases += [text.lower(), text.upper(), text.swapcase()]
    for one in dict.fromkeys([*cases, *(case.replace(" ", "+") for case in cases)]):
        for level in levels(encoded(one)):  # what looks escaped in the secret itself is unescaped in the view too
            yield level, secret
    if plain.isascii():
        return
    for one in cases:
        yield encoded(encoded(one).decode("latin-1")), secret  # bytes of UTF-8 that somebody read as Latin-1
    for coding in ("latin-1", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        written = text.encode(coding, "ignore")
        if written.decode(coding) == text:
            yield written, replace(secret, replacement=secret.replacement.decode().encode(coding))
