"""A recorded request made fit for another host: its keys, its files and its tasks are others there.

What the one host called its task, its file, its nonce, the other calls by another name; the names
are learned from answers to the same request, in the order in which they stand there.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from urllib.parse import quote, unquote

from contract.diff.volatile import told
from contract.signature import SignedUrl, parse_url
from dify_wire.exchange import Exchange, Recording, Request, announced
from dify_wire.ids import UUID
from dify_wire.redaction.pseudonyms import KEY

_UUID = re.compile(UUID, re.IGNORECASE)
_FILE = re.compile(r"(?P<start>.*/files/(?:tools/)?)(?P<id>[^./?]+)(?P<end>[^?]*)")
_URL = re.compile(r"(?:https?://[^/?#\"\s]+)?/files/tools/[^\"\s\\]+")
_CREDENTIAL = re.compile(r"(?P<scheme>^\S+\s+|^)\S+")
_TASK = re.compile(r'"(?:task_id|workflow_run_id)": ?"([^"]+)"')
_GOOD = frozenset({200, 206, 304, 415, 416})
"""What a host answers only once it has found a signature good."""

_BAD_SIGNATURE = 403
_VALID_S = 300
"""How long a signed URL serves its image (FACTS 6.3)."""


class NotComparableError(Exception):
    """A request that cannot be repeated; as text, why not, and what would help."""


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
        self._told_at: tuple[float, float] | None = None
        self._ids: dict[str, str] = {}
        self._urls: dict[str, tuple[SignedUrl, SignedUrl]] = {}
        self._tokens: dict[str, str] = {}

    def learn(self, ours: Exchange, theirs: Exchange) -> None:
        """Take the names from two answers to the same request."""
        one, other = told(ours.text, {}).values, told(theirs.text, {}).values
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
            before = (
                self._told_at or seen
            )  # what arrived late after it was signed makes a clock seem slow
            self._told_at = max(before[0], seen[0]), max(before[1], seen[1])
        for first, second in urls:
            self._urls.setdefault(first.nonce, (first, second))
            self._ids.setdefault(first.file_id, second.file_id)
            self._tokens |= {first.nonce: second.nonce, first.sign: second.sign}

    def name(self, ours: str, theirs: str) -> None:
        """Take one name, of which no whole answer has told yet."""
        self._ids.setdefault(ours, theirs)

    def request(self, recording: Recording) -> Request:
        """The request of ``recording`` for the other host. Raises ``NotComparableError``."""
        request = recording.request
        if request.shortened is not None:
            raise NotComparableError("only the beginning of its body was kept")
        headers = tuple(
            (name, self._header(recording.app, name, value)) for name, value in request.headers
        )
        body = self._named(request.body.decode("latin-1")).encode("latin-1")
        target = self._target(recording)
        headers = announced(headers, len(request.body), len(body))
        return replace(request, target=target, headers=headers, body=body)

    def _header(self, app: str | None, name: str, value: str) -> str:
        if name.lower() != "authorization" or not value:
            return self._keyed(value)
        if app is None or KEY.search(value):
            return self._keyed(value)
        return _CREDENTIAL.sub(lambda match: f"{match['scheme']}{self._key(app)}", value, count=1)

    def _keyed(self, text: str) -> str:
        return KEY.sub(lambda match: self._key(match[1]), text)

    def _key(self, label: str) -> str:
        if label in self._keys:
            return self._keys[label]
        if label.startswith("unknown-"):
            return f"app-{hashlib.sha256(label.encode()).hexdigest()[:24]}"
        raise NotComparableError(f"it needs the key of the app {label!r}; lend it as KEY={label}")

    def _named(self, text: str) -> str:
        return _UUID.sub(lambda match: self._ids.get(match[0], match[0]), self._keyed(text))

    # Signed URLs
    # ----------------------------------------------------------------------------------------------------

    def _target(self, recording: Recording) -> str:
        path, mark, query = recording.request.target.partition("?")
        file = _FILE.fullmatch(path)
        if file is None:
            return self._named(recording.request.target)
        file_id = self._file_id(recording, file["id"])
        parts = [part.partition("=") for part in query.split("&")]
        known = self._known(parts, file["id"])
        changed = [(name, equals, self._value(name, value, known)) for name, equals, value in parts]
        self._expect_no_other_age(recording, parts, known)
        if recording.status != _BAD_SIGNATURE and self._is_signed_apart(parts):
            own = known[0].timestamp if known else ""
            aged = [
                value if name != "timestamp" or value == own else self._aged(recording, value)
                for name, _, value in parts
            ]
            changed = [
                (name, equals, new if new != value else translated)
                for (name, equals, value), new, (_, _, translated) in zip(
                    parts, aged, changed, strict=True
                )
            ]
            changed = self._signed(file_id.lower(), changed)
        written = "&".join(f"{name}{equals}{value}" for name, equals, value in changed)
        return f"{file['start']}{file_id}{file['end']}{mark}{written}"

    def _is_signed_apart(self, parts: list[tuple[str, str, str]]) -> bool:
        """Whether it has all that a URL needs, and a signature that no answer has told."""
        whole = {"timestamp", "nonce", "sign"} <= {name for name, _, value in parts if value}
        return whole and not any(
            name == "sign" and unquote(value) in self._tokens for name, _, value in parts
        )

    def _file_id(self, recording: Recording, said: str) -> str:
        found = self._ids.get(said.lower())
        if found is None and recording.status in _GOOD - {
            415
        }:  # 415 is what a file that is not there gets (FACTS 6)
            self._unknown_file()
        return said if found is None else found.upper() if said.isupper() else found

    def _unknown_file(self) -> None:
        raise NotComparableError("the answer that told its URL is not among the recordings")

    def _known(
        self, parts: list[tuple[str, str, str]], file_id: str
    ) -> tuple[SignedUrl, SignedUrl] | None:
        """The URL that the request was made from, as both hosts told it."""
        nonce = next((value for name, _, value in parts if name == "nonce"), "")
        same_file = (pair for pair in self._urls.values() if pair[0].file_id == file_id.lower())
        return self._urls.get(nonce) or next(same_file, None)

    def _value(self, name: str, value: str, known: tuple[SignedUrl, SignedUrl] | None) -> str:
        if name in ("nonce", "sign"):
            bare = unquote(value)
            found = self._tokens.get(bare)
            return value if found is None else quote(found, safe="") if bare != value else found
        if name != "timestamp" or known is None or not (value.isascii() and value.isdigit()):
            return value
        return str(int(value) - int(known[0].timestamp) + int(known[1].timestamp))

    def _aged(self, recording: Recording, value: str) -> str:
        """A time that was signed for the moment of the request: as old for the other host as it was
        for the one.
        """
        if self._told_at is None or not (value.isascii() and value.isdigit()):
            return value
        ours, theirs = self._told_at  # how far each host's clock is ahead of ours
        return str(int(value) + round(self._now() + theirs - recording.sent_at - ours))

    def _expect_no_other_age(
        self,
        recording: Recording,
        parts: list[tuple[str, str, str]],
        known: tuple[SignedUrl, SignedUrl] | None,
    ) -> None:
        """Raise ``NotComparableError`` where one side asked before a URL expired and the other
        would ask after it.
        """
        stamp = next((value for name, _, value in parts if name == "timestamp"), "")
        if (
            known is None
            or self._told_at is None
            or stamp != known[0].timestamp
            or recording.status not in (200, 403)
        ):
            return
        ours, theirs = self._told_at
        then = recording.sent_at + ours - int(known[0].timestamp)
        now = self._now() + theirs - int(known[1].timestamp)
        if (then > _VALID_S) != (now > _VALID_S):
            ages = (
                f"{max(then, 0):.0f} s old when it was recorded and is {max(now, 0):.0f} s old now"
            )
            raise NotComparableError(f"a URL lives for {_VALID_S} s: it was {ages}")

    def _signed(
        self, file_id: str, parts: list[tuple[str, str, str]]
    ) -> list[tuple[str, str, str]]:
        """``parts`` with a good signature: the request was signed by somebody who knew the host's
        secret.
        """
        if self._secret is None:
            raise NotComparableError(
                "it was signed with the host's SECRET_KEY; lend the other host's"
            )
        said = {name: unquote(value) for name, _, value in reversed(parts)}
        message = f"file-preview|{file_id}|{said.get('timestamp', '')}|{said.get('nonce', '')}"
        mac = base64.urlsafe_b64encode(
            hmac.new(self._secret.encode(), message.encode(), hashlib.sha256).digest()
        )
        return [
            (name, equals, mac.decode() if name == "sign" else value)
            for name, equals, value in parts
        ]


def _urls(text: str) -> list[SignedUrl]:
    parsed = (parse_url(found) for found in _URL.findall(text.replace("\\u0026", "&")))
    return [url for url in parsed if url is not None]
