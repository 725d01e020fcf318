"""What of a recorded text changes when it is told again, and that nothing else does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from dify_wire.exchange import Chunk, Recording, Request
from dify_wire.redaction.fields import user_of
from fake_server.replay.rewrite import (
    Changes,
    file_ids,
    is_stream,
    own_ids,
    rewritten,
    run_end,
    shift_s,
)
from fake_server.runs.signing import FileSigners
from tests.compared import normal, time_contradictions
from tests.each import each
from tests.recorded import SECRET_KEY
from tests.replay.folders import changed, recorded, with_text

TEXTS = [name for name, one in recorded().items() if one.chunks and not one.shortened]
RUNS = [name for name in TEXTS if run_end(recorded()[name].body, is_stream(recorded()[name]))]
STREAMS = [name for name in RUNS if is_stream(recorded()[name])]
WITH_FILES = [name for name in TEXTS if file_ids(recorded()[name].body)]
NOW = 1_900_000_000.25


def _nonces(recording: Recording) -> Iterator[str]:
    """The recorded nonces, each once, in their order."""
    return iter(dict.fromkeys(re.findall(r"&nonce=([0-9a-f]{32})", recording.body.decode())))


def _fresh_nonces() -> Iterator[str]:
    return (f"{number:032x}" for number in range(1, 1000))


def _changes(nonces: Iterator[str], **changes: Any) -> Changes:
    given: dict[str, Any] = {
        "shift_s": 0,
        "ids": {},
        "user": None,
        "origin": "",
        "own_origin": "http://here",
    }
    return Changes(
        nonce=lambda: next(nonces), signers=FileSigners(SECRET_KEY, 300), **{**given, **changes}
    )


def _joined(chunks: tuple[Chunk, ...]) -> bytes:
    return b"".join(chunk.data for chunk in chunks)


@each("name", TEXTS)
def test_without_a_change_every_byte_stays(name: str) -> None:
    """Its own secret and nonces give back the very recording: signatures are made as the host made
    them.
    """
    recording = recorded()[name]
    assert rewritten(recording.chunks, _changes(_nonces(recording))) == recording.chunks


@each("name", TEXTS)
def test_only_what_is_volatile_changes(name: str) -> None:
    """Later, with other ids and nonces, the text around them is byte-equal, and chunks are cut in
    the same places.
    """
    recording = recorded()[name]
    fresh = {
        one: f"{number:08x}-0000-4000-8000-000000000000"
        for number, one in enumerate(_ids(recording), 1)
    }
    emitted = rewritten(recording.chunks, _changes(_fresh_nonces(), shift_s=86_400, ids=fresh))
    assert normal(_joined(emitted).decode()) == normal(recording.body.decode())
    assert [chunk.at_s for chunk in emitted] == [chunk.at_s for chunk in recording.chunks]
    assert [len(chunk.data) for chunk in emitted] == [len(chunk.data) for chunk in recording.chunks]
    assert not set(re.findall("[0-9a-f-]{36}", _joined(emitted).decode())) & set(fresh)


def _ids(recording: Recording) -> list[str]:
    return own_ids(recording.body, recording.request)


@pytest.mark.parametrize("name", STREAMS)
def test_ids_of_run_task_nodes_and_files_are_its_own(name: str) -> None:
    """Those of the workflow, the tenant and the end user belong to the host, and stay."""
    body = recorded()[name].body.decode()
    fields = ("task_id", "workflow_run_id", "related_id")
    wanted = {one for field in fields for one in re.findall(f'"{field}": "(.*?)"', body)}
    wanted |= set(re.findall(r'"data": \{"id": "(.*?)"', body))
    assert set(_ids(recorded()[name])) == wanted
    constant = re.findall(
        r'"(?:workflow_id|tenant_id)": "(.*?)"|"created_by": \{"id": "(.*?)"', body
    )
    assert not {one for pair in constant for one in pair} & wanted


def test_a_file_that_was_sent_along_keeps_its_id() -> None:
    """It is the upload's: the client knows it from there."""
    file_id = "0a8a5b63-94cf-4bb0-8d3c-9f8b2b4f7a11"
    request = Request("POST", "/v1/workflows/run", (), f'{{"files": ["{file_id}"]}}'.encode())
    assert own_ids(f'{{"related_id": "{file_id}"}}'.encode(), request) == []
    assert own_ids(f'{{"related_id": "{file_id}"}}'.encode(), changed("stream_ok").request) == [
        file_id
    ]


