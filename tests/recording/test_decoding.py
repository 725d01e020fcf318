"""Compressed bodies are decoded whole and within bounds; what is not decoded is left out, and the
recording says so.
"""

from __future__ import annotations

import gzip
import itertools
import re
import zlib
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dify_wire.exchange import Chunk, Recording, Shortened
from dify_wire.recording import bodies, decoding
from dify_wire.recording.decoding import (
    FREE_BYTES,
    MOST_CODINGS,
    MOST_MEMBERS,
    MOST_RATIO,
    UndecodableError,
    coding,
    decoded,
)
from dify_wire.recording.folder import RecordingWriter, read_folder
from dify_wire.redaction.exchange import RecordingRedactor
from tests.recording.samples import JSON, KEY, recording, request

PLAIN = b'{"first": 1, "second": "' + "一只猫".encode() + b'"}'


def deflated(data: bytes, wbits: int) -> bytes:
    packer = zlib.compressobj(wbits=wbits)
    return packer.compress(data) + packer.flush()


PACKED = {
    "gzip": ("gzip", gzip.compress(PLAIN, mtime=0)),
    "gzip of several members": (
        "x-gzip",
        b"".join(map(gzip.compress, (PLAIN[:5], b"", PLAIN[5:]))),
    ),
    "gzip with padding": ("gzip", gzip.compress(PLAIN, mtime=0) + bytes(9)),
    "deflate": ("deflate", deflated(PLAIN, zlib.MAX_WBITS)),
    "deflate without its wrapper": ("deflate", deflated(PLAIN, -zlib.MAX_WBITS)),
    "two codings": ("deflate, gzip", gzip.compress(deflated(PLAIN, zlib.MAX_WBITS), mtime=0)),
}


def joined(chunks: Iterable[Chunk]) -> bytes:
    return b"".join(chunk.data for chunk in chunks)


@pytest.mark.parametrize("name", PACKED)
def test_body_is_decoded_wherever_it_is_cut(name: str) -> None:
    codings, data = PACKED[name]
    for cut in range(len(data) + 1):
        chunks = [Chunk(1, data[:cut]), Chunk(2, data[cut:])]
        assert joined(decoded(chunks, codings, whole=True)) == PLAIN
    assert joined(decoded((Chunk(0, bytes([byte])) for byte in data), codings, whole=True)) == PLAIN


@given(st.lists(st.binary(max_size=100), min_size=1, max_size=8), st.integers(1, 50))
def test_members_of_gzip_are_one_body(members: list[bytes], size: int) -> None:
    data = b"".join(map(gzip.compress, members))
    chunks = [Chunk(0, data[start : start + size]) for start in range(0, len(data), size)]
    assert joined(decoded(chunks, "gzip", whole=True)) == b"".join(members)


@pytest.mark.parametrize(
    ("codings", "data", "words"),
    [
        ("br", b"x", "coding br cannot be undone"),
        ("gzip, zstd", b"x", "coding zstd cannot be undone"),
        ("gzip", b"no gzip", "not gzip as announced"),
        ("deflate", b"\xff\xff\xff\xff", "not deflate as announced"),
        ("gzip", gzip.compress(PLAIN, mtime=0) + b"more", "not gzip as announced"),
        ("deflate", deflated(PLAIN, zlib.MAX_WBITS) + b"more", "bytes after the end"),
        ("gzip", gzip.compress(PLAIN, mtime=0)[:-1], "has no end"),
        ("deflate", b"x", "has no end"),
    ],
    ids=[
        "br",
        "zstd",
        "no gzip",
        "no deflate",
        "more than gzip",
        "more than deflate",
        "gzip cut",
        "deflate cut",
    ],
)
def test_what_cannot_be_decoded_is_refused_with_the_reason(
    codings: str, data: bytes, words: str
) -> None:
    with pytest.raises(UndecodableError, match=words):
        joined(decoded([Chunk(0, data)], codings, whole=True))


def test_beginning_of_a_body_that_was_cut_is_decoded() -> None:
    data = gzip.compress(PLAIN, mtime=0)
    assert PLAIN.startswith(joined(decoded([Chunk(0, data[:-9])], "gzip")))
    assert joined(decoded([], "gzip", whole=True)) == b""


def test_ratio_is_bounded_beyond_the_free_bytes() -> None:
    """Up to the bound any ratio passes; one byte more does not."""
    assert len(gzip.compress(bytes(FREE_BYTES), mtime=0)) * MOST_RATIO < FREE_BYTES
    assert joined(
        decoded([Chunk(0, gzip.compress(bytes(FREE_BYTES), mtime=0))], "gzip", whole=True)
    ) == bytes(FREE_BYTES)
    with pytest.raises(UndecodableError, match=f"more than {MOST_RATIO} times"):
        joined(
            decoded([Chunk(0, gzip.compress(bytes(FREE_BYTES + 1), mtime=0))], "gzip", whole=True)
        )


def test_bomb_is_not_decoded_further_than_the_bound() -> None:
    """What is given out stays far below the size of what is packed."""
    packer = zlib.compressobj(1, wbits=31)
    bomb = packer.compress(bytes(4 * FREE_BYTES)) + packer.flush()
    sizes: list[int] = []
    with pytest.raises(UndecodableError):
        sizes.extend(len(chunk.data) for chunk in decoded([Chunk(0, bomb)], "gzip"))
    assert sum(sizes) <= FREE_BYTES
    assert max(sizes) <= 1 << 20


def test_size_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MOST_DECODED_BYTES", 1000)
    assert len(joined(decoded([Chunk(0, gzip.compress(bytes(1000), mtime=0))], "gzip"))) == 1000
    with pytest.raises(UndecodableError, match="decoded it has more"):
        joined(decoded([Chunk(0, gzip.compress(bytes(1001), mtime=0))], "gzip"))


