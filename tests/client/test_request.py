"""``fake-server request`` as its user sees it: what is saved, what is printed, how it ends."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from dify_wire.profile import HOST_VERSIONS
from fake_server.client.saving import inline_image
from fake_server.testing import FakeHost
from tests.client.running import Request
from tests.serving import ROOT

pytestmark = pytest.mark.server

PROMPT = '猫 "两只" \\ $HOME\n第二行'


@pytest.fixture(scope="module")
def shared_host() -> Iterator[FakeHost]:
    with FakeHost() as host:
        yield host


@pytest.fixture
def host(shared_host: FakeHost) -> FakeHost:
    shared_host.reset()
    return shared_host


def png_size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


@pytest.mark.parametrize("mode", [[], ["--blocking"]])
def test_the_image_of_a_run_is_saved(
    mode: list[str], host: FakeHost, request_: Request, tmp_path: Path
) -> None:
    ended = request_(PROMPT, "-o", "cat.png", *mode, to=host)
    assert (ended.code, ended.out) == (0, "cat.png\n")
    assert "succeeded in " in ended.err
    assert png_size(tmp_path / "cat.png") == (1024, 1024)
    assert host.requests[-2].prompt == PROMPT


def test_nodes_are_lines_where_no_terminal_is(host: FakeHost, request_: Request) -> None:
    ended = request_("a cat", to=host)
    assert [line.split()[0] for line in ended.err.splitlines()[:5]] == ["✓"] * 5
    assert "Stable Diffusion WebUI" in ended.err
    assert "\x1b" not in ended.err + ended.out


@pytest.mark.parametrize("version", HOST_VERSIONS)
def test_every_version_of_the_host(version: str, request_: Request, tmp_path: Path) -> None:
    with FakeHost(host_version=version) as host:
        assert request_("a cat", "-o", "cat.png", to=host).code == 0
        assert request_("a cat", "-o", "cat.png", "-f", "--blocking", to=host).code == 0
    assert png_size(tmp_path / "cat.png") == (1024, 1024)


def test_files_without_a_name_are_numbered(
    host: FakeHost, request_: Request, tmp_path: Path
) -> None:
    for _ in range(3):
        assert request_("a cat", to=host).code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "image-2.png",
        "image-3.png",
        "image.png",
    ]


def test_an_image_can_go_to_stdout(host: FakeHost) -> None:
    command = [sys.executable, "-m", "fake_server", "request", "a cat", "-o", "-"]
    ended = subprocess.run(
        [*command, "--base-url", host.url], cwd=ROOT, capture_output=True, check=True
    )
    with Image.open(io.BytesIO(ended.stdout)) as image:
        assert image.size == (1024, 1024)


def test_json_is_the_result(host: FakeHost, request_: Request) -> None:
    result = json.loads(request_("a cat", "--json", to=host).out)
    assert (result["status"], result["saved"]) == ("succeeded", ["image.png"])
    assert result["task_id"]


def test_the_key_comes_from_the_environment(request_: Request) -> None:
    with FakeHost(api_keys=("app-of-mine",)) as host:
        assert request_("a cat", to=host, CONTRACT_API_KEY="app-of-mine").code == 0
        assert request_("a cat", to=host, FAKE_SERVER_API_KEY="app-of-mine").code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x", "--api-key", "app-wrong"], "401, unauthorized: Access token is invalid; check"),
        (["x", "--model", "no-such"], "'no-such' is no choice of input model_name"),
        (["x", "--input", "promt=y"], "(did you mean 'prompt'?)"),
        (["x", "--input", "prompt"], "'prompt' is not NAME=VALUE"),
        ([], "the app needs the input prompt; give it as PROMPT"),
        (["x", "-o", "no/such/folder.png"], "there is no folder no/such"),
        (["x", "-o", "."], "is a folder"),
    ],
)
def test_mistakes_are_found_before_a_run(
    arguments: list[str], message: str, host: FakeHost, request_: Request
) -> None:
    ended = request_(*arguments, to=host)
    assert ended.code == 2
    assert message in ended.err
    assert ended.err.count("\n") == 1
    assert not any(one.mode for one in host.requests)


def test_a_file_that_is_there_stays(host: FakeHost, request_: Request, tmp_path: Path) -> None:
    (tmp_path / "mine.png").write_bytes(b"mine")
    ended = request_("x", "-o", "mine.png", to=host)
    assert (ended.code, host.requests) == (2, [])
    assert "mine.png exists; --force overwrites it" in ended.err
    assert (tmp_path / "mine.png").read_bytes() == b"mine"
    assert request_("x", "-o", "mine.png", "--force", to=host).code == 0
    assert png_size(tmp_path / "mine.png") == (1024, 1024)


def test_nothing_listens(request_: Request) -> None:
    ended = request_("x", to="http://127.0.0.1:9")
    assert ended.code == 2
    assert "nothing can be reached at http://127.0.0.1:9" in ended.err
    assert "fake-server serve" in ended.err


def test_another_host_needs_its_key(request_: Request) -> None:
    ended = request_("x", to="http://192.0.2.1")
    assert ended.code == 2
    assert "give --api-key or CONTRACT_API_KEY" in ended.err


@pytest.mark.parametrize("mode", [[], ["--blocking"]])
@pytest.mark.parametrize(
    ("scenario", "parameters", "code", "message"),
    [
        ("node_failed", {"error": "CUDA out of memory"}, 1, "CUDA out of memory"),
        ("run_failed", {}, 1, "failed after"),
        ("stopped", {}, 1, "stopped after"),
        ("http_error", {"status": 503}, 2, "responds with 503"),
        ("rate_limited", {}, 2, "responds with 429"),
        ("missing_blob", {}, 2, "responds with 502"),
        ("unsigned_url", {}, 2, "responds with 400, invalid_param: Missing required"),
        ("null_url", {}, 2, "the host gives no URL for the file, but None"),
        ("wrong_host", {}, 2, "set FILES_URL of the host"),
        ("expired_url", {}, 2, "its URL has expired, or the signature"),
        ("corrupt_png", {}, 2, "the host serves an image that cannot be read"),
    ],
)
def test_failures_of_a_host(  # noqa: PLR0917
    scenario: str,
    parameters: dict[str, object],
    code: int,
    message: str,
    mode: list[str],
    host: FakeHost,
    request_: Request,
) -> None:
    host.scenario(scenario, **parameters)  # type: ignore[call-overload]
    ended = request_("a cat", *mode, to=host)
    assert (ended.code, message in ended.err) == (code, True), ended.err


@pytest.mark.parametrize("scenario", ["cut_stream", "connection_reset", "no_terminal_event"])
def test_a_stream_that_ends_too_soon(scenario: str, host: FakeHost, request_: Request) -> None:
    host.scenario(scenario)  # type: ignore[call-overload]
    ended = request_("a cat", to=host)
    assert (ended.code, "the run may go on there" in ended.err) == (2, True), ended.err


def test_a_stream_of_something_else(host: FakeHost, request_: Request) -> None:
    host.scenario("malformed_event")
    ended = request_("a cat", to=host)
    assert (ended.code, "an event is not a JSON object" in ended.err) == (2, True), ended.err


def test_a_run_without_a_file(host: FakeHost, request_: Request) -> None:
    host.scenario("sd_failed")
    ended = request_("a cat", "-o", "cat.png", to=host)
    assert (ended.code, "no file, so there is no cat.png" in ended.err) == (2, True), ended.err
    assert request_("a cat", to=host).code == 0


def test_an_image_that_no_program_would_decode_is_saved(
    host: FakeHost, request_: Request, tmp_path: Path
) -> None:
    host.scenario("huge_png")
    assert request_("a cat", "-o", "cat.png", to=host).code == 0
    assert (tmp_path / "cat.png").read_bytes().startswith(b"\x89PNG")


def test_a_silent_host(request_: Request) -> None:
    with FakeHost(speed=1) as host:
        ended = request_("a cat", "--blocking", "--timeout", "0.2", to=host)
    assert ended.code == 2
    assert "sent nothing for 0.2 s" in ended.err


def test_a_result_is_shown_though_its_image_is_lost(host: FakeHost, request_: Request) -> None:
    host.scenario("missing_blob")
    ended = request_("a cat", "--json", to=host)
    assert ended.code == 2
    assert json.loads(ended.out)["status"] == "succeeded"


@pytest.mark.parametrize(
    ("environ", "begins"),
    [
        ({"TERM": "xterm-kitty"}, "\x1b_Gf=100,a=T,c=40,m=1;"),
        ({"TERM_PROGRAM": "WezTerm", "TERM": "xterm"}, "\x1b]1337;File=inline=1"),
        ({"TERM_PROGRAM": "ghostty", "TERM": "tmux-256color"}, ""),
        ({"TERM": "xterm-256color"}, ""),
    ],
)
def test_terminals_that_show_images(environ: dict[str, str], begins: str) -> None:
    content = b"\x89PNG".ljust(10_000)
    shown = inline_image(content, environ)
    assert shown.startswith(begins)
    assert bool(shown) is bool(begins)


def test_ctrl_c_stops_the_run() -> None:
    with FakeHost(speed=1) as host:
        code = (
            "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "from fake_server.cli import main; main()"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code, "request", "a cat", "--base-url", host.url],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        assert "开始" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
        paths = [one.path for one in host.requests]
    assert process.returncode == 130
    assert "The run is stopped." in err
    assert paths[-1].endswith("/stop")


@pytest.mark.parametrize(
    ("term", "shows"), [("xterm-kitty", True), ("xterm-256color", False), ("dumb", False)]
)
def test_a_terminal(term: str, shows: bool, host: FakeHost, tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    environ = {name: value for name, value in os.environ.items() if name != "TERM_PROGRAM"}
    process = subprocess.Popen(
        [sys.executable, "-m", "fake_server", "request", "a cat", "--base-url", host.url],
        cwd=tmp_path,
        env={**environ, "TERM": term, "LC_TERMINAL": ""},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    output = b""
    with contextlib.suppress(OSError):  # how Linux says that the other side is closed
        while data := os.read(ours, 65536):
            output += data
    os.close(ours)
    assert process.wait(20) == 0
    assert b"succeeded" in output
    assert (b"\x1b_Gf=100" in output) is shows
    assert (b"\x1b" in output) is (term != "dumb")


@pytest.mark.skipif(os.name != "posix", reason="closes streams as a POSIX shell does")
@pytest.mark.parametrize("streams", [">&-", "2>&-", ">&- 2>&-", "<&-"])
def test_streams_that_are_closed(streams: str, host: FakeHost, tmp_path: Path) -> None:
    command = f"exec {sys.executable} -m fake_server request cat --base-url {host.url} {streams}"
    assert subprocess.run(["sh", "-c", command], cwd=tmp_path, check=False).returncode == 0
    assert png_size(tmp_path / "image.png") == (1024, 1024)
