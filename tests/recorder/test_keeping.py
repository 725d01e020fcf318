"""What is in the folder afterwards: every exchange whole, none mixed, whatever happened meanwhile,
and no secret.
"""

from __future__ import annotations

import asyncio
import base64
import fcntl
import hashlib
import http.client
import json
import os
import re
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest

from dify_wire.recording.folder import read_folder
from dify_wire.strict import counted
from tests.recorder.upstreams import (
    Incoming,
    get,
    post,
    recorder_process,
    run_body,
    running_recorder,
    scripted,
    wait_until,
)

pytestmark = pytest.mark.server

LARGE_BYTES = 10 << 20
MEMORY_LIMIT_BYTES = 64 << 20
"""For either process of the recorder, of which it needs some 48 MiB by itself."""


def test_a_hundred_clients_at_once_lose_and_mix_nothing(tmp_path: Path) -> None:
    """All streams are open at once, for the host waits for all of them; each has its own words in
    it.
    """
    together = _Barrier(100)

    async def script(incoming: Incoming) -> None:
        await incoming.stream()
        await together.wait()
        for number in range(5):
            await incoming.chunk(b"data: %b %d\n\n" % (incoming.body, number))
        await incoming.send(b"0\r\n\r\n")

    def ask(number: int) -> bytes:
        return recorder.exchange(post(f"/run/{number}", b"<%d>" % number), timeout=60).body

    def expected(number: int) -> bytes:
        return b"".join(b"data: <%d> %d\n\n" % (number, frame) for frame in range(5))

    with scripted(script) as upstream, running_recorder(upstream.url, tmp_path / "to") as recorder:
        with ThreadPoolExecutor(100) as clients:
            bodies = list(clients.map(ask, range(100)))
        assert recorder.end() == 0
        assert "100 exchanges, 0 images, 0 lost." in recorder.output()
    assert bodies == [expected(number) for number in range(100)]
    recorded = {one.request.target: one for one in recorder.recorded()}
    assert len(recorder.recorded()) == len(recorded) == 100
    for number in range(100):
        one = recorded[f"/run/{number}"]
        assert (one.request.body, one.body) == (b"<%d>" % number, expected(number))


class _Barrier:
    def __init__(self, parties: int) -> None:
        self._missing = parties
        self._all = asyncio.Event()

    async def wait(self) -> None:
        self._missing -= 1
        if not self._missing:
            self._all.set()
        await self._all.wait()


def test_large_bodies_pass_whole_in_bounded_memory(tmp_path: Path) -> None:
    """10 MiB to the client, and 1.5 MB from it."""
    piece = hashlib.sha256(b"piece").digest() * 2048
    pieces = LARGE_BYTES // len(piece)
    sent = piece[: 50 << 10] * 30

    async def script(incoming: Incoming) -> None:
        assert incoming.body == sent
        await incoming.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n"
            b"Content-Length: %d\r\n\r\n" % LARGE_BYTES
        )
        for _ in range(pieces):
            await incoming.send(piece)

    with scripted(script) as upstream, recorder_process(upstream.url, tmp_path / "to") as recorder:
        client = http.client.HTTPConnection(*recorder.address, timeout=30)
        client.request("POST", "/large", sent)
        body = client.getresponse().read()
        client.close()
        recorder.written(1)
        if sys.platform == "linux":
            assert recorder.peak_bytes() < MEMORY_LIMIT_BYTES
        assert recorder.end() == 0
        assert "1 exchange, 0 images, 0 lost." in recorder.output()
    assert body == piece * pieces
    (recorded,) = recorder.recorded()
    assert recorded.body == body
    assert recorded.request.body == sent


