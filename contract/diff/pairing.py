"""The two sides of a comparison, and their responses in pairs; two folders are paired here."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import unquote

from contract.diff.translation import Translation
from contract.diff.values import volatile
from contract.target import DEFAULT_TIMEOUT_S
from dify_wire.exchange import Exchange, Recording, Request
from dify_wire.recording.matching import MATCHERS, Matcher, RequestKey
from dify_wire.redaction.pseudonyms import KEY, USER

_USER = re.compile(USER.pattern.encode())
_UNUSUAL = re.compile(
    r"(?<=sign=)(?![A-Za-z0-9_-]{43}=(?:&|$))[^&]+"
    r"|(?<=/files/tools/)(?![0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}[./?])[^./?]{30,}"
)
"""Signatures and ids that no response has: another alphabet, another case, too short."""

_COMPARED_HEADERS = (
    "origin",
    "access-control-request-method",
    "access-control-request-headers",
    "range",
    "if-modified-since",
    "if-none-match",
    "expect",
    "transfer-encoding",
)


@dataclass(frozen=True, slots=True)
class Host:
    """A host to send requests to. ``keys`` maps the labels of apps to their keys, ``main`` among
    them.
    """

    url: str
    keys: Mapping[str, str]
    secret: str | None = None
    max_runs: int | None = None
    timeout_s: float = DEFAULT_TIMEOUT_S

    @property
    def secrets(self) -> list[str]:
        return [*self.keys.values(), *([self.secret] if self.secret else [])]

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class Folder:
    """Recorded responses, in the order of recording."""

    path: Path
    recordings: Sequence[Recording] = field(repr=False)

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two responses to the request ``name``."""

    name: str
    a: Exchange
    b: Exchange


@dataclass(frozen=True, slots=True)
class NotCompared:
    """A request to which only one side has a response, and why."""

    name: str
    reason: str


Pairs = Iterator[Pair | NotCompared]


def pair_recordings(a: Sequence[Recording], b: Sequence[Recording]) -> Pairs:
    """Recordings of the same requests; of several the one of the same name, else the next one."""
    translation = _Renaming()
    matchers = _matchers(_issued_by(b))

    def key(request: Request, app: str | None) -> Hashable:
        # A request whose user is anybody, also where its body cannot be parsed.
        request = replace(request, body=_USER.sub(b"user", request.body))
        return tuple(matcher.part(RequestKey(request, app)) for matcher in matchers)

    unpaired: dict[Hashable, list[Recording]] = {}
    for recording in b:
        unpaired.setdefault(key(recording.request, recording.app), []).append(recording)
    names = frozenset(recording.name for recording in a)
    for recording in sorted(a, key=lambda one: one.sent_at):  # a run before what names it
        same = unpaired.get(key(translation.request(recording), recording.app))
        if not same:
            yield NotCompared(recording.label, "only the first has recorded it")
            continue
        other = min(same, key=lambda one: (one.name != recording.name, one.name in names))
        same.remove(other)
        translation.learn(recording, other)
        yield Pair(recording.label, recording, other)
    for rest in unpaired.values():
        for recording in rest:
            yield NotCompared(recording.label, "only the second has recorded it")


class _Renaming(Translation):
    """Renames tasks and files, and leaves keys alone: two folders have their labels in common."""

    def __init__(self) -> None:
        super().__init__({})

    def _expect_whole(self, request: Request) -> None:
        """Both have been sent already."""

    def _key(self, label: str) -> str:
        return f"{{{{key:{label}}}}}"

    def _unknown_file(self) -> None:
        """It is another one there, and any may be it."""

    def _aged(self, recording: Recording, value: str) -> str:
        return value

    def _expect_same_age(self, *_: object) -> None:
        """Both have been sent already."""

    def _signed(
        self, file_id: str, parts: list[tuple[str, str, str]]
    ) -> list[tuple[str, str, str]]:
        return parts


def _issued_by(recordings: Sequence[Recording]) -> frozenset[str]:
    """Every id, nonce and signature in the responses."""
    texts = (recording.body.decode("utf-8", "replace") for recording in recordings)
    return frozenset(
        value for text in texts for kind, value in volatile(text, {}).values if kind != "address"
    )


def _matchers(known: frozenset[str]) -> tuple[Matcher, ...]:
    """Those of a replay, and what else a response may depend on; unknown ids match any ids."""

    def target(key: RequestKey) -> Hashable:
        found = volatile(_UNUSUAL.sub("<another>", unquote(key.request.target)), {})
        return found.text, tuple(value if value in known else kind for kind, value in found.values)

    def authorization(key: RequestKey) -> Hashable:
        value = KEY.sub(
            lambda match: "*" if match[1].startswith("unknown-") else match[0],
            key.request.header("authorization", ""),
        )
        return value if key.app is None else value.partition(" ")[0]

    def headers(key: RequestKey) -> Hashable:
        return tuple(key.request.header(name, "") for name in _COMPARED_HEADERS)

    common = [matcher for matcher in MATCHERS if matcher.name not in ("path", "query")]
    own = {"target": target, "authorization": authorization, "headers": headers}
    return (*common, *(Matcher(name, part) for name, part in own.items()))
