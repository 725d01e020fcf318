"""Secrets of twelve kinds, planted at random places in random encodings, are in nothing that is
written or shown.

Whether one is there is judged by a decoder of this file's own, which shares nothing with the one
under test.
"""

from __future__ import annotations

import base64
import html
import json
import re
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from contract.report.builder import ReportBuilder
from dify_wire.exchange import Chunk, Exchange, Recording, Request
from dify_wire.exchange import Chunk as SeenChunk
from dify_wire.recording.folder import RecordingWriter, read_folder
from dify_wire.redaction.exchange import RecordingRedactor
from dify_wire.redaction.rules import parse_rule
from dify_wire.redaction.text import TextRedactor

KINDS = (
    "known key",
    "secret key",
    "used key",
    "X-Api-Key",
    "api_key",
    "user",
    "cookie",
    "set-cookie",
    "signature",
    "nonce",
    "field of the request",
    "field of the response",
)
OF_THE_SETTINGS = ("known key", "secret key")
RULES = tuple(map(parse_rule, ("field:diary", "field:confession")))

_LETTERS = "abcdefghijkmnopqrstuvwxyzACDEFGHJKLMNPQRSTUVWXYZ23456789"
_plain = st.text(_LETTERS, min_size=16, max_size=24)
_odd = st.tuples(_plain, st.text('é中/+"& \\<', max_size=3), _plain).map("".join)
_free = {
    "user": _plain,
    "secret key": _odd,
    "field of the request": _odd,
    "field of the response": _odd,
}
_secrets = st.fixed_dictionaries({kind: _free.get(kind, _plain) for kind in KINDS})

# Encodings


def _escaped(data: bytes) -> bytes:
    units = data.decode().encode("utf-16-be")
    return b"".join(b"\\u" + units[at : at + 2].hex().encode() for at in range(0, len(units), 2))


def _base64(before: bytes) -> Callable[[bytes], bytes]:
    return lambda data: base64.b64encode(before + data + b" ")


