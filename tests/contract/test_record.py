"""``contract record``: what it keeps, under which names, what it keeps out, and how it ends."""

from __future__ import annotations

import base64
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from urllib.parse import quote

import pytest

from contract.checks import CHECKS
from contract.cli import exit_code
from contract.diff.pairing import NotCompared, pair_recordings
from contract.record import BackgroundWriter
from contract.target import RUN_PATH
from dify_wire.exchange import Recording
from dify_wire.recording.folder import RecordingWriter, read_folder
from tests.contract.hosts import (
    CONTRACT_AS_IN_A_TERMINAL,
    answer,
    dify_at_first,
    host,
    refused_address,
    saying,
)
from tests.contract.samples import KEY
from tests.contract.verdicts import APP_KEYS, SECRET
from tests.serving import ROOT, RunningServer, running_server

pytestmark = pytest.mark.server

FEW = (
    "--only",
    "documents_own_request_gets_200",
    "--only",
    "*_is_405",
    "--only",
    "url_serves_the_image_*",
)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CONTRACT_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def fake() -> Iterator[RunningServer]:
    apps = [f"--app={key}={kind}" for kind, key in APP_KEYS.items()]
    with running_server("--speed", "instant", f"--secret-key={SECRET}", *apps) as server:
        yield server


def record(server: RunningServer, to: Path, *arguments: str) -> int:
    apps = [f"--app={key}={kind}" for kind, key in APP_KEYS.items()]
    flags = ["--api-key", server.api_key, "--secret-key", SECRET, *apps]
    return exit_code(["record", "--base-url", server.url, "--to", str(to), *flags, *arguments])


