"""A recorded response rewritten: signed anew, later, for another caller. All other bytes stay.

Edits are made in place, and the borders between chunks stay where they were among the bytes around:
JSON that is parsed and written again would no longer be the host's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from functools import lru_cache
from itertools import accumulate
from typing import Any

from dify_wire.exchange import UUID, Chunk, Recording, Request
from dify_wire.redaction.replacement import USER, Edit, Edits
from fake_server.bounded import BoundedDict
from fake_server.runs.events import STOPPED
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
_UUID = re.compile(UUID.encode(), re.IGNORECASE)
_MOST_ALIASES = 100_000

_KNOWN_BYTES = 64 << 10
_MOST_KNOWN = 256


@lru_cache(_MOST_KNOWN)
def _known_places(pattern: re.Pattern[bytes], body: bytes) -> tuple[re.Match[bytes], ...]:
    return tuple(pattern.finditer(body))


def _places(pattern: re.Pattern[bytes], body: bytes) -> Iterable[re.Match[bytes]]:
    """Where ``pattern`` is in ``body``; looked for once in a body that is replayed again and again,
    unless it is long.
    """
    return _known_places(pattern, body) if len(body) <= _KNOWN_BYTES else pattern.finditer(body)


@dataclass(frozen=True, slots=True)
class Changes:
    """What is different this time.

    ``shift_s`` is added to every unix time, ``ids`` replace recorded ones, ``nonce`` makes a nonce,
    ``user`` are the recorded user and the caller's. ``origin`` is put before URLs that were
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
    """The ids that were made for this response, in their order: those of run, nodes and files.

    What the request names itself, such as an uploaded file, is not among them.
    """
    named = request.target.encode() + request.body
    found = [match[1].decode() for match in _places(_ID, body)] + file_ids(body)
    return [one for one in dict.fromkeys(found) if one.encode() not in named]


def file_ids(body: bytes) -> list[str]:
    """The ids of the images whose signed URLs are in ``body``, each once."""
    tools = (match["tool"] for match in _places(_URL, body))
    return list(dict.fromkeys(tool.decode() for tool in tools if tool))


def rewritten(chunks: Sequence[Chunk], changes: Changes) -> tuple[Chunk, ...]:
    """``chunks`` with ``changes`` in the text that they form; their times and number stay."""
    body = b"".join(chunk.data for chunk in chunks)
    edits = Edits()
    edits.add(_urls(body, changes))
    edits.add(_times(body, changes.shift_s))
    edits.add(_ids(body, changes.ids))
    edits.add(_users(body, changes.user))
    text = edits.apply(body)
    ends = edits.moved(list(accumulate(len(chunk.data) for chunk in chunks)))
    return tuple(
        Chunk(chunk.at_s, text[start:end])
        for chunk, start, end in zip(chunks, [0, *ends], ends, strict=False)
    )


def _urls(body: bytes, changes: Changes) -> Iterator[Edit]:
    nonces: dict[bytes, str] = {}
    for match in _places(_URL, body):
        # The host signs once for each time that it serialises (FACTS 5.6).
        if match["nonce"] not in nonces:
            nonces[match["nonce"]] = changes.nonce()
        signed = _signed(match, nonces[match["nonce"]], changes)
        yield Edit(match.start(), match.end(), signed, "url")


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
    for match in _places(_TIME, body) if shift_s else ():
        yield Edit(match.start(1), match.end(1), b"%d" % (int(match[1]) + shift_s), "time")


def _ids(body: bytes, ids: Mapping[str, str]) -> Iterator[Edit]:
    for match in _places(_ANY_UUID, body) if ids else ():
        fresh = ids.get(match[0].decode())
        if fresh is not None:
            yield Edit(match.start(), match.end(), fresh.encode(), "id")


def _users(body: bytes, user: tuple[str, str] | None) -> Iterator[Edit]:
    """A pseudonym anywhere; another user, who may be any word, only where a field names it."""
    if user is None or user[0] == user[1]:
        return
    # As inside a JSON string of the host (FACTS 1.7).
    recorded, caller = (json.dumps(name)[1:-1].encode() for name in user)
    name = rb"(" + re.escape(recorded) + rb")"
    if USER.fullmatch(user[0]):
        pattern = rb"(?<![\w-])" + name + rb"(?![\w-])"
    else:
        pattern = _BEFORE_USER + name + rb'"'
    for match in _places(re.compile(pattern), body):
        yield Edit(match.start(1), match.end(1), caller, "user")


class Aliases:
    """The recorded id behind each one that was made up for a repeated replay."""

    def __init__(self) -> None:
        self._recorded: BoundedDict[str, str] = BoundedDict(_MOST_ALIASES)

    def add(self, ids: Mapping[str, str]) -> None:
        """Remember ``ids``, fresh ones by the recorded."""
        for recorded, fresh in ids.items():
            self._recorded[fresh] = recorded

    def recorded(self, file_or_task_id: str) -> str:
        """The recorded id; any other id is its own."""
        return self._recorded.get(file_or_task_id.lower()) or file_or_task_id

    def resolved(self, request: Request) -> tuple[Request, Mapping[str, str]]:
        """``request`` as the recorded host knows it, and what its ids are called here."""
        if not len(self._recorded):
            return request, {}
        called: dict[str, str] = {}

        def back(match: re.Match[bytes]) -> bytes:
            fresh = match[0].decode()
            recorded = self.recorded(fresh)
            if recorded != fresh:
                called[recorded] = fresh
            return recorded.encode()

        target = _UUID.sub(back, request.target.encode("latin-1")).decode("latin-1")
        return replace(request, target=target, body=_UUID.sub(back, request.body)), called


_CREATED = re.compile(rb'"created_at"\s*:\s*(\d{9,11})(?!\d)')

