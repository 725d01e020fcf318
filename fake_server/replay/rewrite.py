"""A recorded text told again: signed anew, later, for another caller. Every other byte stays what
it was.

Edits are made in place, and the borders between chunks stay where they were among the bytes around:
JSON that were parsed and written again would be the fake's text, and no longer the host's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from dify_wire.exchange import Chunk, Request
from dify_wire.ids import UUID
from dify_wire.redaction.edits import Edit, Edits
from dify_wire.redaction.pseudonyms import USER
from fake_server.runs.signing import FileSigners

_SLASH = r"\\?/"
_URL = re.compile(
    rf"(?P<origin>https?:(?:{_SLASH}){{2}}[^\s\"'<>?\\]{{1,255}}?)?"
    rf"(?P<path>{_SLASH}files{_SLASH}(?:tools{_SLASH}(?P<tool>{UUID})\.\w{{1,8}}|(?P<image>{UUID}){_SLASH}image-preview))"
    r"(?P<to_at>\?timestamp=)(?P<at>\d{9,11})(?P<to_nonce>(?:&|\\u0026|&amp;)nonce=)(?P<nonce>[0-9A-Za-z]{1,64})"
    r"(?P<to_sign>(?:&|\\u0026|&amp;)sign=)(?P<sign>[\w-]{43})(?P<padding>=|%3[dD]|\\u003[dD])?".encode()
)
_TIME = re.compile(rb'"(?:created_at|finished_at|updated_at|started_at)"\s*:\s*(\d{9,11})(?!\d)')
_ANY_UUID = re.compile(rf"(?<![0-9a-f-]){UUID}(?![0-9a-f-])".encode())
_ID = re.compile(
    rf'(?:"(?:task_id|workflow_run_id|related_id)"|"data"\s*:\s*{{\s*"id"|\A{{\s*"id")\s*:\s*"({UUID})"'.encode()
)
_BEFORE_USER = rb'"(?:user|sys\.user_id)"\s*:\s*"'


@dataclass(frozen=True, slots=True)
class Changes:
    """What is different this time.

    ``shift_s`` is added to every unix time, ``ids`` are told in place of others, ``nonce`` makes a
    nonce, ``user`` are the recorded user and the caller's. ``origin`` stands before URLs that were
    relative, ``own_origin`` before those that named the recorded host.
    """

    shift_s: int
    ids: Mapping[str, str]
    nonce: Callable[[], str]
    signers: FileSigners
    user: tuple[str, str] | None
    origin: str
    own_origin: str


def own_ids(body: bytes, request: Request) -> list[str]:
    """The ids that were made for this answer, in their order: those of run, task, nodes and files.

    What the request names itself (a file that was uploaded before) is somebody else's.
    """
    asked = request.target.encode() + request.body
    found = [match[1] for match in _ID.finditer(body)] + [
        file_id.encode() for file_id in file_ids(body)
    ]
    return [file_id.decode() for file_id in dict.fromkeys(found) if file_id not in asked]


def file_ids(body: bytes) -> list[str]:
    """The ids of the pictures whose signed URLs are in ``body``, each once."""
    return list(
        dict.fromkeys(match["tool"].decode() for match in _URL.finditer(body) if match["tool"])
    )


def retold(chunks: Sequence[Chunk], changes: Changes) -> tuple[Chunk, ...]:
    """``chunks`` with ``changes`` made in the text that they are together; their times and number
    stay.
    """
    body = b"".join(chunk.data for chunk in chunks)
    edits = Edits()
    edits.add(_urls(body, changes))
    edits.add(_times(body, changes.shift_s))
    edits.add(_ids(body, changes.ids))
    edits.add(_users(body, changes.user))
    told = edits.apply(body)
    ends = edits.moved(list(accumulate(len(chunk.data) for chunk in chunks)))
    return tuple(
        Chunk(chunk.at_s, told[start:end])
        for chunk, start, end in zip(chunks, [0, *ends], ends, strict=False)
    )


def _urls(body: bytes, changes: Changes) -> Iterator[Edit]:
    nonces: dict[bytes, str] = {}
    for match in _URL.finditer(body):
        nonce = nonces.setdefault(match["nonce"], "") or changes.nonce()
        nonces[match["nonce"]] = (
            nonce  # the host signs once for each time that it serialises (FACTS 5.6)
        )
        yield Edit(match.start(), match.end(), _signed(match, nonce, changes), "url")


def _signed(match: re.Match[bytes], nonce: str, changes: Changes) -> bytes:
    recorded_id = (match["tool"] or match["image"]).decode()
    file_id = changes.ids.get(recorded_id, recorded_id)
    at = str(int(match["at"]) + changes.shift_s)
    signer = changes.signers.tool_file if match["tool"] else changes.signers.uploaded_image
    sign = signer.sign(file_id, at, nonce).encode()
    padding = sign[43:] if match["padding"] in (None, b"=") else match["padding"]
    origin = changes.own_origin if match["origin"] else changes.origin
    if rb"\/" in match["path"]:
        origin = origin.replace("/", r"\/")
    return b"".join(
        (
            origin.encode(),
            match["path"].replace(recorded_id.encode(), file_id.encode()),
            match["to_at"] + at.encode(),
            match["to_nonce"] + nonce.encode(),
            match["to_sign"] + sign[:43] + padding,
        )
    )


def _times(body: bytes, shift_s: int) -> Iterator[Edit]:
    for match in _TIME.finditer(body) if shift_s else ():
        yield Edit(match.start(1), match.end(1), b"%d" % (int(match[1]) + shift_s), "time")


def _ids(body: bytes, ids: Mapping[str, str]) -> Iterator[Edit]:
    for match in _ANY_UUID.finditer(body) if ids else ():
        fresh = ids.get(match[0].decode())
        if fresh is not None:
            yield Edit(match.start(), match.end(), fresh.encode(), "id")


def _users(body: bytes, user: tuple[str, str] | None) -> Iterator[Edit]:
    """A pseudonym wherever it stands; a user kept as it was only where a field names it, for it may
    be any word.
    """
    if user is None or user[0] == user[1]:
        return
    recorded, caller = (_escaped(name) for name in user)
    name = rb"(" + re.escape(recorded) + rb")"
    pattern = (
        rb"(?<![\w-])" + name + rb"(?![\w-])"
        if USER.fullmatch(user[0])
        else _BEFORE_USER + name + rb'"'
    )
    for match in re.finditer(pattern, body):
        yield Edit(match.start(1), match.end(1), caller, "user")


def _escaped(text: str) -> bytes:
    """As it stands inside of a JSON string of the host (FACTS 1.7)."""
    return json.dumps(text)[1:-1].encode()
