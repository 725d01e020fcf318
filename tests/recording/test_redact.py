"""No secret in any written file, in whatever encoding a host gives it back, and nothing else
changed.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
import zlib
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from dify_wire.exchange import Chunk, Recording, Request
from dify_wire.recording.folder import RecordingWriter, read_folder, read_recording
from dify_wire.redaction.exchange import RecordingRedactor
from dify_wire.redaction.replacement import KEY as KEY_PSEUDONYM
from dify_wire.redaction.replacement import USER as USER_PSEUDONYM
from dify_wire.redaction.rules import RuleError, parse_rule
from tests.recording.samples import HOST, JSON, KEY, STREAM, cut, recording, request

SIGN = "Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm8="
NONCE = "0123456789abcdef0123456789abcdef"
USER = "alice@example.com"
COOKIE = "s3ss10n-of-somebody"
SECRET = 'sk/9+gut "ö\\中&=x'
TENANT = "tenant-of-the-team"
EMAIL = "bob.b@example.org"
UNKNOWN_KEY = "app-ThisOneNobodyToldUs12345"
PLANTED = (KEY, SIGN[:-1], NONCE, USER, COOKIE, SECRET, TENANT, EMAIL, UNKNOWN_KEY)
URL = f"/files/tools/1.png?timestamp=1713939240&nonce={NONCE}&sign={SIGN}"
RULES = tuple(map(parse_rule, ("header:X-Tenant", "field:email", "text:order-[0-9]+")))


def redactor(**fields: object) -> RecordingRedactor:
    return RecordingRedactor({KEY: "main"}, [SECRET], RULES, salt=b"of the tests", **fields)  # type: ignore[arg-type]


def redacted(exchange: Recording, **fields: object) -> Recording:
    return redactor(**fields).redaction(exchange).head(exchange)


def forms(secret: str) -> dict[str, str]:
    """``secret`` as hosts, languages and files write it."""
    return {
        "raw": secret,
        "JSON": json.dumps(secret)[1:-1],
        "JSON in JSON": json.dumps(json.dumps(secret))[3:-3],
        "all escaped": "".join(f"\\u{ord(character):04x}" for character in secret),
        "percent": quote(secret, safe=""),
        "percent twice": quote(quote(secret, safe=""), safe=""),
        "HTML": html.escape(secret),
        "base64": base64.b64encode(secret.encode()).decode(),
        "base64 after one sign": base64.b64encode(b"<" + secret.encode() + b" ").decode(),
        "base64 after two signs": base64.b64encode(b"<<" + secret.encode() + b" ").decode(),
        "base64 for URLs": base64.urlsafe_b64encode(b"\xff\xfe\xfd" + secret.encode()).decode(),
    }


def telling(body: bytes = b"") -> Recording:
    """An exchange whose head gives every planted secret away, with ``body`` as its answer."""
    headers = (
        ("Host", "127.0.0.1:6060"),
        ("Authorization", f"Bearer {KEY}"),
        ("Cookie", f"theme=dark-and-quiet; session={COOKIE}"),
        ("X-Tenant", TENANT),
        ("Content-Type", "application/json"),
    )
    fields = json.dumps({"inputs": {"email": EMAIL}, "user": USER}).encode()
    sent = Request("POST", f"/v1/x?next={quote(URL)}", headers, fields)
    return recording(body, headers=STREAM, request=sent)


def everything_given_back() -> bytes:
    """Every planted secret in every form, one frame each."""
    frames = [
        f"data: <{name} {form}>\n\n" for secret in PLANTED for name, form in forms(secret).items()
    ]
    return (
        "".join(frames) + f"data: {json.dumps({'url': URL})}\n\n" + f"data: {quote(URL)}\n\n"
    ).encode()


def leaks(folder: Path) -> list[str]:
    """Where in the files of ``folder``, their names included, a planted secret stands in some
    form.
    """
    found = []
    for path in folder.rglob("*"):
        text = path.name + (path.read_text(encoding="utf-8") if path.is_file() else "")
        found += [
            f"{path.name}: {name} {secret}"
            for secret in PLANTED
            for name, form in forms(secret).items()
            if form in text
        ]
    return found


# Nothing stays


def test_the_search_for_leaks_finds_them(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path) as writer:
        writer.write(telling(everything_given_back()))
    assert len(leaks(tmp_path)) > len(PLANTED) * 5


@pytest.mark.parametrize("piece", [1, 7, 64, 1 << 20])
def test_no_planted_secret_is_in_any_written_file(tmp_path: Path, piece: int) -> None:
    """However the body was cut into chunks; in the readable file, and in a side file of what is no
    text.
    """
    body = everything_given_back()
    pieces = [body[start : start + piece] for start in range(0, len(body), piece)]
    with RecordingWriter(tmp_path, redactor()) as writer:
        writer.write(
            replace(
                telling(),
                chunks=tuple(Chunk(number / 100, data) for number, data in enumerate(pieces)),
            )
        )
        writer.write(
            replace(
                telling(b"\x00" + body),
                name="binary",
                note=KEY,
                reason=SECRET,
                host=f"{HOST}/{KEY}",
            )
        )
    assert leaks(tmp_path) == []
    assert len(read_folder(tmp_path)) == 2


def test_no_planted_secret_is_in_a_body_too_long_for_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Secrets stand on every border of the parts in which it is read."""
    frame = everything_given_back()
    monkeypatch.setattr("dify_wire.recording.bodies.IN_MEMORY", 4 * len(frame))
    monkeypatch.setattr("dify_wire.redaction.exchange._WINDOW", 4 * len(frame))
    monkeypatch.setattr("dify_wire.redaction.exchange._OVERLAP", len(frame) // 2)
    with RecordingWriter(tmp_path, redactor()) as writer:
        answer = writer.spool()
        data = frame * 10
        for at in range(0, len(data), 61):
            answer.add(at / 1000, data[at : at + 61])
        assert not answer.in_memory
        writer.write(telling(), answer)
        answer.discard()
    assert leaks(tmp_path) == []
    (read,) = read_folder(tmp_path)
    assert read.body == redacted(telling(frame)).body * 10


def test_a_compressed_body_is_searched(tmp_path: Path) -> None:
    """What came with the first chunk still comes with it; the headers speak of what is there."""
    plain = b'{"a": 1, "key": "' + KEY.encode() + b'"}'
    packer = zlib.compressobj(wbits=31)
    first = packer.compress(plain[:9]) + packer.flush(zlib.Z_SYNC_FLUSH)
    rest = packer.compress(plain[9:]) + packer.flush()
    headers = (*JSON, ("Content-Encoding", "gzip"), ("Content-Length", str(len(first + rest))))
    with RecordingWriter(tmp_path, redactor()) as writer:
        found = read_recording(writer.write(recording(first, rest, headers=headers)))
    assert [chunk.data for chunk in found.chunks] == [b'{"a": 1, ', b'"key": "{{key:main}}"}']
    assert found.headers == (*JSON, ("Content-Length", str(len(found.body))))
    assert "encoding" in found.redacted


def test_compressed_request_is_compared_as_it_was_recorded() -> None:
    body = gzip.compress(json.dumps({"user": USER}).encode(), mtime=0)
    headers = (("Content-Encoding", "gzip"), ("Content-Length", str(len(body))))
    sent = redactor().request(request(body, headers=headers), "main")
    assert re.fullmatch(rb'\{"user": "user-[0-9a-f]{8}"\}', sent.body)
    assert sent.headers == (("Content-Length", str(len(sent.body))),)


def test_an_answer_to_head_announces_a_coding_and_has_no_body() -> None:
    exchange = recording(headers=(("Content-Encoding", "br"),), request=request(method="HEAD"))
    assert redacted(exchange).chunks == ()


def test_a_connection_that_broke_inside_of_a_secret_shows_no_part_of_it() -> None:
    found = redacted(
        recording(f"data: {USER[:9]}".encode(), request=request({"user": USER}), ended="cut")
    )
    assert found.body == b"data: redacted"


# What stands in its place


def test_pseudonyms_have_the_form_of_what_they_replace() -> None:
    found = redacted(telling(f"data: {json.dumps({'url': URL, 'user': USER})}\n\n".encode()))
    assert found.request.header("Authorization") == "Bearer {{key:main}}"
    assert found.request.header("Cookie") == "redacted"
    fields = json.loads(found.body.removeprefix(b"data: "))
    assert re.fullmatch(
        r"/files/tools/1\.png\?timestamp=1713939240&nonce=[0-9a-f]{32}&sign=[\w-]{43}=",
        fields["url"],
    )
    assert USER_PSEUDONYM.fullmatch(fields["user"])
    assert json.loads(found.request.body) == {
        "inputs": {"email": "redacted"},
        "user": fields["user"],
    }
    assert quote(fields["url"]) in found.request.target
    assert found.redacted == (
        "keys",
        "signatures",
        "cookies",
        "user",
        "header:X-Tenant",
        "field:email",
    )


def test_equal_stays_equal_for_one_recorder_and_for_no_other() -> None:
    exchange = telling(URL.encode())
    one = redactor()
    assert one.redaction(exchange).head(exchange) == one.redaction(exchange).head(exchange)
    other = RecordingRedactor({KEY: "main"}, [SECRET], RULES)
    assert (
        other.redaction(exchange).head(exchange).body != one.redaction(exchange).head(exchange).body
    )


def test_unknown_keys_stay_distinct() -> None:
    """The one that is used carries the exchange's label; a key that only stands somewhere has
    none.
    """
    sent = request(headers=(("Authorization", f"Bearer {UNKNOWN_KEY}"),))
    found = redacted(recording(b"app-AnotherOneThatIsNotTold1", app=None, request=sent))
    first, second = KEY_PSEUDONYM.findall(
        found.request.header("Authorization", "") + found.body.decode()
    )
    assert first != second
    assert (
        redacted(recording(app="shop", request=sent)).request.header("Authorization")
        == "Bearer {{key:shop}}"
    )


@pytest.mark.parametrize(
    ("sent", "written"),
    [
        (f"bearer  {KEY}", "bearer  {{key:main}}"),
        (KEY, "{{key:main}}"),
        ("Bearer", "Bearer"),
        ("Bearer ", "Bearer "),
        ("", ""),
        (f"Token {KEY}", "Token {{key:main}}"),
    ],
)
def test_what_is_odd_about_an_authorization_stays(sent: str, written: str) -> None:
    found = redacted(recording(request=request(headers=(("Authorization", sent),))))
    assert found.request.header("Authorization") == written


def test_a_cookie_that_is_deleted_and_attributes_stay() -> None:
    cleared = "remember_token=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/"
    found = redacted(
        recording(headers=(("Set-Cookie", cleared), ("Set-Cookie", "a=bcdefgh; Path=/; HttpOnly")))
    )
    assert found.headers == (("Set-Cookie", cleared), ("Set-Cookie", "redacted; Path=/; HttpOnly"))
    assert found.redacted == ("keys", "cookies", "user")


def test_a_short_user_is_taken_out_where_it_is_named_and_nowhere_else() -> None:
    body = b'{"user": "bo", "note": "bo bo", "data": {"user": "bo"}}'
    found = redacted(recording(body, headers=JSON, request=request({"user": "bo"})))
    assert re.fullmatch(
        rb'\{"user": "(user-\w{8})", "note": "bo bo", "data": \{"user": "\1"\}\}', found.body
    )


def test_a_user_called_like_a_field_does_not_break_the_answer() -> None:
    found = redacted(
        recording(b'{"prompt": "prompt"}', headers=JSON, request=request({"user": "prompt"}))
    )
    assert re.fullmatch(rb'\{"prompt": "user-\w{8}"\}', found.body)


def test_users_of_other_requests_are_found_in_logs_and_records_of_runs() -> None:
    inputs = {"prompt": "p", "sys.user_id": USER}
    named = {"name": USER, "external_user_id": USER, "session_id": USER}
    for body in (
        {"created_by_end_user": {"type": "service-api", "session_id": USER}},
        {"status": "succeeded", "inputs": json.dumps(inputs)},
        {"status": "succeeded", "inputs": inputs},
        named,
    ):
        exchange = recording(json.dumps(body).encode(), headers=JSON)
        assert USER.encode() not in redacted(exchange).body
        assert USER.encode() in redacted(exchange, keep_user=True).body


def test_users_in_queries_and_forms_are_found() -> None:
    form = b'--x\r\nContent-Disposition: form-data; name="user"\r\n\r\nalice\r\n--x--\r\n'
    headers = (("Content-Type", "multipart/form-data; boundary=x"),)
    sent = redacted(
        recording(request=request(form, target="/v1/files/upload?user=alice&a=1", headers=headers))
    ).request
    (user,) = set(re.findall(r"user-[0-9a-f]{8}", sent.target + sent.body.decode()))
    assert sent.target == f"/v1/files/upload?user={user}&a=1"
    assert sent.body == form.replace(b"alice", user.encode())


@pytest.mark.parametrize("name", ["api_key", "secret_key", "authorization"])
@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/v1/parameters?a=1&{name}={key}", b""),
        ("/v1/files/upload", b"user=bo&{name}={key}"),
        (
            "/v1/files/upload",
            b'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{key}\r\n--x--\r\n',
        ),
        ("/v1/workflows/run", b'{{"inputs": {{"{name}": "{key}"}}}}'),
    ],
    ids=["query", "form", "multipart form", "JSON"],
)
def test_a_key_in_a_field_is_taken_out_there_and_wherever_else_it_stands(
    name: str, target: str, body: bytes
) -> None:
    key = "sk-of-the-host-0123456789"
    sent = request(
        body.decode().format(name=name, key=key).encode() or b"{}",
        target.format(name=name, key=key),
    )
    found = redacted(recording(f"{key} and {quote(key)}".encode(), request=sent))
    kept = found.request.target.encode() + found.request.body + found.body
    assert key.encode() not in kept
    assert found.body == b"{{key:main}} and {{key:main}}"


