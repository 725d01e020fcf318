"""The command line: where settings come from, and what it says and exits with where something is
wrong.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from unittest import mock

import click
import pytest
import yaml
from click.testing import CliRunner

from dify_wire.profile import HOST_VERSIONS
from fake_server.app import create_app
from fake_server.cli import cli, main
from fake_server.recorder.settings import RecorderSettings
from fake_server.settings import DEFAULT_API_KEY, Settings
from fake_server.workflow.loader import default_workflow_path

FILE_ID = "8faea5f8-b5c9-498a-b557-a39c474f0e59"
RECORDED_APP = Path(__file__).parent.parent / "recordings" / "apps" / "simple.yml"
PATH = f"/files/tools/{FILE_ID}.png"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended. ``served`` are the settings of a server that would have listened."""

    code: int
    out: str
    err: str
    served: Settings | None


Run = Callable[..., Ended]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs ``fake-server`` in an empty folder; instead of listening, a server is only built (or not
    even that).
    """

    def run_command(
        *args: str,
        env: Mapping[str, str] | None = None,
        dotenv: str | bytes = b"",
        toml: str | bytes = b"",
        built: bool = True,
    ) -> Ended:
        served: list[Settings] = []

        def serve_forever(settings: Settings) -> None:
            if built:
                create_app(settings)
            served.append(settings)

        clean = {
            name: value for name, value in os.environ.items() if not name.startswith("FAKE_SERVER_")
        }
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("fake_server.server.run.serve_forever", serve_forever)
        for name, content in ((".env", dotenv), ("settings.toml", toml)):
            if content:
                Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
        monkeypatch.setattr(
            sys, "argv", ["fake-server", *args, *(["--config", "settings.toml"] if toml else [])]
        )
        with (
            mock.patch.dict(os.environ, {**clean, **(env or {})}, clear=True),
            pytest.raises(SystemExit) as caught,
        ):
            main()
        output = capsys.readouterr()
        code = caught.value.code
        assert code is None or isinstance(code, int)
        return Ended(code or 0, output.out, output.err, served[0] if served else None)

    return run_command


def assert_refused(ended: Ended, *says: str) -> None:
    """Exit 2 and one clear line on stderr, no server, no traceback."""
    assert ended.served is None
    assert ended.code == 2
    *usage, line = ended.err.splitlines()
    assert line.startswith("Error: ")
    assert all(text.startswith(("Usage: ", "Try ")) or not text for text in usage)
    for text in says:
        assert text in line


# Where a setting comes from
# ------------------------------------------------------------------------------------------

SOURCES = ["default", "TOML", ".env", "environment", "flag"]
VALUES: dict[str, tuple[str, list[str], list[Any]]] = {
    # flag: the field of Settings, a text for each source but the default, what becomes of each
    "port": ("port", ["1", "2", "3", "4"], [6060, 1, 2, 3, 4]),
    "speed": ("speed", ["1", "instant", "2.5", "4"], [10.0, 1.0, None, 2.5, 4.0]),
    "seed": ("seed", ["1", "-2", "3", "4"], [None, 1, -2, 3, 4]),
    "host": ("host", ["a", "b", "c", "d"], ["127.0.0.1", "a", "b", "c", "d"]),
    "api-key": (
        "api_keys",
        ["a", "b", "c", "d"],
        [(DEFAULT_API_KEY,), ("a",), ("b",), ("c",), ("d",)],
    ),
    "app": (
        "apps",
        ["a=chat", "b=deleted", "c=disabled", "d=unpublished"],
        [(), (("a", "chat"),), (("b", "deleted"),), (("c", "disabled"),), (("d", "unpublished"),)],
    ),
    "secret-key": ("secret_key", ["a", "b", "c", "d"], [Settings().secret_key, "a", "b", "c", "d"]),
    "files-url": (
        "files_url",
        [f"http://{x}" for x in "abcd"],
        ["", "http://a", "http://b", "http://c", "http://d"],
    ),
    "host-version": (
        "host_version",
        ["0.6.3", "0.6.4", "0.6.3", "0.6.4"],
        ["0.6.4", "0.6.3", "0.6.4", "0.6.3", "0.6.4"],
    ),
    "clock": (
        "clock",
        [f"2024-05-0{day}" for day in "1234"],
        [None, *(f"2024-05-0{day}" for day in "1234")],
    ),
    "log-format": (
        "log_format",
        ["json", "human", "json", "human"],
        ["human", "json", "human", "json", "human"],
    ),
}


@pytest.mark.parametrize("highest", range(len(SOURCES)), ids=SOURCES)
@pytest.mark.parametrize("flag", VALUES)
def test_a_flag_goes_before_environment_before_dotenv_before_toml_before_default(
    run: Run, flag: str, highest: int
) -> None:
    """Of all the places where a setting is given, the one that is nearest to the person counts."""
    field, texts, becomes = VALUES[flag]
    variable = f"FAKE_SERVER_{flag.replace('-', '_').upper()}"
    toml, dotenv, environment, on_line = (texts[i] if highest > i else None for i in range(4))
    ended = run(
        "serve",
        *([f"--{flag}", on_line] if on_line else []),
        env={variable: environment} if environment else {},
        dotenv=f"{variable}={dotenv}\n" if dotenv else "",
        toml=f'{flag} = "{toml}"\n' if toml else "",
        built=False,
    )
    assert ended.served is not None, ended.err
    assert getattr(ended.served, field) == becomes[highest]


def test_toml_takes_its_own_kinds_of_values(run: Run, tmp_path: Path) -> None:
    """Numbers, lists and a table of apps; names with dashes or underscores; paths."""
    (tmp_path / "mine.yml").write_bytes(default_workflow_path().read_bytes())
    (tmp_path / "other.yml").write_bytes(RECORDED_APP.read_bytes())
    ended = run(
        "serve",
        toml="""
            port = 7070
            speed = 2.5
            seed = 5
            clock = 2024-05-01T12:00:00Z
            api_key = ["a", "b"]
            workflow = "mine.yml"
            [app]
            c = "chat"
            d = "other.yml"
        """,
    )
    assert ended.served is not None, ended.err
    assert (ended.served.port, ended.served.speed, ended.served.seed) == (7070, 2.5, 5)
    assert ended.served.clock == "2024-05-01T12:00:00+00:00"
    assert (ended.served.api_keys, ended.served.workflow) == (("a", "b"), Path("mine.yml"))
    assert ended.served.apps == (("c", "chat"), ("d", "other.yml"))


def test_the_config_file_may_be_named_by_the_environment(run: Run, tmp_path: Path) -> None:
    """Or by .env, as any setting."""
    (tmp_path / "c.toml").write_text("port = 7070\n")
    for source in (
        {"env": {"FAKE_SERVER_CONFIG": "c.toml"}},
        {"dotenv": "FAKE_SERVER_CONFIG=c.toml\n"},
    ):
        ended = run("serve", **source)
        assert ended.served is not None, ended.err
        assert ended.served.port == 7070


def test_repeatable_flags_are_kept_in_order(run: Run) -> None:
    """Keys, apps and overlays may be given several times."""
    ended = run(
        "serve", "--api-key", "a", "--api-key", "b", "--app", "c=chat", "--app", "d=workflow"
    )
    assert ended.served is not None, ended.err
    assert ended.served.api_keys == ("a", "b")
    assert ended.served.apps == (("c", "chat"), ("d", "workflow"))


def test_other_variables_of_dotenv_are_left_alone(run: Run) -> None:
    """Only those of the fake are taken over."""
    ended = run("serve", dotenv="PORT=1\nOTHER_FAKE_SERVER_PORT=2\nFAKE_SERVER_PORT=3\n")
    assert ended.served is not None
    assert ended.served.port == 3


# What is wrong
# ------------------------------------------------------------------------------------------

BAD_FLAGS: dict[str, tuple[list[str], list[str]]] = {
    "port is a word": (["--port", "http"], ["--port", "'http' is not a valid integer"]),
    "port too high": (
        ["--port", "65536"],
        ["--port: 65536 is not a valid port; use 0 (any free one) to 65535"],
    ),
    "speed is a word": (
        ["--speed", "fast"],
        ["--speed: 'fast' is not a valid speed; use a number above 0, or 'instant'"],
    ),
    "speed 0": (["--speed", "0"], ["--speed: 0.0 is not a valid speed"]),
    "seed is a word": (["--seed", "x"], ["--seed", "'x' is not a valid integer"]),
    "key with a blank": (["--api-key", "a b"], ["--api-key: 'a b' cannot be sent in a header"]),
    "key twice": (["--api-key", "a", "--api-key", "a"], ["--api-key: the same key is given twice"]),
    "app without kind": (["--app", "a"], ["--app: 'a' is not KEY=KIND or KEY=FILE"]),
    "app without key": (["--app", "=chat"], ["--app: '=chat' is not KEY=KIND or KEY=FILE"]),
    "app of no kind": (["--app", "a=chatt"], ["--app: 'chatt' is neither a kind (workflow, chat,"]),
    "app without its second file": (
        ["--app", "a=export.yml+"],
        ["--app: 'export.yml+' names no file on one side of its +"],
    ),
    "app file missing": (["--app", "a=gone.yml"], ["gone.yml: the file: it cannot be read"]),
    "app with the default key": (
        ["--app", f"{DEFAULT_API_KEY}=chat"],
        ["--app: the key", "is given twice"],
    ),
    "empty secret": (["--secret-key", ""], ["--secret-key: an empty key signs nothing"]),
    "secret that is no text": (["--secret-key", "\udcff"], ["--secret-key: it is not UTF-8 text"]),
    "files url without scheme": (
        ["--files-url", "host"],
        ["--files-url: 'host' is not an http(s) address"],
    ),
    "spec missing": (["--spec", "gone.yaml"], ["gone.yaml: the file: it cannot be read"]),
    "spec is a folder": (["--spec", "."], [": the file: it cannot be read (is a directory)"]),
    "overlay missing": (["--overlay", "gone.yaml"], ["gone.yaml: the file: it cannot be read"]),
    "workflow missing": (["--workflow", "gone.yml"], ["gone.yml: the file: it cannot be read"]),
    "unknown host version": (
        ["--host-version", "9.9"],
        ["Dify 9.9 was not recorded; the nearest older one is 1.14.2; use one of: ", "0.6.4"],
    ),
    "report missing": (
        ["--contract-report", "gone.json"],
        ["gone.json: the file: it cannot be read", "give the path of a JSON file"],
    ),
    "report is a folder": (
        ["--contract-report", "."],
        [": the file: it cannot be read (is a directory)"],
    ),
    "unknown log format": (
        ["--log-format", "xml"],
        ["--log-format", "'xml' is not one of 'human', 'json'"],
    ),
    "certificate alone": (["--ssl-certfile", "c.pem"], ["--ssl-certfile: TLS needs both"]),
    "ready file is a folder": (
        ["--ready-file", "."],
        ["--ready-file: . cannot be written; name a file in a folder"],
    ),
    "ready file nowhere": (
        ["--ready-file", "gone/r.json"],
        ["--ready-file: gone/r.json cannot be written"],
    ),
    "unknown flag": (["--prot", "1"], ["No such option '--prot'", "--port"]),
    "config missing": (
        ["--config", "gone.toml"],
        ["gone.toml: the file: it cannot be read", "give the path of a TOML file"],
    ),
    "config is a folder": (["--config", "."], ["give the path of a TOML file"]),
    "an argument too many": (["extra"], ["Got unexpected extra argument (extra)"]),
}


@pytest.mark.parametrize(("args", "says"), BAD_FLAGS.values(), ids=BAD_FLAGS.keys())
def test_a_bad_flag_is_one_clear_line(run: Run, args: list[str], says: list[str]) -> None:
    """Exit 2 before anything listens, with the flag or the file and the mend."""
    assert_refused(run("serve", *args), *says)


BAD_TOML: dict[str, tuple[str | bytes, list[str]]] = {
    "unknown key": (
        "prot = 1\n",
        ["'prot' is not a known setting (did you mean 'port'?); known: ", "api-key", "workflow"],
    ),
    "unknown key like none": ("zzzzzz = 1\n", ["'zzzzzz' is not a known setting; known: "]),
    "a key of the fields": (
        "api_keys = []\n",
        ["'api_keys' is not a known setting (did you mean 'api-key'?)"],
    ),
    "config inside config": ('config = "other.toml"\n', ["'config' is not a known setting"]),
    "not TOML": ("port = \n", ["settings.toml: the file: cannot be read as TOML", "line 1"]),
    "not UTF-8": (b"host = '\xff'\n", ["settings.toml: byte 8: this is not UTF-8 text"]),
    "a table": ("[server]\nport = 1\n", ["'server' is not a known setting"]),
    "port as a word": ('port = "http"\n', ["--port", "'http' is not a valid integer"]),
    "port with a fraction": ("port = 6060.5\n", ["port", "6060.5"]),
    "port true": ("port = true\n", ["port", "True"]),
    "seed with a fraction": ("seed = 1.5\n", ["seed", "1.5"]),
    "speed true": ("speed = true\n", ["speed cannot be True; a number or a string is needed"]),
    "speed as a list": ("speed = [1]\n", ["speed", "[1]"]),
    "speed as a table": ("speed = {a = 1}\n", ["speed"]),
    "key as a number": ("api-key = 5\n", ["api-key"]),
    "keys of numbers": ("api-key = [5, [6]]\n", ["api-key"]),
    "host as a number": ("host = 5\n", ["host", "5"]),
    "app as a number": ("app = 5\n", ["app"]),
    "an app without kind": ('app = ["a"]\n', ["--app: 'a' is not KEY=KIND or KEY=FILE"]),
    "workflow as a number": ("workflow = 5\n", ["workflow", "5"]),
    "workflow as a list": ('workflow = ["a"]\n', ["workflow"]),
    "log format": ('log-format = "xml"\n', ["--log-format", "'xml' is not one of"]),
    "more digits than Python writes": (
        f"api-key = [0x{'F' * 5000}]\n",
        ["the form of a file of settings", "digits"],
    ),
    "a key of any length": (f"{'x' * 100_000} = 1\n", ["…", "workflow"]),
    "an app of any length": (f"app = {{a = '{'x' * 100_000}'}}\n", [" … ", "nor an app file"]),
    "a date": ("seed = 2024-04-24\n", ["seed", "2024-04-24"]),
}


@pytest.mark.parametrize(("toml", "says"), BAD_TOML.values(), ids=BAD_TOML.keys())
def test_a_bad_config_file_is_one_clear_line(run: Run, toml: str | bytes, says: list[str]) -> None:
    """Unknown keys are never passed over, and a value of the wrong kind is never bent into
    another.
    """
    assert_refused(run("serve", toml=toml), *says)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("PORT", "http", "'http' is not a valid integer"),
        ("SPEED", "fast", "'fast' is not a valid speed"),
        ("APP", "a", "'a' is not KEY=KIND"),
        ("CONFIG", "gone.toml", "give the path of a TOML file"),
    ],
)
def test_a_bad_variable_is_one_clear_line(run: Run, name: str, value: str, says: str) -> None:
    """Whether it comes from the environment or from .env."""
    assert_refused(run("serve", env={f"FAKE_SERVER_{name}": value}), says)
    assert_refused(run("serve", dotenv=f"FAKE_SERVER_{name}={value}\n"), says)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"FAKE_SERVER_PORT=\xff\n", "UTF-8"), (b"FAKE_SERVER_HOST=a\0b", "NUL")],
    ids=["not UTF-8", "a NUL"],
)
def test_a_dotenv_that_cannot_be_used_is_one_clear_line(
    run: Run, content: bytes, message: str
) -> None:
    assert_refused(run("serve", dotenv=content), ".env", message)


def test_values_of_dotenv_are_taken_as_written(run: Run) -> None:
    ended = run("serve", dotenv="A=1\nFAKE_SERVER_LOG_FORMAT=${A}${A}")
    assert_refused(ended, "'${A}${A}'")


@pytest.mark.parametrize("time", ["noon", "2024-13-01", "1914-05-01"])
def test_an_invalid_clock_is_one_clear_line(run: Run, time: str) -> None:
    assert_refused(run("serve", "--clock", time), "--clock", "2024-05-01T12:00:00Z")


# What it says of itself
# ------------------------------------------------------------------------------------------

SERVE = cli.commands["serve"]
SETTINGS = [parameter for parameter in SERVE.params if parameter.name != "debug"]


def test_every_setting_has_a_flag_and_every_flag_a_setting() -> None:
    """But for the one that names the config file, and the one that shows tracebacks."""
    assert {parameter.name for parameter in SERVE.params} - {"config", "debug"} == {
        field.name for field in fields(Settings)
    }


def test_the_defaults_of_flags_and_settings_are_the_same(run: Run) -> None:
    """A server without flags is one with ``Settings()``."""
    ended = run("serve")
    assert ended.served == Settings()


@pytest.mark.parametrize("option", SETTINGS, ids=lambda option: option.opts[0])
def test_help_tells_of_every_setting(run: Run, option: click.Parameter) -> None:
    """Its flag, its variable and a sentence."""
    ended = run("serve", "--help")
    assert ended.code == 0
    flag = option.opts[0]
    assert isinstance(option, click.Option)
    assert flag in ended.out
    assert f"FAKE_SERVER_{flag.removeprefix('--').replace('-', '_').upper()}" in " ".join(
        ended.out.split()
    )
    assert option.help or isinstance(option.type, click.Choice)


def test_help_names_the_commands(run: Run) -> None:
    """Each with its first sentence."""
    out = run("--help").out
    for name, command in cli.commands.items():
        assert re.search(
            rf"^  {name} +{re.escape((command.help or '').split('.')[0][:20])}", out, re.MULTILINE
        )


# Signing by hand
# ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        PATH,
        f"http://127.0.0.1:6060{PATH}",
        PATH.replace(".png", ".jpg"),
        PATH.upper().replace("FILES/TOOLS", "files/tools"),
    ],
)
@pytest.mark.parametrize(
    "secret", [[], ["--secret-key", "sk-mine"]], ids=["default key", "own key"]
)
def test_what_is_signed_verifies(run: Run, path: str, secret: list[str]) -> None:
    """The URL is printed alone, ready to be pasted; exit 0 both times."""
    signed = run("sign", path, *secret)
    assert (signed.code, signed.err) == (0, "")
    url = signed.out.strip()
    assert re.fullmatch(
        rf"{re.escape(path)}\?timestamp=\d+&nonce=[0-9a-f]{{32}}&sign=[\w-]{{43}}=", url
    )
    assert run("verify", url, *secret) == Ended(0, "good\n", "", None)


def signed(run: Run, *args: str) -> str:
    return run("sign", PATH, *args).out.strip()


def test_a_url_that_a_host_would_refuse_exits_with_1(run: Run) -> None:
    """With the reason: another key, a changed URL, age, a timestamp that is no number."""
    url = signed(run)
    now = int(time.time())
    cases = {
        url: ["--secret-key", "sk-other"],
        url.replace(FILE_ID, FILE_ID.replace("8f", "9f", 1)): [],
        url.replace("timestamp=", "timestamp=1"): [],
        url.replace("timestamp=", "timestamp=x"): [],
    }
    for changed, args in cases.items():
        ended = run("verify", changed, *args)
        assert (ended.code, ended.err) == (1, "")
        assert ended.out.startswith(
            "refused: the signature does not belong to this file, timestamp and nonce"
        )
    old = run("verify", signed(run, "--timestamp", str(now - 400)))
    assert old.code == 1
    assert re.fullmatch(r"refused: signed 40\d s ago, and a URL lives 300 s\n", old.out)


def test_a_url_of_the_future_is_good(run: Run) -> None:
    """As on the host."""
    assert run("verify", signed(run, "--timestamp", str(int(time.time()) + 10_000))).code == 0


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (
            ["verify", PATH],
            "the URL has no timestamp and no nonce and no sign; give the whole URL, in quotes",
        ),
        (
            ["verify", f"{PATH}?timestamp=1&nonce=2"],
            "the URL has no sign; give the whole URL, in quotes",
        ),
        (
            ["verify", "/files/tools/x.png?timestamp=1&nonce=2&sign=3"],
            "is not the URL of a file; it has to look like",
        ),
        (
            ["verify", "http://[x/files/tools/"],
            "is not the URL of a file; it has to look like /files/tools/<uuid>.png",
        ),
        (
            ["verify", f"{PATH}?timestamp=1&nonce=2&sign=3", "--host-version", "9"],
            "Dify 9 was not recorded",
        ),
        (
            ["verify", f"{PATH}?timestamp=1&nonce=2&sign=3", "--secret-key", ""],
            "an empty key signs nothing",
        ),
        (["sign", ""], "is not the URL of a file"),
        (["sign", "/v1/workflows/run"], "is not the URL of a file"),
        (["sign", "http://[x"], "is not the URL of a file"),
        (["sign", PATH, "--timestamp", "now"], "'now' is not a valid integer"),
        (["sign", PATH, "--secret-key", ""], "an empty key signs nothing"),
        (["sign", PATH, "--secret-key", "\udcff"], "not UTF-8 text"),
        (["sign"], "Missing argument 'PATH'"),
        (["verify"], "Missing argument 'URL'"),
        (["sing", PATH], "No such command 'sing'"),
    ],
)
def test_bad_arguments_exit_with_2(run: Run, args: list[str], says: str) -> None:
    """Told apart from a refusal by the exit code."""
    assert_refused(run(*args), says)


@pytest.mark.parametrize(
    "url",
    [
        "8faea5f8-b5c9-498a-b557-a39c474f0e59",
        "/files/tools/8faea5f8b5c9498ab557a39c474f0e59.png",
        "/files/tools/8faea5f8-b5c9-498a-b557-a39c474f0e59",
        "/files/tools/urn:uuid:8faea5f8-b5c9-498a-b557-a39c474f0e59.png",
    ],
)
@pytest.mark.parametrize("command", ["sign", "verify"])
def test_what_the_server_would_not_route_is_no_url(command: str, url: str) -> None:
    """FACTS 6.3: a UUID without dashes or a missing extension is a 404, whatever its signature."""
    result = CliRunner().invoke(cli, [command, url])
    assert result.exit_code == 2
    assert "is not the URL of a file; it has to look like /files/tools/<uuid>.png" in result.output


def test_a_misspelt_variable_is_a_warning(run: Run) -> None:
    ended = run("scenarios", env={"FAKE_SERVER_SPED": "1"})
    assert ended.code == 0
    assert ended.err == (
        "Warning: FAKE_SERVER_SPED is not a known setting (did you mean 'FAKE_SERVER_SPEED'?)\n"
    )


@pytest.mark.parametrize(
    ("flag", "fetches"), [("", True), ("--no-fetch-images", False), ("--no-fetch-pictures", False)]
)
def test_an_earlier_spelling_of_a_flag_is_a_hidden_alias(
    run: Run, monkeypatch: pytest.MonkeyPatch, flag: str, fetches: bool
) -> None:
    recorded: list[RecorderSettings] = []

    def record_forever(settings: RecorderSettings) -> int:
        recorded.append(settings)
        return 0

    monkeypatch.setattr("fake_server.server.record.record_forever", record_forever)
    arguments = ["record", "--upstream", "http://127.0.0.1:9", "--to", "to", *flag.split()]
    assert run(*arguments).code == 0
    assert [settings.fetch_images for settings in recorded] == [fetches]
    assert "pictures" not in run("record", "--help").out


@pytest.mark.parametrize("version", HOST_VERSIONS)
@pytest.mark.parametrize("form", ["3.2", "3.1"])
def test_spec_prints_the_merged_document(run: Run, version: str, form: str) -> None:
    """As YAML and as JSON the same, in either version of OpenAPI."""
    flags = ("spec", "--host-version", version, "--openapi", form)
    document = yaml.load(run(*flags).out, yaml.CSafeLoader)
    assert document == json.loads(run(*flags, "--json").out)
    assert document["openapi"].startswith(form)
    assert document["x-host"]["version"] == version


def test_spec_of_an_unknown_version_is_an_error(run: Run) -> None:
    ended = run("spec", "--host-version", "7.7")
    assert (ended.code, ended.out) == (2, "")
    assert "use one of: 1.14.2, " in ended.err
