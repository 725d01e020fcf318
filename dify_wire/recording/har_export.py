"""Recordings as an HTTP Archive (HAR 1.2), for the tools that read it.

What HAR has no place for is in fields that begin with an underscore, as HAR asks: ``_chunks`` lists
which bytes arrived when, ``_recording`` holds the rest, so that an import gives the recording back.
"""

from __future__ import annotations

import base64
import datetime
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import parse_qsl

from dify_wire.exchange import Headers, Recording, Shortened

_UNKNOWN_SIZE = -1


def to_har(recordings: Iterable[Recording]) -> dict[str, Any]:
    """``recordings`` as the content of an archive."""
    try:
        program = version("fake-dify")
    except PackageNotFoundError:
        program = "0"
    creator = {"name": "fake-dify", "version": program}
    entries = [_entry(recording) for recording in recordings]
    return {"log": {"version": "1.2", "creator": creator, "entries": entries}}


def _entry(recording: Recording) -> dict[str, Any]:
    began = datetime.datetime.fromtimestamp(recording.sent_at, datetime.UTC)
    wait_s = min((chunk.at_s for chunk in recording.chunks), default=recording.seconds)
    wait_ms, receive_ms = wait_s * 1000, max(0.0, recording.seconds - wait_s) * 1000
    request = recording.request
    return {
        "startedDateTime": began.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "time": wait_ms + receive_ms,
        "request": _request(recording),
        "response": _response(recording),
        "cache": {},
        "timings": {"send": 0, "wait": wait_ms, "receive": receive_ms},
        "_recording": {
            "name": recording.name,
            "app": recording.app,
            "note": recording.note,
            "recorded_at": recording.sent_at,
            "host": recording.host,
            "host_version": recording.host_version,
            "target": request.target,
            "chunk_sizes": list(request.chunk_sizes),
            "request_shortened_from": _shortened(request.shortened),
            "shortened_from": _shortened(recording.shortened),
            "seconds": recording.seconds,
            "ended": recording.ended,
            "redacted": list(recording.redacted),
        },
    }


def _shortened(shortened: Shortened | None) -> dict[str, Any] | None:
    return None if shortened is None else {"bytes": shortened.size, "sha256": shortened.sha256}


def _request(recording: Recording) -> dict[str, Any]:
    request = recording.request
    har: dict[str, Any] = {
        "method": request.method,
        "url": recording.host + request.target,
        "httpVersion": f"HTTP/{request.http_version}",
        "cookies": _cookies(request.headers, "cookie"),
        "headers": _pairs(request.headers),
        "queryString": _pairs(parse_qsl(request.query, keep_blank_values=True)),
        "headersSize": _UNKNOWN_SIZE,
        "bodySize": len(request.body),
    }
    if request.body:
        text, is_base64 = _text(request.body)
        media_type = request.header("content-type", "")
        har["postData"] = {"mimeType": media_type, "params": [], "text": text}
        if is_base64:
            har["postData"]["_encoding"] = "base64"
    return har


def _response(recording: Recording) -> dict[str, Any]:
    text, is_base64 = _text(recording.body)
    size = len(recording.body)
    content = {"size": size, "mimeType": recording.header("content-type", ""), "text": text}
    return {
        "status": recording.status,
        "statusText": recording.reason,
        "httpVersion": f"HTTP/{recording.request.http_version}",
        "cookies": _cookies(recording.headers, "set-cookie"),
        "headers": _pairs(recording.headers),
        "content": content | ({"encoding": "base64"} if is_base64 else {}),
        "redirectURL": recording.header("location", ""),
        "headersSize": _UNKNOWN_SIZE,
        "bodySize": size,
        "_chunks": [[chunk.at_s, len(chunk.data)] for chunk in recording.chunks],
    }


def _pairs(pairs: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in pairs]


def _cookies(headers: Headers, name: str) -> list[dict[str, str]]:
    cookies: list[tuple[str, str]] = []
    for value in (value for key, value in headers if key.lower() == name):
        pairs = value.split(";")[:1] if name == "set-cookie" else value.split(";")
        for cookie, equals, text in (pair.partition("=") for pair in pairs):
            if equals:
                cookies.append((cookie.strip(), text.strip()))
    return _pairs(cookies)


def _text(data: bytes) -> tuple[str, bool]:
    """``data`` as text, or in base64."""
    try:
        return data.decode(), False
    except UnicodeDecodeError:
        return base64.b64encode(data).decode(), True
