"""The recorder's parts by themselves: what they refuse, and what they do when the disk or a process
fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import queue
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dify_wire.exchange import Recording, Request
from dify_wire.recording.bodies import Spool
from dify_wire.recording.folder import RecordingWriter, read_folder
from dify_wire.redaction.exchange import RecordingRedactor
from fake_server.recorder.labels import KeyLabels
from fake_server.recorder.open_exchange import OpenExchange
from fake_server.recorder.proxy import RecordingProxy
from fake_server.recorder.settings import RecorderSettings
from fake_server.recorder.upstream import Answer, Upstream, UpstreamRequest, end_to_end
from fake_server.recorder.writing import (
    ANSWER,
    REQUEST,
    BodyChunk,
    End,
    ExchangeWriter,
    Finish,
    Written,
)
from fake_server.recorder.writing_queue import ROOM_BYTES, WritingQueue
from fake_server.settings import SettingsError

RUN = "/v1/workflows/run"
JSON = "application/json"
HEAD = Recording(
    name="",
    app=None,
    note="",
    sent_at=1.0,
    host="h",
    host_version="",
    request=Request("GET", "/x", (), b""),
    status=200,
    reason="OK",
    headers=(("Content-Type", "text/plain"),),
    chunks=(),
    seconds=1.0,
)
PICTURE_REQUEST = Request("GET", f"/files/tools/{'a' * 36}.png?timestamp=1&nonce=b&sign=c", (), b"")


# Labels
# -------------------------------------------------------------------------------------------------------------


def asked_with(
    authorization: str, status: int = 200, method: str = "POST", path: str = RUN, kind: str = JSON
) -> Recording:
    """An exchange with that header, and its answer."""
    request = Request(method, path, (("AUTHORIZATION", authorization),), b"")
    return replace(HEAD, request=request, status=status, headers=(("Content-Type", kind),))


def test_first_key_that_the_host_accepts_is_the_main_one() -> None:
    """Also where it refuses the request for another reason; later keys are counted."""
    labels = KeyLabels({})
    assert labels.app(asked_with("Bearer wrong", 401)) is None
    assert labels.app(asked_with("")) is None
    assert labels.app(asked_with("Bearer a", 400)) == "main"
    assert labels.app(asked_with("bearer  b ", 404)) == "app-2"
    assert labels.app(asked_with("Bearer a", 404, path="/nowhere", kind="text/html")) == "main"
    assert labels.app(asked_with("Bearer a", 401)) is None
    assert labels.app(asked_with("Bearer c", kind="text/event-stream; charset=utf-8")) == "app-3"


@pytest.mark.parametrize(
    "exchange",
    [
        asked_with("Bearer a", 405),
        asked_with("Bearer a", 500),
        asked_with("Bearer a", method="OPTIONS"),
        asked_with("Bearer a", path="/v1/"),
        asked_with("Bearer a", 404, path="/v1/nowhere", kind="text/html; charset=utf-8"),
        asked_with("Bearer a", 400, kind="text/html"),
        asked_with("Bearer a", path="/files/tools/x.png", kind="image/png"),
    ],
    ids=["405", "500", "OPTIONS", "version", "no route", "proxy", "picture"],
)
def test_answer_that_comes_before_the_key_is_looked_at_says_nothing_of_it(
    exchange: Recording,
) -> None:
    labels = KeyLabels({})
    assert labels.app(exchange) is None
    assert labels.app(asked_with("Bearer b")) == "main"


def test_given_labels_hold_and_are_not_given_twice() -> None:
    known = {"a": "chat", "b": "main", "c": "app-4"}
    labels = KeyLabels(known)
    assert [labels.app(asked_with(f"Bearer {key}")) for key in "abcd"] == [
        "chat",
        "main",
        "app-4",
        "app-5",
    ]
    assert known["d"] == "app-5"


# Headers
# ------------------------------------------------------------------------------------------------------------


def test_host_is_added_where_the_client_sent_none_and_sent_once_where_it_sent_two() -> None:
    upstream = Upstream("http://h:1", 1.0)
    assert upstream.headers_for([(b"A", b"1")]) == [(b"Host", b"h:1"), (b"A", b"1")]
    assert upstream.headers_for([(b"host", b"x"), (b"A", b"1"), (b"Host", b"y")]) == [
        (b"host", b"h:1"),
        (b"A", b"1"),
    ]


def test_what_concerns_a_connection_stays_on_it() -> None:
    headers = [
        (b"Connection", b"close, X-Own"),
        (b"x-own", b"1"),
        (b"Transfer-Encoding", b"chunked"),
        (b"A", b"1"),
    ]
    assert Upstream("http://h:1", 1.0).headers_for(headers)[1:] == [
        (b"Transfer-Encoding", b"chunked"),
        (b"A", b"1"),
    ]
    assert end_to_end(headers) == [(b"A", b"1")]


def test_length_of_an_answer_holds_unless_it_comes_in_chunks() -> None:
    length, chunked = (b"content-length", b"5"), (b"transfer-encoding", b"chunked")
    assert end_to_end([length]) == [length]
    assert end_to_end([length, chunked]) == []


# Settings
# -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "setting"),
    [
        ({"upstream": "dify.example"}, "upstream"),
        ({"upstream": "ftp://dify.example"}, "upstream"),
        ({"upstream": "http://"}, "upstream"),
        ({"upstream": "http://h:99999"}, "upstream"),
        ({"upstream": "http://h:0"}, "upstream"),
        ({"upstream": "http://user:secret@h"}, "upstream"),
        ({"upstream": "http://h/?a=1"}, "upstream"),
        ({"upstream": "http://h/#a"}, "upstream"),
        ({"upstream": "http://hö"}, "upstream"),
        ({"upstream": "http://[h"}, "upstream"),
        ({"host": ""}, "host"),
        ({"port": 65536}, "port"),
        ({"timeout_s": 0.0}, "timeout"),
        ({"timeout_s": float("nan")}, "timeout"),
        ({"key_labels": (("k", "a b"),)}, "api_key_label"),
        ({"ready_file": Path("/nowhere/at/all")}, "ready_file"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_by_name(
    change: dict[str, Any], setting: str
) -> None:
    good: dict[str, Any] = {"upstream": "http://h", "to": Path("to")}
    with pytest.raises(SettingsError) as refused:
        RecorderSettings(**{**good, **change})
    assert refused.value.setting == setting
    assert "secret" not in str(refused.value)


# The process that writes
# --------------------------------------------------------------------------------------------


class FullDisk(RecordingWriter):
    """A writer whose disk refuses every exchange for which ``refuses`` holds."""

    def __init__(self, folder: Path, refuses: Callable[[Recording], bool]) -> None:
        super().__init__(folder)
        self._refuses = refuses

    def write(
        self, exchange: Recording, answer: Spool | None = None, request: Spool | None = None
    ) -> Path:
        if self._refuses(exchange):
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(exchange, answer, request)


def test_loss_is_told_and_counted_and_the_next_exchange_is_kept(tmp_path: Path) -> None:
    warnings: list[str] = []
    with FullDisk(tmp_path / "to", lambda exchange: exchange.status == 500) as writer:
        exchange_writer = ExchangeWriter(writer, KeyLabels({}), warnings.append)
        for number, status in enumerate((200, 500, 201)):
            exchange_writer.take(BodyChunk(number, REQUEST, 0.0, b"asked"))
            exchange_writer.take(BodyChunk(number, ANSWER, 0.5, b"said"))
            exchange_writer.take(End(number, replace(HEAD, status=status)))
        assert exchange_writer.finish() == Written(exchanges=2, lost=1)
    assert warnings == ["GET /x could not be written (No space left on device); it is lost"]
    recorded = read_folder(tmp_path / "to")
    assert [(one.status, one.request.body, one.body) for one in recorded] == [
        (200, b"asked", b"said"),
        (201, b"asked", b"said"),
    ]


def test_exchange_without_an_end_or_without_an_answer_leaves_nothing(tmp_path: Path) -> None:
    """Not even the spool of a long body."""
    with RecordingWriter(tmp_path / "to") as writer:
        exchange_writer = ExchangeWriter(writer, KeyLabels({}), pytest.fail)
        for number in (1, 2):
            exchange_writer.take(BodyChunk(number, ANSWER, 0.0, b"x" * (2 << 20)))
        exchange_writer.take(End(1, None))
        assert exchange_writer.finish() == Written()
    assert list((tmp_path / "to").iterdir()) == []


def test_version_of_the_host_is_remembered(tmp_path: Path) -> None:
    """Pages of the proxy before the host do not say it."""
    with RecordingWriter(tmp_path / "to") as writer:
        exchange_writer = ExchangeWriter(writer, KeyLabels({}), pytest.fail)
        exchange_writer.take(End(1, replace(HEAD, headers=(("X-Version", "0.6.4"),))))
        exchange_writer.take(End(2, replace(HEAD, request=PICTURE_REQUEST)))
        assert exchange_writer.finish() == Written(exchanges=1, pictures=1)
    assert [one.host_version for one in read_folder(tmp_path / "to")] == ["0.6.4", "0.6.4"]


# The way there
# ------------------------------------------------------------------------------------------------------


class FakeChannel:
    """A channel to a process that is played by the test."""

    def __init__(self, broken: bool = False) -> None:
        self.batches: queue.SimpleQueue[list[Any]] = queue.SimpleQueue()
        self._broken = broken

    def send(self, obj: Any, /) -> None:
        if self._broken:
            raise BrokenPipeError
        self.batches.put(obj)

    def poll(self, _: float, /) -> bool:
        return True

    def recv(self) -> Written:
        return Written(exchanges=7)

    def close(self) -> None:
        self._broken = True


def test_messages_arrive_in_their_order() -> None:
    channel = FakeChannel()
    writing_queue = WritingQueue(channel, pytest.fail)
    sent = [BodyChunk(1, ANSWER, float(number), b"x") for number in range(1000)]

    async def put() -> None:
        for message in sent:
            writing_queue.put(message)
            await writing_queue.room()

    asyncio.run(put())
    assert writing_queue.finish() == Written(exchanges=7)
    arrived = []
    while not channel.batches.empty():
        arrived += channel.batches.get()
    assert arrived == [*sent, Finish()]


def test_streams_wait_where_the_queue_is_full_and_go_on_when_it_is_not() -> None:
    """What waits is bounded, whatever the writing process does."""

    class Stopped(FakeChannel):
        def __init__(self) -> None:
            super().__init__()
            self.go: queue.SimpleQueue[None] = queue.SimpleQueue()

        def send(self, obj: Any, /) -> None:
            self.go.get()
            super().send(obj)

    channel = Stopped()
    writing_queue = WritingQueue(channel, pytest.fail)

    async def put() -> None:
        writing_queue.put(BodyChunk(1, ANSWER, 0.0, b"x"))
        writing_queue.put(BodyChunk(1, ANSWER, 0.0, bytes(ROOM_BYTES)))
        waiting = asyncio.create_task(writing_queue.room())
        await asyncio.sleep(0)
        assert not waiting.done()
        for _ in range(3):
            channel.go.put(None)
        await asyncio.wait_for(waiting, 10)

    asyncio.run(put())
    assert writing_queue.finish() == Written(exchanges=7)


def test_end_of_the_writing_process_is_told_once_and_holds_nobody_up() -> None:
    warnings: list[str] = []
    writing_queue = WritingQueue(FakeChannel(broken=True), warnings.append)

    async def put() -> None:
        for number in range(100):
            writing_queue.put(BodyChunk(number, ANSWER, 0.0, bytes(ROOM_BYTES // 50)))
            writing_queue.put(End(number, HEAD))
            await asyncio.wait_for(writing_queue.room(), 10)

    asyncio.run(put())
    assert writing_queue.finish() == Written(lost=100)
    assert len(warnings) == 1
    assert "nothing is recorded any more" in warnings[0]


def test_stream_that_waits_too_long_for_room_goes_on_without_its_recording() -> None:
    class Stuck(FakeChannel):
        go = threading.Event()

        def send(self, obj: Any, /) -> None:
            self.go.wait()
            super().send(obj)

    channel, warnings = Stuck(), list[str]()
    writing_queue = WritingQueue(channel, warnings.append)

    async def pass_on() -> None:
        exchange = OpenExchange(writing_queue, "h", room_wait_s=0.01)
        for _ in range(3):
            await exchange.came(0.0, bytes(ROOM_BYTES + 1))
        exchange.end(
            UpstreamRequest("GET", b"/", [], nothing()),
            Answer(200, "OK", [], nothing()),
            1.0,
            "complete",
        )

    asyncio.run(pass_on())
    channel.go.set()
    assert writing_queue.finish() == Written(exchanges=7, lost=1)
    assert warnings == [
        "the process that writes cannot keep up; an exchange that is under way is lost"
    ]


async def nothing() -> AsyncIterator[bytes]:
    return
    yield


def test_end_waits_a_bounded_time_for_what_is_not_written() -> None:
    """What was written until then is counted, the rest is lost and reported."""

    class Busy(FakeChannel):
        def poll(self, _: float, /) -> bool:
            return False

    warnings: list[str] = []
    writing_queue = WritingQueue(
        Busy(), warnings.append, lambda: Written(exchanges=1, pictures=1, bodies_lost=1)
    )

    async def put() -> None:
        for number in range(5):
            writing_queue.put(End(number, HEAD))

    asyncio.run(put())
    assert writing_queue.finish(1.0) == Written(exchanges=1, pictures=1, lost=3, bodies_lost=1)
    assert warnings == ["the process that writes takes too long for the rest, which is lost"]


def test_body_that_is_left_out_is_counted_and_told(tmp_path: Path) -> None:
    warnings: list[str] = []
    with RecordingWriter(tmp_path / "to", RecordingRedactor()) as writer:
        exchange_writer = ExchangeWriter(writer, KeyLabels({}), warnings.append)
        writer.left_out = exchange_writer.left_out
        exchange_writer.take(BodyChunk(1, ANSWER, 0.0, b"x"))
        exchange_writer.take(End(1, replace(HEAD, headers=(("Content-Encoding", "br"),))))
        assert exchange_writer.finish() == Written(exchanges=1, bodies_lost=1)
    assert len(warnings) == 1
    assert warnings[0].startswith(
        "0001-GET-x.yaml is without the response's body, because its coding br"
    )


# The proxy
# ----------------------------------------------------------------------------------------------------------


class ShortUpstream(Upstream):
    """Answers everything at once, without a socket."""

    @contextlib.asynccontextmanager
    async def asked(self, request: UpstreamRequest) -> AsyncIterator[Answer]:
        async for _ in request.body:
            pass
        yield Answer(200, "OK", [(b"Content-Type", b"text/plain")], self._body())

    async def _body(self) -> AsyncIterator[bytes]:
        yield b"all of it"


def test_what_came_is_kept_when_the_server_gives_up_on_a_client_that_does_not_read() -> None:
    """The last bytes never get through to the client, and the server ends the request at its own
    end.
    """
    channel = FakeChannel()
    writing_queue = WritingQueue(channel, pytest.fail)
    proxy = RecordingProxy(ShortUpstream("http://h:1", 1.0), writing_queue, None)
    scope = {
        "type": "http",
        "method": "GET",
        "raw_path": b"/x",
        "query_string": b"a=1",
        "headers": [],
    }

    async def give_up() -> None:
        asked, stuck = asyncio.Event(), asyncio.Event()

        async def receive() -> dict[str, Any]:
            if asked.is_set():
                await asyncio.Event().wait()
            asked.set()
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Mapping[str, Any]) -> None:
            if message.get("more_body") is False:
                stuck.set()
                await asyncio.Event().wait()

        request = asyncio.create_task(proxy(scope, receive, send))
        await asyncio.wait_for(stuck.wait(), 10)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request

    asyncio.run(give_up())
    writing_queue.finish()
    messages = []
    while not channel.batches.empty():
        messages += channel.batches.get()
    chunk, end, _ = messages
    assert chunk.data == b"all of it"
    assert (end.recording.request.target, end.recording.ended) == ("/x?a=1", "cut")
