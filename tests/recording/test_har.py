"""HTTP Archives: ours come back as they were; a browser's are read for what they say."""

from __future__ import annotations

import base64
import datetime
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contract.cli import exit_code
from dify_wire.recording.errors import RecordingError
from dify_wire.recording.exchange import Chunk, Recording, Shortened
from dify_wire.recording.folder import RecordingWriter, read_folder
from dify_wire.recording.har_export import to_har
from dify_wire.recording.har_import import Imported, read_har
from tests.recording.samples import KEY, recording, request
from tests.recording.test_folder import EXCHANGES
from tests.serving import ROOT

HOST = ROOT / "recordings/dify-0.6.4"


def there_and_back(path: Path, *recordings: Recording) -> Imported:
    path.write_text(json.dumps(to_har(recordings)), encoding="utf-8")
    return read_har(path)


@pytest.mark.parametrize("name", EXCHANGES)
def test_a_recording_comes_back_as_it_was(tmp_path: Path, name: str) -> None:
    assert there_and_back(tmp_path / "x.har", EXCHANGES[name]) == Imported((EXCHANGES[name],), ())


def test_every_recorded_exchange_of_the_host_comes_back(tmp_path: Path) -> None:
    recorded = tuple(read_folder(HOST))
    assert there_and_back(tmp_path / "x.har", *recorded).recordings == recorded


def test_an_archive_has_what_har_asks_for() -> None:
    """The fields without which a reader of HAR 1.2 refuses a file."""
    asked = request(target="/v1/parameters?user=a&x=%20", method="GET")
    (entry,) = to_har([recording(b"\x89PNG", request=asked, seconds=2)])["log"]["entries"]
    assert datetime.datetime.fromisoformat(entry["startedDateTime"]).timestamp() == 1_713_938_972.25
    assert entry["time"] == pytest.approx(2000)
    assert sum(entry["timings"].values()) == pytest.approx(entry["time"])
    assert entry["request"]["url"] == "http://127.0.0.1:6060/v1/parameters?user=a&x=%20"
    assert entry["request"]["queryString"] == [{"name": "user", "value": "a"}, {"name": "x", "value": " "}]
    assert entry["response"]["content"] == {
        "size": 4,
        "mimeType": "text/event-stream; charset=utf-8",
        "text": base64.b64encode(b"\x89PNG").decode(),
        "encoding": "base64",
    }
    for part in ("request", "response"):
        assert {"httpVersion", "cookies", "headers", "headersSize", "bodySize"} <= entry[part].keys()
    assert {"statusText", "redirectURL"} <= entry["response"].keys()


