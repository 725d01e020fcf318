"""Exchanges to write, read, redact and match."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from dify_wire.exchange import Chunk, Headers, Recording, Request

KEY = "app-SampleKey0123456789abcde"
HOST = "http://127.0.0.1:6060"
STREAM: Headers = (
    ("Content-Type", "text/event-stream; charset=utf-8"),
    ("Transfer-Encoding", "chunked"),
)
JSON: Headers = (("Content-Type", "application/json"),)


def request(body: Any = None, target: str = "/v1/workflows/run", **payload: Any) -> Request:
    """A run's request, or another one; ``body`` is JSON unless it is bytes."""
    data = (
        body
        if isinstance(body, bytes)
        else json.dumps(body or {"user": "alice"}, ensure_ascii=False).encode()
    )
    headers = (
        ("Host", "127.0.0.1:6060"),
        ("Authorization", f"Bearer {KEY}"),
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(data))),
    )
    return replace(Request("POST", target, headers, data), **payload)


def recording(*chunks: bytes, headers: Headers = STREAM, **payload: Any) -> Recording:
    """A whole exchange whose chunks came a tenth of a second apart."""
    arrived = tuple(Chunk(number / 10, data) for number, data in enumerate(chunks, 1))
    plain = Recording(
        name="sample",
        app="main",
        note="",
        sent_at=1_713_938_972.25,
        host=HOST,
        host_version="0.6.4",
        request=request(),
        status=200,
        reason="OK",
        headers=headers,
        chunks=arrived,
        seconds=len(chunks) / 10,
    )
    return replace(plain, **payload)


def cut(data: bytes, *sizes: int) -> tuple[Chunk, ...]:
    """``data`` in chunks of ``sizes``, and the rest in one."""
    chunks, start = [], 0
    for number, size in enumerate(sizes):
        chunks.append(Chunk(number / 10, data[start : start + size]))
        start += size
    return (*chunks, Chunk(len(sizes) / 10, data[start:]))
