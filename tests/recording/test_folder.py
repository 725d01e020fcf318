"""A folder of recordings gives back what was written, and nothing that is not whole is ever read or
left visible.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dify_wire.recording.folder as folder_module
from dify_wire.exchange import ENDS, Chunk, Recording, Shortened
from dify_wire.recording.bodies import IN_MEMORY, PARTIAL
from dify_wire.recording.folder import (
    RecordingWriter,
    is_recordings_folder,
    read_folder,
    read_recording,
)
from dify_wire.text_file import RecordingError, printable
from dify_wire.yaml_file import dump_yaml, load_yaml
from tests.recording.samples import JSON, STREAM, recording, request
from tests.serving import ROOT

SCHEMA = jsonschema_rs.Draft202012Validator(
    json.loads((ROOT / "dify_wire/recording/recording.schema.json").read_text(encoding="utf-8"))
)
SCHEMA_FIELDS = (
    "format",
    "name",
    "note",
    "app",
    "recorded_at",
    "host",
    "host_version",
    "redacted",
    "target",
    "chunk_sizes",
    "chunks",
    "seconds",
    "ended",
    "shortened_from",
    "bytes",
    "sha256",
)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4


def write(folder: Path, *exchanges: Recording) -> list[Path]:
    with RecordingWriter(folder) as writer:
        return [writer.write(exchange) for exchange in exchanges]


# What is written is read

EXCHANGES = {
    "a stream": recording(b'data: {"event": "workflow_started"}\n\n', b"event: ping\n\n"),
    "an image": recording(PNG[:500], PNG[500:], headers=(("Content-Type", "image/png"),)),
    "a character cut in two": recording("data: 一".encode()[:-1], "一".encode()[-1:] + b"\n\n"),
    "a stream that broke inside of a character": recording("data: 一".encode()[:-1], ended="cut"),
    "line ends that YAML knows and others": recording(
        "a\r\nb\x85c\u2028d\ufeff\x7f\ttab \n".encode()
    ),
    "no body": recording(headers=(), status=204, reason=""),
    "what a client sent in chunks": recording(
        request=request(
            b'{"a": 1}', headers=(("Transfer-Encoding", "chunked"),), chunk_sizes=(3, 5)
        )
    ),
    "a request that is no text": recording(request=request(PNG)),
    "a request in another encoding": recording(request=request('{"user": "ä"}'.encode("latin-1"))),
    "an image of which the beginning was kept": recording(
        PNG[:16], shortened=Shortened(11_219, "0" * 64)
    ),
    "a request of which the beginning was kept": recording(
        request=request(b"{", shortened=Shortened(1 << 24))
    ),
    "the same header twice": recording(
        headers=(("Set-Cookie", "a=; Path=/"), ("Set-Cookie", "b=ÿ"))
    ),
    "no key, and words": recording(
        app=None, note="why\nit was made", redacted=("keys", "field:/a")
    ),
    "texts that look like other things": recording(
        name="null", note="1e3", host_version="0.15", reason="yes"
    ),
    "very many chunks": recording(*[b"x"] * 6000),
    "a long text": recording(b"data: " + b"x" * 300_000 + b"\n\n"),
}


@pytest.mark.parametrize("name", EXCHANGES)
def test_what_was_written_is_read(tmp_path: Path, name: str) -> None:
    (path,) = write(tmp_path, EXCHANGES[name])
    assert read_folder(tmp_path) == [EXCHANGES[name]]
    assert not list(SCHEMA.iter_errors(load_yaml(path)))


_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
_header = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_categories=["Cc"]), max_size=20
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.binary(max_size=80) | _text.map(str.encode), max_size=5),
    _text,
    _header,
    st.sampled_from(ENDS),
)
def test_whatever_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    chunks: list[bytes],
    note: str,
    header: str,
    ended: str,
) -> None:
    folder = tmp_path_factory.mktemp("any")
    exchange = recording(
        *chunks,
        headers=(("X-Any", header),),
        note=note,
        ended=ended,
        request=request(chunks[:1] and chunks[0]),
    )
    write(folder, exchange)
    assert read_folder(folder) == [exchange]


def test_a_stream_can_be_read_by_a_person(tmp_path: Path) -> None:
    """One frame a block, text as it is, headers on a line each."""
    (path,) = write(
        tmp_path, recording('data: {"text": "一只猫"}\n\n'.encode(), b"event: ping\n\n")
    )
    text = path.read_text(encoding="utf-8")
    assert '    text: |+\n      data: {"text": "一只猫"}\n\n  - at_s: 0.2\n' in text
    assert "  - [Transfer-Encoding, chunked]\n" in text


def test_a_picture_is_a_file_of_its_own_that_is_kept_once(tmp_path: Path) -> None:
    image = EXCHANGES["an image"]
    write(tmp_path, image, image)
    (side,) = (tmp_path / "bodies").iterdir()
    assert side.suffix == ".png"
    assert side.read_bytes() == PNG


def test_numbers_go_on_and_give_the_order(tmp_path: Path) -> None:
    write(tmp_path, recording(name="b"), recording(name="a"))
    (third,) = write(
        tmp_path, recording(name="", request=request(method="GET", target="/v1/parameters?user=x"))
    )
    assert third.name == "0003-GET-v1-parameters.yaml"
    third.rename(tmp_path / "10000-z.yaml")
    assert [one.name for one in read_folder(tmp_path)] == ["b", "a", "GET-v1-parameters"]


def test_every_recorded_exchange_of_the_host_satisfies_the_schema() -> None:
    for path in sorted((ROOT / "recordings/dify-0.6.4").glob("*.yaml")):
        assert not [error.message for error in SCHEMA.iter_errors(load_yaml(path))], path.name


def test_the_example_of_the_docs_is_a_recording(tmp_path: Path) -> None:
    page = (ROOT / "docs/recordings.md").read_text(encoding="utf-8")
    example = page.partition("```yaml\n")[2].partition("```")[0]
    (tmp_path / "0001-stream_ok.yaml").write_text(example, encoding="utf-8")
    (read,) = read_folder(tmp_path)
    assert (read.name, [chunk.at_s for chunk in read.chunks]) == ("stream_ok", [0.0456, 10.0461])
    assert set(SCHEMA_FIELDS) <= set(re.findall(r"`(?:[\w\[\]]+\.)*(\w+)`", page))


# What is not whole is refused

_STREAM = EXCHANGES["a stream"]
_IMAGE = EXCHANGES["an image"]
_SIDE = "bodies/" + "0" * 64 + ".png"


def _without(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda payload: payload["answer"].pop(name)


def _with(place: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(payload: Any) -> None:
        *way, last = (int(step) if step.isdecimal() else step for step in place.split("."))
        for step in way:
            payload = payload[step]
        payload[last] = value

    return change


Damage = tuple[Recording, Callable[[dict[str, Any]], object], str, str]


def _set(exchange: Recording, place: str, value: Any, words: str) -> Damage:
    """A value at ``place`` that is rejected there, with ``words`` in the message."""
    return exchange, _with(place, value), place, words


DAMAGES: dict[str, Damage] = {
    "newer": _set(_STREAM, "format", 2, "update fake-dify"),
    "no version": _set(_STREAM, "format", "x", "not a version"),
    "foreign": _set(_STREAM, "format", None, "not a recording"),
    "unknown field": _set(_STREAM, "requst", {}, "did you mean 'request'"),
    "unknown field inside": _set(_STREAM, "answer.stauts", 1, "did you mean 'status'"),
    "a field is missing": (_STREAM, _without("seconds"), "answer.seconds", "missing"),
    "a number for a text": _set(_STREAM, "name", 5, "a string"),
    "a status of no answer": _set(_STREAM, "answer.status", 103, "from 200 to 599"),
    "a status that is none": _set(_STREAM, "answer.status", 600, "from 200 to 599"),
    "a text for a number": _set(_STREAM, "answer.status", "200", "whole number"),
    "a negative time": _set(_STREAM, "answer.seconds", -1, "a number from 0"),
    "no finite time": _set(_STREAM, "recorded_at", float("inf"), "a number from 0"),
    "a time before the last": (
        _STREAM,
        _with("answer.chunks.1", {"at_s": 0, "text": ""}),
        "answer.chunks",
        "before",
    ),
    "an unknown end": _set(_STREAM, "answer.ended", "complet", "complete"),
    "a header that is no pair": (
        _STREAM,
        _with("answer.headers", [["A"]]),
        "answer.headers[0]",
        "pair",
    ),
    "a header with a line end": (
        _STREAM,
        _with("answer.headers", [["A", "b\nc"]]),
        "answer.headers[0]",
        "not a valid header",
    ),
    "a target with a blank": _set(_STREAM, "request.target", "/a b", "on the wire"),
    "a method that is none": _set(_STREAM, "request.method", "G T", "GET"),
    "both forms of a body": (
        _STREAM,
        _with("answer.body", {"file": _SIDE, "bytes": 1}),
        "answer",
        "either",
    ),
    "no body at all": (_STREAM, _without("chunks"), "answer", "either"),
    "a chunk without data": (
        _STREAM,
        _with("answer.chunks", [{"at_s": 1}]),
        "answer.chunks[0]",
        "either",
    ),
    "no base64": (
        _STREAM,
        _with("answer.chunks", [{"at_s": 1, "base64": "?"}]),
        "answer.chunks[0].base64",
        "damaged",
    ),
    "no mapping": _set(_STREAM, "answer", [], "mapping"),
    "a side file elsewhere": _set(_IMAGE, "answer.body.file", "../x.png", "not a valid name"),
    "a rooted side file": _set(_IMAGE, "answer.body.file", "/etc/passwd", "not a valid name"),
    "a missing side file": _set(_IMAGE, "answer.body.file", _SIDE, "put it back"),
    "a side file of another size": (
        _IMAGE,
        _with("answer.body.bytes", 1),
        "answer.body.file",
        "not what was",
    ),
    "arrivals that do not add up": _set(_IMAGE, "answer.arrivals", "0.1 500\n", "add up to"),
    "arrivals that are none": _set(_IMAGE, "answer.arrivals", "soon 500\n", "line 1"),
    "chunk sizes that do not add up": _set(_STREAM, "request.chunk_sizes", [1], "add up"),
    "a digest that is none": (
        EXCHANGES["an image of which the beginning was kept"],
        _with("answer.shortened_from.sha256", "x"),
        "answer.shortened_from.sha256",
        "64",
    ),
}
OF_MEANING = {
    "a time before the last",
    "a missing side file",
    "a side file of another size",
    "arrivals that do not add up",
    "chunk sizes that do not add up",
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_reported_with_file_place_and_remedy(tmp_path: Path, name: str) -> None:
    exchange, change, place, words = DAMAGES[name]
    (path,) = write(tmp_path, exchange)
    payload: Any = load_yaml(path)
    change(payload)
    path.write_text(dump_yaml(payload), encoding="utf-8")
    with pytest.raises(RecordingError) as refused:
        read_folder(tmp_path)
    assert (refused.value.path, refused.value.place) == (path, place)
    assert words in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    assert SCHEMA.is_valid(payload) is (name in OF_MEANING)


def test_a_lost_part_of_a_text_is_noticed_by_its_announced_length(tmp_path: Path) -> None:
    (path,) = write(tmp_path, recording(b'{"a": 1}', headers=(*JSON, ("Content-Length", "8"))))
    path.write_text(path.read_text().replace('{"a": 1}', '{"a": }'))
    with pytest.raises(RecordingError, match="Content-Length is 8, and 7 bytes are there"):
        read_recording(path)


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    (path,) = write(tmp_path, _STREAM)
    whole = path.read_bytes()
    for size in (*range(0, len(whole) - 9, 9), *range(len(whole) - 9, len(whole))):
        path.write_bytes(whole[:size])
        with pytest.raises(RecordingError):
            read_folder(tmp_path)


def test_an_altered_side_file_is_refused(tmp_path: Path) -> None:
    (path,) = write(tmp_path, _IMAGE)
    (side,) = (tmp_path / "bodies").iterdir()
    side.write_bytes(PNG[:-1] + b"?")
    with pytest.raises(RecordingError, match="not what was recorded") as refused:
        read_folder(tmp_path)
    assert refused.value.path == path


@pytest.mark.parametrize("linked", ["file", "folder"])
def test_a_link_cannot_lead_out_of_the_folder(tmp_path: Path, linked: str) -> None:
    write(tmp_path / "a", _IMAGE)
    (side,) = (tmp_path / "a/bodies").iterdir()
    away = side if linked == "file" else side.parent
    away.rename(tmp_path / "elsewhere")
    away.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RecordingError, match="must not lead out"):
        read_folder(tmp_path / "a")


def test_a_link_among_recordings_is_refused(tmp_path: Path) -> None:
    (path,) = write(tmp_path / "a", _STREAM)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RecordingError, match="a link, or not a file"):
        read_folder(tmp_path / "a")


@pytest.mark.parametrize("what", ["recording", "side file"])
def test_a_pipe_is_refused_and_never_waited_for(tmp_path: Path, what: str) -> None:
    (path,) = write(tmp_path, _IMAGE)
    (side,) = (tmp_path / "bodies").iterdir()
    pipe = path if what == "recording" else side
    pipe.unlink()
    os.mkfifo(pipe)
    with pytest.raises(RecordingError, match="not a file"):
        read_folder(tmp_path)


def test_line_ends_of_windows_change_nothing(tmp_path: Path) -> None:
    """Git makes them there, unless it is configured not to."""
    (path,) = write(tmp_path, _STREAM)
    before = read_recording(path)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_recording(path) == before


@pytest.mark.parametrize(
    "name", ["0003-空的提示词.yaml", "0003-a cat (copy).yaml", "0003-Änderung.yaml"]
)
def test_a_recording_may_have_any_name_behind_its_number(tmp_path: Path, name: str) -> None:
    (path,) = write(tmp_path, _STREAM)
    path.rename(tmp_path / name)
    assert [one.name for one in read_folder(tmp_path)] == ["sample"]
    (fourth,) = write(tmp_path, _STREAM)
    assert fourth.name.startswith("0004-")


_OTHERS = [
    *(
        "notes.txt",
        "Thumbs.db",
        ".DS_Store",
        "0001-sample.yaml~",
        ".0001-sample.yaml.swp",
        "#0001-sample.yaml#",
    ),
    *("0001-sample.yaml.bak", "export.har", "compose.yaml", "说明.docx", "a\nb"),
]


@pytest.mark.parametrize("name", _OTHERS)
def test_what_is_no_recording_is_named_and_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """Also by a recorder that goes on in the folder."""
    write(tmp_path, _STREAM)
    (tmp_path / name).write_text("services: {}")
    assert len(read_folder(tmp_path)) == 1
    assert caplog.messages == [f"{tmp_path}: skipped, not recordings: {printable(name)}"]
    assert is_recordings_folder(tmp_path)
    write(tmp_path, _STREAM)
    assert len(read_folder(tmp_path)) == 2
    assert (tmp_path / name).exists()


def test_what_belongs_beside_recordings_is_not_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, _IMAGE)
    for name in ("README.md", "keys.json", ".gitattributes", ".gitignore", f"{PARTIAL}x"):
        (tmp_path / name).write_text("")
    read_folder(tmp_path)
    assert caplog.messages == []


@pytest.mark.parametrize("name", ["0001-x.yml", "x.yaml", "1-x.yaml", "copy of 0001-x.YAML"])
def test_a_recording_with_another_name_is_refused_and_not_lost(tmp_path: Path, name: str) -> None:
    write(tmp_path, _STREAM)
    (path,) = write(tmp_path / "other", _STREAM)
    path.rename(tmp_path / name)
    (tmp_path / "other").rmdir()
    with pytest.raises(RecordingError, match=r"rename it") as refused:
        read_folder(tmp_path)
    assert refused.value.path == tmp_path / name


def test_a_folder_of_other_things_takes_no_recordings(tmp_path: Path) -> None:
    """What an operating system puts into every folder is none of them."""
    (tmp_path / "thesis.doc").write_text("")
    assert not is_recordings_folder(tmp_path)
    with pytest.raises(RecordingError, match=r"it holds no recordings, but thesis\.doc"):
        RecordingWriter(tmp_path)
    (tmp_path / "thesis.doc").rename(tmp_path / "Thumbs.db")
    write(tmp_path, _STREAM)


@pytest.mark.parametrize("linked", [True, False])
def test_a_folder_of_bodies_that_is_a_link_is_not_written_to(tmp_path: Path, linked: bool) -> None:
    """Neither where it is there at the start, nor where it comes later."""
    (tmp_path / "elsewhere").mkdir()
    folder = tmp_path / "to"
    folder.mkdir()
    if linked:
        (folder / "bodies").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(RecordingError, match="it is a link"):
            RecordingWriter(folder)
    else:
        with RecordingWriter(folder) as writer:
            (folder / "bodies").symlink_to(tmp_path / "elsewhere")
            with pytest.raises(OSError, match=r"bodies|links|directory"):
                writer.write(_IMAGE)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert [path.name for path in folder.iterdir()] == ["bodies"]


@pytest.mark.parametrize(
    "text", ["", "- a\n...\n", "format: 1\nformat: 1\n...\n", "a: !!python/name:os.system x\n...\n"]
)
def test_what_is_no_mapping_of_plain_data_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "0001-x.yaml").write_text(text)
    with pytest.raises(RecordingError, match=r"0001-x\.yaml: line"):
        read_folder(tmp_path)


def test_an_empty_or_missing_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no recording in it"):
        read_folder(tmp_path)
    with pytest.raises(RecordingError, match="cannot be read"):
        read_folder(tmp_path / "missing")
    assert is_recordings_folder(tmp_path)
    assert not is_recordings_folder(tmp_path / "missing")


# Writing


def test_a_large_body_is_not_held_in_memory(tmp_path: Path) -> None:
    piece = bytes(1 << 16)
    with RecordingWriter(tmp_path) as writer:
        answer, wanted_request = writer.spool(), writer.spool()
        for number in range(40):
            answer.add(number / 10, piece)
            wanted_request.add(number / 10, b"u" * (1 << 16))
        assert not answer.in_memory
        assert answer._in_memory == []
        writer.write(recording(ended="cut"), answer, wanted_request)
        answer.discard()
        wanted_request.discard()
    (read,) = read_folder(tmp_path)
    assert read.chunks == tuple(Chunk(number / 10, piece) for number in range(40))
    assert read.request.body == b"u" * (40 << 16)
    assert not list(tmp_path.glob(f"{PARTIAL}*"))


def test_a_small_body_never_touches_the_disk(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path) as writer:
        answer = writer.spool()
        answer.add(0.5, b"x" * IN_MEMORY)
        assert list(tmp_path.iterdir()) == []
        writer.write(recording(), answer)
        answer.discard()
    assert read_folder(tmp_path)[0].chunks == (Chunk(0.5, b"x" * IN_MEMORY),)


def test_many_threads_write_without_losing_or_mixing(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path) as writer:
        names = [f"n{number}" for number in range(40)]
        threads = [
            threading.Thread(target=writer.write, args=(recording(PNG + name.encode(), name=name),))
            for name in names
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    read = read_folder(tmp_path)
    assert sorted(one.name for one in read) == sorted(names)
    assert all(one.body == PNG + one.name.encode() for one in read)


def test_one_recorder_a_folder(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path), pytest.raises(RecordingError, match="another recorder"):
        RecordingWriter(tmp_path)
    RecordingWriter(tmp_path).close()


@pytest.mark.server
def test_what_a_killed_recorder_left_is_not_read_and_is_reported_to_the_next(
    tmp_path: Path,
) -> None:
    """The process ends between the first byte of a file and its name."""
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom tests.recording.samples import recording\n"
        "from dify_wire.recording.folder import RecordingWriter\n"
        "writer = RecordingWriter(Path(sys.argv[1]))\nwriter.write(recording(b'whole'))\n"
        "spool = writer.spool()\nspool.add(0.1, bytes(1 << 21))\n"
        "os.fsync = lambda handle: os.kill(os.getpid(), 9)\n"
        "writer.write(recording(b'unfinished'))\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, check=False)
    assert killed.returncode == -9
    assert [one.body for one in read_folder(tmp_path)] == [b"whole"]
    assert len(list(tmp_path.glob(f"{PARTIAL}*"))) == 2
    with RecordingWriter(tmp_path) as writer:
        assert len(writer.leftovers) == 2
    assert not list(tmp_path.glob(f"{PARTIAL}*"))


@pytest.mark.parametrize("exchange", [_STREAM, _IMAGE])
def test_a_full_disk_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: Recording
) -> None:
    def refuse(_: int) -> None:
        raise OSError(28, "No space left on device")

    with RecordingWriter(tmp_path) as writer:
        writer.write(exchange)
        before = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", refuse)
            with pytest.raises(OSError, match="No space left"):
                writer.write(replace(exchange, chunks=(Chunk(1, PNG + b"!"),)))
        assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == before
        writer.write(exchange)
    assert len(read_folder(tmp_path)) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder_is_reported(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(RecordingError, match="cannot be written"):
        RecordingWriter(tmp_path / "new")
    with pytest.raises(RecordingError, match="cannot be written"):
        RecordingWriter(tmp_path)


def test_a_folder_that_is_a_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordingError, match="cannot be written"):
        RecordingWriter(tmp_path / "file")


def test_the_folder_s_module_says_what_it_wrote(tmp_path: Path) -> None:
    """Headers of a stream are kept in order, names in their spelling."""
    write(tmp_path, _STREAM)
    assert folder_module.read_folder(tmp_path)[0].headers == STREAM
