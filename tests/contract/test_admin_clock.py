"""The clock of a host with an admin API: moved and restored, by a script, by the command and
on a real fake.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from contract.admin import AdminClock, AdminError
from contract.check import CLOCK_MOVED, Capability, Check, Level, Phase
from contract.checks import CHECKS
from contract.cli import exit_code, session
from contract.client import HttpTransport
from contract.result import Failed, Result, Status
from contract.runner import run_checks
from contract.signature import parse_url
from contract.target import RUN_PATH, Capabilities, Target
from dify_wire.exchange import Request
from dify_wire.recording.folder import read_folder
from tests.contract import changed_host
from tests.contract.changed_host import Break, Good, is_file
from tests.contract.hosts import answer, dify_at_first, host, refused_address, saying
from tests.contract.samples import KEY
from tests.serving import RunningServer, running_server

pytestmark = pytest.mark.server

MOVING = [check for check in CHECKS.values() if Capability.CLOCK in check.needs]
SECRET = "sk-moved-by-nobody"
TOKEN = "admin-token-0123456789"
THEN = 1_714_564_800.0
GREETING = answer(b'{"welcome": "here"}')


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CONTRACT_")]:
        monkeypatch.delenv(name)


# By a script


@dataclass
class Scripted:
    """An admin API in memory: a clock that stands still, whatever it says of itself, and what it
    was asked.
    """

    frozen: bool = False
    unix: float = THEN
    refuses: bool = False
    moves: list[dict[str, Any]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)

    def __call__(self, connection: socket.socket, request: bytes) -> None:
        head, _, body = request.decode().partition("\r\n\r\n")
        assert head.split()[1] == "/__admin/clock"
        self.tokens += [
            line.partition(": ")[2]
            for line in head.split("\r\n")
            if line.startswith("X-Admin-Token")
        ]
        if self.refuses:
            connection.sendall(answer(b'{"error": {"message": "not now"}}', "400 Bad Request"))
            return
        if body:
            self._move(json.loads(body))
        connection.sendall(answer(json.dumps({"unix": self.unix, "frozen": self.frozen}).encode()))

    def _move(self, move: dict[str, Any]) -> None:
        self.moves.append(move)
        self.unix = move["set"] if "set" in move else self.unix + move["advance_s"]


@contextmanager
def clock_of(
    behave: Callable[[socket.socket, bytes], None], token: str | None = None
) -> Iterator[AdminClock]:
    with host(behave) as url:
        clock = AdminClock(url, token, timeout_s=5.0)
        yield clock
        clock.close()


def test_clock_is_read_and_moved() -> None:
    script = Scripted()
    with clock_of(script) as clock:
        clock.advance(295)
        assert clock.now() == THEN + 295
        clock.set(THEN)
    assert script.moves == [{"advance_s": 295}, {"set": THEN}]
    assert script.tokens == []


def test_token_goes_with_every_call() -> None:
    script = Scripted()
    with clock_of(script, TOKEN) as clock:
        clock.now()
        clock.advance(1)
    assert script.tokens == [TOKEN, TOKEN]


def test_running_clock_is_restored_with_the_time_that_has_passed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script = Scripted()
    with clock_of(script) as clock:
        with clock.borrowed():
            clock.advance(300)
            later = time.monotonic() + 100.0
            monkeypatch.setattr("contract.admin.time.monotonic", lambda: later)
        assert 100.0 <= script.moves[-1]["set"] - THEN < 110.0
        assert len(script.moves) == 2


def test_frozen_clock_is_restored() -> None:
    script = Scripted(frozen=True)
    with clock_of(script) as clock, clock.borrowed():
        clock.advance(300)
    assert script.unix == THEN


def fail_borrowed(clock: AdminClock) -> None:
    with clock.borrowed():
        clock.advance(300)
        raise Failed("403", "200")


def test_clock_is_restored_when_a_check_fails() -> None:
    script = Scripted(frozen=True)
    with clock_of(script) as clock:
        with pytest.raises(Failed):
            fail_borrowed(clock)
        assert script.unix == THEN
        assert not CLOCK_MOVED.get()


def borrow_for_good(clock: AdminClock, script: Scripted) -> None:
    with clock.borrowed():
        clock.advance(300)
        script.refuses = True


def test_clock_that_cannot_be_restored_is_reported_and_tried_again_at_the_end() -> None:
    script = Scripted(frozen=True)
    with clock_of(script) as clock:
        with pytest.raises(AdminError, match="400 not now; the host's clock could not be restored"):
            borrow_for_good(clock, script)
        script.refuses = False
        assert script.unix == THEN + 300
    assert script.unix == THEN


def test_closing_puts_back_what_an_interrupted_check_has_moved() -> None:
    """The check goes on in its thread; it moves nothing any more."""
    script, moved, closed, refused = Scripted(frozen=True), threading.Event(), threading.Event(), []

    def check(clock: AdminClock) -> None:
        with clock.borrowed():
            clock.advance(300)
            moved.set()
            assert closed.wait(10)
            with pytest.raises(AdminError, match="the run is over") as caught:
                clock.advance(10)
            refused.append(caught.value)

    with clock_of(script) as clock:
        thread = threading.Thread(target=check, args=(clock,))
        thread.start()
        assert moved.wait(10)
        clock.close()
        assert script.unix == THEN
        closed.set()
        thread.join(10)
    assert len(refused) == 1
    assert script.unix == THEN


def error(message: str, status: str) -> bytes:
    return answer(json.dumps({"error": {"message": message}}).encode(), status)


COMPLAINTS = {
    "refused without a token": (
        error("no loopback name", "403 F"),
        None,
        r"403 no loopback name \(--admin-token .*\)",
    ),
    "wrong token": (error("not the one", "403 F"), TOKEN, "403 not the one$"),
    "an older admin API": (error("unknown path", "404 N"), None, "404 unknown path$"),
    "on two lines": (error("bad\n body", "400 B"), None, "400 bad body$"),
    "a page": (
        answer(b"<p>", "404 N", "text/html"),
        None,
        "no admin API: GET .* got 404 and text/html",
    ),
    "a host of runs": (GREETING, None, "there is no admin API: .* 200 and application/json"),
    "no number": (answer(b'{"unix": true, "frozen": false}'), None, "there is no admin API"),
    "no time": (answer(b'{"unix": NaN, "frozen": false}'), None, "there is no admin API"),
    "no word of frozen": (answer(b'{"unix": 1.5}'), None, "there is no admin API"),
    "an error of another kind": (
        answer(b'{"error": "no"}', "403 F"),
        None,
        "there is no admin API: .* 403",
    ),
    "half an answer": (GREETING[:60], None, "RemoteProtocolError"),
}


@pytest.mark.parametrize(("output", "token", "reported"), COMPLAINTS.values(), ids=COMPLAINTS)
def test_what_is_wrong_is_one_line(output: bytes, token: str | None, reported: str) -> None:
    with (
        clock_of(saying(output), token) as clock,
        pytest.raises(AdminError, match=reported) as caught,
    ):
        clock.now()
    assert caught.value.reason.startswith("--admin-url http://127.0.0.1:")
    assert "\n" not in caught.value.reason


def test_no_connection_and_no_response_have_their_own_messages() -> None:
    with pytest.raises(AdminError, match="no connection"):
        AdminClock(refused_address()).now()
    hanging = threading.Event()

    def hang(*_: object) -> None:
        hanging.wait(10)

    with host(hang) as url:
        with pytest.raises(AdminError, match=r"no response after 0\.2 s"):
            AdminClock(url, timeout_s=0.2).now()
        hanging.set()


# When they run


def test_checks_of_the_clock_come_last_and_one_by_one() -> None:
    order: list[str] = []
    inside: list[str] = []
    met: list[int] = []
    never = threading.Event()

    def check(name: str, phase: Phase) -> Check:
        def claim(_: Target) -> None:
            order.append(name)
            if phase is Phase.CLOCK:
                inside.append(name)
                never.wait(0.02)  # time enough for another one to come in
                met.append(len(inside))
                inside.remove(name)

        return Check(name, name, Level.HOST, "FACTS 0", claim, "samples", phase=phase)

    moving = [f"moves_{number}" for number in range(3)]
    checks = [check(name, Phase.CLOCK) for name in moving]
    checks += [check(phase.name, phase) for phase in Phase if phase is not Phase.CLOCK]
    results = run_checks(Target(HttpTransport("http://127.0.0.1:9"), Capabilities(KEY)), checks)
    assert {result.status for result in results} == {Status.PASSED}
    assert order[len(Phase) - 1 :] == moving
    assert met == [1, 1, 1]
    assert {check.phase for check in MOVING} == {Phase.CLOCK}


# On a real fake


@pytest.fixture(scope="module")
def fake() -> Iterator[RunningServer]:
    with running_server(
        "--speed=instant", f"--secret-key={SECRET}", f"--admin-token={TOKEN}"
    ) as server:
        yield server


def reported(results: list[Result]) -> dict[str, str]:
    return {
        result.check.name: result.reason for result in results if result.status is not Status.PASSED
    }


@pytest.mark.parametrize(
    "move", [{}, {"freeze": True}, {"freeze": "2024-05-01T12:00:00Z"}], ids=str
)
def test_they_hold_and_leave_the_clock_as_it_was(move: dict[str, Any]) -> None:
    with running_server("--speed=instant", f"--secret-key={SECRET}") as server:
        transport, clock = HttpTransport(server.url), AdminClock(server.url)
        if move:
            body = json.dumps(move).encode()
            transport.send(
                Request("POST", "/__admin/clock", (("Content-Type", "application/json"),), body)
            )
        before, began = clock.now(), time.monotonic()
        results = run_checks(
            Target(transport, Capabilities(server.api_key, SECRET, clock=clock)), MOVING
        )
        passed_s = 0.0 if move else time.monotonic() - began
        assert clock.now() - before == pytest.approx(passed_s, abs=0.0 if move else 1.0)
        clock.close()
        transport.close()
    assert reported(results) == {}


def test_they_need_what_they_say(fake: RunningServer) -> None:
    transport, clock = HttpTransport(fake.url), AdminClock(fake.url, TOKEN)
    without = reported(run_checks(Target(transport, Capabilities(fake.api_key, SECRET)), MOVING))
    assert without == {check.name: "needs the host's clock (--admin-url)" for check in MOVING}
    lacking_secret = run_checks(Target(transport, Capabilities(fake.api_key, clock=clock)), MOVING)
    assert set(reported(lacking_secret)) == {"image_outlives_its_urls"}
    clock.close()
    transport.close()


def living(seconds: int) -> Break:
    """A host of a later version, whose deployment lets a URL live so much longer."""

    def change_request(_: Good, request: Request) -> Request:
        url = parse_url(request.target) if is_file(request) else None
        if url is None:
            return request
        return replace(
            request, target=url.signed(SECRET, timestamp=str(int(url.timestamp) + seconds)).path
        )

    return Break(
        lambda _, one: changed_host.with_header(one, "x-version", "0.15.3"), change_request
    )


@pytest.mark.parametrize(("seconds", "got"), [(3300, "200"), (-240, "403")])
def test_another_lifetime_is_a_later_versions_to_choose(
    seconds: int, got: str, fake: RunningServer
) -> None:
    """FACTS 9.1: from 0.6.9 on it can be configured."""
    transport, clock = HttpTransport(fake.url), AdminClock(fake.url, TOKEN)
    good = changed_host.fetch_good(transport, fake.api_key)
    target = Target(
        changed_host.ChangedHost(good, living(seconds)),
        Capabilities(fake.api_key, SECRET, clock=clock),
    )
    only = [CHECKS["signed_urls_live_for_five_minutes"]]
    [result] = run_checks(target, only)
    assert (result.status, result.got) == (Status.DIFFERS, got)
    clock.close()
    transport.close()


def test_clock_that_goes_away_is_not_run(fake: RunningServer) -> None:
    """The evidence is missing; that is no breach of the host's."""
    transport = HttpTransport(fake.url)
    with clock_of(saying(error("gone", "404 Not Found"))) as clock:
        results = run_checks(
            Target(transport, Capabilities(fake.api_key, SECRET, clock=clock)), MOVING
        )
    transport.close()
    assert {result.status for result in results} == {Status.NOT_RUN}
    assert all("404 gone" in result.reason for result in results)


