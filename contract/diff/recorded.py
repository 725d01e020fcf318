"""Two folders: recordings of the same requests."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import replace
from urllib.parse import unquote

from contract.diff.sides import Compared, NotCompared, Pair, answer_of
from contract.diff.translation import Translation
from contract.diff.volatile import told
from dify_wire.exchange import Recording, Request
from dify_wire.recording.matching import MATCHERS, Matcher, RequestKey
from dify_wire.redaction.pseudonyms import KEY, USER

_USER = re.compile(USER.pattern.encode())


def recorded_twice(a: Sequence[Recording], b: Sequence[Recording]) -> Compared:
    """Recordings of the same requests: of those alike the one of the same name, else the next
    one.
    """
    translation = _Renaming()
    matchers = _matchers(_told_by(b))
    waiting: dict[Hashable, list[Recording]] = {}
    for recording in b:
        waiting.setdefault(
            _identity(matchers, _question(recording.request, recording.app)), []
        ).append(recording)
    names = frozenset(recording.name for recording in a)
    for recording in sorted(
        a, key=lambda one: one.sent_at
    ):  # a run is asked for before the calls that name it
        same = waiting.get(
            _identity(matchers, _question(translation.request(recording), recording.app))
        )
        if not same:
            yield NotCompared(recording.label, "only the first has recorded it")
            continue
        other = min(same, key=lambda one: (one.name != recording.name, one.name in names))
        same.remove(other)
        pair = Pair(recording.label, answer_of(recording), answer_of(other))
        translation.learn(pair.a.exchange, pair.b.exchange)
        yield pair
    for left in waiting.values():
        for recording in left:
            yield NotCompared(recording.label, "only the second has recorded it")


def _identity(matchers: Sequence[Matcher], question: RequestKey) -> Hashable:
    return tuple(matcher.part(question) for matcher in matchers)


def _question(request: Request, app: str | None) -> RequestKey:
    """A request whose user is anybody, also where its body is none that can be read."""
    return RequestKey(replace(request, body=_USER.sub(b"user", request.body)), app)


class _Renaming(Translation):
    """Renames tasks and files, and leaves keys alone: two folders have their labels in common."""

    def __init__(self) -> None:
        super().__init__({})

    def _key(self, label: str) -> str:
        return f"{{{{key:{label}}}}}"

    def _unknown_file(self) -> None:
        """It is another one there, and any may be it."""

    def _aged(self, recording: Recording, value: str) -> str:
        return value

    def _expect_no_other_age(self, *_: object) -> None:
        """Both have been asked already."""

    def _signed(
        self, file_id: str, parts: list[tuple[str, str, str]]
    ) -> list[tuple[str, str, str]]:
        return parts


def _told_by(recordings: Sequence[Recording]) -> frozenset[str]:
    """Every id, nonce and signature that an answer has told."""
    texts = (recording.body.decode("utf-8", "replace") for recording in recordings)
    return frozenset(
        value for text in texts for kind, value in told(text, {}).values if kind != "address"
    )


def _matchers(known: frozenset[str]) -> tuple[Matcher, ...]:
    """Those of a replay, and what else an answer may depend on; ids that nobody told are any
    ids.
    """

    def target(question: RequestKey) -> Hashable:
        found = told(_ODD.sub("<another>", unquote(question.request.target)), {})
        return found.text, tuple(value if value in known else kind for kind, value in found.values)

    def authorization(question: RequestKey) -> Hashable:
        value = KEY.sub(
            lambda match: "*" if match[1].startswith("unknown-") else match[0], _header(question)
        )
        return value if question.app is None else value.partition(" ")[0]

    def origin(question: RequestKey) -> Hashable:
        return tuple(question.request.header(name, "") for name in _ASKED)

    kept = tuple(matcher for matcher in MATCHERS if matcher.name not in ("path", "query"))
    return (
        *kept,
        Matcher("target", target),
        Matcher("authorization", authorization),
        Matcher("headers", origin),
    )


_ODD = re.compile(
    r"(?<=sign=)(?![A-Za-z0-9_-]{43}=(?:&|$))[^&]+|(?<=/files/tools/)(?![0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}[./?])[^./?]{30,}"
)
"""Signatures and ids that no answer tells so: another alphabet, another case, too short."""

_ASKED = (
    "origin",
    "access-control-request-method",
    "access-control-request-headers",
    "range",
    "if-modified-since",
    "if-none-match",
    "expect",
    "transfer-encoding",
)


def _header(question: RequestKey) -> str:
    return question.request.header("authorization", "")