@pytest.fixture(scope="module")
def recorded(fake: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All requests of the checks but generated ones, recorded."""
    folder = tmp_path_factory.mktemp("recorded") / "fake"
    assert record(fake, folder, "--skip", "generated_*") == 0
    return folder


def by_name(folder: Path) -> dict[str, Recording]:
    return {recording.name: recording for recording in read_folder(folder)}


def test_each_exchange_is_named_after_the_first_check_that_sends_it(recorded: Path) -> None:
    """Also where a helper's thread has asked: the shared runs are those of the first check that
    needs them.
    """
    found = read_folder(recorded)
    names = [recording.name for recording in found]
    assert len(set(names)) == len(names) > 150
    assert names[:3] == ["preflight", "preflight_2", "preflight_3"]
    assert [
        name
        for name in names[3:]
        if name not in CHECKS and re.sub(r"_\d+$", "", name) not in CHECKS
    ] == []


def test_apps_are_labelled_and_the_version_is_what_the_host_says(recorded: Path) -> None:
    found = read_folder(recorded)
    assert {recording.app for recording in found} == {"main", None, *APP_KEYS}
    assert {recording.host_version for recording in found} == {"0.6.4"}


def test_requests_and_times_are_those_of_the_wire(recorded: Path, fake: RunningServer) -> None:
    run = next(
        one for one in read_folder(recorded) if one.request.path == RUN_PATH and one.status == 400
    )
    assert run.request.header("host") == fake.url.removeprefix("http://")
    assert run.request.header("content-length") == str(len(run.request.body))
    for recording in read_folder(recorded):
        times = [chunk.at_s for chunk in recording.chunks]
        assert times == sorted(times)
        assert not times or times[-1] <= recording.seconds


def test_no_key_and_no_secret_is_written_in_any_encoding(
    recorded: Path, fake: RunningServer
) -> None:
    """Nor a key that differs from the right one by a letter, which checks send too."""
    planted = [fake.api_key, SECRET, *APP_KEYS.values(), fake.api_key[4:-1]]
    forms = {
        form
        for secret in planted
        for form in (secret, quote(secret, safe=""), secret.encode().hex())
    }
    forms |= {base64.b64encode(secret.encode()).decode().rstrip("=")[:-2] for secret in planted}
    for path in recorded.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        assert not [form for form in forms if form.encode() in data], path.name


def test_two_recordings_hold_the_same_requests(fake: RunningServer, tmp_path: Path) -> None:
    """With one seed, whatever other code is loaded: the key differs by the same letters."""
    one, other = tmp_path / "one", tmp_path / "other"
    only = ("--only", "keys_like_the_right_one_are_refused", *FEW)
    assert record(fake, one, *only) == 0
    program = "import sys, tests.contract.samples, contract.cli; sys.exit(contract.cli.exit_code())"
    command = ["record", "--base-url", fake.url, "--to", str(other), "--api-key", fake.api_key]
    ended = subprocess.run(
        [sys.executable, "-c", program, *command, *only], cwd=ROOT, capture_output=True, check=False
    )
    assert ended.returncode == 0, ended.stdout.decode()
    found = list(pair_recordings(read_folder(one), read_folder(other)))
    assert len(found) > 20
    assert [pair.name for pair in found if isinstance(pair, NotCompared)] == []


def test_summary_names_what_was_recorded_and_what_was_not(
    fake: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A spent budget is no reason to lose what there is."""
    assert record(fake, tmp_path / "to", *FEW, "--max-runs", "0") == 1
    output = capsys.readouterr().out
    count = len(read_folder(tmp_path / "to"))
    assert f"recorded: {count} exchanges in {tmp_path / 'to'}, 0 images among them" in output
    assert "left out: the requests of" in output
    assert "the budget of 0 accepted runs is spent (--max-runs)" in output


def test_folder_with_recordings_is_added_to_only_on_request(
    fake: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert record(fake, tmp_path, *FEW) == 0
    before = [path.name for path in sorted(tmp_path.glob("*.yaml"))]
    assert record(fake, tmp_path, *FEW) == 2
    assert "add to it with --append" in capsys.readouterr().err
    assert [path.name for path in sorted(tmp_path.glob("*.yaml"))] == before
    assert record(fake, tmp_path, *FEW, "--append") == 0
    names = [recording.name for recording in read_folder(tmp_path)]
    assert len(set(names)) == len(names) == 2 * len(before)


@pytest.mark.parametrize(
    "arguments", [("--redact", "heder:X"), ("--redact", "field:"), ("--redact", "nonsense")]
)
def test_bad_rules_are_2_before_any_request(
    arguments: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = ["--base-url", "http://127.0.0.1:9", "--api-key", KEY]
    assert exit_code(["record", *url, "--to", str(tmp_path / "to"), *arguments]) == 2
    assert "--redact" in capsys.readouterr().err
    assert not (tmp_path / "to").exists()


def test_foreign_folder_is_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    assert (
        exit_code(
            ["record", "--base-url", "http://127.0.0.1:9", "--api-key", KEY, "--to", str(tmp_path)]
        )
        == 2
    )
    assert "not a recordings folder" in capsys.readouterr().err


def test_host_that_cannot_be_checked_leaves_no_recording(tmp_path: Path) -> None:
    """So that the next try, with the right key, needs no other folder."""
    refusal = answer(b'{"message": "Access token is invalid"}', "401 UNAUTHORIZED")
    with host(saying(refusal)) as url:
        for address in (url, refused_address()):
            assert (
                exit_code(
                    [
                        "record",
                        "--base-url",
                        address,
                        "--api-key",
                        KEY,
                        "--to",
                        str(tmp_path / "to"),
                    ]
                )
                == 2
            )
    assert list((tmp_path / "to").glob("*.yaml")) == []


def test_rules_and_users_are_redacted(fake: RunningServer, tmp_path: Path) -> None:
    only = ("--only", "missing_prompt_is_400")
    assert record(fake, tmp_path / "bare", *only, "--redact", "header:X-Env") == 0
    assert record(fake, tmp_path / "kept", *only, "--keep-user") == 0
    bare, kept = by_name(tmp_path / "bare"), by_name(tmp_path / "kept")
    assert bare["missing_prompt_is_400"].header("x-env") == "redacted"
    assert b"alg123" not in bare["missing_prompt_is_400"].request.body
    assert b'"user": "alg123"' in kept["missing_prompt_is_400"].request.body


def test_full_disk_is_reported_and_is_2(
    fake: RunningServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The checks run all the same."""

    def refuse(*_: object) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RecordingWriter, "write", refuse)
    assert record(fake, tmp_path / "to", *FEW) == 2
    output = capsys.readouterr()
    assert "Passed: no check failed." in output.out
    assert "could not be written (No space left on device)" in output.err
    assert "lost; make room and record again" in output.err


def test_one_refused_exchange_does_not_lose_the_next(tmp_path: Path, recorded: Path) -> None:
    first, second = read_folder(recorded)[:2]

    class FullOnce(RecordingWriter):
        def write(self, exchange: Recording, *_: object) -> Path:
            if exchange is first:
                raise OSError(28, "No space left on device")
            return super().write(exchange)

    with FullOnce(tmp_path) as writer:
        background = BackgroundWriter(writer)
        for recording in (first, second):
            background.write(recording)
        background.finish()
    assert background.exchanges == 1
    assert background.lost == [f"{first.name} could not be written (No space left on device)"]
    assert [one.name for one in read_folder(tmp_path)] == [second.name]


def test_broken_answers_are_marked(tmp_path: Path) -> None:
    """One that breaks off is cut, one that nobody waited for any longer was left."""

    def behave(connection: socket.socket, request: bytes) -> None:
        if b"GET /v1/meta" in request:
            connection.sendall(answer(b'{"half": ')[:-5])
        elif b"GET /v1/info" in request:
            connection.sendall(answer(b"slow")[:-2])
            connection.recv(1)
        else:
            connection.sendall(answer(b"{}", "400 BAD REQUEST"))

    only = ("--only", "meta_*", "--only", "info_*", "--timeout", "0.5")
    with host(dify_at_first(behave)) as url:
        exit_code(["record", "--base-url", url, "--api-key", KEY, "--to", str(tmp_path), *only])
    ends = {recording.request.path: recording.ended for recording in read_folder(tmp_path)}
    assert ends["/v1/meta"] == "cut"
    assert ends["/v1/info"] == "client_left"


def test_ctrl_c_keeps_what_is_whole(tmp_path: Path) -> None:
    """The host answers a few requests and then hangs."""
    hanging = Event()
    answered: list[bytes] = []

    def behave(connection: socket.socket, request: bytes) -> None:
        answered.append(request)
        if len(answered) <= 20:
            connection.sendall(answer(b"{}", "400 BAD REQUEST"))
            return
        hanging.set()
        connection.recv(1)

    with host(dify_at_first(behave)) as url:
        command = [
            *CONTRACT_AS_IN_A_TERMINAL,
            "record",
            "--base-url",
            url,
            "--api-key",
            KEY,
            "--to",
            str(tmp_path),
        ]
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert hanging.wait(20)
        process.send_signal(signal.SIGINT)
        output, complained = process.communicate(timeout=20)
    assert process.returncode == 130, complained
    assert "Interrupted" in output
    assert len(read_folder(tmp_path)) == 23, "the first look at the host among them"