def test_members_and_codings_are_bounded() -> None:
    member = gzip.compress(b"", mtime=0)
    assert joined(decoded([Chunk(0, member * MOST_MEMBERS)], "gzip", whole=True)) == b""
    with pytest.raises(UndecodableError, match=f"more than {MOST_MEMBERS} gzip members"):
        joined(decoded([Chunk(0, member * (MOST_MEMBERS + 1))], "gzip"))
    *_, most = itertools.accumulate(
        range(MOST_CODINGS), lambda data, _: gzip.compress(data, mtime=0), initial=PLAIN
    )
    assert joined(decoded([Chunk(0, most)], ", ".join(["gzip"] * MOST_CODINGS))) == PLAIN
    with pytest.raises(UndecodableError, match="codings"):
        decoded([Chunk(0, gzip.compress(most, mtime=0))], ", ".join(["gzip"] * (MOST_CODINGS + 1)))


def test_coding_is_read_from_all_headers_of_its_name() -> None:
    assert (
        coding((("Content-Encoding", " GZIP ,identity"), ("content-encoding", "br"))) == "gzip, br"
    )
    assert coding((("Content-Encoding", "identity"),)) == ""


# As it is written


def written(
    folder: Path, exchange: Recording, *, keep: bool = False
) -> tuple[Recording, list[str]]:
    """``exchange`` as a recorder writes it, and what was left out."""
    left_out: list[str] = []
    redactor = None if keep else RecordingRedactor({KEY: "main"})
    with RecordingWriter(folder, redactor, left_out.append) as writer:
        writer.write(exchange)
    (read,) = read_folder(folder)
    return read, left_out


def packed(codings: str, *chunks: bytes, **changes: object) -> Recording:
    size = sum(map(len, chunks))
    return recording(
        *chunks,
        headers=(*JSON, ("Content-Encoding", codings), ("Content-Length", str(size))),
        **changes,
    )


def test_decoded_body_is_written_with_its_own_length(tmp_path: Path) -> None:
    data = gzip.compress(PLAIN, mtime=0)
    read, left_out = written(tmp_path, packed("gzip", data[:20], data[20:]))
    assert (read.body, left_out, read.redacted[-1]) == (PLAIN, [], "encoding")
    assert read.headers == (*JSON, ("Content-Length", str(len(PLAIN))))


def test_long_body_is_decoded_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dify_wire.recording.bodies.IN_MEMORY", 1000)
    plain = PLAIN * 1000
    read, left_out = written(tmp_path, packed("gzip", gzip.compress(plain, mtime=0)))
    assert (read.body, left_out) == (plain, [])
    assert read.header("content-length") == str(len(plain))
    assert not list(tmp_path.glob(".partial-*"))


@pytest.mark.parametrize("codings", ["br", "zstd", "gzip"])
def test_body_that_cannot_be_decoded_is_left_out_and_the_recording_says_so(
    tmp_path: Path, codings: str
) -> None:
    read, left_out = written(tmp_path, packed(codings, b"planted", b"secret"))
    assert (read.chunks, read.shortened, read.status) == ((), Shortened(13), 200)
    assert re.fullmatch(rf"Left out: the response's body, because it.* {codings} .*\.", read.note)
    assert len(left_out) == 1
    assert left_out[0].startswith("0001-sample.yaml is without the response's body, because ")
    assert b"planted" not in next(tmp_path.glob("*.yaml")).read_bytes()


def test_request_body_that_cannot_be_decoded_is_left_out(tmp_path: Path) -> None:
    wanted_request = request(
        b"planted",
        headers=(("Content-Encoding", "br"), ("Transfer-Encoding", "chunked")),
        chunk_sizes=(7,),
    )
    read, left_out = written(tmp_path, recording(b"{}", request=wanted_request))
    assert (read.request.body, read.request.shortened, read.body) == (b"", Shortened(7), b"{}")
    assert read.note.startswith("Left out: the request's body, because its coding br")
    assert len(left_out) == 1


def test_nothing_is_decoded_where_no_secret_is_sought(tmp_path: Path) -> None:
    exchange = packed("br", b"as it came")
    assert written(tmp_path, exchange, keep=True) == (exchange, [])


def test_body_of_an_answer_that_broke_off_is_decoded_as_far_as_it_came(tmp_path: Path) -> None:
    packer = zlib.compressobj(wbits=31)
    first = packer.compress(b"data: 1\n\n") + packer.flush(zlib.Z_SYNC_FLUSH)
    read, _ = written(tmp_path, packed("gzip", first, ended="cut"))
    assert read.body == b"data: 1\n\n"


@pytest.mark.parametrize(("name", "bound"), [("MOST_BODY_BYTES", 2 << 20), ("MOST_CHUNKS", 2)])
def test_body_beyond_a_bound_of_its_spool_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, bound: int
) -> None:
    monkeypatch.setattr(bodies, name, bound)
    for over in (0, 1):
        folder, left_out = tmp_path / str(over), list[str]()
        with RecordingWriter(folder, left_out=left_out.append) as writer:
            answer = writer.spool()
            for _ in range(2):
                answer.add(0.1, bytes(1 << 20))
            if over:
                answer.add(0.2, b"x")
            writer.write(recording(), answer)
            answer.discard()
        (read,) = read_folder(folder)
        assert len(read.body) == (0 if over else 2 << 20)
        assert read.shortened == (Shortened((2 << 20) + 1) if over else None)
        assert len(left_out) == over
        assert not list(folder.glob(".partial-*"))
