"""Recorded exchanges as a host that can be judged without a network: what was never asked cannot be answered."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from contract.exchange import Chunk, Exchange, Request
from contract.failures import NotApplicable

_KEY_HEADERS = (
    "authorization",
    "content-type",
    "origin",
    "access-control-request-method",
    "access-control-request-headers",
)


class RecordedTransport:
    """Answers a request with the recorded exchange that has the same method, path, key headers and body.

    Raises ``NotApplicable`` for a request that was not recorded. JSON bodies are compared as JSON. Of several equal
    requests the n-th gets the n-th answer, the last one again and again.
    """

    def __init__(self, exchanges: Iterable[Exchange]) -> None:
        self._answers: dict[Any, list[Exchange]] = {}
        for exchange in exchanges:
            self._answers.setdefault(_identity(exchange.request), []).append(exchange)
        self._asked: dict[Any, int] = {}

    def afresh(self) -> RecordedTransport:
        """The same recording, of which nothing has been asked yet."""
        again = RecordedTransport(())
        again._answers = self._answers
        return again

    def send(self, request: Request, on_chunk: Callable[[bytes], None] | None = None) -> Exchange:
        identity = _identity(request)
        answers = self._answers.get(identity)
        if not answers:
            raise NotApplicable(f"{request.method} {request.path.partition('?')[0]} with this body was not recorded")
        turn = self._asked.get(identity, 0)
        self._asked[identity] = turn + 1
        answer = answers[min(turn, len(answers) - 1)]
        for chunk in answer.chunks if on_chunk else ():
            on_chunk(chunk.data)  # type: ignore[misc]  # the condition above is the proof
        return answer


def load_exchanges(path: Path) -> list[tuple[str, Exchange]]:
    """The exchanges of a recording in JSON Lines, each with its name.

    Left out are those that cannot be judged: without the whole request, or with a binary answer kept as a digest only;
    and those that no client asks again: HTTP/1.1 without a Host.
    """
    recorded = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return [
        (one["name"], _exchange(one))
        for one in recorded
        if not one.get("request_truncated") and not one.get("body_len") and not _lacks_host(one["request"])
    ]


def _lacks_host(raw: str) -> bool:
    head = raw.partition("\r\n\r\n")[0].lower()
    return head.partition("\r\n")[0].endswith("http/1.1") and "\r\nhost:" not in head


def _exchange(one: Mapping[str, Any]) -> Exchange:
    return Exchange(
        request=_request(one["request"], one["method"]),
        status=one["status"],
        headers=tuple((name, value) for name, value in one["headers"]),
        chunks=tuple(_chunks(one)),
        sent_at=one["sent_at"],
        seconds=one["seconds"],
    )


def _request(raw: str, method: str) -> Request:
    head, _, body = raw.encode("latin-1").partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(": ") for line in lines[1:])
    return Request(method, lines[0].split(" ")[1], tuple((name, value) for name, _, value in pairs), body)


def _chunks(one: Mapping[str, Any]) -> Iterable[Chunk]:
    body = (one.get("body") or "").encode()
    times = one.get("sse_times")
    if not times:
        return [Chunk(one["seconds"], body)] if body else []
    frames = body.split(b"\n\n")
    ended_s = one["seconds"]  # of a stream over HTTP/1.0 only its end was timed
    pairs = zip(times, frames, strict=False)
    return [Chunk(ended_s if at_s is None else at_s, frame + b"\n\n") for at_s, frame in pairs]


def _identity(request: Request) -> Any:
    headers = {name.lower(): value for name, value in request.headers}
    kept = tuple(headers.get(name, "") for name in _KEY_HEADERS)
    return request.method, request.path, kept, _body_identity(request.body)


def _body_identity(body: bytes) -> Any:
    try:
        return json.dumps(json.loads(body), sort_keys=True)
    except ValueError:
        return body
