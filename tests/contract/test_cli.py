"""``contract run`` and ``contract list``: what they take, what they say, and how they end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

import contract.checks
from contract.check import Check, Level, Phase
from contract.checks import CHECKS
from contract.cli import exit_code, session
from tests.contract import samples
from tests.contract.hosts import CONTRACT_AS_IN_A_TERMINAL, answer, dify_at_first, host, saying
from tests.contract.samples import KEY
from tests.serving import ROOT

pytestmark = pytest.mark.server

GREETING = answer(b'{"welcome": "here"}')


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CONTRACT_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def good_host() -> Iterator[str]:
    with host(dify_at_first(saying(GREETING))) as url:
        yield url


def use_checks(monkeypatch: pytest.MonkeyPatch, checks: Mapping[str, Check]) -> None:
    for module in (contract.checks, session):
        monkeypatch.setattr(module, "CHECKS", checks)


def run(url: str, *arguments: str) -> int:
    return exit_code(["run", "--base-url", url, "--api-key", KEY, *arguments])


# Exit codes


def test_all_passed_is_0(
    good_host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_checks(monkeypatch, samples.HOLDING)
    assert run(good_host) == 0
    output = capsys.readouterr().out
    assert "2 checks, will cost at most 0 images" in output
    assert "✓ answer_is_200" in output
    assert "Passed: no check failed." in output


def test_broken_promise_is_1_and_explained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_checks(monkeypatch, samples.HOLDING)
    with host(dify_at_first(saying(answer(b"<p>gone", "404 Not Found", "text/html")))) as url:
        assert run(url) == 1
    output = capsys.readouterr().out
    for reported in (
        "✗ answer_is_200",
        "expected status 200",
        "got      404",
        "it is there to answer",
        "FACTS 0 (document)",
    ):
        assert reported in output
    assert "> GET /v1/" in output
    assert "< <p>gone" in output
    assert "exchange #1, shown above" in output


@pytest.mark.parametrize(("strict", "code"), [((), 0), (("--strict-observed",), 1)])
def test_version_difference_fails_only_on_request(
    strict: tuple[str, ...],
    code: int,
    good_host: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    use_checks(monkeypatch, samples.checks(samples.check(samples.host_is_of_today, Level.VERSION)))
    assert run(good_host, *strict) == code
    assert ("Differences" in capsys.readouterr().out) == (code == 0)


def test_not_run_is_1(
    good_host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_checks(monkeypatch, samples.checks(samples.check(samples.evidence_is_missing)))
    assert run(good_host) == 1
    assert "1 check not run: there is no evidence" in capsys.readouterr().out


def test_fail_fast_leaves_the_rest(
    good_host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    crashes = replace(
        samples.check(samples.check_crashes), phase=Phase.ERRORS
    )  # before those of the next turn
    use_checks(monkeypatch, samples.checks(crashes, *samples.HOLDING.values()))
    assert run(good_host, "--fail-fast") == 1
    assert "an earlier check failed (--fail-fast)" in capsys.readouterr().out


BAD = {
    "a password in the address": (
        "run",
        "--base-url",
        "http://u:hunter2pw@127.0.0.1:9",
        "--api-key",
        "k",
    ),
    "a password alone in the address": (
        "run",
        "--base-url",
        "http://:hunter2pw@127.0.0.1:9",
        "--api-key",
        "k",
    ),
    "a key with a blank at its end": (
        "run",
        "--base-url",
        "http://127.0.0.1:9",
        "--api-key",
        "hunter2pw ",
    ),
    "an app's key alone": (
        "run",
        "--base-url",
        "http://127.0.0.1:9",
        "--api-key",
        "k",
        "--app",
        "hunter2pw",
    ),
    "no address": ("run", "--api-key", KEY),
    "no key": ("run", "--base-url", "http://127.0.0.1:9"),
    "empty key": ("run", "--base-url", "http://127.0.0.1:9", "--api-key", ""),
    "key for no header": ("run", "--base-url", "http://127.0.0.1:9", "--api-key", "a\nb"),
    "file as address": ("run", "--base-url", "file:///etc/passwd", "--api-key", KEY),
    "port out of range": ("run", "--base-url", "http://127.0.0.1:99999", "--api-key", KEY),
    "half an IPv6": ("run", "--base-url", "http://[::1", "--api-key", KEY),
    "user in the address": ("run", "--base-url", "http://me:pw@127.0.0.1:9", "--api-key", KEY),
    "unknown kind": (
        "run",
        "--base-url",
        "http://127.0.0.1:9",
        "--api-key",
        KEY,
        "--app",
        "k=magic",
    ),
    "no kind": ("run", "--base-url", "http://127.0.0.1:9", "--api-key", KEY, "--app", "chat"),
    "no time": ("run", "--base-url", "http://127.0.0.1:9", "--api-key", KEY, "--timeout", "0"),
    "endless time": (
        "run",
        "--base-url",
        "http://127.0.0.1:9",
        "--api-key",
        KEY,
        "--timeout",
        "inf",
    ),
    "time that is none": (
        "run",
        "--base-url",
        "http://127.0.0.1:9",
        "--api-key",
        KEY,
        "--timeout",
        "nan",
    ),
    "negative budget": (
        "run",
        "--base-url",
        "http://127.0.0.1:9",
        "--api-key",
        KEY,
        "--max-runs",
        "-1",
    ),
    "nothing left": ("run", "--base-url", "http://127.0.0.1:9", "--api-key", KEY, "--skip", "*"),
    "unknown option": ("run", "--what"),
    "unknown command": ("walk",),
}


@pytest.mark.parametrize("arguments", BAD.values(), ids=BAD)
def test_bad_arguments_are_2_before_any_request(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(arguments) == 2
    output = capsys.readouterr()
    assert "Error: " in output.err
    assert "will cost" not in output.out
    assert "hunter2pw" not in output.err


def test_unknown_check_gets_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    name = next(iter(CHECKS))
    assert run("http://127.0.0.1:9", "--only", name[:-1]) == 2
    assert f"did you mean '{name}'?" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--junit", "--json", "--html"])
def test_unwritable_report_is_2_before_any_request(
    flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (tmp_path / "no" / "folder", tmp_path):
        assert run("http://127.0.0.1:9", flag, str(path)) == 2
        output = capsys.readouterr()
        assert "cannot be written" in output.err
        assert "will cost" not in output.out
    assert list(tmp_path.iterdir()) == []


def test_two_reports_in_one_file_are_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "report")
    assert run("http://127.0.0.1:9", "--json", path, "--html", path) == 2
    assert "one file" in capsys.readouterr().err


def test_own_error_is_one_line(
    good_host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_checks(monkeypatch, samples.HOLDING)
    monkeypatch.setattr(session, "cost", lambda *_: 1 / 0)
    assert run(good_host) == 2
    error = capsys.readouterr().err
    assert error.startswith("Error: contract failed: ZeroDivisionError: division by zero; ")
    assert error.count("\n") == 1


# Settings


def test_settings_come_from_the_environment_too(
    good_host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_checks(monkeypatch, samples.HOLDING)
    for name, value in {
        "BASE_URL": good_host,
        "API_KEY": KEY,
        "ONLY": "*json answer_is_200",
        "SKIP": "*_200",
    }.items():
        monkeypatch.setenv(f"CONTRACT_{name}", value)
    assert exit_code(["run"]) == 0
    output = capsys.readouterr().out
    assert "1 check, " in output
    assert "answer_is_200" not in output


def test_address_may_end_as_the_console_shows_it(
    good_host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_checks(monkeypatch, samples.HOLDING)
    assert run(f"{good_host}/v1/") == 0


def test_declined_run_asks_the_host_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_checks(monkeypatch, samples.HOLDING)
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: "n")
    assert run("http://127.0.0.1:9", "--confirm") == 2
    output = capsys.readouterr()
    assert "will cost at most" in output.out
    assert "not started" in output.err


# Listing


def test_list_names_every_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_checks(monkeypatch, samples.EVERY_END)
    assert exit_code(["list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [check["name"] for check in listed] == list(samples.EVERY_END)
    assert listed[3]["needs"] == ["secret"]
    assert exit_code(["list"]) == 0
    assert "The host answers." in capsys.readouterr().out


# As a process


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [*CONTRACT_AS_IN_A_TERMINAL, *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_ctrl_c_gives_the_report_so_far_and_130(tmp_path: Path) -> None:
    """The host answers the first requests and then hangs; nobody waits for it."""
    hanging = Event()

    def behave(connection: socket.socket, _: bytes) -> None:
        hanging.set()
        connection.recv(1)

    report = tmp_path / "report.json"
    with host(dify_at_first(behave)) as url:
        process = start("run", "--base-url", url, "--api-key", KEY, "--json", str(report))
        assert hanging.wait(20)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        output, complained = process.communicate(timeout=20)
        assert time.monotonic() - began < 10
    assert process.returncode == 130
    assert complained == ""
    assert "Interrupted" in output
    assert json.loads(report.read_text())["exit_code"] == 130


def test_reader_that_has_gone_is_no_traceback() -> None:
    process = start("list")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    assert process.wait(20) == 2


def _without_the_extra(*arguments: str) -> subprocess.CompletedProcess[str]:
    """``contract`` where the libraries of the extra are not installed."""
    program = (
        "import sys; sys.modules |= dict.fromkeys(['hypothesis', 'schemathesis'])\n"
        "from contract.cli import main; main()"
    )
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_missing_extra_is_one_line_that_names_it() -> None:
    """Before anything is sent, for the checks that need it."""
    host = ("--base-url", "http://127.0.0.1:9", "--api-key", "k")
    ended = _without_the_extra("run", *host)
    assert ended.returncode == 2
    assert ended.stderr == (
        "Error: 3 checks generate requests, and what does that is not installed; contract needs "
        "its extra: pip install 'fake-dify[contract]' (or leave out: "
        "--skip generated_wrong_bodies_are_refused --skip keys_like_the_right_one_are_refused "
        "--skip generated_right_bodies_are_accepted)\n"
    )
    ended = _without_the_extra("run", *host, "--skip", "generated_*", "--skip", "keys_like_*")
    assert "127.0.0.1:9" in ended.stderr
    assert "extra" not in ended.stderr


def test_what_generates_nothing_needs_no_extra() -> None:
    assert _without_the_extra("list").returncode == 0
    assert _without_the_extra("upgrade", "0.6.4", "0.6.9").returncode == 0
