"""Replacing parts of a body that is cut into chunks, so that every border stays where it was among the bytes around."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Edit:
    """``data`` in place of the bytes from ``start`` to ``end``, by the rule of that name."""

    start: int
    end: int
    data: bytes
    rule: str


@dataclass(slots=True)
class Edits:
    """The edits of one body; where two overlap, the one that was added first holds, and the other's rest goes too."""

    _made: list[Edit] = field(default_factory=list)

    def add(self, edits: Iterable[Edit]) -> None:
        """Add ``edits`` of one rule, which do not overlap each other."""
        starts = [edit.start for edit in self._made]
        fresh = [part for edit in edits for part in self._free(edit, starts)]
        if fresh:
            self._made = sorted([*self._made, *fresh], key=lambda edit: edit.start)

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
        """Where ``borders``, in rising order, are after the edits. One inside a replaced part stays inside of it."""
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
        return Edits([edit for edit in self._made if edit.end <= cut])

    def _free(self, edit: Edit, starts: Sequence[int]) -> Iterable[Edit]:
        """What of ``edit`` is not replaced yet; parts of it go without a trace beside the older replacement."""
        index = max(0, bisect_right(starts, edit.start) - 1)
        at, first = edit.start, True
        while index < len(self._made):
            old = self._made[index]
            index += 1
            if old.start >= edit.end:
                break
            if old.end <= at:
                continue
            if old.start > at:
                yield Edit(at, old.start, edit.data if first else b"", edit.rule)
            at, first = old.end, False
        if at < edit.end:
            yield Edit(at, edit.end, edit.data if first else b"", edit.rule)
