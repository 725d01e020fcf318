"""How streams and runs of each version end: at once or later, with an error or broken off, by whom
they are stopped.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message

from fake_server.app import FakeServer, create_app
from fake_server.settings import Settings
from tests.asgi import call, client, json_headers, run_body, scope
from tests.each import each

APPS = Path(__file__).parent.parent / "recordings" / "apps"
KEY, OTHER_KEY = "app-one", "app-other"
NOON = "2026-11-26T12:00:00Z"


def server(version: str, app: str = "simple", speed: float | None = 1.0) -> FakeServer:
    """A host whose clock stands still."""
    folder = APPS / f"dify-{version}"
    path = (folder if folder.is_dir() else APPS) / f"{app}.yml"
    beside = path.with_suffix(".fake.yml")
    file = f"{path}+{beside}" if beside.exists() else str(path)
    apps = ((KEY, file), (OTHER_KEY, "workflow"))
    return create_app(Settings(host_version=version, speed=speed, clock=NOON, apps=apps))


@dataclass(slots=True)
class Stream:
    """A stream that is being read while the test moves the clock."""

    app: FakeServer
    scenario: str = ""
    messages: list[Message] = field(default_factory=list)
    task: asyncio.Task[None] = field(init=False)

    def __post_init__(self) -> None:
        async def send(message: Message) -> None:
            self.messages.append(message)

        headers = json_headers(KEY)
        if self.scenario:
            headers["X-Fake-Scenario"] = self.scenario
        request = scope("POST", "/v1/workflows/run", headers)
        body = client(run_body(mode="streaming"))
        self.task = asyncio.create_task(self.app(request, body, send))

    async def pass_time(self, seconds: float) -> None:
        await self._settle()
        self.app.host.clock.advance(seconds)
        await self._settle()

    async def _settle(self) -> None:
        for _ in range(200):
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)  # images are drawn in a thread

    @property
    def text(self) -> str:
        return b"".join(one.get("body", b"") for one in self.messages[1:]).decode()

    @property
    def frames(self) -> list[dict[str, Any]]:
        lines = [frame.removeprefix("data: ") for frame in self.text.split("\n\n")]
        return [json.loads(line) for line in lines if line.startswith("{")]


@each(("version", "closing_s"), [("0.6.4", 0), ("1.10.1", 0), ("1.13.3", 1), ("1.14.2", 1)])
def test_a_connection_stays_open_after_the_last_event(version: str, closing_s: float) -> None:
    """[C of 1.14.2: stream_ok]"""

    async def main() -> None:
        stream = Stream(server(version, "g_endmissing"))
        await stream.pass_time(0.5)
        assert stream.frames[-1]["event"] == "workflow_finished"
        if closing_s:
            assert not stream.task.done()
            await stream.pass_time(closing_s + 0.01)
        assert stream.task.done()

    asyncio.run(main())


@each(("version", "first"), [("0.6.4", "data"), ("1.10.1", "data"), ("1.13.3", "event: ping")])
def test_first_frame_is_a_ping_in_later_versions(version: str, first: str) -> None:
    answer = call(
        server(version, speed=None),
        "POST",
        "/v1/workflows/run",
        json_headers(KEY),
        run_body(mode="streaming"),
    )
    assert answer.body.decode().startswith(first)


@each(("version", "silence_s"), [("1.4.3", 0), ("1.10.1", 0), ("1.13.3", 300), ("1.14.2", 300)])
def test_a_graph_that_cannot_be_built_is_an_error_frame(version: str, silence_s: float) -> None:
    """Later versions do not close the stream then; a blocking request gets the same text as 400
    [C: g_nostart_stream, g_nostart_block].
    """

    async def main() -> dict[str, Any]:
        stream = Stream(server(version, "g_nostart"))
        await stream.pass_time(silence_s - 1 if silence_s else 0.01)
        (frame,) = stream.frames
        if silence_s:
            assert not stream.task.done()
            await stream.pass_time(2)
        assert stream.task.done()
        return frame

    frame = asyncio.run(main())
    assert list(frame) == ["event", "workflow_run_id", "code", "status", "message"]
    app = server(version, "g_nostart", speed=None)
    answer = call(app, "POST", "/v1/workflows/run", json_headers(KEY), run_body())
    body = {name: frame[name] for name in ("code", "message", "status")}
    assert (answer.status, answer.json()) == (400, body)


@each(("version", "stops"), [("0.6.4", False), ("1.4.3", False), ("1.10.1", True)])
def test_who_stops_a_run(version: str, stops: bool) -> None:
    """Early versions compare user and app; later ones do not [C: stop_during_wronguser]."""

    async def main() -> str:
        stream = Stream(server(version), scenario="slow; seconds=50")
        await stream.pass_time(1)
        task_id = stream.frames[0]["task_id"]
        request = scope("POST", f"/v1/workflows/tasks/{task_id}/stop", json_headers(OTHER_KEY))

        async def send(_: Message) -> None: ...

        await stream.app(request, client(b'{"user": "another"}'), send)
        await stream.pass_time(100)
        await stream.pass_time(2)
        status: str = stream.frames[-1]["data"]["status"]
        return status

    assert asyncio.run(main()) == ("stopped" if stops else "succeeded")


@pytest.mark.parametrize("version", ["1.4.3", "1.10.1"])
def test_a_run_that_crashes_breaks_off(version: str) -> None:
    """Of a blocking request nothing is left but a status [C: g_badtool_block, g_badtool_stream]."""
    app = server(version, "g_badtool", speed=None)
    answer = call(app, "POST", "/v1/workflows/run", json_headers(KEY), run_body())
    assert (answer.status, answer.json()["code"]) == (500, "internal_server_error")
    with pytest.raises(ConnectionResetError):
        call(app, "POST", "/v1/workflows/run", json_headers(KEY), run_body(mode="streaming"))