# By the command


def run(server: RunningServer, *arguments: str) -> int:
    only = [f"--only={check.name}" for check in MOVING]
    flags = ["--api-key", server.api_key, "--secret-key", SECRET]
    return exit_code(["run", "--base-url", server.url, *flags, *only, *arguments])


@pytest.mark.parametrize("path", ["", "/", "/__admin", "/__admin/"])
def test_command_uses_the_clock(
    path: str, fake: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the host listens on loopback no token is needed."""
    assert run(fake, "--admin-url", f"{fake.url}{path}") == 0
    assert "skipped" not in capsys.readouterr().out


def test_token_is_in_no_report(
    fake: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not even where a host gives it back."""
    reports = [tmp_path / name for name in ("r.json", "r.html", "r.xml")]
    files = [
        f"--{flag}={path}" for flag, path in zip(("json", "html", "junit"), reports, strict=True)
    ]
    assert run(fake, "--admin-url", fake.url, "--admin-token", TOKEN, *files) == 0
    with host(
        saying(answer(json.dumps({"message": f"what is {TOKEN}?"}).encode(), "401 UNAUTHORIZED"))
    ) as url:
        arguments = [
            "--base-url",
            url,
            "--api-key",
            KEY,
            "--admin-url",
            fake.url,
            "--admin-token",
            TOKEN,
        ]
        assert exit_code(["run", *arguments]) == 2
    output = capsys.readouterr()
    assert "what is [redacted]?" in output.err
    for text in (output.out, output.err, *(path.read_text() for path in reports)):
        assert TOKEN not in text


BAD = {
    "a file": ("--admin-url=file:///etc/passwd", "'file:///etc/passwd' is not a valid base URL"),
    "a password": ("--admin-url=http://me:hunter2pw@127.0.0.1:9", "leave out user and password"),
    "a port out of range": ("--admin-url=http://127.0.0.1:99999", "not a valid URL"),
    "a token for no header": ("--admin-token=hunter2pw ", "is empty, or has characters"),
    "a token for nobody": (
        "--admin-token=hunter2pw",
        "--admin-token is for an admin API; name its address",
    ),
}


@pytest.mark.parametrize("command", ["run", "record"])
@pytest.mark.parametrize(("argument", "complaint"), BAD.values(), ids=BAD)
def test_bad_arguments_are_2_before_any_request(
    argument: str, complaint: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = [f"--to={tmp_path / 'r'}"] if command == "record" else []
    assert (
        exit_code([command, "--base-url", "http://127.0.0.1:9", "--api-key", KEY, *to, argument])
        == 2
    )
    output = capsys.readouterr()
    assert complaint in output.err
    assert "will cost" not in output.out
    assert "hunter2pw" not in output.err
    assert not (tmp_path / "r").exists()


def test_admin_api_that_cannot_be_used_is_2_before_the_first_run(
    fake: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    sent: list[bytes] = []

    def without_admin(connection: socket.socket, request: bytes) -> None:
        sent.append(request)
        connection.sendall(answer(b"<p>none", "404 NOT FOUND", "text/html"))

    with host(dify_at_first(without_admin, times=3)) as url:
        flags = ["--base-url", url, "--api-key", KEY]
        assert exit_code(["run", *flags, "--admin-url", url]) == 2
        assert exit_code(["run", *flags, "--admin-url", refused_address()]) == 2
        assert exit_code(["run", *flags, "--admin-url", fake.url, "--admin-token", "another"]) == 2
    none, nobody, wrong = capsys.readouterr().err.splitlines()
    assert "there is no admin API: GET /__admin/clock got 404 and text/html" in none
    assert "no connection" in nobody
    assert wrong.endswith(
        f"--admin-url {fake.url}: 403 the X-Admin-Token is not the one of --admin-token"
    )
    assert not any(RUN_PATH.encode() in request for request in sent)


@pytest.mark.parametrize(
    ("arguments", "limit"),
    [
        ((), 6),
        (("--admin-url=http://127.0.0.1:9",), None),
        (("--admin-url=http://127.0.0.1:9", "--max-runs=3"), 3),
    ],
)
def test_clock_lifts_the_budget_unless_one_is_given(
    arguments: tuple[str, ...], limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    capabilities: list[Capabilities] = []

    def kept(options: Any) -> Capabilities:
        capabilities.append(real(options))
        return capabilities[0]

    real = session.capabilities_from
    monkeypatch.setattr(session, "capabilities_from", kept)
    assert exit_code(["run", "--base-url", refused_address(), "--api-key", KEY, *arguments]) == 2
    assert capabilities[0].max_runs == limit


def test_requests_while_the_clock_is_moved_are_not_recorded(
    fake: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A replay or a diff could not repeat it: a recording knows nothing of the clock."""
    folder = tmp_path / "recorded"
    only = [f"--only={check.name}" for check in MOVING]
    flags = [
        "--api-key",
        fake.api_key,
        "--secret-key",
        SECRET,
        "--admin-url",
        fake.url,
        "--admin-token",
        TOKEN,
    ]
    assert exit_code(["record", "--base-url", fake.url, "--to", str(folder), *flags, *only]) == 0
    assert "left out: 3 requests while the host's clock was moved" in capsys.readouterr().out
    assert {recording.status for recording in read_folder(folder)} == {200, 400}
    assert TOKEN not in "".join(
        path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file()
    )


def test_replay_has_a_clock_too(
    fake: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pictures are served from the recording, and their URLs signed and judged at the replay's own
    time.
    """
    folder = tmp_path / "recorded"
    only = [f"--only={check.name}" for check in MOVING]
    flags = ["--api-key", fake.api_key, "--secret-key", SECRET]
    assert (
        exit_code(
            [
                "record",
                "--base-url",
                fake.url,
                "--to",
                str(folder),
                *flags,
                "--only=url_*",
                "--only=range_*",
            ]
        )
        == 0
    )
    with running_server(
        "--speed=instant", f"--secret-key={SECRET}", "--replay", str(folder)
    ) as replay:
        flags = ["--api-key", replay.api_key, "--secret-key", SECRET, "--admin-url", replay.url]
        assert exit_code(["run", "--base-url", replay.url, *flags, *only]) == 0
    assert "skipped" not in capsys.readouterr().out
