"""Files of scenarios: where they are named, and every mistake, an error before anything listens."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from dify_wire.yaml_file import load_yaml
from fake_server.cli import main
from fake_server.scenarios.rules import SCHEMA
from fake_server.settings import Settings, SettingsError
from tests.each import each


@dataclass(frozen=True, slots=True)
class Ended:
    """How ``serve`` ended; ``bound`` are the settings of a server that was about to listen."""

    code: int
    err: str
    bound: list[Settings]


Serve = Callable[..., Ended]


@pytest.fixture
def serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Serve:
    """Runs ``fake-server serve`` in an empty folder up to where it would listen."""
    monkeypatch.chdir(tmp_path)

    def run(*args: str, **env: str) -> Ended:
        bound: list[Settings] = []

        def bind(settings: Settings) -> None:
            bound.append(settings)
            raise SettingsError("port", "this test listens nowhere")

        with monkeypatch.context() as patch:
            patch.setattr("fake_server.server.run.bind", bind)
            patch.setattr(sys, "argv", ["fake-server", "serve", *args])
            for name, value in env.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                main()
        return Ended(int(ended.value.code or 0), capsys.readouterr().err, bound)

    return run


TOP = "line 1, column 1: a mapping is needed at the top"

# the file, and the error; the errors of rules are in tests/scenarios
WRONG: dict[str, tuple[str, str]] = {
    "unknown top key": (
        "# mine\nscenarios: []\nscenarioz: []\n",
        "line 3, scenarioz: 'scenarioz' is not a known key (did you mean 'scenarios'?)",
    ),
    "a mapping, not a list": (
        "scenarios: {name: slow}\n",
        "line 1, scenarios: expected a list of rules, such as - name: slow, not a mapping",
    ),
    "no scenarios": ("{}\n", "line 1, scenarios: this key is missing; add it"),
    "a list at the top": ("- name: slow\n", TOP),
    "empty": ("", TOP),
    "not YAML": ("scenarios: [\n", "line 2, column 1: "),
    "a key twice": (
        "scenarios:\n  - name: slow\n    name: stopped\n",
        "line 3, column 5: the key 'name' is here twice; take one out",
    ),
    "a rule that is a word": (
        "scenarios:\n  - slow\n",
        "line 2, scenarios[0]: expected a mapping of names to values, not 'slow'",
    ),
    "no name": (
        "scenarios:\n  - name: slow\n  - with: {seconds: 3}\n",
        "line 3, scenarios[1].name: this key is missing; add it",
    ),
    "an unknown name": (
        "scenarios:\n  - name: slow\n  - times: 3\n    name: rate_limit\n",
        "line 4, scenarios[1].name: 'rate_limit' is not a known scenario (did you mean 'rate_limit",
    ),
    "an unknown parameter": (
        "scenarios:\n  - name: slow\n    with:\n      node: tool\n      second: 3\n",
        "line 5, scenarios[0].with.second: 'second' is not a known parameter of slow",
    ),
    "a parameter where there is none": (
        "scenarios:\n  - name: no_ping\n    with: {every_s: 3}\n",
        "line 3, scenarios[0].with.every_s: 'every_s' is not a known parameter of no_ping; none",
    ),
    "a number out of range": (
        "scenarios:\n  - name: http_error\n    with:\n      status: 99\n",
        "line 4, scenarios[0].with.status: expected a whole number from 200 to 599, not 99",
    ),
    "not a number": (
        "scenarios:\n  - name: slow\n    with: {seconds: .nan}\n",
        "line 3, scenarios[0].with.seconds: expected a number from 0 to 1000000000, not nan",
    ),
    "none of the choices": (
        "scenarios:\n  - name: http_error\n    with:\n      body: htm\n",
        "line 4, scenarios[0].with.body: 'htm' is not a known value of body (did you mean 'html'?)",
    ),
    "an unknown node": (
        "scenarios:\n  - name: node_failed\n    with:\n      node: toool\n",
        "line 4, scenarios[0].with.node: 'toool' is not a known node (id, title or type) (did you",
    ),
    "not an address": (
        "scenarios:\n  - name: absolute_url\n    with:\n      base: ftp://files\n",
        "line 4, scenarios[0].with.base: 'ftp://files' is not a valid base address",
    ),
    "an unknown operation": (
        "scenarios:\n  - name: slow_body\n    when: {operation: getToolFil}\n",
        "line 3, scenarios[0].when.operation: 'getToolFil' is not a known operation (did you mean",
    ),
    "an operation on which it cannot act": (
        "scenarios:\n  - name: slow\n    when: {operation: getToolFile}\n",
        "line 3, scenarios[0].when.operation: slow cannot act on getToolFile; it acts on: runWork",
    ),
    "contains and matches": (
        "scenarios:\n  - name: slow\n    when:\n      prompt: {contains: a, matches: b}\n",
        "line 4, scenarios[0].when.prompt: expected a string, {contains: text} or {matches: regex}",
    ),
    "a bad regular expression": (
        "scenarios:\n  - name: slow\n    when:\n      user: {matches: '(a'}\n",
        "line 4, scenarios[0].when.user.matches: this is not a valid regular expression: missing )",
    ),
    "no times at all": (
        "scenarios:\n  - name: slow\n    times: 0\n",
        "line 3, scenarios[0].times: expected a whole number of at least 1, not 0",
    ),
    "a contradiction": (
        "scenarios:\n  - name: slow\n  - name: http_error\n  - name: rate_limited\n",
        "line 4, scenarios[2]: http_error (rule 2) and rate_limited (rule 3) contradict each other",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_file_is_an_error_with_its_line_before_anything_listens(
    serve: Serve, wrong: str
) -> None:
    text, says = WRONG[wrong]
    Path("rules.yml").write_text(text)
    ended = serve("--scenarios", "rules.yml")
    assert (ended.code, ended.bound) == (2, [])
    assert ended.err.startswith(f"Error: rules.yml: {says}")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"scenarios: \xff\n", "byte 11: this is not UTF-8 text; save the file as UTF-8"),
        (None, "the file: it cannot be read (is a directory); give the path of a YAML file"),
    ],
    ids=["not UTF-8", "a folder"],
)
def test_what_is_not_a_text_file_is_an_error(
    serve: Serve, content: bytes | None, says: str
) -> None:
    path = Path("rules.yml")
    path.mkdir() if content is None else path.write_bytes(content)
    ended = serve("--scenarios", "rules.yml")
    assert (ended.code, ended.bound, ended.err) == (2, [], f"Error: rules.yml: {says}\n")


def test_a_missing_file_is_an_error(serve: Serve) -> None:
    ended = serve("--scenarios", "rules.yml")
    assert (ended.code, ended.bound) == (2, [])
    assert ended.err == (
        "Error: rules.yml: the file: it cannot be read (no such file or directory); "
        "give the path of a YAML file\n"
    )


def test_flag_environment_and_toml_name_the_file(serve: Serve) -> None:
    Path("rules.yml").write_text(
        "scenarios:\n  - name: slow\n    with: {node: tool}\n    times: 2\n"
    )
    Path("fake.toml").write_text('scenarios = "rules.yml"\n')
    for ended in (
        serve("--scenarios", "rules.yml"),
        serve(FAKE_SERVER_SCENARIOS="rules.yml"),
        serve("--config", "fake.toml"),
    ):
        assert [settings.scenarios for settings in ended.bound] == [Path("rules.yml")], ended.err


# The schema
# ---


@pytest.fixture(scope="module")
def schema() -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(json.loads(SCHEMA.read_text("utf-8")))


GOOD: list[dict[str, Any]] = [
    {"name": "slow"},
    {"name": "slow", "with": {"node": "tool", "seconds": 2}, "times": 3},
    {
        "name": "http_error",
        "with": {"status": 404, "body": "html", "message": "no"},
        "when": {"operation": "getInfo"},
    },
    {"name": "cut_stream", "with": {"mid_frame": True}, "when": {"call": 2, "mode": "streaming"}},
    {
        "name": "expired_url",
        "when": {
            "operation": "getToolFile",
            "probability": 0.5,
            "seed": 3,
            "header": {"x-a": {"matches": "b+"}},
        },
    },
    {"name": "no_ping", "when": {"prompt": {"contains": "cat"}, "model": "x", "user": "me"}},
]


def test_the_schema_takes_what_the_fake_takes(
    serve: Serve, schema: jsonschema_rs.Draft202012Validator
) -> None:
    for rule in GOOD:
        Path("rules.yml").write_text(json.dumps({"scenarios": [rule]}))
        assert schema.is_valid({"scenarios": [rule]}), rule
        assert len(serve("--scenarios", "rules.yml").bound) == 1, rule


NOT_IN_THE_SCHEMA = {
    "an unknown node",  # the app file has the nodes
    "not an address",
    "a bad regular expression",
    "a contradiction",
    # errors of the YAML reader
    "a list at the top",
    "empty",
    "not YAML",
    "a key twice",
}


@each("wrong", [name for name in WRONG if name not in NOT_IN_THE_SCHEMA])
def test_the_schema_rejects_what_the_fake_rejects(
    tmp_path: Path, schema: jsonschema_rs.Draft202012Validator, wrong: str
) -> None:
    path = tmp_path / "rules.yml"
    path.write_text(WRONG[wrong][0])
    assert not schema.is_valid(load_yaml(path))
