"""``fake-server examples`` as its user sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest
from click.testing import CliRunner, Result

from fake_server.cli import cli
from fake_server.examples.inputs import example_inputs
from fake_server.examples.programs import LANGUAGES
from fake_server.settings import DEFAULT_API_KEY
from fake_server.testing import FakeHost

SUMMARY = Path(__file__).with_name("summary.yml")
NOWHERE = "http://127.0.0.1:1"
Examples = Callable[..., Result]


@pytest.fixture(scope="module")
def host() -> Iterator[FakeHost]:
    apps = {"app-summary": str(SUMMARY), "app-old": "chat", "app-off": "disabled"}
    with FakeHost(apps=apps) as host:
        yield host


@pytest.fixture
def examples() -> Examples:
    def run(*args: str, **environ: str) -> Result:
        with mock.patch.dict(os.environ, environ):
            return CliRunner().invoke(cli, ["examples", *args])

    return run


def test_without_a_language_they_are_listed_with_what_each_needs(examples: Examples) -> None:
    listed = examples()
    assert listed.exit_code == 0
    assert [line.split()[0] for line in listed.stdout.splitlines()] == list(LANGUAGES)
    assert listed.stdout == examples("--list").stdout
    assert "pip install httpx httpx-sse" in listed.stdout


def test_the_list_as_json(examples: Examples) -> None:
    listed = json.loads(examples("--list", "--json").stdout)
    assert [one["name"] for one in listed] == list(LANGUAGES)
    assert listed[0]["run"] == "sh run.sh"


@pytest.mark.server
def test_a_printed_program_runs_as_it_is(
    examples: Examples, host: FakeHost, tmp_path: Path
) -> None:
    printed = examples("python", "--base-url", host.url, "--blocking")
    (tmp_path / "run.py").write_text(printed.stdout, "utf-8")
    subprocess.run([sys.executable, "run.py"], cwd=tmp_path, check=True)
    assert (tmp_path / "image-1.png").is_file()
    request = host.requests[-1 - 1]
    assert request.json == {
        "inputs": {"prompt": "一个胸有成竹的男人", "model_name": "chilloutmix_NiPrunedFp32Fix"},
        "response_mode": "blocking",
        "user": "alg123",
    }


@pytest.mark.server
def test_the_inputs_are_those_of_the_keys_app(examples: Examples, host: FakeHost) -> None:
    printed = examples("python", "--base-url", host.url, "--api-key", "app-summary", "--json")
    program = json.loads(printed.stdout)
    assert program["file"] == "run.py"
    assert '"inputs": {\n        "text": "Text",\n        "tone": "calm",' in program["code"]
    assert '"words": "1",' in program["code"]
    assert "note" not in program["code"]
    assert 'API_KEY = "app-summary"' in program["code"]


@pytest.mark.server
def test_inputs_user_and_mode_can_be_given(examples: Examples, host: FakeHost) -> None:
    given = ["--input", "note=x=y", "--input", "words=7", "--user", "me", "--blocking"]
    to = ["--base-url", host.url]
    code = examples("js", *given, *to, CONTRACT_API_KEY="app-summary").stdout
    assert '"note": "x=y"' in code
    assert '"words": "7"' in code
    assert '"user": "me"' in code
    assert '"response_mode": "blocking"' in code


def test_without_a_server_the_inputs_are_the_default_apps(examples: Examples) -> None:
    printed = examples("curl", "--base-url", NOWHERE)
    assert printed.exit_code == 0
    assert "一个胸有成竹的男人" in printed.stdout
    assert DEFAULT_API_KEY in printed.stdout
    assert f"Nothing listens at {NOWHERE}: start it with fake-server serve." in printed.stderr


def test_an_app_file_is_enough(examples: Examples) -> None:
    code = examples("go", "--base-url", NOWHERE, "--app", str(SUMMARY)).stdout
    assert '"tone":  "calm",' in code


@pytest.mark.server
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--api-key", "app-wrong"], "Access token is invalid; check --api-key"),
        (["--api-key", "app-off"], "responds with 404, not_found"),
        (["--base-url", NOWHERE, "--api-key", "app-k"], "name the app's file with --app"),
        (["--base-url", "https://dify.example"], "another host needs its key"),
        (["--base-url", "dify.example"], "is not a valid base URL"),
        (["--input", "promt=x"], "no such input: 'promt'"),
        (["--input", "prompt"], "'prompt' is not NAME=VALUE"),
        (["--input", "model_name=x"], "'x' is no choice of input model_name"),
        (["--app", "nowhere.yml"], "nowhere.yml"),
        (["--app", "chat"], "--app: chat is no workflow app"),
        (["--app", "nonsense"], "--app: 'nonsense' is neither a kind"),
    ],
)
def test_what_cannot_be_done_is_reported_in_one_line(
    host: FakeHost, args: list[str], message: str
) -> None:
    to = [] if "--base-url" in args else ["--base-url", host.url]
    command = [sys.executable, "-m", "fake_server", "examples", "js", *to, *args]
    ended = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert message in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("Error: ")


def test_an_unknown_language_is_refused_with_the_known_ones(examples: Examples) -> None:
    refused = examples("ruby")
    assert refused.exit_code == 2
    assert "'curl', 'python', 'js', 'go', 'java'" in refused.stderr


@pytest.mark.parametrize(
    ("kind", "entry", "value"),
    [
        ("paragraph", {}, "x"),
        ("paragraph", {"label": "The text", "max_length": 3}, "The"),
        ("text-input", {"label": "The text", "max_length": "48"}, "The text"),
        ("text-input", {"default": "me"}, "me"),
        ("select", {"options": ["a", "b"]}, "a"),
        ("select", {"options": ["a", "b"], "default": "b"}, "b"),
        ("select", {"options": []}, ""),
        ("number", {}, "1"),
        ("number", {"default": 5}, "5"),
        ("checkbox", {}, True),
        (
            "file",
            {"allowed_file_types": ["document"]},
            {
                "type": "document",
                "transfer_method": "remote_url",
                "url": "https://example.com/document.pdf",
            },
        ),
        (
            "file-list",
            {"allowed_file_upload_methods": ["local_file"]},
            [
                {
                    "type": "image",
                    "transfer_method": "local_file",
                    "upload_file_id": "the id in the response of POST /v1/files/upload",
                }
            ],
        ),
        ("json_object", {}, {}),
        (
            "json_object",
            {
                "json_schema": {
                    "required": ["size", "place"],
                    "properties": {
                        "size": {"enum": ["big", "small"]},
                        "place": {
                            "type": "object",
                            "required": ["x"],
                            "properties": {"x": {"type": ["integer", "null"]}},
                        },
                    },
                }
            },
            {"size": "big", "place": {"x": 1}},
        ),
    ],
)
def test_a_required_variable_gets_a_value_of_its_type(
    kind: str, entry: dict[str, object], value: object
) -> None:
    variable = {"variable": "x", "required": True, **entry}
    assert example_inputs([(kind, variable)], {}) == {"x": value}


def test_known_inputs_are_used_where_the_app_takes_them() -> None:
    known = {"prompt": "a cat", "model": "one", "other": "x"}
    variables: list[tuple[str, dict[str, object]]] = [
        ("paragraph", {"variable": "prompt"}),
        ("select", {"variable": "model", "options": ["two"], "required": True}),
        ("paragraph", {"variable": "optional"}),
    ]
    assert example_inputs(variables, known) == {"prompt": "a cat", "model": "two"}
