"""After an edit by hand, lengths and digests follow what was edited, and nothing else changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from contract.cli import exit_code
from dify_wire.exchange import Recording
from dify_wire.recording.fixing import fix_folder
from dify_wire.recording.folder import RecordingWriter, read_folder, read_recording
from dify_wire.text_file import RecordingError
from tests.recording.samples import JSON, recording, request
from tests.recording.test_folder import EXCHANGES, PNG, write

PLAIN = recording(b'{"a": "lynx"}', headers=(*JSON, ("Content-Length", "13"), ("X-Any", "1")))
IMAGE = recording(
    PNG[:500], PNG[500:], headers=(("Content-Type", "image/png"), ("Content-Length", str(len(PNG))))
)
SENT = replace(
    request(b"abcdefgh", headers=(("Transfer-Encoding", "chunked"),)), chunk_sizes=(3, 5)
)


def edited(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_refusal_says_what_helps(tmp_path: Path) -> None:
    (path,) = write(tmp_path, PLAIN)
    edited(path, "lynx", "a large lynx")
    with pytest.raises(
        RecordingError, match="run contract recordings fix DIR, or leave Content-Length out"
    ):
        read_recording(path)


def test_length_follows_an_edited_text(tmp_path: Path) -> None:
    (path,) = write(tmp_path, PLAIN)
    edited(path, "lynx", "一只大猫")
    fixed = fix_folder(tmp_path)
    assert fixed.changes == {path: ["answer.headers: Content-Length 13 is 21"]}
    read = read_recording(path)
    body = '{"a": "一只大猫"}'.encode()
    assert read == replace(
        PLAIN,
        headers=(*JSON, ("Content-Length", "21"), ("X-Any", "1")),
        chunks=(PLAIN.chunks[0]._replace(data=body),),
    )
    assert fix_folder(tmp_path).changes == {}


def test_request_follows_too(tmp_path: Path) -> None:
    (path,) = write(tmp_path, recording(request=request({"user": "alice"})))
    edited(path, "alice", "al")
    fix_folder(tmp_path)
    wanted_request = read_recording(path).request
    assert (wanted_request.body, wanted_request.header("content-length")) == (
        b'{"user": "al"}',
        "14",
    )


@pytest.mark.parametrize(
    ("body", "sizes"),
    [("abcdefghij", (3, 7)), ("abcd", (3, 1)), ("ab", (2,)), ("abc", (3,)), ("", ())],
)
def test_sizes_of_chunks_follow(tmp_path: Path, body: str, sizes: tuple[int, ...]) -> None:
    (path,) = write(tmp_path, recording(request=SENT))
    edited(path, "body: abcdefgh", f"body: {body!r}")
    fix_folder(tmp_path)
    assert read_recording(path).request.chunk_sizes == sizes


@pytest.mark.parametrize("png", [PNG + b"more", PNG[:100], b"x"])
def test_side_file_gets_the_name_of_its_content(tmp_path: Path, png: bytes) -> None:
    """In both recordings that have it; the old name goes."""
    write(tmp_path, IMAGE, replace(IMAGE, name="again"))
    (side,) = (tmp_path / "bodies").iterdir()
    side.write_bytes(png)
    fixed = fix_folder(tmp_path)
    assert (len(fixed.changes), fixed.failed) == (2, [])
    assert not side.exists()
    for read in read_folder(tmp_path):
        assert (read.body, read.header("content-length")) == (png, str(len(png)))
        assert read.chunks[0].at_s == 0.1


def test_check_writes_nothing(tmp_path: Path) -> None:
    path, _ = write(tmp_path, PLAIN, IMAGE)
    edited(path, "lynx", "a lynx")
    (side,) = (tmp_path / "bodies").iterdir()
    side.write_bytes(b"x")
    before = contents(tmp_path)
    assert len(fix_folder(tmp_path, check=True).changes) == 2
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", EXCHANGES)
def test_what_is_consistent_stays_to_the_byte(tmp_path: Path, name: str) -> None:
    write(tmp_path, EXCHANGES[name])
    before = contents(tmp_path)
    assert fix_folder(tmp_path).changes == {}
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "exchange",
    [
        replace(PLAIN, ended="cut", chunks=()),
        replace(PLAIN, request=request(method="HEAD"), chunks=()),
        replace(PLAIN, status=304, chunks=()),
        replace(
            EXCHANGES["an image of which the beginning was kept"],
            headers=(("Content-Length", "11219"),),
        ),
    ],
)
def test_length_of_a_body_that_is_not_there_stays(tmp_path: Path, exchange: Recording) -> None:
    write(tmp_path, exchange)
    assert fix_folder(tmp_path).changes == {}


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace("status: 200", "status: 700"),
        lambda text: text.replace("headers:", "headrs:", 1),
        lambda text: text.replace("chunks:\n", "chunks: 5\n", 1),
        lambda text: text[:-5],
    ],
)
def test_what_cannot_be_fixed_is_named_and_the_others_are_fixed(
    tmp_path: Path, damage: Callable[[str], str]
) -> None:
    path, other = write(tmp_path, recording(b"1", headers=JSON), PLAIN)
    path.write_text(damage(path.read_text()))
    damaged = path.read_bytes()
    edited(other, "lynx", "dog, a large one")
    fixed = fix_folder(tmp_path)
    assert [error.path for error in fixed.failed] == [path]
    assert list(fixed.changes) == [other]
    assert path.read_bytes() == damaged
    assert read_recording(other).header("content-length") == "25"


def test_missing_side_file_is_named(tmp_path: Path) -> None:
    write(tmp_path, IMAGE)
    (side,) = (tmp_path / "bodies").iterdir()
    side.unlink()
    assert "put it back" in str(fix_folder(tmp_path).failed[0])


# The command


def test_command_says_what_it_does_by_its_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = write(tmp_path, PLAIN)
    edited(path, "lynx", "a lynx")
    assert exit_code(["recordings", "fix", "--check", str(tmp_path)]) == 1
    assert exit_code(["recordings", "fix", str(tmp_path)]) == 0
    assert exit_code(["recordings", "fix", "--check", str(tmp_path)]) == 0
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first == f"{path}: answer.headers: Content-Length 13 is 15"
    assert last == "0 recordings would be fixed, 0 cannot be read"
    edited(path, "status: 200", "status: 1")
    assert exit_code(["recordings", "fix", str(tmp_path)]) == 2
    assert "answer.status" in capsys.readouterr().err
    assert exit_code(["recordings", "fix", str(tmp_path / "missing")]) == 2
    (tmp_path / "empty").mkdir()
    assert exit_code(["recordings", "fix", str(tmp_path / "empty")]) == 2


def test_folder_that_is_being_written_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path, PLAIN)
    with RecordingWriter(tmp_path), pytest.raises(RecordingError, match="another recorder"):
        fix_folder(tmp_path)
