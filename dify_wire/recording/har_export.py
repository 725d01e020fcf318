"""Recordings as an HTTP Archive (HAR 1.2), for the tools that read it.

What HAR has no place for stands in fields that begin with an underscore, as HAR wants it:
``_chunks`` says which bytes came when, ``_recording`` holds the rest, so that a recording comes
back as it was.
"""

from __future__ import annotations

import base64
import datetime
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import parse_qsl

from dify_wire.exchange import Headers, Recording, Shortened

_NOT_KEPT = -1  # HAR's word for a size that nobody knows


def to_har(recordings: Iterable[Recording]) -> dict[str, Any]:
    """``recordings`` as the content of an archive."""
    creator = {"name": "fake-dify", "version": _version()}
    return {
        "log": {
            "version": "1.2",
            "creator": creator,
            "entries": [_entry(one) for one in recordings],
        }
    }


def _version() -> str:
    try:
        return version("fake-dify")
    except PackageNotFoundError:
        return "0"


def _entry(recording: Recording) -> dict[str, Any]:
    began = datetime.datetime.fromtimestamp(recording.sent_at, datetime.UTC)
    wait_s = min((chunk.at_s for chunk in recording.chunks), default=recording.seconds)
    wait_ms, receive_ms = wait_s * 1000, max(0.0, recording.seconds - wait_s) * 1000
    return {
        "startedDateTime": began.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "time": wait_ms + receive_ms,
        "request": _request_said(recording),
        "response": _response_said(recording),
        "cache": {},
        "timings": {"send": 0, "wait": wait_ms, "receive": receive_ms},
        "_recording": _ours(recording),
    }


def _ours(recording: Recording) -> dict[str, Any]:
    request = recording.request
    return {
        "name": recording.name,
        "app": recording.app,
        "note": recording.note,
        "recorded_at": recording.sent_at,
        "host": recording.host,
        "host_version": recording.host_version,
        "target": request.target,
        "chunk_sizes": list(request.chunk_sizes),
        "request_shortened_from": _shortened_said(request.shortened),
        "shortened_from": _shortened_said(recording.shortened),
        "seconds": recording.seconds,
        "ended": recording.ended,
        "redacted": list(recording.redacted),
    }


def _shortened_said(shortened: Shortened | None) -> dict[str, Any] | None:
    return None if shortened is None else {"bytes": shortened.size, "sha256": shortened.sha256}


def _request_said(recording: Recording) -> dict[str, Any]:
    request = recording.request
    query = parse_qsl(request.query, keep_blank_values=True)
    said: dict[str, Any] = {
        "method": request.method,
        "url": recording.host + request.target,
        "httpVersion": f"HTTP/{request.http_version}",
        "cookies": _cookies(request.headers, "cookie"),
        "headers": _pairs(request.headers),
        "queryString": _pairs(query),
        "headersSize": _NOT_KEPT,
        "bodySize": len(request.body),
    }
    if request.body:
        text, encoded = _text(request.body)
        said["postData"] = {
            "mimeType": request.header("content-type", ""),
            "params": [],
            "text": text,
        }
        said["postData"] |= {"_encoding": "base64"} if encoded else {}
    return said


def _response_said(recording: Recording) -> dict[str, Any]:
    text, encoded = _text(recording.body)
    size = len(recording.body)
    content = {"size": size, "mimeType": recording.header("content-type", ""), "text": text}
    return {
        "status": recording.status,
        "statusText": recording.reason,
        "httpVersion": f"HTTP/{recording.request.http_version}",
        "cookies": _cookies(recording.headers, "set-cookie"),
        "headers": _pairs(recording.headers),
        "content": content | ({"encoding": "base64"} if encoded else {}),
        "redirectURL": recording.header("location", ""),
        "headersSize": _NOT_KEPT,
        "bodySize": size,
        "_chunks": [[chunk.at_s, len(chunk.data)] for chunk in recording.chunks],
    }


def _pairs(pairs: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in pairs]


def _cookies(headers: Headers, name: str) -> list[dict[str, str]]:
    found = []
    for value in (value for key, value in headers if key.lower() == name):
        pairs = value.split(";")[:1] if name == "set-cookie" else value.split(";")
        found += [
            tuple(part.strip() for part in pair.partition("=")[::2])
            for pair in pairs
            if "=" in pair
        ]
    return [{"name": name, "value": value} for name, value in found]


def _text(data: bytes) -> tuple[str, bool]:
    """``data`` as text where it is some, else in base64."""
    try:
        return data.decode(), False
    except UnicodeDecodeError:
        return base64.b64encode(data).decode(), True
