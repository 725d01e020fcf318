"""Accidental values: with a seed they depend on seed, request and how-many-th, and on nothing
else.
"""

from __future__ import annotations

import random
import subprocess
import sys
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_server.runs.random_values import RandomSource, RandomValues, uuid4_for, uuid4_text

REQUESTS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=12)


def drawn(draw: RandomValues) -> tuple[str, str, float, int]:
    """One of everything."""
    return draw.uuid(), draw.nonce(), draw.vary(10, 0.1), draw.getrandbits(32)


def values(
    seed: int | None, requests: list[str]
) -> dict[tuple[str, int], tuple[str, str, float, int]]:
    """What each request and how-many-th got."""
    source = RandomSource(seed)
    times: dict[str, int] = {}
    found = {}
    for request in requests:
        times[request] = times.get(request, 0) + 1
        found[request, times[request]] = drawn(source.for_request(request))
    return found


@given(seed=st.integers(), requests=REQUESTS, shuffled=st.randoms())
def test_with_a_seed_only_the_request_and_its_number_count(
    seed: int, requests: list[str], shuffled: random.Random
) -> None:
    """In whatever order requests arrive, the n-th of a kind gets the same values."""
    other = list(requests)
    shuffled.shuffle(other)
    assert values(seed, requests) == values(seed, other)


def test_a_draw_that_goes_on_disturbs_no_other() -> None:
    """How much one run draws does not change what the next one gets."""
    one, other = RandomSource(1), RandomSource(1)
    busy = one.for_request("a")
    for _ in range(100):
        busy.nonce()
    other.for_request("a")
    assert drawn(one.for_request("a")) == drawn(other.for_request("a"))


def test_different_seeds_requests_and_numbers_differ() -> None:
    """None of the three is without effect."""
    first = values(1, ["a", "a", "b"])
    second = values(2, ["a"])
    found = [*first.values(), *second.values()]
    assert len(set(found)) == 4
    assert len({each[0] for each in found}) == 4


def test_without_a_seed_every_run_is_new() -> None:
    """Neither within a server nor between two of them is anything equal."""
    found = [*values(None, ["a", "a"]).values(), *values(None, ["a", "a"]).values()]
    assert len({part for each in found for part in each}) == 16


def test_seeded_values_are_the_same_in_every_process() -> None:
    """They hang on no hash that Python salts."""
    code = (
        "from fake_server.runs.random_values import RandomSource as D; "
        "print(D(7).for_request('猫').uuid())"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            check=True,
            env={"PYTHONHASHSEED": salt},
        ).stdout
        for salt in ("1", "2")
    }
    assert printed == {f"{RandomSource(7).for_request('猫').uuid()}\n".encode()}


@given(st.integers(0, 2**128 - 1))
def test_a_uuid_is_of_version_4(bits: int) -> None:
    """Its text is what Python writes for a random UUID of the same bits, in lower case."""
    text = uuid4_text(bits)
    read = uuid.UUID(text)
    assert (str(read), read.version, read.variant) == (text, 4, uuid.RFC_4122)
    assert text == str(uuid.UUID(int=bits, version=4))


@given(st.lists(st.text(), max_size=3), st.lists(st.text(), max_size=3))
def test_a_name_always_has_the_same_uuid(names: list[str], others: list[str]) -> None:
    """Equal names have one, other names another, wherever one name ends and the next begins."""
    assert uuid4_for(*names) == uuid4_for(*names)
    assert uuid.UUID(uuid4_for(*names)).version == 4
    if names != others and "\x1f" not in "".join([*names, *others]) and [""] not in (names, others):
        assert uuid4_for(*names) != uuid4_for(*others)


@pytest.mark.parametrize("spread", [0.0, 0.1, 1.0])
def test_around_stays_within_the_spread(spread: float) -> None:
    """And uses it: both ends are come near to."""
    draw = RandomSource(1).for_request("a")
    found = [draw.vary(10, spread) for _ in range(500)]
    assert 10 * (1 - spread) <= min(found) <= 10 * (1 - spread * 0.95)
    assert 10 * (1 + spread * 0.95) <= max(found) <= 10 * (1 + spread)


def test_the_memory_of_requests_drops_the_oldest() -> None:
    """The memory of requests is bounded: what comes back after being forgotten counts from one
    again.
    """
    source = RandomSource(1, remembered=2)
    first = source.for_request("a").uuid()
    source.for_request("b")
    second = source.for_request("a").uuid()  # asked again, so b is the oldest now
    source.for_request("c")
    assert source.for_request("a").uuid() not in (first, second)
    source.for_request("b")
    source.for_request("c")
    assert source.for_request("a").uuid() == first


def test_a_nonce_is_sixteen_bytes_in_hexadecimal() -> None:
    """With its leading zeros."""
    draw = RandomSource(1).for_request("a")
    for _ in range(300):
        nonce = draw.nonce()
        assert len(nonce) == 32
        assert set(nonce) <= set("0123456789abcdef")
