"""Two responses to the same request, recorded on two versions: in what a client sees a difference.

The recordings were made with apps of the same names, not always with the same graph, and by
stand-ins for models: what an app, a stand-in or the host's history decides is left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from contract.diff import response
from contract.diff.difference import ABSENT, Difference
from contract.diff.response import Stream
from dify_wire.exchange import EVENT_STREAM, Recording

_NEVER = 1e9
"""The factor from which on times differ: they say nothing about a version."""

_OPEN_S = 0.5
"""A connection that stays open longer than this after the last frame is not closed at once."""

OTHER_STATE = re.compile(r"(down|after|disconnect2?|tenant|app_status)_.*")
"""Exchanges with a host in another state, by their names: an outage, a client that left."""

NO_ROUTE = ("404, a page", "404")
"""Outcomes of a request for a path that the host does not have; the second of HEAD."""

_MASKS = (
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "<id>"),
    (re.compile(r"\bfor \d+ s\b"), "for some time"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "<hex>"),
    (re.compile(r"\b\d{10}(?:\.\d+)?\b"), "<time>"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.]+"), "<date>"),
    (re.compile(r"req_id: [0-9a-f]+"), "req_id: <id>"),
    (re.compile(r"pic%20one"), "<name>"),
)
_CONTAINERS = frozenset({"iteration", "loop", "iteration-start", "loop-start", "loop-end"})
_VARIABLES = re.compile(r"(body\.data|[a-z_ ]+?( \((start|end)\))?\.data)\.(inputs|outputs)")
"""Where the fields are variables of the app."""

_OF_THE_APP = re.compile(
    r"(?:.*\.)?(?:title|node_id|predecessor_node_id|filename|size|description|name|total|version"
    r"|pid|expiration_time|form_\w+|\w+_at|inputs|outputs|time_to_\w+|latency|elapsed_time"
    r"|\w+_duration_map\..*|from_variable_selector\[\]|server_version|session_id|total_tokens"
    r"|result|results\[\]|final_result|selected_case_id|model|prompt|actual_value|\w+_price"
    r"|exceptions_count|has_more|provider_id|model_provider)"
    r"|text_chunk\.data\.text"
)
"""Values that the app, its files or the day decide."""

_TYPED = re.compile(
    r"(?:.*: )?body\.(?:outputs|created_at|finished_at)"
    r"|.*\.(?:predecessor_node_id|data\.outputs|data\.inputs)"
)
"""Of these the type is the version's doing, whatever the value."""

_OF_A_VARIABLE = re.compile(r".*(outputs|inputs)\.\w+")
_ENUMERATIONS = re.compile(r".*\.(created_by_end_user\.type|created_from|triggered_from)")
_NOWHERE = re.compile("(?!)")
_ONLY_AT = {
    "identity": re.compile(r".*\.url|node_retry.*"),
    "length": re.compile(r".*\.json"),
    "events": _NOWHERE,
    "end": _NOWHERE,
    "image": _NOWHERE,
    "timing": _NOWHERE,
}
"""Where differences of some kinds are the version's doing; events and ends are compared apart."""

_ENDS = {"cut": "broken off", "client_left": "not closed"}


def outcome(exchange: Recording) -> str:
    """How a request ended, in words: what a client distinguishes first."""
    status = str(exchange.status)
    if exchange.shortened is not None:
        return status
    if exchange.media_type == EVENT_STREAM:
        return f"{status}, {_stream_outcome(exchange)}"
    if exchange.failure is not None:
        return f"{status}, {_ENDS.get(exchange.ended, exchange.ended)}"
    return f"{status}{_body_outcome(exchange)}"


def _body_outcome(exchange: Recording) -> str:
    body = exchange.json_object()
    data = body.get("data")
    if isinstance(data, dict) and "workflow_run_id" in body:
        return f", run {data.get('status')}"
    if exchange.status < 400:
        return ", without a value" if body and not any(body.values()) else ""
    if exchange.media_type != "application/json":
        return ", a page" if exchange.body else ""
    code = body.get("code", "without a code")
    message = str(body.get("message", "")).partition("\n")[0]
    return f" {code}: {message}" if message else f" {code}"


def _stream_outcome(exchange: Recording) -> str:
    events = Stream.of(exchange.body).events
    closed = f", {_ENDS[exchange.ended]}" if exchange.ended in _ENDS else ""
    if not events:
        silent = f"nothing but pings for {exchange.seconds:.0f} s"
        return f"a stream with {silent}{closed}"
    last = events[-1]
    if last.name == "error":
        return f"a stream with an error frame{closed}"
    status = last.data.get("status")
    return f"run {status}{closed}" if status else f"a stream up to {last.name}{closed}"


