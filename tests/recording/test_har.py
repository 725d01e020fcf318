"""HTTP Archives: ours come back as they were; a browser's are read for what they say."""

from __future__ import annotations

import base64
import datetime
import gzip
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contract.cli import exit_code
from dify_wire.exchange import Chunk, Recording, Shortened
from dify_wire.recording import har_file
from dify_wire.recording.folder import RecordingWriter, read_folder
from dify_wire.recording.har_file import to_har
from dify_wire.recording.har_import import Imported, read_har
from dify_wire.text_file import RecordingError
from tests.recording.samples import KEY, recording, request
from tests.recording.test_folder import EXCHANGES
from tests.serving import ROOT

HOST = ROOT / "recordings/dify-0.6.4"


def there_and_back(path: Path, *recordings: Recording) -> Imported:
    path.write_text(json.dumps(to_har(recordings)), encoding="utf-8")
    return read_har(path)


@pytest.mark.parametrize("name", EXCHANGES)
def test_a_recording_comes_back_as_it_was(tmp_path: Path, name: str) -> None:
    assert there_and_back(tmp_path / "x.har", EXCHANGES[name]) == Imported(
        (EXCHANGES[name],), (), (0,)
    )


@pytest.mark.slow
def test_every_recorded_exchange_of_the_host_comes_back(tmp_path: Path) -> None:
    recorded = tuple(read_folder(HOST))
    assert there_and_back(tmp_path / "x.har", *recorded).recordings == recorded


def test_an_archive_has_what_har_asks_for() -> None:
    """The fields without which a reader of HAR 1.2 refuses a file."""
    wanted_request = request(target="/v1/parameters?user=a&x=%20", method="GET")
    (entry,) = to_har([recording(b"\x89PNG", request=wanted_request, seconds=2)])["log"]["entries"]
    assert datetime.datetime.fromisoformat(entry["startedDateTime"]).timestamp() == 1_713_938_972.25
    assert entry["time"] == pytest.approx(2000)
    assert sum(entry["timings"].values()) == pytest.approx(entry["time"])
    assert entry["request"]["url"] == "http://127.0.0.1:6060/v1/parameters?user=a&x=%20"
    assert entry["request"]["queryString"] == [
        {"name": "user", "value": "a"},
        {"name": "x", "value": " "},
    ]
    assert entry["response"]["content"] == {
        "size": 4,
        "mimeType": "text/event-stream; charset=utf-8",
        "text": base64.b64encode(b"\x89PNG").decode(),
        "encoding": "base64",
    }
    for part in ("request", "response"):
        assert {"httpVersion", "cookies", "headers", "headersSize", "bodySize"} <= entry[
            part
        ].keys()
    assert {"statusText", "redirectURL"} <= entry["response"].keys()


# Archives of other programs


