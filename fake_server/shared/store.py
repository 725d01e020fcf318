"""The store of a replica: what it keeps is noted for the others, and it keeps what they note."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

from fake_server.bounded import BoundedBytes, BoundedDict
from fake_server.images import ImageRecord
from fake_server.images.faults import ImageFault
from fake_server.runs.events import HumanInputFilled
from fake_server.runs.records import HumanForm, RunRecord, RunRecords
from fake_server.runs.values import Values
from fake_server.shared.journal import SharedJournal
from fake_server.shared.log import Log
from fake_server.shared.replica import Note, Replica
from fake_server.shared.runs import SharedRuns
from fake_server.store import EndUser, RunningTask, Store, StoredImage, Upload

if TYPE_CHECKING:
    from fake_server.host_state import HostState

V = TypeVar("V")


class _Noted(BoundedDict[str, V]):
    """Notes each value that is set."""

    def __init__(self, like: BoundedDict[str, V], note: Callable[[str, V], None]) -> None:
        super().__init__(like.capacity)
        self._note = note

    def __setitem__(self, key: str, value: V) -> None:
        super().__setitem__(key, value)
        self._note(key, value)

    def receive(self, key: str, value: V) -> None:
        """Set what another replica has set."""
        super().__setitem__(key, value)


class _NotedBytes(BoundedBytes):
    def __init__(self, capacity: int, note: Callable[[Note], None]) -> None:
        super().__init__(capacity)
        self._note = note

    def __setitem__(self, name: str, content: bytes) -> None:
        super().__setitem__(name, content)
        self._note(("content", name, content))

    def receive(self, name: str, content: bytes) -> None:
        super().__setitem__(name, content)


class _NotedRecords(RunRecords):
    """Notes each record that is kept, when it begins and when it ends."""

    def __init__(self, note: Callable[[Note], None]) -> None:
        super().__init__()
        self._note = note

    def keep(self, record: RunRecord) -> None:
        super().keep(record)
        self._note(("record", *(getattr(record, name) for name in _RECORD)))

    def receive(self, *values: Any) -> None:
        known = self.get(values[0])
        if known is None:
            known = RunRecord(**dict(zip(_RECORD, values, strict=True)))
        else:
            for name, value in zip(_RECORD, values, strict=True):
                setattr(known, name, value)
        super().keep(known)


_RECORD = tuple(name for name in RunRecord.__slots__ if name not in ("live", "feed"))


class _NotedNumbers(Counter[str]):
    """The numbers of the last runs: each replica counts on from the greatest that it knows."""

    def __init__(self, note: Callable[[Note], None]) -> None:
        super().__init__()
        self._note = note

    def __setitem__(self, app_id: str, number: int) -> None:
        super().__setitem__(app_id, number)
        self._note(("number", app_id, number))

    def receive(self, app_id: str, number: int) -> None:
        super().__setitem__(app_id, max(self[app_id], number))


class SharedStore(Store):
    """The state of one replica."""

    recent: SharedRuns

    def __init__(self, log: Log, journal: SharedJournal) -> None:
        super().__init__()
        self._replica = self.replica = replica = Replica(log, journal)
        journal.wake = replica.wake
        self._journal = journal
        self.recent = runs = SharedRuns()
        journal.receive_run = runs.receive
        note = replica.note
        self.images = images = _Noted(self.images, lambda key, one: note(_image(key, one)))
        self.uploads = uploads = _Noted(self.uploads, lambda key, upload: note(("upload", *upload)))
        self.end_users = users = _Noted(self.end_users, lambda key, user: note(("user", *user)))
        self.upload_contents = contents = _NotedBytes(self.upload_contents.capacity, note)
        self.sequence_numbers = numbers = _NotedNumbers(note)
        self._fills: dict[str, Callable[[HumanInputFilled, Values], Any]] = {}
        self.forms = forms = _Noted(self.forms, self._note_form)
        replica.receivers |= {
            "image": lambda key, record, faults: images.receive(key, _stored(record, faults)),
            "upload": lambda *fields: uploads.receive(fields[0], Upload(*fields)),
            "user": lambda *fields: users.receive(fields[0], EndUser(*fields)),
            "content": contents.receive,
            "number": numbers.receive,
            "record": lambda *fields: _NotedRecords.receive(self.records, *fields),
            "form": lambda token, *fields: forms.receive(token, self._form(token, *fields)),
        }

    @cached_property
    def records(self) -> _NotedRecords:
        return _NotedRecords(self._replica.note)

    def know(self, host: HostState) -> None:
        self.recent.host = host

    def end(self, task_id: str, task: RunningTask) -> None:
        super().end(task_id, task)
        entry = None if task.recent is None else task.recent.entry
        if entry is not None and entry.ended is not None:  # the run went on without its client
            self._journal.over(entry)

    async def settled(self) -> None:
        await self._replica.settled()

    # Forms: whoever has the run goes on with it
    # ------------------------------------------------------------------------------------------

    def _note_form(self, token: str, form: HumanForm) -> None:
        self._fills[token] = form.fill
        form.fill = partial(self._fill_where_it_runs, token)
        values = json.dumps(form.values, default=str)
        self._replica.note(("form", token, form.app_id, values, form.expires_at))

    def _form(self, token: str, app_id: str, values: str, expires_at: float) -> HumanForm:
        fill = partial(self._fill_where_it_runs, token)
        return HumanForm(app_id, json.loads(values), expires_at, fill)

    async def _fill_where_it_runs(self, token: str, filled: HumanInputFilled, sent: Values) -> None:
        await self._replica.everywhere("fill", token, list(filled), dict(sent))

    def fill(self, token: str, filled: list[Any], sent: Values) -> None:
        """The form of ``token`` has been filled in, at any replica."""
        form = self.forms.get(token)
        if form is not None:
            form.submitted = True
        fill = self._fills.pop(token, None)
        if fill is not None:
            self.keep_alive(asyncio.ensure_future(fill(HumanInputFilled(*filled), sent)))


def _image(key: str, image: StoredImage) -> Note:
    faults = tuple([tuple(one) for one in image.faults]) if image.faults else ()
    return ("image", key, tuple(image.record), faults)


def _stored(record: tuple[Any, ...], faults: tuple[Any, ...]) -> StoredImage:
    return StoredImage(ImageRecord(*record), tuple(ImageFault(*one) for one in faults))
