"""Many secrets are found at once: the same ones as one by one, in time that grows with the text."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dify_wire.redaction.needles import Needles, Secret
from dify_wire.redaction.views import View

_MANY = ["q" + "".join(letters) + "z" * 5 for letters in product("cdefg", repeat=3)]
"""More than are looked for one by one."""

_words = st.text("ab-", min_size=6, max_size=40)


def covered(needles: Needles, text: bytes) -> set[int]:
    """The places in ``text`` at which a secret is found."""
    return {place for hit in needles.find(View(text)) for place in range(hit.start, hit.end)}


def looking_for(*secrets: Secret) -> Needles:
    needles = Needles()
    for secret in secrets:
        needles.add(secret)
    return needles


@given(
    st.lists(st.tuples(_words, st.booleans()), min_size=1, max_size=8),
    st.text("ab- ", max_size=200),
)
def test_many_are_found_wherever_each_is_found_alone(
    wanted: list[tuple[str, bool]], text: str
) -> None:
    secrets = [Secret(word, b"", "keys", whole) for word, whole in wanted]
    first: dict[str, Secret] = {}
    for secret in secrets:
        first.setdefault(secret.text, secret)
    alone = set().union(*(covered(looking_for(secret), text.encode()) for secret in first.values()))
    many = looking_for(*secrets, *(Secret(word, b"", "keys") for word in _MANY))
    assert covered(many, text.encode()) == alone


def test_what_is_added_after_a_search_is_found_by_the_next_one() -> None:
    needles = looking_for(
        Secret("ab-ab-ab-", b"", "user", word=True), *(Secret(one, b"", "keys") for one in _MANY)
    )
    assert not covered(needles, b"xab-ab-ab-x")
    needles.add(Secret("AB-ab-ab-", b"", "keys"))
    assert covered(needles, b"xab-ab-ab-x") == set(range(1, 10))


@pytest.mark.slow
def test_beginnings_of_each_other_take_no_time_whatever_the_text() -> None:
    """The suite's own limit is the watch."""
    for most in (90, 255):
        needles = looking_for(
            *(Secret("a" * size, b"", "user", word=True) for size in range(6, most))
        )
        assert not list(needles.find(View(b"a" * 30_000)))
        needles = looking_for(*(Secret("a" * size, b"", "keys") for size in range(8, most)))
        assert {hit.start for hit in needles.find(View(b"a" * 30_000))} >= set(range(30_000 - most))


def test_the_beginning_of_a_secret_is_found_at_an_end_however_long_it_is() -> None:
    long = "".join(f"{number:x}." for number in range(200_000))
    needles = looking_for(Secret(long, b"", "keys"))
    for size in (4, 4095, 4096, 4097, len(long) - 1):
        hit = needles.cut(b"x" * 9 + long.encode()[:size], 9 + size, 4)
        assert hit is not None
        assert hit.start == 9
    assert needles.cut(b"y" * 1_000_000, 1_000_000, 4) is None
