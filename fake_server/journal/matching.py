"""Which entries a description fits, and what tells one from it, field by field.

A description is JSON: ``method``, ``path`` (``*`` stands for anything), ``operation``, ``user``,
``prompt``, ``model``, ``mode``, ``status``, ``header`` (name to value, null for "absent") and
``json`` (a part of the body). What it leaves out is not asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from dify_wire.strict import did_you_mean
from fake_server.journal.entry import Entry
from fake_server.journal.reading import json_of, user_of

MISSING = "(missing)"
"""Shown for what is not there."""


class MatchError(ValueError):
    """A description that cannot be used; ``place`` is the way to what is wrong in it."""

    def __init__(self, place: str, message: str) -> None:
        super().__init__(f"{place}: {message}")
        self.place = place
        self.message = message


@dataclass(frozen=True, slots=True)
class Difference:
    """A field in which an entry is not as it was described."""

    field: str
    wanted: Any
    got: Any


@dataclass(frozen=True, slots=True)
class Match:
    """A checked description."""

    said: Mapping[str, Any]

    def differences(self, entry: Entry) -> list[Difference]:
        """What of ``entry`` does not fit; empty where it matches."""
        return [
            one
            for field, wanted in self.said.items()
            for one in FIELDS[field].differences(field, wanted, entry)
        ]


def read_match(said: object) -> Match:
    """The description that ``said`` is. Raises ``MatchError``."""
    if not isinstance(said, dict):
        raise MatchError(
            "match", f'an object is needed, such as {{"path": "/v1/workflows/run"}}, not {said!r}'
        )
    for field, wanted in said.items():
        if field not in FIELDS:
            raise MatchError(
                f"match.{field}",
                f"this is no field of a match{did_you_mean(field, FIELDS)}; there are: {', '.join(FIELDS)}",
            )
        if isinstance(wanted, bool) or not isinstance(wanted, FIELDS[field].kinds):
            raise MatchError(f"match.{field}", f"{FIELDS[field].needed} is needed, not {wanted!r}")
    for name, value in said.get("header", {}).items():
        if value is not None and not isinstance(value, str):
            raise MatchError(
                f"match.header.{name}", f"a text is needed, or null for absent, not {value!r}"
            )
    return Match(said)


@dataclass(frozen=True, slots=True)
class _Field:
    """One field of a description: the values it takes, and how they are compared with an entry."""

    kinds: tuple[type, ...]
    needed: str
    differences: Callable[[str, Any, Entry], Iterator[Difference]]


def _compared(
    value: Callable[[Entry], Any], same: Callable[[Any, Any], bool] | None = None
) -> _Field:
    def differences(field: str, wanted: Any, entry: Entry) -> Iterator[Difference]:
        got = value(entry)
        if not (same(wanted, got) if same else _equal(wanted, got)):
            yield Difference(field, wanted, MISSING if got is None else got)

    return _Field((str,), "a text", differences)


def _input(name: str) -> Callable[[Entry], Any]:
    def value(entry: Entry) -> Any:
        inputs = _body_field(entry, "inputs")
        return inputs.get(name) if isinstance(inputs, dict) else None

    return value


def _body_field(entry: Entry, name: str) -> Any:
    body = json_of(entry)
    return body.get(name) if isinstance(body, dict) else None


def _headers_differ(
    field: str, wanted: Mapping[str, str | None], entry: Entry
) -> Iterator[Difference]:
    for name, value in wanted.items():
        key = name.lower().encode("latin-1", "replace")
        sent = [one.decode("latin-1") for known, one in entry.scope["headers"] if known == key]
        if (value is None and sent) or (value is not None and value not in sent):
            yield Difference(f"{field}.{name}", value, ", ".join(sent) if sent else MISSING)


def _json_differs(field: str, wanted: Any, entry: Entry) -> Iterator[Difference]:
    yield from _part_differs(field, wanted, json_of(entry))


def _part_differs(field: str, wanted: Any, got: Any) -> Iterator[Difference]:
    """An object fits if each of its wanted names does; anything else has to be equal."""
    if not isinstance(wanted, dict) or not isinstance(got, dict):
        if not _equal(wanted, got):
            yield Difference(field, wanted, got)
        return
    for name, value in wanted.items():
        if name in got:
            yield from _part_differs(f"{field}.{name}", value, got[name])
        else:
            yield Difference(f"{field}.{name}", value, MISSING)


def _equal(wanted: Any, got: Any) -> bool:
    """Equal as JSON has it: true is not 1."""
    return bool(wanted == got) and isinstance(wanted, bool) == isinstance(got, bool)


def _fits(pattern: str, path: str) -> bool:
    return fnmatchcase(path, pattern.replace("[", "[[]"))


FIELDS: dict[str, _Field] = {
    "method": _compared(
        lambda entry: entry.scope["method"], lambda wanted, got: wanted.upper() == got
    ),
    "path": _compared(lambda entry: entry.scope["path"], _fits),
    "operation": _compared(lambda entry: entry.operation),
    "user": _compared(user_of),
    "prompt": _compared(_input("prompt")),
    "model": _compared(_input("model_name")),
    "mode": _compared(lambda entry: _body_field(entry, "response_mode")),
    "status": _Field((int,), "a number", _compared(lambda entry: entry.status).differences),
    "header": _Field((dict,), "an object of names and values", _headers_differ),
    "json": _Field((dict, list, str, int, float), "JSON", _json_differs),
}
