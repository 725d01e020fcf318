"""The recorded exchanges of the later versions, sent to a fake of each and compared.

Ids that a recorded response handed out are replaced, in later requests, by those that the fake
handed out in its place. What no two runs have in common (ids, times, nonces, durations, counts of
tokens, sizes) is made the same on both sides.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from urllib.parse import unquote

import yaml

from dify_wire.app_kind import OTHER_APP_KINDS
from dify_wire.exchange import Recording, Request
from dify_wire.profile import HOST_VERSIONS
from dify_wire.recording.folder import read_folder
from tests.recorded import APPS, RECORDINGS
from tests.serving import RawAnswer, RunningServer, raw_exchange

SECRETS = {
    "0.6.9": "sk-ref069-7Wk2zRm4Bt8YqXdNh5JcG3uPeL1sVaFo",
    "0.15.3": "sk-ref-5Vq2mYt0Jw8ZrXkLh3NcB7uPeD1sAoGf",
    "1.4.3": "sk-ref143-2Vb6kXs0Jw8ZrXkLh3NcB7uPeD1sAoGf",
    "1.10.1": "sk-ref1101-7Wx3nYs0Jw8ZrXkLh3NcB7uPeD1sAoGf",
    "1.13.3": "sk-ref1133-4Kp9nYs0Jw8ZrXkLh3NcB7uPeD1sAoGf",
    "1.14.2": "sk-ref1142-9Tq4mZs0Jw8ZrXkLh3NcB7uPeD1sAoGf",
}
VERSIONS = [version for version in HOST_VERSIONS[::-1] if version in SECRETS]

_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_FREE_HEADERS = ("server", "date", "content-length", "transfer-encoding", "connection")
_SETS = ("allow", "access-control-allow-headers", "access-control-allow-methods")
_FILE = re.compile(rf"\w+ (/files/(?:tools/)?({_ID})[^ ?]*)\?(\S*) ", re.IGNORECASE)
_NUMBER = "total_tokens total_steps sequence_number prompt_tokens completion_tokens index size"
_TIME = "created_at finished_at expiration_time"
_SECONDS = "elapsed_time latency time_to_first_token time_to_generate"
_VOLATILE = [
    (rf'("(?:{names.replace(" ", "|")})": ?){number}', rf"\1<{kind}>")
    for names, number, kind in (
        (_TIME, r"\d{10}\b", "time"),
        (_SECONDS, "[0-9.e-]+", "seconds"),
        (_NUMBER, r"\d+", "number"),
    )
] + [
    (r"timestamp(=|': ')\d{10}", r"timestamp\1<time>"),
    (r"nonce=[0-9a-f]{32}", "nonce=<nonce>"),
    (r"sign=[A-Za-z0-9_-]{43}(=|%3D)", r"sign=<sign>\1"),
    (r"\b[0-9a-f]{32}\b", "<hex>"),
    (r"sys.timestamp(\W+)\d{10}", r"sys.timestamp\1<time>"),
    (r"dify-file-ref:[A-Za-z0-9+/=]+", "dify-file-ref:<id>"),
]


@cache
def outages() -> Mapping[str, str]:
    """By the name of an exchange the scenario that does to the fake what was done to the host."""
    payload = yaml.safe_load((RECORDINGS / "later-outages.yml").read_text(encoding="utf-8"))
    return {name: entry["scenario"] for entry in payload for name in entry["exchanges"]}


@cache
def not_compared(version: str) -> Mapping[str, str]:
    """The exchanges of a version that the fake cannot repeat, with the reason of each."""
    payload = yaml.safe_load((RECORDINGS / "later-not-compared.yml").read_text(encoding="utf-8"))
    return {
        name: f"{entry['kind']}: {entry['reason']}"
        for entry in payload
        if version in entry["versions"]
        for name in entry["exchanges"]
    }


@cache
def _known_files() -> frozenset[str]:
    return frozenset(yaml.safe_load((RECORDINGS / "known-files.yml").read_text(encoding="utf-8")))


@cache
def recordings(version: str) -> Mapping[str, Recording]:
    return {one.name: one for one in read_folder(RECORDINGS / f"dify-{version}")}


def server_options(version: str) -> list[str]:
    """The flags of a fake that has the recorded apps of ``version`` under their recorded keys."""
    keys = json.loads((RECORDINGS / f"dify-{version}" / "keys.json").read_text("utf-8"))
    own = APPS / f"dify-{version}"
    folder = own if own.is_dir() else APPS
    options = ["--speed", "instant", "--host-version", version, "--secret-key", SECRETS[version]]
    for label, key in keys.items():
        file = folder / f"{label}.yml"
        beside = file.with_suffix(".fake.yml")
        what = (
            label if label in OTHER_APP_KINDS else f"{file}+{beside}" if beside.exists() else file
        )
        if label in OTHER_APP_KINDS or file.exists():
            options += ["--app", f"{key}={what}"]
    return options


@dataclass(slots=True)
class Comparison:
    """The fake of a version while the recorded requests are sent to it, one after the other."""

    version: str
    server: RunningServer
    image_id: str
    ids: dict[str, str] = field(default_factory=dict)

    @classmethod
    def with_image(cls, version: str, server: RunningServer) -> Comparison:
        """The fake has an image, for the requests of those that the host had."""
        body = b'{"inputs": {"prompt": "a"}, "response_mode": "blocking", "user": "a"}'
        key = ("Authorization", f"Bearer {server.api_key}")
        headers = (key, ("Content-Type", "application/json"), ("Content-Length", str(len(body))))
        run = Request("POST", "/v1/workflows/run", (("Host", "a"), *headers), body)
        answer = raw_exchange(server.host, server.port, run.raw()).body.decode()
        return cls(version, server, re.findall(rf"/files/tools/({_ID})", answer)[0])

    def differences(self, one: Recording) -> list[str]:
        """What the fake's response has otherwise."""
        answer = raw_exchange(self.server.host, self.server.port, self._request(one), timeout=5)
        recorded, got = one.body.decode("utf-8", "replace"), answer.body.decode("utf-8", "replace")
        if answer.status == one.status:
            self.ids.update(_ids(_values(recorded), _values(got)))
        return answer_differences(one, answer, self._here(recorded))

    def _request(self, one: Recording) -> bytes:
        raw = one.request.raw().decode("latin-1")
        if one.name in outages():
            raw = raw.replace("\r\n", f"\r\nX-Fake-Scenario: {outages()[one.name]}\r\n", 1)
        file = _FILE.match(raw)
        if file is not None:
            if one.name in _known_files():
                self.ids.setdefault(file[2].lower(), self.image_id)
            raw = raw.replace(file[3], self._signed(one, file[1], file[2].lower(), file[3]), 1)
        return self._here(raw).encode("latin-1")

    def _here(self, text: str) -> str:
        """``text`` with the fake's own ids in place of the recorded ones."""
        for theirs, ours in self.ids.items():
            if theirs in text or theirs.upper() in text:
                text = text.replace(theirs, ours).replace(theirs.upper(), ours.upper())
        return text

    def _signed(self, one: Recording, path: str, file_id: str, query: str) -> str:
        """``query`` for today; a signature that was good is good again."""
        values = dict(reversed([part.partition("=")[::2] for part in query.split("&")]))
        sign, stamp = unquote(values.get("sign", "")), unquote(values.get("timestamp", ""))
        kind = "image-preview" if path.endswith("/image-preview") else "file-preview"
        nonce = unquote(values.get("nonce", ""))
        moved = stamp
        if re.fullmatch(r"\d{10}", stamp):
            moved = str(int(stamp) + int(time.time()) - int(one.sent_at))
            query = query.replace(f"timestamp={stamp}", f"timestamp={moved}")
        if sign != self._sign(kind, file_id, stamp, nonce):
            return query
        good = self._sign(kind, self.ids.get(file_id, file_id), moved, nonce)
        return query.replace(values["sign"], good if "%" not in values["sign"] else _quoted(good))

    def _sign(self, kind: str, file_id: str, stamp: str, nonce: str) -> str:
        message = f"{kind}|{file_id}|{stamp}|{nonce}".encode()
        digest = hmac.new(SECRETS[self.version].encode(), message, hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).decode()


