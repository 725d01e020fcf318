"""Folders of recordings for tests: exchanges of the real host, recorded as a team would record
them, and changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from dify_wire.exchange import Chunk, Recording, Request
from dify_wire.recording.folder import RecordingWriter, read_folder
from dify_wire.redaction.exchange import RecordingRedactor
from tests.recorded import HOST, KEYS, SECRET_KEY

PNG = b"\x89PNG\r\n\x1a\nrecorded, and no picture at all" + bytes(range(256)) * 40
"""The body of a recorded picture, so that it is told from any that is drawn."""

PICTURE_HEADERS = (
    ("Content-Type", "image/png"),
    ("Transfer-Encoding", "chunked"),
    ("X-Version", "0.6.4"),
)


@cache
def recorded() -> Mapping[str, Recording]:
    """The exchanges of the real host by their names."""
    return {recording.name: recording for recording in read_folder(HOST)}


def folder(path: Path, *recordings: Recording, keep_user: bool = False) -> Path:
    """``recordings`` as a recorder writes them, without their secrets."""
    labels = {key: label for label, key in KEYS.items()}
    redactor = RecordingRedactor(labels, [SECRET_KEY], keep_user=keep_user)
    with RecordingWriter(path, redactor) as writer:
        for recording in recordings:
            writer.write(recording)
    return path


def changed(name: str, /, **changes: object) -> Recording:
    """The exchange ``name`` of the real host with some of its fields changed."""
    return replace(recorded()[name], **changes)  # type: ignore[arg-type]


def with_text(recording: Recording, edit: Callable[[bytes], bytes]) -> Recording:
    """``recording`` with ``edit`` made in each chunk."""
    return replace(
        recording, chunks=tuple(Chunk(chunk.at_s, edit(chunk.data)) for chunk in recording.chunks)
    )


def with_body(recording: Recording, body: bytes) -> Recording:
    """``recording`` with another body, in one chunk and with its length."""
    headers = tuple(
        (name, str(len(body)) if name == "Content-Length" else value)
        for name, value in recording.headers
    )
    return replace(recording, headers=headers, chunks=(Chunk(recording.seconds, body),))


def picture_of(file_id: str, png: bytes = PNG) -> Recording:
    """The download of a picture, which came in three pieces."""
    third = len(png) // 3
    pieces = (png[:third], png[third : 2 * third], png[2 * third :])
    chunks = tuple(Chunk(0.01 * number, piece) for number, piece in enumerate(pieces, 1))
    target = f"/files/tools/{file_id}.png?timestamp=1795330030&nonce={'0' * 32}&sign={'A' * 43}="
    request = Request("GET", target, (("Host", "dify.example"),), b"")
    return changed(
        "stream_ok", name="", app=None, request=request, headers=PICTURE_HEADERS, chunks=chunks
    )