def test_a_key_is_taken_out_to_its_end_whatever_is_escaped_in_it() -> None:
    assert (
        redacted(recording(rb'{"api_key": "sk\/one\u002ftwo"}', headers=JSON)).body
        == b'{"api_key": "{{key:main}}"}'
    )


def test_a_short_value_of_a_field_for_keys_is_no_word_to_look_for() -> None:
    found = redacted(recording(b'{"api_key": "string", "type": "string"}', headers=JSON))
    assert found.body == b'{"api_key": "{{key:main}}", "type": "string"}'


@pytest.mark.parametrize(
    "coding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
def test_a_body_of_wide_characters_stays_one(coding: str) -> None:
    text = json.dumps(
        {"user": "alice.wonder", "prompt": "王 of alice.wonder", "n": 1}, ensure_ascii=False
    )
    values = json.loads(redacted(recording(text.encode(coding))).body)
    assert values["prompt"] == f"王 of {values['user']}"
    assert "alice" not in values["user"]


def test_a_user_that_is_a_number_goes_wherever_it_stands() -> None:
    assert (
        redacted(recording(b'{"user": 13800138000, "by": "13800138000"}')).body
        == b'{"user": 1, "by": "1"}'
    )


@pytest.mark.parametrize(
    ("sent", "given_back"),
    [
        ("Basic YWxpY2U6YS1zM2NyZXQtcGFzcw==", b"a-s3cret-pass"),
        ("ApiKey a-s3cret-pass", b"a-s3cret-pass"),
        ('Digest username="alice", response="0123456789abcdef"', b"0123456789abcdef"),
    ],
)
def test_no_part_of_credentials_is_given_back(sent: str, given_back: bytes) -> None:
    assert (
        given_back
        not in redacted(recording(given_back, headers=(*STREAM, ("Authorization", sent)))).body
    )


@pytest.mark.parametrize("form", ["&#%d", "&#x%x", "\\%03o", "\\u{%x}"])
def test_a_user_is_found_in_escapes_of_html_c_and_javascript(form: str) -> None:
    escaped = "".join(form % ord(letter) for letter in "alice.wonder").encode()
    found = redacted(recording(b'{"user": "alice.wonder", "by": "' + escaped + b'"}')).body
    values = json.loads(found)
    assert values["by"] == values["user"] != "alice.wonder"


def test_the_user_is_kept_where_that_is_wished() -> None:
    found = redacted(recording(USER.encode(), request=request({"user": USER})), keep_user=True)
    assert (found.body, found.request.body) == (USER.encode(), json.dumps({"user": USER}).encode())
    assert found.redacted == ("keys",)


def test_lengths_follow_what_is_written() -> None:
    body = f'{{"key": "{KEY}"}}'.encode()
    headers = (*JSON, ("Content-Length", str(len(body))))
    found = redacted(recording(body, headers=headers, request=request({"user": USER})))
    assert found.header("Content-Length") == str(len(found.body)) != str(len(body))
    assert found.request.header("Content-Length") == str(len(found.request.body))


def test_a_length_that_was_wrong_stays_wrong() -> None:
    found = redacted(recording(KEY.encode(), headers=(("Content-Length", "999"),), ended="cut"))
    assert found.header("Content-Length") == "999"


def test_borders_between_chunks_stay_where_they_were() -> None:
    """Beside a secret at the same bytes, inside of one in its pseudonym."""
    data = f"data: before {NONCE} after\n\ndata: next\n\n".encode()
    sent = request(target=f"/x?nonce={NONCE}")
    found = redacted(recording(request=sent, chunks=cut(data, 7, 20, len(data) - 39)))
    assert [len(chunk.data) for chunk in found.chunks] == [7, 20, len(data) - 39, 12]
    assert found.chunks[-1].data == b"data: next\n\n"
    assert [chunk.at_s for chunk in found.chunks] == [0.0, 0.1, 0.2, 0.3]


def test_sizes_of_a_request_in_chunks_follow() -> None:
    body = json.dumps({"a": 1, "user": USER}).encode()
    sent = redacted(recording(request=request(body, chunk_sizes=(9, 20, len(body) - 29)))).request
    assert sum(sent.chunk_sizes) == len(sent.body) < len(body)
    assert sent.chunk_sizes[0] == 9


def test_what_is_no_secret_stays() -> None:
    run_id = b"1f0e3dad-9990-4f5a-8b0b-1b0b1b0b1b0b"
    plain = b'data: {"event": "x", "id": "%b", "t": "design=modern app-short"}\n\n' % run_id
    sent = Request("GET", "/v1/parameters", (("Host", "h"), ("X-Env", "PRODUCTION")), b"")
    exchange = recording(plain, request=sent)
    assert redacted(exchange) == exchange


# Rules of a team


TAKEN_OUT = [
    ("field:email", '{"email": "a@b.c", "x": 1}', '{"email": "redacted", "x": 1}'),
    ("field:phone", '{"phone": 49301234}', '{"phone": 0}'),
    (
        "field:who",
        '{"who": {"who": "ann", "age": [7, "x"]}}',
        '{"who": {"who": "redacted", "age": [0, "redacted"]}}',
    ),
    ("field:who", r'{"s": "{\"who\": \"ann\"}"}', r'{"s": "{\"who\": \"redacted\"}"}'),
    (
        "field:/a/who",
        '{"a": {"who": "ann"}, "who": "bea"}',
        '{"a": {"who": "redacted"}, "who": "bea"}',
    ),
    (
        "field:/l/1/who",
        '{"l": [{"who": "ann"}, {"who": 5}]}',
        '{"l": [{"who": "ann"}, {"who": 0}]}',
    ),
    ("field:/a~1b/who", '{"a/b": {"who": "ann"}}', '{"a/b": {"who": "redacted"}}'),
    (
        "field:/a/who",
        'data: {"a": {"who": "x"}}\n\ndata: {}\n\n',
        'data: {"a": {"who": "redacted"}}\n\ndata: {}\n\n',
    ),
    ("field:who", '{"who": "an', '{"who": "redacted'),
    ("field:who", "{'who': 'ann', 'x': 1}", "{'who': 'redacted', 'x': 1}"),
    ("text:order-[0-9]+", "my order-4711 and order-x", "my redacted and order-x"),
]


@pytest.mark.parametrize(("rule", "body", "written"), TAKEN_OUT)
def test_a_rule_takes_out_what_it_names(rule: str, body: str, written: str) -> None:
    taking = RecordingRedactor(rules=[parse_rule(rule)])
    exchange = recording(body.encode(), request=Request("GET", "/", (), b""))
    found = taking.redaction(exchange).head(exchange)
    assert found.body.decode() == written
    assert found.redacted == ((rule,) if written != body else ())


@pytest.mark.parametrize(
    "form", ["raw", "JSON", "JSON in JSON", "percent", "percent twice", "HTML"]
)
def test_a_long_text_is_found_again_in_every_form_that_is_written_as_a_whole(form: str) -> None:
    text = 'a long "confession", 很长 & true; ' * 300
    taking = RecordingRedactor(rules=[parse_rule("field:diary")])
    exchange = recording(f"<{forms(text)[form]}>".encode(), request=request({"diary": text}))
    assert taking.redaction(exchange).head(exchange).body == b"<redacted>"


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("feild:email", "did you mean field:email"),
        ("email", "is not a valid rule"),
        ("field:", "does not say which field"),
        ("header:X Y", "is not a header name"),
        ("text:[", "is not a valid regular expression"),
        ("text:x*", "everywhere"),
        ("field:/list/0", "end with the name of a field"),
    ],
)
def test_invalid_rule_is_an_error(rule: str, words: str) -> None:
    with pytest.raises(RuleError, match=re.escape(words)):
        parse_rule(rule)


@pytest.mark.slow
@pytest.mark.parametrize(
    "hostile",
    [
        "\\" * 100_000,
        "%25" * 30_000,
        '"user":{' * 12_000,
        'name="user"\r\n\r\n' * 6_000,
        "&#0000000" * 12_000,
        "sign=" * 20_000,
        "app-" + "a" * 24 + " nonce=" + "ab12" * 20_000,
        "".join(f"&nonce={number * 0x9E3779B97F4A7C15 % 2**128:032x}" for number in range(2_000)),
        "a" * 100_000,
        ",".join(f'{{"user":"user-number-{number:06}"}}' for number in range(4_000)),
        "content-disposition: form-data; name=user\r\n" * 5_000,
        "'user': '" * 6_000,
        '{"sign": "' + "0123456789abcdef.-_" * 6_000 + '"}',
    ],
)
def test_no_body_is_too_odd_to_be_searched(hostile: str) -> None:
    """Time grows with the length of a body, not with its square; the suite's own limit is the
    watch.
    """
    found = redacted(recording(hostile.encode()))
    assert found.body