CASES: tuple[Callable[[str], str], ...] = (str, str, str, str.upper, str.lower, str.swapcase)
TEXTUAL: dict[str, Callable[[bytes], bytes]] = {
    "raw": bytes,
    "JSON": lambda data: json.dumps(data.decode())[1:-1].encode(),
    "every character escaped": _escaped,
    "percent": lambda data: quote(data, safe="").encode(),
    "every byte percent": lambda data: b"".join(b"%%%02x" % byte for byte in data),
    "HTML": lambda data: html.escape(data.decode()).encode(),
    "every character HTML": lambda data: "".join(
        f"&#{ord(one)};" for one in data.decode()
    ).encode(),
    "base64": _base64(b""),
    "base64 after one": _base64(b"<"),
    "base64 after two": _base64(b"<<"),
    "base64 for URLs": lambda data: base64.urlsafe_b64encode(b"\xff\xfe\xfd" + data),
    "hexadecimal": lambda data: data.hex().encode(),
}
WIDE = {f"{coding}": coding for coding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")}
Way = tuple[Callable[[str], str], list[str]]
_ways = st.tuples(st.sampled_from(CASES), st.lists(st.sampled_from(sorted(TEXTUAL)), max_size=2))


def encoded(secret: str, way: Way) -> bytes:
    case, names = way
    data = case(secret).encode()
    for name in names:
        data = TEXTUAL[name](data) if not (name != "base64 for URLs" and _is_binary(data)) else data
    return data


def _is_binary(data: bytes) -> bool:
    return not data.isascii() and b"\xff" in data


# The decoder of the tests


def shows(data: bytes, secret: str, depth: int = 3) -> bool:
    """Whether ``secret`` can be read in ``data`` by whoever takes the trouble."""
    wanted = {secret.lower().encode(), secret.lower().encode().replace(b" ", b"+")}
    seen, layer = set[bytes](), {data}
    for _ in range(depth + 1):
        layer -= seen
        seen |= layer
        if any(
            want in one.decode("utf-8", "ignore").lower().encode()
            for one in layer
            for want in wanted
        ):
            return True
        layer = {deeper for one in layer for deeper in _decodings(one)}
    return False


def _decodings(data: bytes) -> list[bytes]:
    text = data.decode("utf-8", "surrogateescape")
    unicode = re.sub(r"\\u([0-9a-fA-F]{4})", lambda one: chr(int(one[1], 16)), text)
    found = [
        unquote_to_bytes(data),
        html.unescape(text).encode("utf-8", "surrogatepass" if "\ud800" in text else "ignore"),
        unicode.encode("utf-16", "surrogatepass")
        .decode("utf-16", "ignore")
        .encode("utf-8", "ignore"),
        re.sub(rb"\\(.)", rb"\1", data, flags=re.DOTALL),
        data.replace(b"\0", b""),
    ]
    for token in re.findall(rb"[A-Za-z0-9+/_-]{12,}", data):
        for at in range(4):
            bare = token[at:].replace(b"-", b"+").replace(b"_", b"/")
            bare = bare[: len(bare) - (len(bare) % 4 == 1)]
            found.append(base64.b64decode(bare + b"=" * (-len(bare) % 4)))
    for digits in re.findall(rb"[0-9a-fA-F]{16,}", data):
        found += [
            bytes.fromhex(digits[at : at + (len(digits) - at) // 2 * 2].decode()) for at in (0, 1)
        ]
    return [one for one in found if one != data]


# The property


def giving_away(secrets: dict[str, str], planted: list[bytes], cuts: list[int]) -> Recording:
    """An exchange in which each secret stands once where it is named, and ``planted`` anywhere."""
    echo = b" ".join(planted)
    ascii_echo = echo.decode("latin-1").replace("\r", " ").replace("\n", " ").replace("\0", " ")
    headers = (
        ("Authorization", f"Bearer {secrets['used key']}"),
        ("X-Api-Key", secrets["X-Api-Key"]),
        ("Cookie", f"a = {secrets['cookie']}"),
        ("X-Echo", ascii_echo),
    )
    query = f"api_key={secrets['api_key']}&sign={secrets['signature']}%3D&nonce={secrets['nonce']}"
    target = f"/v1/x?{query}"
    body = json.dumps(
        {"user": secrets["user"], "inputs": {"diary": secrets["field of the request"]}}
    ).encode()
    answer = (
        b'{"confession": %b, "echo": "' % json.dumps(secrets["field of the response"]).encode()
        + echo
        + b'"}'
    )
    borders = [0, *sorted(cut % len(answer) for cut in cuts), len(answer)]
    chunks = tuple(Chunk(0.1, answer[start:end]) for start, end in pairwise(borders) if end > start)
    return Recording(
        name="",
        app="main",
        note=ascii_echo,
        sent_at=1.0,
        host="http://127.0.0.1",
        host_version="",
        request=Request("POST", target, headers, body),
        status=200,
        reason=ascii_echo,
        headers=(
            ("Content-Type", "text/plain"),
            ("Set-Cookie", f"{secrets['set-cookie']}; Path=/"),
            ("X-Echo", ascii_echo),
        ),
        chunks=chunks,
        seconds=1.0,
    )


PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""Without shrinking, which would take minutes: the example is short enough to be read."""

_plants = st.lists(st.tuples(st.sampled_from(KINDS), _ways), min_size=1, max_size=6)


@settings(
    deadline=None, phases=PHASES, max_examples=12, suppress_health_check=[HealthCheck.too_slow]
)
@given(
    _secrets, _plants, st.sampled_from([None, *WIDE]), st.lists(st.integers(0, 10_000), max_size=5)
)
def test_no_planted_secret_is_in_a_recording(
    secrets: dict[str, str], plants: list[tuple[str, Way]], wide: str | None, cuts: list[int]
) -> None:
    planted = [encoded(secrets[kind], way) for kind, way in plants]
    if wide is not None:
        planted.append(secrets["used key"].encode(WIDE[wide]))
    redactor = RecordingRedactor({secrets["known key"]: "main"}, [secrets["secret key"]], RULES)
    with tempfile.TemporaryDirectory() as name:
        with RecordingWriter(Path(name), redactor) as writer:
            writer.write(giving_away(secrets, planted, cuts))
        (found,) = read_folder(Path(name))
        files = [path.read_bytes() for path in Path(name).rglob("*") if path.is_file()]
    heads = [value for _, value in (*found.request.headers, *found.headers)]
    texts = [found.request.target, found.note, found.reason, *heads]
    written = [
        *files,
        found.body,
        found.request.body,
        *(text.encode("latin-1", "replace") for text in texts),
    ]
    shown = {kind for kind in KINDS for data in written if shows(data, secrets[kind])}
    assert shown == set()


_OPEN = (*OF_THE_SETTINGS, "signature", "nonce")


@settings(
    deadline=None, phases=PHASES, max_examples=12, suppress_health_check=[HealthCheck.too_slow]
)
@given(
    _secrets, st.lists(st.tuples(st.sampled_from(OF_THE_SETTINGS), _ways), min_size=1, max_size=4)
)
def test_no_planted_secret_is_in_journal_log_or_report(
    secrets: dict[str, str], plants: list[tuple[str, Way]]
) -> None:
    redactor = TextRedactor([secrets[kind] for kind in OF_THE_SETTINGS])
    planted = [encoded(secrets[kind], way) for kind, way in plants]
    url = f"/files/1.png?nonce={secrets['nonce']}&sign={secrets['signature']}="
    text = " ".join(
        [url, json.dumps(url), quote(url), *(one.decode("utf-8", "replace") for one in planted)]
    )
    request = Request("POST", url, (("X-Echo", text),), text.encode())
    answer = Exchange(
        request, 200, (("Content-Type", "text/plain"),), (SeenChunk(0.1, text.encode()),)
    )
    shown = [
        redactor.text(text),
        json.dumps(redactor.value({"url": url, "all": [text], "sign": secrets["signature"]})),
        redactor.header("X-Echo", text),
        ReportBuilder(redactor).text(f"{answer.text} {answer.request.path}"),
    ]
    assert {kind for kind in _OPEN for one in shown if shows(one.encode(), secrets[kind])} == set()


def test_the_decoder_of_these_tests_finds_each_encoding() -> None:
    secret = 'abcdefghij中"/+ 0123456789'
    for name, encode in TEXTUAL.items():
        assert shows(b"<" + encode(secret.encode()) + b">", secret), name
    for coding in WIDE.values():
        assert shows("abcdefghij0123456789".encode(coding), "abcdefghij0123456789"), coding
