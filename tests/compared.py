"""Compares an answer with a recorded one: whole, in order, to the byte, but for what no two runs
have in common.

What may differ is named below, and nothing else may. Ids and nonces may be others, but where the
recording has the same one twice, so must the answer: that is how shared file objects, constant ids
and the like are compared. Times are free and their relations are not. The head is compared whole:
status line, names as they are spelled, their order and their values, but for the date and the
length of the body.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tests.recorded import Exchange, Signed
from tests.serving import RawAnswer

PING = "event: ping"
PING_FIRST_S, PING_EVERY_S = 10.2, 10.02
"""As recorded [slow_stream_35s, timeout600_stream]."""

_FREE_HEADERS = ("date", "content-length")
"""Compared without their values. A length is compared by reading so much, and follows what is
volatile in the body.
"""

_SETS = ("allow", "access-control-allow-headers", "access-control-allow-methods")
"""Headers whose words the host itself gives in another order from one process to the next."""

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_FILE_URL = re.compile(
    rf"/files/tools/({_UUID})\.png\?timestamp=(\d{{10}})&nonce=([0-9a-f]{{32}})&sign=([\w-]{{43}}=)"
)


def differences(
    exchange: Exchange, answer: RawAnswer, constant: frozenset[str] = frozenset()
) -> list[str]:
    """Every difference in one line each; none where the answer could have been the recorded one.

    ``constant`` are the ids that have to be the very same.
    """
    found = list(
        _unequal("status line", f"HTTP/1.1 {exchange.status} {exchange.reason}", answer.status_line)
    )
    found += _unequal(
        "headers",
        _listed(_through_the_proxy(exchange.headers)),
        _listed(_through_the_proxy(answer.headers)),
    )
    if exchange.bodiless:
        return found + list(_unequal("body", b"", answer.body))
    if exchange.body is None:
        return found + list(_file_differences(exchange, answer))
    if exchange.is_stream:
        return found + list(
            _stream_differences(exchange.body.decode(), _text(answer.body), constant)
        )
    found += _unequal(
        "body", normal(exchange.body.decode(), constant), normal(_text(answer.body), constant)
    )
    return found + time_contradictions(_text(answer.body))


def _text(body: bytes) -> str:
    return body.decode("utf-8", "backslashreplace")


def _unequal(what: str, recorded: object, here: object) -> Iterator[str]:
    if recorded != here:
        yield f"{what}: recorded {recorded!r}, here {here!r}"


# Headers
# --------------------------------------------------------------------------------------------------


def _listed(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers in their order, without what is free."""
    return [
        (name, "" if name.lower() in _FREE_HEADERS else _unordered(name.lower(), value))
        for name, value in headers
    ]


