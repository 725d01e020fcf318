"""What is true of one replica is true of every other, whatever the store. With memory the replicas
are one and the same.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from tests.stores.replicas import BODY, RUN, Replica, play


def image_urls(response: Any) -> list[str]:
    return re.findall(r"/files/tools/[^\"\\ ]+", response.text.replace("\\u0026", "&"))


async def begun(replica: Replica) -> str:
    """The task of a run that has begun there."""
    for _ in range(500):
        found = (await replica.get("/__admin/runs")).json()["runs"]
        if found:
            return str(found[0]["task_id"])
        await asyncio.sleep(0.01)
    raise AssertionError("no run begins")


def test_every_replica_serves_an_image_at_once(store: str) -> None:
    async def scene(a: Replica, b: Replica, c: Replica) -> None:
        [url, *_] = image_urls(await a.run())
        images = [(await one.get(url)) for one in (b, c, a)]
        assert [one.status_code for one in images] == [200] * 3
        assert len({one.content for one in images}) == 1

    play(store, 3, scene)


def test_an_image_that_nobody_made_is_absent(store: str) -> None:
    async def scene(a: Replica, b: Replica) -> None:
        [url, *_] = image_urls(await a.run())
        await a.post("/__admin/reset", {})
        assert (await b.get(url)).status_code == 415

    play(store, 2, scene)


def test_the_faults_of_an_image_are_those_of_its_run(store: str) -> None:
    async def scene(a: Replica, b: Replica) -> None:
        response = await a.post(RUN, BODY, headers={"X-Fake-Scenario": "corrupt_png;how=html"})
        assert (await b.get(image_urls(response)[0])).content.startswith(b"<!doctype")

    play(store, 2, scene)


def test_an_upload_has_its_content_everywhere(store: str) -> None:
    async def scene(a: Replica, b: Replica) -> None:
        sent = await a.send(
            "POST", "/v1/files/upload", files={"file": ("x.txt", b"hello")}, data={"user": "u"}
        )
        assert sent.status_code == 201, sent.text
        preview = sent.json()["source_url"]
        assert (await b.get(preview)).content == b"hello"

    play(store, 2, scene, host_version="1.14")


def test_records_logs_and_users_are_known_everywhere(store: str) -> None:
    async def scene(a: Replica, b: Replica) -> None:
        run = (await a.run(user="someone")).json()
        kept = (await b.get(f"/v1/workflows/run/{run['workflow_run_id']}")).json()
        assert (kept["status"], kept["id"]) == ("succeeded", run["workflow_run_id"])
        logs = (await b.get("/v1/workflows/logs")).json()
        assert [one["workflow_run"]["id"] for one in logs["data"]] == [run["workflow_run_id"]]
        [owner] = [one["created_by_end_user"]["id"] for one in logs["data"]]
        assert (await b.get(f"/v1/end-users/{owner}")).json()["session_id"] == "someone"

    play(store, 2, scene, host_version="1.14")


def test_a_run_is_stopped_from_anywhere_and_by_its_user_alone(store: str) -> None:
    async def scene(a: Replica, b: Replica) -> None:
        running = asyncio.ensure_future(a.run())
        stop = f"/v1/workflows/tasks/{await begun(a)}/stop"
        assert (await b.post(stop, {"user": "another"})).status_code == 200
        assert not running.done()
        assert (await b.post(stop, {"user": "u"})).status_code == 200
        assert (await running).json()["data"]["status"] == "stopped"

    play(store, 2, scene, speed=1.0)


@pytest.mark.parametrize("version", ["0.6.4", "1.14"])
def test_the_runs_of_late_are_the_same_everywhere(store: str, version: str) -> None:
    async def scene(a: Replica, b: Replica) -> None:
        for number in range(4):
            await (a, b)[number % 2].run(user=f"user{number}", response_mode="streaming")
        await a.run_from_form(user="user4")
        failed = {"X-Fake-Scenario": "node_failed"}
        await b.post(RUN, {**BODY, "user": "user5"}, headers=failed)
        here, there = [(await one.get("/__admin/runs")).json()["runs"] for one in (a, b)]
        assert here == there
        assert sorted(run["user"] for run in here) == [f"user{number}" for number in range(6)]
        numbers = [run["number"] for run in here]
        assert numbers == sorted(numbers, reverse=True)
        journal = (await b.get("/__admin/requests")).json()["requests"]
        users = {entry["id"]: entry["json"]["user"] for entry in journal}
        assert [users[run["request_id"]] for run in here] == [run["user"] for run in here]
        for run in here:
            for image in run["images"]:
                assert (await a.get(f"/__admin/images/{image['file_id']}")).status_code == 200

    play(store, 2, scene, host_version=version)


def test_a_run_that_runs_elsewhere_is_seen_and_stopped(store: str) -> None:
    async def scene(a: Replica, b: Replica) -> None:
        running = asyncio.ensure_future(a.run())
        task_id = await begun(b)
        [seen] = (await b.get("/__admin/runs?status=running")).json()["runs"]
        assert seen["nodes"]
        assert (await b.post(f"/__admin/runs/{task_id}/stop")).json() == {"stopped": True}
        await running
        for one in (a, b):
            [ended] = (await one.get("/__admin/runs")).json()["runs"]
            assert ended["status"] == "stopped"
            assert ended["nodes"][-1]["status"] == "stopped"

    play(store, 2, scene, speed=1.0)


def test_the_journal_has_each_request_once_and_in_order(store: str) -> None:
    async def scene(a: Replica, b: Replica, c: Replica) -> None:
        for number in range(12):
            await (a, b, c)[number % 3].run(user=f"user{number}")
        for one in (a, b, c):
            listed = (await one.get("/__admin/requests")).json()
            assert [entry["id"] for entry in listed["requests"]] == list(range(1, 13))
            assert sorted(entry["json"]["user"] for entry in listed["requests"]) == sorted(
                f"user{number}" for number in range(12)
            )
            assert listed["last_id"] == 12
        first = (await c.get("/__admin/requests/1")).json()
        assert first["answer"]["status"] == 200
        assert json.loads(first["answer"]["body"])["data"]["status"] == "succeeded"
        await c.run()
        later = (await a.get("/__admin/requests", params={"since": "12"})).json()["requests"]
        assert len(later) == 1
        assert (await b.send("DELETE", "/__admin/requests")).json() == {"forgotten": 13}
        assert (await a.get("/__admin/requests")).json()["requests"] == []

    play(store, 3, scene)


def test_a_run_of_late_names_its_request(store: str) -> None:
    async def scene(a: Replica, b: Replica) -> None:
        await a.run(user="first")
        await a.run(user="second")
        listed = (await a.get("/__admin/runs")).json()["runs"]
        assert [(one["user"], one["request_id"]) for one in listed] == [("second", 2), ("first", 1)]
        assert (await b.get("/__admin/requests/2")).json()["json"]["user"] == "second"

    play(store, 2, scene)


def test_requests_are_awaited_and_verified_wherever_they_come(store: str) -> None:
    async def scene(a: Replica, b: Replica) -> None:
        wanted = {"match": {"user": "awaited"}, "count": 1}
        waiting = asyncio.ensure_future(a.post("/__admin/requests/wait", wanted))
        await asyncio.sleep(0.1)
        await b.run(user="awaited")
        assert len((await waiting).json()["requests"]) == 1
        for one in (a, b):
            assert (await one.post("/__admin/requests/verify", wanted)).json()["matched"] == 1

    play(store, 2, scene)


def test_scenarios_act_everywhere_and_are_counted_once(store: str) -> None:
    async def scene(a: Replica, b: Replica, c: Replica) -> None:
        rules = [{"name": "http_error", "times": 2}, {"name": "run_failed", "when": {"call": 5}}]
        assert (await a.post("/__admin/scenarios", rules)).status_code == 201
        responses = [await (b, c, a)[number % 3].run() for number in range(7)]
        assert [one.status_code >= 400 for one in responses] == [True] * 2 + [False] * 5
        failed = [one.status_code < 400 and "failed" in one.text for one in responses]
        assert failed.count(True) == 1
        assert failed[4]
        matched = {
            one["name"]: one["matched"]
            for one in (await c.get("/__admin/scenarios")).json()["scenarios"]
        }
        assert matched == {"http_error": 2, "run_failed": 1}
        assert (await b.send("DELETE", "/__admin/scenarios")).json() == {"removed": 2}
        assert [(await one.get("/__admin/scenarios")).json() for one in (a, b, c)] == [
            {"scenarios": []}
        ] * 3
        assert (await c.post("/__admin/scenarios", {"name": "no_such"})).status_code == 400

    play(store, 3, scene)


def test_one_clock_for_all(store: str) -> None:
    async def scene(a: Replica, b: Replica) -> None:
        await a.post("/__admin/clock", {"freeze": "2024-05-01T12:00:00Z"})
        await b.post("/__admin/clock", {"advance_s": 10})
        times = [(await one.get("/__admin/clock")).json()["iso"] for one in (a, b)]
        assert times == ["2024-05-01T12:00:10+00:00"] * 2
        assert (await a.post("/__admin/clock", {"advance_s": 1e12})).status_code == 400
        await a.post("/__admin/clock", {"resume": True})
        clocks = [(await one.get("/__admin/clock")).json() for one in (a, b)]
        assert not any(one["frozen"] for one in clocks)
        assert abs(clocks[0]["shifted_s"] - clocks[1]["shifted_s"]) < 1
        await b.post("/__admin/reset", {})
        assert [(await one.get("/__admin/clock")).json()["shifted_s"] for one in (a, b)] == [0, 0]

    play(store, 2, scene)


def test_the_clock_moves_runs_of_every_replica(store: str) -> None:
    async def scene(a: Replica, b: Replica) -> None:
        await b.post("/__admin/clock", {"freeze": True})
        running = asyncio.ensure_future(a.run())
        await begun(a)
        await b.post("/__admin/clock", {"advance_s": 600})
        assert (await running).json()["data"]["status"] == "succeeded"

    play(store, 2, scene, speed=1.0)


def test_a_seed_gives_the_same_values_whoever_responds(store: str) -> None:
    async def scene(a: Replica, b: Replica) -> None:
        found = [(await one.run()).json()["task_id"] for one in (a, b, a)]
        assert len(set(found)) == 3
        await b.post("/__admin/reset", {"seed": 7})
        assert [(await one.run()).json()["task_id"] for one in (b, b, a)] == found

    play(store, 2, scene, seed=7)


def test_the_runs_of_an_app_are_counted(store: str) -> None:
    async def scene(a: Replica, b: Replica) -> None:
        numbers = []
        for one in (a, b, a):
            response = await one.run(response_mode="streaming")
            numbers.append(int(re.findall(r'"sequence_number": (\d+)', response.text)[0]))
            await one.get("/__admin/health")  # which settles what was written
        assert numbers == [1, 2, 3]

    play(store, 2, scene)
