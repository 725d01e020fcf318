"""What each version keeps of its runs: the run's detail, the logs, and the users."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import pytest

from fake_server.app import FakeServer, create_app
from fake_server.clock import iso
from fake_server.runs.events import WorkflowFinished
from fake_server.runs.records import RunRecord, RunRecords
from fake_server.settings import DEFAULT_API_KEY, Settings
from tests.asgi import AsgiAnswer, call, client, exchange, json_headers, run_body, scope
from tests.each import each
from tests.recorded import APPS

AT = 1_800_000_000
OTHER_KEY, CHAT_KEY = "app-ofAnotherApp", "app-ofAChat"
UNKNOWN = "11111111-1111-4111-8111-111111111111"
RECORDING = ("0.15.3", "1.4.3", "1.10.1", "1.13.3", "1.14.2")


def served(version: str, speed: float | None = None) -> FakeServer:
    others = ((OTHER_KEY, str(APPS / "simple.yml")), (CHAT_KEY, "chat"))
    return create_app(Settings(host_version=version, speed=speed, clock=iso(AT), apps=others))


def get(app: FakeServer, path: str, key: str = DEFAULT_API_KEY) -> AsgiAnswer:
    return call(app, "GET", path, json_headers(key))


def run(app: FakeServer, user: str = "alg123", prompt: str = "a cat") -> dict[str, Any]:
    body = run_body(prompt, user=user)
    answer = call(app, "POST", "/v1/workflows/run", json_headers(DEFAULT_API_KEY), body)
    assert answer.status == 200, answer.body
    data: dict[str, Any] = answer.json()
    return data


@pytest.mark.parametrize("version", RECORDING)
def test_a_run_is_kept_as_it_ended(version: str) -> None:
    app = served(version)
    data = run(app)["data"]
    kept = get(app, f"/v1/workflows/run/{data['id'].upper()}").json()
    assert list(kept) == [
        "id",
        "workflow_id",
        "status",
        "inputs",
        "outputs",
        "error",
        "total_steps",
        "total_tokens",
        "created_at",
        "finished_at",
        "elapsed_time",
    ]
    shared = ["id", "workflow_id", "status", "total_steps", "total_tokens", "elapsed_time"]
    assert {name: kept[name] for name in shared} == {name: data[name] for name in shared}
    inputs = json.loads(kept["inputs"])
    assert (inputs["prompt"], inputs["sys.user_id"]) == ("a cat", "alg123")
    assert ("sys.timestamp" in inputs) == (version not in ("0.15.3", "1.4.3"))
    is_text = version in ("0.15.3", "1.4.3", "1.10.1")
    outputs = json.loads(kept["outputs"]) if is_text else kept["outputs"]
    assert [*outputs["files"][0]] == [*data["outputs"]["files"][0]]
    assert kept["error"] is None
    if version == "0.15.3":
        assert kept["created_at"].endswith("-0000")
    else:
        assert kept["created_at"] == data["created_at"]
    again = get(app, f"/v1/workflows/run/{data['id']}").json()
    assert again == kept, "the URLs are signed when the run ends, and not anew"


def nothing(count: int | None) -> dict[str, Any]:
    fields = ["id", "workflow_id", "status", "inputs", "outputs", "error"]
    later = ["created_at", "finished_at", "elapsed_time"]
    counts = {"total_steps": count, "total_tokens": count}
    return {**dict.fromkeys(fields), **counts, **dict.fromkeys(later)}


ABSENT = {"code": "not_found", "message": "Workflow run not found.", "status": 404}


@each(
    "version, absent, others",
    [
        ("0.15.3", nothing(0), "the run"),
        ("1.4.3", nothing(0), "the run"),
        ("1.10.1", nothing(None), nothing(None)),
        ("1.13.3", ABSENT, ABSENT),
        ("1.14.2", ABSENT, ABSENT),
    ],
)
def test_a_run_that_is_not_there(version: str, absent: Mapping[str, Any], others: Any) -> None:
    app = served(version)
    run_id = run(app)["workflow_run_id"]
    assert get(app, f"/v1/workflows/run/{UNKNOWN}").json() == absent
    of_other = get(app, f"/v1/workflows/run/{run_id}", OTHER_KEY).json()
    assert of_other == others or (others == "the run" and of_other["id"] == run_id)
    assert get(app, "/v1/workflows/run/abc").status == 500
    assert get(app, f"/v1/workflows/run/{run_id}", CHAT_KEY).json()["code"] == "not_workflow_app"


@each("version", ["0.6.3", "0.6.4", "0.6.9"])
def test_early_versions_show_no_runs(version: str) -> None:
    app = served(version)
    run_id = run(app)["workflow_run_id"]
    answers = [get(app, f"/v1/workflows/run/{run_id}"), get(app, "/v1/workflows/logs")]
    assert [(one.status, one.header("Content-Type")) for one in answers] == [
        (404, "text/html; charset=utf-8")
    ] * 2


# Logs
# ------------------------------------------------------------------------------------------------


def logs(app: FakeServer, **query: str | int) -> dict[str, Any]:
    answer = get(app, f"/v1/workflows/logs?{urlencode(query)}")
    assert answer.status == 200, answer.body
    page: dict[str, Any] = answer.json()
    return page


@pytest.mark.parametrize("version", RECORDING)
def test_the_last_run_comes_first_in_the_logs(version: str) -> None:
    app = served(version)
    runs = []
    for number in range(3):
        app.clock.advance(60)
        runs.append(run(app, user=f"user {number}")["workflow_run_id"])
    page = logs(app, limit=2)
    assert [one["workflow_run"]["id"] for one in page.pop("data")] == [runs[2], runs[1]]
    assert page == {"page": 1, "limit": 2, "total": 3, "has_more": True}
    page = logs(app, page=2, limit=2)
    (entry,) = page.pop("data")
    assert page == {"page": 2, "limit": 2, "total": 3, "has_more": False}
    assert entry["created_by_end_user"]["session_id"] == "user 0"
    assert ("details" in entry) == (version not in ("0.15.3", "1.4.3"))
    kinds = {"0.15.3": "service_api", "1.4.3": "service_api"}
    assert entry["created_by_end_user"]["type"] == kinds.get(version, "service-api")
    assert get(app, "/v1/workflows/logs", OTHER_KEY).json()["total"] == 0


@each(
    "query, found",
    [
        ({"keyword": "a red cat"}, ["1"]),
        ({"keyword": "一个"}, ["2"]),
        ({"keyword": "USER 1"}, ["1"]),
        ({"keyword": "nosuchword"}, []),
        ({"status": "succeeded"}, ["2", "1"]),
        ({"status": "failed"}, []),
        ({"created_by_end_user_session_id": "user 2"}, ["2"]),
        ({"created_by_account": "owner@example.com"}, []),
        ({"created_at__before": "2020-01-01T00:00:00Z"}, []),
        ({"created_at__after": "2020-01-01T00:00:00Z"}, ["2", "1"]),
        ({"created_at__after": iso(AT + 90)}, ["2"]),
    ],
)
def test_logs_are_searched(query: Mapping[str, str], found: list[str]) -> None:
    app = served("1.14.2")
    for number, prompt in enumerate(("a red cat", "一个人"), start=1):
        app.clock.advance(60)
        run(app, user=f"user {number}", prompt=prompt)
    users = [one["created_by_end_user"]["session_id"][-1] for one in logs(app, **query)["data"]]
    assert users == found


def test_versions_that_know_no_such_filter_pass_over_it() -> None:
    app = served("1.4.3")
    run(app)
    assert logs(app, created_by_end_user_session_id="nobody")["total"] == 1
    assert logs(app, created_by_account="nobody@example.com")["total"] == 1


INT = "Input should be a valid integer, unable to parse string as an integer"


@each(
    "version, query, message",
    [
        ("1.4.3", "limit=x", "x is not a valid integer"),
        (
            "1.4.3",
            "page=100000",
            "Invalid argument: 100000. argument must be within the range 1 - 99999",
        ),
        ("1.4.3", "status=nosuch", "nosuch is not a valid choice"),
        ("1.10.1", "limit=x", {"limit": "x is not a valid integer"}),
        ("1.10.1", "status=a", {"status": "The value 'a' is not a valid choice for 'status'."}),
        ("1.10.1", "created_by_account=a@b.c", "Account not found: a@b.c"),
        ("1.14.2", "limit=x", f"1 validation error for WorkflowLogQuery\nlimit\n  {INT} ["),
        (
            "1.14.2",
            "limit=0&status=a",
            (
                "2 validation errors for WorkflowLogQuery\nstatus\n  Input should be 'succeeded', "
                "'failed' or 'stopped' [type=literal_error, input_value='a', input_type=str]\n"
            ),
        ),
        ("1.14.2", "limit=101", "1 validation error for WorkflowLogQuery\nlimit\n  Input should"),
        ("1.14.2", "created_at__after=x", "ISO string too short"),
        (
            "1.14.2",
            "created_at__after=yesterday",
            "invalid literal for int() with base 10: b'yest'",
        ),
        ("1.14.2", "created_at__before=2020-13-45", "Unused components in ISO string"),
    ],
)
def test_a_bad_query_is_refused_in_the_versions_own_words(
    version: str, query: str, message: Any
) -> None:
    answer = get(served(version), f"/v1/workflows/logs?{query}")
    body = answer.json()
    assert answer.status == 400
    if isinstance(message, str):
        assert body["message"].startswith(message)
    else:
        assert body == {"errors": message, "message": "Input payload validation failed"}


# Runs that are stopped, or lose their client
# ------------------------------------------------------------------------------------------------


async def _started(app: FakeServer) -> None:
    for _ in range(10_000):
        if app.clock.waiting:
            return
        await asyncio.sleep(0.001)
    raise AssertionError("the run does not start")


async def _advanced(app: FakeServer, seconds: int) -> None:
    """Goes on by some seconds, with the real time that drawing an image takes."""
    for _ in range(0, seconds, 10):
        app.clock.advance(min(seconds, 10))
        for _ in range(50):
            await asyncio.sleep(0.001)
            if app.clock.waiting:
                break


async def _stop(app: FakeServer, user: str, key: str) -> None:
    (record,) = app.host.store.records
    path = f"/v1/workflows/tasks/{record.task_id}/stop"
    body = json.dumps({"user": user}).encode()
    await exchange(app, scope("POST", path, json_headers(key)), client(body))


async def stopped(app: FakeServer, mode: str, user: str, key: str) -> dict[str, Any]:
    """The logged run of one that is stopped in its midst, or of which a stop has no effect."""
    request = scope("POST", "/v1/workflows/run", json_headers(DEFAULT_API_KEY))
    task = asyncio.create_task(exchange(app, request, client(run_body(mode=mode))))
    await _started(app)
    await _advanced(app, 2)
    await _stop(app, user, key)
    await _advanced(app, 40)
    await task
    (entry,) = json.loads(
        (
            await exchange(
                app, scope("GET", "/v1/workflows/logs", json_headers(DEFAULT_API_KEY)), client()
            )
        ).body
    )["data"]
    kept: dict[str, Any] = entry["workflow_run"]
    return kept


@each(
    "version, user, key, status, finished",
    [
        ("1.4.3", "alg123", DEFAULT_API_KEY, "stopped", True),
        ("1.4.3", "another", DEFAULT_API_KEY, "succeeded", True),
        ("1.4.3", "alg123", OTHER_KEY, "succeeded", True),
        ("1.10.1", "another", DEFAULT_API_KEY, "running", False),
        ("1.14.2", "another", OTHER_KEY, "running", False),
        ("1.14.2", "alg123", DEFAULT_API_KEY, "running", False),
    ],
)
def test_what_a_record_says_after_a_stop(
    version: str, user: str, key: str, status: str, finished: bool
) -> None:
    for mode in ("streaming", "blocking"):
        kept = asyncio.run(stopped(served(version, speed=1), mode, user, key))
        assert (kept["status"], kept["finished_at"] is not None) == (status, finished)
        assert kept["error"] == ("Stopped by user." if status == "stopped" else None)
        if status == "running":
            assert (kept["total_steps"], kept["elapsed_time"]) == (0, 0.0)


async def left(app: FakeServer, mode: str) -> tuple[str, str]:
    """The status of a run right after its client has left, and after the run's time."""
    request = scope("POST", "/v1/workflows/run", json_headers(DEFAULT_API_KEY))
    leaving = client(run_body(mode=mode), leaves=True)
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    await app(request, leaving, send)
    (record,) = app.host.store.records

    async def status() -> str:
        path = f"/v1/workflows/run/{record.run_id}"
        answer = await exchange(app, scope("GET", path, json_headers(DEFAULT_API_KEY)), client())
        return str(answer.json()["status"])

    before = await status()
    await _advanced(app, 40)
    return before, await status()