def pairs(*headers: tuple[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in headers]


def browsers_entry(**changes: Any) -> dict[str, Any]:
    """What a browser exports of a run over HTTP/2, its answer packed on the way."""
    entry: dict[str, Any] = {
        "startedDateTime": "2024-04-24T06:09:32.250+00:00",
        "time": 812.5,
        "request": {
            "method": "POST",
            "url": "https://dify.example/v1/workflows/run?x=1#top",
            "httpVersion": "http/2.0",
            "headers": pairs(
                (":authority", "dify.example"),
                (":path", "/v1"),
                ("content-type", "application/json"),
            ),
            "postData": {"mimeType": "application/json", "text": '{"user": "ä"}'},
            "bodySize": 14,
        },
        "response": {
            "status": 200,
            "statusText": "",
            "httpVersion": "http/2.0",
            "headers": pairs(
                ("content-encoding", "br"), ("content-length", "5"), ("x-version", "0.6.4")
            ),
            "content": {"size": 11, "mimeType": "application/json", "text": '{"a": "ok"}'},
            "_transferSize": 99,
        },
        "timings": {"wait": 800, "receive": 12.5},
        "_initiator": {"type": "script"},
    }
    for place, value in changes.items():
        *way, last = place.split("__")
        owner = entry
        for step in way:
            owner = owner[step]
        if value is None:
            del owner[last]
        else:
            owner[last] = value
    return entry


def imported(path: Path, *entries: Any) -> Imported:
    path.write_text(
        json.dumps({"log": {"version": "1.2", "entries": list(entries)}}), encoding="utf-8"
    )
    return read_har(path)


def one(path: Path, **changes: Any) -> Recording:
    (found,) = imported(path / "x.har", browsers_entry(**changes)).recordings
    return found


def test_a_browser_s_exchange_is_read(tmp_path: Path) -> None:
    """Pseudo headers go, the host stays; the body is as it was unpacked, and the headers follow
    it.
    """
    found = one(tmp_path)
    assert (found.host, found.host_version, found.sent_at) == (
        "https://dify.example",
        "0.6.4",
        1_713_938_972.25,
    )
    wanted_request = found.request
    assert (wanted_request.method, wanted_request.target, wanted_request.http_version) == (
        "POST",
        "/v1/workflows/run?x=1",
        "2",
    )
    assert wanted_request.headers == (
        ("Host", "dify.example"),
        ("content-type", "application/json"),
    )
    assert wanted_request.body == '{"user": "ä"}'.encode()
    assert found.headers == (("content-length", "11"), ("x-version", "0.6.4"))
    assert found.chunks == (Chunk(0.8125, b'{"a": "ok"}'),)
    assert (found.seconds, found.app, found.ended) == (0.8125, None, "complete")


def test_what_a_browser_made_can_be_written_and_read(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "to") as writer:
        writer.write(one(tmp_path))
    assert read_folder(tmp_path / "to")[0].body == b'{"a": "ok"}'


def test_a_body_that_was_left_out_is_reported(tmp_path: Path) -> None:
    assert one(tmp_path, response__content={"size": 11}).shortened == Shortened(11)
    assert one(tmp_path, request__postData=None).request.shortened == Shortened(14)
    empty = pairs(("content-length", "0"))
    assert one(tmp_path, response__content={"size": 0}, response__headers=empty).shortened is None


@pytest.mark.parametrize(
    ("changes", "size"),
    [
        ({"response__content": {"size": 11}}, 11),
        ({"response__content": {"size": 11, "text": ""}}, 11),
        ({"response__content": {"size": 0}, "response__bodySize": 7}, 7),
        (
            {"response__content": {"size": 0}, "response__headers": pairs(("Content-Length", "5"))},
            5,
        ),
        ({"response__content": {"size": -1, "mimeType": "x-unknown"}, "response__headers": []}, 0),
        ({"response__content": None, "response__headers": []}, 0),
    ],
)
def test_answer_whose_body_the_archive_does_not_have_is_never_an_empty_one(
    tmp_path: Path, changes: dict[str, Any], size: int
) -> None:
    found = imported(tmp_path / "x.har", browsers_entry(**changes))
    assert [made.shortened for made in found.recordings] == [Shortened(size)]
    (left,) = found.left_out
    assert left.place == "log.entries[0].response.content"
    assert (
        left.reason
        == "the archive does not have the response's body; the exchange is taken without it"
    )


@pytest.mark.parametrize("changes", [{"request__method": "HEAD"}, {"response__status": 204}])
def test_answer_that_has_no_body_misses_none(tmp_path: Path, changes: dict[str, Any]) -> None:
    found = imported(tmp_path / "x.har", browsers_entry(response__content={"size": 0}, **changes))
    assert (found.recordings[0].shortened, found.left_out) == (None, ())


def test_a_picture_and_a_form_are_read(tmp_path: Path) -> None:
    content = {
        "size": 4,
        "mimeType": "image/png",
        "text": base64.b64encode(b"\x89PNG").decode(),
        "encoding": "base64",
    }
    form = {
        "mimeType": "application/x-www-form-urlencoded",
        "params": pairs(("a", "1 2"), ("b", "ä")),
    }
    found = one(tmp_path, response__content=content, request__postData=form)
    assert (found.body, found.request.body) == (b"\x89PNG", b"a=1+2&b=%C3%A4")


def test_headers_of_one_name_that_were_joined_are_taken_apart(tmp_path: Path) -> None:
    found = one(tmp_path, response__headers=pairs(("set-cookie", "a=1\nb=2")))
    assert found.headers == (("set-cookie", "a=1"), ("set-cookie", "b=2"))


def test_a_header_that_was_decoded_as_utf_8_is_its_bytes_again(tmp_path: Path) -> None:
    found = one(
        tmp_path, response__headers=[{"name": "content-disposition", "value": 'filename="猫"'}]
    )
    assert found.header("content-disposition", "").encode("latin-1").decode() == 'filename="猫"'


def test_what_is_no_exchange_is_left_out_and_reported(tmp_path: Path) -> None:
    blocked = browsers_entry(response__status=0, response___error="net::ERR_ABORTED")
    kept_by_the_page = browsers_entry(request__url="data:image/png;base64,AAAA")
    found = imported(
        tmp_path / "x.har",
        blocked,
        browsers_entry(),
        browsers_entry(response__status=101),
        kept_by_the_page,
    )
    assert len(found.recordings) == 1
    assert tuple(map(str, found.left_out)) == (
        "log.entries[0]: the request got no response (net::ERR_ABORTED)",
        "log.entries[2]: the connection became another protocol's",
        "log.entries[3]: nothing was sent to a host (data:)",
    )


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"request": None}, "request"),
        ({"request__url": None}, "request.url"),
        ({"request__url": "http://[::1"}, "request.url"),
        ({"request__headers": {}}, "request.headers"),
        ({"request__headers": [{"name": "a"}]}, "request.headers[0].value"),
        ({"request__headers": [{"name": "a", "value": "b\r\nc"}]}, "request.headers[1]"),
        ({"request__method": "G T"}, "request.method"),
        ({"request__url": "https://h/a b"}, "request.target"),
        ({"response__headers": [{"name": "", "value": ""}]}, "response.headers[0]"),
        ({"response__status": "200"}, "response.status"),
        ({"response__status": 1000}, "response.status"),
        ({"startedDateTime": "yesterday"}, "startedDateTime"),
        ({"response__content": {"text": "?", "encoding": "base64"}}, "response.content.text"),
        ({"response___chunks": [[0.1, 5]]}, "response._chunks"),
        ({"response___chunks": [[0.1, "11"]]}, "response._chunks[0][1]"),
        ({"response__headers": [{"name": "a", "value": [{}]}]}, "response.headers[0].value[0]"),
        ({"request__method": "\ud800"}, "request.method"),
        ({"request__url": "https://h/\udfff"}, "request.url"),
        ({"startedDateTime": "9999-12-31T23:59:59-23:00", "time": 10**400}, "time"),
        ({"time": float("nan")}, "time"),
        ({"_recording": {"ended": "soon"}}, "_recording.ended"),
        ({"_recording": {"recorded_at": -1}}, "_recording.recorded_at"),
        ({"_recording": {"app": "\0"}}, "_recording.app"),
        (
            {"_recording": {"app": "main"}, "response__headers": pairs(("Content-Length", "5"))},
            "response.headers",
        ),
        ({"_recording": {"redacted": [1]}}, "_recording.redacted[0]"),
        ({"_recording": {"chunk_sizes": [1]}}, "_recording.chunk_sizes"),
        (
            {"_recording": {"shortened_from": {"bytes": 1, "sha256": "x"}}},
            "_recording.shortened_from.sha256",
        ),
        ({"response___chunks": [[2, 5], [1, 6]]}, "response._chunks"),
    ],
)
def test_a_damaged_entry_is_left_out_with_its_place(
    tmp_path: Path, changes: dict[str, Any], place: str
) -> None:
    """And the others are taken."""
    found = imported(
        tmp_path / "x.har", browsers_entry(), browsers_entry(**changes), browsers_entry()
    )
    assert found.numbers == (0, 2)
    assert [(left.entry, left.place) for left in found.left_out] == [(1, f"log.entries[1].{place}")]