@pytest.mark.parametrize("with_writing", [True, False], ids=["both processes", "the proxy"])
def test_killed_recorder_leaves_what_was_whole_and_the_next_one_goes_on(
    tmp_path: Path, with_writing: bool
) -> None:
    """An exchange under way when the kill comes is absent; numbers go on; what is left over is told
    of and removed.
    """
    large = b"x" * (3 << 20)

    async def script(incoming: Incoming) -> None:
        if incoming.target == "/whole":
            await incoming.whole(b'{"whole": true}')
            return
        await incoming.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9999999\r\n\r\n"
            + large
        )
        await incoming.reader.read()
        raise ConnectionError

    folder = tmp_path / "to"
    with scripted(script) as upstream:
        with recorder_process(upstream.url, folder) as recorder, recorder.connection() as half:
            half.send(get("/half"))
            for _ in range(3):
                recorder.exchange(get("/whole"))
            wait_until(
                lambda: len(list(folder.glob("*.yaml"))) == 3 and any(folder.glob(".partial-*"))
            )
            recorder.kill(with_writing)
            wait_until(lambda: _is_free(folder))
            assert [one.request.target for one in read_folder(folder)] == ["/whole"] * 3
        with recorder_process(upstream.url, folder) as recorder:
            recorder.exchange(get("/whole"))
            assert recorder.end() == 0
            assert ("Warning: an earlier recorder was killed" in recorder.output()) == with_writing
    assert [one.body for one in recorder.recorded()] == [b'{"whole": true}'] * 4
    assert [path.name[:4] for path in sorted(folder.glob("*.yaml"))] == [
        "0001",
        "0002",
        "0003",
        "0004",
    ]
    assert not list(folder.glob(".partial-*"))


LOST = 4
"""More than a process pool hands to its process ahead."""


def test_second_ctrl_c_ends_a_recorder_that_writes_and_says_what_is_lost(tmp_path: Path) -> None:
    """The process that writes is held up here; the first Ctrl-C says what is waited for. On a busy
    machine it has no time to say that it wrote the first one.
    """

    async def script(incoming: Incoming) -> None:
        await incoming.whole(b'{"whole": true}')

    with scripted(script) as upstream, recorder_process(upstream.url, tmp_path / "to") as recorder:
        recorder.exchange(get("/written"))
        recorder.written(1)
        writing = recorder.writing_pid()
        os.kill(writing, signal.SIGSTOP)
        for _ in range(LOST):
            recorder.exchange(get("/lost"))
            time.sleep(0.06)  # each is handed over by itself
        recorder.process.send_signal(signal.SIGINT)
        wait_until(lambda: "Writing the last " in recorder.output())
        assert recorder.end(signal.SIGINT) == 1
        output = recorder.output()
        ended = re.search(r"Warning: the recorder ends at once: (\d) exchanges lost", output)
        assert ended
        lost = int(ended[1])
        assert lost in (LOST, LOST + 1)
        assert f"Writing the last {lost} exchanges" in output
        assert f"{counted(LOST + 1 - lost, 'exchange')}, 0 images, {lost} lost." in output
        assert "Traceback" not in output


