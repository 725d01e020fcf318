"""Looks for many secrets at once, in time that grows with the text and not with their number."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import NamedTuple

from dify_wire.redaction.views import View, levels

SHORT = 8
"""A secret of fewer characters is found only as a word by itself and in its own letter case."""

_FEW = 100
"""So many are looked for one by one: ``bytes.find`` is quicker than anything in Python."""

_START = 6
"""Of more, the first bytes of each are looked up at every place of the text."""

_MOST_CUTS = 1000
"""So many places are tried at which a secret may begin that was cut short."""

_NAME_ENDS = re.compile(rb"""[\\]{0,16}["']\s{0,99}:""")
_ONE_FORM = re.compile(r"[A-Za-z0-9_.:@+/=-]+")
_WORD = frozenset(b"%c" % code for code in range(128) if chr(code).isalnum() or code == ord("_"))
_NAME = _WORD | {b"-"}


class Secret(NamedTuple):
    """A secret, what replaces it, and the rule that says so. ``word``: it is found neither inside
    of a word nor as the name of a field.
    """

    text: str
    replacement: bytes
    rule: str
    word: bool = False

    @property
    def stands_apart(self) -> bool:
        """Whether it is found as a word by itself only."""
        return self.word or len(self.text) < SHORT


class Hit(NamedTuple):
    start: int
    end: int
    secret: Secret


class Needles:
    """The secrets to look for, in every form that a view cannot decode."""

    def __init__(self) -> None:
        self._secrets: dict[str, Secret] = {}
        self._forms: dict[bytes, list[tuple[bytes, Secret]]] = {}
        """By their lower-case bytes the forms as they are written."""
        self._short: set[bytes] = set()
        self._sizes: tuple[dict[bytes, set[int]], dict[bytes, set[int]]] = {}, {}
        """By first bytes the lengths of lower-case forms: those found anywhere, and those found as
        a word by themselves.
        """

    def __contains__(self, text: str) -> bool:
        return text in self._secrets

    def __len__(self) -> int:
        return len(self._secrets)

    def add(self, secret: Secret) -> None:
        """Look for ``secret`` from now on, if it is not looked for already."""
        if not secret.text or secret.text in self._secrets:
            return
        self._secrets[secret.text] = secret
        for form, written in _forms(secret):
            lowered = form.lower()
            self._forms.setdefault(lowered, []).append((form, written))
            if len(lowered) < _START:
                self._short.add(lowered)
            else:
                sizes = self._sizes[secret.stands_apart]
                sizes.setdefault(lowered[:_START], set()).add(len(lowered))

    def find(self, view: View) -> Iterator[Hit]:
        """Where secrets stand in ``view``; of those that begin at the same place, the longest."""
        for start, forms in self._candidates(view.lowered):
            for lowered in forms:
                end = start + len(lowered)
                found = (
                    Hit(start, end, secret)
                    for form, secret in self._forms[lowered]
                    if _stands_there(view, start, end, form, secret)
                )
                if (hit := next(found, None)) is not None:
                    yield hit
                    break

    def cut(self, data: bytes, end: int, least: int) -> Hit | None:
        """The longest beginning of a secret, of at least ``least`` bytes, that stands before
        ``end``.
        """
        hits = []
        for form, secret in chain.from_iterable(self._forms.values()):
            if len(form) >= least:
                first = max(0, end - len(form) + 1)
                starts = islice(_places(form[:least], data, first, end), _MOST_CUTS)
                whole = (at for at in starts if form.startswith(data[at:end]))
                hits += [Hit(at, end, secret) for at in islice(whole, 1)]
        return min(hits, key=lambda hit: hit.start, default=None)

    def _candidates(self, text: bytes) -> Iterator[tuple[int, Iterable[bytes]]]:
        """Where lower-case forms stand in ``text``, the longest first."""
        if len(self._forms) <= _FEW:
            singly = ((at, [form]) for form in self._forms for at in _places(form, text))
            found = list(islice(singly, len(text) // SHORT + _FEW))
            if len(found) < len(text) // SHORT + _FEW:  # else they are found again and again
                yield from found
                return
        for form in self._short:
            yield from ((at, [form]) for at in _places(form, text))
        anywhere, apart = self._sizes
        for at in range(len(text) - _START + 1):
            first = text[at : at + _START]
            if first not in anywhere and first not in apart:
                continue
            sizes = anywhere.get(first, set())
            if text[max(0, at - 1) : at] not in _WORD:
                sizes = sizes | apart.get(first, set())
            pieces = (text[at : at + size] for size in sorted(sizes, reverse=True))
            yield at, (piece for piece in pieces if piece in self._forms)


def _places(form: bytes, text: bytes, first: int = 0, end: int | None = None) -> Iterator[int]:
    at = text.find(form, first, end)
    while at >= 0:
        yield at
        at = text.find(form, at + 1, end)


def _stands_there(view: View, start: int, end: int, form: bytes, secret: Secret) -> bool:
    """Whether a short secret has its own letter case there, and is a word by itself."""
    data = view.data
    if len(secret.text) < SHORT and data[start:end] != form:
        return False
    if not secret.stands_apart:
        return True
    part = _NAME if secret.word else _WORD
    apart = data[max(0, start - 1) : start] not in part and data[end : end + 1] not in part
    return apart and not (secret.word and _NAME_ENDS.match(data, end))


def encoded(text: str) -> bytes:
    """``text`` as the bytes that it was read from."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _forms(secret: Secret) -> Iterator[tuple[bytes, Secret]]:
    """How a secret is written where no view decodes it, each with what replaces it there."""
    text, plain = secret.text, encoded(secret.text)
    if _ONE_FORM.fullmatch(text):
        yield plain, secret
        return
    cases = [text]
    if not plain.isascii() or not {"\\", "%", "&"}.isdisjoint(text):
        cases += [text.lower(), text.upper(), text.swapcase()]  # else lower case stands for all
    for one in dict.fromkeys([*cases, *(case.replace(" ", "+") for case in cases)]):
        for level in levels(encoded(one)):  # a view decodes what looks escaped in the secret too
            yield level, secret
    if plain.isascii():
        return
    for one in cases:  # bytes of UTF-8 that somebody read as Latin-1
        yield encoded(encoded(one).decode("latin-1")), secret
    for coding in ("latin-1", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        written = text.encode(coding, "ignore")
        if written.decode(coding) == text:
            yield written, secret._replace(replacement=secret.replacement.decode().encode(coding))