@each(
    "version, mode, later",
    [
        ("0.15.3", "streaming", "running"),
        ("1.4.3", "streaming", "running"),
        ("1.10.1", "streaming", "succeeded"),
        ("1.14.2", "streaming", "succeeded"),
        ("0.15.3", "blocking", "succeeded"),
        ("1.4.3", "blocking", "succeeded"),
        ("1.14.2", "blocking", "succeeded"),
    ],
)
def test_what_becomes_of_a_run_that_its_client_leaves(version: str, mode: str, later: str) -> None:
    assert asyncio.run(left(served(version, speed=1), mode)) == ("running", later)


# Bounds, and users
# ------------------------------------------------------------------------------------------------


def record(run_id: str, text: str = "{}") -> RunRecord:
    return RunRecord(run_id, "task", "app", "workflow", "user", "end user", 0.0, text)


def test_the_oldest_records_are_forgotten() -> None:
    few = RunRecords(capacity=2)
    for run_id in "abc":
        few.keep(record(run_id))
    assert [bool(few.get(run_id)) for run_id in "abc"] == [False, True, True]
    small = RunRecords(text_bytes=100)
    first = record("a", "x" * 40)
    small.keep(first)
    small.keep(record("b", "x" * 40))
    first.end(WorkflowFinished("succeeded", None, None, 1.0, 0, 0), {"text": "y" * 40}, 1.0)
    small.keep(first)
    assert [bool(small.get(run_id)) for run_id in "ab"] == [False, True]


@each("version", ["1.13.3", "1.14.2"])
def test_a_user_of_a_run_is_an_end_user(version: str) -> None:
    app = served(version)
    run(app, user="me")
    user_id = logs(app)["data"][0]["created_by_end_user"]["id"]
    user = get(app, f"/v1/end-users/{user_id}").json()
    assert (user["id"], user["session_id"], user["is_anonymous"]) == (user_id, "me", False)
    assert user["created_at"] == user["updated_at"] == "2027-01-15T08:00:00"
    refused = get(app, f"/v1/end-users/{user_id}", OTHER_KEY)
    assert (refused.status, refused.json()["code"]) == (404, "end_user_not_found")
    assert get(app, "/v1/end-users/abc").header("Content-Type") == "text/html; charset=utf-8"
