"""Every behaviour acts on every version of the host, in both modes."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import pytest
from starlette.types import Message

from dify_wire.profile import HOST_VERSIONS
from fake_server.app import FakeServer, create_app
from fake_server.scenarios.behaviours import BEHAVIOURS
from fake_server.settings import Settings
from tests.asgi import client, json_headers, run_body, scope
from tests.recorded import APPS

KEY = "app-key"
OPEN = {"endless_stream"}
"""What ends only when the client leaves."""


def host(version: str) -> FakeServer:
    """One whose app has a model, a branch and a tool that draws."""
    folder = APPS / f"dify-{version}"
    file = (folder if folder.is_dir() else APPS) / "main.yml"
    return create_app(Settings(host_version=version, speed=None, apps=((KEY, str(file)),)))


def run(app: FakeServer, scenario: str, mode: str) -> list[Message]:
    """What is sent for a run, up to where the connection breaks."""
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    async def main() -> None:
        headers = {**json_headers(KEY), "X-Fake-Scenario": scenario}
        request = scope("POST", "/v1/workflows/run", headers)
        await app(request, client(run_body(mode=mode), leaves=scenario in OPEN), send)

    with contextlib.suppress(ConnectionResetError):  # in process, that is how one breaks
        asyncio.run(main())
    return messages


@pytest.mark.parametrize("version", HOST_VERSIONS)
def test_no_behaviour_is_a_mistake(version: str, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is logged as a mistake of the fake, and a stream is one of frames."""
    app, wrong = host(version), []
    for name in BEHAVIOURS:
        for mode in ("blocking", "streaming"):
            caplog.clear()
            with caplog.at_level(logging.ERROR):
                messages = run(app, name, mode)
            if "mistake in the fake" in caplog.text:
                wrong.append((name, mode))
            body = b"".join(one.get("body", b"") for one in messages[1:])
            if mode == "streaming" and messages and messages[0]["status"] == 200:
                assert body.startswith((b"data: ", b"event: ping")) or not body, (name, body[:99])
    assert not wrong
