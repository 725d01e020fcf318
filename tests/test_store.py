"""The store: bounded, and the one place that knows what is being played."""

from __future__ import annotations

import contextlib

from fake_server.bounded import BoundedDict
from fake_server.clock import Clock
from fake_server.runs.events import WorkflowFinished
from fake_server.runs.playback import Playback
from fake_server.store import RunningTask, Store


def task() -> RunningTask:
    end = WorkflowFinished("succeeded", None, None, 1.0, 0, 0)
    return RunningTask("app", "user", Playback(((1.0, end),), Clock(), 1.0))


def test_the_oldest_entry_is_forgotten_first() -> None:
    kept: BoundedDict[str, int] = BoundedDict(2)
    for number, name in enumerate("abc"):
        kept[name] = number
    assert [kept.get(name) for name in "abc"] == [None, 1, 2]
    assert len(kept) == 2


def test_a_task_is_known_while_it_runs_and_no_longer() -> None:
    store, running = Store(), task()
    with contextlib.suppress(KeyError), store.running("id", running):
        assert store.task("id") is running
        raise KeyError
    assert store.task("id") is None


def test_running_runs_are_counted_by_app() -> None:
    """With their streams, and without; a reset does not end them at once."""
    store = Store()
    with contextlib.ExitStack() as playing:
        for number, (app_id, streaming) in enumerate([("a", True), ("a", False), ("b", True)]):
            running = task()._replace(app_id=app_id, streaming=streaming)
            playing.enter_context(store.running(str(number), running))
        assert (store.running_of("a"), store.running_of("a", blocking=True)) == (2, 1)
        assert (store.running_of("b"), store.running_of("b", blocking=True)) == (1, 0)
    assert store.running_of("a") == store.running_of("b") == store.running_of("c") == 0


def test_ending_abandons_what_runs_and_what_begins_after_it() -> None:
    store, before, after = Store(), task(), task()
    with store.running("before", before):
        store.end_tasks()
        assert before.playback.outcome == "abandoned"
        with store.running("after", after):
            assert after.playback.outcome == "abandoned"