@pytest.mark.parametrize(
    "entry", [None, 5, [], {}, {"response": None}, {"response": 1}, {"response": {}}]
)
def test_what_is_no_entry_is_left_out(tmp_path: Path, entry: Any) -> None:
    found = imported(tmp_path / "x.har", entry, browsers_entry())
    assert (found.numbers, len(found.left_out)) == ((1,), 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"response__status": -1}, "no response (blocked or given up)"),
        (
            {"response__status": -1, "response___failureText": "net::ERR_ABORTED"},
            "no response (net::ERR_ABORTED)",
        ),
        (
            {"response___failureText": "net::ERR_ABORTED", "response__content": {"size": -1}},
            "connection failed",
        ),
        ({"response": None}, "it has no response"),
    ],
)
def test_request_that_failed_is_left_out(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    found = imported(tmp_path / "x.har", browsers_entry(**changes))
    assert found.recordings == ()
    assert words in str(found.left_out[0])


def test_answer_that_failed_in_the_middle_is_one_that_was_cut(tmp_path: Path) -> None:
    assert one(tmp_path, response___failureText="net::ERR_ABORTED").ended == "cut"


def test_headers_may_be_lists_and_numbers(tmp_path: Path) -> None:
    headers = [{"name": "set-cookie", "value": ["a=1", "b=2"]}, {"name": "age", "value": 5}]
    assert one(tmp_path, response__headers=headers).headers == (
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("age", "5"),
    )


def test_request_that_was_decoded_loses_its_coding(tmp_path: Path) -> None:
    """A body that is still encoded keeps it."""
    payload = pairs(("content-encoding", "gzip"), ("content-length", "5"), ("host", "h"))
    plain = one(tmp_path, request__headers=payload).request
    assert plain.headers == (("content-length", str(len(plain.body))), ("host", "h"))
    coded = {
        "mimeType": "",
        "text": base64.b64encode(gzip.compress(b"{}")).decode(),
        "_encoding": "base64",
    }
    assert (
        one(tmp_path, request__headers=payload, request__postData=coded).request.header(
            "content-encoding"
        )
        == "gzip"
    )


def test_half_of_a_surrogate_pair_in_a_body_is_kept_and_can_be_written(tmp_path: Path) -> None:
    form = {"mimeType": "application/x-www-form-urlencoded", "params": pairs(("a", "\ud83d"))}
    found = one(tmp_path, response__content={"size": 3, "text": "\ud83d"}, request__postData=form)
    assert (found.body, found.request.body) == (b"\xed\xa0\xbd", b"a=%ED%A0%BD")
    with RecordingWriter(tmp_path / "to") as writer:
        writer.write(found)
    assert read_folder(tmp_path / "to")[0].body == found.body


# Bodies in files of their own, and events


@pytest.mark.parametrize("zipped", [False, True])
def test_attached_bodies_are_read(tmp_path: Path, zipped: bool) -> None:
    entry = browsers_entry(
        response__content={"size": 3, "_file": "a.txt"}, request__postData={"_file": "b.json"}
    )
    archive = json.dumps({"log": {"entries": [entry]}})
    if zipped:
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
            for name, text in (("in/har.har", archive), ("in/a.txt", "abc"), ("in/b.json", "{}")):
                file.writestr(name, text)
    else:
        for name, text in (("x.zip", archive), ("a.txt", "abc"), ("b.json", "{}")):
            (tmp_path / name).write_text(text)
    found = read_har(tmp_path / "x.zip")
    assert [(made.body, made.request.body) for made in found.recordings] == [(b"abc", b"{}")]
    assert found.left_out == ()


@pytest.mark.parametrize(
    "name", ["missing.txt", "../x.har", "/etc/passwd", "..", "", "link", "folder", 5, None]
)
def test_attached_body_that_cannot_be_read_is_named(tmp_path: Path, name: object) -> None:
    """Nothing outside of the archive's folder is read."""
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "folder").mkdir()
    found = imported(
        tmp_path / "x.har", browsers_entry(response__content={"size": 9, "_file": name})
    )
    assert [made.shortened for made in found.recordings] == [Shortened(9)]
    assert "its file" in str(found.left_out[0])


