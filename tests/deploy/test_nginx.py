"""nginx before three replicas with one Redis, one of which is killed under load."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.serving import server_process
from tests.stores.replicas import BODY, RUN, redis_server
from tests.tools import needed

pytestmark = [pytest.mark.server, pytest.mark.redis]

_CONFIG = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream replicas {{ {servers} }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://replicas; proxy_http_version 1.1; proxy_buffering off;
      proxy_set_header Host $http_host; proxy_next_upstream error timeout;
    }}
  }}
}}
"""
_RUNS = 300
_AT_ONCE = 12


def test_only_what_is_in_flight_on_a_killed_replica_fails(tmp_path: Path) -> None:
    nginx = needed("nginx")
    with ExitStack() as ended:
        store = ended.enter_context(redis_server(tmp_path))
        options = ("--store", store, "--speed", "200")
        replicas = [ended.enter_context(server_process(*options)) for _ in range(2)]
        killed = ended.enter_context(ExitStack())
        victim = killed.enter_context(server_process(*options))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        servers = " ".join(
            f"server 127.0.0.1:{one.port} max_fails=1 fail_timeout=1s;"
            for one in (*replicas, victim)
        )
        config = tmp_path / "nginx.conf"
        config.write_text(_CONFIG.format(folder=tmp_path, servers=servers, port=port))
        proxy = subprocess.Popen([nginx, "-c", str(config), "-p", str(tmp_path)])
        try:
            key = {"Authorization": f"Bearer {replicas[0].api_key}"}
            failed, good = asyncio.run(_load(f"http://127.0.0.1:{port}", key, victim.pid))
        finally:
            proxy.terminate()
            proxy.wait()
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
        for _ in range(100):
            try:
                await client.get("/")
                break
            except httpx.TransportError:
                await asyncio.sleep(0.05)

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
