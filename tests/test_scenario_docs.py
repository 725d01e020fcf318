"""``docs/scenarios.md`` says what is: it is made of the code and of real captures."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from fake_server.cli import cli
from fake_server.scenarios.behaviour import Behaviour
from fake_server.scenarios.behaviours import BEHAVIOURS
from fake_server.scenarios.conditions import NAMES
from fake_server.scenarios.describe import description
from fake_server.scenarios.rules import SCHEMA
from fake_server.testing import FakeHost
from tests.each import each
from tests.pages.scenarios.capture import Capture, captured
from tests.pages.scenarios.examples import example
from tests.pages.scenarios.transcript import transcript
from tests.serving import ROOT

pytestmark = pytest.mark.server

PAGE_TEXT = (ROOT / "docs/scenarios.md").read_text("utf-8")


def test_an_example_is_one_of_its_behaviour() -> None:
    for name in BEHAVIOURS:
        assert name in re.split(r"[;,] ?", example(name).header)


def test_every_condition_is_explained() -> None:
    table = PAGE_TEXT[PAGE_TEXT.index("| condition |") : PAGE_TEXT.index("**Several rules**")]
    assert set(
        re.findall(r"`(\w+)`", "".join(re.findall(r"^\|(.*?)\|", table, re.MULTILINE)))
    ) == set(NAMES)


def test_no_secret_is_in_the_captures() -> None:
    captures = PAGE_TEXT[PAGE_TEXT.index("## Behaviours") :]
    assert "app-FakeHostKey" not in captures
    assert set(re.findall(r"(?:sign|nonce)=(.)", captures)) == {"…"}


@each("behaviour", BEHAVIOURS.values(), ids=lambda behaviour: behaviour.name)
def test_a_docstring_has_all_its_parts(behaviour: Behaviour) -> None:
    """And speaks of every parameter, unless its choices or its name say enough by standing in the
    table.
    """
    text = description(behaviour)
    assert text.headline
    assert text.does
    assert text.complaint.endswith((".", '"'))
    assert text.survive.endswith(".")


def _answers() -> list[tuple[str, Mapping[str, str]]]:
    """Each behaviour as it is, and with each value of each parameter that has choices."""
    return [
        (one.name, given)
        for one in BEHAVIOURS.values()
        for given in [
            {},
            *({name: value} for name, par in one.parameters.items() for value in par.choices or ()),
        ]
    ]


def test_pages_are_warned_of_just_the_responses_without_cors_headers() -> None:
    wrong = []
    with FakeHost() as fake:
        for name, given in _answers():
            url = _response(fake, "/v1/workflows/run")[1]["data"]["outputs"]["files"][0]["url"]
            path = (
                url
                if name in ("missing_blob", "corrupt_png", "huge_png", "expired_url")
                else "/v1/workflows/run"
            )
            scenario = "; ".join([name, *(f"{key}={value}" for key, value in given.items())])
            has_cors = _response(fake, path, scenario)[0]
            declared = BEHAVIOURS[name].without_cors
            without = declared is not None and declared.items() <= given.items()
            if has_cors is not None and has_cors == without:
                wrong.append(scenario)
    assert wrong == []


def _response(fake: FakeHost, path: str, scenario: str | None = None) -> tuple[bool | None, Any]:
    """Whether a page may read the response (None: there is none), and its JSON."""
    connection = http.client.HTTPConnection(urlsplit(fake.url).netloc, timeout=0.5)
    headers = {
        "Authorization": f"Bearer {fake.api_key}",
        "Content-Type": "application/json",
        "Origin": "http://page",
    }
    headers |= {"X-Fake-Scenario": scenario} if scenario else {}
    body = json.dumps({"inputs": {"prompt": "a cat"}, "response_mode": "blocking", "user": "u"})
    with contextlib.closing(connection):
        try:
            connection.request("GET" if path.startswith("/files") else "POST", path, body, headers)
            response = connection.getresponse()
            has_cors = response.headers["Access-Control-Allow-Origin"] is not None
            return has_cors, json.loads(response.read()) if scenario is None else None
        except OSError:
            return None, None


# Transcripts
# ---


def test_a_transcript_is_not_kinder_than_the_wire() -> None:
    """Bytes that are no text, half a chunk and the way the connection ended are all to be seen."""
    head = b"HTTP/1.1 200 OK\r\nserver: x\r\ntransfer-encoding: chunked\r\n\r\n"
    capture = Capture(((0.0, head + b"3\r\n\xe4\xb8\x80\r\n"), (2.5, b"9\r\n\xe4\xb8")), "reset")
    assert transcript(capture, ()).splitlines() == [
        "   0.00 s  HTTP/1.1 200 OK",
        "           transfer-encoding: chunked",
        "   0.00 s  [chunk of 3] 一",
        "   2.50 s  [chunk of 9, 2 of it] \\xe4\\xb8",
        "           the connection is reset",
    ]


def test_captures_of_ten_minutes_take_no_time_and_are_exact() -> None:
    capture = captured(example("gateway_timeout").capture)
    assert capture.pieces[0][0] == pytest.approx(100.0, abs=1e-6)


# The command
# ---


def invoke(*args: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, ["scenarios", *args])
    return result.exit_code, result.stdout, result.stderr


def test_command_lists_all_in_80_columns() -> None:
    code, out, _ = invoke()
    assert code == 0
    assert re.findall(r"^  (\w+)  ", out, re.MULTILINE) == list(BEHAVIOURS)
    assert max(map(len, out.splitlines())) <= 80


@each("name", BEHAVIOURS)
def test_command_tells_all_about_one(name: str) -> None:
    code, out, _ = invoke(name)
    behaviour = BEHAVIOURS[name]
    assert code == 0
    assert out.startswith(f"{name}\n")
    assert [line for line in out.splitlines() if len(line) > 80 and not line.startswith("  ")] == []
    assert set(re.findall(r"^  (\w+): ", out, re.MULTILINE)) == set(behaviour.parameters)
    for part in ("Complaint: ", "Survive: ", f"Acts on {behaviour.scope.value}."):
        assert part in out


def test_command_speaks_json_for_scripts() -> None:
    everything = json.loads(invoke("--json")[1])
    assert [one["name"] for one in everything] == list(BEHAVIOURS)
    slow = json.loads(invoke("slow", "--json")[1])
    assert slow == next(one for one in everything if one["name"] == "slow")
    assert slow["with"]["seconds"] == {"type": "number", "minimum": 0, "maximum": 1e9}


def test_command_prints_the_schema() -> None:
    assert invoke("--schema") == (0, SCHEMA.read_text("utf-8"), "")


def test_command_says_the_nearest_name() -> None:
    code, out, err = invoke("slwo")
    assert (code, out) == (2, "")
    assert err.startswith("Error: 'slwo' is not a known scenario (did you mean 'slow'?); known: ")
