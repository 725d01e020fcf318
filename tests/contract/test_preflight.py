"""A host that cannot be checked ends in one line that names the cause and what to do, exit code 2,
and all reports.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from contract.cli import exit_code
from contract.preflight import CouldNotRunError, preflight
from contract.target import Capabilities, Target, may_run
from dify_wire.exchange import Chunk, Exchange, Request
from tests.contract.hosts import FORM, REFUSED, Behaviour, answer, host, refused_address, saying
from tests.contract.samples import KEY
from tests.contract.verdicts import APP_KEYS
from tests.serving import RunningServer, running_server

pytestmark = pytest.mark.server

PAGE = b"<html>\r\n<head><title>%s</title></head>\r\n<body>%s</body></html>"
FORM_ANSWER = answer(json.dumps(FORM).encode())
REFUSAL = answer(json.dumps(REFUSED).encode(), "400 BAD REQUEST")
INTERNAL = answer(
    b'{"code": "internal_server_error", "message": "Oh", "status": 500}\n',
    "500 INTERNAL SERVER ERROR",
)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CONTRACT_")]:
        monkeypatch.delenv(name)


def page(status: str, *headers: str) -> bytes:
    return answer(
        PAGE % (status.encode(), b"nginx"), status, "text/html", "Server: nginx/1.22.1", *headers
    )


def redirecting(connection: socket.socket, request: bytes) -> None:
    path = request.split(b" ")[1].decode()
    connection.sendall(page("301 Moved Permanently", f"Location: https://dify.example/api{path}"))


def without_redis(connection: socket.socket, request: bytes) -> None:
    """Refusals need no Redis; a stop and a run do."""
    if b"/stop " in request or b'"inputs"' in request:
        connection.sendall(INTERNAL)
    else:
        connection.sendall(FORM_ANSWER if b"/parameters " in request else REFUSAL)


def limited_after_one(connection: socket.socket, request: bytes) -> None:
    connection.sendall(
        FORM_ANSWER if b"/parameters " in request else page("503 Service Temporarily Unavailable")
    )


def refusing(code: str, message: str, status: str, *headers: str) -> Behaviour:
    reported = {"code": code, "message": message, "status": int(status[:3])}
    return saying(
        answer(json.dumps(reported).encode() + b"\n", status, "application/json", *headers)
    )


CAUSES: dict[str, tuple[Behaviour, str]] = {
    "no host behind the proxy": (
        saying(page("502 Bad Gateway")),
        (
            "a proxy (nginx/1.22.1) responds, but not the host behind it: 502 text/html “502 "
            "Bad Gateway”; start that host"
        ),
    ),
    "gateway timeout": (
        saying(page("504 Gateway Time-out")),
        "a proxy (nginx/1.22.1) responds, but not the host",
    ),
    "rate limit of nginx": (
        saying(page("503 Service Temporarily Unavailable")),
        "the host takes no requests now: 503",
    ),
    "rate limit at the second request": (limited_after_one, "the host takes no requests now: 503"),
    "rate limit with a date": (
        refusing("too_many_requests", "Slow down", "429 TOO MANY REQUESTS", "Retry-After: 30"),
        "429 too_many_requests “Slow down” (Retry-After: 30); wait, or lift its rate limit",
    ),
    "no database": (
        saying(
            answer(
                b'{"message": "Internal Server Error", "code": "unknown"}\n',
                "500 INTERNAL SERVER ERROR",
            )
        ),
        (
            "the host fails: GET /v1/parameters got 500 unknown “Internal Server Error”; "
            "look into its log"
        ),
    ),
    "no Redis": (without_redis, "POST /v1/workflows/run got 500 internal_server_error “Oh”"),
    "redirect": (
        redirecting,
        (
            "redirected to https://dify.example/api/v1/parameters (301); name --base-url "
            "https://dify.example/api"
        ),
    ),
    "redirect to nowhere": (saying(page("302 Found")), "is redirected to nowhere (302)"),
    "redirect that cannot be read": (
        saying(page("302 Found", "Location: http://[")),
        "is redirected to http://[ (302)",
    ),
    "a page": (
        saying(page("200 OK")),
        "no Dify is at this address: GET /v1/parameters got 200 text/html",
    ),
    "a page that is not found": (saying(page("404 Not Found")), "no Dify is at this address"),
    "another API": (
        saying(answer(b'{"hello": "world"}')),
        (
            "no Dify is at this address: GET /v1/parameters got 200 application/json "
            '“{"hello": "world"}”'
        ),
    ),
    "nothing in it": (saying(answer(b"")), "no Dify is at this address"),
    "a login of a proxy": (
        saying(page("401 Unauthorized", 'WWW-Authenticate: Basic realm="x"')),
        (
            "something before the host requires a login: 401 text/html “401 Unauthorized” "
            '(Basic realm="x")'
        ),
    ),
    "an unknown key": (
        refusing("unauthorized", f"\x1b[31mAccess token {KEY} is invalid", "401 UNAUTHORIZED"),
        (
            "the host refuses the API key: 401 \\x1b[31mAccess token [redacted] is invalid; "
            "name the key of a workflow app"
        ),
    ),
    "an app that a later host has disabled": (
        refusing("forbidden", "The app's API service has been disabled.", "403 FORBIDDEN"),
        (
            "the host refuses the app of the key: 403 forbidden “The app's API service has "
            "been disabled.”"
        ),
    ),
    "a connection that closes": (lambda *_: None, "GET /v1/parameters got no response: "),
    "bytes that are no HTTP": (
        saying(b"SSH-2.0-OpenSSH_9.2\r\n"),
        "GET /v1/parameters got no response: ",
    ),
}


def run(url: str, *arguments: str, key: str = KEY) -> int:
    return exit_code(["run", "--base-url", url, "--api-key", key, "--timeout", "5", *arguments])


@pytest.mark.parametrize(("behave", "cause"), CAUSES.values(), ids=CAUSES)
def test_cause_is_one_line_and_2_and_in_every_report(
    behave: Behaviour, cause: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reports = [
        part for kind in ("junit", "json", "html") for part in (f"--{kind}", str(tmp_path / kind))
    ]
    with host(behave) as url:
        assert run(url, *reports) == 2
    output = capsys.readouterr()
    assert output.err.startswith(f"Error: {url}: ")
    assert cause in output.err
    assert output.err.count("\n") == 1
    expect_reports_tell(output.err.removeprefix(f"Error: {url}: ").strip(), tmp_path)


def expect_reports_tell(cause: str, folder: Path) -> None:
    reported = json.loads((folder / "json").read_text())
    assert (reported["exit_code"], reported["cause"], reported["images"]["cost"]) == (2, cause, 0)
    root = ET.parse(folder / "junit").getroot()
    assert (root.get("tests"), root.get("errors")) == ("1", "1")
    assert [error.get("message") for error in root.iter("error")] == [cause]
    assert "The host could not be checked: " in (folder / "html").read_text()


def test_nobody_listening_is_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reports = [
        part for kind in ("junit", "json", "html") for part in (f"--{kind}", str(tmp_path / kind))
    ]
    url = refused_address()
    assert run(url, *reports) == 2
    output = capsys.readouterr().err
    assert "no connection: " in output
    expect_reports_tell(output.removeprefix(f"Error: {url}: ").strip(), tmp_path)


def test_host_that_keeps_us_waiting_is_2_in_time(capsys: pytest.CaptureFixture[str]) -> None:
    def hang(connection: socket.socket, _: bytes) -> None:
        connection.recv(1)

    with host(hang) as url:
        assert run(url, "--timeout", "0.3") == 2
    assert "got no response: no response after 0.3 s" in capsys.readouterr().err


@pytest.fixture(scope="module")
def fake() -> Iterator[RunningServer]:
    apps = [f"--app={key}={kind}" for kind, key in APP_KEYS.items()]
    with running_server("--speed", "instant", *apps) as server:
        yield server


OTHER_APPS = {
    "chat": "the key opens an app of another kind, such as a chat: 400 not_workflow_app",
    "unpublished": "configurations.” and 400 invalid_param “Workflow not published”; publish it",
    "disabled": "the key's app is disabled or deleted: GET /v1/parameters got 404 not_found",
    "deleted": "the key's app is disabled or deleted: ",
}


@pytest.mark.parametrize(("kind", "cause"), OTHER_APPS.items())
def test_key_of_another_app_is_named(
    kind: str, cause: str, fake: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(fake.url, key=APP_KEYS[kind]) == 2
    assert cause in capsys.readouterr().err


def test_record_diff_and_drift_name_the_cause_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A host that cannot be checked leaves no recording, and no result in the history."""
    ours = Path(__file__).parents[2] / "recordings" / "dify-0.6.4"
    with host(saying(page("502 Bad Gateway"))) as url:
        commands = [
            ["record", "--base-url", url, "--api-key", KEY, "--to", str(tmp_path / "recorded")],
            ["diff", str(ours), url, "--api-key-b", KEY],
            ["diff", url, str(ours), "--api-key-a", KEY],
            [
                "drift",
                "--recordings",
                str(ours),
                "--base-url",
                url,
                "--api-key",
                KEY,
                "--history",
                str(tmp_path / "h"),
            ],
        ]
        for command in commands:
            report = tmp_path / "report.json"
            assert exit_code([*command, "--json", str(report)]) == 2
            output = capsys.readouterr().err
            assert "a proxy (nginx/1.22.1) responds, but not the host behind it" in output
            assert output.count("\n") == 1
            assert json.loads(report.read_text())["cause"] in output
            report.unlink()
    assert not list(tmp_path.glob("recorded/*.yaml"))
    assert not list(tmp_path.glob("h/*.json"))


