"""What behaviours do to a request, without a socket: segments, compositions, and every app that was
recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from fake_server.app import FakeServer, create_app
from fake_server.http.faults import rest_of_filters, through_filters
from fake_server.scenarios.behaviour import Behaviour
from fake_server.scenarios.behaviours import BEHAVIOURS
from fake_server.scenarios.effects import BodyFilter, Break, Pause, Segment
from fake_server.settings import Settings
from tests.asgi import client, json_headers, run_body, scope
from tests.recorded import APPS

pytestmark = pytest.mark.server

# Segments
# ---

_texts = st.text(st.sampled_from('ab猫犬🐈\\"\n\x00é'), max_size=8)
_events = st.builds(
    lambda text, number: {"event": "node_started", "text": text, "n": number}, _texts, st.integers()
)
_frame = _events.map(lambda event: b"data: " + json.dumps(event).encode() + b"\n\n") | st.just(
    b"event: ping\n\n"
)
_stream = st.lists(_frame, max_size=8)
_body = _events.map(lambda event: [json.dumps(event).encode()]) | st.binary(min_size=1).map(
    lambda data: [data]
)
_answer = _stream | _body


def _made(name: str, **parameters: object) -> BodyFilter:
    [make] = BEHAVIOURS[name].make(**parameters).body_filters
    return make()


_counts = st.integers(1, 40)
_keeping: st.SearchStrategy[BodyFilter] = st.one_of(
    st.just("buffered_stream").map(_made),
    _counts.map(lambda count: _made("coalesced_frames", count=count)),
    _counts.map(lambda every: _made("split_frames", every=every)),
    st.just("escape").map(lambda where: _made("split_frames", where=where)),
    _counts.map(lambda rate: _made("slow_body", bytes_per_second=rate)),
)
"""Makers that let every byte through."""


def _segments(filters: list[BodyFilter], chunks: Iterable[bytes]) -> list[Segment]:
    """All that becomes of ``chunks``."""
    fed = itertools.chain.from_iterable(through_filters(filters, chunk) for chunk in chunks)
    return [*fed, *rest_of_filters(filters)]


def _bytes(segments: Iterable[Segment]) -> bytes:
    return b"".join(segment for segment in segments if isinstance(segment, bytes))


@given(_answer, st.lists(_keeping, max_size=3))
def test_whatever_is_cut_into_segments_is_the_same_joined(
    chunks: list[bytes], filters: list[BodyFilter]
) -> None:
    segments = _segments(filters, chunks)
    assert _bytes(segments) == b"".join(chunks)
    assert b"" not in segments
    assert not any(isinstance(segment, Break) for segment in segments)


@given(_answer, _counts)
def test_no_segment_is_longer_than_given(chunks: list[bytes], every: int) -> None:
    sizes = [
        len(segment)
        for segment in _segments([_made("split_frames", every=every)], chunks)
        if isinstance(segment, bytes)
    ]
    assert max(sizes, default=0) <= every
    assert len(sizes) == sum(-(-len(chunk) // every) for chunk in chunks)


@given(_stream)
def test_every_escape_is_cut(frames: list[bytes]) -> None:
    segments = _segments([_made("split_frames", where="escape")], frames)
    cut = [
        segment
        for segment in segments
        if isinstance(segment, bytes) and re.search(rb"\\u[0-9a-f]\Z", segment)
    ]
    assert len(cut) == len(re.findall(rb"\\u[0-9a-f]{4}", b"".join(frames)))


@given(_stream)
def test_unescaped_text_says_the_same(frames: list[bytes]) -> None:
    """And every character of more than one byte is cut."""
    segments = _segments([_made("split_frames", where="utf8")], frames)
    joined = _bytes(segments)
    assert [_parsed(frame) for frame in joined.split(b"\n\n")] == [
        _parsed(frame) for frame in b"".join(frames).split(b"\n\n")
    ]
    cut = [segment for segment in segments if isinstance(segment, bytes) and segment[-1] >= 0xC0]
    assert len(cut) == sum(byte >= 0xC0 for byte in joined)


def _parsed(frame: bytes) -> object:
    return json.loads(frame.removeprefix(b"data: ")) if frame.startswith(b"data: ") else frame


@given(_answer, _counts)
def test_pauses_take_as_long_as_the_rate_says(chunks: list[bytes], rate: int) -> None:
    segments = _segments([_made("slow_body", bytes_per_second=rate)], chunks)
    took_s = sum(segment.seconds for segment in segments if isinstance(segment, Pause))
    whole, tick = len(b"".join(chunks)), max(1, round(rate * 0.1))
    assert whole / rate <= took_s + 1e-6
    assert took_s <= (whole + len(chunks) * tick) / rate + 1e-6


@given(_stream, st.integers(0, 9), st.booleans(), st.booleans())
def test_a_cut_stream_is_the_beginning_of_the_whole(
    frames: list[bytes], after: int, mid_frame: bool, reset: bool
) -> None:
    """So many events come, what is between them, and of the next one only the beginning; then
    nothing ever.
    """
    body_filter = (
        _made("connection_reset", after=after)
        if reset
        else _made("cut_stream", after=after, mid_frame=mid_frame)
    )
    found = _segments([body_filter], frames)
    segments = list(itertools.takewhile(lambda segment: not isinstance(segment, Break), found))
    assert found[len(segments)] == Break(reset)
    assert b"".join(frames).startswith(_bytes(segments))
    events = sum(frame.startswith(b"data: {") for frame in frames)
    assert len(re.findall(rb"data: {.*?\n\n", _bytes(segments))) == min(after, events)


@given(_stream, st.lists(_keeping, max_size=2), st.integers(0, 9))
def test_what_holds_bytes_back_sends_them_before_the_connection_ends(
    frames: list[bytes], filters: list[BodyFilter], after: int
) -> None:
    def sent(filters: list[BodyFilter]) -> bytes:
        segments = _segments(filters, frames)
        return _bytes(itertools.takewhile(lambda segment: not isinstance(segment, Break), segments))

    assert sent([_made("cut_stream", after=after), *filters]) == sent(
        [_made("cut_stream", after=after)]
    )


@given(
    _stream,
    st.integers(0, 9),
    st.sampled_from(["truncated", "not_json", "no_data", "invalid_utf8"]),
)
def test_one_event_alone_is_malformed(frames: list[bytes], after: int, how: str) -> None:
    segments = _segments([_made("malformed_event", after=after, how=how)], frames)
    events = [index for index, frame in enumerate(frames) if frame.startswith(b"data: {")]
    changed = [
        index
        for index, (frame, segment) in enumerate(zip(frames, segments, strict=True))
        if frame != segment
    ]
    assert changed == events[after : after + 1]
    assert all(isinstance(segment, bytes) and segment.endswith(b"\n\n") for segment in segments)


# Compositions
# ---

ALL = list(BEHAVIOURS.values())


@pytest.fixture(scope="module")
def app() -> FakeServer:
    apps = tuple((f"app-{path.stem}", str(path)) for path in _app_files())
    return create_app(Settings(speed=None, seed=1, apps=apps))


def _app_files() -> list[Path]:
    return sorted(APPS.glob("*.yml"))


def _played(app: FakeServer, scenario: str, mode: str, key: str) -> list[Message]:
    """What is sent to a client that leaves when it has said everything; fails for whatever goes
    wrong behind it.
    """

    async def play() -> list[Message]:
        messages: list[Message] = []

        async def send(message: Message) -> None:
            messages.append(message)

        headers = {**json_headers(key), "X-Fake-Scenario": scenario}
        request = scope("POST", "/v1/workflows/run", headers)
        async with asyncio.timeout(10):
            with contextlib.suppress(
                ConnectionResetError
            ):  # where a socket would have been broken off
                await app(request, client(run_body("a cat", mode), leaves=True), send)
            left = list(app.host.store.background)
            for _ in range(9):
                await asyncio.sleep(0)
            app.reset()  # ends what a gateway has left
            await asyncio.gather(*left)
        assert (app.host.store.runs_running, app.host.counters.running, app.host.clock.waiting) == (
            0,
            0,
            0,
        )
        return messages

    return asyncio.run(play())


def _meet(one: Behaviour, other: Behaviour) -> bool:
    return one.exclusion({}) != other.exclusion({})


@pytest.mark.parametrize("mode", ["blocking", "streaming"])
@pytest.mark.parametrize("one", ALL, ids=lambda one: one.name)
def test_any_two_behaviours_act_together_and_come_to_an_end(
    app: FakeServer, caplog: pytest.LogCaptureFixture, one: Behaviour, mode: str
) -> None:
    """In one order in each mode, whatever they leave of the response."""
    with caplog.at_level(logging.ERROR):
        for other in ALL[: ALL.index(one)] if mode == "blocking" else ALL[ALL.index(one) :]:
            if _meet(one, other):
                messages = _played(
                    app, f"{one.name}, {other.name}", mode, app.host.settings.api_keys[0]
                )
                assert [message for message in messages if message.get("status") == 400] == [], (
                    other.name
                )
    assert caplog.records == []


@pytest.mark.parametrize("path", _app_files(), ids=lambda path: path.stem)
def test_every_behaviour_acts_on_every_recorded_app(
    app: FakeServer, caplog: pytest.LogCaptureFixture, path: Path
) -> None:
    """Graphs without an image, without an end, without nodes: none of them makes a behaviour
    fail.
    """
    with caplog.at_level(logging.ERROR):
        for one, mode in itertools.product(ALL, ("blocking", "streaming")):
            _played(app, one.name, mode, f"app-{path.stem}")
    assert caplog.records == []
