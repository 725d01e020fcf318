"""Replacing parts of a body keeps everything around them, and every border between chunks in its
place.
"""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dify_wire.redaction.replacement import Edit, Edits

_DATA = bytes(range(65, 91))
_spans = st.lists(st.integers(0, len(_DATA)), min_size=2, max_size=6, unique=True).map(sorted)


def edits_of(rule: str, places: list[int], written: bytes) -> list[Edit]:
    """Every second piece between ``places``."""
    return [Edit(start, end, written, rule) for start, end in list(pairwise(places))[::2]]


@given(
    st.lists(st.tuples(_spans, st.binary(max_size=3)), max_size=4),
    st.lists(st.integers(0, len(_DATA))).map(sorted),
)
def test_nothing_that_was_to_go_stays_and_nothing_else_goes(
    rules: list[tuple[list[int], bytes]], borders: list[int]
) -> None:
    edits, gone = Edits(), set()
    for number, (places, written) in enumerate(rules):
        made = edits_of(f"rule {number}", places, written.lower().translate(None, _DATA))
        edits.add(made)
        gone |= {letter for edit in made for letter in _DATA[edit.start : edit.end]}
    applied = edits.apply(_DATA)
    assert bytes(letter for letter in applied if letter in _DATA) == bytes(
        one for one in _DATA if one not in gone
    )
    moved = edits.moved(borders)
    assert moved == sorted(moved)
    for border, place in zip(borders, moved, strict=True):
        if edits.cut_at(border):
            assert applied[:place] == edits.up_to(border).apply(_DATA[:border])


def test_where_two_overlap_the_first_holds_and_the_rest_of_the_other_goes() -> None:
    edits = Edits()
    edits.add([Edit(2, 4, b"<one>", "one")])
    edits.add([Edit(3, 6, b"<two>", "two"), Edit(2, 4, b"<three>", "three")])
    assert edits.apply(b"abcdefgh") == b"ab<one>gh"
    assert edits.rules() == {"one"}


def test_a_border_inside_of_a_replaced_part_stays_inside_of_it() -> None:
    edits = Edits()
    edits.add([Edit(2, 6, b"xy", "r")])
    assert edits.apply(b"abcdefgh") == b"abxygh"
    assert edits.moved([0, 2, 3, 5, 6, 8]) == [0, 2, 3, 4, 4, 6]
