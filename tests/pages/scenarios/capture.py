"""Exchanges with a real server over a raw socket, each byte with its second, the same every
time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from fake_server.app import create_app
from fake_server.clock import Clock
from fake_server.server.server import Server, bind
from fake_server.settings import DEFAULT_API_KEY, Settings
from tests.pages.scenarios.virtual_time import VirtualTimeLoop
from tests.serving import ROOT

UPLOADS_KEY = "app-TakesFiles0123456789abcd"
SEED = 7
CLOCK = "2024-05-01T12:00:00Z"
PROMPT, MODEL = "一只猫", "chilloutmix_NiPrunedFp32Fix"
_STARTS_AT = datetime.fromisoformat(CLOCK).timestamp()

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Capture:
    """What came, in the pieces in which it was read: (seconds after the request, bytes); and how it
    ended.

    ``end`` is "open" where the connection stays, else "closed", "reset", or "left" where it was the
    client who left.
    """

    pieces: tuple[tuple[float, bytes], ...]
    end: str


class Exchanges:
    """Sends requests to the server on ``port``; ``time`` says the seconds of their event loop."""

    def __init__(self, port: int, time: Callable[[], float]) -> None:
        self._port = port
        self._time = time

    async def run(self, scenario: str | None, mode: str, leaves_s: float = 1e6) -> Capture:
        """A run with ``scenario`` in its header; the client leaves after ``leaves_s`` seconds.

        ``mode`` is streaming, blocking, or "file": a blocking run that sends along the address of a
        image.
        """
        with_file = mode == "file"
        payload: dict[str, Any] = {
            "inputs": {"prompt": PROMPT, "model_name": MODEL},
            "user": "alice",
        }
        payload["response_mode"] = "blocking" if with_file else mode
        if with_file:
            payload["files"] = [
                {
                    "type": "image",
                    "transfer_method": "remote_url",
                    "url": "https://images.test/cat.png",
                }
            ]
        body = json.dumps(payload).encode()
        head = [
            "POST /v1/workflows/run HTTP/1.1",
            f"Authorization: Bearer {UPLOADS_KEY if with_file else DEFAULT_API_KEY}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        ]
        return await self._exchange(_head(head, scenario) + body, leaves_s)

    async def image(self, scenario: str) -> Capture:
        """The download of a run's image with ``scenario`` in its header."""
        answer = await self.run(None, "blocking")
        run = json.loads(b"".join(data for _, data in answer.pieces).partition(b"\r\n\r\n")[2])
        url = run["data"]["outputs"]["files"][0]["url"]
        return await self._exchange(_head([f"GET {url} HTTP/1.1"], scenario), 1e6)

    async def _exchange(self, raw: bytes, leaves_s: float) -> Capture:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 26)
        began, end = self._time(), "open"
        pieces: list[tuple[float, bytes]] = []
        writer.write(raw)
        try:
            while not _is_whole(b"".join(data for _, data in pieces)):
                async with asyncio.timeout(leaves_s - (self._time() - began)):
                    data = await reader.read(1 << 26)
                if not data:
                    end = "closed"
                    break
                pieces.append((self._time() - began, data))
        except TimeoutError:
            end = "left"
        except ConnectionResetError:
            end = "reset"
        writer.transport.abort()
        return Capture(tuple(pieces), end)


def captured(ask: Callable[[Exchanges], Coroutine[Any, Any, T]]) -> T:
    """What ``ask`` makes of exchanges with a server at the host's own speed, whose clock begins at
    ``CLOCK``.
    """
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualTimeLoop)
        return runner.run(_served(loop, ask))


async def _served(loop: VirtualTimeLoop, ask: Callable[[Exchanges], Coroutine[Any, Any, T]]) -> T:
    apps = ((UPLOADS_KEY, str(ROOT / "recordings/apps/filesin.yml")),)
    settings = Settings(port=0, seed=SEED, speed=1, apps=apps)
    clock = Clock(lambda: _STARTS_AT + loop.time(), loop.time)
    listening = asyncio.Event()
    with bind(settings) as sock:
        server = Server(create_app(settings, clock), settings, listening.set)
        serving = asyncio.create_task(server.serve(sockets=[sock]))
        await listening.wait()
        try:
            return await ask(Exchanges(sock.getsockname()[1], loop.time))
        finally:
            server.end()
            await serving


def _head(lines: list[str], scenario: str | None) -> bytes:
    extra = [] if scenario is None else [f"X-Fake-Scenario: {scenario}"]
    return "\r\n".join([*lines, "Host: 127.0.0.1:6060", *extra, "", ""]).encode()


def _is_whole(answer: bytes) -> bool:
    """Whether ``answer`` has come to the end that its head announces."""
    head, blank, body = answer.partition(b"\r\n\r\n")
    if not blank:
        return False
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    if b"content-length" in fields:
        return len(body) >= int(fields[b"content-length"])
    return body.endswith(b"\r\n0\r\n\r\n") or body == b"0\r\n\r\n"
