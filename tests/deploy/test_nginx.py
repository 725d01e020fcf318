"""nginx before three replicas with one Redis, one of which is killed under load."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.contract.full import suite_at
from tests.contract.verdicts import fake_options
from tests.deploy.topology import behind_nginx
from tests.serving import server_process
from tests.stores.replicas import BODY, RUN, redis_server

pytestmark = [pytest.mark.server, pytest.mark.redis]

_RUNS = 300
_AT_ONCE = 12


def test_only_what_is_in_flight_on_a_killed_replica_fails(tmp_path: Path) -> None:
    with ExitStack() as ended:
        store = ended.enter_context(redis_server(tmp_path))
        options = ("--store", store, "--speed", "200")
        replicas = [ended.enter_context(server_process(*options)) for _ in range(2)]
        killed = ended.enter_context(ExitStack())
        victim = killed.enter_context(server_process(*options))
        url = ended.enter_context(behind_nginx((*replicas, victim), tmp_path))
        key = {"Authorization": f"Bearer {replicas[0].api_key}"}
        failed, good = asyncio.run(_load(url, key, victim.pid))
        assert len(good) >= _RUNS - _AT_ONCE
        assert failed <= _AT_ONCE
        entries = httpx.get(f"{replicas[0].url}/__admin/requests?limit=1000").json()["requests"]
        ids = [one["id"] for one in entries]
        assert len(set(ids)) == len(ids)
        users = [one["json"]["user"] for one in entries if one["operation"] == "runWorkflow"]
        complete = {
            one["json"]["user"]
            for one in entries
            if one["operation"] == "runWorkflow" and one["state"] == "complete"
        }
        lost = set(good) - complete
        assert len(lost) <= _AT_ONCE
        assert len(set(users)) >= _RUNS - _AT_ONCE
        with pytest.raises(AssertionError, match="ended with -9"):
            killed.close()


async def _load(url: str, key: dict[str, str], victim: int) -> tuple[int, dict[str, str]]:
    """How many runs failed, and the image of each that did not, by its user."""
    good: dict[str, str] = {}
    failed = 0
    places = asyncio.Semaphore(_AT_ONCE)
    async with httpx.AsyncClient(base_url=url, headers=key, timeout=20) as client:

        async def run(number: int) -> None:
            nonlocal failed
            async with places:
                if number == _RUNS // 2:
                    os.kill(victim, signal.SIGKILL)
                try:
                    response = await client.post(RUN, json={**BODY, "user": f"user{number}"})
                    file = response.json()["data"]["outputs"]["files"][0]
                except (httpx.TransportError, ValueError, KeyError):
                    failed += 1
                    return
                good[f"user{number}"] = file["url"]

        await asyncio.gather(*map(run, range(_RUNS)))
        late = {f"user{number}" for number in range(_RUNS // 2 - 4 * _AT_ONCE, _RUNS // 2)}
        for image in [one for user, one in good.items() if user not in late][::25]:
            assert {(await client.get(image)).status_code for _ in range(3)} == {200}
    return failed, good


@pytest.mark.slow
def test_the_contract_holds_for_three_replicas(tmp_path: Path) -> None:
    """With the clock, too, which each replica shows and moves for all."""
    with ExitStack() as ended:
        store = ended.enter_context(redis_server(tmp_path))
        options = (*fake_options(), "--store", store)
        replicas = [ended.enter_context(server_process(*options)) for _ in range(3)]
        url = ended.enter_context(behind_nginx(replicas, tmp_path))
        assert suite_at(url, replicas[0].api_key, url, []) == (0, [])
