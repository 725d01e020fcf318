"""A host whose runs and images are broken in one way each, made in memory from good responses of
the fake.

A *break* changes a request (a lenient host is one that reads what was not sent) or a response.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from contract.client import HttpTransport
from contract.evidence import Pair
from contract.sse import split_frames
from contract.target import Capabilities, Target, file_urls, may_run
from dify_wire.exchange import Chunk, Exchange, Request

SECRET = "the fake signs with this"
SPEED = 10.0

Item = tuple[float, Any]
"""When a frame arrived, and its JSON; the raw bytes of a ping."""


@dataclass(frozen=True, slots=True)
class Good:
    """Good answers: a blocking run, a stream in its rhythm, and a live host that serves their
    pictures.
    """

    live: HttpTransport
    blocking: Exchange
    stream: Exchange
    api_key: str

    @property
    def file_path(self) -> str:
        """The path of the blocking run's picture."""
        url = file_urls(self.blocking.json()["data"]["outputs"])[0]
        assert url is not None
        return url.path

    def target(self, change: Break) -> Target:
        return Target(ChangedHost(self, change), Capabilities(self.api_key, SECRET))


@dataclass(frozen=True, slots=True)
class Break:
    """What is changed on the way to the good host, and on the way back from it."""

    change_response: Callable[[Request, Exchange], Exchange] = lambda _, exchange: exchange
    change_request: Callable[[Good, Request], Request] = lambda _, request: request


class ChangedHost:
    def __init__(self, good: Good, change: Break) -> None:
        self._good = good
        self._change = change

    def send(self, request: Request, on_chunk: Callable[[bytes], None] | None = None) -> Exchange:
        changed = self._change.change_request(self._good, request)
        return self._change.change_response(
            request, replace(self._response(changed), request=request)
        )

    def _response(self, request: Request) -> Exchange:
        if not may_run(request):
            return self._good.live.send(request)
        fields = json.loads(request.body)
        return self._good.stream if fields["response_mode"] == "streaming" else self._good.blocking


def fetch_good(live: HttpTransport, api_key: str) -> Good:
    from contract.evidence import shared_runs

    found: Pair = shared_runs(Target(live, Capabilities(api_key)))
    return Good(live, found.blocking, in_rhythm(found.stream.exchange), api_key)


def in_rhythm(exchange: Exchange) -> Exchange:
    """A stream as it arrives at ``SPEED``: each frame when its node's elapsed time has passed."""
    passed_s, pings, timed = 0.0, 0, []
    for frame in split_frames(exchange.chunks)[0]:
        data = (frame.data or {}).get("data", {})
        pings += frame.is_ping
        passed_s += data["elapsed_time"] if frame.event == "node_finished" else 0.0
        at_s = 10.02 * pings + 0.2 if frame.is_ping else passed_s
        timed.append(Chunk(at_s / SPEED + 0.01, frame.raw + b"\n\n"))
    return replace(exchange, chunks=tuple(timed), seconds=timed[-1].at_s + 0.01)


# Breaks of either answer


def is_stream(request: Request) -> bool:
    return may_run(request) and b'"streaming"' in request.body


def on_blocking(change: Callable[[Exchange], Exchange]) -> Break:
    return Break(
        lambda request, one: change(one) if may_run(request) and not is_stream(request) else one
    )


def on_stream(change: Callable[[Exchange], Exchange]) -> Break:
    return Break(lambda request, one: change(one) if is_stream(request) else one)


def with_body(exchange: Exchange, body: bytes) -> Exchange:
    return replace(exchange, chunks=(Chunk(exchange.seconds, body),) if body else ())


def with_header(exchange: Exchange, name: str, value: str | None) -> Exchange:
    kept = tuple(pair for pair in exchange.headers if pair[0].lower() != name.lower())
    return replace(exchange, headers=(*kept, (name, value)) if value is not None else kept)


def header(name: str, value: str | None) -> Callable[[Exchange], Exchange]:
    return lambda exchange: with_header(exchange, name, value)


def status(code: int | None) -> Callable[[Exchange], Exchange]:
    return lambda exchange: replace(exchange, status=code)