def _values(text: str) -> object:
    """JSON, or the frames of a stream by event, node and turn; None for anything else."""
    try:
        return json.loads(text)
    except ValueError:
        frames: dict[str, object] = {}
        for line in text.split("\n\n"):
            if line.startswith("data: {"):
                frame = json.loads(line.removeprefix("data: "))
                data = frame.get("data")
                node = data.get("node_id") if isinstance(data, dict) else None
                frames.setdefault(f"{frame.get('event')} {node}", frame)
        return frames


def _ids(theirs: object, ours: object) -> Iterator[tuple[str, str]]:
    """The ids and tokens that stand in the same places."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name in theirs.keys() & ours.keys():
            if name == "form_token" and theirs[name] and ours[name]:
                yield theirs[name], ours[name]
            yield from _ids(theirs[name], ours[name])
    elif isinstance(theirs, list) and isinstance(ours, list):
        for their, our in zip(theirs, ours, strict=False):
            yield from _ids(their, our)
    elif isinstance(theirs, str) and isinstance(ours, str):
        found = re.findall(_ID, theirs), re.findall(_ID, ours)
        yield from zip(*found, strict=True) if len(found[0]) == len(found[1]) else ()


def _quoted(sign: str) -> str:
    return sign.replace("=", "%3D")


def answer_differences(one: Recording, answer: RawAnswer, recorded: str | None = None) -> list[str]:
    """What ``answer`` has otherwise than ``one``, whose body ``recorded`` may stand for."""
    theirs = one.body.decode("utf-8", "replace") if recorded is None else recorded
    return list(_differences(one, answer, theirs, answer.body.decode("utf-8", "replace")))


def _differences(one: Recording, answer: RawAnswer, recorded: str, got: str) -> Iterator[str]:
    if answer.status != one.status:
        yield f"status {answer.status} instead of {one.status}: {got[:200]}"
    theirs, ours = _headers(one.headers), _headers(answer.headers)
    if theirs != ours:
        yield f"headers {ours} instead of {theirs}"
    if one.request.method == "HEAD" or one.shortened:
        return
    if one.media_type == "text/event-stream":
        theirs_, ours_ = _frames(recorded), _frames(got)
        if theirs_ != ours_:
            yield f"stream {ours_} instead of {theirs_}"
    elif one.media_type == "text/html":
        if "text/html" not in dict(_headers(answer.headers)).get("content-type", ""):
            yield f"no page: {got[:200]}"
    elif normal(recorded) != normal(got):
        yield f"body {normal(got)[:400]} instead of {normal(recorded)[:400]}"


def _headers(headers: object) -> list[tuple[str, str]]:
    pairs = [(str(name).lower(), str(value)) for name, value in headers]  # type: ignore[attr-defined]
    return [
        (name, ", ".join(sorted(re.split(", *", value))) if name in _SETS else value)
        for name, value in pairs
        if name not in _FREE_HEADERS
    ]


def _frames(text: str) -> object:
    """What holds for a stream whatever time its nodes take: its first and last event, the kinds of
    the others, and the fields of each kind in their order.
    """
    fields: dict[str, list[list[str]]] = {}
    names = []
    for frame in filter(None, text.split("\n\n")):
        if not frame.startswith("data: {"):
            names.append(frame)
            continue
        envelope = json.loads(frame.removeprefix("data: "))
        name, data = str(envelope.get("event")), envelope.get("data")
        fields.setdefault(name, [list(envelope), list(data) if isinstance(data, dict) else []])
        names.append(name)
    events = [name for name in names if name in fields]
    return names[:1], events[:1], events[-1:], sorted(fields.items())


def normal(text: str) -> str:
    """``text`` without what differs from run to run."""
    seen: dict[str, str] = {}
    text = re.sub(_ID, lambda found: seen.setdefault(found[0], f"<id {len(seen)}>"), text)
    for pattern, replacement in _VOLATILE:
        text = re.sub(pattern, replacement, text)
    return text