# What can be checked


class _Host:
    """A transport that answers a request as ``answers`` says, the rest as a Dify does."""

    def __init__(self, answers: Callable[[Request], Exchange | None]) -> None:
        self._answers = answers

    def send(self, request: Request, on_chunk: object = None) -> Exchange:
        return self._answers(request) or reported(request, *_as_a_dify(request))


def reported(request: Request, status: int, body: object) -> Exchange:
    headers = (("Content-Type", "application/json"),)
    return Exchange(request, status, headers, (Chunk(0.0, json.dumps(body).encode()),))


def _as_a_dify(request: Request) -> tuple[int, object]:
    if request.path == "/v1/parameters":
        return 200, FORM
    return (200, {"result": "success"}) if request.path.endswith("/stop") else (400, REFUSED)


def on_parameters(status: int, body: object) -> Callable[[Request], Exchange | None]:
    return lambda request: (
        reported(request, status, body) if request.path == "/v1/parameters" else None
    )


def on_runs(status: int, body: object) -> Callable[[Request], Exchange | None]:
    return lambda request: reported(request, status, body) if may_run(request) else None


ONE_FAULT = {
    "its form is not there": on_parameters(
        404, {"code": "not_found", "message": "no", "status": 404}
    ),
    "its form fails": on_parameters(500, {"message": "Internal Server Error", "code": "unknown"}),
    "its form needs another key": on_parameters(401, {"code": "unauthorized", "message": "no"}),
    "it tells another form": on_parameters(200, ["form"]),
    "it fails over what it should refuse": on_runs(
        500, {"message": "Internal Server Error", "code": "unknown"}
    ),
    "it runs what it should refuse": on_runs(200, {"task_id": "t", "data": {}}),
    "it refuses without words": on_runs(400, []),
    "it cannot stop": lambda request: (
        reported(request, 500, {}) if request.path.endswith("/stop") else None
    ),
}


@pytest.mark.parametrize("answers", ONE_FAULT.values(), ids=ONE_FAULT)
def test_host_with_one_fault_can_be_checked(answers: Callable[[Request], Exchange | None]) -> None:
    """The checks are there to say so."""
    preflight(Target(_Host(answers), Capabilities(KEY)))


def test_nothing_is_run_where_no_run_is_allowed() -> None:
    target = Target(
        _Host(on_runs(200, {"task_id": "t", "data": {}})), Capabilities(KEY, max_runs=0)
    )
    preflight(target)
    assert target.accepted_runs == 0
    assert not any(may_run(exchange.request) for exchange in target.exchanges)


def test_cause_has_the_exchange_that_shows_it() -> None:
    with pytest.raises(CouldNotRunError) as caught:
        preflight(Target(_Host(lambda request: reported(request, 502, {})), Capabilities(KEY)))
    assert caught.value.exchange is not None
    assert caught.value.exchange.status == 502