def _is_free(folder: Path) -> bool:
    """Whether nobody writes there: the process that writes outlives the proxy until what it has is
    written.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_signal_keeps_what_is_under_way_as_cut(tmp_path: Path, sig: signal.Signals) -> None:
    """The client sees its stream end without an end; the exit code is 0, and the summary counts."""

    async def script(incoming: Incoming) -> None:
        await incoming.stream()
        await incoming.chunk(b"data: 1\n\n")
        await incoming.reader.read()
        raise ConnectionError

    with scripted(script) as upstream, recorder_process(upstream.url, tmp_path / "to") as recorder:
        with recorder.connection() as connection:
            connection.send(get("/"))
            frames = connection.frames()
            next(frames)
            assert recorder.end(sig) == 0
            with pytest.raises(EOFError):
                next(frames)
        assert (
            f"Recorded into {recorder.folder}: 1 exchange, 0 images, 0 lost." in recorder.output()
        )
        assert "Traceback" not in recorder.output()
    assert recorder.recorded()[0].ended == "cut"


def test_full_disk_is_reported_at_once_and_stops_no_traffic(tmp_path: Path) -> None:
    """What is small is still recorded, what the disk does not take is lost and said to be; the exit
    code is 1.
    """
    large = b"y" * (3 << 20)

    async def script(incoming: Incoming) -> None:
        await incoming.whole(
            large if incoming.target == "/large" else b"{}", "Content-Type: text/plain\r\n"
        )

    folder = tmp_path / "to"
    with (
        scripted(script) as upstream,
        recorder_process(upstream.url, folder, limit_bytes=1 << 20) as recorder,
    ):
        assert recorder.exchange(get("/large")).body == large
        wait_until(lambda: "Warning: " in recorder.output())
        assert recorder.exchange(get("/small")).body == b"{}"
        assert recorder.end() == 1
        assert "Warning: the disk takes no more" in recorder.output()
        assert "1 exchange, 0 images, 1 lost." in recorder.output()
    assert [one.request.target for one in recorder.recorded()] == ["/small"]
    assert not list(folder.glob(".partial-*"))


_PLANTED = {
    "key": "app-PlantedSecretKey01234567",
    "cookie": "planted-cookie-value",
    "sign": "PlantedSignatureAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "nonce": "0123456789abcdef0123456789abcdef",
    "user": "planted/user@example.org",
    "tenant": "planted-tenant-name",
    "email": "planted@example.org",
    "text": "PLANTED-4711",
}
_EVERYTHING_PLANTED = " ".join(_PLANTED.values())
_RULES = ("--redact", "header:X-Tenant", "--redact", "field:email", "--redact", r"text:PLANTED-\d+")


def test_planted_secrets_are_nowhere_in_the_folder(tmp_path: Path) -> None:
    """Key, cookie, signature, nonce, user and what rules name, given back by the host in every form
    it can.
    """
    folder, label = tmp_path / "to", f"{_PLANTED['key']}=shop"
    with (
        scripted(_give_back_all_that_is_planted) as upstream,
        running_recorder(upstream.url, folder, *_RULES, "--api-key-label", label) as recorder,
    ):
        answer = recorder.exchange(_planting_request())
        assert recorder.end() == 0
        assert _PLANTED["sign"] not in recorder.output()
    assert _EVERYTHING_PLANTED.encode() in answer.body
    assert recorder.recorded()[0].app == "shop"
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    for path in files:
        written = path.read_bytes()
        for name, secret in _PLANTED.items():
            assert secret not in path.name
            for form in _forms(secret):
                assert form not in written, f"{name} in {path.name}"


async def _give_back_all_that_is_planted(incoming: Incoming) -> None:
    await incoming.stream()
    in_base64 = base64.b64encode(_EVERYTHING_PLANTED.encode()).decode()
    output = json.dumps({"email": _PLANTED["email"], "echo": _EVERYTHING_PLANTED, "b64": in_base64})
    for text in (output, quote(_EVERYTHING_PLANTED, safe=""), _EVERYTHING_PLANTED):
        middle = len(text) // 2
        await incoming.chunk(b"data: " + text[:middle].encode())
        await incoming.chunk(text[middle:].encode() + b"\n\n")
    await incoming.send(b"0\r\n\r\n")


def _planting_request() -> bytes:
    headers = f"Authorization: Bearer {_PLANTED['key']}\r\nCookie: s={_PLANTED['cookie']}\r\n"
    headers += f"X-Tenant: {_PLANTED['tenant']}\r\n"
    query = f"timestamp=1&nonce={_PLANTED['nonce']}&sign={quote(_PLANTED['sign'])}"
    target = f"/PLANTED-4711/files/tools/x.png?{query}"
    output = {
        "inputs": {},
        "email": _PLANTED["email"],
        "user": _PLANTED["user"],
        "x": _PLANTED["text"],
    }
    return post(target, json.dumps(output).encode(), headers)


def _forms(secret: str) -> list[bytes]:
    """A secret raw, escaped for JSON and URLs, and in base64 wherever it may begin in a longer
    text.
    """
    in_base64 = [base64.b64encode(b"-" * shift + secret.encode())[4:-4] for shift in range(3)]
    return [
        secret.encode(),
        json.dumps(secret)[1:-1].encode(),
        quote(secret, safe="").encode(),
        *in_base64,
    ]


def test_users_are_kept_where_that_is_wanted(tmp_path: Path) -> None:
    async def script(incoming: Incoming) -> None:
        await incoming.whole(b"{}")

    bodies = []
    for args in ([], ["--keep-user"]):
        folder = tmp_path / str(len(args))
        with (
            scripted(script) as upstream,
            running_recorder(upstream.url, folder, *args) as recorder,
        ):
            recorder.exchange(post("/v1/workflows/run", run_body(user="somebody-in-particular")))
            assert recorder.end() == 0
        bodies.append(json.loads(recorder.recorded()[0].request.body))
    assert re.fullmatch(r"user-[0-9a-f]{8}", bodies[0]["user"])
    assert bodies[1]["user"] == "somebody-in-particular"
