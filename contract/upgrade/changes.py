"""Differences between the recordings of two versions as changes of the host, worst first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Any

from contract.diff.difference import ABSENT, EVERY_EVENT, Difference, Group, grouped
from contract.diff.pairing import Pair, pair_recordings
from contract.upgrade.app import AppParts, recorded_app
from contract.upgrade.evidence import Action, Evidence, actions_between, supporting
from contract.upgrade.pairs import NO_ROUTE, OTHER_STATE, differences, texts
from dify_wire.exchange import Recording
from dify_wire.profile import HOST_VERSIONS, overlay_paths
from dify_wire.recording.folder import read_folder
from dify_wire.spec import load
from dify_wire.strict import counted
from dify_wire.text_file import RecordingError, SpecError, bundled

_EXCERPT = 400
"""Characters of a request or response that are shown."""

_OUTCOME = 100
"""The same of a response that stands in a list."""

_PARAMETER = re.compile(r"\\\{[^{}]+\\\}")
_ID = re.compile(r"/(?:[0-9A-Fa-f-]{36}|[A-Za-z0-9]{22})(?=/|\.|$)")
_ERROR_TEXTS = re.compile(r".*\.(message|error|error_message|content)")
_INSIDE_NODES = re.compile(
    r"(node_|every event).*\.(inputs|process_data|execution_metadata|extras)\b.*"
)
_WRITTEN = frozenset({"key order", "header order", "style", "framing", "identity"})
"""Kinds of differences that a client meets only where it reads bytes and not values."""

_TITLES = {
    "keys": "fields of {place}",
    "key order": "order of the fields of {place}",
    "type": "type of {place}",
    "header": "header {place}",
    "header order": "order of the headers",
    "events": "event {place}",
    "framing": "framing of {place}",
    "style": "JSON of {place}",
    "ping": "ping ({place})",
    "length": "length of {place}",
    "identity": "repeated values of {place}",
}


class Severity(IntEnum):
    """How much a client notices of a change, worst first."""

    BREAKS = 0
    CHANGES = 1
    ADDS = 2
    WRITES = 3

    @property
    def heading(self) -> str:
        return _HEADINGS[self]


_HEADINGS = {
    Severity.BREAKS: "Breaks clients: refused, gone, of another type, or without an end",
    Severity.CHANGES: "Reads otherwise: statuses, texts, headers, values",
    Severity.ADDS: "Is new: fields, events, headers, routes",
    Severity.WRITES: "Is only written otherwise: order, spaces, escapes",
}


_COUNTED = {
    Severity.BREAKS: ("breaks clients", "break clients"),
    Severity.CHANGES: ("reads otherwise", "read otherwise"),
    Severity.ADDS: ("is new", "are new"),
    Severity.WRITES: ("is only written otherwise", "are only written otherwise"),
}
"""The same behind a number: one, or any other."""


@dataclass(frozen=True, slots=True)
class Sides:
    """One recorded request with its response in both versions, in short."""

    name: str
    request: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Change:
    """What a host of the second version does otherwise, at ``place`` (and ``places``).

    ``requests`` names the recorded requests that show it; ``sides`` is the first of them.
    ``evidence`` is what the overlays say about it.
    """

    severity: Severity
    kind: str
    place: str
    before: str
    after: str
    requests: tuple[str, ...]
    sides: Sides
    places: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()

    @property
    def title(self) -> str:
        if self.kind == "route":
            return f"{'new' if self.before == ABSENT else 'gone'}: {self.place}"
        return _TITLES.get(self.kind, "{place}").format(place=self.place)


@dataclass(frozen=True, slots=True)
class Upgrade:
    """Everything that changes from version ``a`` to version ``b``.

    ``compared`` counts the requests that both recorded, ``differing`` those with a difference.
    ``left_out`` are changes that do not concern the app ``app``, if one was given; ``stated`` are
    actions of the overlays that no recorded difference shows.
    """

    a: str
    b: str
    compared: int
    differing: int
    changes: tuple[Change, ...]
    stated: tuple[Action, ...] = ()
    app: AppParts | None = None
    left_out: tuple[Change, ...] = ()

    def of(self, severity: Severity) -> list[Change]:
        return [change for change in self.changes if change.severity == severity]

    @property
    def headline(self) -> str:
        versions = f"Dify {self.a} to {self.b}"
        if not self.changes:
            return f"{versions}: no difference in {self.compared} requests."
        counts = ", ".join(
            f"{len(found)} {words[len(found) != 1]}"
            for found, words in ((self.of(one), _COUNTED[one]) for one in Severity)
        )
        changes = counted(len(self.changes), "change")
        return f"{versions}: {changes} in {self.differing} of {self.compared} requests; {counts}."


def upgrade(a: str, b: str, app: AppParts | None = None) -> Upgrade:
    """Compare the recordings of two recorded versions, for ``app`` only what concerns it.

    Raises ``SpecError`` and ``RecordingError``.
    """
    before, after = _recordings_of_both(a, b)
    routes = list(dict.fromkeys([*_routes(b), *_routes(a)]))
    pairs = [  # without what went past the proxy, to parts of the host that no client reaches
        (one, after[name])
        for name, one in before.items()
        if name in after and not OTHER_STATE.fullmatch(name) and one.header("server") != "gunicorn"
    ]
    found = [
        difference
        for one, other in pairs
        for difference in differences(one, other, _area(other, routes))
    ]
    actions = actions_between(a, b)
    documents = [_document(a), _document(b)]
    changes = [
        _change(group, names, before, after, supporting(actions, group, names, documents))
        for group, names in _groups(found)
    ]
    changes.sort(key=lambda one: (one.severity, -len(one.requests), one.kind, one.place))
    concerning = [
        one
        for one in changes
        if app is None or app.concerned_by(one.places, _apps_of(one, after, b))
    ]
    shown = {
        (evidence.action.version, evidence.action.description)
        for one in changes
        for evidence in one.evidence
    }
    stated = {
        (action.version, action.description): action
        for action in reversed(actions)
        if action.description and (action.version, action.description) not in shown
    }
    return Upgrade(
        a=a,
        b=b,
        compared=len(pairs),
        differing=len({one.request for one in found}),
        changes=tuple(concerning),
        stated=tuple(reversed(stated.values())),
        app=app,
        left_out=tuple(one for one in changes if one not in concerning),
    )


def _apps_of(change: Change, recordings: Mapping[str, Recording], version: str) -> list[AppParts]:
    """The apps that the requests of ``change`` were sent to, as far as they were exported."""
    labels = {recordings[name].app for name in change.requests}
    apps = [recorded_app(label, version) for label in labels]
    return [] if None in apps else [one for one in apps if one is not None]


# Recordings
# ------------------------------------------------------------------------------------------


def versions_with_recordings() -> tuple[str, ...]:
    """The versions that can be compared, oldest first."""
    return tuple(version for version in reversed(HOST_VERSIONS) if _folder(version) is not None)


def _folder(version: str) -> Path | None:
    try:
        return bundled(f"recordings/dify-{version}")
    except RecordingError:  # they are there
        raise
    except SpecError:
        return None


def _recordings(version: str) -> Mapping[str, Recording]:
    folder = _folder(version)
    if folder is None:
        known = ", ".join(versions_with_recordings()) or "none"
        raise SpecError(
            Path("recordings"),
            f"dify-{version}",
            f"no recordings of Dify {version} are here; compare two of: {known}",
        )
    return {one.name: one for one in read_folder(folder)}


def _recordings_of_both(a: str, b: str) -> tuple[Mapping[str, Recording], Mapping[str, Recording]]:
    """The recordings of both versions by name, which is that of the request. Where no name is
    shared, ``contract record`` made those of one version: then equal requests get the name that
    the first version has for them.
    """
    before, after = _recordings(a), _recordings(b)
    if not before.keys().isdisjoint(after):
        return before, after
    sent_alike = [one for one in before.values() if one.request.http_version == "1.1"]
    pairs = pair_recordings(sent_alike, list(after.values()))
    named = {one.name: one.b for one in pairs if isinstance(one, Pair)}
    return before, {name: one for name, one in named.items() if isinstance(one, Recording)}


@cache
def _document(version: str) -> Mapping[str, Any]:
    """The spec of ``version`` with its overlays."""
    return load(bundled("openapi.yaml"), overlay_paths(version))


@cache
def _routes(version: str) -> tuple[tuple[str, str], ...]:
    """Pattern and template of each path of ``version``; paths without parameters first."""
    paths = sorted(_document(version)["paths"], key=lambda path: ("{" in path, path))
    return tuple((_PARAMETER.sub("[^/]+", re.escape(path)), path) for path in paths)


def _area(one: Recording, routes: Sequence[tuple[str, str]]) -> str:
    """The operation of a request, and whether it asks for a stream."""
    path = one.request.path
    known = (template for pattern, template in routes if re.fullmatch(pattern, path))
    template = next(known, None) or _ID.sub("/{id}", path)
    streams = b'"streaming"' in one.request.body.replace(b" ", b"")
    return f"{one.request.method} {template}{' (streaming)' if streams else ''}"


# Changes
# ------------------------------------------------------------------------------------------


def _groups(found: Iterable[Difference]) -> Iterator[tuple[Group, tuple[str, ...]]]:
    """Groups of one cause with the names of their requests; each error text is its own."""
    alike: dict[tuple[str, ...], list[Difference]] = {}
    routes: dict[str, list[Difference]] = {}
    rest: list[Difference] = []
    for one in found:
        if one.kind == "status" and (one.a in NO_ROUTE) != (one.b in NO_ROUTE):
            routes.setdefault(one.place.split(" ")[1], []).append(one)
            continue
        error_text = one.kind == "value" and _ERROR_TEXTS.fullmatch(one.place)
        if error_text or one.kind == "status":
            place = "" if error_text else one.place
            alike.setdefault((one.kind, place, *texts(one)), []).append(one)
        else:
            rest.append(one)
    for path, same in routes.items():
        yield _route(path, same), tuple(dict.fromkeys(one.request for one in same))
    for same in alike.values():
        first, places = same[0], tuple(dict.fromkeys(one.place for one in same))
        names = tuple(dict.fromkeys(one.request for one in same))
        group = Group(first.kind, first.place, first.a, first.b, len(names), names)
        yield replace(group, places=places if len(places) > 1 else ()), names
    for group in grouped(rest):
        yield group, _names_of(group, rest)


def _route(path: str, found: Sequence[Difference]) -> Group:
    """A path that only one version has, with what it responds there."""
    is_new = found[0].a in NO_ROUTE
    sides = {
        f"{one.place.replace(f' {path}', '')}: {_short(one.b if is_new else one.a, _OUTCOME)}": one
        for one in found
    }
    responses = "\n".join(sides)
    a, b = (ABSENT, responses) if is_new else (responses, ABSENT)
    return Group("route", path, a, b, len(found), tuple(one.request for one in found))


def _names_of(group: Group, found: Sequence[Difference]) -> tuple[str, ...]:
    ends = tuple(place.removeprefix(EVERY_EVENT) for place in (group.place, *group.places))
    names = dict.fromkeys(
        one.request
        for one in found
        if one.kind == group.kind
        and one.place.endswith(ends)
        and (group.forms > 1 or (one.a, one.b) == (group.a, group.b))
    )
    return tuple(names) or group.examples


def _change(
    group: Group,
    requests: tuple[str, ...],
    before: Mapping[str, Recording],
    after: Mapping[str, Recording],
    evidence: tuple[Evidence, ...],
) -> Change:
    before_text, after_text = group.a, group.b
    if group.kind == "keys":
        before_text = ABSENT if group.a == ABSENT else f"loses {group.a}"
        after_text = ABSENT if group.b == ABSENT else f"gains {group.b}"
    return Change(
        severity=_severity(group),
        kind=group.kind,
        place=group.place,
        before=before_text,
        after=after_text,
        requests=requests,
        sides=_sides(before[requests[0]], after[requests[0]]),
        places=group.places or (group.place,),
        evidence=evidence,
    )


def _severity(group: Group) -> Severity:
    if group.kind == "status":
        return _severity_of_outcomes(group.a, group.b)
    if group.kind in _WRITTEN:
        return Severity.WRITES
    if group.a == ABSENT and group.kind in ("keys", "events", "header", "route"):
        return Severity.ADDS
    gone = group.kind in ("keys", "route") or (group.kind == "events" and group.b == ABSENT)
    other_type = group.kind == "type" and "null" not in (group.a, group.b)
    if (gone or other_type) and not _INSIDE_NODES.fullmatch(group.place):
        return Severity.BREAKS
    return Severity.CHANGES


def _severity_of_outcomes(before: str, after: str) -> Severity:
    was_good, is_good = (text.startswith(("2", "3")) for text in (before, after))
    was_endless, is_endless = (
        any(word in text for word in ("nothing but pings", "not closed", "broken off"))
        for text in (before, after)
    )
    if (was_good and not is_good) or (is_endless and not was_endless):
        return Severity.BREAKS
    return Severity.CHANGES


def _sides(before: Recording, after: Recording) -> Sides:
    request = after.request
    body = request.body.decode("utf-8", "replace")
    return Sides(
        name=after.name,
        request=_short(f"{request.method} {request.target}\n{body}"),
        before=_response(before),
        after=_response(after),
    )


def _response(one: Recording) -> str:
    text = one.body.decode("utf-8", "replace")
    if "\x00" in text or one.media_type.startswith("image/"):
        text = f"({len(one.body)} bytes)"
    return _short(f"{one.status} {one.reason} {one.header('content-type', '')}\n{text}")


def _short(text: str, most: int = _EXCERPT) -> str:
    text = text.strip()
    return text if len(text) <= most else f"{text[:most]}…"
