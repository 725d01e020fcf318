"""``fake-server doctor``: each thing that can be wrong, brought about."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from dify_wire.command import exit_code
from fake_server.cli import cli
from fake_server.testing import FakeHost
from tests.contract.hosts import host

pytestmark = pytest.mark.server

Findings = dict[str, dict[str, str]]
_RANK = {"good": 0, "warning": 1, "wrong": 2}
Doctor = Callable[..., tuple[int, Findings]]


@pytest.fixture
def doctor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Doctor:
    """Runs ``fake-server doctor`` in an empty folder; its exit code, and the worst finding of each
    subject.
    """

    def run(*args: str, port: int = 0, **environ: str) -> tuple[int, Findings]:
        monkeypatch.chdir(tmp_path)
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.lower().endswith("_proxy") and not name.startswith("FAKE_SERVER_")
        }
        arguments = ["doctor", "--json", "--port", str(port), *args]
        with mock.patch.dict(os.environ, {**clean, **environ}, clear=True):
            code = exit_code(
                lambda: cli.main(arguments, prog_name="fake-server", standalone_mode=False),
                "fake-server",
                arguments,
            )
        output = capsys.readouterr().out
        found = sorted(json.loads(output), key=lambda one: _RANK[one["result"]])
        return code, {one["subject"]: one for one in found}

    return run


def test_nothing_is_wrong(doctor: Doctor) -> None:
    code, findings = doctor(PYTHONUTF8="1")
    assert code == 0
    assert {one["result"] for name, one in findings.items() if name != "output"} == {"good"}


def test_people_get_a_line_for_each_finding(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["doctor", "--port", "0", "--app", "app-x=no-such-file.yml"]
    assert exit_code(lambda: cli.main(arguments, standalone_mode=False), "fake-server") == 1
    lines = capsys.readouterr().out.splitlines()
    assert {line[0] for line in lines} <= set("✓!✗")
    assert [line for line in lines if line.startswith("✗ settings: no-such-file.yml: ")]


@pytest.mark.parametrize(
    ("args", "detail"),
    [
        (["--app", "app-x=no-such-file.yml"], "no-such-file.yml"),
        (["--app", "app-x=no-such-kind"], "--app: 'no-such-kind'"),
        (["--scenarios", "no-such-file.yml"], "no-such-file.yml"),
        (["--replay", "no-such-folder"], "no-such-folder"),
        (["--secret-key", ""], "--secret-key"),
    ],
)
def test_settings_that_cannot_be_used(args: list[str], detail: str, doctor: Doctor) -> None:
    code, findings = doctor(*args)
    assert (code, findings["settings"]["result"]) == (1, "wrong")
    assert detail in findings["settings"]["detail"]


def test_a_variable_that_is_no_setting(doctor: Doctor) -> None:
    code, findings = doctor(FAKE_SERVER_SPED="1")
    assert (code, findings["settings"]["result"]) == (0, "warning")
    assert "FAKE_SERVER_SPED is not a known setting" in findings["settings"]["detail"]


def test_a_proxy_between_clients_and_this_machine(doctor: Doctor) -> None:
    _, findings = doctor(http_proxy="http://proxy.example:3128")
    assert findings["proxy"]["result"] == "warning"
    assert "NO_PROXY=127.0.0.1" in findings["proxy"]["advice"]
    _, findings = doctor(http_proxy="http://proxy.example:3128", no_proxy="127.0.0.1")
    assert findings["proxy"]["result"] == "good"


def test_a_cache_that_cannot_be_written(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, findings = doctor(XDG_CACHE_HOME=str(tmp_path / "file"))
    assert (code, findings["cache"]["result"]) == (0, "warning")


def test_a_fake_on_the_port(doctor: Doctor) -> None:
    with FakeHost() as fake:
        port = int(fake.url.rpartition(":")[2])
        code, findings = doctor(port=port)
        assert (code, findings["port"]["result"]) == (0, "good")
        assert "a fake of Dify 0.6.4 serves" in findings["port"]["detail"]
        code, findings = doctor("--api-key", "app-another", port=port)
    assert (code, findings["key"]["result"]) == (1, "wrong")


@pytest.mark.parametrize(
    "response",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 50_000,
        b"HTTP/1.1 200 OK\r\n\r\n[]",
        b"",
    ],
)
def test_another_program_on_the_port(response: bytes, doctor: Doctor) -> None:
    with host(lambda connection, _: connection.sendall(response)) as url:
        code, findings = doctor(port=int(url.rpartition(":")[2]))
    assert (code, findings["port"]["result"]) == (1, "wrong")
    assert "is taken, not by a fake" in findings["port"]["detail"]
    assert "--port" in findings["port"]["advice"]


@pytest.mark.parametrize("address", ["192.0.2.1", "a b", "a" * 300])
def test_an_address_of_another_machine(address: str, doctor: Doctor) -> None:
    code, findings = doctor("--host", address)
    assert (code, findings["port"]["result"]) == (1, "wrong")
    assert findings["port"]["advice"] == "choose another with --host"


@pytest.mark.parametrize(("flag", "value"), [("--port", "99999"), ("--port", "-1"), ("--host", "")])
def test_where_nothing_can_listen(flag: str, value: str, doctor: Doctor) -> None:
    code, findings = doctor(flag, value)
    assert (code, findings["settings"]["result"]) == (1, "wrong")
    assert findings["settings"]["detail"].startswith(flag)


def test_an_output_without_chinese_letters(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "fake_server", "doctor", "--port", "0"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"},
        capture_output=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert b"! output: cp1252 may not have Chinese letters; set PYTHONUTF8=1" in ended.stdout


def test_images_that_cannot_be_drawn(doctor: Doctor) -> None:
    with mock.patch("fake_server.images.render", side_effect=OSError("cannot open resource")):
        code, findings = doctor()
    assert (code, findings["images"]["result"]) == (1, "wrong")


def test_a_clock_before_the_installation(doctor: Doctor) -> None:
    with mock.patch.object(time, "time", return_value=0.0):
        code, findings = doctor()
    assert (code, findings["clock"]["result"]) == (0, "warning")


def test_a_suite_that_is_not_installed(doctor: Doctor) -> None:
    with mock.patch("importlib.util.find_spec", return_value=None):
        code, findings = doctor()
    assert (code, findings["contract suite"]["result"]) == (0, "warning")
    assert "fake-dify[contract]" in findings["contract suite"]["advice"]
