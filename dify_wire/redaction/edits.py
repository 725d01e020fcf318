"""Replaces parts of a body that comes in chunks; the borders stay between the same bytes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
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
        """``data`` with all edits made."""
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
        """The edits before ``cut``."""
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
