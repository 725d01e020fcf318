"""Runs that wait for a human: the form, its answer, and watching the run from outside."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from fake_server.app import FakeServer, create_app
from fake_server.clock import iso
from fake_server.settings import Settings
from tests.asgi import AsgiAnswer, client, exchange, json_headers, run_body, scope
from tests.each import each
from tests.recorded import APPS, RECORDINGS

AT = 1_800_000_000
KEY, OTHER_KEY, CHAT_KEY = "app-ofHumanInput", "app-ofAnotherApp", "app-ofAChat"
SENT = {"inputs": {"note": "fine"}, "action": "approve", "user": "alg123"}


def served(version: str = "1.14.2", speed: float | None = 1) -> FakeServer:
    human = str(RECORDINGS / "apps" / f"dify-{version}" / "human.yml")
    apps = ((KEY, human), (OTHER_KEY, str(APPS / "simple.yml")), (CHAT_KEY, "chat"))
    return create_app(Settings(host_version=version, speed=speed, clock=iso(AT), apps=apps))


async def ask(
    app: FakeServer, method: str, path: str, body: Any = None, key: str = KEY
) -> AsgiAnswer:
    raw = b"" if body is None else json.dumps(body).encode()
    return await exchange(app, scope(method, path, json_headers(key)), client(raw))


async def later(
    app: FakeServer, answer: asyncio.Task[AsgiAnswer], seconds: int = 400
) -> AsgiAnswer:
    """The answer, with as much of the fake's time as it takes, and of real time for drawing."""
    for _ in range(seconds):
        for _ in range(50):
            await asyncio.sleep(0.001)
            if answer.done():
                return await answer
            if app.clock.waiting:
                break
        app.clock.advance(1)
    raise AssertionError(f"no end within {seconds} s")


async def paused(app: FakeServer, mode: str = "blocking") -> tuple[str, dict[str, Any]]:
    """A run that waits: its id, and what it says of the pause."""
    request = scope("POST", "/v1/workflows/run", json_headers(KEY))
    task = asyncio.create_task(exchange(app, request, client(run_body("a red cat", mode))))
    answer = await later(app, task)
    if mode == "blocking":
        data = answer.json()["data"]
        return data["id"], data
    frame = frames(answer.body)[-1]
    assert frame["event"] == "workflow_paused"
    return frame["workflow_run_id"], frame["data"]


def frames(body: bytes) -> list[Any]:
    """The frames of a stream; a ping is None."""
    *pieces, rest = body.decode().split("\n\n")
    assert rest == ""
    return [
        None if piece == "event: ping" else json.loads(piece.removeprefix("data: "))
        for piece in pieces
    ]


def kinds(body: bytes) -> list[str]:
    return ["ping" if frame is None else frame["event"] for frame in frames(body)]


def form_of(data: dict[str, Any]) -> str:
    return f"/v1/form/human_input/{data['reasons'][0]['form_token']}"


@pytest.mark.parametrize("mode", ["blocking", "streaming"])
def test_a_form_is_read_and_sent_once(mode: str) -> None:
    async def scenario() -> None:
        app = served()
        run_id, data = await paused(app, mode)
        (reason,) = data["reasons"]
        assert (data["status"], data["paused_nodes"]) == ("paused", [reason["node_id"]])
        form = form_of(data)
        shown = await ask(app, "GET", form)
        assert shown.body.startswith(
            b'{"form_content": "Please check a red cat\\n{{#$output.note#}}"'
        )
        assert shown.json() == {
            "form_content": reason["form_content"],
            "inputs": reason["inputs"],
            "resolved_default_values": {},
            "user_actions": reason["actions"],
            "expiration_time": AT + 3600,
        }
        record = (await ask(app, "GET", f"/v1/workflows/run/{run_id}")).json()
        assert (record["status"], record["finished_at"]) == ("paused", None)
        sent = await ask(app, "POST", form, SENT)
        assert (sent.status, sent.body) == (200, b"{}\n")
        again = [await ask(app, "POST", form, SENT), await ask(app, "GET", form)]
        for answer in again:
            assert (answer.status, answer.json()["code"]) == (412, "human_input_form_submitted")
        watched = ask(app, "GET", f"/v1/workflow/{run_id}/events?user=alg123")
        await later(app, asyncio.create_task(watched))
        record = (await ask(app, "GET", f"/v1/workflows/run/{run_id}")).json()
        assert (record["status"], record["outputs"]["note"]) == ("succeeded", "fine")
        assert record["total_steps"] > data["total_steps"]

    asyncio.run(scenario())


def test_another_action_is_another_way() -> None:
    async def scenario() -> None:
        app = served(speed=None)
        run_id, data = await paused(app)
        rejected = {**SENT, "action": "reject", "inputs": {"note": "no"}}
        assert (await ask(app, "POST", form_of(data), rejected)).status == 200
        for _ in range(100):
            record = (await ask(app, "GET", f"/v1/workflows/run/{run_id}")).json()
            if record["status"] == "succeeded":
                break
            await asyncio.sleep(0.001)
        assert (record["status"], record["outputs"]) == ("succeeded", {"note": "no"})

    asyncio.run(scenario())


PAYLOAD = "1 validation error for HumanInputFormSubmitPayload"