def _through_the_proxy(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """What nginx makes of gunicorn's headers (FACTS 1.1), where the recorded host was asked without
    it.
    """
    headers = list(headers)
    if ("Server", "gunicorn") not in headers:
        return headers
    headers = [("Server", "nginx/1.22.1"), *headers[1:]]
    first = {name: value for name, value in headers if name in _PROXY_ORDER}
    rest = [(name, value) for name, value in headers if name not in _PROXY_ORDER]
    return [(name, first[name]) for name in _PROXY_ORDER if name in first] + rest


_PROXY_ORDER = (
    "Server",
    "Date",
    "Content-Type",
    "Content-Length",
    "Transfer-Encoding",
    "Connection",
)


def _unordered(name: str, value: str) -> str:
    return ", ".join(sorted(word.strip() for word in value.split(","))) if name in _SETS else value


# Bodies
# --------------------------------------------------------------------------------------------------


@dataclass
class Names:
    """Names for what differs from run to run: the same value always gets the same name."""

    constant: frozenset[str] = frozenset()
    given: dict[str, str] = field(default_factory=dict)

    def __call__(self, kind: str, value: str) -> str:
        if value in self.constant:
            return value
        if value not in self.given:
            known = sum(name.startswith(f"<{kind} ") for name in self.given.values())
            self.given[value] = f"<{kind} {known + 1}>"
        return self.given[value]


def _named_url(url: re.Match[str], names: Names) -> str:
    """A signed URL as a shape; a wrong signature shows."""
    file_id, timestamp, nonce, sign = url.groups()
    good = Signed(file_id, timestamp, nonce).sign() == sign
    return (
        f"/files/tools/{file_id}.png?<unix "
        f"seconds>&{names('nonce', nonce)}&<{'good' if good else 'wrong'} signature>"
    )


_Rule = tuple[str, Callable[[re.Match[str], Names], str]]
_RULES: tuple[_Rule, ...] = (
    (_FILE_URL.pattern, _named_url),
    (_UUID, lambda match, names: names("uuid", match[0])),
    (r'("(?:created_at|finished_at)": )\d{10}\b', lambda match, _: f"{match[1]}<unix seconds>"),
    (
        r'("(?:elapsed_time|latency)": )\d+(?:\.\d+(?:e-\d+)?|e-\d+)',
        lambda match, _: f"{match[1]}<seconds>",
    ),
    (r'("(?:total|prompt|completion)_tokens": )[1-9]\d*', lambda match, _: f"{match[1]}<tokens>"),
    (r'("sequence_number": )[1-9]\d*', lambda match, _: f"{match[1]}<runs>"),
)
"""What may differ, in text as it is on the wire: everything around it stays and is compared."""


def normal(text: str, constant: frozenset[str] = frozenset()) -> str:
    """``text`` with names for its volatile values."""
    return _named(text, Names(constant))


def _named(text: str, names: Names) -> str:
    for pattern, name in _RULES:
        text = re.sub(pattern, lambda match, name=name: name(match, names), text)  # type: ignore[misc]
    return text


def time_contradictions(text: str) -> list[str]:
    """Where the times of a run in ``text`` contradict each other, by the relation that all recorded
    runs keep.
    """
    found = []
    for found_url in re.finditer(
        r'"elapsed_time": ([0-9.e-]+), "total_tokens".*?"created_at": (\d+), "finished_at": (\d+)',
        text,
    ):
        late_s = int(found_url[3]) - int(found_url[2]) - float(found_url[1])
        if not -1.5 < late_s < 0.5:
            found.append(f"times: finished_at - created_at - elapsed_time is {late_s}")
    return found


def _file_differences(exchange: Exchange, answer: RawAnswer) -> Iterator[str]:
    """Another picture, but one all the same: it begins like the recorded one and is whole."""
    yield from _unequal("first bytes", exchange.body_head, answer.body[: len(exchange.body_head)])
    yield from _unequal("last bytes", b"IEND\xaeB`\x82", answer.body[-8:])


# Streams
# --------------------------------------------------------------------------------------------------


def _stream_differences(recorded: str, here: str, constant: frozenset[str]) -> Iterator[str]:
    """Frame by frame, pings apart: how many of them there are, and where, follows from how long the
    nodes took.
    """
    wanted, found = _frames(recorded), _frames(here)
    yield from _unequal("end of the stream", wanted.pop(), found.pop())
    yield from _unequal("pings before each frame", _pings_due(found), _pings(found))
    wanted_names, found_names = Names(constant), Names(constant)
    wanted_events, found_events = _without_pings(wanted), _without_pings(found)
    yield from _unequal(
        "frames",
        [_event(frame) for frame in wanted_events],
        [_event(frame) for frame in found_events],
    )
    for index, (frame, ours) in enumerate(zip(wanted_events, found_events, strict=False)):
        yield from _unequal(
            f"frame {index}", _named(frame, wanted_names), _named(ours, found_names)
        )
    yield from time_contradictions(here)


def _frames(stream: str) -> list[str]:
    """The frames and what is left after the last blank line."""
    return stream.split("\n\n")


def _without_pings(frames: list[str]) -> list[str]:
    return [frame for frame in frames if frame != PING]


def _event(frame: str) -> str:
    match = re.match(r'data: \{"event": "(\w+)"', frame)
    return match[1] if match else frame[:60]


def _pings(frames: list[str]) -> list[int]:
    """How many pings have come before each other frame."""
    return [frames[:index].count(PING) for index, frame in enumerate(frames) if frame != PING]


def _pings_due(frames: list[str]) -> list[int]:
    """How many should have come, going by the durations that the frames tell of themselves."""
    due, now_s = [], 0.0
    for frame in _without_pings(frames):
        data = _data(frame)
        if frame.startswith('data: {"event": "workflow_finished"'):
            now_s = data.get("elapsed_time", now_s)
        else:
            now_s += data.get("elapsed_time", 0.0)
        due.append(sum(PING_FIRST_S + PING_EVERY_S * count < now_s for count in range(100)))
    return due


def _data(frame: str) -> Mapping[str, float]:
    try:
        data = json.loads(frame.removeprefix("data: "))["data"]
    except (ValueError, KeyError, TypeError):
        return {}
    return data if isinstance(data, dict) else {}


# The default app
# --------------------------------------------------------------------------------------------------


def without_deployment(stream: str) -> str:
    """``stream`` without what an app's own graph decides: the text of its model and the settings of
    its pictures.
    """
    return "\n\n".join(_without_deployment(frame) for frame in _frames(stream))


def _without_deployment(frame: str) -> str:
    if not frame.startswith('data: {"event": "node_finished"'):
        return frame
    found_url = json.loads(frame.removeprefix("data: "))
    data = found_url["data"]
    if data["node_type"] == "tool":
        data["inputs"] = {name: type(value).__name__ for name, value in data["inputs"].items()}
    if data["node_type"] == "llm" and data["outputs"]:
        data["outputs"]["text"] = type(data["outputs"]["text"]).__name__
    return "data: " + json.dumps(found_url)
