"""Several workers behind one port: one that dies has a successor, SIGHUP replaces all."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import httpx
import pytest

from tests.serving import server_process
from tests.stores.replicas import BODY, RUN

pytestmark = pytest.mark.server


def workers_of(pid: int) -> set[int]:
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def others_serve(pid: int, before: set[int]) -> None:
    for _ in range(200):
        now = workers_of(pid)
        if len(now) == 2 and not now & before:
            return
        time.sleep(0.05)
    raise AssertionError(f"{before} are still there: {workers_of(pid)}")


def test_workers_end_and_begin_and_what_they_made_stays(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'fake.db'}"
    with server_process("--store", store, "--workers", "2", "--speed", "instant") as server:
        key = {"Authorization": f"Bearer {server.api_key}"}

        def image_of_a_run() -> str:
            run = httpx.post(server.url + RUN, json=BODY, headers=key).json()
            return str(server.url + run["data"]["outputs"]["files"][0]["url"])

        image = image_of_a_run()
        httpx.get(f"{server.url}/__admin/health")  # which settles what was written
        first = workers_of(server.pid)
        assert len(first) == 2
        for one in first:
            os.kill(one, signal.SIGKILL)
        others_serve(server.pid, first)
        assert httpx.get(image).status_code == 200
        second = workers_of(server.pid)
        os.kill(server.pid, signal.SIGHUP)
        others_serve(server.pid, second)
        assert httpx.get(image).status_code == 200
        assert httpx.get(image_of_a_run()).status_code == 200
        entries = httpx.get(f"{server.url}/__admin/requests").json()["requests"]
        assert len({entry["id"] for entry in entries}) == len(entries) == 5
