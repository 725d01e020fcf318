"""A Redis that goes away while replicas run: what needs it fails as the host would, and all goes on
once it is back.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.stores.replicas import redis_server, replicas

pytestmark = [pytest.mark.server, pytest.mark.redis]


def test_a_redis_that_comes_back_needs_no_restart(tmp_path: Path) -> None:
    async def scene() -> None:
        with ExitStack() as first, ExitStack() as second:
            url = first.enter_context(redis_server(tmp_path))
            async with replicas(url, 2, seed=1) as (a, b):
                assert (await a.run()).status_code == 200
                first.close()
                failed = await a.run()
                assert failed.status_code == 500
                assert failed.json()["code"] == "unknown"
                health = (await b.get("/__admin/health")).json()
                assert health["status"] == "degraded"
                refused = await a.post("/__admin/scenarios", {"name": "slow"})
                assert refused.status_code == 503
                assert "cannot be reached" in refused.json()["error"]["message"]
                second.enter_context(redis_server(tmp_path, urlsplit(url).port or 0))
                for _ in range(100):
                    await asyncio.sleep(0.1)
                    if (await b.get("/__admin/health")).json()["status"] == "ok":
                        break
                assert (await a.run()).status_code == 200
                added = await a.post("/__admin/scenarios", {"name": "http_error"})
                assert added.status_code == 201
                assert (await b.run()).status_code >= 400
                assert (await b.get("/__admin/health")).json()["status"] == "ok"

    asyncio.run(scene())
