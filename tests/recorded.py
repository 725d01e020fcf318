"""The recorded exchanges of the real host, and their requests made ready to be sent to another
server.

A request is sent as it was recorded, byte for byte, but for three things that time and place
change: the file behind a URL has another id here, a URL's timestamp is moved to the present, and
its signature follows both. Where only the beginning of a large request was kept, the rest is put
back. What was asked during an outage says so in a header, as a scenario.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import unquote, unquote_plus

import yaml

from dify_wire.app_kind import OTHER_APP_KINDS
from dify_wire.exchange import Recording, Request
from dify_wire.recording.folder import read_folder

RECORDINGS = Path(__file__).parent.parent / "recordings"
HOST = RECORDINGS / "dify-0.6.4"
APPS = RECORDINGS / "apps"

SECRET_KEY = "sk-ref-5Vq2mYt0Jw8ZrXkLh3NcB7uPeD1sAoGf"
"""What the recorded host signed with; with the same key its signatures are checked here, and
renewed.
"""

KEYS: Mapping[str, str] = json.loads((HOST / "keys.json").read_text())
"""The API key of each recorded app, by its label."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One recorded exchange. ``body`` is None where only length and first bytes (``body_head``) of
    a file were kept.

    ``frame_times`` are the arrivals of a stream's frames, in seconds after the request.
    """

    name: str
    app: str | None
    sent_at: float
    request: bytes
    file_known: bool
    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None
    body_head: bytes
    frame_times: tuple[float, ...]

    @property
    def bodiless(self) -> bool:
        return self.request.startswith(b"HEAD ")

    @property
    def is_stream(self) -> bool:
        return self.header("content-type").startswith("text/event-stream")

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")


@cache
def exchanges() -> Mapping[str, Exchange]:
    """All recorded exchanges by name, in the order in which they were made."""
    known = frozenset(yaml.safe_load((RECORDINGS / "known-files.yml").read_text(encoding="utf-8")))
    return {
        recording.name: _exchange(recording, recording.name in known)
        for recording in read_folder(HOST)
    }


def _exchange(recording: Recording, file_known: bool) -> Exchange:
    return Exchange(
        name=recording.name,
        app=recording.app,
        sent_at=recording.sent_at,
        request=_whole(recording.name, recording.request),
        file_known=file_known,
        status=recording.status,
        reason=recording.reason,
        headers=recording.headers,
        body=None if recording.shortened else recording.body,
        body_head=recording.body if recording.shortened else b"",
        frame_times=tuple(chunk.at_s for chunk in recording.chunks),
    )


# Apps
# ------------------------------------------------------------------------------------------


@cache
def outages() -> Mapping[str, str]:
    """By the name of an exchange the scenario that does to the fake what had happened to the
    host.
    """
    payload = yaml.safe_load((RECORDINGS / "outages.yml").read_text(encoding="utf-8"))
    return {name: entry["scenario"] for entry in payload for name in entry["exchanges"]}


@cache
def not_compared() -> tuple[Mapping[str, str], ...]:
    """The exchanges that another server cannot repeat: name, kind and reason of each."""
    return tuple(yaml.safe_load((RECORDINGS / "not-compared.yml").read_text(encoding="utf-8")))


def app_arguments() -> list[str]:
    """The ``--app`` flags of a server with every recorded app."""
    apps = {
        key: label if label in OTHER_APP_KINDS else str(APPS / f"{label}.yml")
        for label, key in KEYS.items()
    }
    return [part for key, what in apps.items() for part in ("--app", f"{key}={what}")]


# Large requests
# ------------------------------------------------------------------------------------------

_PROMPT_END = b'"}, "response_mode": "blocking", "user": "alg123"}'
_LAST_BOUNDARY = b"\r\n------ref--\r\n"
_ENDS = {
    "body_16M": _PROMPT_END,
    "g_nomax_long": _PROMPT_END,
    "deep_json": b"]" * 100_000 + b',"user":"a"}',
    "upload_11M": _LAST_BOUNDARY,
    "upload_16M": _LAST_BOUNDARY,
}


def _whole(name: str, request: Request) -> bytes:
    """The request as it was sent: the byte at the cut goes on for as long as its length and the end
    leave room.
    """
    if request.shortened is None:
        return request.raw()
    body, end = request.body, _ENDS[name]
    return request.raw() + body[-1:] * (request.shortened.size - len(body) - len(end)) + end


# Signed URLs
# ------------------------------------------------------------------------------------------

_FILE_TARGET = re.compile(
    r"(?P<start>\S+ /files/(?:tools/)?)(?P<id>[0-9a-fA-F-]{36})(?P<path>[^ ?]*)\?(?P<query>\S*)"
)


@dataclass(frozen=True, slots=True)
class Signed:
    """What a signature was made over."""

    file_id: str
    timestamp: str
    nonce: str

    def moved(self, ids: Mapping[str, str], shift_s: int) -> Signed:
        return Signed(
            ids.get(self.file_id, self.file_id), _moved(self.timestamp, shift_s), self.nonce
        )

    def sign(self) -> str:
        message = f"file-preview|{self.file_id}|{self.timestamp}|{self.nonce}".encode()
        return base64.urlsafe_b64encode(
            hmac.new(SECRET_KEY.encode(), message, hashlib.sha256).digest()
        ).decode()


def _in_other_alphabet(sign: str) -> str:
    return sign.replace("-", "+").replace("_", "/")


def _with_wrong_character(sign: str) -> str:
    return f"A{sign[1:]}"


_SPELLINGS: tuple[Callable[[str], str], ...] = (str, _in_other_alphabet, _with_wrong_character)
"""How the recorded requests write a good signature."""


def ready(exchange: Exchange, file_id: str, now: float) -> bytes:
    """The request of ``exchange`` for a server of ``app_arguments`` that has the picture
    ``file_id``, sent ``now``.
    """
    if exchange.name in outages():
        header = f"\r\nX-Fake-Scenario: {outages()[exchange.name]}\r\n".encode()
        return exchange.request.replace(b"\r\n", header, 1)
    request = exchange.request.decode("latin-1")
    target = _FILE_TARGET.match(request)
    if target is None:
        return exchange.request
    here = file_id if exchange.file_known else target["id"].lower()
    query = _renewed(
        target["query"], {target["id"].lower(): here}, int(now) - int(exchange.sent_at)
    )
    shown = here if target["id"].islower() else here.upper()
    return f"{target['start']}{shown}{target['path']}?{query}{request[target.end() :]}".encode(
        "latin-1"
    )


def _renewed(query: str, ids: Mapping[str, str], shift_s: int) -> str:
    """``query``, ``shift_s`` later. A signature that was good for some URL becomes the one that is
    good for it here.
    """
    pairs = [part.partition("=")[::2] for part in query.split("&")]
    known = next(
        (found for name, value in pairs if name == "sign" and (found := _known(value))), None
    )
    if known is None:
        return "&".join(_written(name, value, shift_s) for name, value in pairs)
    recorded_sign, over, spell = known
    while True:
        sign = over.moved(ids, shift_s).sign()
        if (
            spell is str or spell(sign) != sign
        ):  # else what shall be a wrong signature would be a good one by chance
            break
        shift_s -= 1
    return "&".join(
        _written(name, spell(sign) if value == recorded_sign else value, shift_s)
        for name, value in pairs
    )


def _written(name: str, value: str, shift_s: int) -> str:
    equals = "=" if value or name in ("timestamp", "nonce", "sign") else ""
    return f"{name}{equals}{_moved(value, shift_s) if name == 'timestamp' else value}"


def _moved(timestamp: str, shift_s: int) -> str:
    if not re.fullmatch(r"[\d_]{10,}", timestamp):
        return timestamp
    moved = int(timestamp) + shift_s
    return f"{moved:_}" if "_" in timestamp else str(moved)


def _known(sign: str) -> tuple[str, Signed, Callable[[str], str]] | None:
    """``sign``, what it is good for, and how it is spelled; None where it was never good for
    anything.
    """
    for spell in _SPELLINGS:
        for good, over in _signatures().items():
            if spell(good) == sign:
                return sign, over, spell
    return None


@cache
def _signatures() -> Mapping[str, Signed]:
    """Every good signature in a recorded request, and what it is for."""
    found: dict[str, Signed] = {}
    for exchange in exchanges().values():
        target = _FILE_TARGET.match(exchange.request.decode("latin-1"))
        if target is None:
            continue
        first = dict(reversed([part.partition("=")[::2] for part in target["query"].split("&")]))
        for over in _readings(target["id"].lower(), first):
            if over.sign() == unquote(first.get("sign", "")):
                found[over.sign()] = over
    return found


def _readings(file_id: str, query: Mapping[str, str]) -> Iterable[Signed]:
    """What the signature may be over: a plus sign was a space for the host, and a plus sign for who
    signed.
    """
    for read in (unquote_plus, unquote):
        yield Signed(file_id, read(query.get("timestamp", "")), read(query.get("nonce", "")))
