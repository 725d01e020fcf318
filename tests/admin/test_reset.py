"""A reset leaves nothing of what was, even where runs are still coming to their end."""

from __future__ import annotations

import contextlib

from fake_server.bounded import BoundedDict
from fake_server.clock import Clock
from fake_server.runs.events import WorkflowFinished
from fake_server.runs.playback import Playback
from fake_server.runs.random_values import RandomSource
from fake_server.store import RunningTask, Store
from tests.admin.calling import host, run


def task(streaming: bool = False) -> RunningTask:
    end = WorkflowFinished("succeeded", None, None, 1.0, 0, 0)
    return RunningTask("app", "user", Playback(((1.0, end),), Clock(), 1.0), streaming)


def test_a_run_that_ends_after_a_reset_leaves_its_successor_alone() -> None:
    """With the same seed the first run after a reset has the id of the first before it."""
    store, before, after = Store(), task(), task()
    with contextlib.ExitStack() as ending:
        ending.enter_context(store.running("same", before))
        store.reset()
        assert before.playback.outcome == "abandoned"
        with store.running("same", after):
            ending.close()
            assert store.task("same") is after
            assert after.playback.outcome != "abandoned"
        assert store.task("same") is None


def test_runs_are_counted_by_mode_and_outcome() -> None:
    store = Store()
    for streaming in (True, False, True):
        with store.running("id", task(streaming)):
            assert store.runs_running == 1
    with store.running("id", task()):
        store.reset()
    assert store.runs_ended == {
        ("streaming", "succeeded"): 2,
        ("blocking", "succeeded"): 1,
        ("blocking", "abandoned"): 1,
    }


def test_a_store_counts_from_the_start_again() -> None:
    store = Store()
    store.sequence_numbers["app"] += 1
    store.reset()
    assert store.sequence_numbers["app"] == 0


def test_nothing_of_a_cleared_mapping_is_left() -> None:
    kept: BoundedDict[str, int] = BoundedDict(2)
    kept["a"] = 1
    kept.clear()
    assert (kept.get("a"), len(kept)) == (None, 0)


def test_draws_begin_again() -> None:
    draws = RandomSource(1)
    first = draws.for_request("x").uuid()
    assert draws.for_request("x").uuid() != first
    draws.reset(1)
    assert draws.for_request("x").uuid() == first
    draws.reset(2)
    assert draws.for_request("x").uuid() != first


def test_counters_go_on() -> None:
    app = host()
    run(app)
    app.reset()
    run(app)
    assert app.host.counters.requests["runWorkflow", 200] == 2
