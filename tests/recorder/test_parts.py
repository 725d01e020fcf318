"""The recorder's parts by themselves: what they refuse, and what they do when the disk or a process
fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import re
import threading
import time
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dify_wire.exchange import Recording, Request
from dify_wire.recording.bodies import IN_MEMORY
from dify_wire.recording.folder import RecordingWriter, read_folder
from dify_wire.strict import counted
from fake_server.recorder import writing
from fake_server.recorder.proxy import RecordingProxy
from fake_server.recorder.settings import KeyLabels, RecorderSettings
from fake_server.recorder.upstream import (
    Upstream,
    UpstreamRequest,
    UpstreamResponse,
    end_to_end,
    no_body,
)
from fake_server.recorder.writing import MOST_TOGETHER, ExchangeWriter, OpenExchange, Written
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


# Labels


def with_key(
    authorization: str, status: int = 200, method: str = "POST", path: str = RUN, kind: str = JSON
) -> Recording:
    """An exchange with that header, and its answer."""
    request = Request(method, path, (("AUTHORIZATION", authorization),), b"")
    return replace(HEAD, request=request, status=status, headers=(("Content-Type", kind),))


def test_first_key_that_the_host_accepts_is_the_main_one() -> None:
    """Also where it refuses the request for another reason; later keys are counted."""
    labels = KeyLabels({})
    assert labels.app(with_key("Bearer wrong", 401)) is None
    assert labels.app(with_key("")) is None
    assert labels.app(with_key("Bearer a", 400)) == "main"
    assert labels.app(with_key("bearer  b ", 404)) == "app-2"
    assert labels.app(with_key("Bearer a", 404, path="/nowhere", kind="text/html")) == "main"
    assert labels.app(with_key("Bearer a", 401)) is None
    assert labels.app(with_key("Bearer c", kind="text/event-stream; charset=utf-8")) == "app-3"


@pytest.mark.parametrize(
    "exchange",
    [
        with_key("Bearer a", 405),
        with_key("Bearer a", 500),
        with_key("Bearer a", method="OPTIONS"),
        with_key("Bearer a", path="/v1/"),
        with_key("Bearer a", 404, path="/v1/nowhere", kind="text/html; charset=utf-8"),
        with_key("Bearer a", 400, kind="text/html"),
        with_key("Bearer a", path="/files/tools/x.png", kind="image/png"),
    ],
    ids=["405", "500", "OPTIONS", "version", "no route", "proxy", "picture"],
)
def test_answer_that_comes_before_the_key_is_looked_at_says_nothing_of_it(
    exchange: Recording,
) -> None:
    labels = KeyLabels({})
    assert labels.app(exchange) is None
    assert labels.app(with_key("Bearer b")) == "main"


def test_given_labels_hold_and_are_not_given_twice() -> None:
    known = {"a": "chat", "b": "main", "c": "app-4"}
    labels = KeyLabels(known)
    assert [labels.app(with_key(f"Bearer {key}")) for key in "abcd"] == [
        "chat",
        "main",
        "app-4",
        "app-5",
    ]
    assert known["d"] == "app-5"


# Headers


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
    good: dict[str, Any] = {"upstream": "http://host.test", "to": Path("to")}
    with pytest.raises(SettingsError) as refused:
        RecorderSettings(**{**good, **change})
    assert refused.value.setting == setting
    assert "secret" not in str(refused.value)


# The process that writes


def started(folder: Path, executor: Executor | None = None) -> tuple[ExchangeWriter, list[str]]:
    """A writer that writes in a thread, and its warnings."""
    warnings: list[str] = []
    settings = RecorderSettings(upstream="http://host.test", to=folder)
    return ExchangeWriter(settings, executor or ThreadPoolExecutor(1), warnings.append), warnings


async def no_chunks() -> AsyncIterator[list[bytes]]:
    return
    yield


async def record(
    writer: ExchangeWriter,
    *chunks: bytes,
    incoming: bytes = b"",
    target: bytes = b"/x",
    status: int = 200,
    headers: tuple[tuple[bytes, bytes], ...] = ((b"Content-Type", b"text/plain"),),
) -> None:
    """One exchange from its start to its end."""
    exchange = OpenExchange(writer, "http://host.test")
    await exchange.start()
    if incoming:
        await exchange.add_request_chunk(incoming)
    for number, chunk in enumerate(chunks):
        await exchange.add_response_chunks(number / 2, [chunk])
    request = UpstreamRequest("GET", target, [], no_body(), sent_at=1.0)
    response = UpstreamResponse(status, "OK", list(headers), no_chunks())
    exchange.end(request, response, 1.0, "complete")


def test_loss_is_reported_and_counted_and_the_next_exchange_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = RecordingWriter.write

    def fail_once(self: RecordingWriter, exchange: Recording, *bodies: Any) -> Path:
        if exchange.status == 500:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, exchange, *bodies)

    monkeypatch.setattr(RecordingWriter, "write", fail_once)
    writer, warnings = started(tmp_path / "to")
    for status in (200, 500, 201):
        asyncio.run(record(writer, b"response", incoming=b"request", status=status))
    assert writer.finish(print) == Written(exchanges=2, lost=1)
    assert warnings == ["GET /x could not be written (No space left on device); it is lost"]
    recorded = read_folder(tmp_path / "to")
    assert [(one.status, one.request.body, one.body) for one in recorded] == [
        (200, b"request", b"response"),
        (201, b"request", b"response"),
    ]


def test_exchanges_that_end_together_are_handed_over_together(tmp_path: Path) -> None:
    """Each time wakes other threads, while clients are served."""
    sizes: list[int] = []

    class Counting(ThreadPoolExecutor):
        def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            sizes.extend(len(batch) for batch in args if isinstance(batch, list))
            return super().submit(function, *args, **kwargs)

    async def record_some() -> None:
        for _ in range(MOST_TOGETHER + 2):
            await record(writer)

    writer, _ = started(tmp_path / "to", Counting(1))
    asyncio.run(record_some())
    assert writer.finish(print) == Written(exchanges=MOST_TOGETHER + 2)
    assert sizes == [MOST_TOGETHER, 2]


def test_exchange_that_is_discarded_leaves_nothing(tmp_path: Path) -> None:
    """Not even the spool of a long body."""

    async def discard() -> None:
        exchange = OpenExchange(writer, "http://host.test")
        await exchange.add_response_chunks(0.0, [b"x" * (2 << 20)])
        exchange.discard()

    writer, warnings = started(tmp_path / "to")
    asyncio.run(discard())
    assert writer.finish(print) == Written()
    assert not list((tmp_path / "to").iterdir())
    assert not warnings


@pytest.mark.slow
def test_long_body_is_spooled_and_written(tmp_path: Path) -> None:
    piece = bytes(IN_MEMORY >> 2)
    writer, _ = started(tmp_path / "to")
    asyncio.run(record(writer, *[piece] * 6))
    assert writer.finish(print) == Written(exchanges=1)
    (recorded,) = read_folder(tmp_path / "to")
    assert [(chunk.at_s, chunk.data) for chunk in recorded.chunks] == [
        (number / 2, piece) for number in range(6)
    ]
    assert not list((tmp_path / "to").glob(".partial-*"))


def test_version_of_the_host_is_remembered(tmp_path: Path) -> None:
    """The proxy before the host does not send it with its pages."""
    image = f"/files/tools/{'a' * 36}.png?timestamp=1&nonce=b&sign=c".encode()
    writer, _ = started(tmp_path / "to")
    asyncio.run(record(writer, headers=((b"X-Version", b"0.6.4"),)))
    asyncio.run(record(writer, target=image))
    assert writer.finish(print) == Written(exchanges=1, images=1)
    assert [one.host_version for one in read_folder(tmp_path / "to")] == ["0.6.4", "0.6.4"]


def test_body_that_is_left_out_is_counted_and_reported(tmp_path: Path) -> None:
    writer, warnings = started(tmp_path / "to")
    asyncio.run(record(writer, b"x", headers=((b"Content-Encoding", b"br"),)))
    assert writer.finish(print) == Written(exchanges=1, bodies_lost=1)
    assert len(warnings) == 1
    assert warnings[0].startswith(
        "0001-GET-x.yaml is without the response's body, because its coding br"
    )


class Stuck(ThreadPoolExecutor):
    """Opens the folder, and writes nothing until it may."""

    def __init__(self) -> None:
        super().__init__(1)
        self.go = threading.Event()

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        def later() -> Any:
            if args and isinstance(args[0], list):
                self.go.wait()
            return function(*args, **kwargs)

        return super().submit(later)


def test_exchanges_wait_while_too_much_waits_to_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that waits too long is lost; afterwards there is capacity again."""
    monkeypatch.setattr(writing, "WAITING_BYTES", 50_000)
    stuck = Stuck()

    async def fill() -> None:
        while await writer.has_capacity(0.0):
            await record(writer, bytes(10_000))
        assert not await writer.has_capacity(0.01)
        stuck.go.set()
        assert await writer.has_capacity(30)

    writer, _ = started(tmp_path / "to", stuck)
    asyncio.run(fill())
    written = writer.finish(print)
    assert written.exchanges == len(read_folder(tmp_path / "to")) == 5
    assert written.lost == 0


