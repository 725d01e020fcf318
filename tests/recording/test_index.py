"""What was read once is read from the index; nothing that changed, or is damaged, ever is."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dify_wire.exchange import Recording, Shortened
from dify_wire.recording.folder import RecordingWriter, is_recordings_folder, read_folder
from dify_wire.recording.index import FOLDER
from dify_wire.text_file import RecordingError
from tests.recording.samples import recording, request
from tests.recording.test_folder import EXCHANGES

LONG_AGO_NS = 1_700_000_000 * 10**9
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4
OTHERS = [
    *EXCHANGES.values(),
    recording("data: 一\n\n".encode(), b"\xff", note="a note", app=None, redacted=("x",)),
    recording(b"{}", shortened=Shortened(10, "0" * 64), ended="client_left"),
    recording(request=request(b"beginning", shortened=Shortened(99))),
]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with enough recordings for an index, and the same twice."""
    folder = tmp_path_factory.mktemp("recordings")
    with RecordingWriter(folder) as writer:
        for one in [*OTHERS, *[recording(b"number")] * (200 - len(OTHERS))]:
            writer.write(one)
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """The same, as if it had been written long ago."""
    copied = tmp_path / "recordings"
    shutil.copytree(written, copied)
    for path in copied.rglob("*.yaml"):
        os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
    return copied


def index_of(folder: Path) -> Path:
    return folder / FOLDER / "recordings.json"


def edit_index(folder: Path, edit: Callable[[bytes], bytes]) -> None:
    """Change what the index holds, with a digest that fits."""
    _, _, data = index_of(folder).read_bytes().partition(b"\n")
    changed = edit(data)
    assert changed != data
    digest = hashlib.sha256(changed).hexdigest().encode()
    index_of(folder).write_bytes(digest + b"\n" + changed)


def notes(recordings: list[Recording]) -> set[str]:
    return {one.note for one in recordings}


def test_the_index_gives_back_what_was_read(folder: Path) -> None:
    first = read_folder(folder)
    assert index_of(folder).exists()
    assert read_folder(folder) == first
    assert [one.number for one in read_folder(folder)] == [one.number for one in first]


def test_what_has_not_changed_comes_from_the_index(folder: Path) -> None:
    read_folder(folder)
    edit_index(folder, lambda data: data.replace(b'"a note"', b'"indexed"'))
    assert "indexed" in notes(read_folder(folder))


def test_what_has_changed_is_read_again(folder: Path) -> None:
    """Also with the same size and the old time."""
    read_folder(folder)
    path = next(path for path in folder.glob("*.yaml") if "a note" in path.read_text("utf-8"))
    path.write_text(path.read_text("utf-8").replace("a note", "edited"), "utf-8")
    os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
    assert "edited" in notes(read_folder(folder))


def test_a_recording_that_was_broken_since_is_an_error(folder: Path) -> None:
    read_folder(folder)
    path = sorted(folder.glob("*.yaml"))[7]
    path.write_text(path.read_text("utf-8").removesuffix("...\n"), "utf-8")
    with pytest.raises(RecordingError, match="the last line"):
        read_folder(folder)


def test_a_body_that_is_a_file_of_its_own_is_always_read(folder: Path) -> None:
    read_folder(folder)
    for body in (folder / "bodies").iterdir():
        body.write_bytes(b"other")
    with pytest.raises(RecordingError, match="bodies"):
        read_folder(folder)


def test_recordings_come_and_go(folder: Path) -> None:
    read_folder(folder)
    first = min(folder.glob("*.yaml"))
    first.rename(folder / "9999-later.yaml")
    assert len(read_folder(folder)) == 200
    (folder / "9999-later.yaml").unlink()
    assert len(read_folder(folder)) == 199


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: data[:-1] + b"]",
        lambda data: b"\xff" * 100,
    ],
)
def test_a_damaged_index_is_not_trusted(folder: Path, damage: Callable[[bytes], bytes]) -> None:
    first = read_folder(folder)
    index_of(folder).write_bytes(damage(index_of(folder).read_bytes()))
    assert read_folder(folder) == first


@pytest.mark.parametrize(
    "edit",
    [
        lambda data: b"[]",
        lambda data: b"[1,{}]",
        lambda data: b'[1,"x"]',
        lambda data: data.replace(b"[1,", b"[2,", 1),
        lambda data: data.replace(b"[[", b"[[0,"),
    ],
)
def test_an_index_of_another_form_is_not_trusted(
    folder: Path, edit: Callable[[bytes], bytes]
) -> None:
    first = read_folder(folder)
    edit_index(folder, edit)
    assert read_folder(folder) == first


def test_a_folder_that_cannot_be_written_has_no_index(folder: Path) -> None:
    (folder / FOLDER).write_text("in the way")
    assert len(read_folder(folder)) == 200


def test_new_recordings_are_not_indexed(folder: Path) -> None:
    """They may change again within the tick of their time."""
    for path in folder.glob("*.yaml"):
        os.utime(path)
    read_folder(folder)
    assert b"number" not in index_of(folder).read_bytes()


def test_readers_and_git_pass_over_the_index(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    read_folder(folder)
    read_folder(folder)
    assert not caplog.records
    assert is_recordings_folder(folder)
    assert (folder / FOLDER / ".gitignore").read_text() == "*\n"
