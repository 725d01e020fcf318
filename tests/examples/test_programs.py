"""The programs of ``fake-server examples`` do what they promise, each run as its user runs it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dify_wire.profile import HOST_VERSIONS
from fake_server.examples.programs import LANGUAGES, render
from fake_server.testing import FakeHost
from tests.tools import needed

pytestmark = pytest.mark.server

PROMPT = '猫 "两只" \'it\'\'s\' \\ \\u0041 \\n $HOME ${x} `date` %s {{ x }} */ """\n第二行\t!'
MODES = ("streaming", "blocking")
NODES = ("开始", "LLM", "条件分支", "Stable Diffusion WebUI", "结束")
SUMMARY: dict[str, Any] = {"text": "a text", "tone": "calm", "words": "3"}
INPUTS: dict[str, Any] = {"prompt": PROMPT, "model_name": "dosmix_"}


@pytest.fixture(scope="module")
def shared_host() -> Iterator[FakeHost]:
    with FakeHost(apps={"app-summary": str(Path(__file__).with_name("summary.yml"))}) as host:
        yield host


@pytest.fixture
def host(shared_host: FakeHost) -> FakeHost:
    shared_host.reset()
    return shared_host


@dataclass(frozen=True)
class Program:
    """One language's program, run in a folder of its own."""

    language: str
    folder: Path

    def run(
        self,
        host: FakeHost,
        mode: str,
        *,
        api_key: str | None = None,
        inputs: dict[str, Any] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        language = LANGUAGES[self.language]
        body = {"inputs": inputs or INPUTS, "response_mode": mode, "user": 'an "user"\\'}
        code = render(language, host.url, api_key or host.api_key, body)
        (self.folder / language.file).write_text(code, "utf-8")
        command = shlex.split(language.run)
        command[0] = sys.executable if command[0] == "python" else needed(command[0])
        needed("curl" if self.language == "curl" else command[0])
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**os.environ, "GO111MODULE": "off"},
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )

    @property
    def images(self) -> list[Path]:
        return sorted(self.folder.glob("image-*"))


@pytest.fixture(
    params=[
        pytest.param(name, marks=pytest.mark.slow if name == "java" else ()) for name in LANGUAGES
    ]
)
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Program:
    return Program(request.param, tmp_path)


@pytest.mark.parametrize("mode", MODES)
def test_a_program_runs_the_workflow_and_saves_the_image(
    program: Program, host: FakeHost, mode: str
) -> None:
    ended = program.run(host, mode)
    assert ended.returncode == 0, ended.stderr
    sent = host.requests[0].json
    assert sent == {"inputs": INPUTS, "response_mode": mode, "user": 'an "user"\\'}
    assert [path.name for path in program.images] == ["image-1.png"]
    with Image.open(program.images[0]) as image:
        assert image.size == (1024, 1024)
    assert "image-1.png" in ended.stdout
    if mode == "streaming" and program.language != "curl":
        lines = ended.stdout.splitlines()
        assert lines[: len(NODES)] == [f"{node}: succeeded" for node in NODES]


@pytest.mark.parametrize("mode", MODES)
def test_a_refused_run_is_reported_with_the_hosts_words(
    program: Program, host: FakeHost, mode: str
) -> None:
    ended = program.run(host, mode, api_key="app-wrong")
    assert ended.returncode == 1
    assert "Access token is invalid" in ended.stdout + ended.stderr
    assert program.images == []


@pytest.mark.parametrize("mode", MODES)
def test_a_failed_run_is_reported_with_its_error(
    program: Program, host: FakeHost, mode: str
) -> None:
    host.scenario("node_failed", error="out of memory")
    ended = program.run(host, mode)
    assert ended.returncode == 1
    assert "out of memory" in ended.stdout + ended.stderr
    assert program.images == []


@pytest.mark.parametrize("scenario", ["cut_stream", "error_event"])
def test_a_stream_that_ends_early_is_an_error(
    program: Program, host: FakeHost, scenario: str
) -> None:
    if scenario == "cut_stream":
        host.scenario("cut_stream", after=3)
    else:
        host.scenario("error_event", after=3)
    ended = program.run(host, "streaming")
    assert ended.returncode == 1
    assert ended.stderr
    assert program.images == []


def test_an_image_that_is_gone_is_an_error(program: Program, host: FakeHost) -> None:
    host.scenario("missing_blob")
    ended = program.run(host, "blocking")
    assert ended.returncode == 1
    assert ended.stderr


def test_absolute_urls_are_taken_as_they_are(program: Program, host: FakeHost) -> None:
    host.scenario("absolute_url")
    assert program.run(host, "blocking").returncode == 0
    assert [path.name for path in program.images] == ["image-1.png"]


def test_an_app_without_images_shows_its_texts(program: Program, host: FakeHost) -> None:
    ended = program.run(host, "streaming", api_key="app-summary", inputs=SUMMARY)
    assert ended.returncode == 0, ended.stderr
    assert "the summary of a text" in ended.stdout
    assert program.images == []


@pytest.mark.slow
@pytest.mark.parametrize("version", HOST_VERSIONS)
def test_every_version_is_understood(program: Program, version: str) -> None:
    with FakeHost(host_version=version) as host:
        ended = program.run(host, "streaming")
    assert ended.returncode == 0, ended.stderr
    assert [path.name for path in program.images] == ["image-1.png"]


def test_go_programs_are_formatted(tmp_path: Path) -> None:
    gofmt = shutil.which("gofmt") or needed("gofmt")
    for mode in MODES:
        body = {"inputs": {**INPUTS, "list": [{"a": 1}], "n": None}, "response_mode": mode}
        (tmp_path / f"{mode}.go").write_text(
            render(LANGUAGES["go"], "http://127.0.0.1:6060", "app-k", body), "utf-8"
        )
    ended = subprocess.run([gofmt, "-d", "."], cwd=tmp_path, capture_output=True, check=True)
    assert ended.stdout == b""