@each("name", WITH_FILES)
def test_urls_are_signed_for_their_new_time(name: str) -> None:
    """As often with the same nonce as the host used one, and good under the secret of the
    server.
    """
    recording = recorded()[name]
    emitted = _joined(rewritten(recording.chunks, _changes(_fresh_nonces(), shift_s=1000))).decode()
    urls = re.findall(
        r"/files/tools/([0-9a-f-]{36})\.png\?timestamp=(\d+)&nonce=(\w+)&sign=([\w-]+=)", emitted
    )
    before = re.findall(r"timestamp=(\d+)&nonce=(\w+)", recording.body.decode())
    signer = FileSigners(SECRET_KEY, 300).tool_file
    assert len(urls) == len(before) > 0
    for (file_id, at, nonce, sign), (recorded_at, recorded_nonce) in zip(urls, before, strict=True):
        signer.verify(file_id, at, nonce, sign, float(at))
        assert int(at) == int(recorded_at) + 1000
        assert nonce != recorded_nonce
    assert _pattern([url[2] for url in urls]) == _pattern([nonce for _, nonce in before])


def _pattern(values: list[str]) -> list[int]:
    return [values.index(value) for value in values]


@pytest.mark.parametrize(
    ("url", "emitted"),
    [
        (
            "https://dify.example/files/tools/{id}.png?timestamp=1700000000&nonce={n}&sign={s}=",
            "http://here/files/tools/",
        ),
        (
            "http://a:80/base/files/{id}/image-preview?timestamp=1700000000&nonce={n}&sign={s}=",
            "http://here/files/",
        ),
        (
            r"\/files\/tools\/{id}.png?timestamp=1700000000\u0026nonce={n}\u0026sign={s}\u003d",
            r"ORIGIN\/files\/tools\/",
        ),
        (
            "/files/tools/{id}.png?timestamp=1700000000&amp;nonce={n}&amp;sign={s}%3D",
            "ORIGIN/files/tools/",
        ),
    ],
)
def test_urls_lead_here_however_they_are_written(url: str, emitted: str) -> None:
    """Relative ones with ``files_url`` before them, absolute ones to this server instead of the
    recorded one.
    """
    file_id = "0a8a5b63-94cf-4bb0-8d3c-9f8b2b4f7a11"
    text = '{"url": "' + url.format(id=file_id, t=1_700_000_000, n="ab" * 16, s="x" * 43) + '"}'
    changes = _changes(_fresh_nonces(), shift_s=5, origin="ORIGIN")
    output = _joined(rewritten((Chunk(0.0, text.encode()),), changes)).decode()
    sign = FileSigners(SECRET_KEY, 300)
    signer = sign.tool_file if "tools" in url else sign.uploaded_image
    good = signer.sign(file_id, "1700000005", f"{1:032x}")
    assert output.startswith('{"url": "' + emitted)
    assert f"sign={good[:43]}" in output
    assert text.rpartition("x")[2] == output.rpartition(good[:43])[2]
    assert file_ids(text.encode()) == ([file_id] if "tools" in url else [])


@pytest.mark.parametrize("caller", ["alg123", "bob", '"; drop', "用户", "a" * 200, r"back\slash"])
@pytest.mark.parametrize("known", ["user-0123abcd", "alg123"])
def test_the_caller_is_reported_as_the_user(caller: str, known: str) -> None:
    """In place of the pseudonym, or of the name that was kept, escaped as the host escapes it."""
    recording = with_text(
        recorded()["stream_ok"], lambda data: data.replace(b'"alg123"', f'"{known}"'.encode())
    )
    emitted = _joined(
        rewritten(recording.chunks, _changes(_nonces(recording), user=(known, caller)))
    ).decode()
    escaped = (
        caller.encode("ascii", "backslashreplace").decode() if not caller.isascii() else caller
    )
    escaped = escaped.replace("\\", "\\\\").replace('"', '\\"') if caller.isascii() else escaped
    assert (
        emitted.replace(f'"user": "{escaped}"', '"user": "alg123"')
        == recorded()["stream_ok"].body.decode()
    )


