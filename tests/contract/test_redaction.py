"""No secret in any report, whatever form a host gives it back in."""

from __future__ import annotations

import html
import json
import socket
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from contract.cli import exit_code, session
from contract.errors import error, expect_error
from contract.pydantic_text import missing, pydantic_text
from contract.result import Failed, expect_equal
from contract.target import Target
from dify_wire.exchange import Chunk, Recording, Request
from dify_wire.profile import Basis, profile_of
from dify_wire.redaction.replacement import REDACTED
from dify_wire.redaction.text import TextRedactor
from tests.contract import samples
from tests.contract.hosts import dify_at_first, host

pytestmark = pytest.mark.server

KEY = "app-SampleKey0123456789abcde"
SECRET = 'sk/9+gut "ö\\中&=x'
CHAT_KEY = "chat-key-of-nobody"
SIGN = "Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm8="
NONCE = "0123456789abcdef0123456789abcdef"
COOKIE = "s3ss10n-of-somebody"
UNTOLD = "app-ThisOneNobodyToldUs12345"
FILE_SECRET = "sk-9+gut=x/secret"
PLANTED = (KEY, CHAT_KEY, FILE_SECRET, SIGN, NONCE, COOKIE, UNTOLD)
URL = f"/files/tools/1.png?timestamp=1713939240&nonce={NONCE}&sign={SIGN}"


def forms(secret: str) -> list[str]:
    """``secret`` as hosts, languages and reports write it."""
    return [
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        json.dumps(json.dumps(secret))[3:-3],
        quote(secret, safe=""),
        quote(quote(secret, safe=""), safe=""),
        quote(secret, safe="").replace("%2F", "%2f"),
        quote_plus(secret),
        "".join(f"%{byte:02x}" for byte in secret.encode()),
        html.escape(secret),
        repr(secret)[1:-1],
        ascii(secret)[1:-1],
        "".join(f"\\u{ord(character):04X}" for character in secret),
    ]


@pytest.mark.parametrize("secret", [KEY, SECRET, CHAT_KEY])
def test_every_form_of_a_secret_goes(secret: str) -> None:
    redactor = TextRedactor([secret])
    for form in forms(secret):
        assert redactor.text(f"<{form}>") == f"<{REDACTED}>"


@pytest.mark.parametrize("kept", range(4, len(SECRET)))
def test_secret_cut_short_goes_too(kept: int) -> None:
    assert (
        TextRedactor([SECRET]).text(f"got {SECRET[:kept]}… (900 characters)")
        == f"got {REDACTED}… (900 characters)"
    )


@pytest.mark.parametrize(
    "url",
    [
        URL,
        quote(URL, safe=""),
        URL.replace("&", "\\u0026").replace("=", "\\u003d"),
        html.escape(URL),
        json.dumps([URL]),
    ],
)
def test_signature_and_nonce_go_whoever_made_them(url: str) -> None:
    response = TextRedactor().text(url)
    assert "1713939240" in response
    assert SIGN[:-1] not in response
    assert NONCE not in response
    assert response.count(REDACTED) == 2


def test_headers_that_carry_nothing_else_are_redacted_whole() -> None:
    redactor = TextRedactor()
    assert redactor.header("AUTHORIZATION", f"Bearer {CHAT_KEY}") == f"Bearer {REDACTED}"
    assert redactor.header("Authorization", CHAT_KEY) == REDACTED
    assert redactor.header("Authorization", "") == ""
    assert redactor.header("Cookie", f"a={COOKIE}; b={COOKIE}") == REDACTED
    assert redactor.header("Set-Cookie", f"a={COOKIE}; Path=/") == f"{REDACTED}; Path=/"
    cleared = "remember_token=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/"
    assert redactor.header("Set-Cookie", cleared) == cleared


