"""A fake in a thread of this process, and clients that see every byte, when it came, and how the
connection ended.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from fake_server.app import create_app
from fake_server.server.server import ServerThread
from fake_server.settings import Settings
from tests.serving import ROOT

PROMPT = "一只猫"

UPLOADS_KEY = "app-TakesFiles0123456789abcd"
"""Of an app with image upload."""

IMAGE_ADDRESS = "https://images.test/cat.png?size=2"
"""Of a user's own image."""

_PATIENCE_S = 10.0
"""Of real time: whoever waits longer for what does not come has found a mistake."""

_LEAD_S = 0.001
"""A moving clock is ahead of whole steps by so much: what is due at one of them has then come,
rounding or not.
"""

_TURNS = 12
"""After so many turns of its loop a server has done what it was woken for: about three are
needed.
"""


@dataclass(frozen=True)
class Seen:
    """What came on a connection: ``pieces`` are (second of the clock, bytes).

    ``end`` is "whole" (the answer ended as HTTP says), "closed", "reset", or "open" where the
    client stopped looking.
    """

    pieces: tuple[tuple[float, bytes], ...]
    end: str

    @cached_property
    def raw(self) -> bytes:
        return b"".join(data for _, data in self.pieces)

    @cached_property
    def _parsed(self) -> Parsed:
        return parsed(self.raw)

    @property
    def status(self) -> int:
        return self._parsed.status

    @property
    def headers(self) -> dict[str, str]:
        return self._parsed.headers

    @property
    def came_s(self) -> float:
        """When the first byte came."""
        return self.pieces[0][0]

    @property
    def ended_s(self) -> float:
        """When the last byte came."""
        return self.pieces[-1][0]

    @cached_property
    def chunks(self) -> list[tuple[float, bytes]]:
        """The chunks of the body, the last one as far as it came: (second at which it was there,
        bytes).
        """
        return [(self._second_of(end), data) for end, data in self._parsed.chunks]

    def _second_of(self, offset: int) -> float:
        for at_s, data in self.pieces:
            offset -= len(data)
            if offset <= 0:
                return at_s
        raise AssertionError("beyond what came")

    @property
    def body(self) -> bytes:
        return b"".join(data for _, data in self.chunks)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @cached_property
    def frames(self) -> list[tuple[float, bytes]]:
        """The frames of a stream, each with the second at which it was whole; what comes after the
        last is left out.
        """
        found, pending = [], b""
        for at_s, data in self.chunks:
            *whole, pending = (pending + data).split(b"\n\n")
            found += [(at_s, frame + b"\n\n") for frame in whole]
        return found

    @property
    def event_names(self) -> list[str]:
        """The names of the events and pings, in their order."""
        return [event_name(frame) for _, frame in self.frames]

    def events(self, name: str) -> list[dict[str, Any]]:
        """What the events of that name say under ``data``."""
        return [event_data(frame) for _, frame in self.frames if event_name(frame) == name]

    @property
    def result(self) -> dict[str, Any]:
        """How the run ended, in either mode."""
        if self.headers["content-type"].startswith("text/event-stream"):
            return self.events("workflow_finished")[-1]
        data: dict[str, Any] = self.json["data"]
        return data


def event_name(frame: bytes) -> str:
    if frame == b"event: ping\n\n":
        return "ping"
    try:
        event = json.loads(frame.removeprefix(b"data: "))
    except ValueError:
        return "?"
    return str(event["event"])


def event_data(frame: bytes) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(frame.removeprefix(b"data: "))["data"]
    return data


@dataclass(frozen=True, slots=True)
class Parsed:
    """An answer as far as it came. ``chunks`` are (offset of its end in what came, bytes)."""

    status: int
    headers: dict[str, str]
    chunks: list[tuple[int, bytes]]
    whole: bool


def parsed(raw: bytes) -> Parsed:
    head, blank, _ = raw.partition(b"\r\n\r\n")
    if not blank:
        return Parsed(0, {}, [], whole=False)
    lines = head.decode("latin-1").split("\r\n")
    headers = {
        name.lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines[1:])
    }
    at = len(head) + 4
    if headers.get("transfer-encoding") == "chunked":
        chunks, whole = _chunked(raw, at)
    else:
        length = int(headers["content-length"]) if "content-length" in headers else None
        body = raw[at:] if length is None else raw[at : at + length]
        chunks, whole = [(at + len(body), body)] if body else [], len(body) == length
    return Parsed(int(lines[0].split()[1]), headers, chunks, whole)


def _chunked(raw: bytes, at: int) -> tuple[list[tuple[int, bytes]], bool]:
    chunks: list[tuple[int, bytes]] = []
    while (line_end := raw.find(b"\r\n", at)) >= 0:
        size, start = int(raw[at:line_end], 16), line_end + 2
        if size == 0:
            return chunks, raw[start : start + 2] == b"\r\n"
        data = raw[start : start + size]
        if data:
            chunks.append((start + len(data), data))
        at = start + size + 2
    return chunks, False


