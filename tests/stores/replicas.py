"""Replicas of one fake in one process, as ASGI apps, and what they share."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from fake_server.app import FakeServer, create_app
from fake_server.settings import Settings
from tests.asgi import json_headers, scope
from tests.tools import needed

RUN = "/v1/workflows/run"
BODY = {
    "inputs": {"prompt": "a cat", "model_name": "dosmix_"},
    "response_mode": "blocking",
    "user": "u",
}


class Replica:
    """One replica, and requests to it."""

    def __init__(self, app: FakeServer) -> None:
        self.app = app
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://127.0.0.1"
        )

    async def get(self, path: str, **more: Any) -> httpx.Response:
        return await self.send("GET", path, **more)

    async def post(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return await self.send("POST", path, json=body, **more)

    async def send(
        self, method: str, path: str, headers: dict[str, str] | None = None, **more: Any
    ) -> httpx.Response:
        key = {"Authorization": f"Bearer {self.app.host.settings.api_keys[0]}"}
        return await self._client.request(method, path, headers=key | (headers or {}), **more)

    async def run(self, **more: Any) -> httpx.Response:
        return await self.post(RUN, {**BODY, **more})

    async def run_from_form(self, **more: Any) -> None:
        """A run on the way without a task, as most go behind a socket; else an ordinary one."""
        body = json.dumps({**BODY, **more}).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        request = scope("POST", RUN, json_headers(self.app.host.settings.api_keys[0]) | headers)
        responder = self.app.quick_responder(request)
        if responder is None or responder.respond(request, body) is None:
            await self.run(**more)


Scene = Callable[..., Awaitable[None]]


@contextlib.asynccontextmanager
async def replicas(url: str, count: int, **settings: Any) -> AsyncIterator[list[Replica]]:
    """So many replicas with the store at ``url``."""
    settings = {"speed": None, "store": url} | settings
    apps = [create_app(Settings(**settings)) for _ in range(count)]
    for app in apps:
        await app.begin()
    try:
        yield [Replica(app) for app in apps]
    finally:
        for app in apps:
            app.end_runs()
            await app.leave()


def play(url: str, count: int, scene: Scene, **settings: Any) -> None:
    """Play ``scene`` with so many replicas; with one of them where they share nothing."""

    async def played() -> None:
        shown = 1 if url == "memory" else count
        async with replicas(url, shown, **settings) as found:
            await scene(*(found * count)[:count])

    asyncio.run(played())


@contextlib.contextmanager
def redis_server(folder: Path, port: int = 0) -> Iterator[str]:
    """A Redis of its own; its URL."""
    program = needed("redis-server")
    if not port:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
    options = ("--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder))
    process = subprocess.Popen([program, "--port", str(port), *options], stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.02)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()
