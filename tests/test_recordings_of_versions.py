"""The fake of each later version gives the responses that a real host of that version gave."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dify_wire.exchange import Chunk, Recording
from tests.serving import RawAnswer, running_server
from tests.versions import (
    VERSIONS,
    Comparison,
    answer_differences,
    not_compared,
    outages,
    recordings,
    server_options,
)

pytestmark = pytest.mark.server

MOST_LEFT_OUT = 0.12
"""Of the exchanges of a version."""


def is_whole(one: Recording) -> bool:
    return not one.request.shortened and one.ended == "complete"


@pytest.mark.parametrize("version", VERSIONS)
def test_responses_of_a_version_are_the_recorded_ones(version: str) -> None:
    """Statuses, headers in their order, bodies, and the events of streams with their fields; in the
    order of recording, with all apps that have an export.
    """
    found: dict[str, list[str]] = {}
    with running_server(*server_options(version)) as server:
        comparison = Comparison.with_image(version, server)
        for name, one in recordings(version).items():
            if is_whole(one) and name not in not_compared(version):
                found[name] = comparison.differences(one)
    different = {name: words for name, words in found.items() if words}
    assert not different, "\n".join(f"{name}: {words[0]}" for name, words in different.items())
    assert len(found) > len(recordings(version)) * (1 - MOST_LEFT_OUT) * 0.97


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_not_compared_does_differ(version: str) -> None:
    """But for what waits for another request while it is open."""
    listed = [
        one
        for name, one in recordings(version).items()
        if is_whole(one) and not not_compared(version).get(name, "together").startswith("together")
    ]
    with running_server(*server_options(version)) as server:
        comparison = Comparison.with_image(version, server)
        equal = [one.name for one in listed if not comparison.differences(one)]
    assert equal == []


@pytest.mark.parametrize("version", VERSIONS)
def test_few_exchanges_are_left_out_and_each_has_a_reason(version: str) -> None:
    left_out = not_compared(version).keys() & recordings(version).keys()
    assert len(left_out) <= len(recordings(version)) * MOST_LEFT_OUT


def test_lists_name_recorded_exchanges() -> None:
    recorded = {name for version in VERSIONS for name in recordings(version)}
    assert set(outages()) <= recorded
    for version in VERSIONS:
        assert not_compared(version).keys() <= recordings(version).keys(), version


def test_comparison_sees_what_differs() -> None:
    one = recordings("1.14.2")["user_missing"]
    good = RawAnswer(
        f"HTTP/1.1 {one.status} {one.reason}", one.status, [*one.headers], one.body, []
    )
    assert answer_differences(one, good) == []
    for other in (
        replace(good, status=500),
        replace(good, headers=good.headers[:-1]),
        replace(good, headers=[*good.headers[:-2], good.headers[-1], good.headers[-2]]),
        replace(good, body=good.body.replace(b"user", b"User")),
    ):
        assert answer_differences(one, other), other
    stream = recordings("1.14.2")["stream_ok_no_model"]
    for text in (b'"reason":"initial"', b"event: ping\n\n"):
        chunks = [Chunk(one.at_s, one.data.replace(text, b"")) for one in stream.chunks]
        body = b"".join(chunk.data for chunk in chunks).replace(b",}", b"}")
        answer = replace(good, status=200, headers=[*stream.headers], body=body)
        assert answer_differences(stream, answer), text
