"""The log in a SQLite file: for the workers of one machine, and for restarts.

One thread of each replica has the connection. It looks for new segments every few milliseconds,
which costs one small read of the file's header unless there are any.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from fake_server.settings import SettingsError
from fake_server.shared.log import ALIVE_S, COUNTS, LOG_BYTES, LogError, Segment, Snapshot

T = TypeVar("T")

_APPLICATION = 0x46444659
_VERSION = 1
_LOOK_S = 0.02
_BUSY_S = 5.0
_AT_ONCE = 200
"""So many segments are read at a time."""

_TABLES = """
begin immediate;
create table if not exists segments (
    position integer primary key autoincrement, base integer, sender text, data blob
);
create table if not exists counts (
    id integer primary key autoincrement, name blob unique, count integer
);
create table if not exists totals (name text primary key, value integer);
create table if not exists replicas (id text primary key, seen integer, at real);
create table if not exists snapshot (id integer primary key, position integer, data blob);
insert or ignore into totals values ('bytes', 0), ('entries', 0);
commit;
"""


_COUNT_BYTES = """
update totals set value = coalesce((select sum(length(data)) from segments), 0)
where name = 'bytes'
"""


class SqliteLog:
    """The log at ``url``, ``sqlite:///FILE``. Raises ``SettingsError`` where the file is none."""

    def __init__(self, url: str) -> None:
        self._path = Path(url.removeprefix("sqlite:///"))
        self._check()
        self._jobs: queue.Queue[Callable[[sqlite3.Connection], None] | None] = queue.Queue()
        self._thread: threading.Thread | None = None
        self._replica = ""
        self._read = 0
        self._version = -1
        self._give: Callable[[Sequence[Segment]], None] | None = None

    def _check(self) -> None:
        """Make the file, or see that it is one of these."""
        way_out = "name another file, or delete this one: it holds nothing but the fake's state"
        try:
            with contextlib.closing(self._connection()) as connection:
                found = connection.execute("pragma application_id").fetchone()[0]
                tables = connection.execute("select count(*) from sqlite_master").fetchone()[0]
                if tables and found != _APPLICATION:
                    raise SettingsError(
                        "store", f"{self._path} is a database of another program; name another file"
                    )
                version = connection.execute("pragma user_version").fetchone()[0]
                if tables and version != _VERSION:
                    raise SettingsError(
                        "store", f"{self._path} is of another version of fake-dify; {way_out}"
                    )
                connection.execute("pragma journal_mode = wal")
                connection.executescript(_TABLES)
                if not tables:
                    connection.execute(f"pragma application_id = {_APPLICATION}")
                    connection.execute(f"pragma user_version = {_VERSION}")
                problem = connection.execute("pragma quick_check").fetchone()[0]
        except sqlite3.Error as error:
            if "unable to open" in str(error) or "readonly" in str(error):
                message = f"cannot write {self._path}: {error}; name a file in a folder of yours"
            else:
                message = f"{self._path} is damaged, or no SQLite file: {error}; {way_out}"
            raise SettingsError("store", message) from error
        if problem != "ok":
            raise SettingsError("store", f"{self._path} is damaged: {problem}; {way_out}")

    def _connection(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
        )
        connection.execute("pragma synchronous = normal")
        return connection

    # In the loop
    # ------------------------------------------------------------------------------------------

    async def connect(self, replica: str) -> None:
        self._replica = replica
        self._thread = threading.Thread(target=self._run, name="fake-dify store", daemon=True)
        self._thread.start()
        await self.seen(0)

    async def follow(self, callback: Callable[[Sequence[Segment]], None]) -> None:
        loop = asyncio.get_running_loop()

        def give(segments: Sequence[Segment]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(callback, segments)

        self._give = give

    async def append(self, data: bytes, entries: int) -> Segment:
        return await self._do(lambda db: self._append(db, data, entries))

    async def end(self) -> int:
        return await self._do(lambda db: _value(db, "select max(position) from segments"))

    async def count(self, name: bytes) -> int:
        return await self._do(lambda db: _count(db, name))

    async def load(self) -> Snapshot | None:
        query = "select position, data from snapshot"
        row = await self._do(lambda db: db.execute(query).fetchone())
        return None if row is None else Snapshot(*row)

    async def save(self, snapshot: Snapshot) -> None:
        statement = """
            insert into snapshot values (1, ?, ?) on conflict (id) do update
            set position = excluded.position, data = excluded.data
            where excluded.position >= position
        """
        await self._do(lambda db: db.execute(statement, snapshot))

    async def forget(self, position: int) -> None:
        def forget(db: sqlite3.Connection) -> None:
            with _transaction(db):
                db.execute("delete from segments where position < ?", (position,))
                db.execute("delete from counts")
                db.execute(_COUNT_BYTES)

        await self._do(forget)

    async def seen(self, position: int) -> None:
        values = (self._replica, position, time.time())
        await self._do(
            lambda db: db.execute("insert or replace into replicas values (?,?,?)", values)
        )

    async def behind(self, position: int) -> int:
        query = "select count(*) from replicas where seen < ? and at > ?"
        alive = time.time() - ALIVE_S
        return await self._do(lambda db: _value(db, query, position, alive))

    async def others(self) -> int:
        query = "select count(*) from replicas where id != ? and at > ?"
        return await self._do(lambda db: _value(db, query, self._replica, time.time() - ALIVE_S))

    async def close(self) -> None:
        if self._thread is None:
            return
        query = "delete from replicas where id = ? or at < ?"
        with contextlib.suppress(LogError):
            gone = (self._replica, time.time() - 60 * ALIVE_S)
            await self._do(lambda db: db.execute(query, gone))
        self._jobs.put(None)
        self._thread.join(_BUSY_S)

    async def _do(self, job: Callable[[sqlite3.Connection], T]) -> T:
        done: Future[T] = Future()

        def work(db: sqlite3.Connection) -> None:
            if not done.set_running_or_notify_cancel():
                return
            try:
                done.set_result(job(db))
            except BaseException as error:
                done.set_exception(error)

        self._jobs.put(work)
        try:
            return await asyncio.wrap_future(done)
        except sqlite3.Error as error:
            raise LogError(f"{self._path}: {error}") from error

    # In the thread
    # ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        with contextlib.closing(self._connection()) as db:
            look_at = 0.0
            while True:
                try:
                    job = self._jobs.get(timeout=max(look_at - time.monotonic(), 0.0))
                except queue.Empty:
                    look_at = time.monotonic() + _LOOK_S
                    with contextlib.suppress(sqlite3.Error):  # the next look may be better
                        self._look(db)
                    continue
                if job is None:
                    return
                job(db)

    def _look(self, db: sqlite3.Connection) -> None:
        """Give what is new."""
        if self._give is None:
            return
        version = db.execute("pragma data_version").fetchone()[0]  # moves with others' writes
        if version == self._version:
            return
        query = "select * from segments where position > ? order by position limit ?"
        while segments := [Segment(*row) for row in db.execute(query, (self._read, _AT_ONCE))]:
            self._read = segments[-1].position
            self._give(segments)
        self._version = version

    def _append(self, db: sqlite3.Connection, data: bytes, entries: int) -> Segment:
        self._version = -1  # which one's own writes do not move
        with _transaction(db):
            base = _value(db, "select value from totals where name = 'entries'")
            insert = "insert into segments (base, sender, data) values (?, ?, ?)"
            position = db.execute(insert, (base, self._replica, data)).lastrowid
            add = "update totals set value = value + ? where name = ?"
            if entries:
                db.execute(add, (entries, "entries"))
            db.execute(add, (len(data), "bytes"))
            over = _value(db, "select value from totals where name = 'bytes'") - LOG_BYTES
            while over > 0:
                oldest = db.execute(
                    "select position, length(data) from segments order by position limit 1"
                ).fetchone()
                db.execute("delete from segments where position = ?", oldest[:1])
                db.execute(add, (-oldest[1], "bytes"))
                over -= oldest[1]
        assert position is not None
        return Segment(position, base, self._replica, b"")


def _count(db: sqlite3.Connection, name: bytes) -> int:
    with _transaction(db):
        statement = """
            insert into counts (name, count) values (?, 1)
            on conflict (name) do update set count = count + 1 returning id, count
        """
        number, count = db.execute(statement, (name,)).fetchone()
        if count == 1:
            db.execute("delete from counts where id <= ?", (number - COUNTS,))
    return int(count)


def _value(db: sqlite3.Connection, query: str, *values: object) -> int:
    return int(db.execute(query, values).fetchone()[0] or 0)


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("begin immediate")
    try:
        yield
    except BaseException:
        db.execute("rollback")
        raise
    db.execute("commit")