def differences(a: Recording, b: Recording, area: str) -> Iterator[Difference]:
    """What a client sees; nothing beneath different outcomes."""
    name = a.name
    before, after = outcome(a), outcome(b)
    if _masked(before) != _masked(after):
        yield Difference(name, "status", area, before, after)
        return
    streams = a.media_type == EVENT_STREAM
    same_nodes = not streams or _nodes(a) == _nodes(b)
    if streams and same_nodes:
        yield from _events(a, b)
        yield from _open_after_end(a, b)
    for one in response.differences(name, a, b, _NEVER):
        if not same_nodes and one.kind not in ("header", "style", "ping"):
            continue
        yield from _kept(_in_area(one, a, area), area, streams)


def _in_area(one: Difference, exchange: Recording, area: str) -> Difference:
    """``one`` with the operation before its place, in a body that is not that of a run."""
    run = b'"workflow_run_id"' in exchange.body[:100]
    if run or one.kind == "style" or not one.place.startswith("body"):
        return one
    where = "an error" if exchange.status >= 400 else area
    return replace(one, place=f"{where}: {one.place}")


def _masked(text: str) -> str:
    for pattern, name in _MASKS:
        text = pattern.sub(name, text)
    return text


def _nodes(exchange: Recording) -> Counter[str]:
    """The nodes that a stream shows, by their kind; containers are shown in different ways."""
    types = (
        str(event.data.get("node_type"))
        for event in Stream.of(exchange.body).events
        if event.name.startswith("node_started")
    )
    return Counter(kind for kind in types if kind not in _CONTAINERS)


def _events(a: Recording, b: Recording) -> Iterator[Difference]:
    """Events that only one of two streams has, or has more often, in whatever order."""
    ours, theirs = (
        Counter(event.name.replace(" (None)", "") for event in Stream.of(one.body).events)
        for one in (a, b)
    )
    for name in sorted({*ours, *theirs}):
        if bool(ours[name]) != bool(theirs[name]):
            sent = [str(count) if count else ABSENT for count in (ours[name], theirs[name])]
            yield Difference(a.name, "events", name, sent[0], sent[1])
        elif ours[name] != theirs[name] and not name.startswith("node_"):
            yield Difference(a.name, "events", name, str(ours[name]), str(theirs[name]))


def _open_after_end(a: Recording, b: Recording) -> Iterator[Difference]:
    before, after = (
        max(0.0, one.seconds - one.chunks[-1].at_s) if one.chunks else 0.0 for one in (a, b)
    )
    if (before > _OPEN_S) != (after > _OPEN_S):
        words = [
            f"stays open for {gap:.0f} s" if gap > _OPEN_S else "closed at once"
            for gap in (before, after)
        ]
        yield Difference(a.name, "end", "connection after the last frame", *words)


def _kept(one: Difference, area: str, stream: bool) -> Iterator[Difference]:
    """``one`` where it is the version's doing, in the words of a change."""
    place = one.place
    if one.kind == "keys" and _VARIABLES.fullmatch(place):
        one = replace(one, a=_system_keys(one.a), b=_system_keys(one.b))
    elif one.kind == "header" and place == "allow" and ABSENT in (one.a, one.b):
        one = replace(one, a=_listed(one.a), b=_listed(one.b))
    elif one.kind == "value" and place.endswith(".index"):
        one = replace(one, a=_index(one.a), b=_index(one.b))
    if _is_of_the_version(one, area, stream):
        yield one


def _is_of_the_version(one: Difference, area: str, stream: bool) -> bool:
    """Whether a difference is the version's doing, not that of an app, a stand-in or the day."""
    place, kind = one.place, one.kind
    if kind in _ONLY_AT:
        return bool(_ONLY_AT[kind].fullmatch(place))
    if kind == "value":
        return _is_value_of_the_version(one, area, stream)
    if kind == "type":
        variable = ": body.data[]" in place or _OF_A_VARIABLE.fullmatch(place)
        typed = _TYPED.fullmatch(place) or not _OF_THE_APP.fullmatch(place)
        return bool(typed) and not variable
    if kind == "style":
        return "a style of its own" not in one.a + one.b and ABSENT not in (one.a, one.b)
    written = _masked(one.a) != _masked(one.b)
    return written and place != "x-version" and "user_input_form" not in place


def _is_value_of_the_version(one: Difference, area: str, stream: bool) -> bool:
    if _masked(one.a) == _masked(one.b) or area.endswith("/v1/parameters"):
        return False
    if ": body.data[]" in one.place:
        return bool(_ENUMERATIONS.fullmatch(one.place))
    if one.place.endswith(".total_steps"):
        return stream
    return not _OF_THE_APP.fullmatch(one.place)


def _system_keys(names: str) -> str:
    """The fields of inputs that are not variables of the app."""
    return ", ".join(name for name in names.split(", ") if name.startswith("sys.")) or ABSENT


def _listed(value: str) -> str:
    return ABSENT if value == ABSENT else "the methods of the path"


def _index(value: str) -> str:
    return "1" if value == "1" else "counts up"


def texts(one: Difference) -> Sequence[str]:
    """The two texts of a difference without what is different in every request."""
    quoted = re.compile(r"'[^']*'|\"[^\"]*\"|\d+")
    return [quoted.sub("…", _masked(text).partition("\\n")[0]) for text in (one.a, one.b)]
