"""What looks personal or secret is named, with the option that takes it out."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.cli import exit_code
from dify_wire.exchange import Recording, Request
from dify_wire.recording.folder import RecordingWriter
from dify_wire.redaction.exchange import RecordingRedactor
from dify_wire.redaction.rules import parse_rule
from dify_wire.redaction.suspicion import suspicions
from tests.recording.samples import JSON, recording, request

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"
FORM = (("Content-Type", "application/x-www-form-urlencoded"),)
PLAIN = Request("GET", "/v1/meta", (("Host", "127.0.0.1"),), b"")


def asking(body: Any, **values: Any) -> Recording:
    return recording(request=replace(request(body), headers=JSON), **values)


SUSPICIOUS = {
    "a field for mail": (asking({"inputs": {"email": "x at y"}}), "field:email"),
    "a field for phones": (asking({"inputs": {"phone": 4930123456}}), "field:phone"),
    "a field in Chinese": (asking({"inputs": {"手机号": "13800138000"}}), "field:手机号"),
    "a field for a token": (asking({"inputs": {"company_token": "abc"}}), "field:company_token"),
    "a mail address in a field": (asking({"inputs": {"to": "a.b@company.io"}}), "field:to"),
    "a phone number in a field": (asking({"inputs": {"to": "+49 30 1234567"}}), "field:to"),
    "a mail address in a prompt": (
        asking({"inputs": {"prompt": "write to a.b@company.io"}}),
        "text:",
    ),
    "JSON in a text": (asking({"inputs": {"x": json.dumps({"e_mail": "x"})}}), "field:e_mail"),
    "a header": (
        recording(request=replace(PLAIN, headers=(("X-Company-Token", "abc"),))),
        "header:X-Company-Token",
    ),
    "a header of the response": (
        recording(request=PLAIN, headers=(("X-Session", JWT),)),
        "header:X-Session",
    ),
    "a query": (recording(request=replace(PLAIN, target="/v1/meta?email=x%40y.io")), "field:email"),
    "a response": (
        recording(json.dumps({"access": JWT}).encode(), headers=JSON, request=PLAIN),
        "field:access",
    ),
    "a stream": (recording(b'data: {"data": {"email": "x"}}\n\n', request=PLAIN), "field:email"),
    "a form": (
        recording(
            request=replace(
                PLAIN,
                headers=(("Content-Type", "application/x-www-form-urlencoded"),),
                body=b"mobile=1",
            )
        ),
        "field:mobile",
    ),
    "the host": (recording(request=PLAIN, host="https://dify.corp.internal/x"), "text:dify"),
}
HARMLESS = {
    "nothing of anybody": recording(
        b'{"total_tokens": 5, "design": "modern"}', headers=JSON, request=PLAIN
    ),
    "an empty field": asking({"inputs": {"email": "", "phone": None}, "user": "user-1f0e3dad"}),
    "what is taken out": asking({"inputs": {"email": "redacted", "api_key": "{{key:main}}"}}),
    "CORS": recording(request=PLAIN, headers=(("Access-Control-Allow-Credentials", "true"),)),
    "a loopback address": recording(request=PLAIN, host="http://127.0.0.1:6060"),
}


@pytest.mark.parametrize("name", SUSPICIOUS)
def test_what_looks_personal_is_named_and_its_option_takes_it_out(name: str) -> None:
    exchange, rule = SUSPICIOUS[name]
    (one,) = {found.option: found for found in suspicions(exchange)}.values()
    flag, *options = shlex.split(one.option)
    assert flag == "--redact"
    assert options[0].startswith(rule)
    redaction = RecordingRedactor(rules=[parse_rule(options[0])]).redaction(exchange)
    assert list(suspicions(redaction.head(exchange))) == []


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_harmless_is_not_named(name: str) -> None:
    assert list(suspicions(HARMLESS[name])) == []


def test_a_writer_keeps_one_suspicion_for_each_option(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path, RecordingRedactor()) as writer:
        writer.write(asking({"inputs": {"email": "x"}}))
        writer.write(asking({"inputs": {"email": "y"}}))
    assert list(writer.suspicions) == ["--redact field:email"]


# The command


def written(folder: Path, exchange: Recording) -> Path:
    with RecordingWriter(folder) as writer:
        return writer.write(exchange)


def test_check_of_a_clean_folder_is_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, HARMLESS["nothing of anybody"])
    assert exit_code(["recordings", "check", str(tmp_path)]) == 0
    assert (
        capsys.readouterr().out
        == "1 recording, 0 places look personal or secret, 0 cannot be read\n"
    )


def test_check_names_file_place_and_option_and_is_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, SUSPICIOUS["a field for mail"][0])
    (tmp_path / "notes.txt").write_text("a@b.io")
    assert exit_code(["recordings", "check", str(path), str(tmp_path / "notes.txt"), "--json"]) == 1
    values = json.loads(capsys.readouterr().out)
    assert values == {
        "file": str(path),
        "place": "request /inputs/email",
        "looks_like": "something personal",
        "option": "--redact field:email",
    }


def test_check_of_secrets_that_were_never_taken_out_is_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(
        tmp_path,
        recording(request=replace(request(), headers=(*request().headers, ("Cookie", "a=b")))),
    )
    assert exit_code(["recordings", "check", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "header Authorization looks like a secret" in out
    assert "header Cookie looks like a cookie" in out
    assert "request /user looks like a user" in out


def test_check_of_what_cannot_be_read_is_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, SUSPICIOUS["a field for mail"][0])
    path.write_bytes(path.read_bytes()[:-5])
    assert exit_code(["recordings", "check", str(tmp_path), str(tmp_path / "missing")]) == 2
    assert "2 cannot be read" in capsys.readouterr().out


# Long texts

_LIKE = {
    "a mail address": r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}",
    "a secret": r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"
    r"|\b(?:sk|pk|rk|ghp|gho|glpat|xox[abp])[-_][A-Za-z0-9_-]{16,}",
}
_PIECES = ("eyJ", "abcdefgh", "-", "_", ".", "@", "io", "sk-", "é", "%", "9", " ")


@given(text=st.lists(st.sampled_from(_PIECES), max_size=12).map("".join))
def test_what_is_found_is_what_a_plain_search_finds(text: str) -> None:
    found = {one.like for one in suspicions(asking({"inputs": {"prompt": text}}))}
    assert found == {like for like, pattern in _LIKE.items() if re.search(pattern, text)}


@pytest.mark.parametrize("unit", ["e", "0.", "eyJ-", "eyJ-.", "a@", "sk-", f"{'a' * 64}@", "+1"])
def test_a_long_text_is_searched_in_linear_time(unit: str) -> None:
    """In quadratic time this would not end today."""
    text = (unit * (1 << 20))[: 1 << 20]
    assert len([*suspicions(asking({"inputs": {"prompt": text}}))]) <= 1
