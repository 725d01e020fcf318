"""The log in Redis: for replicas on several machines.

Segments are a stream, of which each replica waits for the rest; scripts keep its bounds and number
the entries. A Redis that is away is tried again until it is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any

from fake_server.settings import SettingsError
from fake_server.shared.log import ALIVE_S, COUNTS, LOG_BYTES, LogError, Segment, Snapshot

if TYPE_CHECKING:
    from redis.asyncio import Redis

_PREFIX = "fake-dify:"
_BLOCK_MS = 500
_AGAIN_S = 0.25
_TIMEOUT_S = 5.0
_AT_ONCE = 200

_APPEND = """
local position = redis.call('HINCRBY', KEYS[2], 'position', 1)
local top = redis.call('HINCRBY', KEYS[2], 'entries', ARGV[2])
local base = top - ARGV[2]
redis.call('XADD', KEYS[1], position .. '-0', 'b', base, 's', ARGV[3], 'd', ARGV[1])
local bytes = redis.call('HINCRBY', KEYS[2], 'bytes', #ARGV[1])
while bytes > tonumber(ARGV[4]) do
  local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
  if not oldest then break end
  redis.call('XDEL', KEYS[1], oldest[1])
  bytes = redis.call('HINCRBY', KEYS[2], 'bytes', -#oldest[2][6])
end
return {position, base}
"""

_COUNT = """
local count = redis.call('HINCRBY', KEYS[1], ARGV[1], 1)
if count == 1 then
  local before = redis.call('HGET', KEYS[2], ARGV[1])
  if before then
    count = before + 1
    redis.call('HSET', KEYS[1], ARGV[1], count)
  end
  if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[2]) then
    redis.call('RENAME', KEYS[1], KEYS[2])
  end
end
return count
"""

_SAVE = """
local position = redis.call('HGET', KEYS[1], 'position')
if not position or tonumber(position) <= tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'position', ARGV[1], 'data', ARGV[2])
end
"""

_FORGET = """
redis.call('XTRIM', KEYS[1], 'MINID', ARGV[1] .. '-0')
local bytes = 0
for _, one in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do bytes = bytes + #one[2][6] end
redis.call('HSET', KEYS[2], 'bytes', bytes)
redis.call('DEL', KEYS[3], KEYS[4])
"""


class RedisLog:
    """The log at ``url``. Raises ``SettingsError`` where there is no Redis."""

    def __init__(self, url: str) -> None:
        try:
            import redis
        except ImportError:
            raise SettingsError(
                "store", "redis-py is not installed; install it: pip install 'fake-dify[redis]'"
            ) from None
        self._url = url
        try:
            with contextlib.closing(redis.Redis.from_url(url, socket_timeout=_TIMEOUT_S)) as client:
                client.ping()
        except (redis.RedisError, ValueError, OSError) as error:
            raise SettingsError(
                "store", f"Redis does not respond: {error}; start it, or correct the address"
            ) from error
        self._replica = ""
        self._client: Redis | None = None
        self._following: asyncio.Task[None] | None = None
        self._read, self._closed = 0, False
        self._stream, self._totals = f"{_PREFIX}log", f"{_PREFIX}totals"
        self._counts = (f"{_PREFIX}counts", f"{_PREFIX}counts-before")
        self._replicas, self._snapshot = f"{_PREFIX}replicas", f"{_PREFIX}snapshot"

    async def connect(self, replica: str) -> None:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        self._replica = replica
        retry = Retry(NoBackoff(), 1)
        self._client = client = Redis.from_url(
            self._url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=1.0, retry=retry
        )
        self._append_script = client.register_script(_APPEND)
        self._count_script = client.register_script(_COUNT)
        await self.seen(0)

    async def follow(self, callback: Callable[[Sequence[Segment]], None]) -> None:
        self._following = asyncio.create_task(self._follow(callback))

    async def _follow(self, callback: Callable[[Sequence[Segment]], None]) -> None:
        while not self._closed:  # a cancellation can be lost between two timeouts
            try:
                async with self._reached() as client:
                    found: Any = await client.xread(
                        {self._stream: f"{self._read}-0"}, count=_AT_ONCE, block=_BLOCK_MS
                    )
            except LogError:
                await asyncio.sleep(_AGAIN_S)
                continue
            if not found:
                with contextlib.suppress(LogError):
                    if await self.end() < self._read:  # a Redis that has come back empty
                        self._read = 0
                continue
            entries = found[0][1] if isinstance(found, list) else next(iter(found.values()))
            if entries and isinstance(entries[0], list):
                entries = entries[0]
            segments = [
                Segment(int(at.partition(b"-")[0]), int(of[b"b"]), of[b"s"].decode(), of[b"d"])
                for at, of in entries
            ]
            self._read = segments[-1].position
            callback(segments)

    async def append(self, data: bytes, entries: int) -> Segment:
        async with self._reached():
            position, base = await self._append_script(
                [self._stream, self._totals], [data, entries, self._replica, LOG_BYTES]
            )
            return Segment(position, base, self._replica, b"")

    async def end(self) -> int:
        async with self._reached() as client:
            return int(await client.hget(self._totals, "position") or 0)

    async def count(self, name: bytes) -> int:
        async with self._reached():
            return int(await self._count_script(list(self._counts), [name, COUNTS]))

    async def load(self) -> Snapshot | None:
        async with self._reached() as client:
            found = await client.hgetall(self._snapshot)
            return Snapshot(int(found[b"position"]), found[b"data"]) if found else None

    async def save(self, snapshot: Snapshot) -> None:
        async with self._reached() as client:
            await client.eval(_SAVE, 1, self._snapshot, snapshot.position, snapshot.data)

    async def forget(self, position: int) -> None:
        async with self._reached() as client:
            keys = (self._stream, self._totals, *self._counts)
            await client.eval(_FORGET, len(keys), *keys, position)

    async def seen(self, position: int) -> None:
        async with self._reached() as client:
            await client.hset(self._replicas, self._replica, f"{position}:{time.time()}")

    async def behind(self, position: int) -> int:
        return sum(seen < position for _, seen in await self._alive())

    async def others(self) -> int:
        return sum(replica != self._replica for replica, _ in await self._alive())

    async def close(self) -> None:
        self._closed = True
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait({self._following})  # it gives its connection back
        if self._client is not None:
            with contextlib.suppress(LogError):
                async with self._reached() as client:
                    await client.hdel(self._replicas, self._replica)
            await self._client.aclose()

    async def _alive(self) -> list[tuple[str, int]]:
        async with self._reached() as client:
            found = await client.hgetall(self._replicas)
            alive, gone = [], []
            for name, value in found.items():
                seen, _, at = value.partition(b":")
                if float(at) > time.time() - ALIVE_S:
                    alive.append((name.decode(), int(seen)))
                elif float(at) < time.time() - 60 * ALIVE_S:
                    gone.append(name)
            if gone:
                await client.hdel(self._replicas, *gone)
            return alive

    @contextlib.asynccontextmanager
    async def _reached(self) -> AsyncIterator[Any]:
        from redis.exceptions import RedisError

        try:
            yield self._client
        except (RedisError, OSError) as error:
            raise LogError(f"Redis: {error}") from error
