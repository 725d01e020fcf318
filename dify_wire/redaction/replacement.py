"""What replaces a secret, and how it is put into a body that comes in chunks.

In a recording a secret becomes a pseudonym: of the secret's form, equal where it was equal, and of
no use. Its salt lives as long as the recorder and is written nowhere, so that secrets cannot be
tried out on a recording. In a log, the journal and a report the same mark replaces all.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

GONE = "redacted"
"""In a recording, in place of what need not be distinguished."""

REDACTED = "[redacted]"
"""In a log, the journal and a report, in place of any secret."""

USER = re.compile(r"user-[0-9a-f]{8}")
"""The pseudonym of a caller's user."""

KEY = re.compile(r"\{\{key:([^{}]*)\}\}")
"""The pseudonym of an API key; its group is the label."""

_HEX = re.compile(r"[0-9a-f]+")
_LONGEST_USER = 255


def is_a_name(user: str) -> bool:
    """Whether ``user`` may be somebody: the database takes no longer one and no NUL (FACTS 3)."""
    return 0 < len(user) <= _LONGEST_USER and "\0" not in user


class Marks:
    """The same mark for every secret."""

    gone = REDACTED
    keeps_padding = False
    """Whether a signature's padding stays."""

    def key(self, key: str, label: str | None) -> str:
        return self.gone

    def user(self, user: str) -> str:
        return self.gone

    def token(self, token: str) -> str:
        """In place of a nonce, or of a signature without its padding."""
        return self.gone


class Pseudonyms(Marks):
    """The same pseudonyms for the same ``salt``: a key's label in braces, tokens as long as they
    were and of the same alphabet.
    """

    gone = GONE
    keeps_padding = True

    def __init__(self, salt: bytes | None = None) -> None:
        self._salt = salt or secrets.token_bytes(32)

    def key(self, key: str, label: str | None) -> str:
        return f"{{{{key:{label or 'unknown-' + self._digest('key', key).hex()[:8]}}}}}"

    def user(self, user: str) -> str:
        return f"user-{self._digest('user', user).hex()[:8]}"

    def token(self, token: str) -> str:
        digest = hashlib.shake_256(self._digest("token", token)).digest(len(token))
        is_hex = _HEX.fullmatch(token)
        letters = digest.hex() if is_hex else base64.urlsafe_b64encode(digest).decode()
        return letters[: len(token)]

    def _digest(self, kind: str, secret: str) -> bytes:
        message = f"{kind}\0{secret}".encode("utf-8", "surrogateescape")
        return hmac.digest(self._salt, message, "sha256")


class Edit(NamedTuple):
    """``data`` in place of the bytes from ``start`` to ``end``, by the rule of that name."""

    start: int
    end: int
    data: bytes
    rule: str


class Edits:
    """The edits of one body. Of those that overlap the first one added counts, for all that they
    cover.
    """

    def __init__(self, edits: Iterable[Edit] = ()) -> None:
        self._made: list[Edit] = []
        self.add(edits)

    def add(self, edits: Iterable[Edit]) -> None:
        """Add ``edits``, which come after those that are there already."""
        ranked = [(edit, 0) for edit in self._made]
        ranked += [(edit, rank) for rank, edit in enumerate(edits, 1)]
        ranked.sort(key=lambda one: (one[0].start, one[1]))
        merged: list[tuple[Edit, int]] = []
        for edit, rank in ranked:
            if not merged or edit.start >= merged[-1][0].end:
                merged.append((edit, rank))
                continue
            last, last_rank = merged[-1]
            winner = edit if rank < last_rank else last
            whole = Edit(last.start, max(last.end, edit.end), winner.data, winner.rule)
            merged[-1] = whole, min(rank, last_rank)
        self._made = [edit for edit, _ in merged]

    def __iter__(self) -> Iterator[Edit]:
        return iter(self._made)

    def rules(self) -> set[str]:
        return {edit.rule for edit in self._made}

    def apply(self, data: bytes) -> bytes:
        parts, at = [], 0
        for edit in self._made:
            parts += [data[at : edit.start], edit.data]
            at = edit.end
        return b"".join([*parts, data[at:]])

    def moved(self, borders: Sequence[int]) -> list[int]:
        """Where ``borders``, in rising order, are after the edits."""
        moved, grown, index = [], 0, 0
        for border in borders:
            while index < len(self._made) and self._made[index].end <= border:
                edit = self._made[index]
                grown += len(edit.data) - (edit.end - edit.start)
                index += 1
            if index < len(self._made) and self._made[index].start < border:
                edit = self._made[index]
                moved.append(edit.start + grown + min(border - edit.start, len(edit.data)))
            else:
                moved.append(border + grown)
        return moved

    def cut_at(self, place: int) -> bool:
        """Whether ``place`` is inside of no edit."""
        index = bisect_left(self._made, place, key=lambda edit: edit.start)
        return index == 0 or self._made[index - 1].end <= place

    def up_to(self, cut: int) -> Edits:
        return Edits(edit for edit in self._made if edit.end <= cut)

    def recoded(self, data: bytes, coding: str) -> Edits:
        """The same edits of ``data``, which is UTF-8, for the text in ``coding``."""
        made, read, at = [], 0, 0
        for edit in self._made:
            start = at + _size(data[read : edit.start], coding)
            at = start + _size(data[edit.start : edit.end], coding)
            read = edit.end
            written = edit.data.decode("utf-8", "replace").encode(coding)
            made.append(Edit(start, at, written, edit.rule))
        return Edits(made)


def _size(data: bytes, coding: str) -> int:
    return len(data.decode("utf-8", "surrogatepass").encode(coding, "surrogatepass"))
