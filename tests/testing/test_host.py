"""FakeHost: a real server in a thread, with its requests, scenarios and clock in the test's
hands.
"""

from __future__ import annotations

import json
import socket
import threading
import time
import unittest
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from fake_server.scenarios.parameters import ScenarioError
from fake_server.settings import SettingsError
from fake_server.testing import FakeHost, ScenarioWarning
from tests.serving import Connection
from tests.testing.requests import connected, finished, image_url, message, run, sent

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def _host() -> Iterator[FakeHost]:
    with FakeHost() as fake:
        yield fake


@pytest.fixture
def fake(_host: FakeHost) -> FakeHost:
    _host.reset()
    return _host


@pytest.fixture(scope="module")
def _timed() -> Iterator[FakeHost]:
    with FakeHost(speed=1) as fake:
        yield fake


@pytest.fixture
def timed(_timed: FakeHost) -> FakeHost:
    """A host with the rhythm of the real one."""
    _timed.reset()
    return _timed


def test_it_answers_and_tells_what_it_received(fake: FakeHost) -> None:
    finished(fake, inputs={"prompt": "一只猫", "model_name": "dosmix_"})
    assert sent(fake, run(fake, user=7, colour="red")).status == 200
    first, second = fake.requests
    assert (first.method, first.path, first.operation) == (
        "POST",
        "/v1/workflows/run",
        "runWorkflow",
    )
    assert (first.user, first.prompt, first.model, first.mode) == (
        "u",
        "一只猫",
        "dosmix_",
        "blocking",
    )
    assert (first.status, first.state, first.scenarios, first.warnings) == (200, "complete", (), [])
    assert first.headers["authorization"] == f"Bearer {fake.api_key}"
    assert json.loads(first.body) == first.json
    assert second.user == 7
    assert len(second.warnings) == 2


@pytest.mark.parametrize("mode", ["blocking", "streaming"])
def test_real_seconds_are_waited_for_at_any_speed(fake: FakeHost, mode: str) -> None:
    """By the host's clock, so that a test that freezes it decides when they have passed."""
    fake.clock.freeze()
    fake.scenario("slow", real_seconds=2)
    with ThreadPoolExecutor(1) as pool:
        response = pool.submit(sent, fake, run(fake, response_mode=mode))
        fake.clock.wait_until_blocked()
        fake.clock.advance(1.9)
        assert fake.requests[0].state == "running"
        fake.clock.advance(0.1)
        assert response.result(5).status == 200


def test_seconds_at_instant_are_reported_and_not_waited_for(fake: FakeHost) -> None:
    """And the test is told so, by a warning and by a note with the request."""
    with pytest.warns(ScenarioWarning, match="the host is instant"):
        scenario = fake.scenario("slow", seconds=90)
    assert finished(fake)["elapsed_time"] > 90
    [note] = fake.requests[0].notes
    assert "real_seconds" in note
    assert f"note: {note}" in str(fake.requests[0])
    scenario.remove()
    fake.scenario("slow", seconds=90, real_seconds=0)
    assert finished(fake)["elapsed_time"] > 90
    assert fake.requests[1].notes == ()


def test_an_absolute_url_leads_to_where_the_request_was_sent(fake: FakeHost) -> None:
    """Whatever the port is, and by the name that the client used."""
    fake.scenario("absolute_url")
    body = json.dumps(
        {"inputs": {"prompt": "a cat"}, "response_mode": "blocking", "user": "u"}
    ).encode()
    key = {"Authorization": f"Bearer {fake.api_key}", "Content-Type": "application/json"}
    with urllib.request.urlopen(
        urllib.request.Request(f"{fake.url}/v1/workflows/run", body, key)
    ) as response:
        url = json.load(response)["data"]["outputs"]["files"][0]["url"]
    assert url.startswith(f"{fake.url}/files/tools/")
    with urllib.request.urlopen(url, timeout=5) as response:
        assert response.headers["Content-Type"] == "image/png"
    assert finished(fake)["outputs"]["files"][0]["url"].startswith("http://fake/files/tools/")


def test_the_clock_says_what_it_takes(fake: FakeHost) -> None:
    began = fake.clock.now()
    fake.clock.advance(timedelta(minutes=5))
    assert fake.clock.now() - began == pytest.approx(300, abs=5)
    for wrong in ("5m", None, True, [5]):
        with pytest.raises(TypeError, match="advance takes seconds as a number or a timedelta"):
            fake.clock.advance(wrong)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ValueError, match="too far"):
        fake.clock.advance(10**400)
    with pytest.raises(ValueError, match="is not a valid time"):
        fake.clock.set(None)  # type: ignore[arg-type]  # on purpose