def test_what_is_no_secret_stays() -> None:
    related = "1f0e3dad-9990-4f5a-8b0b-1b0b1b0b1b0b"
    text = f'{{"code": "unauthorized", "user": "alg123", "related_id": "{related}"}} app-short'
    assert TextRedactor([KEY]).text(text) == text


def test_no_report_of_a_host_that_gives_everything_back_has_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It puts all it was sent and all it knows into status lines, headers, JSON, streams, pictures
    and pages.
    """
    checks = {
        **samples.EVERY_END,
        **samples.checks(samples.check(echo_in_a_stream), samples.check(echo_in_a_picture)),
    }
    monkeypatch.setattr(session, "CHECKS", checks)
    paths = {name: tmp_path / name for name in ("junit", "json", "html")}
    reports = [argument for name, path in paths.items() for argument in (f"--{name}", str(path))]
    capabilities = ["--api-key", KEY, "--secret-key", FILE_SECRET, "--app", f"{CHAT_KEY}=chat"]
    with host(dify_at_first(tell_everything)) as url:
        assert exit_code(["run", "--base-url", url, *capabilities, *reports]) == 1
    output = capsys.readouterr()
    written = {name: path.read_text() for name, path in paths.items()}
    for name, text in {**written, "out": output.out, "err": output.err}.items():
        assert name == "err" or REDACTED in text
        for secret in PLANTED:
            for form in (*forms(secret), secret[:20]):
                assert form not in text, f"{form} in {name}"


EVERYTHING = " ".join(
    [
        UNTOLD,
        *(form for secret in (KEY, CHAT_KEY, FILE_SECRET, SIGN, NONCE) for form in forms(secret)),
        URL,
    ]
)


def tell_everything(connection: socket.socket, request: bytes) -> None:
    kinds = {b"/stream": "text/event-stream", b"/picture": "image/png"}
    kind = next(
        (kind for path, kind in kinds.items() if path in request.split(b" ")[1]), "application/json"
    )
    response = json.dumps({"url": URL, "all": EVERYTHING, "request": request.decode("latin-1")})
    body = f"data: {response}\n\nnonce={NONCE}&{EVERYTHING}".encode()
    head = (
        f"HTTP/1.1 418 NO {KEY}\r\nContent-Type: {kind}\r\nSet-Cookie: s={COOKIE}; Path=/\r\n"
        f"X-Key: {KEY} {CHAT_KEY}\r\n"
        f"Location: {URL}\r\nAuthorization: Bearer {KEY}\r\nX-Version: {KEY}\r\n"
    )
    connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


def echo_in_a_stream(target: Target) -> None:
    """A stream tells it."""
    response = target.send(target.get_request(f"/stream?key={KEY}&nonce={NONCE}"))
    expect_equal(response.text, "nothing", "text", response, why=response.text)


def echo_in_a_picture(target: Target) -> None:
    """A picture tells it."""
    response = target.send(target.get_request(URL))
    expect_equal(response.status, 200, response.text, response)


def test_a_redacted_recording_may_show_another_input_than_it_sent() -> None:
    """pydantic cuts what it shows, so that no secret is found in it; a live host gets no leeway."""
    profile = profile_of("1.14.2")
    shown, sent = ({"timestamp": "1713938972", "sign": sign * 40} for sign in "ab")
    text = pydantic_text("ToolFileQuery", [missing("nonce", shown)])
    refused = profile.errors["value_error"].filled(message=text)
    exchange = Recording(
        Request("GET", "/files/tools/x.png"),
        status=400,
        headers=(("Content-Type", "application/json"),),
        chunks=(Chunk(0.0, json.dumps(refused).encode()),),
        name="missing_nonce",
        host="",
        redacted=("keys",),
    )
    expected = error(
        "query_parameter_missing", missing("nonce", sent), model="ToolFileQuery", field="nonce"
    )
    expect_error(exchange, expected, Basis(given="1.14.2"))
    with pytest.raises(Failed):
        expect_error(replace(exchange, redacted=()), expected, Basis(given="1.14.2"))
