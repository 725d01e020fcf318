"""Runs that end before their time: stopped by their user, or by the host's own limit."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fake_server.clock import Clock
from fake_server.host_spec import HostSpec
from fake_server.runs.engine import plan, with_pings
from fake_server.runs.events import (
    Event,
    NodeFinished,
    NodeStarted,
    Ping,
    Timeline,
    WorkflowFinished,
)
from fake_server.runs.playback import STOP_POLL_S, Playback
from fake_server.runs.random_values import RandomSource
from fake_server.workflow.loader import load_workflow
from tests.compared import differences, without_deployment
from tests.recorded import APPS, KEYS, SECRET_KEY, exchanges
from tests.serving import Connection, RawAnswer, RunningServer, raw_exchange, running_server

pytestmark = pytest.mark.server

_SPEED = 20
"""A run of 18.6 s takes a second, of which the tool has 0.77 s: time enough to stop it there, on a
busy machine too.
"""

_DEFAULT_APP = ("--api-key", KEYS["main"], "--app", f"{KEYS['simple']}={APPS / 'simple.yml'}")
_FLAGS = ("--secret-key", SECRET_KEY, "--seed", "6", *_DEFAULT_APP)
_TOOL_STARTED = b'"node_type": "tool"'


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running_server("--speed", str(_SPEED), *_FLAGS) as running:
        yield running


@pytest.fixture(scope="module")
def blocking_task_id() -> str:
    """The task id of the first blocking run: nobody is told it before the run ends, but with a seed
    it is known.
    """
    with running_server("--speed", "instant", *_FLAGS) as running:
        answer = raw_exchange(running.host, running.port, exchanges()["stop_during_block"].request)
    task_id: str = json.loads(answer.body)["task_id"]
    return task_id


def _stop(
    server: RunningServer, task_id: str, user: str = "alg123", app: str = "main"
) -> RawAnswer:
    """The recorded call for ``task_id``; its length stays right for any user of six characters."""
    request = exchanges()["stop_during_stream_call"].request.decode()
    request = (
        re.sub(r"(?<=/tasks/)[^/]+", task_id, request)
        .replace("alg123", user)
        .replace(KEYS["main"], KEYS[app])
    )
    return raw_exchange(server.host, server.port, request.encode())


def _until_the_tool_runs(frames: Iterator[tuple[float, bytes]]) -> tuple[list[bytes], str]:
    """The frames up to then, and the task id that they tell."""
    seen: list[bytes] = []
    for _, frame in frames:
        seen.append(frame)
        if _TOOL_STARTED in frame:
            break
    return seen, json.loads(seen[0].removeprefix(b"data: "))["task_id"]


def test_a_stopped_stream_ends_as_recorded(server: RunningServer) -> None:
    """The running node never finishes; the end of the run follows within a second."""
    with Connection(server.host, server.port) as connection:
        connection.send(exchanges()["stop_during_stream"].request)
        frames = connection.frames()
        seen, task_id = _until_the_tool_runs(frames)
        answer, stopped_at = _stop(server, task_id), time.monotonic()
        seen += [frame for _, frame in frames]
    assert time.monotonic() - stopped_at < 1
    assert differences(exchanges()["stop_during_stream_call"], answer) == []
    recorded = exchanges()["stop_during_stream"]
    assert recorded.body is not None
    stream = without_deployment(b"\n\n".join([*seen, b""]).decode())
    recorded = replace(recorded, body=without_deployment(recorded.body.decode()).encode())
    assert (
        differences(
            recorded, RawAnswer("HTTP/1.1 200 OK", 200, list(recorded.headers), stream.encode(), [])
        )
        == []
    )


def test_a_stopped_blocking_call_is_answered_as_recorded(
    server: RunningServer, blocking_task_id: str
) -> None:
    """It is a success of HTTP, with the status "stopped" and no outputs."""
    recorded = exchanges()["stop_during_block"]
    with Connection(server.host, server.port) as connection:
        connection.send(recorded.request)
        stop = threading.Timer(
            5 / _SPEED, _stop, (server, blocking_task_id)
        )  # at 5 s of the run its tool is at work
        stop.start()
        answer = connection.answer()
        stop.join()
    assert answer.chunks[0][0] < 1
    assert differences(recorded, answer) == []


def test_nobody_else_can_stop_a_run(server: RunningServer) -> None:
    """Another user, another app and another task id are answered alike, and change nothing."""
    with Connection(server.host, server.port) as connection:
        connection.send(exchanges()["stream_ok"].request)
        frames = connection.frames()
        seen, task_id = _until_the_tool_runs(frames)
        tries = (
            _stop(server, task_id, user="other1"),
            _stop(server, task_id, app="simple"),
            _stop(server, f"{task_id}0"),
        )
        seen += [frame for _, frame in frames]
    assert all(
        differences(exchanges()["stop_during_stream_call"], answer) == [] for answer in tries
    )
    assert b'"status": "succeeded"' in seen[-1]
    assert _stop(server, task_id).status == 200  # of a run that has ended


# Without waiting
# --------------------------------------------------------------------------------------------------


def _timeline(host_spec: HostSpec, app: Path) -> Timeline:
    workflow = load_workflow(app)
    inputs = {"prompt": "LSLEEP=290 SLEEP=119 long", "model_name": "", "sys.files": []}
    draw = RandomSource(1).for_request("a run")
    return with_pings(plan(workflow, inputs, draw, host_spec), host_spec.ping)


async def _played(
    timeline: Timeline, speed: float, step_s: float, stop_at_s: float | None = None
) -> list[tuple[float, Event]]:
    """What arrives when (seconds on the wall), played by a clock that is moved by hand in steps of
    ``step_s``.
    """
    clock = Clock()
    clock.freeze()
    began, arrived = clock.ticks(), list[tuple[float, Event]]()
    playback = Playback(timeline, clock, speed)

    async def listen() -> None:
        async for events in playback.events(asyncio.get_running_loop().create_future):
            arrived.extend((clock.ticks() - began, event) for event in events)

    listening = asyncio.create_task(listen())
    while not listening.done():
        for _ in range(5):
            await asyncio.sleep(0)
        if stop_at_s is not None and clock.ticks() - began >= stop_at_s:
            playback.stop()
            stop_at_s = None
        clock.advance(step_s)
    return arrived


def test_the_host_ends_a_run_at_its_limit(host_spec: HostSpec) -> None:
    """As in timeout600_stream: 59 pings, the third tool unfinished, the tokens of the model that
    did finish.
    """
    timeline = _timeline(host_spec, APPS / "long.yml")
    end_s, end = timeline[-1]
    assert isinstance(end, WorkflowFinished)
    assert end_s == host_spec.limits.run_s == end.elapsed_s
    assert (end.status, end.outputs, end.error, end.total_steps) == (
        "stopped",
        None,
        "Workflow stopped.",
        5,
    )
    assert end.total_tokens == sum(
        (event.execution_metadata or {}).get("total_tokens", 0)
        for _, event in timeline
        if isinstance(event, NodeFinished)
    )
    assert sum(isinstance(event, Ping) for _, event in timeline) == 59
    assert sum(isinstance(event, NodeStarted) for _, event in timeline) == 5
    assert sum(isinstance(event, NodeFinished) for _, event in timeline) == 4


def test_a_run_of_600_s_is_played_to_the_second(host_spec: HostSpec) -> None:
    """Each event arrives at its moment and not before, by the clock alone."""
    timeline = _timeline(host_spec, APPS / "long.yml")
    arrived = asyncio.run(_played(timeline, speed=1, step_s=1))
    assert [event for _, event in arrived] == [event for _, event in timeline]
    late_s = [at_s - offset_s for (at_s, _), (offset_s, _) in zip(arrived, timeline, strict=True)]
    assert min(late_s) > -1e-9
    assert max(late_s) < 1.001


@pytest.mark.parametrize("speed", [0.1, 1, 10])
def test_a_stop_takes_at_most_a_second(host_spec: HostSpec, speed: float) -> None:
    """By the wall, whatever the speed; and what the end says of itself is the timeline's own
    time.
    """
    timeline = _timeline(host_spec, APPS / "long.yml")
    step_s = 0.05
    arrived = asyncio.run(_played(timeline, speed, step_s, stop_at_s=2.02))
    ended_s, end = arrived[-1]
    assert isinstance(end, WorkflowFinished)
    assert end.status == "stopped"
    assert end.elapsed_s == pytest.approx(ended_s * speed, abs=step_s * speed * 1.5)
    assert 0 <= ended_s - 2.02 <= STOP_POLL_S + 2 * step_s
