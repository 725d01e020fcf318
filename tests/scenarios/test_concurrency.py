"""Many requests at once, clients that leave, and runs that go on without one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from fake_server.journal.entry import CLIENT_LEFT
from fake_server.scenarios.behaviours import BEHAVIOURS
from tests.scenarios.bench import Bench, Client, Seen, parsed
from tests.serving import RunningServer, raw_exchange, running_server

pytestmark = pytest.mark.server


# At once
# ---

MANY = 200


def _scenario(number: int) -> str:
    """A scenario that no other request has, of every stage in turn; none for each fifth request."""
    return (
        f"node_failed; error=no. {number}",
        f"http_error; status={400 + number // 5}; code=no_{number}",
        "",
        f"extra_fields; name=no_{number}, split_frames; every={number}",
        f"cut_stream; after=2; at_byte={number}",
    )[number % 5]


def _is_its_own(number: int, seen: Seen) -> bool:
    match number % 5:
        case 0:
            return bool(seen.result["error"].endswith(f"run failed: no. {number}"))
        case 1:
            return (seen.status, seen.json["code"]) == (400 + number // 5, f"no_{number}")
        case 2:
            added = [key for key in seen.result if key.startswith("no_")]
            return seen.result["status"] == "succeeded" and not added
        case 3:
            return f"no_{number}" in seen.result and len(seen.chunks[0][1]) == number
        case _:
            return (
                seen.end == "closed" and len(seen.chunks[-1][1]) == number and len(seen.frames) == 2
            )


async def _all_at_once(bench: Bench) -> list[Seen]:
    everybody_is_there = asyncio.Barrier(MANY)
    address = urlsplit(bench.url)

    async def one(number: int) -> Seen:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        await everybody_is_there.wait()
        writer.write(bench.run("streaming", _scenario(number)))
        raw, end = b"", "whole"
        while not parsed(raw).whole:
            data = await reader.read(1 << 16)
            if not data:
                end = "closed"
                break
            raw += data
        writer.close()
        return Seen(((0.0, raw),), end)

    return await asyncio.gather(*(one(number) for number in range(MANY)))


def test_of_many_requests_at_once_each_gets_its_own_scenario(instant: Bench) -> None:
    instant.reset()
    everything = asyncio.run(_all_at_once(instant))
    assert [number for number, seen in enumerate(everything) if not _is_its_own(number, seen)] == []
    instant.until(lambda: instant.left_behind == (0, 0, 0))


def test_an_added_rule_with_times_is_shared_fairly(instant: Bench) -> None:
    """However many requests come at once, the scenario acts on as many as given."""
    instant.reset()
    instant.app.scenarios.add({"name": "no_terminal_event", "when": {"user": "alg123"}, "times": 7})
    everything = asyncio.run(_all_at_once(instant))
    streams = [seen for number, seen in enumerate(everything) if number % 5 in (0, 2, 3)]
    assert sum("workflow_finished" not in seen.event_names for seen in streams) <= 7
    assert [rule["matched"] for rule in instant.app.scenarios.to_json()] == [7]
    instant.reset()


# Who leaves
# ---


@pytest.mark.parametrize("mode", ["blocking", "streaming"])
@pytest.mark.parametrize("name", list(BEHAVIOURS))
def test_a_client_that_leaves_leaves_nothing_behind(frozen: Bench, name: str, mode: str) -> None:
    """In the middle of a run under any scenario; but a gateway goes on with the run until it
    ends.
    """
    frozen.reset()
    with Client(frozen) as client:
        client.send(frozen.run(mode, name))
        frozen.host.clock.advance(2.5)
        frozen.turn()
    frozen.until(lambda: frozen.host.counters.running == 0)
    if name == "gateway_timeout":
        assert frozen.left_behind == (1, 0, 1)
        assert frozen.host.journal.entries()[-1].logged_status == CLIENT_LEFT, (
            "no page was sent to anybody"
        )
        frozen.host.clock.advance(1_000)
    frozen.until(lambda: frozen.left_behind == (0, 0, 0))


@pytest.mark.parametrize(
    "scenario", ["slow_body; bytes_per_second=1", "split_frames; pause_s=100", "endless_stream"]
)
def test_a_client_that_leaves_in_a_pause_leaves_nothing_behind(
    frozen: Bench, scenario: str
) -> None:
    frozen.reset()
    with Client(frozen) as client:
        client.send(frozen.run("streaming", scenario))
        client.see(step_s=10, until_s=40)
        assert frozen.left_behind == (1, 1, 1)
    frozen.until(lambda: frozen.left_behind == (0, 0, 0))


# The clock
# ---


@pytest.mark.parametrize("mode", ["blocking", "streaming"])
@pytest.mark.parametrize(
    "scenario",
    ["slow_body; bytes_per_second=10", "split_frames; pause_s=3", "slow, split_frames, slow_body"],
)
def test_one_move_of_the_clock_releases_every_pause(
    frozen: Bench, scenario: str, mode: str
) -> None:
    """However long an answer takes, a test that moves the clock beyond it has it at once."""
    frozen.reset()
    seen = _after_one_move(frozen, frozen.run(mode, scenario))
    assert (seen.end, seen.result["status"]) == ("whole", "succeeded")


def _after_one_move(bench: Bench, request: bytes) -> Seen:
    with Client(bench) as client:
        client.send(request)
        assert client.seen().end == "open"
        bench.host.clock.advance(100_000)
        bench.until(client.look)
        return client.seen()


def test_the_image_s_pauses_are_released_by_one_move_too(frozen: Bench) -> None:
    frozen.reset()
    seen = _after_one_move(frozen, frozen.image("slow_body"))
    assert (seen.end, seen.body[-8:]) == ("whole", b"IEND\xaeB`\x82")


def test_a_stop_ends_what_would_never_end(frozen: Bench) -> None:
    """An endless stream ends within a second; and the status is the one of every stopped
    run.
    """
    frozen.reset()
    with Client(frozen) as client:
        client.send(frozen.run("streaming", "endless_stream"))
        task_id = json.loads(client.seen().frames[0][1].removeprefix(b"data: "))["task_id"]
        client.see(step_s=10, until_s=60)
        assert _stop(frozen, task_id).status == 200
        seen = client.see(step_s=1, until_s=62)
    assert (seen.end, seen.result["status"]) == ("whole", "stopped")
    assert seen.event_names.count("workflow_finished") == 1


def _stop(bench: Bench, task_id: str) -> Seen:
    return bench.see(
        bench.request("POST", f"/v1/workflows/tasks/{task_id}/stop", body={"user": "alg123"})
    )


# Without a client
# ---


def _running(bench: Bench) -> int:
    """How many runs there are, as the admin API says."""
    answer = bench.see(bench.request("GET", "/__admin/health"))
    running: int = answer.json["runs_running"]
    return running


def test_a_run_that_a_gateway_gave_up_on_goes_on_to_its_end(frozen: Bench) -> None:
    frozen.reset()
    assert frozen.see(frozen.run("blocking", "gateway_timeout")).status == 504
    assert _running(frozen) == 1
    frozen.host.clock.advance(29)
    frozen.turn()
    assert _running(frozen) == 1
    frozen.host.clock.advance(40)
    frozen.turn()
    assert _running(frozen) == 0
    assert frozen.host.store.runs_ended["blocking", "succeeded"] > 0


def test_a_run_that_a_gateway_gave_up_on_can_be_stopped(frozen: Bench) -> None:
    """By its task id, which whoever has a seed knows."""
    frozen.reset()
    task_id = frozen.see(frozen.run("blocking")).json["task_id"]
    frozen.reset()
    assert frozen.see(frozen.run("blocking", "gateway_timeout; after_s=5")).status == 504
    assert _running(frozen) == 1
    assert _stop(frozen, task_id).status == 200
    frozen.host.clock.advance(1)
    frozen.until(lambda: frozen.left_behind == (0, 0, 0))


@contextlib.contextmanager
def _gateway_left_a_run() -> Iterator[RunningServer]:
    with running_server("--speed", "1", "--clock", "2024-04-24T06:09:32Z") as server:
        body = json.dumps(
            {"inputs": {"prompt": "a cat"}, "response_mode": "blocking", "user": "u"}
        ).encode()
        head = (
            "POST /v1/workflows/run HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: Bearer {server.api_key}\r\n"
            "X-Fake-Scenario: gateway_timeout; after_s=0\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode()
        assert raw_exchange(server.host, server.port, head + body).status == 504
        health = raw_exchange(
            server.host, server.port, b"GET /__admin/health HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )
        assert json.loads(health.body)["runs_running"] == 1
        yield server


def test_a_server_that_ends_does_not_wait_for_such_a_run() -> None:
    """``running_server`` sends SIGTERM when it is left, and wants exit code 0."""
    with _gateway_left_a_run():
        sent_at = time.monotonic()
    assert time.monotonic() - sent_at < 3


# Beside the host
# ---


def test_rules_do_not_wait_for_a_body_that_the_host_would_not_read(instant: Bench) -> None:
    """A wrong key is refused before its body has come, whatever rules want to know of it."""
    instant.reset()
    instant.app.scenarios.add({"name": "http_error", "when": {"prompt": "a dragon"}})
    at = urlsplit(instant.url)
    headers = {"Authorization": "Bearer no", "Content-Length": "9"}
    head = instant.request("POST", "/v1/workflows/run", headers=headers)
    assert raw_exchange(str(at.hostname), int(at.port or 0), head).status == 401
    instant.reset()


# What a header says
# ---


def test_a_header_that_cannot_be_used_is_answered_by_the_fake_and_runs_nothing(
    instant: Bench,
) -> None:
    instant.reset()
    seen = instant.see(instant.run("blocking", "slw; seconds=3"))
    assert (seen.status, seen.json["code"]) == (400, "fake_scenario_invalid")
    assert seen.json["message"].startswith(
        "This is the fake speaking, not Dify. Its header X-Fake-Scenario cannot be "
    )
    assert "did you mean 'slow'?" in seen.json["message"]
    assert (
        instant.see(instant.run("streaming")).events("workflow_started")[0]["sequence_number"] == 1
    )


def test_repeated_headers_are_one(instant: Bench) -> None:
    instant.reset()
    request = instant.run("streaming", "null_url").replace(
        b"X-Fake-Scenario: null_url\r\n",
        b"X-Fake-Scenario: null_url\r\nX-Fake-Scenario: no_terminal_event\r\n",
    )
    seen = instant.see(request)
    assert b'"url": null' in seen.body
    assert "workflow_finished" not in seen.event_names


@pytest.mark.parametrize(
    ("scenario", "end"), [("connection_reset; after=1", "reset"), ("cut_stream; after=1", "closed")]
)
def test_a_connection_of_another_protocol_is_broken_off_too(
    instant: Bench, scenario: str, end: str
) -> None:
    """HTTP/1.0, whose answers are not chunked, is served by another parser."""
    instant.reset()
    request = instant.run("streaming", scenario).replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n")
    seen = instant.see(request)
    assert (seen.end, seen.raw.count(b"data: {")) == (end, 1)
