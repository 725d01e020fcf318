"""Looking for many secrets at once, in time that grows with the text and not with their number."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
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
_IN_WORDS = frozenset(
    b"%c" % code for code in range(128) if chr(code).isalnum() or code == ord("_")
)
_IN_NAMES = _IN_WORDS | {b"-"}
_LONGEST_CUT = 4096
"""Of a longer secret that was cut short, at least so many bytes are compared as a whole."""

_MOST_CUTS = 100
"""At so many places a longer secret may begin that was cut short."""


@dataclass(frozen=True, slots=True)
class Secret:
    """What is written in place of a secret, by which rule. ``word``: it is no part of a word, and
    no field's name.
    """

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
        self._indexes = _Index(), _Index(apart=True)
        self._to_index: dict[tuple[bytes, bool], None] = {}
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
            self._to_index[form.lower(), _stands_apart(secret)] = None

    def find(self, view: View) -> Iterator[Hit]:
        """Where in ``view`` secrets stand; of those that begin at the same place, the longest."""
        for start, forms in self._candidates(view.lowered):
            for lowered in forms:
                end = start + len(lowered)
                hit = next(
                    (
                        one
                        for form, one in self._forms[lowered]
                        if _is_meant(view, start, end, form, one)
                    ),
                    None,
                )
                if hit is not None:
                    yield Hit(start, end, hit)
                    break

    def cut(self, data: bytes, end: int, least: int) -> Hit | None:
        """The longest beginning of a secret, of at least ``least`` bytes, that stands before
        ``end``.
        """
        if self._sorted is None:
            self._sorted = sorted(form for forms in self._forms.values() for form, _ in forms)
        longest = max(map(len, self._forms), default=0)
        for form in self._sorted if longest > _LONGEST_CUT else ():
            begins = _found_singly([form[:_LONGEST_CUT]], data[max(0, end - len(form) + 1) : end])
            for at, _ in islice(begins, _MOST_CUTS) if len(form) > _LONGEST_CUT else ():
                start = at + max(0, end - len(form) + 1)
                if form.startswith(data[start:end]):
                    return Hit(start, end, self._secret(form))
        for start in range(max(0, end - min(longest, _LONGEST_CUT) + 1), end - least + 1):
            piece = data[start:end]
            place = bisect_left(self._sorted, piece)
            if place < len(self._sorted) and self._sorted[place].startswith(piece):
                return Hit(start, end, self._secret(self._sorted[place]))
        return None

    def _secret(self, form: bytes) -> Secret:
        return next(secret for known, secret in self._forms[form.lower()] if known == form)

    def _candidates(self, text: bytes) -> Iterator[tuple[int, Iterable[bytes]]]:
        """Where lower-case forms of secrets stand in ``text``, the longest first."""
        if len(self._forms) <= _FEW:
            most = len(text) // _STRIDE + _FEW
            found = list(islice(_found_singly(self._forms, text), most + 1))
            if len(found) <= most:
                yield from ((at, [form]) for at, form in found)
                return
        for form, apart in self._to_index:
            self._indexes[apart].add(form)
        self._to_index.clear()
        for index in self._indexes:
            yield from index.find(text)


class _Index:
    """Finds many forms at once: where some six bytes of one stand, and then by their order.

    With ``apart`` they are found only where no word goes before them.
    """

    def __init__(self, apart: bool = False) -> None:
        self._apart = apart
        self._known: set[bytes] = set()
        self._tiny: list[bytes] = []
        self._grams: tuple[dict[bytes, set[int]], dict[bytes, set[int]]] = {}, {}
        self._forms: list[bytes] = []
        self._beginnings: list[list[int]] | None = None
        """For each form in their order the lengths of all forms that it begins with, itself
        included.
        """

    def add(self, form: bytes) -> None:
        if form in self._known:
            return
        self._known.add(form)
        if len(form) < _GRAM:
            self._tiny.append(form)
            return
        self._forms.append(form)
        self._beginnings = None
        sampled = len(form) >= _SAMPLED
        for offset in range(_STRIDE if sampled else 1):
            self._grams[sampled].setdefault(form[offset : offset + _GRAM], set()).add(offset)

    def find(self, text: bytes) -> Iterator[tuple[int, Iterable[bytes]]]:
        """Where forms stand in ``text``, those that begin at the same place together, the longest
        first.
        """
        for at, form in _found_singly(self._tiny, text):
            yield at, [form]
        for grams, stride in zip(self._grams, (1, _STRIDE), strict=True):
            places = range(0, len(text) - _GRAM + 1, stride) if grams else ()
            for at in [at for at in places if text[at : at + _GRAM] in grams]:
                for offset in grams[text[at : at + _GRAM]]:
                    start = at - offset
                    if start >= 0 and not (
                        self._apart and text[max(0, start - 1) : start] in _IN_WORDS
                    ):
                        yield start, self._at(text, start)

    def _at(self, text: bytes, start: int) -> Iterator[bytes]:
        """The forms at ``start``. All of them are beginnings of the last form in order that is not
        behind the text.
        """
        if self._beginnings is None:
            self._forms.sort()
            self._beginnings = []
            for place, form in enumerate(self._forms):
                before = self._beginnings[-1] if place else []
                last = self._forms[place - 1]
                count = bisect_left(before, True, key=lambda size: not form.startswith(last[:size]))
                self._beginnings.append([*before[:count], len(form)])
        place = (
            bisect_left(self._forms, True, key=lambda form: form > text[start : start + len(form)])
            - 1
        )
        if place < 0:
            return
        form, sizes = self._forms[place], self._beginnings[place]
        count = bisect_left(sizes, True, key=lambda size: not text.startswith(form[:size], start))
        for size in reversed(sizes[:count]):
            yield form[:size]


def _found_singly(forms: Iterable[bytes], text: bytes) -> Iterator[tuple[int, bytes]]:
    for form in forms:
        at = text.find(form)
        while at >= 0:
            yield at, form
            at = text.find(form, at + 1)


def _is_meant(view: View, start: int, end: int, form: bytes, secret: Secret) -> bool:
    """Whether a short secret stands there in its own letter case, and a word by itself."""
    data = view.data
    if len(secret.text) < SHORT and data[start:end] != form:
        return False
    if not _stands_apart(secret):
        return True
    part = _IN_NAMES if secret.word else _IN_WORDS
    apart = data[max(0, start - 1) : start] not in part and data[end : end + 1] not in part
    return apart and not (secret.word and _FIELD_ENDS.match(data, end))


def _stands_apart(secret: Secret) -> bool:
    """Whether it is found as a word by itself only."""
    return secret.word or len(secret.text) < SHORT


def encoded(text: str) -> bytes:
    """``text`` as the bytes that it was read from."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _forms(secret: Secret) -> Iterator[tuple[bytes, Secret]]:
    """How a secret is written where no view makes it plain, each with what takes its place
    there.
    """
    text, plain = secret.text, encoded(secret.text)
    if _ONE_FORM.fullmatch(text):
        yield plain, secret
        return
    cases = [text]
    if not plain.isascii() or _ESCAPES.intersection(
        text
    ):  # else the lower-case form is that of all
        cases += [text.lower(), text.upper(), text.swapcase()]
    for one in dict.fromkeys([*cases, *(case.replace(" ", "+") for case in cases)]):
        for level in levels(
            encoded(one)
        ):  # what looks escaped in the secret itself is unescaped in the view too
            yield level, secret
    if plain.isascii():
        return
    for one in cases:
        yield (
            encoded(encoded(one).decode("latin-1")),
            secret,
        )  # bytes of UTF-8 that somebody read as Latin-1
    for coding in ("latin-1", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        written = text.encode(coding, "ignore")
        if written.decode(coding) == text:
            yield written, replace(secret, replacement=secret.replacement.decode().encode(coding))