_ROUNDING_S = 0.5
"""The host rounds the start of a run to the nearest second, and truncates its end (FACTS 4)."""


@dataclass(frozen=True, slots=True)
class RunEnd:
    """The end of a run as the host sent it: the whole frame or response, and its ``data``."""

    payload: Mapping[str, Any]
    data: Mapping[str, Any]

    @property
    def is_stopped(self) -> bool:
        return self.data.get("status") == "stopped"


def is_stream(recording: Recording) -> bool:
    return recording.header("content-type", "").lower().startswith("text/event-stream")


def run_end(body: bytes, stream: bool) -> RunEnd | None:
    """The end of the run in ``body``; None if there is none."""
    for text in reversed(_frames(body)) if stream else [body]:
        payload = json_object(text)
        data = payload.get("data")
        is_end = payload.get("event", "workflow_finished") == "workflow_finished"
        if isinstance(data, dict) and is_end:
            return RunEnd(payload, data) if "elapsed_time" in data and "status" in data else None
    return None


def frames_data(body: bytes) -> Iterator[Mapping[str, Any]]:
    """The frames of a stream that are JSON objects, in their order."""
    return filter(None, map(json_object, _frames(body)))


def _frames(body: bytes) -> list[bytes]:
    return [line[5:].strip() for line in body.splitlines() if line.startswith(b"data:")]


def json_object(text: bytes) -> dict[str, Any]:
    """``text`` as a JSON object; an empty one if it is something else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


# When


def shift_s(recording: Recording, now: float, speed: float | None) -> int:
    """How many seconds later everything is than on the host, if the replay begins ``now``.

    Whole seconds, so that all relations among the times stay. As in the fake itself, a run ends
    when its replay ends, and nothing lies more than half a second ahead of that.
    """
    waits_s = recording.chunks[-1].at_s if recording.chunks else recording.seconds
    ends_at = now + (waits_s / speed if speed else 0.0)
    end = run_end(recording.body, is_stream(recording))
    ended_at = _ended_at(end.data, recording.body) if end else None
    if ended_at is None:
        ended_at = _host_time(recording) + waits_s
    return int((ends_at - ended_at) // 1)


def _ended_at(data: Mapping[str, Any], body: bytes) -> float | None:
    """The earliest unix time at which a run with these times can have ended."""
    names = ("created_at", "finished_at", "elapsed_time")
    created, finished, elapsed = (data.get(name) for name in names)
    if not (isinstance(created, int) and isinstance(finished, int)):
        return None
    if not isinstance(elapsed, int | float):
        return None
    last_node_at = max((int(match[1]) for match in _places(_CREATED, body)), default=created)
    return max(finished, created - _ROUNDING_S + elapsed, last_node_at - _ROUNDING_S)


def _host_time(recording: Recording) -> float:
    """The unix time of the request on the host's clock, which may differ from the recorder's."""
    first_s = recording.chunks[0].at_s if recording.chunks else recording.seconds
    try:
        return parsedate_to_datetime(recording.header("date", "")).timestamp() - first_s
    except ValueError:
        return recording.sent_at


# Stopped


def stopped_stream(
    sent: Sequence[Chunk], whole: Sequence[Chunk], end: RunEnd, at_s: float
) -> tuple[Chunk, ...] | None:
    """A stream stopped after ``sent`` of ``whole``: the rest of the current frame, and the end.

    None if the end of ``whole`` has begun.
    """
    body = b"".join(chunk.data for chunk in whole)
    size = sum(len(chunk.data) for chunk in sent)
    at_border = not size or body[:size].endswith(b"\n\n")
    frame_end = size if at_border else body.find(b"\n\n", size - 1) + 2
    so_far, rest = body[:frame_end], body[size:frame_end]
    if frame_end < size or run_end(so_far, stream=True):
        return None
    frames = list(frames_data(so_far))
    finished = (frame.get("data") for frame in frames if frame.get("event") == "node_finished")
    counts = {
        "total_tokens": sum(map(_tokens, finished)),
        "total_steps": sum(frame.get("event") == "node_started" for frame in frames),
    }
    last = _json_like(body, {**end.payload, "data": _stopped(end.data, at_s) | counts})
    return (*sent, Chunk(at_s, rest + b"data: " + last + b"\n\n"))


def stopped_response(
    sent: Sequence[Chunk], whole: Sequence[Chunk], end: RunEnd, at_s: float
) -> tuple[Chunk, ...] | None:
    """The blocking response of a run that is stopped, with the tokens and steps of the whole run.

    None if it has begun.
    """
    if sent:
        return None
    body = b"".join(chunk.data for chunk in whole)
    return (Chunk(at_s, _json_like(body, {**end.payload, "data": _stopped(end.data, at_s)})),)


def _stopped(data: Mapping[str, Any], at_s: float) -> dict[str, Any]:
    changed: dict[str, Any] = {
        "status": "stopped",
        "outputs": None,
        "error": STOPPED,
        "elapsed_time": at_s,
        "files": [],
    }
    if isinstance(data.get("created_at"), int):
        changed["finished_at"] = data["created_at"] + int(at_s)
    return {**data, **{name: value for name, value in changed.items() if name in data}}


def _tokens(data: Any) -> int:
    usage = data.get("execution_metadata") if isinstance(data, dict) else None
    return int(usage.get("total_tokens") or 0) if isinstance(usage, dict) else 0


def _json_like(body: bytes, value: Mapping[str, Any]) -> bytes:
    """JSON in the style of ``body``: versions of the host differ in spaces and escapes."""
    separators = (", ", ": ") if b'": ' in body else (",", ":")
    return json.dumps(value, separators=separators, ensure_ascii=body.isascii()).encode()