def test_a_kept_user_that_is_a_common_word_is_left_alone_elsewhere() -> None:
    """Only the fields that name the user are told anew: a user may be called as any key of the
    answer.
    """
    chunks = (Chunk(0.0, b'{"event": "data", "data": {"user": "data", "text": "data"}}'),)
    emitted = _joined(rewritten(chunks, _changes(_fresh_nonces(), user=("data", "me"))))
    assert emitted == b'{"event": "data", "data": {"user": "me", "text": "data"}}'


def test_a_url_that_is_cut_by_a_border_is_signed_all_the_same() -> None:
    recording = recorded()["block_ok_doc_example"]
    pieces = tuple(
        Chunk(float(at), recording.body[at : at + 7]) for at in range(0, len(recording.body), 7)
    )
    emitted = rewritten(pieces, _changes(_fresh_nonces(), shift_s=1000))
    assert _joined(emitted) == _joined(
        rewritten(recording.chunks, _changes(_fresh_nonces(), shift_s=1000))
    )
    assert len(emitted) == len(pieces)


# Times


@each("speed", [1.0, 10.0, None])
@each("name", RUNS)
def test_a_run_ends_when_its_replay_ends(name: str, speed: float | None) -> None:
    """Nothing of it lies more than half a second ahead of that, and all relations among its times
    are kept.
    """
    recording = recorded()[name]
    shift = shift_s(recording, NOW, speed)
    emitted = _joined(rewritten(recording.chunks, _changes(_fresh_nonces(), shift_s=shift)))
    assert time_contradictions(emitted.decode()) == []
    end = run_end(emitted, is_stream(recording))
    assert end is not None
    ends_at = NOW + (recording.chunks[-1].at_s / speed if speed else 0)
    assert -2 < end.data["finished_at"] - ends_at <= 0
    assert max(map(int, re.findall(rb'"created_at": (\d+)', emitted))) <= ends_at + 0.5


def test_the_host_s_clock_need_not_be_the_recorder_s() -> None:
    """An upload's time has no duration beside it; the host's own Date says what its clock
    showed.
    """
    recording = recorded()["upload_ok"]
    created = int(re.findall(rb'"created_at": (\d+)', recording.body)[0])
    for skew_s in (0, -100_000, 100_000):
        shift = shift_s(changed("upload_ok", sent_at=recording.sent_at + skew_s), NOW, None)
        assert abs(created + shift - NOW) < 2


def test_without_a_date_the_recorder_s_clock_counts() -> None:
    recording = changed("upload_ok", headers=())
    created = int(re.findall(rb'"created_at": (\d+)', recording.body)[0])
    assert abs(created + shift_s(recording, NOW, None) - NOW) < 3


_PART = b'--x\r\nContent-Disposition: form-data; name="user"\r\n\r\nme\r\n--x--'

# Users


@pytest.mark.parametrize(
    ("content_type", "target", "body", "user"),
    [
        ("application/json", "/", b'{"user": "me"}', "me"),
        ("application/json", "/", b'{"user": 5}', "5"),
        ("application/json", "/", b'{"user": ""}', None),
        ("application/json", "/", b"[]", None),
        ("application/json", "/?user=me", b"", "me"),
        ("application/json", "/", b"{", None),
        ("application/x-www-form-urlencoded", "/", b"a=b&user=m%20e", "m e"),
        (
            "multipart/form-data; boundary=x",
            "/",
            b'--x\r\nContent-Disposition: form-data; name="user"\r\n\r\nme\r\n--x--',
            "me",
        ),
        ("multipart/form-data; boundary=x", "/", b"--x--", None),
    ],
)
def test_the_user_is_found_where_the_host_looks_for_it(
    content_type: str, target: str, body: bytes, user: str | None
) -> None:
    request = Request("POST", target, (("Content-Type", content_type),), body)
    assert user_of(request) == user