class Bench:
    """A server that listens on a free port; with a ``speed`` its clock stands still, and moves as
    clients look on.
    """

    def __init__(self, speed: float | None = None, **settings: Any) -> None:
        frozen = {} if speed is None else {"clock": "2024-04-24T06:09:32Z"}
        apps = ((UPLOADS_KEY, str(ROOT / "recordings/apps/filesin.yml")),)
        self.settings = Settings(
            port=0, speed=speed, **{"seed": 1, "apps": apps, **frozen, **settings}
        )
        self.app = create_app(self.settings)
        self.host = self.app.host
        self._thread = ServerThread(self.app, self.settings)
        self.url = self._thread.url
        self.api_key = self.settings.api_keys[0]

    def __enter__(self) -> Bench:
        self._thread.start()
        self._loop = self._thread.call(asyncio.get_running_loop)
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.stop()

    def reset(self) -> None:
        self._thread.call(self.app.reset)
        self.turn()

    # Requests
    # ---

    def request(
        self,
        method: str,
        path: str,
        scenario: str = "",
        body: object = None,
        headers: dict[str, str] | None = None,
    ) -> bytes:
        content = b"" if body is None else json.dumps(body).encode()
        lines = {"Host": "localhost", "Authorization": f"Bearer {self.api_key}", **(headers or {})}
        if scenario:
            lines["X-Fake-Scenario"] = scenario
        if body is not None:
            lines |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + content

    def run(
        self, mode: str, scenario: str = "", prompt: str = PROMPT, user: str = "alg123"
    ) -> bytes:
        body = {"inputs": {"prompt": prompt}, "response_mode": mode, "user": user}
        return self.request("POST", "/v1/workflows/run", scenario, body)

    def run_with_file(self, scenario: str = "") -> bytes:
        """A blocking run that sends along the address of an image."""
        file = {"type": "image", "transfer_method": "remote_url", "url": IMAGE_ADDRESS}
        body = {
            "inputs": {"prompt": PROMPT},
            "response_mode": "blocking",
            "user": "alg123",
            "files": [file],
        }
        headers = {"Authorization": f"Bearer {UPLOADS_KEY}"}
        return self.request("POST", "/v1/workflows/run", scenario, body, headers)

    def image(self, scenario: str = "") -> bytes:
        """The request for the image of a run that went well."""
        return self.request("GET", self.image_url(), scenario)

    def image_url(self, scenario: str = "") -> str:
        url: str = self.see(self.run("blocking", scenario)).result["outputs"]["files"][0]["url"]
        return url

    # Clients
    # ---

    def see(self, request: bytes, step_s: float = 1.0, until_s: float = 1_000.0) -> Seen:
        """What comes for ``request``; a clock that stands still is moved on by ``step_s`` until the
        answer is over.
        """
        with Client(self) as client:
            client.send(request)
            return client.see(step_s, until_s)

    def turn(self) -> None:
        """Let the server do what it has been woken for."""
        asyncio.run_coroutine_threadsafe(_turns(), self._loop).result()

    def until(self, holds: Callable[[], bool]) -> None:
        """Let the server go on until ``holds()``."""
        deadline = time.monotonic() + _PATIENCE_S
        while not holds():
            assert time.monotonic() < deadline, "it never came"
            self.turn()

    @property
    def left_behind(self) -> tuple[int, int, int]:
        """What nobody listens to any more: runs, requests, waiters."""
        return self.host.store.runs_running, self.host.counters.running, self.host.clock.waiting


async def _turns() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)


class Client:
    """One connection to a bench."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        address = urlsplit(bench.url)
        self._socket = socket.create_connection(
            (address.hostname, address.port), timeout=_PATIENCE_S
        )
        self._began = bench.host.clock.ticks()
        self._pieces: list[tuple[float, bytes]] = []
        self._end = ""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, request: bytes) -> None:
        """Send ``request`` and return once it has been answered or waits for the clock."""
        waiting = self._bench.host.clock.waiting
        self._socket.sendall(request)
        if self._bench.host.clock.frozen:
            self._socket.setblocking(False)
            self._bench.until(lambda: self.look() or self._bench.host.clock.waiting > waiting)
            self.look()  # what was sent before the wait

    def see(self, step_s: float = 1.0, until_s: float = 1_000.0) -> Seen:
        if not self._bench.host.clock.frozen:
            while not self.look():
                pass
            return self.seen()
        self._bench.host.clock.advance(_LEAD_S)
        while not self.look() and self.elapsed_s < until_s:
            self._bench.host.clock.advance(step_s)
            self._bench.turn()
        return self.seen()

    def seen(self) -> Seen:
        return Seen(tuple(self._pieces), self._end or "open")

    @property
    def elapsed_s(self) -> float:
        return self._bench.host.clock.ticks() - self._began

    def look(self) -> bool:
        """Read what has come; whether the answer is over."""
        while not self._end:
            try:
                data = self._socket.recv(1 << 20)
            except BlockingIOError:
                return False
            except ConnectionResetError:
                self._end = "reset"
                break
            if not data:
                self._end = "closed"
                break
            self._pieces.append((round(self.elapsed_s, 2), data))
            if parsed(self.seen().raw).whole:
                self._end = "whole"
            elif self._socket.gettimeout():
                return False
        return True