class Ended(ThreadPoolExecutor):
    """Whose process has ended before it writes."""

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        if args and isinstance(args[0], list):
            failed: Future[Any] = Future()
            failed.set_exception(BrokenProcessPool())
            return failed
        return super().submit(function, *args, **kwargs)


def test_end_of_the_process_that_writes_is_reported_once(tmp_path: Path) -> None:
    writer, warnings = started(tmp_path / "to", Ended(1))
    for _ in range(100):
        asyncio.run(record(writer, status=500))
    assert writer.finish(print) == Written(lost=100)
    assert len(warnings) == 1
    assert "nothing is recorded any more" in warnings[0]


def test_end_waits_a_bounded_time_for_what_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written until then is counted, the rest is lost and reported."""
    monkeypatch.setattr(writing, "MOST_TOGETHER", 1)
    stuck, killed = Stuck(), list[bool]()

    def kill() -> None:
        killed.append(True)
        stuck.go.set()

    settings = RecorderSettings(upstream="http://host.test", to=tmp_path / "to")
    warnings: list[str] = []
    writer = ExchangeWriter(settings, stuck, warnings.append, kill)
    for _ in range(3):
        asyncio.run(record(writer))
    written = writer.finish(print, stuck_s=0.2)
    assert written.exchanges + written.lost == 3
    assert written.lost >= 1
    assert killed == [True]
    assert warnings == [
        f"nothing has been written for 0.2 s: {counted(written.lost, 'exchange')} lost"
    ]


class Slow(ThreadPoolExecutor):
    """Takes its time for whatever it is given to write."""

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        def later() -> Any:
            if args and isinstance(args[0], list):
                time.sleep(0.15)
            return function(*args, **kwargs)

        return super().submit(later)


def test_end_waits_as_long_as_writing_goes_on_and_says_for_what(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "REPORT_S", 0.2)
    monkeypatch.setattr(writing, "MOST_TOGETHER", 1)
    writer, warnings = started(tmp_path / "to", Slow(1))
    for _ in range(8):
        asyncio.run(record(writer))
    reports: list[str] = []
    assert writer.finish(reports.append, stuck_s=0.6) == Written(exchanges=8)
    assert re.fullmatch(r"Writing the last \d exchanges?; Ctrl-C loses them\.", reports[0])
    assert len(reports) > 1
    assert not warnings


def test_nothing_is_recorded_without_a_writer() -> None:
    async def pass_on() -> None:
        exchange = OpenExchange(None, "http://host.test")
        await exchange.start()
        await exchange.add_response_chunks(0.0, [b"x"])
        request = UpstreamRequest("GET", b"/", [], no_body())
        exchange.end(request, UpstreamResponse(200, "OK", [], no_chunks()), 1.0, "complete")

    asyncio.run(pass_on())


# The proxy


class ShortUpstream(Upstream):
    """Answers everything at once, without a socket."""

    @contextlib.asynccontextmanager
    async def send(self, request: UpstreamRequest) -> AsyncIterator[UpstreamResponse]:
        async for _ in request.body:
            pass
        yield UpstreamResponse(200, "OK", [(b"Content-Type", b"text/plain")], self._body())

    async def _body(self) -> AsyncIterator[list[bytes]]:
        yield [b"all of it"]


def test_response_is_recorded_when_the_server_gives_up_on_a_client_that_does_not_read(
    tmp_path: Path,
) -> None:
    """The last bytes never get through to the client, and the server ends the request at its own
    end.
    """
    writer, _ = started(tmp_path / "to")
    proxy = RecordingProxy(ShortUpstream("http://host.test", 1.0), writer)
    scope = {
        "type": "http",
        "method": "GET",
        "raw_path": b"/x",
        "query_string": b"a=1",
        "headers": [],
    }

    async def give_up() -> None:
        incoming, stuck = asyncio.Event(), asyncio.Event()

        async def receive() -> dict[str, Any]:
            if incoming.is_set():
                await asyncio.Event().wait()
            incoming.set()
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
    assert writer.finish(print) == Written(exchanges=1)
    (recorded,) = read_folder(tmp_path / "to")
    assert recorded.body == b"all of it"
    assert (recorded.request.target, recorded.ended) == ("/x?a=1", "cut")
