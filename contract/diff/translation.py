"""A recorded request translated for another host, which has other keys, files and tasks.

What one host calls its task, file or nonce, the other calls by another name. The names are learned
from responses to the same request, in the order in which they stand there.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from urllib.parse import quote, unquote

from contract.diff.values import volatile
from contract.signature import SignedUrl, parse_url, signature
from dify_wire.exchange import UUID, Exchange, Recording, Request, announced
from dify_wire.redaction.replacement import KEY

_UUID = re.compile(UUID, re.IGNORECASE)
_FILE = re.compile(r"(?P<start>.*/files/(?:tools/)?)(?P<id>[^./?]+)(?P<end>[^?]*)")
_URL = re.compile(r"(?:https?://[^/?#\"\s]+)?/files/tools/[^\"\s\\]+")
_CREDENTIAL = re.compile(r"(?P<scheme>^\S+\s+|^)\S+")
_TASK = re.compile(r'"(?:task_id|workflow_run_id)": ?"([^"]+)"')
_SIGNATURE_ACCEPTED = frozenset({200, 206, 304, 415, 416})
_FILE_MISSING = 415
_SIGNATURE_REFUSED = 403
_VALID_S = 300
"""How long a signed URL serves its image (FACTS 6.3)."""

_Parts = list[tuple[str, str, str]]
"""A query as names, equals signs and values."""


class NotComparableError(Exception):
    """A request that cannot be repeated; the message says why, and what would help."""


class Translation:
    """From the names of one host to those of another. ``keys`` are the other's keys by the labels
    of their apps.
    """

    def __init__(
        self,
        keys: Mapping[str, str],
        secret: str | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._secret = secret
        self._now = now
        self._clocks_ahead_s: tuple[float, float] | None = None
        self._ids: dict[str, str] = {}
        self._urls: dict[str, tuple[SignedUrl, SignedUrl]] = {}
        self._tokens: dict[str, str] = {}

    def learn(self, ours: Exchange, theirs: Exchange) -> None:
        """Take the names from two responses to the same request."""
        one, other = volatile(ours.text, {}).values, volatile(theirs.text, {}).values
        if [kind for kind, _ in one] == [kind for kind, _ in other]:
            pairs = [(a, b) for (kind, a), (_, b) in zip(one, other, strict=True) if kind == "uuid"]
        else:
            pairs = list(zip(_TASK.findall(ours.text), _TASK.findall(theirs.text), strict=False))
        for a, b in pairs:
            self._ids.setdefault(a, b)
        urls = list(zip(_urls(ours.text), _urls(theirs.text), strict=False))
        if urls:
            first, second = urls[-1]
            seen = (
                int(first.timestamp) - ours.sent_at - ours.seconds,
                int(second.timestamp) - theirs.sent_at - theirs.seconds,
            )
            # A response that arrives long after it was signed makes a clock seem slow.
            before = self._clocks_ahead_s or seen
            self._clocks_ahead_s = max(before[0], seen[0]), max(before[1], seen[1])
        for first, second in urls:
            self._urls.setdefault(first.nonce, (first, second))
            self._ids.setdefault(first.file_id, second.file_id)
            self._tokens |= {first.nonce: second.nonce, first.sign: second.sign}

    def name(self, ours: str, theirs: str) -> None:
        """Take one name before a whole response has named it."""
        self._ids.setdefault(ours, theirs)

    def request(self, recording: Recording) -> Request:
        """The request of ``recording`` for the other host. Raises ``NotComparableError``."""
        request = recording.request
        self._expect_whole(request)
        headers = tuple(
            (name, self._credentials(recording.app, value))
            if name.lower() == "authorization"
            else (name, self._with_keys(value))
            for name, value in request.headers
        )
        body = self._renamed(request.body.decode("latin-1")).encode("latin-1")
        headers = announced(headers, len(request.body), len(body))
        return replace(request, target=self._target(recording), headers=headers, body=body)

    def _expect_whole(self, request: Request) -> None:
        if request.shortened is not None:
            raise NotComparableError("only the beginning of its body was kept")

    def _credentials(self, app: str | None, value: str) -> str:
        if not value or app is None or KEY.search(value):
            return self._with_keys(value)
        return _CREDENTIAL.sub(lambda match: f"{match['scheme']}{self._key(app)}", value, count=1)

    def _with_keys(self, text: str) -> str:
        return KEY.sub(lambda match: self._key(match[1]), text)

    def _key(self, label: str) -> str:
        if label in self._keys:
            return self._keys[label]
        if label.startswith("unknown-"):
            return f"app-{hashlib.sha256(label.encode()).hexdigest()[:24]}"
        raise NotComparableError(f"it needs the key of the app {label!r}; give it as KEY={label}")

    def _renamed(self, text: str) -> str:
        return _UUID.sub(lambda match: self._ids.get(match[0], match[0]), self._with_keys(text))

    # Signed URLs

    def _target(self, recording: Recording) -> str:
        path, mark, query = recording.request.target.partition("?")
        file = _FILE.fullmatch(path)
        if file is None:
            return self._renamed(recording.request.target)
        file_id = self._file_id(recording, file["id"])
        parts = [part.partition("=") for part in query.split("&")]
        known = self._known_url(parts, file["id"])
        changed = [(name, equals, self._value(name, value, known)) for name, equals, value in parts]
        self._expect_same_age(recording, parts, known)
        if recording.status != _SIGNATURE_REFUSED and self._is_signed_by_client(parts):
            own = known[0].timestamp if known else ""
            for at, (name, equals, value) in enumerate(parts):
                if name == "timestamp" and value != own:
                    aged = self._aged(recording, value)
                    changed[at] = (name, equals, aged if aged != value else changed[at][2])
            changed = self._signed(file_id.lower(), changed)
        written = "&".join(f"{name}{equals}{value}" for name, equals, value in changed)
        return f"{file['start']}{file_id}{file['end']}{mark}{written}"

    def _is_signed_by_client(self, parts: _Parts) -> bool:
        """Whether it has all that a URL needs, and a signature that no response had."""
        signs = [unquote(value) for name, _, value in parts if name == "sign"]
        whole = {"timestamp", "nonce", "sign"} <= {name for name, _, value in parts if value}
        return whole and not any(sign in self._tokens for sign in signs)

    def _file_id(self, recording: Recording, file_id: str) -> str:
        found = self._ids.get(file_id.lower())
        if found is None:
            if recording.status in _SIGNATURE_ACCEPTED - {_FILE_MISSING}:
                self._unknown_file()
            return file_id
        return found.upper() if file_id.isupper() else found

    def _unknown_file(self) -> None:
        raise NotComparableError("the response with its URL is not among the recordings")

    def _known_url(self, parts: _Parts, file_id: str) -> tuple[SignedUrl, SignedUrl] | None:
        """The URL that the request was made from, as each host signed it."""
        nonce = next((value for name, _, value in parts if name == "nonce"), "")
        same_file = (pair for pair in self._urls.values() if pair[0].file_id == file_id.lower())
        return self._urls.get(nonce) or next(same_file, None)

    def _value(self, name: str, value: str, known: tuple[SignedUrl, SignedUrl] | None) -> str:
        if name in ("nonce", "sign"):
            bare = unquote(value)
            found = self._tokens.get(bare)
            return value if found is None else quote(found, safe="") if bare != value else found
        if name != "timestamp" or known is None or not _is_number(value):
            return value
        return str(int(value) - int(known[0].timestamp) + int(known[1].timestamp))

    def _aged(self, recording: Recording, value: str) -> str:
        """A time signed by the client at the time of the request: as old for the other host."""
        if self._clocks_ahead_s is None or not _is_number(value):
            return value
        ours, theirs = self._clocks_ahead_s
        return str(int(value) + round(self._now() + theirs - recording.sent_at - ours))

    def _expect_same_age(
        self, recording: Recording, parts: _Parts, known: tuple[SignedUrl, SignedUrl] | None
    ) -> None:
        """Raise ``NotComparableError`` if the URL was valid at one request and is not at the
        other.
        """
        timestamp = next((value for name, _, value in parts if name == "timestamp"), "")
        if known is None or self._clocks_ahead_s is None or timestamp != known[0].timestamp:
            return
        if recording.status not in (200, _SIGNATURE_REFUSED):
            return
        ours, theirs = self._clocks_ahead_s
        then = recording.sent_at + ours - int(known[0].timestamp)
        now = self._now() + theirs - int(known[1].timestamp)
        if (then > _VALID_S) != (now > _VALID_S):
            then, now = max(then, 0), max(now, 0)
            ages = f"{then:.0f} s old when it was recorded and is {now:.0f} s old now"
            raise NotComparableError(f"a URL lives for {_VALID_S} s: it was {ages}")

    def _signed(self, file_id: str, parts: _Parts) -> _Parts:
        """``parts`` with a valid signature, which the client made with the host's secret."""
        if self._secret is None:
            message = "it was signed with the host's SECRET_KEY; give the other host's"
            raise NotComparableError(message)
        values = {name: unquote(value) for name, _, value in reversed(parts)}
        timestamp, nonce = values.get("timestamp", ""), values.get("nonce", "")
        sign = signature(self._secret, file_id, timestamp, nonce)
        return [(name, equals, sign if name == "sign" else value) for name, equals, value in parts]


def _is_number(value: str) -> bool:
    return value.isascii() and value.isdigit()


def _urls(text: str) -> list[SignedUrl]:
    parsed = (parse_url(found) for found in _URL.findall(text.replace("\\u0026", "&")))
    return [url for url in parsed if url is not None]