def cut_off(exchange: Exchange) -> Exchange:
    """Broken off in the middle."""
    half = with_body(exchange, exchange.body[: len(exchange.body) // 2])
    return replace(half, ended="cut", error="RemoteProtocolError: peer closed connection")


def body(change: Callable[[bytes], bytes]) -> Callable[[Exchange], Exchange]:
    return lambda exchange: with_body(exchange, change(exchange.body))


# Breaks of JSON


def response_json(change: Callable[[Any], Any]) -> Break:
    """The blocking answer with its JSON changed, in place or by what is returned."""

    def changed(exchange: Exchange) -> Exchange:
        value = exchange.json()
        made = change(value)
        return with_body(exchange, json.dumps(value if made is None else made).encode())

    return on_blocking(changed)


def data(**values: Any) -> Break:
    return response_json(lambda one: one["data"].update(values))


def file(**values: Any) -> Break:
    """The file object of the blocking answer with other values."""
    return response_json(lambda one: one["data"]["outputs"]["files"][0].update(values))


def items_of(exchange: Exchange) -> list[Item]:
    frames, _ = split_frames(exchange.chunks)
    return [(frame.at_s, frame.raw if frame.data is None else dict(frame.data)) for frame in frames]


def with_items(exchange: Exchange, items: list[Item]) -> Exchange:
    chunks = [
        Chunk(
            at_s,
            (item if isinstance(item, bytes) else b"data: " + json.dumps(item).encode()) + b"\n\n",
        )
        for at_s, item in items
    ]
    return replace(exchange, chunks=tuple(chunks))


def frames(change: Callable[[list[Item]], Any]) -> Break:
    """The stream with its frames changed, in place or by what is returned."""

    def changed(exchange: Exchange) -> Exchange:
        items = items_of(exchange)
        made = change(items)
        return with_items(exchange, items if made is None else made)

    return on_stream(changed)


def named(items: list[Item], event: str, node_type: str | None = None) -> list[dict[str, Any]]:
    """The events of that name, of nodes of that type."""
    found = [item for _, item in items if isinstance(item, dict) and item["event"] == event]
    return [one for one in found if node_type in (None, one["data"].get("node_type"))]


def events(
    name: str, change: Callable[[dict[str, Any]], Any], node_type: str | None = None
) -> Break:
    """The stream with ``data`` of the last event of that name changed."""
    return frames(lambda items: done(change(named(items, name, node_type)[-1]["data"])))


def event(name: str, node_type: str | None = None, /, **values: Any) -> Break:
    """As ``events``, with other values."""
    return events(name, lambda one: one.update(values), node_type)


def done(_: object) -> None:
    """Whatever a change returned, what it was given was changed in place."""


# Breaks of files


def is_file(request: Request) -> bool:
    return "/files/tools/" in request.target


def on_files(change: Callable[[Exchange], Exchange]) -> Break:
    return Break(lambda request, one: change(one) if is_file(request) else one)


def serves_the_good_file(good: Good, request: Request) -> Request:
    """A host that serves the picture whatever is fields of it."""
    return Request(request.method, good.file_path) if is_file(request) else request


def only_the_url_itself(request: Request) -> bool:
    """Whether a request is the plain one for a URL as it was signed."""
    plain = (
        request.target.startswith("/files/tools/")
        and request.target.endswith("=")
        and not request.headers
    )
    names = [pair.partition("=")[0] for pair in request.target.partition("?")[2].split("&")]
    lower = request.path.islower()
    return plain and lower and names == ["timestamp", "nonce", "sign"] and ".png?" in request.target


def strict_files() -> Break:
    """A host that refuses whatever is not the plain URL itself."""
    return Break(
        lambda request, one: (
            replace(one, status=403)
            if is_file(request) and not only_the_url_itself(request)
            else one
        )
    )


def image(change: Callable[[bytes], bytes]) -> Break:
    return on_files(lambda one: body(change)(one) if one.media_type == "image/png" else one)


def drawn(width: int, height: int, kind: str = "PNG", colour: str | None = None) -> bytes:
    """A picture of a gradient, or of one colour."""
    made = (
        Image.new("RGB", (width, height), colour)
        if colour
        else Image.linear_gradient("L").resize((width, height))
    )
    out = io.BytesIO()
    made.convert("RGB").save(out, kind)
    return out.getvalue()
