"""Everything that outlives a request: images, uploads, running tasks. All of it is bounded."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from fake_server.bounded import BoundedBytes, BoundedDict
from fake_server.images import ImageRecord, render
from fake_server.runs.random_values import end_user_id
from fake_server.runs.recent import RecentRun, RecentRuns

if TYPE_CHECKING:
    from fake_server.host_state import HostState
    from fake_server.images.faults import ImageFault
    from fake_server.runs.events import Timeline
    from fake_server.runs.records import HumanForm, RunRecords
    from fake_server.shared.replica import Replica

_IMAGES = 20_000
_UPLOADS = 10_000
_RENDERED = 64
_END_USERS = 10_000
FORMS = 1_000
"""The forms of waiting runs that are kept; beyond this the oldest are not found."""

UPLOAD_CONTENT_BYTES = 1 << 26
"""Contents of uploads beyond this, oldest first, are not kept: a download of them gets 502."""


class Played(Protocol):
    """A run that is being played."""

    @property
    def outcome(self) -> str:
        """How it has ended, as ``Playback`` says."""
        ...

    @property
    def elapsed_s(self) -> float:
        """Where it is now, in seconds of its timeline."""
        ...

    @property
    def timeline(self) -> Timeline | None:
        """What happens in it; None where nothing but its plan can say."""
        ...

    def stop(self) -> None: ...

    def abandon(self) -> None: ...


class RunningTask(NamedTuple):
    """A run that can be stopped: only by the app and the user that started it (FACTS 7)."""

    app_id: str
    user: str
    playback: Played
    streaming: bool = False
    recent: RecentRun | None = None
    """The same run for those who look at it."""


class StoredImage(NamedTuple):
    """What an image is drawn from when it is fetched, and the faults of its bytes."""

    record: ImageRecord
    faults: tuple[ImageFault, ...] = ()


class Upload(NamedTuple):
    """An uploaded file. Its content is in ``Store.upload_contents``, as long as there is room."""

    file_id: str
    app_id: str
    end_user_id: str
    name: str
    extension: str
    mime_type: str
    size: int
    source_url: str = ""
    """Its URL as it was signed at the upload."""


class EndUser(NamedTuple):
    """A user whom a request of the app has named; the host keeps a row of each."""

    end_user_id: str
    app_id: str
    name: str
    seen_at: float
    anonymous: bool = False


class Store:
    """The state of one server, in memory."""

    replica: Replica | None = None
    """What shares the state with other servers."""

    def __init__(self) -> None:
        self.images: BoundedDict[str, StoredImage] = BoundedDict(_IMAGES)
        self.rendered: BoundedDict[str, bytes] = BoundedDict(_RENDERED)
        self.uploads: BoundedDict[str, Upload] = BoundedDict(_UPLOADS)
        self.upload_contents = BoundedBytes(UPLOAD_CONTENT_BYTES)
        self.forms: BoundedDict[str, HumanForm] = BoundedDict(FORMS)
        """By their tokens."""
        self.end_users: BoundedDict[str, EndUser] = BoundedDict(_END_USERS)
        self._tasks: dict[str, RunningTask] = {}
        self._running: Counter[tuple[str, bool]] = Counter()
        """How many runs are being played, by their app and whether they are streams."""
        self.background: set[asyncio.Task[None]] = set()
        self._ending = False
        self.sequence_numbers: Counter[str] = Counter()
        """The number of the last run of each app; runs count from 1 (FACTS 5.5)."""
        self.runs_ended: Counter[tuple[str, str]] = Counter()
        """By mode and outcome, since the server began."""
        self.recent: RecentRuns = RecentRuns()

    @cached_property
    def records(self) -> RunRecords:
        """What is kept of runs, which a start does without."""
        from fake_server.runs.records import RunRecords

        return RunRecords()

    def know(self, host: HostState) -> None:
        """Be the store of ``host``, before its first request."""

    async def settled(self) -> None:
        """Return once this server knows what any that shares its state has responded before.
        Raises ``LogError``.
        """

    def fill(self, token: str, filled: list[Any], sent: Mapping[str, Any]) -> None:
        """A form has been filled in at another server."""

    def see_user(self, app_id: str, name: str, now: float, anonymous: bool = False) -> str:
        """Keep the user of a request at ``now``; return the id."""
        user_id = end_user_id(app_id, name)
        if user_id not in self.end_users:
            self.end_users[user_id] = EndUser(user_id, app_id, name, now, anonymous)
        return user_id

    def task(self, task_id: str) -> RunningTask | None:
        """The run that can be stopped by that id."""
        return self._tasks.get(task_id)

    def stop(self, task_id: str, stopper: Sequence[str | None] | None = None) -> None:
        """Stop the run of that id, if there is one here; ``stopper`` are the app and the user, who
        must have started it.
        """
        task = self._tasks.get(task_id)
        if task is not None and (stopper is None or (task.app_id, task.user) == tuple(stopper)):
            task.playback.stop()

    @contextmanager
    def running(self, task_id: str, task: RunningTask) -> Iterator[None]:
        """Keep ``task`` known while it is being played."""
        self.begin(task_id, task)
        try:
            yield
        finally:
            self.end(task_id, task)

    def begin(self, task_id: str, task: RunningTask) -> None:
        """``task`` is being played from now on."""
        self._tasks[task_id] = task
        self._running[task.app_id, task.streaming] += 1
        if self._ending:
            task.playback.abandon()

    def release(self, task_id: str, task: RunningTask) -> None:
        """``task`` is played by another that takes its place."""
        if self._tasks.get(task_id) is task:  # not another run's, after a reset
            del self._tasks[task_id]
        self._running[task.app_id, task.streaming] -= 1

    def end(self, task_id: str, task: RunningTask) -> None:
        """``task`` is no longer being played."""
        self.release(task_id, task)
        mode = "streaming" if task.streaming else "blocking"
        playback = task.playback
        outcome = playback.outcome
        self.runs_ended[mode, outcome] += 1
        recent = task.recent
        if recent is not None:
            recent.outcome, recent.timeline = outcome, playback.timeline
            recent.reached_s = playback.elapsed_s

    async def png(self, file_id: str, record: ImageRecord) -> bytes:
        """The file of an image, drawn when it is first needed."""
        png = self.rendered.get(file_id)
        if png is None:
            png = await asyncio.to_thread(render, record)
            self.rendered[file_id] = png
        return png

    def running_of(self, app_id: str, *, blocking: bool = False) -> int:
        """How many runs of an app are being played; with ``blocking`` without streams."""
        streams = 0 if blocking else self._running[app_id, True]
        return self._running[app_id, False] + streams

    def keep_alive(self, task: asyncio.Task[None]) -> None:
        """Keep ``task`` until it is done: a loop alone would let it be collected."""
        self.background.add(task)
        task.add_done_callback(self.background.discard)

    @property
    def runs_running(self) -> int:
        """How many runs are being played, of all apps."""
        return len(self._tasks)

    def end_tasks(self) -> None:
        """Stop playing every task, and from now on any that begins."""
        self._ending = True
        self._abandon_all()

    def reset(self) -> None:
        """Forget everything, and stop playing every task."""
        self._abandon_all()
        self.images.clear()
        self.rendered.clear()
        self.uploads.clear()
        self.upload_contents.clear()
        self.records.clear()
        self.forms.clear()
        self.end_users.clear()
        self.sequence_numbers.clear()
        self.recent.clear()

    def _abandon_all(self) -> None:
        for task in list(self._tasks.values()):
            task.playback.abandon()