# Archives of other programs -----------------------------------------------------------------------------------------


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
            "headers": pairs((":authority", "dify.example"), (":path", "/v1"), ("content-type", "application/json")),
            "postData": {"mimeType": "application/json", "text": '{"user": "ä"}'},
            "bodySize": 14,
        },
        "response": {
            "status": 200,
            "statusText": "",
            "httpVersion": "http/2.0",
            "headers": pairs(("content-encoding", "br"), ("content-length", "5"), ("x-version", "0.6.4")),
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
    path.write_text(json.dumps({"log": {"version": "1.2", "entries": list(entries)}}), encoding="utf-8")
    return read_har(path)


def one(path: Path, **changes: Any) -> Recording:
    (found,) = imported(path / "x.har", browsers_entry(**changes)).recordings
    return found


def test_a_browser_s_exchange_is_read(tmp_path: Path) -> None:
    """Pseudo headers go, the host stays; the body is as it was unpacked, and the headers follow it."""
    found = one(tmp_path)
    assert (found.host, found.host_version, found.recorded_at) == ("https://dify.example", "0.6.4", 1_713_938_972.25)
    asked = found.request
    assert (asked.method, asked.target, asked.http_version) == ("POST", "/v1/workflows/run?x=1", "2")
    assert asked.headers == (("Host", "dify.example"), ("content-type", "application/json"))
    assert asked.body == '{"user": "ä"}'.encode()
    assert found.headers == (("content-length", "11"), ("x-version", "0.6.4"))
    assert found.chunks == (Chunk(0.8125, b'{"a": "ok"}'),)
    assert (found.seconds, found.app, found.ended) == (0.8125, None, "complete")


def test_what_a_browser_made_can_be_written_and_read(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "to") as writer:
        writer.write(one(tmp_path))
    assert read_folder(tmp_path / "to")[0].body == b'{"a": "ok"}'


def test_a_body_that_was_left_out_is_told(tmp_path: Path) -> None:
    assert one(tmp_path, response__content={"size": 11}).shortened == Shortened(11)
    assert one(tmp_path, request__postData=None).request.shortened == Shortened(14)
    assert one(tmp_path, response__content={"size": 0}).shortened is None


def test_a_picture_and_a_form_are_read(tmp_path: Path) -> None:
    content = {"size": 4, "mimeType": "image/png", "text": base64.b64encode(b"\x89PNG").decode(), "encoding": "base64"}
    form = {"mimeType": "application/x-www-form-urlencoded", "params": pairs(("a", "1 2"), ("b", "ä"))}
    found = one(tmp_path, response__content=content, request__postData=form)
    assert (found.body, found.request.body) == (b"\x89PNG", b"a=1+2&b=%C3%A4")


def test_headers_of_one_name_that_were_joined_are_taken_apart(tmp_path: Path) -> None:
    found = one(tmp_path, response__headers=pairs(("set-cookie", "a=1\nb=2")))
    assert found.headers == (("set-cookie", "a=1"), ("set-cookie", "b=2"))


def test_a_header_that_was_decoded_as_utf_8_is_its_bytes_again(tmp_path: Path) -> None:
    found = one(tmp_path, response__headers=[{"name": "content-disposition", "value": 'filename="猫"'}])
    assert found.header("content-disposition").encode("latin-1").decode() == 'filename="猫"'


def test_what_is_no_exchange_is_left_out_and_told(tmp_path: Path) -> None:
    blocked = browsers_entry(response__status=0, response___error="net::ERR_ABORTED")
    kept_by_the_page = browsers_entry(request__url="data:image/png;base64,AAAA")
    found = imported(
        tmp_path / "x.har", blocked, browsers_entry(), browsers_entry(response__status=101), kept_by_the_page
    )
    assert len(found.recordings) == 1
    assert found.left_out == (
        "log.entries[0]: the request got no answer (net::ERR_ABORTED)",
        "log.entries[2]: the connection became another protocol's",
        "log.entries[3]: nothing was asked of a host (data:)",
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
        ({"response___chunks": [[0.1, "11"]]}, "response._chunks"),
        ({"_recording": {"ended": "soon"}}, "_recording.ended"),
    ],
)
def test_a_damaged_archive_is_refused_with_its_place(tmp_path: Path, changes: dict[str, Any], place: str) -> None:
    with pytest.raises(RecordingError) as refused:
        one(tmp_path, **changes)
    assert refused.value.place == f"log.entries[0].{place}"
    assert refused.value.path == tmp_path / "x.har"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"log": {}}', "[" * 100_000, "\xff"])
def test_what_is_no_archive_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.har").write_bytes(text.encode("latin-1"))
    with pytest.raises(RecordingError, match=r"x\.har: (the file|log\.entries): "):
        read_har(tmp_path / "x.har")


# The command --------------------------------------------------------------------------------------------------------


def test_the_command_exports_and_imports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without secrets, unless it is told that there are none."""
    with RecordingWriter(tmp_path / "from") as writer:
        writer.write(recording(KEY.encode(), request=request({"user": "alice", "email": "a@b.c"})))
    archive = str(tmp_path / "x.har")
    assert exit_code(["har", "export", str(tmp_path / "from"), archive]) == 0
    assert exit_code(["har", "import", archive, str(tmp_path / "same"), "--keep-secrets"]) == 0
    assert exit_code(["har", "import", archive, str(tmp_path / "to"), "--redact", "field:email"]) == 0
    assert "1 exchange" in capsys.readouterr().out
    assert read_folder(tmp_path / "same") == read_folder(tmp_path / "from")
    (found,) = read_folder(tmp_path / "to")
    assert found.body == b"{{key:main}}"
    assert found.redacted == ("keys", "user", "field:email")


def test_the_command_tells_what_it_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    imported(tmp_path / "x.har", browsers_entry(response__status=0), browsers_entry())
    assert exit_code(["har", "import", str(tmp_path / "x.har"), str(tmp_path / "to")]) == 0
    assert "left out: log.entries[0]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["export", "missing", "x.har"], "missing: the folder: it cannot be read"),
        (["export", str(HOST), "no/such/folder/x.har"], "cannot be written"),
        (["import", "missing.har", "to"], "missing.har: the file: it cannot be read"),
        (["import", str(HOST / "keys.json"), "to"], "this is no HAR"),
        (["import", "x.har", "to", "--redact", "feild:x"], "did you mean field:x"),
    ],
)
def test_bad_input_is_told_in_one_line(
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
    said = replace(recording(b"x"), name="a check's", app="chat", note="why", ended="cut", redacted=("keys",))
    assert there_and_back(tmp_path / "x.har", said).recordings == (said,)