def test_a_request_shows_itself_in_a_line_without_its_key(fake: FakeHost) -> None:
    finished(fake)
    shown = repr(fake.requests[0])
    assert shown == "<POST /v1/workflows/run → 200 user='u' mode='blocking' prompt='a cat'>"
    sent(fake, run(fake, user=7))
    assert "warning: user: 7 is not of type" in str(fake.requests[1])


def test_refused_requests_are_there_too(fake: FakeHost) -> None:
    sent(fake, message("POST", "/v1/workflows/run", fake.api_key, b"[1]"))
    sent(fake, message("GET", "/v1/nothing?a=b", fake.api_key))
    refused, unknown = fake.requests
    assert (refused.status, refused.json, refused.user, refused.prompt, dict(refused.inputs)) == (
        500,
        [1],
        None,
        None,
        {},
    )
    assert (unknown.status, unknown.operation, unknown.json, unknown.query) == (
        404,
        None,
        None,
        "a=b",
    )


def test_scenario_acts_at_once_until_it_is_taken_back(fake: FakeHost) -> None:
    scenario = fake.scenario("http_error", status=503)
    assert sent(fake, run(fake)).status == 503
    scenario.remove()
    assert sent(fake, run(fake)).status == 200
    assert [request.scenarios for request in fake.requests] == [("http_error",), ()]
    assert scenario.matched == 1


def test_scenario_as_a_block_is_taken_back_even_when_the_block_fails(fake: FakeHost) -> None:
    def fails() -> None:
        with fake.scenario("http_error", status=503):
            assert sent(fake, run(fake)).status == 503
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert sent(fake, run(fake)).status == 200


def test_scenario_takes_times_and_conditions(fake: FakeHost) -> None:
    fake.scenario("http_error", times=1, when={"user": "unlucky"}, status=500)
    users = ["lucky", "unlucky", "unlucky"]
    assert [sent(fake, run(fake, user=user)).status for user in users] == [200, 500, 200]


def test_scenario_that_there_is_not_changes_nothing(fake: FakeHost) -> None:
    with pytest.raises(ScenarioError, match="http_error"):
        fake.scenario("htp_error")  # type: ignore[call-overload]  # on purpose
    with pytest.raises(ScenarioError, match="status"):
        fake.scenario("http_error", stats=500)  # type: ignore[call-overload]  # on purpose
    assert sent(fake, run(fake)).status == 200


def test_url_expires_by_the_clock(fake: FakeHost) -> None:
    fake.clock.freeze("2024-05-01T12:00:00Z")
    url = image_url(finished(fake))
    fake.clock.advance(300)
    assert sent(fake, message("GET", url, "")).status == 200
    fake.clock.advance(1)
    assert sent(fake, message("GET", url, "")).status == 403


def test_clock_takes_times_as_tests_write_them(fake: FakeHost) -> None:
    fake.clock.freeze("2024-05-01T14:00:00+02:00")
    assert fake.clock.now() == 1714564800
    assert "frozen at 2024-05-01T12:00:00+00:00" in repr(fake.clock)
    fake.clock.set(1000)
    assert fake.clock.now() == 1000
    fake.clock.resume()
    assert not fake.clock.frozen
    assert 1000 <= fake.clock.now() < 1060
    with pytest.raises(ValueError, match="is not a valid time"):
        fake.clock.freeze("noon")


def test_date_header_follows_the_clock_at_once(fake: FakeHost) -> None:
    """On one connection and without waiting: by either parser, and in the proxy's own refusals."""
    for at, shown in (
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (86400, "Fri, 02 Jan 1970 00:00:00 GMT"),
    ):
        fake.clock.freeze(at)
        common, old, bad = run(fake), b"GET /v1/ HTTP/1.0\r\nHost: x\r\n\r\n", b"nonsense\r\n\r\n"
        assert [sent(fake, raw).header("date") for raw in (common, old, bad)] == [shown] * 3


def test_ten_minutes_pass_in_no_time_for_a_stream(timed: FakeHost) -> None:
    timed.scenario("run_limit_600s")
    began = time.monotonic()
    with connected(timed) as connection:
        connection.send(run(timed, response_mode="streaming"))
        frames = connection.frames()
        assert b"workflow_started" in next(frames)[1]
        timed.clock.wait_until_blocked()
        timed.clock.advance(601)
        rest = [frame for _, frame in frames]
    assert b'"status": "stopped"' in rest[-1]
    assert sum(frame.startswith(b"event: ping") for frame in rest) == 59
    assert time.monotonic() - began < 5


