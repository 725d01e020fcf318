"""The runs of late: what the admin API shows of them, and that it stops one."""

from __future__ import annotations

import asyncio
import functools
import json
import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import pytest

from fake_server.admin.changes import MOST_CONSOLES
from fake_server.app import FakeServer
from fake_server.runs.recent import RUNS, RecentRun, RecentRuns
from fake_server.settings import DEFAULT_API_KEY
from tests import test_human_input as human_input
from tests.admin.calling import LOCAL, RUN, admin, host, requests_of, run
from tests.asgi import call, run_body
from tests.serving import ROOT

APPS = ROOT / "recordings/apps"


def in_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run ``test`` in an event loop of its own."""

    @functools.wraps(test)
    def run_test(**arguments: Any) -> None:
        asyncio.run(asyncio.wait_for(test(**arguments), 20))

    return run_test


def runs(app: FakeServer, query: str = "") -> list[dict[str, Any]]:
    answer = admin(app, "GET", f"/runs{query}")
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.json()["runs"]
    return found


@pytest.mark.parametrize("mode", ["blocking", "streaming"])
@pytest.mark.parametrize("version", ["0.6.4", "1.14.2"])
def test_a_run_is_shown_as_its_response_has_it(version: str, mode: str) -> None:
    app = host(host_version=version)
    answer = run(app, run_body(mode=mode))
    if mode == "blocking":
        response = answer.json()
    else:
        frames = [
            json.loads(one[6:]) for one in answer.body.decode().split("\n\n") if "data" in one
        ]
        response = frames[-1]
    data = response["data"]
    [shown] = runs(app)
    assert shown["task_id"] == response["task_id"]
    assert shown["run_id"] == data["id"]
    assert shown["status"] == data["status"] == "succeeded"
    assert shown["elapsed_s"] == shown["ends_s"] == pytest.approx(data["elapsed_time"])
    assert (shown["total_tokens"], shown["total_steps"]) == (
        data["total_tokens"],
        data["total_steps"],
    )
    assert shown["request_id"] == requests_of(app)[-1]["id"]
    assert (shown["mode"], shown["user"]) == (mode, json.loads(run_body())["user"])
    assert [node["status"] for node in shown["nodes"]] == ["succeeded"] * data["total_steps"]
    if mode == "streaming":
        finished = [one["data"] for one in frames if one["event"] == "node_finished"]
        assert [node["title"] for node in shown["nodes"]] == [one["title"] for one in finished]
        for node, one in zip(shown["nodes"], finished, strict=True):
            assert node["elapsed_s"] == pytest.approx(one["elapsed_time"], abs=1e-3)
    [image] = shown["images"]
    assert image["prompt"]
    assert admin(app, "GET", f"/runs/{shown['task_id']}").json() == shown


def test_its_image_is_the_one_that_a_client_gets() -> None:
    app = host()
    [url] = re.findall(r'"url": "([^"]+)"', run(app).body.decode())
    [shown] = runs(app)
    fetched = call(app, "GET", url, LOCAL)
    image = admin(app, "GET", f"/images/{shown['images'][0]['file_id']}")
    assert image.body == fetched.body
    assert image.header("Content-Type") == "image/png"
    assert admin(app, "GET", "/images/none").status == 404


def test_a_failed_run_says_where_and_why() -> None:
    app = host()
    admin(app, "POST", "/scenarios", {"name": "node_failed"})
    run(app)
    [shown] = runs(app)
    assert shown["status"] == "failed"
    assert shown["scenarios"] == ["node_failed"]
    failed = shown["nodes"][-1]
    assert failed["status"] == "failed"
    assert failed["error"] in shown["error"]
    assert shown["images"] == []


def test_no_secret_is_shown() -> None:
    app = host()
    body = json.loads(run_body())
    body["inputs"]["prompt"] = f"a cat {DEFAULT_API_KEY}"
    run(app, json.dumps(body).encode())
    answer = admin(app, "GET", "/runs")
    assert DEFAULT_API_KEY.encode() not in answer.body
    assert answer.json()["runs"][0]["inputs"]["prompt"].startswith("a cat ")


def test_runs_are_listed_by_pages_and_filtered() -> None:
    app = host()
    for name in ("amy", "ben", "Cleo"):
        run(app, run_body(user=name))
    assert [one["user"] for one in runs(app)] == ["Cleo", "ben", "amy"]
    [newest] = runs(app, "?limit=1")
    assert [one["user"] for one in runs(app, f"?limit=1&before={newest['number']}")] == ["ben"]
    assert [one["user"] for one in runs(app, "?text=cle")] == ["Cleo"]
    assert len(runs(app, f"?app={newest['app']}&status=succeeded")) == 3
    assert runs(app, "?status=failed") == runs(app, "?app=other") == []
    assert [one["user"] for one in runs(app, f"?text={newest['task_id'][:8]}")] == ["Cleo"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("limit=0", "from 1 to 200"),
        ("limit=many", "expected a number"),
        ("before=-1", "not -1"),
        ("page=2", "'page' is not a known parameter"),
    ],
)
def test_a_query_that_cannot_be_used_is_refused(query: str, words: str) -> None:
    refused = admin(host(), "GET", f"/runs?{query}")
    assert refused.status == 400
    assert words in refused.json()["error"]["message"]


def test_a_run_that_is_unknown_or_over_cannot_be_stopped() -> None:
    app = host()
    assert admin(app, "POST", "/runs/none/stop").status == 404
    assert admin(app, "GET", "/runs/none").status == 404
    run(app)
    refused = admin(app, "POST", f"/runs/{runs(app)[0]['task_id']}/stop")
    assert refused.status == 409
    assert "succeeded" in refused.json()["error"]["message"]


@pytest.mark.parametrize("mode", ["blocking", "streaming"])
@in_a_loop
async def test_a_run_is_followed_and_stopped(mode: str) -> None:
    app = host(speed=1.0, clock="2024-05-01T12:00:00Z")
    client = asyncio.create_task(asyncio.to_thread(run, app, run_body(mode=mode)))
    shown: Mapping[str, Any] = {}
    while not shown:
        await asyncio.sleep(0.01)
        found = await asyncio.to_thread(runs, app)
        shown = found[0] if found else {}
    assert shown["status"] == "running"
    await asyncio.to_thread(admin, app, "POST", "/clock", {"advance_s": 4.5})
    [shown] = await asyncio.to_thread(runs, app, "?status=running")
    assert shown["elapsed_s"] == pytest.approx(4.5)
    states = [node["status"] for node in shown["nodes"]]
    assert states[:2] == ["succeeded", "succeeded"]
    assert "running" in states
    assert states[-1] == "next"
    stopped = await asyncio.to_thread(admin, app, "POST", f"/runs/{shown['task_id']}/stop")
    assert stopped.json() == {"stopped": True}
    await asyncio.to_thread(admin, app, "POST", "/clock", {"advance_s": 1})
    await client
    [shown] = await asyncio.to_thread(runs, app)
    assert (shown["status"], shown["elapsed_s"]) == ("stopped", 5.0)
    assert shown["nodes"][-1]["status"] == "stopped"


def test_what_an_iteration_holds_is_inside_of_it() -> None:
    export = APPS / "dify-1.14.2/iter.yml"
    app = host(host_version="1.14.2", apps=(("app-iter", str(export)),))
    [_, example] = admin(app, "GET", "/apps").json()["apps"]
    answer = admin(app, "POST", f"/as/{example['id']}/v1/workflows/run", example["example"])
    assert answer.status == 200, answer.body
    [shown] = runs(app)
    inside = [node for node in shown["nodes"] if node["inside"]]
    assert inside
    assert {node["inside"] for node in inside} <= {node["node_id"] for node in shown["nodes"]}


@in_a_loop
async def test_a_run_that_went_on_after_a_pause_is_one_run() -> None:
    app = human_input.served()
    run_id, data = await human_input.paused(app)
    [waiting] = await asyncio.to_thread(runs, app)
    assert (waiting["run_id"], waiting["status"]) == (run_id, "paused")
    await human_input.ask(app, "POST", human_input.form_of(data), human_input.SENT)
    watched = human_input.ask(app, "GET", f"/v1/workflow/{run_id}/events?user=alg123")
    await human_input.later(app, asyncio.create_task(watched))
    [ended] = await asyncio.to_thread(runs, app)
    assert (ended["run_id"], ended["status"]) == (run_id, "succeeded")
    assert ended["started_at"] == waiting["started_at"]
    titles = [node["title"] for node in waiting["nodes"]]
    assert [node["title"] for node in ended["nodes"]][: len(titles)] == titles
    assert len(ended["nodes"]) > len(titles)
    assert ended["ends_s"] > waiting["ends_s"]


def test_a_reset_forgets_the_runs() -> None:
    app = host()
    run(app)
    admin(app, "POST", "/reset")
    assert runs(app) == []
    run(app)
    assert runs(app)[0]["number"] == 2


def test_the_oldest_runs_are_forgotten() -> None:
    app = host()
    [_, first] = [run(app), run(app)]
    known = app.host.store.recent.get(first.json()["task_id"])
    assert known is not None
    small = RecentRuns(capacity=2, size=5 * known.size)
    for number in range(4):
        small.add(_Copy(known, str(number)))
    assert [one.task_id for one in small.newest()] == ["3", "2"]
    small.add(_Copy(known, "large", size=5 * known.size))
    assert [one.task_id for one in small.newest()] == []
    assert (small.forgotten, small.last_number) == (5, 5)
    assert RUNS == 1_000


class _Copy(RecentRun):
    """``run`` under another id, larger by ``size``."""

    task_id = ""

    def __init__(self, run: RecentRun, task_id: str, size: int = 0) -> None:
        self.task_id, self.size = task_id, run.size + size


def test_apps_say_what_they_take() -> None:
    app = host(apps=(("app-chat", "chat"), ("app-again", "workflow")))
    main, chat = admin(app, "GET", "/apps").json()["apps"]
    assert [one["name"] for one in main["inputs"]] == ["prompt", "model_name"]
    assert main["inputs"][1]["options"]
    assert set(main["example"]) == {"inputs", "response_mode", "user"}
    assert chat["error"] == "400 not_workflow_app"


def test_a_request_as_an_app_is_the_hosts_own() -> None:
    app = host()
    [main] = admin(app, "GET", "/apps").json()["apps"]
    path = f"/as/{main['id']}{RUN}"
    headers = {**LOCAL, "Content-Type": "application/json", "Origin": "http://127.0.0.1:6060"}
    headers |= {"Authorization": "Bearer nonsense", "X-Fake-Scenario": "node_failed"}
    sent = {**headers, "Content-Length": str(len(run_body()))}
    answer = admin(app, "POST", path, run_body(), sent)
    assert answer.json()["data"]["status"] == "failed"
    assert answer.header("Access-Control-Allow-Origin") == "*"
    [entry] = requests_of(app)
    assert entry["path"] == RUN
    names = {name.lower() for name, _ in entry["headers"]}
    assert "origin" not in names
    assert entry["scenarios"] == ["node_failed"]
    assert "nonsense" not in json.dumps(entry)


def test_a_request_as_an_app_needs_the_same_access() -> None:
    app = host()
    [main] = admin(app, "GET", "/apps").json()["apps"]
    stranger = {"Host": "fake.example"}
    assert admin(app, "GET", f"/as/{main['id']}/v1/parameters", None, stranger).status == 403
    assert admin(app, "GET", "/as/none/v1/parameters").status == 404
    assert admin(app, "GET", f"/as/{main['id']}/__admin/health").status == 404


def test_programs_take_the_key_from_the_environment() -> None:
    body = json.loads(run_body())
    programs = admin(host(), "POST", "/examples", {"body": body}).json()
    assert set(programs) == {"curl", "python", "js"}
    assert '"Authorization: Bearer $API_KEY"' in programs["curl"]
    assert 'os.environ["API_KEY"]' in programs["python"]
    assert "process.env.API_KEY" in programs["js"]
    compile(programs["python"], "run.py", "exec")
    for text in programs.values():
        assert DEFAULT_API_KEY not in text
        assert "http://127.0.0.1:6060" in text
        assert body["inputs"]["prompt"] in text


@pytest.mark.parametrize("body", [{}, {"body": 1}, {"body": {}}, {"body": {}, "app": "x"}])
def test_programs_need_a_body(body: object) -> None:
    assert admin(host(), "POST", "/examples", body).status == 400


def test_every_behaviour_is_described() -> None:
    found = admin(host(), "GET", "/behaviours").json()["behaviours"]
    by_name = {one["name"]: one for one in found}
    assert by_name["slow"]["with"]["seconds"]["minimum"] == 0
    assert by_name["slow"]["operations"] == ["runWorkflow"]
    assert len(found) > 40


@in_a_loop
async def test_a_console_hears_of_changes_until_the_server_ends() -> None:
    app = host()
    messages: asyncio.Queue[bytes] = asyncio.Queue()
    scope = _scope("/__admin/events")
    stream = asyncio.create_task(app(scope, _never, _send_to(messages)))
    first = await _change(messages)
    assert (first["runs"], first["clock"]["frozen"]) == (0, False)
    for change in (lambda: run(app), lambda: admin(app, "POST", "/scenarios", {"name": "slow"})):
        before = first
        await asyncio.to_thread(change)
        first = await _change(messages)
        assert first != before
    await asyncio.to_thread(admin, app, "POST", "/clock", {"freeze": True})
    assert (await _change(messages))["clock"]["frozen"] is True
    app.end_runs()
    await asyncio.wait_for(stream, 5)


@in_a_loop
async def test_consoles_beyond_the_limit_are_refused() -> None:
    app = host()
    queues: list[asyncio.Queue[bytes]] = [asyncio.Queue() for _ in range(MOST_CONSOLES)]
    open_ones = [
        asyncio.create_task(app(_scope("/__admin/events"), _never, _send_to(one))) for one in queues
    ]
    for queue in queues:
        await _change(queue)
    refused = await asyncio.to_thread(admin, app, "GET", "/events")
    assert refused.status == 503
    assert "close one" in refused.json()["error"]["message"]
    app.end_runs()
    await asyncio.wait_for(asyncio.gather(*open_ones), 5)


def _scope(path: str) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "http_version": "1.1",
        "scheme": "http",
        "headers": [(b"host", b"127.0.0.1:6060")],
    }


async def _never() -> Any:
    await asyncio.get_running_loop().create_future()


def _send_to(queue: asyncio.Queue[bytes]) -> Any:
    async def send(message: Any) -> None:
        if message.get("body"):
            queue.put_nowait(message["body"])

    return send


async def _change(queue: asyncio.Queue[bytes]) -> dict[str, Any]:
    event = (await asyncio.wait_for(queue.get(), 5)).decode()
    assert event.startswith("event: change\n")
    found: dict[str, Any] = json.loads(event.partition("data: ")[2])
    return found