def test_attached_body_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(har_file, "MOST_BODY_BYTES", 3)
    for text, lost in (("abc", 0), ("abcd", 1)):
        (tmp_path / "a").write_text(text)
        found = imported(
            tmp_path / "x.har", browsers_entry(response__content={"size": 3, "_file": "a"})
        )
        assert len(found.left_out) == lost


def test_archive_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps({"log": {"entries": []}})
    (tmp_path / "x.har").write_text(text)
    monkeypatch.setattr(har_file, "MOST_ARCHIVE_BYTES", len(text))
    assert read_har(tmp_path / "x.har") == Imported((), ())
    monkeypatch.setattr(har_file, "MOST_ARCHIVE_BYTES", len(text) - 1)
    with pytest.raises(RecordingError, match="it has more than"):
        read_har(tmp_path / "x.har")


@pytest.mark.parametrize("names", [(), ("a.har", "b.har")])
def test_zip_without_one_archive_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        for name in names:
            file.writestr(name, "{}")
    with pytest.raises(RecordingError, match=f"this zip holds {len(names)} files"):
        read_har(tmp_path / "x.zip")


BEGAN = 1_713_938_972.25
EVENTS = [
    {"time": BEGAN + 0.1, "eventName": "message", "eventId": "", "data": "{1}"},
    {"time": (BEGAN + 0.5) * 1000, "eventName": "node", "eventId": "7", "data": "a\nb"},
    {"time": BEGAN, "eventName": "", "data": ""},
]