def test_ten_minutes_pass_in_no_time_for_a_blocking_call(timed: FakeHost) -> None:
    timed.clock.freeze()
    with timed.scenario("slow", seconds=590), ThreadPoolExecutor(1) as pool:
        data = pool.submit(finished, timed)
        timed.clock.wait_until_blocked()
        timed.clock.advance(600)
        assert 590 < data.result(timeout=5)["elapsed_time"] < 600


def test_waiting_for_a_run_that_never_waits_says_why_not(fake: FakeHost) -> None:
    with pytest.raises(TimeoutError, match=r"0 of 2 responses wait .* give it a speed"):
        fake.clock.wait_until_blocked(2, timeout_s=0.01)


def test_wait_for_request_returns_when_it_is_received(timed: FakeHost) -> None:
    """While its answer is still under way."""
    timed.clock.freeze()
    with connected(timed) as connection:
        threading.Timer(0.02, connection.send, [run(timed, user="late")]).start()
        request = timed.wait_for_request(user="late", json={"inputs": {"prompt": "a cat"}})
        assert (request.user, request.status, request.state) == ("late", None, "running")


def test_wait_and_verify_tell_the_nearest_request(fake: FakeHost) -> None:
    finished(fake, user="a")
    finished(fake, user="b")
    with pytest.raises(AssertionError) as missed:
        fake.wait_for_request(prompt="a dog", user="b", timeout_s=0.01)
    lines = str(missed.value).splitlines()
    assert (
        lines[0]
        == "0 of 2 received requests match prompt='a dog', user='b'; 1 expected within 0.01 s"
    )
    assert lines[1].startswith("nearest: <POST /v1/workflows/run → 200 user='b'")
    assert lines[2:] == ["    prompt: expected 'a dog', got 'a cat'"]
    with pytest.raises(AssertionError, match="expected 'c', got"):
        fake.verify(user="c")


def test_verify_counts(fake: FakeHost) -> None:
    for user in "aab":
        finished(fake, user=user)
    assert [request.user for request in fake.verify(user="a", count=2)] == ["a", "a"]
    assert len(fake.verify(path="/v1/*", at_least=3)) == 3
    assert fake.verify(user="c", count=0) == []
    assert fake.verify(user="c", at_most=1) == []
    for wrong, expected in (
        ({"count": 1}, "exactly 1"),
        ({"at_least": 3}, "at least 3"),
        ({"at_most": 1}, "0 to 1"),
    ):
        with pytest.raises(
            AssertionError, match=f"2 of 3 received requests match user='a'; {expected} expected"
        ):
            fake.verify(user="a", **wrong)  # type: ignore[arg-type]  # numbers of any name


@pytest.mark.parametrize("count", [-1, "2", 1.0, True, [], 1e400])
def test_a_count_that_is_no_number_of_requests_is_named(fake: FakeHost, count: Any) -> None:
    for wrong in ({"count": count}, {"at_least": count}, {"at_most": count}):
        with pytest.raises(ValueError, match="the count has to be a whole number, 0 or more, not"):
            fake.verify(**wrong)
    with pytest.raises(ValueError, match="count has to be a whole number, 1 or more, not"):
        fake.wait_for_request(count=count)
    with pytest.raises(ValueError, match="count is exact"):
        fake.verify(count=1, at_least=1)
    with pytest.raises(ValueError, match="3 or more, not 1"):
        fake.verify(at_least=3, at_most=1)


@pytest.mark.parametrize("timeout_s", [-1, "5", float("nan"), 1e400, 10**400, True])
def test_a_timeout_that_is_no_number_is_named(fake: FakeHost, timeout_s: Any) -> None:
    with pytest.raises(ValueError, match="timeout_s has to be a number, 0 to 86400, not"):
        fake.wait_for_request(timeout_s=timeout_s)


def test_a_miss_tells_no_key(fake: FakeHost) -> None:
    finished(fake)
    with pytest.raises(AssertionError) as missed:
        fake.verify(header={"Authorization": "Bearer none"})
    assert fake.api_key not in str(missed.value)