@each(
    "key, change, status, message",
    [
        (KEY, {"user": None}, 400, "Arg user must be provided."),
        (KEY, {"action": "other"}, 400, "Invalid action: other"),
        (KEY, {"inputs": {}}, 400, "Missing required inputs: note"),
        (KEY, {"inputs": None}, 400, f"{PAYLOAD}\ninputs\n  Field required [type=missing, "),
        (KEY, {"action": 1}, 400, f"{PAYLOAD}\naction\n  Input should be a valid string [type="),
        (KEY, {"inputs": "x"}, 400, f"{PAYLOAD}\ninputs\n  Input should be a valid dictionary ["),
        (OTHER_KEY, {}, 404, "Form not found. You have requested this URI [/v1/form/human_input/"),
    ],
)
def test_an_answer_that_does_not_fit(
    key: str, change: dict[str, Any], status: int, message: str
) -> None:
    async def scenario() -> None:
        app = served(speed=None)
        _, data = await paused(app)
        body = {name: value for name, value in {**SENT, **change}.items() if value is not None}
        refused = await ask(app, "POST", form_of(data), body, key)
        assert (refused.status, refused.json()["message"][: len(message)]) == (status, message)
        assert (await ask(app, "POST", form_of(data), SENT)).status == 200, "it still waits"

    asyncio.run(scenario())


def test_a_form_expires() -> None:
    async def scenario() -> None:
        app = served(speed=None)
        _, data = await paused(app)
        app.clock.advance(3601)
        for answer in (
            await ask(app, "GET", form_of(data)),
            await ask(app, "POST", form_of(data), SENT),
        ):
            assert (answer.status, answer.json()["code"]) == (412, "human_input_form_expired")

    asyncio.run(scenario())


RESUMED = [
    "workflow_started",
    "node_started",
    "human_input_form_filled",
    "node_finished",
    "node_started",
]


@each(
    "query, before",
    [
        ("", ["ping"]),
        (
            "&include_state_snapshot=true&continue_on_pause=true",
            [
                "ping",
                "workflow_started",
                "node_started",
                "node_finished",
                "node_started",
                "node_finished",
                "human_input_required",
                "workflow_paused",
            ],
        ),
    ],
)
def test_a_watcher_sees_the_run_go_on(query: str, before: list[str]) -> None:
    async def scenario() -> None:
        app = served()
        run_id, data = await paused(app)
        path = f"/v1/workflow/{run_id}/events?user=alg123{query}"
        watching = asyncio.create_task(ask(app, "GET", path))
        await asyncio.sleep(0.01)
        assert (await ask(app, "POST", form_of(data), SENT)).status == 200
        body = (await later(app, watching)).body
        seen = kinds(body)
        assert seen[: len(before)] == before
        after = [kind for kind in seen[len(before) :] if kind != "ping"]
        assert (after[:5], after[-1]) == (RESUMED, "workflow_finished")
        resumed = [frame for frame in frames(body)[len(before) :] if frame]
        assert resumed[0]["data"]["reason"] == "resumption"
        filled = next(frame for frame in resumed if frame["event"] == "human_input_form_filled")
        assert filled["data"]["rendered_content"] == "Please check a red cat\nfine"
        assert (filled["data"]["action_id"], filled["data"]["action_text"]) == (
            "approve",
            "Approve",
        )

    asyncio.run(scenario())


def test_a_run_that_has_ended_is_one_frame() -> None:
    async def scenario() -> None:
        app = served(speed=None)
        run_id, data = await paused(app)
        await ask(app, "POST", form_of(data), {**SENT, "action": "reject"})
        await asyncio.sleep(0.05)
        body = (await ask(app, "GET", f"/v1/workflow/{run_id}/events?user=alg123")).body
        assert body.startswith(
            b'data: {"event": "workflow_finished", "task_id": "' + run_id.encode()
        )
        assert kinds(body) == ["workflow_finished"]

    asyncio.run(scenario())


def test_a_snapshot_of_a_waiting_run_ends_soon() -> None:
    async def scenario() -> None:
        app = served()
        run_id, _ = await paused(app)
        path = f"/v1/workflow/{run_id}/events?user=alg123&include_state_snapshot=true"
        watching = asyncio.create_task(ask(app, "GET", path))
        body = (await later(app, watching, 3)).body
        assert kinds(body)[-2:] == ["human_input_required", "workflow_paused"]

    asyncio.run(scenario())


def test_a_watch_without_any_news_ends() -> None:
    async def scenario() -> None:
        app = served()
        run_id, _ = await paused(app)
        path = f"/v1/workflow/{run_id}/events?user=alg123&include_state_snapshot=true"
        watching = asyncio.create_task(ask(app, "GET", f"{path}&continue_on_pause=true"))
        body = (await later(app, watching, 301)).body
        assert kinds(body)[8:] == ["ping"] * 29

    asyncio.run(scenario())


@each(
    "run, query, key, status, code",
    [
        (None, "user=another", KEY, 404, "not_found"),
        (None, "user=alg123", OTHER_KEY, 404, "not_found"),
        ("abc", "user=alg123", KEY, 500, "unknown"),
        (None, "user=alg123", CHAT_KEY, 400, "not_workflow_app"),
    ],
)
def test_who_may_not_watch(run: str | None, query: str, key: str, status: int, code: str) -> None:
    async def scenario() -> None:
        app = served(speed=None)
        run_id, _ = await paused(app)
        refused = await ask(app, "GET", f"/v1/workflow/{run or run_id}/events?{query}", key=key)
        assert (refused.status, refused.json()["code"]) == (status, code)

    asyncio.run(scenario())


def test_a_version_without_forms_only_says_that_it_waits() -> None:
    async def scenario() -> None:
        app = served("1.13.3", speed=None)
        run_id, data = await paused(app)
        assert (data["status"], "reasons" in data, data["outputs"]) == ("paused", False, {})
        absent = [
            await ask(app, "GET", "/v1/form/human_input/abc"),
            await ask(app, "GET", f"/v1/workflow/{run_id}/events?user=alg123"),
        ]
        assert [answer.status for answer in absent] == [404, 404]

    asyncio.run(scenario())