def test_events_give_a_stream_its_times(tmp_path: Path) -> None:
    text = "data: {1}\n\nevent: ping\n\nevent: node\nid: 7\ndata: a\ndata: b\n\ndata\n\n"
    found = one(tmp_path, _eventSourceMessages=EVENTS, response__content={"size": 9, "text": text})
    assert [chunk.at_s for chunk in found.chunks] == [0.1, 0.1, 0.5, 0.5]
    assert found.body == text.encode()
    other = one(
        tmp_path, _eventSourceMessages=EVENTS[:1], response__content={"size": 9, "text": text}
    )
    assert other.chunks == (Chunk(0.8125, text.encode()),)


def test_events_are_the_body_where_the_archive_has_no_other(tmp_path: Path) -> None:
    found = one(tmp_path, _eventSourceMessages=EVENTS, response__content={"size": 0})
    assert [chunk.data for chunk in found.chunks] == [
        b"data: {1}\n\n",
        b"event: node\nid: 7\ndata: a\ndata: b\n\n",
        b"data: \n\n",
    ]
    assert found.shortened is None
    assert (
        found.note
        == "The body is made of the events in the archive, which does not have the bytes."
    )


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"log": {}}', "[" * 100_000, "\xff"])
def test_what_is_no_archive_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.har").write_bytes(text.encode("latin-1"))
    with pytest.raises(RecordingError, match=r"x\.har: (the file|log\.entries): "):
        read_har(tmp_path / "x.har")


# The command


def test_the_command_exports_and_imports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without secrets, unless an option says that there are none."""
    with RecordingWriter(tmp_path / "from") as writer:
        writer.write(recording(KEY.encode(), request=request({"user": "alice", "email": "a@b.c"})))
    archive = str(tmp_path / "x.har")
    assert exit_code(["har", "export", str(tmp_path / "from"), archive]) == 0
    assert exit_code(["har", "import", archive, str(tmp_path / "same"), "--keep-secrets"]) == 0
    assert (
        exit_code(["har", "import", archive, str(tmp_path / "to"), "--redact", "field:email"]) == 0
    )
    assert "1 exchange" in capsys.readouterr().out
    assert read_folder(tmp_path / "same") == read_folder(tmp_path / "from")
    (found,) = read_folder(tmp_path / "to")
    assert found.body == b"{{key:main}}"
    assert found.redacted == ("keys", "user", "field:email")


def test_the_command_tells_what_it_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    imported(tmp_path / "x.har", browsers_entry(response__status=0), browsers_entry())
    assert exit_code(["har", "import", str(tmp_path / "x.har"), str(tmp_path / "to")]) == 0
    payload = capsys.readouterr()
    assert "left out: log.entries[0]: the request got no response" in payload.err
    assert payload.out == f"1 exchange in {tmp_path / 'to'}, 1 left out\n"


def test_the_command_says_as_json_what_it_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also a body that cannot be searched for secrets."""
    coded = {
        "mimeType": "",
        "text": base64.b64encode(b"\x1f\x8bno gzip").decode(),
        "_encoding": "base64",
    }
    headers = pairs(("content-encoding", "gzip"))
    entries = (
        browsers_entry(response__status=0),
        browsers_entry(request__headers=headers, request__postData=coded),
    )
    imported(tmp_path / "x.har", *entries)
    assert (
        exit_code(["har", "import", str(tmp_path / "x.har"), str(tmp_path / "to"), "--json"]) == 0
    )
    payload = json.loads(capsys.readouterr().out)
    assert (payload["exchanges"], [one["entry"] for one in payload["left_out"]]) == (1, [0, 1])
    assert payload["left_out"][0]["reason"] == "the request got no response (blocked or given up)"
    assert "without the request's body" in payload["left_out"][1]["reason"]


def test_archive_of_which_nothing_can_be_taken_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    imported(tmp_path / "x.har", browsers_entry(response__status=0))
    assert exit_code(["har", "import", str(tmp_path / "x.har"), str(tmp_path / "to")]) == 2
    assert "none of its entries can be taken" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["export", "missing", "x.har"], "missing: the folder: it cannot be read"),
        (["export", str(HOST), "no/such/folder/x.har"], "cannot be written"),
        (["import", "missing.har", "to"], "missing.har: the file: it cannot be read"),
        (["import", str(HOST / "keys.json"), "to"], "this is not a HAR file"),
        (["import", "x.har", "to", "--redact", "feild:x"], "did you mean field:x"),
    ],
)
def test_bad_input_is_reported_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert exit_code(["har", *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error


def test_names_and_labels_survive(tmp_path: Path) -> None:
    payload = replace(
        recording(b"x"), name="a check's", app="chat", note="why", ended="cut", redacted=("keys",)
    )
    assert there_and_back(tmp_path / "x.har", payload).recordings == (payload,)