def test_reset_ends_streams_and_forgets_everything(timed: FakeHost) -> None:
    timed.scenario("slow", seconds=100)
    timed.clock.freeze(0)
    with connected(timed) as connection:
        connection.send(run(timed, response_mode="streaming"))
        frames = connection.frames()
        assert b"workflow_started" in next(frames)[1]
        timed.reset()
        assert not any(b"workflow_finished" in frame for _, frame in frames)
    assert timed.requests == []
    assert not timed.clock.frozen
    assert timed.clock.now() > 1e9
    with connected(timed) as connection:
        connection.send(run(timed, response_mode="streaming"))
        assert b'"sequence_number": 1' in next(connection.frames())[1]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("slow_body", {"bytes_per_second": 1}),
        ("endless_stream", {}),
        ("buffered_stream", {}),
        ("slow", {"seconds": 500}),
    ],
)
@pytest.mark.parametrize("mode", ["blocking", "streaming"])
def test_whatever_an_answer_waits_for_the_host_stops_at_once(
    name: str, parameters: dict[str, Any], mode: str
) -> None:
    with ExitStack() as stack:
        fake = stack.enter_context(FakeHost(speed=1))
        fake.scenario(name, **parameters)  # type: ignore[call-overload]  # names from a table
        connection = stack.enter_context(connected(fake))
        connection.send(run(fake, response_mode=mode))
        fake.clock.wait_until_blocked()
        began = time.monotonic()
        fake.stop()
        stack.pop_all()
        connection.close()
    assert time.monotonic() - began < 2


def test_the_same_seed_gives_the_same_run_after_a_reset(fake: FakeHost) -> None:
    runs = []
    for seed in (5, 5, 6):
        fake.reset(seed)
        fake.clock.freeze(1_700_000_000)
        runs.append(sent(fake, run(fake)).body)
    assert runs[0] == runs[1] != runs[2]


def test_two_hosts_stand_beside_each_other() -> None:
    with FakeHost() as one, FakeHost(seed=2) as other:
        assert one.url != other.url
        one.scenario("http_error", status=500)
        assert (sent(one, run(one)).status, sent(other, run(other)).status) == (500, 200)
        assert len(one.requests) == len(other.requests) == 1


@pytest.mark.parametrize("use", [FakeHost.reset, FakeHost.stop, lambda fake: fake.scenario("slow")])
def test_a_host_that_does_not_run_says_so(use: Callable[[FakeHost], object]) -> None:
    with FakeHost() as ended:
        pass
    with pytest.raises(RuntimeError, match="does not run"):
        use(ended)
    unstarted = FakeHost()
    with pytest.raises(RuntimeError, match="does not run"):
        use(unstarted)
    unstarted.start().stop()


def test_a_host_runs_but_once() -> None:
    with FakeHost() as fake, pytest.raises(RuntimeError, match="has been started before"):
        fake.start()
    with pytest.raises(RuntimeError, match="has been started before"):
        fake.start()


def test_the_port_is_free_when_it_has_stopped() -> None:
    with FakeHost(speed=1) as fake:
        port = urlsplit(fake.url).port
        assert port is not None
        connection = Connection("127.0.0.1", port)
        connection.send(run(fake, response_mode="streaming"))
        next(connection.frames())
    connection.close()
    socket.create_server(("127.0.0.1", port)).close()


def test_settings_are_those_of_the_server() -> None:
    with FakeHost(
        api_key="app-mine", apps={"app-chat": "chat"}, clock="2024-05-01", host_version="0.6.3"
    ) as fake:
        assert fake.api_key == "app-mine"
        assert fake.clock.now() == 1714521600
        fake.api_key = "app-chat"
        assert json.loads(sent(fake, run(fake)).body)["code"] == "not_workflow_app"
    with pytest.raises(
        SettingsError, match=r"^sped: 'sped' is not a known setting \(did you mean 'speed'\?\)"
    ):
        FakeHost(sped=1)  # type: ignore[call-arg]  # on purpose
    with pytest.raises(SettingsError, match="no_such"):
        FakeHost(apps={"k": "no_such"})


class TestOfUnittest(unittest.TestCase):
    """The context manager in a runner that knows no fixtures."""

    fake: FakeHost

    @classmethod
    def setUpClass(cls) -> None:
        cls.fake = cls.enterClassContext(FakeHost())

    def setUp(self) -> None:
        self.fake.reset()

    def test_a_run(self) -> None:
        finished(self.fake)
        assert len(self.fake.requests) == 1

    def test_another_run(self) -> None:
        finished(self.fake)
        assert len(self.fake.requests) == 1
